"""What is checked before a study starts."""

from pathlib import Path

import pytest

from greenopt import preflight
from greenopt.errors import UsageError
from greenopt.preflight import check_study
from tests.builders import study

FILE = Path("study.toml")


def without(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = preflight.find_spec
    monkeypatch.setattr(preflight, "find_spec", lambda name: None if name == missing else found(name))


def test_int8_needs_its_runtime_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    space = {"batch_size": [4], "internal": ["none", "post_quantization"]}
    check_study(study(space=space), FILE)
    without("ai_edge_litert", monkeypatch)
    with pytest.raises(UsageError, match=r"study.toml: space.internal: .*ai-edge-litert, which is not installed"):
        check_study(study(space=space), FILE)
    check_study(study(space={"internal": ["none"]}), FILE)
    check_study(study(space={"lr": [0.1]}), FILE)
