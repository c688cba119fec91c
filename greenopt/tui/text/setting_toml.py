"""A setting as TOML that can be put into a study file."""

from collections.abc import Mapping
from typing import Any

from greenopt.formatting import format_toml


def setting_toml(setting: Mapping[str, Any]) -> str:
    """Return a `[space]` table with one value per parameter.

    Args:
        setting: values by parameter; one that is None is left out.
    """
    lines = [format_toml(name, value) for name, value in setting.items() if value is not None]
    return "\n".join(["[space]", *lines, ""])
