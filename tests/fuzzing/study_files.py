"""Study files: valid ones with something nasty at some key, and texts that are no TOML or hardly any."""

import datetime as dt
import math
import tomllib
from copy import deepcopy
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from greenopt.search import SAMPLERS
from tests.fuzzing.values import NUMBERS, RANGES, WORDS, keys, texts, values

ROOT = Path(__file__).parents[2]
Tables = dict[str, Any]

_OWN: Tables = {
    "study": {"trials": 3, "objective": "objective:train", "enqueue": [{"layers": 2}]},
    "objectives": {"accuracy": "maximize", "energy_wh": "minimize"},
    "space": {
        "alpha": {"low": 1e-6, "high": 0.1, "log": True},
        "layers": {"low": 1, "high": 4},
        "rate": {"low": 0.1, "high": 0.5, "step": 0.1},
        "solver": ["adam", "sgd"],
        "early": [True, False],
        "decay": {"values": [0.1, 0.2], "when": {"solver": "sgd", "early": [True]}, "default": 0.1},
    },
}
_IMAGES: Tables = {
    "study": {"trials": 2, "seed": 1, "split_seed": 2, "training_seed": 3, "baseline": True, "energy_budget_wh": 5.0},
    "data": {"name": "synthetic", "images": 400, "classes": 4, "image_size": 32},
    "training": {"epochs": 1, "model": "MobileNet", "decay_steps": 10, "time_limit_s": 9.5, "keep_model": False},
    "energy": {"country": "DE", "price_per_kwh": 0.3, "currency": "EUR", "sample_hz": 10.0, "idle_w": 40.0},
    "space": {
        "batch_size": {"low": 4, "high": 16, "log": True},
        "lr": {"low": 0.1, "high": 0.5, "step": 0.1},
        "optimizer": ["SGD", "Adam"],
        "optimizer_momentum": {"low": 0.5, "high": 0.9, "when": {"optimizer": ["SGD"]}},
    },
}
_ARGUMENTS: dict[str, Tables] = {
    "tpe": {"n_startup_trials": 1, "n_ei_candidates": 24, "prior_weight": 1.0, "group": False, "multivariate": True},
    "nsga2": {"population_size": 4, "mutation_prob": 0.1, "crossover_prob": 0.9, "swapping_prob": 0.5},
    "nsga3": {"population_size": 4, "dividing_parameter": 3},
    "qmc": {"qmc_type": "sobol", "scramble": True},
    "cmaes": {"n_startup_trials": 1, "sigma0": 0.5, "popsize": 4},
    "gp": {"n_startup_trials": 1, "deterministic_objective": True},
    "brute_force": {},
}


def shipped_studies() -> list[Tables]:
    """The studies that come with greenopt."""
    return [tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "studies").glob("*.toml"))]


def built_studies() -> list[Tables]:
    """Studies that use what the shipped ones leave out: every sampler, ranges, a function of one's own."""
    with_samplers = [
        {**(_OWN if index % 2 else _IMAGES), "sampler": {"name": name, **_ARGUMENTS.get(name, {})}}
        for index, name in enumerate(SAMPLERS)
    ]
    return [_OWN, _IMAGES, *with_samplers]


