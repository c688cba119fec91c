"""Every key and dialog, pressed as a person would."""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static, TabbedContent
from textual.widgets._footer import FooterKey

from greenopt.runs.requests import Request
from greenopt.runs.study_log import RunState
from greenopt.tui.app import TABS, WatchApp
from greenopt.tui.screens.dialogs import Commands, Help, Question
from greenopt.tui.screens.trial_page import TrialPage
from greenopt.tui.state.reader import Batch
from greenopt.tui.widgets.plots import FrontPlot
from greenopt.tui.widgets.trial_table import TrialTable
from tests.tui.conftest import FakeSteering, view
from tests.tui.studies import Written

Watch = Callable[[str], WatchApp]


@contextlib.asynccontextmanager
async def watched(app: WatchApp, size: tuple[int, int] = (120, 34)) -> AsyncIterator[Pilot[None]]:
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        yield pilot


async def settle(pilot: Pilot[None]) -> None:
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


async def press(pilot: Pilot[None], *keys: str) -> None:
    await pilot.press(*keys)
    await settle(pilot)


def said(app: WatchApp) -> list[str]:
    return [notification.message for notification in app._notifications]


def text_of(app: WatchApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).render())


def shown_trials(app: WatchApp) -> list[int]:
    return [row["trial"] for row in app.query_one(TrialTable)._rows]


async def test_number_keys_show_the_tabs(watch: Watch) -> None:
    app = watch("running")
    async with watched(app) as pilot:
        for at, name in enumerate(TABS, 1):
            await press(pilot, str(at))
            assert app.query_one(TabbedContent).active == name


async def test_the_last_line_shows_the_keys_of_what_has_the_focus(watch: Watch) -> None:
    app = watch("running")
    async with watched(app) as pilot:
        for tab, own in (("2", "Filter"), ("3", "Log/linear axis"), ("1", None)):
            await press(pilot, tab)
            await pilot.pause()
            labels = [key.description for key in app.screen.query(FooterKey)]
            assert "Pause" in labels
            assert [label for label in labels if label in ("Filter", "Log/linear axis")] == ([own] if own else [])


async def test_who_opens_the_view_is_told_once_when_its_figures_are_there(
    written: Callable[[str], Written], actions: FakeSteering
) -> None:
    figures: list[str] = []
    app: WatchApp = view(written("running"), actions, when_shown=lambda: figures.append(text_of(app, "#header")))
    async with watched(app) as pilot:
        app.post_message(app.StudyRead(Batch(holder=app.model.holder)))
        await settle(pilot)
    assert len(figures) == 1
    assert "20/40" in figures[0]


async def test_the_overview_answers_what_a_person_asks(watch: Watch) -> None:
    app = watch("running")
    async with watched(app):
        title, lines = text_of(app, "#title"), text_of(app, "#header")
        assert "paper" in title
        assert "running" in title
        assert "2:14:07" in title
        assert "left" in title
        for text in ("20/40", "16 done", "1 running", "2 stopped", "2 failed", "best accuracy", "g CO2e", "EUR"):
            assert text in lines, text


async def test_p_pauses_and_p_again_lets_it_go_on(watch: Watch, actions: FakeSteering) -> None:
    app = watch("running")
    async with watched(app) as pilot:
        await press(pilot, "p")
        app.model.run_state = RunState.PAUSED
        await press(pilot, "p")
    assert actions.asked == [Request.PAUSE, Request.RESUME]


async def test_s_asks_once_to_stop_and_never_turns_into_stop_now(watch: Watch, actions: FakeSteering) -> None:
    app = watch("running")
    async with watched(app) as pilot:
        await press(pilot, "s", "s", "s")
        assert any("k to stop it now" in text for text in said(app))
    assert actions.asked == [Request.STOP]


@pytest.mark.parametrize(
    ("keys", "asked"),
    [
        (("y",), [Request.STOP_NOW]),
        (("n",), []),
        (("escape",), []),
        (("enter",), []),
        (("left", "enter"), [Request.STOP_NOW]),
    ],
)
async def test_k_asks_first_and_enter_alone_changes_nothing(
    watch: Watch, actions: FakeSteering, keys: tuple[str, ...], asked: list[Request]
) -> None:
    app = watch("running")
    async with watched(app) as pilot:
        await press(pilot, "k")
        assert isinstance(app.screen, Question)
        await press(pilot, *keys)
        assert not isinstance(app.screen, Question)
    assert actions.asked == asked


async def test_k_can_be_answered_with_the_mouse(watch: Watch, actions: FakeSteering) -> None:
    app = watch("running")
    async with watched(app) as pilot:
        await press(pilot, "k")
        await pilot.click("#yes")
        await settle(pilot)
    assert actions.asked == [Request.STOP_NOW]


@pytest.mark.parametrize("key", ["q", "ctrl+q"])
async def test_q_leaves_and_asks_the_coordinator_for_nothing(watch: Watch, actions: FakeSteering, key: str) -> None:
    app = watch("running")
    async with watched(app) as pilot:
        await pilot.press(key)
        await pilot.pause()
        assert not app.is_running
    assert actions.asked == []
    assert app.return_code == 0


