"""greenopt: what accuracy costs in energy, measured.

The package root imports nothing, so that the command line starts fast; each room is imported where it is used.
"""

__version__ = "0.1.0"
