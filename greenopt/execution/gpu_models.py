"""GPUs of one model for one study: energies of different models do not compare.

Invariant: a study's slots are of one model unless the user asked for all of them (`--gpu-model all`).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

from greenopt.errors import UsageError

ALL_MODELS = "all"
OPTION = "--gpu-model"
_UNKNOWN = "a model that the driver does not tell"
_Board = TypeVar("_Board")


def of_one_model(
    boards: Sequence[_Board],
    wanted: str | None,
    model_of: Callable[[_Board], str | None],
    say: Callable[[str], None],
    *,
    are_named: bool = False,
) -> list[_Board]:
    """Return the boards of one model, in their order.

    Args:
        boards: those that could be used.
        wanted: a part of the model's name, in any case; `all` for every board; None for the model of most boards, of
            as many the first.
        model_of: returns a board's product name; None where it is not known.
        say: told in a line which model was taken where there are others.
        are_named: whether the user named each board; then none is left out.

    Raises:
        UsageError: no board is of the model, several models are meant, or boards of several models were named.
    """
    counts = Counter(model_of(board) or _UNKNOWN for board in boards)
    if wanted == ALL_MODELS:
        return list(boards)
    if wanted is not None:
        counts = Counter({_only(counts, wanted): 1})
    elif are_named and len(counts) > 1:
        raise UsageError(
            f"--gpus: {_listed(counts)} are different models, whose energies do not compare: choose boards of one, or "
            f"{OPTION} {ALL_MODELS}, and the model is marked with each trial"
        )
    elif len(counts) > 1:
        chosen, most = counts.most_common(1)[0]
        say(
            f"trials run on {most} x {chosen}; there are {_listed(counts)}, whose energies do not compare: "
            f"{OPTION} chooses another model, or {ALL_MODELS}"
        )
    if not counts:
        return []
    (model, _), *_rest = counts.most_common(1)
    left_out = [board for board in boards if (model_of(board) or _UNKNOWN) != model]
    if are_named and left_out:
        raise UsageError(f"{OPTION} {wanted}: some of the boards that --gpus names are of another model")
    return [board for board in boards if (model_of(board) or _UNKNOWN) == model]


def check_on_cpu(wanted: str | None) -> None:
    """Raise UsageError where a model of GPU is wanted for trials that would run on the CPU."""
    if wanted not in (None, ALL_MODELS):
        raise UsageError(f"{OPTION} {wanted!r}: trials would run on the CPU; leave it out")


def _only(counts: Counter[str], wanted: str) -> str:
    """Return the one model whose name has this part."""
    fitting = [model for model in counts if wanted and wanted.casefold() in model.casefold()]
    # A name in full is meant before the longer ones that begin like it.
    fitting = [model for model in fitting if model.casefold() == wanted.casefold()] or fitting
    if len(fitting) == 1:
        return fitting[0]
    there = _listed(counts) or "none"
    what = f"fits {' and '.join(fitting)}; give more of the name" if fitting else "no GPU is of this model"
    raise UsageError(f"{OPTION} {wanted!r}: {what}; there are {there}")


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{number} x {model}" for model, number in counts.items())
