"""Screens above the tabs: a trial's page and dialogs."""
