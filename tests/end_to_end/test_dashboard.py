"""The dashboard as its user sees it, in a headless Chromium, and as the storage holds it."""

import csv
import json
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from optuna_dashboard import get_note
from playwright.sync_api import Browser, Page, sync_playwright

from greenopt.dashboard import catch_up
from greenopt.dashboard.server import open_server, study_url
from greenopt.pareto import Point, pareto_front
from greenopt.runs.folder import RunFolder
from greenopt.search import Search, Storage, open_storage, read_study
from tests.end_to_end.conftest import Bench
from tests.end_to_end.programs import chromium
from tests.showcase import Lifelike, run_showcase, showcase_study

pytestmark = pytest.mark.end_to_end

ENDS = {3: "diverged", 5: "out_of_memory", 8: "crash", 11: "SIGKILL"}
TITLES = {
    "greenopt-pareto-front": "Accuracy for energy: the Pareto front",
    "greenopt-hypervolume": "Hypervolume over trials",
    "greenopt-accuracy-by-energy": "Accuracy during training, by energy used",
    "greenopt-power": "Power of the latest trials",
}
POINTS = """id => document.getElementById(id)._fullData.map(
    trace => Array.from(trace.x || []).filter(Number.isFinite).length)"""
PLACE = """([id, trial]) => {
    const plot = document.getElementById(id), {xaxis, yaxis} = plot._fullLayout, box = plot.getBoundingClientRect();
    for (const trace of plot._fullData) {
        const at = (trace.customdata || []).findIndex(values => values[0] === trial);
        const [x, y] = [xaxis._offset + xaxis.d2p(trace.x[at]), yaxis._offset + yaxis.d2p(trace.y[at])];
        if (at >= 0) return [box.x + x, box.y + y];
    }
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = chromium()
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def servers() -> Iterator[ExitStack]:
    """Keeps the test's servers until its page is closed: a page whose server has gone logs errors."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def tab(browser: Browser, servers: ExitStack) -> Iterator[Page]:
    """A page of which every error in its console fails the test."""
    tab = browser.new_page(viewport={"width": 1400, "height": 2600})
    errors: list[str] = []
    tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    yield tab
    tab.close()
    assert errors == []


@contextmanager
def served(storage: Storage, folder: RunFolder) -> Iterator[str]:
    """Address of the study's page."""
    with open_server(storage, folder.artifacts, 0) as server:
        thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.05))
        thread.start()
        yield study_url(server, folder.name, storage)
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, RunFolder]]:
    """A study of 20 trials, some of which failed; its page and its folder."""
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "showcase")
    folder.path.mkdir()
    storage = open_storage(folder.default_storage)
    run_showcase(showcase_study(20), storage, folder, Lifelike(ENDS))
    with served(storage, folder) as url:
        yield url, folder


def rows_of(folder: RunFolder) -> list[dict[str, Any]]:
    return list(read_study(folder.name, open_storage(folder.default_storage)).rows)


def complete(folder: RunFolder) -> list[dict[str, Any]]:
    return [row for row in rows_of(folder) if row["state"] == "complete"]


def plotted(tab: Page, plot: str) -> list[int]:
    """How many points each trace of a plot has, once it is drawn."""
    tab.wait_for_function("id => document.getElementById(id)?._fullData", arg=plot)
    return list(tab.evaluate(POINTS, plot))


def test_from_the_list_of_studies_to_the_pareto_front(tab: Page, finished: tuple[str, RunFolder]) -> None:
    url, folder = finished
    tab.goto(url.partition("/studies/")[0])
    tab.get_by_text("showcase").click()
    tab.wait_for_url(url)
    assert sum(plotted(tab, "graph-pareto-front")) == len(complete(folder)) == 17
    assert tab.locator("#graph-pareto-front .points path").count() == 17
    axes = [tab.get_by_text(label).locator("..").get_by_role("combobox") for label in ("Objective X:", "Objective Y:")]
    assert [axis.inner_text() for axis in axes] == ["accuracy", "energy_wh"]


