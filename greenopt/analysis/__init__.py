"""What the trials say: as a table."""
