"""README's picture of the live view: the overview of a study, as an SVG without fonts from elsewhere."""

import asyncio
import re
import sys
from pathlib import Path

from greenopt.runs.folder import RunFolder
from greenopt.tui.app import WatchApp
from greenopt.tui.state.reader import StudyReader
from tests.tui.conftest import FakeSteering

SIZE = (120, 34)
FONTS = "Fira Code, Menlo, Consolas, DejaVu Sans Mono, monospace"


async def picture(folder: RunFolder) -> str:
    """The SVG of a study's overview."""
    app = WatchApp(StudyReader(folder, folder.storage()), FakeSteering(folder.path), poll_s=None)
    async with app.run_test(size=SIZE) as pilot:
        await app.workers.wait_for_complete()
        await pilot.pause(0.5)
        svg = app.export_screenshot(title=f"greenopt watch {folder.name}")
    return re.sub(
        r"font-family: Fira Code, monospace",
        f"font-family: {FONTS}",
        re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL),
    )


def main() -> None:
    """Draw into the file that is named."""
    name, target = sys.argv[1:3]
    runs = Path(sys.argv[3] if len(sys.argv) > 3 else "runs")
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    Path(target).write_text(asyncio.run(picture(RunFolder(runs.resolve() / name))), encoding="utf-8")


if __name__ == "__main__":
    main()