def test_the_figures_that_the_dashboard_lacks(tab: Page, finished: tuple[str, RunFolder]) -> None:
    url, folder = finished
    tab.goto(url)
    trials = complete(folder)
    front = pareto_front(Point(row["energy_wh"], row["accuracy"], row["trial"]) for row in trials)
    plots = {name: f"user-defined-plot:{name}" for name in TITLES}
    others, _, on_front, _, line = plotted(tab, plots["greenopt-pareto-front"])
    assert (others + on_front, on_front, line) == (len(trials), len(front), len(front))
    assert len(plotted(tab, plots["greenopt-power"])) == 4
    assert all(plotted(tab, plots["greenopt-accuracy-by-energy"]))
    assert plotted(tab, plots["greenopt-hypervolume"])[0] > 1
    for name, title in TITLES.items():
        assert tab.locator(f"[id='{plots[name]}'] .gtitle").text_content() == title

    best = front[-1]
    x, y = tab.evaluate(PLACE, [plots["greenopt-pareto-front"], best.trial])
    tab.mouse.move(x, y)
    hovered = tab.locator(f"[id='{plots['greenopt-pareto-front']}'] .hovertext").first.text_content()
    row = next(row for row in trials if row["trial"] == best.trial)
    assert hovered is not None
    assert f"trial {best.trial}" in hovered
    assert f"accuracy {row['accuracy']:.3f}" in hovered
    assert f"efficiency {row['efficiency']:.3g} 1/Wh" in hovered
    assert f"b{row['batch_size']} {row['optimizer']}" in hovered


def test_the_trial_table_sorts_by_efficiency(tab: Page, finished: tuple[str, RunFolder]) -> None:
    url, folder = finished
    tab.goto(f"{url}/smartSelection")
    head = tab.get_by_role("columnheader", name="UserAttribute efficiency")
    for _ in range(2):
        head.locator("span[role=button], .MuiTableSortLabel-root").first.click()
    heads = [text.partition("\n")[0] for text in tab.get_by_role("columnheader").all_inner_texts()]
    cells = [row.locator("td").all_inner_texts() for row in tab.locator("tbody tr").all()]
    column = [row[heads.index("UserAttribute efficiency")] for row in cells]
    rows = rows_of(folder)
    assert len(column) == len(rows)
    known = sorted((row["efficiency"] for row in rows if row["efficiency"] is not None), reverse=True)
    assert [float(text) for text in column if text] == known
    assert column == [text for text in column if text] + [""] * (len(rows) - len(known))
    numbers = {"accuracy", "energy_wh", "Number", "State"} | {
        f"UserAttribute {name}"
        for name in (
            *("test_accuracy", "wh_per_epoch", "avg_power_w", "seconds", "epochs_done", "energy_source", "gpu_name"),
            *("stop_reason", "fail_reason", "retry_of"),
        )
    }
    assert numbers <= set(heads)


def test_the_table_as_csv_with_named_metrics(tab: Page, finished: tuple[str, RunFolder]) -> None:
    url, folder = finished
    tab.goto(f"{url}/smartSelection")
    with tab.expect_download() as download:
        tab.get_by_text("Download CSV File").click()
    with Path(download.value.path()).open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    rows = rows_of(folder)
    assert [line["State"].lower() for line in table] == [row["state"] for row in rows]
    for line, row in zip(table, rows, strict=True):
        if row["state"] == "complete":
            assert float(line["accuracy"]) == row["accuracy"]
            assert float(line["energy_wh"]) == row["energy_wh"]
            assert float(line["UserAttribute efficiency"]) == row["efficiency"]


