"""Tabs of the live view."""
