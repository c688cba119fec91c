"""The paper's layout: its energies and power draw to the digit; what is broken is named and skipped."""

from pathlib import Path

import pytest

from greenopt.errors import UsageError
from greenopt.events import EpochEnded, Outcome, PowerSampled
from greenopt.exchange import read_import
from greenopt.reading import EnergySource
from greenopt.summary import summarise
from tests.paper_layout import log_lines, write_log, write_run


def test_a_runs_figures_are_the_papers(tmp_path: Path) -> None:
    write_run(tmp_path / "002")
    (trial,) = read_import(tmp_path, "paper").trials
    summary = summarise(trial.events)
    assert trial.run == "002"
    assert trial.values["augmentation"] == trial.values["internal"] == "none"
    assert summary.energy.energy_wh == pytest.approx(3.0)
    assert summary.energy.source is EnergySource.NVIDIA_SMI_SNAPSHOT
    assert summary.total.energy_wh == pytest.approx(3.125)
    assert summary.accuracy == 0.6
    assert trial.metrics["wh_per_epoch"] == pytest.approx(3.125 / 4)
    assert trial.metrics["efficiency"] == pytest.approx(0.6 / (3.125 / 4))


def test_epochs_keep_their_curves_and_what_is_not_a_number_is_null(tmp_path: Path) -> None:
    write_run(tmp_path / "002")
    (trial,) = read_import(tmp_path, "paper").trials
    epochs = [event for event in trial.events if isinstance(event, EpochEnded)]
    assert [(epoch.epoch, epoch.epochs, epoch.val_accuracy) for epoch in epochs] == [
        (1, 3, 0.3),
        (2, 3, 0.3),
        (3, 3, 0.6),
    ]
    assert all(epoch.val_loss is None and epoch.lr is None and epoch.energy.counter_wh is None for epoch in epochs)
    samples = [event for event in trial.events if isinstance(event, PowerSampled)]
    assert samples[1].utilisation == 0.17


def test_runs_that_did_not_end_are_kept_apart(tmp_path: Path) -> None:
    for name in ("001", "002", "003"):
        write_run(tmp_path / name)
    write_run(tmp_path / "004", post=False)
    write_run(tmp_path / "005", epochs=1)
    write_run(tmp_path / "006", accuracy=float("nan"))
    imported = read_import(tmp_path, "paper")
    ends = {trial.run: (trial.verdict.outcome, trial.verdict.reason) for trial in imported.trials}
    assert ends["003"][0] is Outcome.COMPLETED
    assert ends["004"] == (Outcome.FAILED, "interrupted")
    assert ends["005"] == (Outcome.DIVERGED, "ended_early")
    assert ends["006"] == (Outcome.DIVERGED, "diverged")
    assert imported.spec.training.epochs == 3


BROKEN = {
    "no log": (None, "logs.csv is missing"),
    "empty": ([], "logs.csv does not begin with a row `pre`"),
    "no pre": (log_lines(3)[:1] + log_lines(3)[2:], "does not begin with a row `pre`"),
    "cut off": ([*log_lines(3)[:3], "1,2023-02-25 14:4"], "line 4: "),
    "power": ([*log_lines(1)[:2], log_lines(1)[2].replace("100.0", "-1.0")], "gpu_power_W is -1.0"),
    "time": ([*log_lines(1)[:2], log_lines(1)[2].replace("2023", "2022")], "its time is before"),
    "epoch": ([*log_lines(3)[:3], log_lines(3)[4]], "line 4: epoch 2 follows 0"),
    "column": ([line.rsplit(",", 1)[0] for line in log_lines(1)], "the column gpu_util_% is missing"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_log_is_named_and_skipped(tmp_path: Path, case: str) -> None:
    lines, message = BROKEN[case]
    write_run(tmp_path / "001")
    broken = write_run(tmp_path / "002")
    if lines is None:
        (broken / "logs.csv").unlink()
    else:
        write_log(broken, lines)
    imported = read_import(tmp_path, "paper")
    assert [trial.run for trial in imported.trials] == ["001"]
    assert list(imported.skipped) == [str(broken)]
    assert message in imported.skipped[str(broken)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "parameters.yaml cannot be read"),
        ("nothing", "is not a list of `parameter: value`"),
        ("batch_size: 4", "parameters.yaml has no preprocessing, augmentation"),
    ],
)
def test_broken_parameters_are_named_and_skipped(tmp_path: Path, text: str, message: str) -> None:
    write_run(tmp_path / "001")
    (write_run(tmp_path / "002") / "parameters.yaml").write_text(text, encoding="utf-8")
    assert message in read_import(tmp_path, "paper").skipped[str(tmp_path / "002")]


def test_a_value_that_does_not_exist_is_broken_and_one_outside_the_space_is_not(tmp_path: Path) -> None:
    write_run(tmp_path / "001", batch_size="1")
    write_run(tmp_path / "002", optimizer="Lion")
    imported = read_import(tmp_path, "paper")
    assert imported.outside_space() == {"001": ("batch_size", 1)}
    assert "optimizer: 'Lion'" in imported.skipped[str(tmp_path / "002")]


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run in it"):
        read_import(tmp_path, "paper")


def test_a_folder_of_broken_runs_alone_is_refused(tmp_path: Path) -> None:
    write_log(write_run(tmp_path / "001"), [])
    with pytest.raises(UsageError, match=r"nothing in it can be imported \(1 broken\)"):
        read_import(tmp_path, "paper")
