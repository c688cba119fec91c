"""The paper's own runs: its quotient to the digit, and its regression as statsmodels fits it."""

from pathlib import Path
from typing import Any

import pytest

from greenopt.analysis.document import build_document
from greenopt.exchange import read_import, write_import
from greenopt.report.study_analysis import analyse_study
from greenopt.runs.folder import RunFolder
from greenopt.spec import StudySpec
from tests.golden.paper_runs import FOLDER, TABLE, read_facts, read_folder
from tests.golden.paper_table import RESPONSES, differences

needs_folder = pytest.mark.skipif(
    not FOLDER.is_dir(),
    reason=f"the paper's logs are not part of the repository and are not in {FOLDER}; the table of their facts is used",
)
Document = dict[str, Any]


def analysed(source: Path, runs: Path, spec: StudySpec | None = None) -> Document:
    """Import, analyse and describe."""
    return build_document(analyse_study(RunFolder(write_import(read_import(source, "paper", spec), runs))))


@pytest.fixture(scope="module", params=["table", pytest.param("folder", marks=needs_folder)])
def document(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Document:
    return analysed(TABLE if request.param == "table" else FOLDER, tmp_path_factory.mktemp("runs"))


def test_the_final_runs_quotient_is_the_papers(document: Document) -> None:
    best = document["ranking"]["efficiency"][0]
    assert best["run"] == "102"
    assert (round(best["wh_per_epoch"], 4), round(best["value"], 3)) == (0.1436, 6.164)


@pytest.mark.filterwarnings("ignore:The design matrix is rank-deficient")
@pytest.mark.parametrize("response", RESPONSES)
def test_the_papers_table_is_statsmodels_own(document: Document, response: str) -> None:
    runs = [facts for _, facts in read_facts(TABLE)]
    fitted = document["regression"][response]["paper"]
    assert fitted["n"] == len(runs) == 51
    found = differences(runs, response, fitted)
    assert max(found.values()) <= 1e-9, found


def test_the_longer_run_is_left_out_of_energies_of_a_whole_training_only(document: Document) -> None:
    assert document["regression"]["energy_wh"]["paper"]["n"] == 50
    assert [row["trials"] for row in document["exclusions"]] == [[50]]


@needs_folder
def test_the_table_holds_what_the_logs_say() -> None:
    assert read_facts(TABLE) == read_folder(FOLDER)


def test_the_tables_quotients_follow_from_its_accuracies_and_energies() -> None:
    """The column is there for the import; it must not be a second truth."""
    spec = read_import(TABLE, "paper")
    facts = dict(read_facts(TABLE))
    assert len(spec.trials) == len(facts) == 51
    for trial in spec.trials:
        assert trial.metrics["efficiency"] == facts[trial.run].efficiency


def test_the_trial_that_ran_is_advised_before_the_setting_that_did_not(document: Document) -> None:
    """Run 052 is the likeliest not to be bettered; run 060, of less energy, stands beside it with what it measured."""
    found = document["advice"]["recommended"]
    measured = [(round(one["energy_wh"], 1), round(one["accuracy"], 3)) for one in found["measured"]]
    assert measured[0] == (24.6, 0.948)
    assert (16.4, 0.867) in measured
    best = found["measured"][0]
    assert found["trial"] == best["trial"]
    assert document["advice"]["setting"] == found["setting"] == best["params"]
    assert found["probability_dominated"] < 0.5
    assert found["predicted"]["energy_low_wh"] < found["predicted"]["energy_wh"] < found["predicted"]["energy_high_wh"]
    sentences = " ".join(document["advice"]["sentences"])
    assert f"Advised setting: that of trial {best['trial']}" in sentences
    assert "16.4 Wh and accuracy 0.867" in sentences