async def test_ctrl_c_ends_nothing_and_says_what_does(watch: Watch, actions: FakeSteering) -> None:
    app = watch("running")
    async with watched(app) as pilot:
        await press(pilot, "ctrl+c")
        assert app.is_running
        assert any("q leaves and the study keeps running" in text for text in said(app))
    assert actions.asked == []


@pytest.mark.parametrize("key", ["p", "s", "k"])
async def test_a_study_that_does_not_run_cannot_be_steered(watch: Watch, actions: FakeSteering, key: str) -> None:
    app = watch("finished")
    async with watched(app) as pilot:
        await press(pilot, key)
        assert any("not running" in text for text in said(app))
    assert actions.asked == []


async def test_what_cannot_be_done_is_said(watch: Watch, actions: FakeSteering) -> None:
    app = watch("running")
    actions.error = "study paper belongs to another user; only they can do that"
    async with watched(app) as pilot:
        await press(pilot, "p")
        assert actions.error in said(app)


async def test_y_copies_the_most_accurate_setting_or_the_chosen_one(watch: Watch) -> None:
    app = watch("running")
    async with watched(app) as pilot:
        await press(pilot, "y")
        best = app.model.best("accuracy")
        assert best is not None
        assert app.clipboard.startswith(f"# trial {best['trial']} of study paper\n[space]\n")
        assert f'optimizer = "{best["optimizer"]}"' in app.clipboard
        await press(pilot, "2", "end", "y")
        assert app.clipboard.startswith("# trial 0 of study paper")


async def test_e_exports_and_asks_before_it_replaces(watch: Watch, actions: FakeSteering) -> None:
    app = watch("finished")
    async with watched(app) as pilot:
        await press(pilot, "e")
        assert actions.asked == ["export"]
        actions.export_target.write_text("there")
        await press(pilot, "e", "n")
        assert actions.asked == ["export"]
        await press(pilot, "e", "y")
    assert actions.asked == ["export", "export"]


async def test_o_says_where_the_dashboard_is_or_why_there_is_none(watch: Watch, actions: FakeSteering) -> None:
    app = watch("finished")
    async with watched(app) as pilot:
        await press(pilot, "o")
        assert "dashboard it is" in said(app)
        actions.error = "greenopt dashboard ended with exit code 2: no such command"
        await press(pilot, "o")
        assert actions.error in said(app)


async def test_c_offers_commands_and_copies_the_chosen_one(watch: Watch) -> None:
    app = watch("finished")
    async with watched(app) as pilot:
        await press(pilot, "c")
        assert isinstance(app.screen, Commands)
        await press(pilot, "down", "enter")
        assert app.clipboard == "greenopt export paper"
        await press(pilot, "c", "escape")
        assert not isinstance(app.screen, Commands)


@pytest.mark.parametrize(("case", "offered"), [("running", True), ("finished", False)])
async def test_c_offers_to_steer_only_what_runs(watch: Watch, case: str, offered: bool) -> None:
    app = watch(case)
    async with watched(app) as pilot:
        await press(pilot, "c")
        options = [str(option.prompt) for option in app.screen.query_one(OptionList).options]
        assert any("greenopt export" in option for option in options)
        assert any("greenopt pause" in option for option in options) is offered


async def test_help_shows_keys_and_signs_and_goes(watch: Watch) -> None:
    app = watch("running")
    async with watched(app) as pilot:
        for back in ("escape", "q", "question_mark"):
            await press(pilot, "question_mark")
            assert isinstance(app.screen, Help)
            await press(pilot, back)
            assert not isinstance(app.screen, Help)
        assert app.is_running


async def test_the_palette_offers_the_same_actions_and_themes(watch: Watch) -> None:
    app = watch("running")
    async with watched(app):
        titles = {command.title for command in app.get_system_commands(app.screen)}
        assert {"Pause or resume", "Stop now", "Leave", "Export", "Theme"} <= titles
        assert {"greenopt", "greenopt-light"} <= set(app.available_themes)


async def test_enter_opens_a_trial_n_and_b_turn_pages_escape_goes_back(watch: Watch) -> None:
    app = watch("running")
    async with watched(app) as pilot:
        await press(pilot, "2", "down", "enter")
        assert isinstance(app.screen, TrialPage)
        assert app.screen.number == 19
        await press(pilot, "b")
        assert app.screen.number == 18
        assert "trial 18" in text_of(app, "#trial-title")
        await press(pilot, "n", "y")
        assert app.clipboard.startswith("# trial 19 ")
        await press(pilot, "escape")
        assert not isinstance(app.screen, TrialPage)


async def test_a_failed_trial_says_why_and_shows_its_log_as_it_is(watch: Watch) -> None:
    app = watch("all_failed")
    async with watched(app) as pilot:
        await press(pilot, "2", "enter")
        assert "failed" in text_of(app, "#trial-title")
        assert "[not markup] done" in text_of(app, "#trial-log")
        assert "no finished epoch" in text_of(app, "#trial-epochs")
        shot = app.export_screenshot()
        assert "out_of_memory:" in shot


