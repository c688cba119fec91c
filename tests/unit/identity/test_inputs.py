"""Fingerprints of code and data: what changes them, what does not, and what happens to a study then."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenopt.analysis.analyse import analyse
from greenopt.coordination.coordinator import Coordinator
from greenopt.errors import UsageError
from greenopt.identity.device import Device, DeviceKind, check_device, device_of_trials
from greenopt.identity.digests import DataDigests, code_digest
from greenopt.identity.inputs import check_inputs
from greenopt.identity.sources import is_there, local_sources
from greenopt.runs.study_log import StudyEnd
from greenopt.spec import StudySpec
from tests.builders import study
from tests.fakes import FakeEngine, completes
from tests.unit.identity.test_start import Runs

MAIN = """
from lib import net
import json
from . import absent

def run(trial):
    import late
    return net.top(trial)
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    (folder / "lib" / "inner").mkdir(parents=True)
    (folder / "train.py").write_text(MAIN)
    (folder / "late.py").write_text("x = 1\n")
    (folder / "unused.py").write_text("x = 1\n")
    (folder / "lib" / "__init__.py").write_text('"""A library."""\n')
    (folder / "lib" / "net.py").write_text("from .inner.deep import depth\n\ndef top(x):\n    return x + depth\n")
    (folder / "lib" / "inner" / "__init__.py").touch()
    (folder / "lib" / "inner" / "deep.py").write_text("depth = 3\n")
    return folder


def own(code: Path, **rest: Any) -> StudySpec:
    table = {"name": "tried", "trials": 2, "objective": "train:run", **rest}
    return StudySpec.model_validate(
        {"study": table, "space": {"x": [1, 2, 3, 4]}, "modules_folder": str(code), "training": {"epochs": 2}}
    )


def images(code: Path, **rest: Any) -> StudySpec:
    data = {"name": "npz", "path": str(code / "d.npz"), "images": None, "classes": None}
    return study(data=data, study={"trials": 2, **rest})


def test_a_modules_sources_are_those_that_it_imports_from_where_it_lies(code: Path) -> None:
    found = [source.module for source in local_sources("train", str(code))]
    assert found == ["late", "lib", "lib.inner", "lib.inner.deep", "lib.net", "train"]


def test_installed_and_standard_modules_are_no_part_of_the_code(code: Path) -> None:
    (code / "train.py").write_text("import json, numpy, tensorflow\nimport greenopt.spec\n")
    assert [source.module for source in local_sources("train", str(code))] == ["train"]


def test_modules_that_can_be_found_and_that_cannot(code: Path) -> None:
    assert all(is_there(module, str(code)) for module in ("train", "lib.net", "lib.inner.deep", "json", "numpy"))
    assert not any(is_there(module, str(code)) for module in ("absent", "lib.absent", "train.x"))


@pytest.mark.parametrize(
    ("text", "is_same"),
    [
        ("# a comment\ndef top(x):\n\n    return (x+1)  # here\n", True),
        ('"""Words."""\ndef top(x):\n    """More."""\n    return x + 1\n', True),
        ("def top(x):\n    return x + 2\n", False),
        ("def top(x):\n    return x + 1.0\n", False),
        ("def top(x):\n    return x + True\n", False),
        ("def top(x, y=1):\n    return x + 1\n", False),
        ("def top(x)\n    return x + 1\n", False),
    ],
)
def test_what_code_does_is_in_its_digest_and_how_it_is_written_is_not(tmp_path: Path, text: str, is_same: bool) -> None:
    (tmp_path / "a.py").write_text("def top(x):\n    return x + 1\n")
    (tmp_path / "b.py").write_text(text)
    assert (code_digest(tmp_path / "a.py") == code_digest(tmp_path / "b.py")) is is_same


