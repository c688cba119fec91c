"""An excluded trial is said to be one in optuna-dashboard at once, and no longer once it is taken back in."""

import pytest
from typer.testing import CliRunner

from greenopt.cli import app
from greenopt.dashboard import catch_up
from greenopt.events import Outcome
from tests.unit.dashboard.conftest import Page


@pytest.fixture
def ended(page: Page) -> Page:
    for number in range(2):
        page.search.ask()
        page.search.tell(number, Outcome.COMPLETED, {"accuracy": 0.5, "energy_wh": 2.0, "seconds": 3.0}, [0.5, 2.0])
    page.folder.write_study(
        page.spec.model_dump(mode="json"), page.folder.default_storage, study_id=page.search.study_id
    )
    return page


def note(page: Page, trial: int) -> str:
    return str(page.detail["trials"][trial]["note"]["body"])


def exclude(page: Page, *arguments: str) -> None:
    result = CliRunner().invoke(app, ["exclude", "tried", *arguments, "--runs", str(page.folder.path.parent)])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("is_noted", [True, False])
def test_the_note_says_it_at_once(ended: Page, is_noted: bool) -> None:
    if is_noted:
        catch_up("tried", ended.storage, ended.folder, lambda: True)
    other, before = note(ended, 0), note(ended, 1)
    exclude(ended, "1", "--why", "GPU *throttled*")
    text = note(ended, 1)
    assert text.startswith("> **Excluded by hand:** GPU \\*throttled\\*\n\n")
    assert "Accuracy 0.500" in text
    assert not is_noted or text.endswith(before)
    exclude(ended, "1", "--why", "another reason")
    assert note(ended, 1).count("Excluded by hand") == 1
    assert "another reason" in note(ended, 1)
    exclude(ended, "1", "--undo")
    assert "Excluded" not in note(ended, 1)
    assert "Accuracy 0.500" in note(ended, 1)
    assert note(ended, 0) == other


def test_what_a_person_wrote_stays(ended: Page) -> None:
    store = ended.store()
    store.write_trial_note(0, "look at **this**")
    exclude(ended, "0", "--why", "a reason")
    assert note(ended, 0).endswith("\n\nlook at **this**")
    assert ended.detail["trials"][0]["note"]["version"] == 2
    exclude(ended, "0", "--undo")
    assert note(ended, 0) == "look at **this**"
