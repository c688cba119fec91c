"""Commands for developers, and what these share with their tests."""
