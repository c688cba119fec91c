"""The paper's own runs: its quotient to the digit, and its regression as statsmodels fits it."""

import csv
from pathlib import Path

import pytest
import yaml

from greenopt.analysis.document import build_document
from greenopt.exchange import read_import, write_import
from greenopt.report.study_analysis import analyse_study
from greenopt.runs.folder import RunFolder
from tests.golden.paper_table import Run, differences, figures_of

RUNS = Path(__file__).parents[3] / "shared" / "paper-runs"

pytestmark = pytest.mark.skipif(
    not RUNS.is_dir(), reason=f"the paper's runs are not in the project; they are looked for in {RUNS}"
)


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    path = write_import(read_import(RUNS, "paper"), tmp_path_factory.mktemp("runs"))
    return build_document(analyse_study(RunFolder(path)))


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    found = []
    for path in sorted(RUNS.glob("*/parameters.yaml")):
        with (path.parent / "logs.csv").open(newline="", encoding="utf-8") as file:
            found.append((yaml.safe_load(path.read_text(encoding="utf-8")), list(csv.DictReader(file))))
    return found


def test_the_final_runs_quotient_is_the_papers(document: dict) -> None:  # type: ignore[type-arg]
    best = document["ranking"]["efficiency"][0]
    assert best["run"] == "102"
    assert (round(best["wh_per_epoch"], 4), round(best["value"], 3)) == (0.1436, 6.164)


@pytest.mark.filterwarnings("ignore:The design matrix is rank-deficient")
@pytest.mark.parametrize("response", ["wh_per_epoch", "accuracy", "efficiency"])
def test_the_papers_table_is_statsmodels_own(document: dict, runs: list[Run], response: str) -> None:  # type: ignore[type-arg]
    fitted = document["regression"][response]["paper"]
    assert fitted["n"] == len(runs) == 51
    found = differences(runs, figures_of(runs)[response], fitted)
    assert max(found.values()) <= 1e-9, found


def test_the_longer_run_is_left_out_of_energies_of_a_whole_training_only(document: dict) -> None:  # type: ignore[type-arg]
    assert document["regression"]["energy_wh"]["paper"]["n"] == 50
    assert [row["trials"] for row in document["exclusions"]] == [[50]]
