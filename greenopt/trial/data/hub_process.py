"""The process that brings a data set and prepares its images: `python -m greenopt.trial.data.hub_process DATA`.

TensorFlow and the libraries of the data sets stay out of the process that runs a study. Writes one line of JSON: what
is wrong, or null. Progress of the libraries goes to standard error.
"""

import json
import os
import sys
from importlib import import_module
from typing import Any

from greenopt.cache_folder import cache_folder
from greenopt.spec import DataSpec
from greenopt.trial.data.cache import cached_images
from greenopt.trial.data.hub import READERS, locate_hub
from greenopt.trial.failures import DataMissingError, WrongSettingError
from greenopt.trial.parent_watchdog import die_with_parent


def main() -> None:
    """Bring and prepare what the argument says."""
    die_with_parent()
    # What libraries print, here or in C, is no answer.
    answer = os.dup(1)
    os.dup2(2, 1)
    problem: str | None = None
    try:
        prepare(DataSpec.model_validate_json(sys.argv[1]))
    except (DataMissingError, WrongSettingError) as error:
        problem = str(error)
    except OSError as error:
        problem = f"{type(error).__name__}: {error}"
    os.write(answer, json.dumps({"problem": problem}).encode())
    # Threads of the libraries may still be working.
    os._exit(0)


def prepare(spec: DataSpec) -> None:
    """Bring a data set that is not there, and prepare its images where they are kept.

    Raises:
        DataMissingError: it cannot be had.
        WrongSettingError: its images or labels cannot be used.
    """
    if locate_hub(spec) is None:
        library: Any = import_module(READERS[spec.name])
        library.fetch(spec)
        if locate_hub(spec) is None:
            raise DataMissingError("was brought, and is not where it should be; give its folder as data.path")
    if cache_folder() is not None:
        cached_images(spec)


if __name__ == "__main__":
    main()
