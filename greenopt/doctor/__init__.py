"""Checks of a machine and of its energy meter."""
