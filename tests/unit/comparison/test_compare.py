"""Studies side by side: what equal settings came to, one reference for all, and what must not be compared."""

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pypdf
import pytest
from scipy import stats

from greenopt.cli import app
from greenopt.comparison import Comparison, build_comparison_document, compare_studies, read_compared
from greenopt.comparison.equal_settings import _estimate, _key
from greenopt.comparison.tables import comparison_tables, format_ratio, headline
from greenopt.errors import UsageError
from greenopt.events import MeterOpened
from greenopt.execution import ProcessEnded
from greenopt.pareto import hypervolume
from greenopt.reading import EnergySource
from greenopt.spec import StudySpec, TrialSpec
from tests.builders import ended, epoch, prepared_phases, reading, started
from tests.fakes import Script, fails
from tests.unit.report.studies import run_study


def script(energy: float = 1.0, accuracy: float = 0.0, gpu: str = "H100", source: EnergySource | None = None) -> Script:
    """Trials whose figures follow from their setting, times and plus what is given."""

    def run(spec: TrialSpec) -> list[Any]:
        lr, batch = float(spec.values["lr"]), float(spec.values["batch_size"])
        wh, reached = energy * (2 - math.log10(lr) + batch / 100), 0.5 + accuracy - lr - batch / 1000
        how = {"source": source} if source else {}
        each = reading(wh / 2).model_copy(update=how)
        begun = started(spec.trial).model_copy(update={"gpu_name": gpu or None, "gpu_uuid": "GPU-0"})
        opened = MeterOpened(t_s=0.1, device=gpu, source=source or EnergySource.NVML_COUNTER, idle_origin="made")
        last = ended(accuracy=reached, test_accuracy=reached, energy=reading(wh, 20.0).model_copy(update=how))
        epochs = [epoch(number, reached * number / 2, each) for number in (1, 2)]
        return [begun, opened, *prepared_phases(), *epochs, last, ProcessEnded(spec.trial, 0, None, "")]

    return run


def two(runs: Path, other: Script, trials: int = 12, **tables: Any) -> Comparison:
    run_study(runs, script(), trials, study={"name": "a", "trials": trials})
    run_study(runs, other, trials, study={"name": "b", "trials": trials, **tables.pop("study", {})}, **tables)
    return compare_studies(read_compared(["a", "b"], runs))


def test_equal_settings_are_compared_in_pairs_whatever_the_settings_do(tmp_path: Path) -> None:
    comparison = two(tmp_path, script(energy=0.8, accuracy=0.01))
    (found,) = comparison.differences
    assert found.settings >= 2
    assert found.accuracy is not None
    assert found.log_energy is not None
    assert math.exp(found.log_energy.mean) == pytest.approx(0.8)
    assert found.accuracy.mean == pytest.approx(0.01)
    # Settings differ by far more than 20 %, and yet the interval has no width: they cancel out.
    assert found.log_energy.low == pytest.approx(found.log_energy.high)
    assert any("energy -20 % (-20 % to -20 %), accuracy +0.010" in line for line in headline(comparison))
    assert comparison.cautions == ()


def test_the_interval_is_that_of_a_paired_t_test() -> None:
    first, other = np.random.default_rng(1).normal(size=(2, 9))
    found = _estimate(list(other - first))
    told = stats.ttest_rel(other, first).confidence_interval(0.95)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((told.low, told.high))
    assert _estimate([math.nan]) is None
    single = _estimate([0.5, math.nan])
    assert single is not None
    assert (single.n, single.low, single.high) == (1, None, None)
    assert format_ratio(single) == "+65 % (one pair: no interval)"


def test_values_are_equal_as_values_are() -> None:
    assert _key(1) == _key(1.0) == _key(np.int64(1)) == _key(np.float64(1))
    assert len({_key(1), _key(True), _key("1"), _key("True")}) == 4
    assert _key(0.1 + 0.2) == _key(0.3)


def test_hypervolumes_share_one_reference_which_is_told(tmp_path: Path) -> None:
    comparison = two(tmp_path, script(energy=3.0))
    energies_wh = [point.energy_wh for side in comparison.sides for point in side.points]
    assert comparison.least_energy_wh == pytest.approx(min(energies_wh))
    assert comparison.reference_energy_wh == pytest.approx(1.1 * max(energies_wh))
    for side in comparison.sides:
        assert side.hypervolume == pytest.approx(hypervolume(side.points, min(energies_wh), 1.1 * max(energies_wh)))
    assert any("1.1 x the most of any completed trial" in line for line in headline(comparison))


