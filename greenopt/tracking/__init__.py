"""Sends the trials of a study to an experiment tracker, each as a run of its own.

Invariant: a tracker never reaches the study. It reads what trials left, in a process of its own, and what was sent is
kept in the study's folder, so that each trial is sent once, however often and by whom it is asked for.
"""
