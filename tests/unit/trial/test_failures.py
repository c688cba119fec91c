import pytest
import tensorflow as tf

from greenopt.events import FailReason
from greenopt.trial.failures import DataMissingError, WrongSettingError, classify_failure


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), FailReason.OUT_OF_MEMORY),
        (tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"), FailReason.OUT_OF_MEMORY),
        (
            tf.errors.InternalError(None, None, "Out of memory while trying to allocate 9 bytes"),
            FailReason.OUT_OF_MEMORY,
        ),
        (tf.errors.InternalError(None, None, "CUDNN_STATUS_ALLOC_FAILED"), FailReason.OUT_OF_MEMORY),
        (tf.errors.InternalError(None, None, "CUBLAS_STATUS_NOT_SUPPORTED"), FailReason.CRASH),
        (tf.errors.InvalidArgumentError(None, None, "shapes"), FailReason.CRASH),
        (DataMissingError("put it there"), FailReason.DATA_MISSING),
        (WrongSettingError("batch_size: 9"), FailReason.WRONG_SETTING),
        (KeyboardInterrupt(), FailReason.INTERRUPTED),
        (KeyError("x"), FailReason.CRASH),
    ],
)
def test_reasons_are_told_apart(error: BaseException, reason: FailReason) -> None:
    assert classify_failure(error).reason is reason


def test_the_message_is_one_short_line() -> None:
    failure = classify_failure(RuntimeError("\n  first\nsecond " + "x" * 1000))
    assert failure.message == "RuntimeError: first"
    assert len(classify_failure(RuntimeError("x" * 1000)).message) < 400
    assert classify_failure(ValueError()).message == "ValueError: ValueError"
