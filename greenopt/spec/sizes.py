"""Amounts of memory and disk as a study file writes them: `"8 GB"`, or a number of bytes."""

import re
from typing import Any

from pydantic_core import PydanticCustomError

_SIZE = re.compile(r"\s*(?P<number>\d{1,15}(\.\d{1,9})?)\s*(?P<unit>[kKMGT]?i?B)?\s*", re.ASCII)
_FACTORS = {
    "B": 1,
    **{f"{letter}B": 1000**power for power, letter in enumerate("KMGT", 1)},
    **{f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", 1)},
}
MAX_BYTES = 10**18


def parse_size(value: Any) -> Any:
    """Return a size in bytes; a whole number is one already."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    unit = (match["unit"] or "B").replace("k", "K") if match is not None else ""
    if match is None or unit not in _FACTORS:
        raise PydanticCustomError("size", 'is not a size such as "8 GB" or "500 MiB", or a whole number of bytes')
    return round(float(match["number"]) * _FACTORS[unit])
