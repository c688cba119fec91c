"""A study's storage, read without Optuna: its URL, its rows, live changes."""
