"""Values that nobody means and somebody types."""

import datetime as dt
import math
from typing import Any

from hypothesis import strategies as st

TEXTS = (
    "", " ", ".", "..", "../x", "/", "/proc/x", "a/b", "-x", "--", "x" * 300, "x" * 5000, "a\nb", "\x1b[31mred",
    "\x07", "\u202eevil", "ｎａｍｅ", "ResNеt50", "é", "\u2028", "{}", "{0}", "%s", "{message}", "name ", "~", "~nobody/x",
    "*", "a:b", "os:system", "no.such.module:train", "a..b:c", "..:x", "None", "nan", "true", "[bold]x[/bold]",
)  # fmt: skip
NUMBERS: tuple[Any, ...] = (
    0, -1, 1, 2, 3, 10**6, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64, 10**30, 10**400,
    0.0, -0.0, 0.5, 1.0, 1.5, 1e-320, 5e-324, 1e-9, 1e9, 1e300, 1e308, -1e308, math.inf, -math.inf, math.nan,
)  # fmt: skip
OTHERS: tuple[Any, ...] = (
    True, False, [], {}, [[]], [{}], [1, "a", 2.5, True], [True, 1, 1.0], [1, 1.0], [math.nan, math.nan], ["a", "a"],
    {"low": 1, "high": 2}, {"low": 0.0, "high": 1.0, "step": 0.3}, {"low": 0.1, "high": 1, "step": 1e-320},
    {"low": -1e308, "high": 1e308}, {"low": 1e-320, "high": 1e308, "log": True}, {"low": 1, "high": math.inf},
    {"low": 4, "high": 10**30}, {"low": 4, "high": 64, "step": 2.0}, {"low": 1, "high": 2, "step": math.inf},
    {"low": 1, "high": 2, "step": math.nan}, {"low": True, "high": 2}, {"low": 0, "high": 10**18, "log": True},
    {"low": 0.001, "high": 0.0010000000000000002, "step": 1e-9}, {"low": "a", "high": "b"}, {"values": [1]},
    {"name": "x", "path": "/dev/zero"}, dt.date(2026, 1, 1), dt.time(1, 2), dt.datetime(2026, 1, 1, 1, 2),
    dt.datetime(1, 1, 1, tzinfo=dt.UTC), list(range(2000)),
)  # fmt: skip

WORDS = (
    "random", "tpe", "nsga2", "grid", "brute_force", "qmc", "halton", "maximize", "minimize", "skip", "replicate", "run",
    "digits", "synthetic", "cifar10", "npz", "total", "ResNet50", "MobileNet", "Xception", "DE", "fr", "60-20-20",
    "1-1-98", "SGD", "Adam", "none", "images", "policy", "post_quantization", "objective:train", "good.toml",
    "trials.csv", "fifo", "folder", "zero", "null",
)  # fmt: skip
"""What some keys take."""

texts = st.one_of(st.sampled_from(TEXTS), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
numbers = st.one_of(st.sampled_from(NUMBERS), st.integers(), st.floats())
values: st.SearchStrategy[Any] = st.one_of(numbers, texts, st.sampled_from(OTHERS), st.lists(numbers, max_size=4))
keys = st.one_of(st.sampled_from(["name", "epoch", "", "a.b", "x" * 300, "\x1b[0m", "é", "modules_folder", "__class__"]),
                 st.text(max_size=8))  # fmt: skip

_bounds = st.one_of(st.sampled_from(NUMBERS), st.floats(0, 1), st.integers(0, 100), st.sampled_from([0.1, 0.3, 0.7, 1e-4]))
RANGES = st.fixed_dictionaries(
    {"low": _bounds, "high": _bounds},
    optional={"step": st.one_of(st.sampled_from([0.1, 0.05, 0.25, 1, 2, 3]), _bounds), "log": st.booleans()},
)
"""Ranges, right and wrong."""
