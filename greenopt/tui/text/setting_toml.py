"""A setting as TOML that can be put into a study file."""

import json
from collections.abc import Mapping
from typing import Any


def setting_toml(setting: Mapping[str, Any]) -> str:
    """Return a `[space]` table with one value per parameter.

    Args:
        setting: values by parameter; one that is None is left out.
    """
    lines = [f"{name} = {_value(value)}" for name, value in setting.items() if value is not None]
    return "\n".join(["[space]", *lines, ""])


def _value(value: Any) -> str:
    """JSON writes numbers, strings and truth values as TOML reads them, once characters stand for themselves."""
    return json.dumps(value, ensure_ascii=False)
