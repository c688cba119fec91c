"""Pictures of the view at three sizes, kept as SVG; `pytest tests/tui --snapshot-update` draws them anew."""

import asyncio
from collections.abc import Callable

import pytest
from textual.pilot import Pilot

from greenopt.tui.app import WatchApp
from tests.tui.studies import CASES

SIZES = [(80, 24), (120, 34), (200, 60)]


async def settled(pilot: Pilot[None]) -> None:
    await pilot.app.workers.wait_for_complete()
    for _ in range(3):
        await pilot.pause()
    await asyncio.sleep(0.1)
    await pilot.pause()


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("case", CASES)
def test_overview(
    case: str, size: tuple[int, int], watch: Callable[[str], WatchApp], snap_compare: Callable[..., bool]
) -> None:
    assert snap_compare(watch(case), terminal_size=size, run_before=settled)


PAGES = {"trials": ["2"], "trial": ["2", "down", "enter"], "pareto": ["3"], "parameters": ["4"], "gpus": ["5"]}


@pytest.mark.parametrize("page", PAGES)
def test_other_tabs(page: str, watch: Callable[[str], WatchApp], snap_compare: Callable[..., bool]) -> None:
    async def turned(pilot: Pilot[None]) -> None:
        await settled(pilot)
        for key in PAGES[page]:
            await pilot.press(key)
            await settled(pilot)

    assert snap_compare(watch("two_gpus"), terminal_size=(120, 34), run_before=turned)
