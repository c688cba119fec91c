"""Whole reports of studies that ran well, badly or not at all."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pypdf
import pytest

from greenopt.confirmation import confirming_study, pick_trial
from greenopt.events import ConfusionCounted, TrialPrepared
from greenopt.report.build import Format, build_report
from greenopt.report.figures.confusion import confusion_matrix
from greenopt.report.inputs import drawn_trials, read_report_inputs
from greenopt.report.report_data import CURVES_DRAWN
from greenopt.report.sections import method
from greenopt.runs.folder import RunFolder
from greenopt.search import open_storage, read_study
from greenopt.spec import TrialSpec
from tests.fakes import Script, fails
from tests.unit.report.studies import diverges, learns, made_report_data, run_study


def report(folder: RunFolder, file_format: Format = Format.PDF) -> str:
    """All words of a report, without white space in the PDF's case."""
    made = build_report(folder, folder.path / f"report.{file_format}", file_format)
    content = made.report.read_bytes()
    assert not list(folder.path.glob("*.part"))
    if file_format is Format.HTML:
        return content.decode()
    return "".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(content)).pages)


def has(text: str, words: str) -> bool:
    return re.sub(r"\s+", "", words) in re.sub(r"\s+", "", text)


def test_a_report_says_first_what_the_study_came_to(tmp_path: Path) -> None:
    folder, spec = run_study(tmp_path, learns, 4)
    text = report(folder)
    summary = text[: text.index("The winner")]
    assert has(summary, "4 of 4 trials completed")
    best = max(read_study(spec.name, open_storage(folder.default_storage)).rows, key=lambda row: row["accuracy"])
    assert has(summary, f"The most accurate is trial {best['trial']}: accuracy {best['accuracy']:.3f}")
    for words in ("Method", "Measured environment", "Trials", "Settings", "Limits", "abc123", "sampler 7, split 7"):
        assert has(text, words)
    assert {path.suffix for path in (folder.path / "figures").iterdir()} == {".png", ".svg"}
    assert (folder.path / "figures" / "pareto-front.svg").exists()


@pytest.mark.parametrize(
    ("script", "trials", "words"),
    [
        (learns, 0, ["This study has no trials yet; there is nothing to report", "Limits", "Method"]),
        (learns, 1, ["There is one completed trial: nothing can be compared", "The winner"]),
        (fails("crash"), 3, ["None of the study's 3 trials completed", "crash", "As scripted.", "1.20 Wh"]),
        (diverges, 2, ["None of the study's 2 trials completed", "stopped early", "The loss was not finite."]),
    ],
)
@pytest.mark.parametrize("file_format", list(Format))
def test_a_study_with_little_to_say_gets_a_report_that_says_so(
    tmp_path: Path, script: Script, trials: int, words: list[str], file_format: Format
) -> None:
    folder, _ = run_study(tmp_path, script, trials)
    text = report(folder, file_format).replace("&#39;", "'")
    for each in words:
        assert has(text, each), each


def test_a_name_and_a_description_cannot_break_out(tmp_path: Path) -> None:
    nasty = '#panic("x") $y$ *b* \\ <script>alert(1)</script>'
    folder, _ = run_study(tmp_path, learns, 2, study={"trials": 2, "description": nasty})
    assert has(report(folder), nasty)
    page = report(folder, Format.HTML)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_confirmation_is_part_of_the_report(tmp_path: Path) -> None:
    folder, spec = run_study(tmp_path, learns, 4)
    snapshot = read_study(spec.name, open_storage(folder.default_storage))
    picked = pick_trial(snapshot, "accuracy")
    assert not has(report(folder), "Confirmation of trial")
    run_study(tmp_path, learns, 3, spec=confirming_study(spec, picked, 2, 3))
    text = report(folder)
    assert has(text, f"Confirmation of trial {picked.trial}")
    assert has(text, "was trained again with 3 other seeds")
    assert has(text, "The win ")
    assert not has(text, "It has not been confirmed")


def classifies(spec: TrialSpec) -> list[Any]:
    """A trial that says which class it took for which."""
    *events, last, process = learns(spec)
    names, counts = ("cat", "dog <b>", "emu"), ((8, 2, 0), (5, 5, 0), (0, 0, 10))
    return [*events, ConfusionCounted(t_s=30, class_names=names, counts=counts), last, process]