def test_a_trials_note_and_artifacts(tab: Page, finished: tuple[str, RunFolder]) -> None:
    url, folder = finished
    row = complete(folder)[-1]
    tab.goto(f"{url}/trials?numbers={row['trial']}")
    tab.get_by_text(f"Accuracy {row['accuracy']:.3f}").wait_for()
    drawing = tab.get_by_alt_text("curves.svg")
    drawing.wait_for()
    tab.wait_for_function("image => image.complete && image.naturalWidth > 100", arg=drawing.element_handle())
    for name in ("log.txt", "epochs.csv"):
        assert tab.get_by_text(name).is_visible()

    failed = next(row for row in rows_of(folder) if row.get("fail_reason") == "crash")
    tab.goto(f"{url}/trials?numbers={failed['trial']}")
    tab.get_by_text("its process exited with 1").first.wait_for()
    quoted = tab.locator("pre code, pre").first.inner_text()
    assert quoted.splitlines()[:2] == [f"trial {failed['trial']} on gpu0", "<b>scripted</b> | *log*"]


def test_the_studys_note(tab: Page, finished: tuple[str, RunFolder]) -> None:
    tab.goto(f"{finished[0]}/note")
    tab.get_by_role("heading", name="How to read it").wait_for()
    assert "NVIDIA H100 80GB HBM3 on node7" in tab.locator("table").first.inner_text()


def test_an_empty_study(tab: Page, servers: ExitStack, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "empty")
    folder.path.mkdir()
    storage = open_storage(folder.default_storage)
    Search(showcase_study(name="empty"), storage).lease.release()
    catch_up("empty", storage, folder, lambda: True)
    url = servers.enter_context(served(storage, folder))
    tab.goto(url)
    assert sum(plotted(tab, "graph-pareto-front")) == 0
    for name in TITLES:
        plotted(tab, f"user-defined-plot:{name}")
    assert tab.get_by_text("no trial has completed yet").count() == 2
    # Not smartSelection: optuna-dashboard 0.21 itself has an error there for any study without trials.
    for page in ("analytics", "trials", "note"):
        tab.goto(f"{url}/{page}")
        tab.wait_for_load_state("networkidle")


def test_a_study_of_which_every_trial_failed(tab: Page, servers: ExitStack, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "failed")
    folder.path.mkdir()
    storage = open_storage(folder.default_storage)
    run_showcase(showcase_study(5, name="failed"), storage, folder, Lifelike(dict.fromkeys(range(5), "crash")))
    url = servers.enter_context(served(storage, folder))
    tab.goto(url)
    assert sum(plotted(tab, "graph-pareto-front")) == 0
    assert len(plotted(tab, "user-defined-plot:greenopt-power")) == 4
    assert tab.get_by_text("no trial has completed yet").count() == 2
    tab.goto(f"{url}/trials?numbers=4")
    tab.get_by_text("its process exited with 1").first.wait_for()
    for page in ("analytics", "smartSelection", "note"):
        tab.goto(f"{url}/{page}")
        tab.wait_for_load_state("networkidle")
    tab.goto("about:blank")  # before the server ends: the page asks it for news by itself


OWN = """
import time

def train(trial):
    trial.begin()
    for epoch in range(trial.epochs):
        time.sleep(0.2)
        trial.end_epoch(trial.params["width"] * (epoch + 1) / 100)
    return trial.params["width"] * trial.epochs / 100
"""
OWN_STUDY = """
[study]
trials = 500
objective = "own:train"
[training]
epochs = 3
[space]
width = { low = 1.0, high = 30.0 }
"""


def start_dashboard(bench: Bench, *arguments: str) -> tuple["subprocess.Popen[str]", str]:
    process = bench.start("dashboard", *arguments, "--no-browser")
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "http://127.0.0.1:" in line, line or process.communicate()
    return process, line.rpartition(" ")[2].strip()


