"""A trial's folder that a full disk did not let be taken is left to the next attempt."""

import resource
import signal
from pathlib import Path

import pytest

from greenopt.events import AttemptBegan
from greenopt.identity.belongings import is_own, strangers, take_trial_folder

HEAD = AttemptBegan(study_id="s" * 32, run_id="r" * 32, attempt_id="a" * 32, trial=0)


def test_half_a_line_is_taken_back(tmp_path: Path) -> None:
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        with pytest.raises(OSError, match="File too large"):
            take_trial_folder(tmp_path / "0000", HEAD)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert strangers(tmp_path, {0: HEAD.attempt_id}) == []
    take_trial_folder(tmp_path / "0000", HEAD)
    assert is_own(tmp_path / "0000", 0, HEAD.attempt_id)