@pytest.mark.parametrize(
    ("other", "tables", "words"),
    [
        (script(gpu="A100"), {}, "energies do not compare, for the GPU differs (a: H100; b: A100)"),
        (
            script(source=EnergySource.NVML_POWER),
            {},
            "energies do not compare, for how energy was metered differs (a: nvml_counter; b: nvml_power)",
        ),
        (
            script(source=EnergySource.RAPL),
            {},
            "energies do not compare, for the kind of device differs (a: GPU; b: CPU)",
        ),
        (script(source=EnergySource.ESTIMATE), {}, "Energies of b are estimates from CPU time, not measurements."),
        (script(), {"study": {"seed": 9}}, "accuracies do not compare, for the seed of the split differs (a: 7; b: 9)"),
        (
            script(),
            {"objectives": {"accuracy": "maximize", "total_wh": "minimize"}},
            "for the goal of the search differs",
        ),
        (script(gpu=""), {}, "The GPU is not recorded in b: it may differ from the others'."),
        (fails("crash"), {}, "b has no completed trial: nothing of it is compared."),
    ],
)
def test_what_makes_figures_incomparable_is_named(
    tmp_path: Path, other: Script, tables: dict[str, Any], words: str
) -> None:
    told = two(tmp_path, other, trials=3, **tables).cautions
    assert any(words in caution for caution in told), told


def test_other_spaces_are_compared_over_what_they_share(tmp_path: Path) -> None:
    run_study(tmp_path, script(), 12, study={"name": "a", "trials": 12})
    raw = {
        "study": {"name": "c", "trials": 6, "objective": "mine:train"},
        "training": {"epochs": 2},
        "space": {"lr": [0.1, 0.01], "batch_size": [4], "width $x$": [1, 2]},
    }
    run_study(tmp_path, script(energy=2.0), 6, spec=StudySpec.model_validate(raw))
    (found,) = compare_studies(read_compared(["a", "c"], tmp_path)).differences
    assert found.shared == ("batch_size", "lr")
    assert "width $x$" in found.unshared
    assert found.log_energy is not None
    assert math.exp(found.log_energy.mean) == pytest.approx(2.0)


def test_studies_without_a_common_setting_say_so(tmp_path: Path) -> None:
    comparison = two(tmp_path, script(), space={"lr": [0.5], "batch_size": [2, 3]})
    assert any("b and a have no completed setting in common" in line for line in headline(comparison))
    (found,) = comparison.differences
    assert (found.settings, found.accuracy, found.log_energy) == (0, None, None)


def test_every_study_stands_in_every_table(tmp_path: Path) -> None:
    for table in comparison_tables(two(tmp_path, fails("crash"), trials=3)):
        told = " ".join(cell for line in (table.heads, *table.rows) for cell in line)
        assert "a" in told
        assert "b" in told
        assert all(len(row) == len(table.heads) for row in table.rows)


def test_the_document_has_its_keys_and_no_figure_that_does_not_exist(tmp_path: Path) -> None:
    document = json.loads(json.dumps(build_comparison_document(two(tmp_path, fails("crash"), 3)), allow_nan=False))
    assert set(document) == {"version", "energy", "hypervolume_reference", "studies", "differences", "cautions"}
    good, failed = document["studies"]
    assert good["best"]["accuracy"]["energy_wh"] > 0
    assert good["gpus"] == ["H100"]
    assert failed["best"] == {"accuracy": None, "energy": None, "efficiency": None}
    assert failed["hypervolume"] is None
    assert document["differences"][0]["energy_ratio"] is None


def compare(*arguments: object) -> None:
    app(["compare", *map(str, arguments)], standalone_mode=False)


@pytest.mark.parametrize("ending", ["pdf", "html"])
def test_the_report_says_what_the_terminal_says(
    tmp_path: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    two(tmp_path, script(energy=0.5, gpu="A100"))
    target, drawing = tmp_path / f"c.{ending}", tmp_path / "fronts.svg"
    compare("a", "b", "--runs", tmp_path, "--report", target, "--figure", drawing)
    printed = capsys.readouterr().out
    content = target.read_bytes()
    text = content.decode() if ending == "html" else ""
    if not text:
        text = " ".join(" ".join(page.extract_text().split()) for page in pypdf.PdfReader(io.BytesIO(content)).pages)
    for words in ("energy -50 % (-50 % to -50 %)", "the GPU differs (a: H100; b: A100)"):
        assert words in printed
        assert words in text
    assert "Figure 1: " in text
    assert drawing.read_text().lstrip().startswith("<?xml")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a"], "at least 2 studies are needed, given is a"),
        (["a", "a"], "a: named twice"),
        (["a", "nothing", "neither"], "no study nothing, neither here"),
        (["a", "b", "--figure", "x.bmp"], r"--figure x.bmp: unknown suffix; give a file that ends in .svg or .png"),
        (["a", "b", "--report", "nowhere/x.pdf"], "folder nowhere does not exist"),
    ],
)
def test_wrong_use_is_one_line_and_writes_nothing(tmp_path: Path, arguments: list[str], words: str) -> None:
    for name in "ab":
        run_study(tmp_path, script(), 1, study={"name": name, "trials": 1})
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError) as error:
        compare(*arguments, "--runs", tmp_path)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_nothing_to_draw_is_an_error_and_no_empty_file(tmp_path: Path) -> None:
    for name in "ab":
        run_study(tmp_path, fails("crash"), 1, study={"name": name, "trials": 1})
    with pytest.raises(UsageError, match="not written; no completed trial has both"):
        compare("a", "b", "--runs", tmp_path, "--figure", tmp_path / "f.png")
    assert not (tmp_path / "f.png").exists()
