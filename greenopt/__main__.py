"""`python -m greenopt`, the same as `greenopt`."""

from greenopt.cli import main

main()
