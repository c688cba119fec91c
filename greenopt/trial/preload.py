"""Imports the libraries of trials in the process from which trials are forked.

Invariant: no operation runs, since a copy of a process in which TensorFlow ran one hangs.
"""

import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")

import keras  # noqa: F401
import keras_cv  # noqa: F401

# Garbage collection in the copies then passes over what was imported here, some hundred thousand objects each time.
gc.collect()
gc.freeze()
