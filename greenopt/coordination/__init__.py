"""The coordinator and what it decides with: verdicts on trials, checks before a study, progress, the study log."""
