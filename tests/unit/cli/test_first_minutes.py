"""The first ten minutes: a version, completion, a first study file, the studies that come along."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from greenopt import __version__
from greenopt.cli.options import known_studies
from greenopt.cli.output import COMMAND_VARIABLE, as_called
from greenopt.shipped import shipped_studies
from greenopt.spec import Choice, load_study
from greenopt.spec.starter import CHOICES
from tests.fuzzing.judge import Verdict, judged

ROOT = Path(__file__).resolve().parents[3]


def test_version_and_short_help(tmp_path: Path) -> None:
    assert judged(["--version"], tmp_path).out == f"greenopt {__version__}\n"
    assert judged(["-h"], tmp_path).out == judged(["--help"], tmp_path).out
    assert "Usage: greenopt run" in judged(["run", "-h"], tmp_path).out


def completed(words: str, folder: Path) -> list[str]:
    """What a bash would offer for a line."""
    variables = {"_GREENOPT_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [sys.executable, "-m", "greenopt"], cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True
    )
    return done.stdout.split()


def test_names_of_studies_complete(tmp_path: Path) -> None:
    for name in ("paper", "paper-2", "other"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "study.json").write_text("{}")
    (tmp_path / "mine.toml").write_text("")
    assert completed("greenopt analyze pa", tmp_path) == ["paper", "paper-2"]
    assert completed("greenopt run mi", tmp_path) == ["mine.toml"]
    assert completed("greenopt run quick", tmp_path) == ["quickstart"]


def test_studies_complete_from_the_folder_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "study.json").write_text("{}")
    context = SimpleNamespace(params={"runs": tmp_path})
    assert known_studies(context, "") == ["a"]  # type: ignore[arg-type]


def test_the_studies_that_come_along_are_those_of_the_source_tree() -> None:
    expected = {file.stem: file.read_bytes() for file in (ROOT / "studies").glob("*.toml")}
    assert {name: file.read_bytes() for name, file in shipped_studies().items()} == expected
    assert "quickstart" in expected


def test_a_study_that_comes_along_runs_by_its_name_anywhere(tmp_path: Path) -> None:
    ended = judged(["run", "quickstart", "--gpus", "none", "--dry-run"], tmp_path, is_dry=True)
    assert ended.verdict is Verdict.ACCEPTED
    assert ended.out.startswith("study      quickstart: ")
    (tmp_path / "quickstart").write_text("not a study")
    assert judged(["run", "quickstart"], tmp_path).verdict is Verdict.REFUSED, "a file of that name comes first"


def test_a_first_study_file_runs_and_says_what_it_varies(tmp_path: Path) -> None:
    options = ["--data", "synthetic", "--model", "MobileNetV2", "--vary", "lr,batch_size", "--vary", "augmentation"]
    assert judged(["init", *options, "--trials", "5", "--epochs", "2"], tmp_path).verdict is Verdict.ACCEPTED
    spec = load_study(tmp_path / "study.toml")
    assert (spec.study.trials, spec.training.epochs, spec.training.model) == (5, 2, "MobileNetV2")
    assert set(spec.space.free) == {"batch_size", "lr", "augmentation"}
    assert judged(["run", "study.toml", "--gpus", "none", "--dry-run"], tmp_path).verdict is Verdict.ACCEPTED


def test_a_few_images_of_ones_own_get_batches_that_they_fill(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "few.npz",
        x=np.random.default_rng(0).integers(0, 256, (60, 32, 32, 3), np.uint8),
        y=np.arange(60) % 2,
    )
    for vary, wanted in (("lr,batch_size", (8, 16, 32)), ("lr", (32,))):
        options = ["init", "--path", "few.npz", "--vary", vary, "--force"]
        assert judged(options, tmp_path).verdict is Verdict.ACCEPTED
        # The training part of 60-20-20 has 36 images.
        assert load_study(tmp_path / "study.toml").space.distributions["batch_size"] == Choice(values=wanted)


def write_photos(folder: Path, sides: tuple[int, ...], count: int) -> None:
    for name in ("cats", "dogs"):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            side = sides[index % len(sides)]
            Image.new("RGB", (side, side + index % 2), (index, 9, 9)).save(folder / name / f"{index}.png")


@pytest.mark.parametrize("sides", [(300, 200, 640), (16,)])
def test_photos_of_different_sizes_are_scaled_and_the_file_says_to_what(tmp_path: Path, sides: tuple[int, ...]) -> None:
    write_photos(tmp_path / "photos", sides, 20)
    ended = judged(["init", "--path", "photos", "--model", "MobileNetV2"], tmp_path)
    assert ended.verdict is Verdict.ACCEPTED, ended.err
    assert "all images are scaled to 96x96" in ended.out
    spec = load_study(tmp_path / "study.toml")
    assert spec.data is not None
    assert spec.data.image_size == 96
    assert spec.space.distributions["batch_size"] == Choice(values=(4, 8, 16))
    assert judged(["run", "study.toml", "--gpus", "none", "--dry-run"], tmp_path).verdict is Verdict.ACCEPTED


def test_images_too_small_for_the_model_are_scaled_to_what_it_needs(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (400, 16, 16, 3), np.uint8)
    np.savez(tmp_path / "small.npz", x=images, y=np.arange(400) % 2)
    assert judged(["init", "--path", "small.npz"], tmp_path).verdict is Verdict.ACCEPTED
    spec = load_study(tmp_path / "study.toml")
    assert spec.data is not None
    assert spec.data.image_size == 32


def test_the_size_of_images_may_be_named(tmp_path: Path) -> None:
    assert judged(["init", "--data", "digits", "--image-size", "48"], tmp_path).verdict is Verdict.ACCEPTED
    spec = load_study(tmp_path / "study.toml")
    assert spec.data is not None
    assert spec.data.image_size == 48


@pytest.mark.parametrize("name", list(CHOICES))
def test_whatever_is_known_may_vary(tmp_path: Path, name: str) -> None:
    vary = "optimizer,optimizer_momentum" if name == "optimizer_momentum" else name
    ended = judged(["init", "--data", "digits", "--vary", vary], tmp_path)
    assert ended.verdict is Verdict.ACCEPTED, ended.err
    assert name in load_study(tmp_path / "study.toml").space.free


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--vary", "batchsize"], "--vary 'batchsize': unknown parameter; did you mean batch_size?"),
        (["--data", "digits", "--output", "my file.toml"], "study.name: 'my file'"),
        (["--data", "digits", "--image-size", "8"], "ResNet50 needs images of at least 32x32"),
        (["--vary", ""], "--vary: name at least one parameter"),
        (["--data", "cifar"], "did you mean cifar10?"),
        (["--model", "mine:build"], "there is no module mine"),
        (["--path", "nowhere.npz"], "data.path: "),
        (["--data", 'a"\nb'], "data.name: "),
        (["--output", "no/x.toml", "--data", "digits"], "there is no folder no"),
    ],
)
def test_a_first_study_file_that_would_not_run_is_not_written(tmp_path: Path, options: list[str], message: str) -> None:
    ended = judged(["init", *options], tmp_path)
    assert (ended.verdict, ended.changed) == (Verdict.REFUSED, ())
    assert message in ended.err


def test_a_study_file_is_written_over_by_force_alone(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text("precious")
    assert "is there already" in judged(["init", "--data", "digits"], tmp_path).err
    assert (tmp_path / "study.toml").read_text() == "precious"
    assert judged(["init", "--data", "digits", "--force"], tmp_path).verdict is Verdict.ACCEPTED


def test_commands_are_printed_as_the_shell_calls_them(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "next: greenopt analyze x  ·  `greenopt list` shows all; greenopt: no; /a/greenopt run"
    assert as_called(text) == text
    monkeypatch.setenv(COMMAND_VARIABLE, ".venv/bin/greenopt")
    assert as_called(text) == (
        "next: .venv/bin/greenopt analyze x  ·  `.venv/bin/greenopt list` shows all; greenopt: no; /a/greenopt run"
    )
