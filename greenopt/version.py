"""The version of greenopt."""

__version__ = "0.1.0"