async def test_the_table_sorts_by_keys_and_by_a_click_on_a_head(watch: Watch) -> None:
    app = watch("running")
    async with watched(app) as pilot:
        await press(pilot, "2")
        assert shown_trials(app)[:3] == [20, 19, 18]
        await press(pilot, "r")
        assert shown_trials(app)[:3] == [0, 1, 2]
        await press(pilot, "right_square_bracket", "right_square_bracket", "r")
        best = app.model.best("accuracy")
        assert best is not None
        assert shown_trials(app)[0] == best["trial"]
        await pilot.click(TrialTable, offset=(3, 0))
        await settle(pilot)
        assert shown_trials(app)[:2] == [20, 19]


async def test_the_table_filters_as_it_is_typed_and_says_what_cannot_be_meant(watch: Watch) -> None:
    app = watch("running")
    async with watched(app) as pilot:
        await press(pilot, "2", "slash", *"state=failed")
        assert shown_trials(app) == [15, 6]
        assert "2 of 21 trials" in text_of(app, "#trials-line")
        await press(pilot, "enter")
        assert isinstance(app.focused, TrialTable)
        await press(pilot, "slash", *" nonsense>1")
        assert "nonsense: unknown" in text_of(app, "#trials-line")
        await press(pilot, "escape")
        assert len(shown_trials(app)) == 21
        assert not app.query_one("#filter", Input).display


async def test_typing_a_filter_steers_nothing(watch: Watch, actions: FakeSteering) -> None:
    app = watch("running")
    async with watched(app) as pilot:
        await press(pilot, "2", "slash", *"skpqeoc")
        assert app.is_running
    assert actions.asked == []


async def test_the_cursor_stays_with_its_trial_while_others_arrive(watch: Watch) -> None:
    app = watch("running")
    async with watched(app) as pilot:
        await press(pilot, "2", "down", "down")
        table = app.query_one(TrialTable)
        assert table.cursor_trial == 18
        new = {**app.model.rows[19], "trial": 21, "accuracy": 0.9}
        app.post_message(WatchApp.StudyRead(Batch(rows=(new,), holder=app.model.holder)))
        await settle(pilot)
        assert shown_trials(app)[0] == 21
        assert table.cursor_trial == 18


async def test_l_changes_the_energy_axis(watch: Watch) -> None:
    app = watch("running")
    async with watched(app) as pilot:
        await press(pilot, "3", "l")
        plot = app.query_one("#pareto-plot", FrontPlot)
        first = str(plot.border_subtitle)
        await press(pilot, "l")
        assert first.endswith("log") != str(plot.border_subtitle).endswith("log")


async def test_the_log_tells_the_course(watch: Watch) -> None:
    app = watch("all_failed")
    async with watched(app) as pilot:
        await press(pilot, "6")
        shot = app.export_screenshot().replace("&#160;", " ")
        assert "study started by pid 4711 on node7: gpu 0" in shot
        assert "study stopped: the last trials all failed (out_of_memory)" in shot


async def test_the_end_is_announced_once_and_a_summary_stays(watch: Watch) -> None:
    from greenopt.runs.study_log import CoordinatorEnded, StudyEnd

    app = watch("running")
    async with watched(app) as pilot:
        over = CoordinatorEnded(utc_s=0.0, end=StudyEnd.STOPPED)
        for study_log in ((over,), ()):
            app.post_message(WatchApp.StudyRead(Batch(study_log=study_log)))
            await settle(pilot)
        assert len([text for text in said(app) if "has ended: stopped" in text]) == 1
        assert "most accurate on the front" in text_of(app, "#summary")


async def test_a_storage_that_does_not_answer_is_said_and_what_is_known_stays(watch: Watch) -> None:
    app = watch("running")
    async with watched(app) as pilot:
        app.post_message(WatchApp.StudyRead(Batch(problem="storage sqlite: disk I/O error")))
        await settle(pilot)
        assert "storage does not respond" in text_of(app, "#title")
        assert "disk I/O error" in text_of(app, "#header")
        assert "20/40" in text_of(app, "#header")


async def test_without_colour_every_state_is_told_by_shape_and_word(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = watch("running")
    async with watched(app) as pilot:
        await press(pilot, "2")
        shot = app.export_screenshot().replace("&#160;", " ")
        for text in ("● front", "○ done", "◐ running", "▽ stopped", "× failed"):
            assert text in shot, text
        assert "#4aa3df" not in shot.lower()


def test_nothing_in_the_view_writes_to_a_study() -> None:
    """Opening for writing, and optuna, are what could; only the steering's scratch output is opened at all."""
    rooms = Path(__file__).parents[2] / "greenopt" / "tui"
    for module in rooms.glob("*.py"):
        text = module.read_text(encoding="utf-8")
        for word in ("write_text", "write_bytes", '.open("w', '.open("a', "import optuna", "best_trials"):
            assert word not in text, (module.name, word)