def test_data_are_told_apart_by_contents_whatever_their_time_and_place(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    one, other = tmp_path / "one.npz", tmp_path / "folder" / "other.npz"
    other.parent.mkdir()
    for file in (one, other):
        file.write_bytes(b"same")
    digests = DataDigests(kept)
    assert digests.of(one) == digests.of(other)
    other.write_bytes(b"emas")
    assert digests.of(one) != digests.of(other) != DataDigests(kept).of(tmp_path)
    assert digests.of(tmp_path / "absent") is None


def test_a_folder_of_data_is_its_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(b"x")
    before = DataDigests().of(tmp_path / "a")
    (tmp_path / "a" / "1.png").rename(tmp_path / "a" / "2.png")
    assert DataDigests().of(tmp_path / "a") != before


def test_a_file_is_read_once_as_long_as_it_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    from greenopt.identity import digests

    file = tmp_path / "d.npz"
    read: list[Path] = []
    file.write_bytes(b"data")
    os.utime(file, (1, 1))

    def digest(path: Path) -> str:
        read.append(path)
        return "digest"

    monkeypatch.setattr(digests, "_sha256", digest)
    for _ in range(2):
        known = DataDigests(tmp_path / "kept.json")
        assert [known.of(file) for _ in range(3)] == ["digest"] * 3
    assert len(read) == 1


def run(runs: Runs, spec: StudySpec, *, accepts: bool = False, script: Any = completes) -> StudyEnd:
    opened = runs.open(spec, accepts_changes=accepts)
    coordinator = Coordinator(opened.search.spec, opened.search, FakeEngine(script), runs.folder(), inputs=opened.guard)
    try:
        return coordinator.run()
    finally:
        opened.search.lease.release()


@pytest.mark.parametrize("file", ["train.py", "late.py", "lib/net.py", "lib/inner/deep.py"])
def test_code_that_changed_is_refused_by_its_name_unless_accepted_and_then_marked(
    code: Path, tmp_path: Path, file: str
) -> None:
    runs = Runs(tmp_path / "runs")
    run(runs, own(code))
    (code / "unused.py").write_text("x = 2\n")
    (code / file).write_text((code / file).read_text() + "# a comment\n")
    run(runs, own(code, trials=3))
    (code / file).write_text((code / file).read_text() + "y = 1\n")
    with pytest.raises(UsageError) as caught:
        run(runs, own(code, trials=4))
    assert f"module {file.removesuffix('.py').replace('/', '.')} changed since this study's trials ran" in str(
        caught.value
    )
    assert "--accept-changes" in str(caught.value)
    assert len(runs.rows()) == 3
    run(runs, own(code, trials=4), accepts=True)
    marks = [row["code_id"] for row in runs.rows()]
    assert marks[0] == marks[1] == marks[2] != marks[3]
    run(runs, own(code, trials=4))


def test_an_array_file_that_was_written_over_is_refused_unless_accepted(code: Path, tmp_path: Path) -> None:
    runs = Runs(tmp_path / "runs")
    np.savez(code / "d.npz", x=np.zeros((4, 8, 8, 3), np.uint8), y=np.arange(4))
    run(runs, images(code))
    (code / "d.npz").rename(code / "moved.npz")
    data = images(code).data
    assert data is not None
    moved = images(code).model_copy(update={"data": data.model_copy(update={"path": str(code / "moved.npz")})})
    run(runs, moved)
    np.savez(code / "d.npz", x=np.ones((4, 8, 8, 3), np.uint8), y=np.arange(4))
    with pytest.raises(UsageError, match="data npz changed since this study's trials ran"):
        run(runs, images(code, trials=3))
    run(runs, images(code, trials=3), accepts=True)
    assert len({row["data_id"] for row in runs.rows()}) == 2


def test_code_that_changes_while_the_study_runs_stops_it_before_the_next_trial(code: Path, tmp_path: Path) -> None:
    runs = Runs(tmp_path / "runs")

    def edits(spec: Any) -> list[Any]:
        (code / "late.py").write_text("x = 5\n")
        return completes(spec)

    assert run(runs, own(code, trials=4), script=edits) is StudyEnd.INPUTS_CHANGED
    assert [row["state"] for row in runs.rows()] == ["complete"]
    with pytest.raises(UsageError, match="module late changed"):
        run(runs, own(code, trials=4))
    assert run(runs, own(code, trials=4), accepts=True) is StudyEnd.DONE


def test_a_change_that_was_accepted_while_the_study_ran_is_none_later(code: Path, tmp_path: Path) -> None:
    runs = Runs(tmp_path / "runs")

    def edits(spec: Any) -> list[Any]:
        if spec.trial == 0:
            (code / "late.py").write_text("x = 5\n")
        return completes(spec)

    assert run(runs, own(code), accepts=True, script=edits) is StudyEnd.DONE
    assert len({row["code_id"] for row in runs.rows()}) == 2
    run(runs, own(code, trials=3))


def test_a_changed_trial_is_not_confirmed_as_if_it_were_the_same(code: Path, tmp_path: Path) -> None:
    runs = Runs(tmp_path / "runs")
    run(runs, own(code))
    row = runs.rows()[0]
    check_inputs(own(code), row, 0)
    (code / "late.py").write_text("x = 5\n")
    with pytest.raises(UsageError, match="the code changed since trial 0 ran"):
        check_inputs(own(code), row, 0)
    check_inputs(own(code), {**row, "code_id": None}, 0)


def test_analysis_says_which_trials_ran_with_what_and_marks_the_front(code: Path, tmp_path: Path) -> None:
    runs = Runs(tmp_path / "runs")
    run(runs, own(code))
    one = analyse(own(code), runs.rows())
    assert not any("other code" in note for note in one.footnotes)
    assert {ranked.version for ranked in one.pareto} == {None}
    (code / "late.py").write_text("x = 5\n")
    run(runs, own(code, trials=4), accepts=True)
    two = analyse(own(code), runs.rows())
    assert any(note.startswith("trials 0-1 ran with other code than 2-3") for note in two.footnotes)
    versions = {ranked.trial: ranked.version for table in two.ranking.values() for ranked in table}
    assert versions == {0: "A", 1: "A", 2: "B", 3: "B"}
    assert all(point.version for point in two.pareto)


GPU, H200 = Device(DeviceKind.GPU, ("H100",)), Device(DeviceKind.GPU, ("H200",))
RAPL, ESTIMATE = (Device.from_kept({"kind": "cpu", "gpus": [], "energy": energy}) for energy in ("rapl", "estimate"))


@pytest.mark.parametrize(("began", "now"), [(GPU, RAPL), (ESTIMATE, GPU), (GPU, H200), (RAPL, ESTIMATE)])
def test_a_study_does_not_go_on_on_another_kind_of_device_or_energy(began: Device, now: Device) -> None:
    with pytest.raises(UsageError, match="--accept-changes") as caught:
        check_device(began, now, "tried")
    assert len(str(caught.value)) <= 200
    for same in (began, None, Device(began.kind)):
        check_device(same, began, "tried")


def test_the_refusal_names_the_model_that_the_study_began_on() -> None:
    with pytest.raises(UsageError, match="--gpu-model 'H100' where there is one"):
        check_device(GPU, H200, "tried")
    mixed = Device(DeviceKind.GPU, ("H100", "H200"))
    check_device(mixed, H200, "tried")
    with pytest.raises(UsageError, match=r"began on a GPU \(H100\) and would go on on a GPU \(H100, H200\)"):
        check_device(GPU, mixed, "tried")


def test_the_device_of_trials_from_before_it_was_kept_is_read_from_them() -> None:
    row = {"energy_source": "nvml_counter", "gpu_uuid": "GPU-0", "gpu_name": "H100"}
    assert device_of_trials([row, {**row, "energy_source": None}]) == GPU
    assert device_of_trials([{"energy_source": "rapl"}]) == RAPL
    assert device_of_trials([{"energy_source": None}, {"energy_source": "nvidia_smi_snapshot"}]) is None
