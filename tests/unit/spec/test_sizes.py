"""Sizes in a study file."""

from typing import Any

import pytest
from pydantic import ValidationError

from greenopt.spec import StudySpec
from tests.builders import study


@pytest.mark.parametrize(
    ("written", "bytes_"),
    [("8 GB", 8 * 10**9), ("500MiB", 500 * 2**20), (" 1.5 GB ", 15 * 10**8), ("20000 kB", 2 * 10**7), (10**8, 10**8)],
)
def test_a_size_is_a_number_of_bytes(written: Any, bytes_: int) -> None:
    assert study(training={"memory_limit": written, "log_limit": written}).training.memory_limit == bytes_


@pytest.mark.parametrize(
    "written",
    [
        *("8 XB", "-8 GB", "GB", "", "8 GBs", "1e3 GB", "9" * 30, "iB", "5 iB", "٣ GB", "999999999999 TB"),
        *(0, 5, -1, True, [], {}, 1.5, float("inf"), float("nan"), 10**19),
    ],
)
def test_what_is_no_size_is_refused(written: Any) -> None:
    for key in ("memory_limit", "log_limit"):
        with pytest.raises(ValidationError):
            study(training={key: written})


def test_a_function_may_have_limits() -> None:
    limits = {"memory_limit": "1 GB", "log_limit": "1 MB", "time_limit_s": 5.0}
    tables = {"study": {"name": "own", "trials": 1, "objective": "a:b"}, "space": {"x": [1, 2]}}
    spec = StudySpec.model_validate({**tables, "training": limits})
    assert spec.training.memory_limit == 10**9
