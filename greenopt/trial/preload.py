"""Imports the libraries of trials in the process from which trials are forked.

Invariant: no operation runs, since a copy of a process in which TensorFlow ran one hangs.
"""

import gc
import os
import signal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")

# `timeout`, batch systems and closing terminals signal the whole group of processes. This one ends with the
# coordinator, by a pipe; if it ended earlier, running trials would be taken for dead. SIGINT it ignores as every fork
# server does.
for _number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(_number, signal.SIG_IGN)

import keras  # noqa: E402, F401
import keras_cv  # noqa: E402, F401

# Garbage collection in the copies then passes over what was imported here, some hundred thousand objects each time.
gc.collect()
gc.freeze()
