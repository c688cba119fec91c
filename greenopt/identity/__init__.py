"""What belongs together: a study's storage, its folder, its trials' files, its code and its data.

Invariant: nothing of another study or attempt is read as a study's own, and nothing of another is written over.
"""
