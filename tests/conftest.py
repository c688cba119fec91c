"""No test touches what the user's own studies keep between trials."""

import os
import tempfile

os.environ["GREENOPT_CACHE"] = tempfile.mkdtemp(prefix="greenopt-test-cache-")
