"""A study on GPUs of different models: the model is a factor of its analysis, and every front says that it has both."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenopt.analysis.analyse import analyse
from greenopt.analysis.results import Coding, Response
from greenopt.cli.summary_output import trial_table
from greenopt.dashboard.figures import front_figure
from greenopt.dashboard.notes import study_note
from greenopt.energy.idle import IdleStore, find_idle
from greenopt.gpu_models import GPU_MODEL, format_mixed, gpu_models
from greenopt.report.figures import Drawing
from greenopt.report.figures.front import pareto_front
from greenopt.report.report_data import ReportData
from greenopt.spec import EnergySpec, StudySpec
from greenopt.storage.snapshot import StudySnapshot
from greenopt.tui.state.model import StudyModel
from greenopt.tui.state.reader import StudyReader
from greenopt.tui.tabs.pareto import _front_lines
from tests.builders import study
from tests.tui.studies import H100, Written, paper_like
from tests.unit.report.studies import made_rows

A, B = "NVIDIA A100", "NVIDIA H100"
FACTOR = 1.8
"""How much more energy the A needs for the same setting."""


def spec() -> StudySpec:
    return study(study={"trials": 48}, space={"batch_size": [4, 8], "lr": [0.1, 0.01, 0.001]})


def rows(models: tuple[str, ...] = (A, B, B), trials: int = 48) -> list[dict[str, Any]]:
    """Trials whose energy depends on the batch size and on the model of their GPU."""
    generator, found = np.random.default_rng(3), []
    for number in range(trials):
        batch_size, lr, model = (4, 8)[number % 2], (0.1, 0.01, 0.001)[number // 2 % 3], models[number % len(models)]
        energy_wh = 2.0 * (1.5 if batch_size == 4 else 1.0) * (FACTOR if model == A else 1.0)
        energy_wh *= math.exp(0.02 * generator.normal())
        accuracy = 0.5 + 0.05 * (lr == 0.01) + 0.005 * generator.normal()
        found.append(
            {
                "trial": number,
                "state": "complete",
                "accuracy": accuracy,
                "energy_wh": energy_wh,
                "energy_source": "nvml_counter",
                "uncertainty_wh": 0.01,
                "coverage": 1.0,
                "test_accuracy": accuracy,
                "wh_per_epoch": energy_wh / 2,
                "efficiency": accuracy / energy_wh * 2,
                "avg_power_w": 300.0,
                "seconds": 60.0,
                "epochs_done": 2,
                "total_wh": energy_wh,
                "setup_wh": 0.0,
                "batch_size": batch_size,
                "lr": lr,
                "gpu_name": model,
                "gpu_uuid": f"GPU-{model[-4:]}",
                "gpu_driver": "580",
                "host": "here",
                "attempt_id": str(number),
                "inert": "",
            }
        )
    for row in found:
        whole = spec().space.baseline
        row.update({name: value for name, value in whole.items() if name not in row})
    return found


def test_models_are_counted_over_completed_trials_on_a_gpu() -> None:
    assert gpu_models(rows()) == {B: 32, A: 16}
    assert format_mixed(rows((B,))) == ""
    assert gpu_models([{**row, "gpu_uuid": None, "gpu_name": None} for row in rows()]) == {}
    half = [{**row, "gpu_name": None} if row["trial"] % 2 else row for row in rows((B,))]
    assert gpu_models(half) == {B: 24, "unknown": 24}
    failed = [{**row, "state": "fail"} if row["gpu_name"] == A else row for row in rows()]
    assert format_mixed(failed) == ""


def test_the_model_is_a_factor_that_explains_its_share_of_the_energy() -> None:
    analysis = analyse(spec(), rows())
    fitted = analysis.regressions[Response.LOG_ENERGY_WH][Coding.EFFECTIVE]
    (model,) = [term for term in fitted.coefficients if term.parameter == GPU_MODEL]
    assert model.coef == pytest.approx(math.log(FACTOR), rel=0.05)
    (advice,) = [each for each in analysis.advice.values if each.parameter == GPU_MODEL]
    assert advice.value == B
    alone = [each for each in analysis.advice.values if each.parameter == "batch_size"]
    assert alone[0].energy_ratio == pytest.approx(1 / 1.5, rel=0.05), "the model's share is not the batch size's"
    assert any(GPU_MODEL in note and f"32 on {B}, 16 on {A}" in note for note in analysis.footnotes)


def test_what_is_to_run_next_can_stand_in_a_study_file() -> None:
    analysis = analyse(spec(), rows())
    assert GPU_MODEL not in analysis.advice.toml
    assert all(GPU_MODEL not in setting for setting in analysis.advice.next_settings)


def test_a_study_on_one_model_has_no_such_factor_and_no_mark() -> None:
    analysis = analyse(spec(), rows((B,)))
    assert GPU_MODEL not in analysis.trials
    assert not any("different models" in note for note in analysis.footnotes)
    assert "different models" not in front_figure(spec(), rows((B,)), [1]).to_json()
    assert trial_table(StudySnapshot(spec(), tuple(rows((B,)))))._heads[2] != "GPU"


def test_every_place_that_shows_the_front_says_that_it_mixes_models() -> None:
    figure = front_figure(spec(), rows(), [1, 2])
    assert "GPUs of different models" in figure.to_json()
    symbols = {symbol for trace in figure.data for symbol in trace.marker.symbol or () if not isinstance(symbol, str)}
    symbols |= {each for trace in figure.data if trace.mode == "markers" for each in trace.marker.symbol}
    assert {"circle", "diamond"} <= symbols
    assert f"16 on {A}" in study_note(spec(), ["one"], mixed=format_mixed(rows()))
    table = trial_table(StudySnapshot(spec(), tuple(rows())))
    assert table._heads[2] == "GPU"


def test_idle_power_is_that_of_the_board_and_not_of_the_model(tmp_path: Path) -> None:
    store, measured = IdleStore(tmp_path / "idle.json"), iter((70.0, 36.0))
    found = [
        find_idle(None, uuid, EnergySpec(), store=store, measure=lambda _: next(measured)).idle_w  # type: ignore[arg-type]
        for uuid in ("GPU-one", "GPU-other", "GPU-one")
    ]
    assert found == [70.0, 36.0, 70.0]


def test_the_report_marks_the_trials_of_other_models_on_the_front() -> None:
    paper, one_model = made_rows(40)
    mixed = [{**row, "gpu_uuid": "GPU", "gpu_name": A if row["trial"] % 3 else B} for row in one_model]
    front, plain = (pareto_front(ReportData(analyse(paper, rows), (), 40)) for rows in (mixed, one_model))
    assert isinstance(front, Drawing)
    assert isinstance(plain, Drawing)
    assert "different models" in front.caption
    assert "different models" not in plain.caption
    assert len(front.figure.axes[0].collections) == len(plain.figure.axes[0].collections) + 1


def test_the_live_view_names_the_model_of_each_trial_on_a_mixed_front(tmp_path: Path) -> None:
    written = Written(tmp_path, paper_like(6), {"gpu 0": H100, "gpu 1": replace(H100, name=A, gpu="GPU-1")})
    for number in range(4):
        written.completes(f"gpu {number % 2}")
    model = StudyModel(written.spec)
    model.apply(StudyReader(written.folder, written.folder.default_storage).read())
    text = _front_lines(model, 120).plain
    assert "2 on NVIDIA A100" in text.splitlines()[0]
    assert all(line.endswith((A, H100.name)) for line in text.splitlines()[1:])
