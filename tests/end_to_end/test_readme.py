"""The examples of README and the pages, taken from there and run as they stand there."""

import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.end_to_end.conftest import Bench
from tests.pages import block

pytestmark = pytest.mark.end_to_end


def printed(code: str, bench: Bench) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=bench.folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_function_of_ones_own_is_studied(bench: Bench) -> None:
    (bench.folder / "mine.py").write_text(block("python", "MLPClassifier"))
    (bench.folder / "mine.toml").write_text(block("toml", "mine:train"))
    done = bench.run("run", "mine.toml", "--plain", timeout_s=300)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = bench.rows("mine")
    assert [row["state"] for row in rows] == ["complete"] * 4
    assert "width 128 · alpha " in done.stdout
    for row in rows:
        assert row["accuracy"] > 0.6
        assert row["epochs_done"] == 20
        assert row["energy_wh"] > 0
        assert row["total_wh"] > row["energy_wh"]
        assert row["wh_per_epoch"] == pytest.approx(row["energy_wh"] / 20, rel=1e-6)
        assert "optimizer" not in row
    assert bench.run("run", "mine.toml", "--dry-run").stdout.count("width") == 1
    again = bench.run("run", "mine.toml", "--plain")
    assert again.returncode == 0
    assert len(bench.rows("mine")) == 4


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mine:train", "nowhere:train", "study.objective: nowhere:train: there is no module nowhere in "),
        ("width = [32, 128]", "seconds = [32, 128]", "space.seconds: is also the name of a trial metric"),
    ],
)
def test_what_is_wrong_with_it_is_said_before_anything_runs(bench: Bench, old: str, new: str, message: str) -> None:
    (bench.folder / "mine.py").write_text(block("python", "MLPClassifier"))
    (bench.folder / "mine.toml").write_text(block("toml", "mine:train").replace(old, new))
    done = bench.run("run", "mine.toml", "--plain")
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (bench.folder / "runs").exists()


def test_the_meter_by_itself(bench: Bench) -> None:
    part, whole = (line.split()[0] for line in printed(block("python", "as whole"), bench).splitlines())
    assert 0 < float(part) < float(whole)


def test_the_callback(bench: Bench) -> None:
    total, *epochs = (
        float(text) for text in re.findall(r"[\d.e-]+", printed(block("python", "EnergyCallback"), bench))
    )
    assert len(epochs) == 3
    assert sum(epochs) == pytest.approx(total, rel=1e-9)


def test_images_and_a_model_of_ones_own_are_studied(bench: Bench) -> None:
    """The tutorial's two examples together; fewer trials and epochs, since they are trained."""
    random = np.random.default_rng(22)
    for label, name in enumerate(("cat", "dog")):
        folder = bench.folder / "photos" / name
        folder.mkdir(parents=True)
        for number in range(80):
            pixels = random.integers(0, 128, (40, 48, 3), dtype=np.uint8) + np.uint8(127 * label)
            Image.fromarray(pixels).save(folder / f"{number:03d}.jpg")
    assert printed(block("python", "photos.npz"), bench) == "160 images of 2 classes: ['cat', 'dog']\n"
    (bench.folder / "mymodel.py").write_text(block("python", "def build("))
    model = re.findall(r"model = .*", block("toml", 'mymodel:build"\nepochs = 10'))[0]
    study = block("toml", "photos.npz").replace('model = "ResNet50"', model)
    study = study.replace("trials = 8", "trials = 2").replace("epochs = 10", "epochs = 2")
    (bench.folder / "photos.toml").write_text(study)
    assert "2 trials" in bench.run("run", "photos.toml", "--dry-run").stdout
    done = bench.run("run", "photos.toml", "--plain", timeout_s=300)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = bench.rows("photos")
    assert [row["state"] for row in rows] == ["complete"] * 2
    assert all(0 <= row["accuracy"] <= 1 and row["energy_wh"] > 0 for row in rows)


def test_a_score_of_ones_own_stands_for_accuracy(bench: Bench) -> None:
    (bench.folder / "score.py").write_text(block("python", 'trial.params["c"], max_iter'))
    (bench.folder / "score.toml").write_text(
        '[study]\ntrials = 1\nobjective = "score:train"\n[space]\nc = [1.0]\n' + block("toml", 'total_wh = "minimize"')
    )
    done = bench.run("run", "score.toml", "--plain")
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = bench.rows("score")
    assert 0.8 < row["accuracy"] <= 1
    assert row["total_wh"] > row["energy_wh"] > 0


def test_texts_are_classified_by_f1_and_latency(bench: Bench) -> None:
    """The example as it stands, but for the number of trials."""
    (bench.folder / "tickets.py").write_text(block("python", "TICKETS"))
    (bench.folder / "tickets.toml").write_text(
        block("toml", "tickets:train").replace("trials = 12", "trials = 1\nbaseline = true")
    )
    assert "1 trials" in bench.run("run", "tickets.toml", "--dry-run").stdout
    done = bench.run("run", "tickets.toml", "--plain")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = bench.rows("tickets")
    assert [row["state"] for row in rows] == ["complete"]
    assert all(0.3 < row["f1_macro"] <= 1 and row["latency_ms"] > 0 and row["energy_wh"] > 0 for row in rows)
