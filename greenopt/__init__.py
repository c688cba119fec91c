"""greenopt: hyperparameter studies of accuracy against measured energy.

The package root imports nothing, so that the command line starts fast; each room is imported where it is used.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
