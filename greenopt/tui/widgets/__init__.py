"""Widgets of the live view: plots, tables, text that fits its width, the footer."""
