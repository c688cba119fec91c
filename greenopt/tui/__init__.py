"""The live view of a study. It reads storage, events and course, and asks the coordinator for what it is asked for.

Invariant: nothing in here writes to a study; whatever happens to the view, the study goes on.
"""
