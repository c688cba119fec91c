"""A study of many invented trials, written straight into its tables: a second for what `tell` takes minutes for."""

import json
import random
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from optuna.distributions import distribution_to_json

from greenopt.exchange.studies import PAPER_SPACE
from greenopt.runs.folder import RunFolder
from greenopt.search import Search, open_storage
from greenopt.search.search import as_optuna
from greenopt.spec import Choice, StudySpec
from greenopt.storage.url import complete

FIGURES = (
    *("accuracy", "energy_wh", "uncertainty_wh", "coverage", "test_accuracy", "wh_per_epoch", "efficiency"),
    *("avg_power_w", "seconds", "setup_wh", "setup_s", "compile_wh", "compile_s", "total_wh", "idle_w"),
    *("net_energy_wh", "cpu_wh", "dram_wh", "val_loss", "loss", "peak_memory_bytes", "n_parameters"),
)
TEXTS = {
    "energy_source": "nvml_counter",
    "total_source": "nvml_counter",
    "gpu_uuid": "GPU-0123",
    "gpu_name": "NVIDIA H100",
    "host": "here",
    "code_id": "c0de",
    "data_id": "da7a",
}


def study_with(sampler: str, trials: int) -> StudySpec:
    """The study, wanting more trials than there are."""
    return StudySpec.model_validate(
        {
            "study": {"name": "many", "trials": trials + 1000, "seed": 7},
            "data": {"name": "synthetic", "images": 100, "classes": 4},
            "training": {"epochs": 2},
            "sampler": {"name": sampler},
            "space": PAPER_SPACE,
        }
    )


def write_many(
    folder: Path, trials: int, failed_share: float = 0.02, spec: StudySpec | None = None, url: str | None = None
) -> None:
    """Write the study with its run folder.

    Args:
        folder: made.
        trials: how many have finished.
        failed_share: how many of them failed or were pruned, each.
        spec: the study, of the ten parameters; `study_with` the random sampler unless given.
        url: its storage, which holds nothing else; the folder's own unless given.
    """
    run = RunFolder(folder)
    folder.mkdir(parents=True)
    spec, url = spec or study_with("random", trials), url or run.default_storage
    storage = open_storage(url)
    search = Search(spec, storage)
    run.write_study(spec.model_dump(mode="json"), url, study_id=search.study_id, run_id=search.run_id)
    search.lease.release()
    engine = sa.create_engine(complete(url))
    with engine.begin() as connection:
        tables = sa.MetaData()
        tables.reflect(connection)
        rows = _rows(spec, trials, failed_share)
        for name, listed in rows.items():
            connection.execute(tables.tables[name].insert(), listed)
    engine.dispose()


def _rows(spec: StudySpec, trials: int, failed_share: float) -> dict[str, list[dict[str, Any]]]:
    import datetime

    rng = random.Random(0)
    began = datetime.datetime(2026, 1, 1)
    stored = {name: distribution_to_json(as_optuna(d)) for name, d in spec.space.distributions.items()}
    rows: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("trials", "trial_params", "trial_values", "trial_user_attributes")
    }
    for number in range(trials):
        trial_id = number + 1
        drawn = rng.random()
        state = "FAIL" if drawn < failed_share else "PRUNED" if drawn < 2 * failed_share else "COMPLETE"
        start = began + datetime.timedelta(minutes=number)
        rows["trials"].append(
            {
                "trial_id": trial_id,
                "number": number,
                "study_id": 1,
                "state": state,
                "datetime_start": start,
                "datetime_complete": start + datetime.timedelta(seconds=50),
            }
        )
        for name, distribution in spec.space.distributions.items():
            assert isinstance(distribution, Choice)
            rows["trial_params"].append(
                {
                    "trial_id": trial_id,
                    "param_name": name,
                    "param_value": float(rng.randrange(len(distribution.values))),
                    "distribution_json": stored[name],
                }
            )
        attributes: dict[str, Any] = {**TEXTS, "attempt_id": f"attempt-{number}", "epochs_done": 2}
        if state == "FAIL":
            attributes["fail_reason"] = "crash"
        elif state == "COMPLETE":
            attributes |= {name: rng.random() for name in FIGURES}
            for objective, name in enumerate(("accuracy", "energy_wh")):
                rows["trial_values"].append(
                    {
                        "trial_id": trial_id,
                        "objective": objective,
                        "value": attributes[name],
                        "value_type": "FINITE",
                    }
                )
        rows["trial_user_attributes"] += [
            {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)} for key, value in attributes.items()
        ]
    return rows
