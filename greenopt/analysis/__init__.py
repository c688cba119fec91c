"""What the trials say: as a table, in figures and regressions, in words. Knows no storage: it is handed rows."""