def paths_in(tables: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The place of every value, tables and lists included."""
    inner = tables.items() if isinstance(tables, dict) else enumerate(tables) if isinstance(tables, list) else ()
    return [*([at] if at else []), *(path for key, value in inner for path in paths_in(value, (*at, key)))]


@st.composite
def mutated_studies(draw: st.DrawFn) -> str:
    """A valid study with one to three of its values replaced, taken out, doubled or moved to a strange key."""
    tables = deepcopy(draw(st.sampled_from([*shipped_studies(), *built_studies()])))
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        _mutate(draw, tables)
    return to_toml(tables)


def _mutate(draw: st.DrawFn, tables: Tables) -> None:
    places = paths_in(tables)
    if not places:
        return
    *at, last = draw(st.sampled_from(places))
    holder = tables
    for key in at:
        holder = holder[key]
    match draw(st.sampled_from(["alike", "alike", "alike", "replace", "replace", "remove", "add", "list"])):
        case "alike":
            holder[last] = deepcopy(draw(alike(holder[last], is_distribution=at == ["space"])))
        case "replace":
            holder[last] = deepcopy(draw(values))
        case "remove":
            del holder[last]
        case "add" if isinstance(holder, dict):
            holder[draw(keys)] = deepcopy(draw(values))
        case _:
            holder[last] = [holder[last], deepcopy(draw(values))]


def alike(value: Any, *, is_distribution: bool) -> st.SearchStrategy[Any]:
    """Values of the type of another one, many of which are right: they reach what comes after the types."""
    if is_distribution:
        return st.one_of(RANGES, st.lists(values, min_size=1, max_size=4))
    match value:
        case bool():
            return st.booleans()
        case int():
            return st.one_of(st.integers(0, 200), st.sampled_from([n for n in NUMBERS if isinstance(n, int)]))
        case float():
            return st.one_of(st.floats(0, 1), st.floats(), st.sampled_from(NUMBERS))
        case str():
            return st.one_of(st.sampled_from(WORDS), texts)
        case dict():
            return st.dictionaries(keys, values, max_size=3)
    return st.lists(values, max_size=4)


def to_toml(tables: Tables) -> str:
    """Tables as TOML; every table inline but those at the top."""
    plain = [f"{_text(key)} = {_inline(value)}" for key, value in tables.items() if not isinstance(value, dict)]
    headed = [
        "\n".join([f"[{_text(key)}]", *(f"{_text(name)} = {_inline(each)}" for name, each in value.items())])
        for key, value in tables.items()
        if isinstance(value, dict)
    ]
    return "\n".join([*plain, *headed]) + "\n"


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(key)} = {_inline(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, int | float):
        return _number(value)
    return _text(value)


def _text(text: str) -> str:
    """A text in quotes, with escapes for all but plain letters; TOML has no surrogates."""
    return '"' + "".join(c if (c.isascii() and c.isalnum()) or c in " .:-_" else f"\\U{ord(c):08x}" for c in text) + '"'


def _number(value: int | float) -> str:
    text = repr(value) if isinstance(value, float) else str(value)
    return text if isinstance(value, int) or "." in text or "e" in text else f"{text}.0"


_SNIPPETS = (
    "[",
    "]",
    "[[",
    "]]",
    "=",
    "{",
    "}",
    '"',
    "'",
    '"""',
    "#",
    "\n",
    ",",
    ".",
    "[study]",
    "[study]\ntrials = 3\n",
    "trials = 3",
    "trials = 3\ntrials = 4",
    "[space]",
    "[space]\nlr = [0.1]\n",
    "training = 3\n",
    "study = []\n",
    "\x00",
    "\ufeff",
    "\r",
    "\x1b[2J",
    "\\u0000",
    "0x",
    "1_000",
    "+inf",
    "nan",
    "1979-05-27T07:32:00Z",
    "é",
    "ｔrials = 3",
    "a.b.c.d = 1\n",
    "[a.b]\n",
    "[[study.enqueue]]\n",
    '"" = 1\n',
    "[data]\nname = 'digits'\n",
    "[training]\nepochs=1\n",
)
_NESTED = (
    st.builds(
        lambda opened, closed, depth: f"[space]\nlr = {opened * depth}{closed * depth}\n",
        st.just("["),
        st.sampled_from(["]", ""]),
        st.sampled_from([50, 900, 5000]),
    )
    | st.builds(
        lambda depth: "[space]\nlr = " + "{a=" * depth + "1" + "}" * depth + "\n", st.sampled_from([50, 900, 5000])
    )
    | st.builds(lambda depth: "[" + ".".join(["a"] * depth) + "]\n", st.sampled_from([50, 900, 20000]))
)


@st.composite
def texts_like_studies(draw: st.DrawFn) -> bytes:
    """Bytes: pieces of TOML in any order, a valid file with a cut or a splice, deep nesting, other encodings."""
    kind = draw(st.sampled_from(["pieces", "spliced", "nested", "binary", "encoded"]))
    if kind == "pieces":
        return "".join(draw(st.lists(st.one_of(st.sampled_from(_SNIPPETS), texts), max_size=8))).encode(
            "utf-8", "surrogatepass"
        )
    if kind == "nested":
        return draw(_NESTED).encode()
    if kind == "binary":
        return draw(st.binary(max_size=60))
    text = to_toml(draw(st.sampled_from([*shipped_studies(), *built_studies()])))
    if kind == "encoded":
        return text.replace("trials", draw(st.sampled_from(["trials", "trïals"]))).encode(
            draw(st.sampled_from(["utf-8-sig", "utf-16", "latin-1", "utf-32"]))
        )
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, min(len(text), start + 40)))
    return (text[:start] + draw(st.one_of(st.sampled_from(_SNIPPETS), texts)) + text[end:]).encode(
        "utf-8", "surrogatepass"
    )
