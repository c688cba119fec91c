"""Notes say in words what the figures say in numbers, and invent nothing."""

import html
import re
from typing import Any

import pytest

from greenopt.dashboard.notes import study_note, trial_note
from greenopt.plain_text import printable
from greenopt.spec import StudySpec
from tests.builders import study

ROW: dict[str, Any] = {
    "trial": 3,
    "batch_size": 8,
    "lr": 0.1,
    "state": "complete",
    "accuracy": 0.885,
    "test_accuracy": 0.88,
    "energy_wh": 6.1,
    "energy_source": "nvml_counter",
    "uncertainty_wh": 0.018,
    "avg_power_w": 156.2,
    "seconds": 205.0,
    "efficiency": 6.164,
    "epochs_done": 2,
    "total_wh": 7.0,
    "total_source": "nvml_counter",
    "gpu_name": "NVIDIA H100",
    "host": "node7",
}


def test_a_completed_trial_in_words() -> None:
    note = trial_note(study(), {**ROW, "inert": "optimizer_momentum", "flags": "gap shared_gpu", "retry_of": 1})
    for words in (
        "**batch_size 8 · lr 0.1**",
        "Accuracy 0.885 (test 0.880) for 6.1 Wh in 3:25. Efficiency 6.16 1/Wh.",
        "- repeats trial 1, which was interrupted",
        "- without effect in this setting: optimizer_momentum",
        "- energy from nvml_counter, ± 0.018 Wh, 156 W on average",
        "- 7 Wh with the set-up",
        "- flags: gap, shared_gpu",
        "- on NVIDIA H100, node7",
    ):
        assert words in note


def test_every_estimated_energy_is_marked() -> None:
    estimated = {"energy_source": "estimate", "total_source": "estimate", "uncertainty_wh": None, "gpu_name": None}
    note = trial_note(study(energy={"country": "FR"}), {**ROW, **estimated})
    assert "for ~6.1 Wh est. in" in note
    assert "~7 Wh est. with the set-up, 0.392 g CO2e" in note
    assert note.count(" Wh") == note.count(" Wh est.")
    assert "~156 W est. on average" in note
    assert "±" not in note


def test_a_failed_trial_says_why_and_quotes_its_log() -> None:
    row = {**ROW, "state": "fail", "fail_reason": "crash", "message": "SIGSEGV: core dumped", "accuracy": None}
    log = "".join(f"line {n}\n" for n in range(40)) + "```\n# not a heading\n"
    note = trial_note(study(), row, log)
    assert "Failed, `crash`: SIGSEGV: core dumped." in note
    assert "- 6.1 Wh used in 2 finished epochs" in note
    quoted = note.partition("Its last lines:")[2].strip("\n").splitlines()
    assert quoted[-2:] == ["    ```", "    # not a heading"]
    assert all(line.startswith("    ") for line in quoted)
    assert len(quoted) == 15


def test_a_skipped_trial_has_no_log_and_no_figures() -> None:
    row = {"trial": 1, "batch_size": 8, "lr": 0.1, "state": "fail", "fail_reason": "duplicate", "epochs_done": None}
    note = trial_note(study(), {**row, "message": "same setting as trial 0"}, "a log of nobody")
    assert note.endswith("Failed, `duplicate`: same setting as trial 0.\n")


def test_a_trial_stopped_early() -> None:
    row = {**ROW, "state": "pruned", "stop_reason": "diverged", "message": "loss is not finite"}
    assert "Stopped early, `diverged`: loss is not finite." in trial_note(study(), row)


def test_an_energy_that_was_not_measured_has_its_reason() -> None:
    missing = {"energy_wh": None, "energy_source": None, "total_wh": None, "energy_missing": "no counter"}
    note = trial_note(study(), {**ROW, **missing, "efficiency": None})
    assert "for – in 3:25." in note
    assert "- energy not measured: no counter" in note


@pytest.mark.parametrize("machines", [[], ["NVIDIA H100 on node7", "CPU on node8"]])
def test_the_study_in_words(machines: list[str]) -> None:
    note = study_note(study(study={"description": "A | B\nof C", "on_duplicate": "replicate"}), machines)
    assert note.startswith("A | B\nof C\n\n| | |")
    for words in (
        "| objectives | maximize `accuracy`, minimize `energy_wh` |",
        "tests.unit.trial.tiny:build on synthetic, 2 epochs, split and training seeds 7 and 7",
        "| trials | 4, proposed by random, seed 7 |",
        "| parameters that vary | `batch_size`, `lr` |",
        "run with another training seed",
        f"| machine | {'; '.join(machines) or 'not known yet'} |",
        "How to read it",
    ):
        assert words in note
    assert "electricity" not in note
    assert "electricity | FR" in study_note(study(energy={"country": "FR"}), machines)


def test_a_function_of_ones_own_in_words() -> None:
    raw = {"study": {"name": "own", "trials": 1, "objective": "mine:train"}, "space": {"width": [1, 2]}}
    spec = StudySpec.model_validate(raw)
    assert "| trains | `mine:train`, 1 epoch |" in study_note(spec, [])
    row = {"trial": 0, "state": "complete", "accuracy": 0.5, "width": 2}
    assert trial_note(spec, row).startswith("**width 2**\n")


HOSTILE = [
    *("<img src=x onerror=alert(1)>", "[click](javascript:alert(1))", "![x](http://attacker/pixel)", "`code` **bold**"),
    *(
        "a | b | c",
        "# head",
        "$$x$$",
        "<script>alert(1)</script>",
        "&lt;b&gt;",
        "\x1b[31mred",
        "\u202eabc",
        "_a_ ~~b~~",
    ),
]


def rendered(markdown: str) -> str:
    from markdown_it import MarkdownIt

    return str(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown))


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_anybodys_text_is_shown_letter_by_letter(text: str) -> None:
    row = {**ROW, "state": "fail", "fail_reason": text, "message": text, "host": text, "gpu_name": text, "lr": text}
    spec = study()
    # A study file may not hold such a description; a storage of an earlier version may.
    described = spec.model_copy(update={"study": spec.study.model_copy(update={"description": text})})
    pages = [trial_note(spec, row, f"last {text}"), study_note(described, [text])]
    pages += [trial_note(study(), {**ROW, "state": "pruned", "stop_reason": text, "message": text, "flags": text})]
    for page in map(rendered, pages):
        for tag in ("<img", "<a ", "<script", "<del>", "<em>_", "<h1"):
            assert tag not in page.replace("<h3>", ""), page
        shown = html.unescape(re.sub(r"<[^>]+>", "", page))
        assert printable(" ".join(text.split())) in " ".join(shown.split())
        assert all(letter == "\n" or letter.isprintable() for letter in shown)
