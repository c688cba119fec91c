"""Waits for the work that a framework has queued on a device, so that a boundary of the meter is one of the work."""

import sys


def sync_devices() -> None:
    """Wait until the devices have finished the work of TensorFlow or PyTorch; neither is imported here."""
    tensorflow, torch = sys.modules.get("tensorflow"), sys.modules.get("torch")
    if tensorflow is not None and _has_devices():
        tensorflow.test.experimental.sync_devices()
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def _has_devices() -> bool:
    """Return whether TensorFlow has opened its devices; waiting would open them before they are chosen."""
    from tensorflow.python.eager import context

    # TensorFlow has no public way to ask that does not open the devices.
    current = context.context_safe()
    return current is not None and current._initialized
