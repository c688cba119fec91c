"""Which device a program of one's own is metered on."""

import pytest

from greenopt.energy import open_device
from greenopt.energy.gpus import Gpu, GpuInventory
from greenopt.energy.source import UnreadableSource
from greenopt.errors import UsageError
from greenopt.reading import EnergySource

BOARDS = [Gpu(f"GPU-{letter}", index, "H100", 1, "580") for index, letter in enumerate("abc")]


@pytest.fixture(autouse=True)
def boards(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(uuid: str, nvml: object) -> UnreadableSource:
        return UnreadableSource(uuid, "a test reads nothing")

    monkeypatch.setattr("greenopt.energy.source_choice.find_gpus", lambda: GpuInventory(tuple(BOARDS)))
    monkeypatch.setattr("greenopt.energy.source_choice._open_gpu", opened)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize(
    ("visible", "gpu", "name"),
    [
        (None, None, "GPU-a"),
        ("2,0", None, "GPU-c"),
        ("GPU-b", None, "GPU-b"),
        ("2", "1", "GPU-b"),
        (None, "GPU-c", "GPU-c"),
    ],
)
def test_the_first_visible_gpu_or_the_one_that_is_named(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, gpu: str | None, name: str
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert open_device(gpu).name == name


def test_hidden_gpus_mean_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert open_device().kind in (EnergySource.RAPL, EnergySource.ESTIMATE)


def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="gpu '7': there is no such GPU; known: 0"):
        open_device("7")
