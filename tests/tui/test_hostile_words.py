"""What a study of somebody else says is text in the live view: no markup, no link, no escape."""

from pathlib import Path

from greenopt.exchange import read_import, write_import
from greenopt.runs.folder import RunFolder
from greenopt.tui.app import WatchApp
from greenopt.tui.state.reader import StudyReader
from tests.hostile import COMMANDING, commands_in, write_table
from tests.tui.conftest import FakeSteering


async def test_the_live_view_shows_it_as_text(tmp_path: Path) -> None:
    imported = read_import(write_table(tmp_path / "table.csv"), "made")
    folder = RunFolder(write_import(imported, tmp_path / "runs"))
    for number in range(16):
        folder.log(number).write_text(f"[bold]loss[/bold] {COMMANDING}\n\x1b[32mgreen\x1b[0m\n", encoding="utf-8")
    app = WatchApp(StudyReader(folder, folder.storage()), FakeSteering(tmp_path), poll_s=None)
    seen = ""
    async with app.run_test(size=(200, 60)) as pilot:
        for key in ("1", "2", "enter", "end", "escape", "3", "4", "5", "6", "c"):
            await pilot.press(key)
            await app.workers.wait_for_complete()
            await pilot.pause()
            seen += "\n".join(strip.text for strip in app.screen._compositor.render_strips())
    assert commands_in(seen) == []
    for words in (
        "[bold]opt[/]",
        "[@click=app.quit]SGD[/]",
        "[link=http://x]Adam[/link]",
        "[red]",
        "[bold]loss[/bold]",
    ):
        assert words in seen, words
