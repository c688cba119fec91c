"""greenopt from Python: in a script or a notebook, what the command line does in a terminal."""

from greenopt.api.run import run_study
from greenopt.api.study import Findings, Study, load_study

__all__ = ["Findings", "Study", "load_study", "run_study"]
