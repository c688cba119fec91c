"""Functions that a study names as `package.module:function`: its objective and its model."""

import importlib
from collections.abc import Callable
from typing import Any

from greenopt.trial.failures import WrongSettingError


def resolve_function(reference: str, key: str) -> Callable[..., Any]:
    """Import a function.

    Args:
        reference: `package.module:function`.
        key: where the study names it, for messages: `study.objective`.

    Raises:
        WrongSettingError: its module cannot be imported, or holds no such function.
    """
    module_name, _, name = reference.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), name, None)
    except ImportError as error:
        raise WrongSettingError(f"{key}: {reference}: {error}") from error
    if not callable(found):
        raise WrongSettingError(f"{key}: {module_name} has no function {name}")
    return found  # type: ignore[no-any-return]