def test_a_running_study_is_shown_live_and_left_to_its_coordinator(bench: Bench, tab: Page) -> None:
    (bench.folder / "own.py").write_text(OWN)
    (bench.folder / "own.toml").write_text(OWN_STUDY)
    running = bench.start("run", "own.toml", "--plain")
    bench.wait_for(lambda: bench.run_folder("own").study_file.exists())
    bench.wait_for(lambda: any(row["state"] == "complete" for row in bench.rows("own")))
    dashboard, url = start_dashboard(bench, "own")
    tab.goto(url)
    before = sum(plotted(tab, "graph-pareto-front"))
    grown = "n => document.querySelectorAll('#graph-pareto-front .points path').length > n"
    tab.wait_for_function(grown, arg=before, timeout=60_000)
    tab.goto(f"{url}/trials")
    tab.get_by_text("Running", exact=True).first.wait_for()
    tab.get_by_text("Trial 0", exact=True).first.click()
    tab.get_by_alt_text("curves.svg").first.wait_for()
    tab.goto("about:blank")
    assert bench.run("stop", "own").returncode == 0
    assert running.wait(timeout=60) == 3
    dashboard.send_signal(signal.SIGINT)
    _, err = dashboard.communicate(timeout=20)
    assert (dashboard.returncode, err) == (0, "")
    shown = read_page(bench, "own")
    assert len(shown["plotly_graph_objects"]) == 4
    assert all(trial["note"]["body"] for trial in shown["trials"] if trial["state"] != "Waiting")


def read_page(bench: Bench, name: str) -> dict[str, Any]:
    """What the study's page is made from, asked of the real command."""
    dashboard, url = start_dashboard(bench, name)
    detail = read_detail(url)
    dashboard.send_signal(signal.SIGINT)
    assert dashboard.wait(timeout=20) == 0
    return detail


def read_detail(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url.replace("/dashboard/", "/api/"), timeout=20) as answer:
        return dict(json.load(answer))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no study here"),
        (["nowhere", "--storage", "sqlite:///{folder}/other.db"], "other.db: no such file"),
        (["nowhere", "--storage", "nonsense"], "not a database URL"),
        (["nowhere", "--port", "70000"], "--port"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(bench: Bench, arguments: list[str], message: str) -> None:
    done = bench.run("dashboard", *(text.format(folder=bench.folder) for text in arguments), "--no-browser")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_study_in_postgresql(bench: Bench, postgres_url: str) -> None:
    folder = RunFolder(bench.folder / "runs" / "shown")
    storage = open_storage(postgres_url)
    run_showcase(showcase_study(4, name="shown"), storage, folder, Lifelike({2: "crash"}))
    dashboard, url = start_dashboard(bench, "shown", "--storage", postgres_url)
    detail = read_detail(url)
    assert {figure["id"] for figure in detail["plotly_graph_objects"]} == set(TITLES)
    assert [trial["state"] for trial in detail["trials"]] == ["Complete", "Complete", "Fail", "Complete"]
    for trial in detail["trials"]:
        assert trial["note"]["body"]
        assert {artifact["filename"] for artifact in trial["artifacts"]} == {"log.txt", "epochs.csv", "curves.svg"}
    dashboard.send_signal(signal.SIGINT)
    assert dashboard.wait(timeout=20) == 0


def test_the_command_adds_what_is_missing_while_it_serves(bench: Bench) -> None:
    folder = RunFolder(bench.folder / "runs" / "late")
    storage = open_storage_in(folder)
    run_showcase(showcase_study(3, name="late"), storage, folder, Lifelike(), exhibited=False)
    import optuna

    study = optuna.load_study(study_name="late", storage=storage)
    assert get_note(study) == ""
    dashboard, url = start_dashboard(bench, "late")

    def all_there() -> bool:
        return all(len(trial["artifacts"]) == 3 and trial["note"]["body"] for trial in read_detail(url)["trials"])

    bench.wait_for(all_there, 30.0)
    assert "How to read it" in read_detail(url)["note"]["body"]
    dashboard.send_signal(signal.SIGINT)
    assert dashboard.wait(timeout=20) == 0


def open_storage_in(folder: RunFolder) -> Storage:
    folder.path.mkdir(parents=True)
    return open_storage(folder.default_storage)
