"""`greenopt confirm` on a study that the real command has run."""

import json

import pytest

from tests.end_to_end.conftest import Bench

pytestmark = pytest.mark.end_to_end


def test_the_best_trial_is_trained_again_and_judged(bench: Bench) -> None:
    assert bench.run("run", "tiny.toml", "--plain").returncode == 0
    before = bench.rows()
    dry = bench.run("confirm", "tiny", "--pick", "accuracy", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "3 trials x 2 epochs" in dry.stdout
    assert [path.name for path in (bench.folder / "runs").iterdir()] == ["tiny"]

    best = max(before, key=lambda row: row["accuracy"])
    name = f"tiny-confirm-{best['trial']}"
    done = bench.run("confirm", "tiny", "--pick", "accuracy", "--seeds", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert any(word in done.stdout for word in ("The win held: ", "The win did not hold: ", "Open: no verdict: "))
    again = bench.rows(name)
    assert [row["state"] for row in again] == ["complete", "complete"]
    assert {row["batch_size"] for row in again} == {best["batch_size"]}
    assert len({row["training_seed"] for row in again} | {best["training_seed"]}) == 3
    for row in again:
        folder = bench.run_folder(name).trial(row["trial"])
        about = json.loads((folder / "model.json").read_text())
        assert about["model.int8.tflite"]["validation_accuracy"] > 0
        assert f"model: {folder / 'model.keras'}" in done.stdout
    assert bench.rows() == before

    shown_again = bench.run("confirm", "tiny", "--pick", "accuracy", "--seeds", "2")
    assert shown_again.returncode == 0
    assert len(bench.rows(name)) == 2
    verdict = next(line for line in done.stdout.splitlines() if line.startswith(("The win", "Open")))
    assert verdict in shown_again.stdout

    changed = bench.run("confirm", "tiny", "--pick", "accuracy", "--epochs", "3")
    assert changed.returncode == 2
    assert f"training.epochs: 3: study {name} was begun with 2" in changed.stderr


def test_a_study_without_a_result_has_nothing_to_confirm(bench: Bench) -> None:
    assert "no study here" in bench.run("confirm", "tiny").stderr
    bench.write_study(2, **{"[1e-2, 1e-3]": "1e30"})  # diverges
    assert bench.run("run", "tiny.toml", "--plain", "--trials", "1").returncode == 4
    done = bench.run("confirm", "tiny")
    assert done.returncode == 2
    assert "study tiny: no completed trial has a measured efficiency; nothing to confirm" in done.stderr
