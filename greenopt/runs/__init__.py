"""A study's run folder, what is written there about the run, and the process that runs it."""
