"""Getting ready to meter: a busy GPU is waited for and then refused; what is read is said."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from greenopt.energy.gpus import GpuProcess
from greenopt.energy.synchronise import sync_devices
from greenopt.events import Event, FailReason, MeterOpened
from greenopt.trial.failures import GpuBusyError, classify_failure
from greenopt.trial.metering import await_free, open_meters
from tests.unit.energy.fake_nvml import VirtualClock
from tests.unit.trial.workbench import trial_spec

OTHER = GpuProcess(4711, "render", None)


def test_a_process_that_goes_is_waited_for() -> None:
    clock = VirtualClock()
    await_free(lambda: [OTHER] if clock() < 7 else [], 20, clock, clock.advance)
    assert 7 <= clock() < 8


def test_a_process_that_stays_is_named() -> None:
    clock = VirtualClock()
    with pytest.raises(GpuBusyError, match=r"render \(pid 4711\); --share-gpus"):
        await_free(lambda: [OTHER], 20, clock, clock.advance)
    assert clock() == pytest.approx(20, abs=1)


def test_a_busy_gpu_is_a_reason_of_its_own_and_worth_another_attempt() -> None:
    assert classify_failure(GpuBusyError("busy")).reason is FailReason.GPU_BUSY
    assert FailReason.GPU_BUSY.is_worth_a_retry


@pytest.mark.parametrize("is_shared", [False, True])
def test_a_trial_refuses_a_busy_gpu_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch, is_shared: bool) -> None:
    monkeypatch.setattr("greenopt.trial.metering.gpu_processes", lambda uuid: [OTHER])
    monkeypatch.setattr("greenopt.trial.metering.await_free", lambda busy: await_free(busy, wait_s=0))
    spec = trial_spec().model_copy(update={"gpu_uuid": "GPU-x", "share_gpu": is_shared})
    events: list[Event] = []
    if not is_shared:
        with pytest.raises(GpuBusyError):
            open_meters(spec, events.append, lambda sample: None)
        assert events == []
        return
    open_meters(spec, events.append, lambda sample: None)
    (opened,) = events
    assert isinstance(opened, MeterOpened)
    assert opened.device == "GPU-x"
    assert opened.idle_w is None


def test_pending_work_of_pytorch_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []
    cuda = SimpleNamespace(is_initialized=lambda: True, synchronize=lambda: waited.append("torch"))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    sync_devices()
    assert waited == ["torch"]


def test_waiting_for_devices_does_not_open_them_before_they_are_chosen() -> None:
    """A copy of a warm process has TensorFlow imported when its first mark is set."""
    program = """
import tensorflow as tf
from greenopt.energy.synchronise import sync_devices
sync_devices()
tf.config.set_visible_devices([], "CPU")  # is refused once they are open
tf.config.set_visible_devices(tf.config.list_physical_devices("CPU"), "CPU")
tf.zeros(1)
sync_devices()
"""
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"})
