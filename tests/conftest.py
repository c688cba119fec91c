"""No test touches what the user's own studies keep between trials; Ctrl-C works in what tests start."""

import os
import signal
import tempfile

os.environ["GREENOPT_CACHE"] = tempfile.mkdtemp(prefix="greenopt-test-cache-")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in the background so, and processes pass it on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