def test_the_best_trial_says_which_classes_it_took_for_which(tmp_path: Path) -> None:
    folder, _ = run_study(tmp_path, classifies, 3)
    (folder.path / "figures").mkdir()
    (folder.path / "figures" / "confusion-99.svg").write_bytes(b"old")
    text = report(folder, Format.HTML).replace("&lt;", "<").replace("&gt;", ">")
    assert has(text, "30 images of the test part")
    assert has(text, "Most frequent: dog <b> taken for cat (5 of 10), cat taken for dog <b> (2 of 10).")
    drawn, courses = (
        {file.stem.partition("-")[2] for file in (folder.path / "figures").glob(f"{name}-*.svg")}
        for name in ("confusion", "course")
    )
    assert drawn == courses
    assert drawn


def test_classes_own_parts_and_files_that_were_left_out_are_in_the_environment(tmp_path: Path) -> None:
    facts = {"class_names": "cat, dog", "own_parts": "test", "left_out": "1 that are no images (x.txt)"}

    def tells(spec: TrialSpec) -> list[Any]:
        first, *others = learns(spec)
        return [first, TrialPrepared(t_s=5, steps_per_epoch=3, facts={**facts, "weights_loaded": None}), *others]

    folder, _ = run_study(tmp_path, tells, 2)
    rows = dict(method._software(read_report_inputs(folder)))
    assert rows["classes"] == "cat, dog"
    assert rows["parts that the data give"] == "test"
    assert rows["files left out"] == facts["left_out"]
    assert "begun with weights of" not in rows


@pytest.mark.parametrize("classes", [2, 30, 200])
def test_a_confusion_of_any_number_of_classes_can_be_drawn(classes: int) -> None:
    names, counts = tuple(f"class {at}" for at in range(classes)), np.eye(classes, dtype=int).tolist()
    drawing = confusion_matrix(3, ConfusionCounted(t_s=1, class_names=names, counts=counts))
    assert drawing.slug == "confusion-3"
    assert "None was taken for another class." in drawing.caption
    drawing.figure.canvas.draw()


def test_figures_of_an_earlier_report_go_when_there_is_nothing_to_draw(tmp_path: Path) -> None:
    folder, _ = run_study(tmp_path, learns, 0)
    figures = folder.path / "figures"
    figures.mkdir()
    for name in ("pareto-front.png", "course-7.svg", "mine.txt"):
        (figures / name).write_bytes(b"old")
    report(folder)
    assert [path.name for path in figures.iterdir()] == ["mine.txt"]


def test_an_old_report_stays_when_the_new_one_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = run_study(tmp_path, learns, 1)
    target = folder.path / "report.pdf"
    target.write_bytes(b"old")

    def fail(*_: Any) -> bytes:
        raise RuntimeError

    monkeypatch.setattr("greenopt.report.build.pdf", fail)
    with pytest.raises(RuntimeError):
        build_report(folder, target, Format.PDF)
    assert target.read_bytes() == b"old"


def test_the_environment_is_what_trials_said(tmp_path: Path) -> None:
    folder, _ = run_study(tmp_path, learns, 2)
    inputs = read_report_inputs(folder)
    assert inputs.environment.hosts == ("here",)
    assert (inputs.environment.asked, inputs.environment.answered) == (2, 2)
    assert inputs.code == {"greenopt": "9.9", "git": "abc123"}
    assert inputs.environment.drivers == ()


def test_of_many_trainings_the_best_and_a_sample_are_drawn() -> None:
    analysis = made_report_data(1500).analysis
    ran = list(range(1500))
    chosen = drawn_trials(analysis, ran)
    assert len(chosen) == len(set(chosen)) == CURVES_DRAWN
    assert {one.trial for one in analysis.pareto} <= set(chosen)
    assert {one.trial for best in analysis.ranking.values() for one in best} <= set(chosen)
    assert drawn_trials(analysis, ran) == chosen
    assert drawn_trials(analysis, ran[:100]) == ran[:100]
