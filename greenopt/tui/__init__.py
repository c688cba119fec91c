"""The live view of a study. It reads storage, events and the study log, and sends the user's requests.

Invariant: nothing in here writes to a study; whatever happens to the view, the study goes on.
"""
