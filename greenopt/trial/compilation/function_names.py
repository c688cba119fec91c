"""Names of traced functions, which XLA's cache of compiled programs has in its keys."""

from collections import deque


def name_functions_afresh(step: int = 100_000) -> None:
    """Have the next function that is traced get the name that it gets in every process that builds the same program.

    TensorFlow ends the names of functions with a number that it counts up at every tensor and function of the process,
    and XLA's programs are kept by name too: what came before, a scaling or an augmentation, would change it.

    Args:
        step: count on to the next multiple of it.
    """
    from tensorflow.python.framework import ops

    target = (ops.uid() // step + 1) * step
    deque(iter(ops.uid, target), maxlen=0)
