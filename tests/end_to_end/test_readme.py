"""README's examples, taken from README and run as they stand there."""

import re
import subprocess
import sys

import pytest

from tests.end_to_end.conftest import ROOT, Bench

pytestmark = pytest.mark.end_to_end


def block(language: str, holding: str) -> str:
    """The one code block of a language that holds a text."""
    blocks = re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (found,) = [text for text in blocks if holding in text]
    return str(found)


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
        ("width = [32, 128]", "seconds = [32, 128]", "space.seconds: is the name of a figure of every trial"),
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
