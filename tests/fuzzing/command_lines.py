"""Command lines made of the parameters that the commands have, so that a new option is tried by itself."""

import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_type_hints

from hypothesis import strategies as st
from typer.main import get_command

from greenopt.cli import app
from tests.fuzzing.values import NUMBERS, TEXTS

NAMES = ("known", "damaged", "nobody", "known/", "./known", "../runs/known", "known\n", "KNOWN", "-known", "x" * 300)
PATHS = (
    "good.toml",
    "no.toml",
    "folder",
    "fifo",
    "null",
    "zero",
    "full",
    "memory",
    "empty.toml",
    "nul.toml",
    "latin.toml",
    "bom.toml",
    "loop",
    "good.toml/x",
    "trials.csv",
    "trials.parquet",
    "fifo.csv",
    "folder.csv",
    "paper",
    "runs/known",
    "folder/x.csv",
    "folder/x.parquet",
    "folder/x.pdf",
    "no/x.csv",
    "x.html",
    "x" * 300 + ".csv",
    "\udce9.toml",
    "\x1b[31m.toml",
    "runs",
    "runs/known/study.db",
)
URLS = (
    "sqlite://",
    "sqlite:///",
    "sqlite:////",
    "sqlite:///:memory:",
    "sqlite:///no/such/x.db",
    "sqlite:///folder",
    "sqlite:///good.toml",
    "sqlite:///empty.toml",
    "sqlite:///fifo",
    "sqlite:///runs/known/study.db",
    "sqlite+no:///x",
    "sqlite:///x.db?mode=ro",
    "sqlite:///a%00b",
    "sqlite:///" + "x" * 300,
    "postgresql://",
    "postgresql://[::1",
    "postgresql+psycopg://u:secret@127.0.0.1:1/x",
    "postgresql://h:port/x",
    "mysql://x",
    "redis://localhost",
    "http://x",
    "file:///x",
    "://",
    "x",
    "oracle://a",
    "postgresql+psycopg://u@/x?host=/nowhere",
    "sqlite:///%ZZ",
)
RIGHT: dict[str, tuple[str, ...]] = {
    "--gpus": ("none", "all", "0", "0,0", "GPU-x", ","),
    "--country": ("DE", "de", "XX"),
    "--sampler": ("random", "tpe", "grid", "cmaes", "no"),
    "--pick": ("efficiency", "accuracy", "energy", "0", "7"),
    "page": ("tutorial", "study-file#training", "no", "index.md"),
    "new": ("other", "known"),
}
"""What some parameters take, so that their commands go further than their first line."""

_SPELLED = [str(number) for number in NUMBERS if len(str(number)) < 4000]
_WORDS = (*_SPELLED, "9" * 5000, "0x10", "1_0", "١", "½")
_any_word = st.one_of(
    # No text of chance may name a place outside of the folder: what is named is written to.
    st.sampled_from(_WORDS),
    st.sampled_from(TEXTS),
    st.text(max_size=12).map(lambda text: re.sub("[/\\0]", "", text)),
)
_SLOW = {"report": 12, "analyze": 4}
"""Commands that are drawn once in so many times."""


def commands() -> dict[str, Any]:
    """The commands by name."""
    group: Any = get_command(app)
    return dict(group.commands)


def _words(parameter: Any, hint: Any) -> st.SearchStrategy[str]:
    """Values of one parameter, whose type is `hint`: right ones, those of its kind, and any."""
    name = parameter.opts[0] if parameter.param_type_name == "option" else parameter.name
    right = list(RIGHT.get(name, ()))
    kinds = [st.sampled_from(right)] if right else []
    if name == "--storage":
        kinds.append(st.sampled_from(URLS))
    elif name == "--runs":
        kinds.append(st.sampled_from(("runs", "runs", "folder", "good.toml", "no", "fifo", "null", "/proc", "")))
    elif Path in (hint, *get_args(hint)):
        kinds += [st.just("good.toml"), st.sampled_from(PATHS)]
    elif name == "study":
        kinds += [st.just("known"), st.sampled_from(NAMES)]
    if choices := [str(choice) for kind in _kinds_in(hint) for choice in kind]:
        kinds.append(st.sampled_from(choices))
    if not kinds:
        kinds.append(st.sampled_from(("1", "2", "3", "known", "other")))
    return st.one_of(*kinds, *kinds, _any_word)


def _kinds_in(hint: Any) -> Iterator[type[Enum]]:
    """The enumerations in a type."""
    if isinstance(hint, type) and issubclass(hint, Enum):
        yield hint
    for part in get_args(hint):
        yield from _kinds_in(part)


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A command with some of its options, in any order, often with too many words or too few."""
    known = commands()
    name = draw(st.sampled_from(sorted(known)))
    if name in _SLOW and draw(st.integers(1, _SLOW[name])) > 1:
        name = draw(st.sampled_from(["run", "confirm", "import", "export", "rename", "list"]))
    words: list[list[str]] = []
    hints = get_type_hints(known[name].callback)
    for parameter in known[name].params:
        if parameter.param_type_name == "argument":
            if draw(st.integers(0, 9)):
                words.append([draw(_words(parameter, hints.get(parameter.name)))])
        elif draw(st.integers(0, 3)) == 0:
            option = draw(st.sampled_from([*parameter.opts, *parameter.secondary_opts]))
            words.append(
                [option]
                if getattr(parameter, "is_flag", False)
                else [option, draw(_words(parameter, hints.get(parameter.name)))]
            )
    if draw(st.integers(0, 9)) == 0:
        words.append([draw(_any_word)])
    if draw(st.integers(0, 19)) == 0:
        name = draw(_any_word) or "x"
    line = [name, *(word for part in draw(st.permutations(words)) for word in part)]
    return [word for word in line if "\0" not in word]
