"""The sections of a report, each by its own module."""
