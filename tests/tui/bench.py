"""The live view on a study of many finished trials, in a pseudo-terminal, as a person has it: no test, figures.

A study is generated: one trial by the project's own writers, copied as often as asked for with other figures. One more
trial runs: its events are appended to, one a second. Printed: time until the figures are drawn, share of a core in the
minute after that, time from a key to the first changed character, memory.
"""

import json
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import sqlalchemy as sa

from greenopt.events import PowerSampled, encode
from tests.tui.studies import H100, Written, paper_like
from tests.tui.terminal import Terminal

WATCHED_S = 30.0


def generate(root: Path, trials: int) -> Written:
    """A study of so many completed trials and one that runs."""
    study = Written(root, paper_like(trials + 1), {"gpu 0": H100})
    study.completes("gpu 0")
    study.runs("gpu 0", 3)
    study.held_by()
    _copy_first(study, trials - 1)
    return study


def _copy_first(study: Written, copies: int) -> None:
    engine = sa.create_engine(study.folder.default_storage)
    draw = random.Random(1)
    with engine.begin() as connection:
        tables = {}
        for name in ("trials", "trial_params", "trial_values", "trial_user_attributes"):
            table = sa.Table(name, sa.MetaData(), autoload_with=connection)
            first = connection.execute(sa.select(table).where(table.c.trial_id == 1)).mappings().all()
            tables[name] = (table, [dict(row) for row in first])
        for table, copied in tables.values():
            key = next(iter(table.primary_key.columns)).name
            rows = []
            for copy in range(copies):
                rows += [{**row, **_changed(row, copy, draw)} for row in copied]
            for row in rows:
                if key != "trial_id":
                    del row[key]
            for at in range(0, len(rows), 50_000):
                connection.execute(sa.insert(table), rows[at : at + 50_000])


def _changed(row: dict[str, object], copy: int, draw: random.Random) -> dict[str, object]:
    """What tells a copy from the first trial: its numbers, its accuracy, its energies, its values."""
    changed: dict[str, object] = {"trial_id": 100 + copy}
    if "number" in row:
        changed["number"] = 2 + copy
    if row.get("key") in ("accuracy", "test_accuracy"):
        changed["value_json"] = json.dumps(0.1 + 0.5 * draw.random())
    if str(row.get("key")) in ("energy_wh", "total_wh", "wh_per_epoch", "efficiency"):
        changed["value_json"] = json.dumps(draw.lognormvariate(1.5, 0.8))
    if "param_value" in row:
        changed["param_value"] = float(draw.randrange(4))
    return changed


def _append_samples(study: Written, stop: threading.Event) -> None:
    t_s = 1000.0
    with study.folder.events(1).open("ab") as file:
        while not stop.wait(1.0):
            t_s += 1.0
            sample = PowerSampled(t_s=t_s, power_w=200 + t_s % 40, energy_wh=t_s / 100, source="nvml_counter")
            file.write(encode(sample))
            file.flush()


def _latencies_s(terminal: Terminal) -> list[tuple[float, str]]:
    """Tabs, the table's cursor, sorting and the help, each until what it brings is drawn."""
    found = []
    presses = [
        ("2", "reverses"),
        ("r", "rising"),
        ("r", "falling"),
        ("3", "Wh, log"),
        ("4", "parameter"),
        ("5", "utilisation"),
        ("1", "hypervolume"),
        ("?", "palette"),
    ]
    for key, wanted in presses * 3:
        terminal.press(key)
        found.append((terminal.read_until(wanted), key))
        if key == "?":
            terminal.press("q")
        terminal.drain(0.7)
    return found


def main() -> None:
    """Generate, watch, print."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory(prefix="greenopt-bench-") as folder:
        study = generate(Path(folder), trials)
        stop = threading.Event()
        writer = threading.Thread(target=_append_samples, args=(study, stop), daemon=True)
        writer.start()
        terminal = Terminal(["watch", "paper", "--runs", folder])
        frame_s = terminal.read_until("6 Log")
        terminal.read_until(f"{trials}/{trials + 1}")
        opened_s = time.monotonic() - terminal.began_s
        opening_cpu_s = sum(psutil.Process(terminal.process.pid).cpu_times()[:2])
        terminal.drain(5.0)
        process = psutil.Process(terminal.process.pid)
        before = sum(process.cpu_times()[:2])
        terminal.drain(WATCHED_S)
        share = (sum(process.cpu_times()[:2]) - before) / WATCHED_S
        latencies_s = _latencies_s(terminal)
        memory_mb = process.memory_info().rss / 1e6
        terminal.press("q")
        terminal.drain(1.0)
        terminal.process.wait(timeout=10)
        stop.set()
        writer.join()
    load = os.getloadavg()[0]
    print(f"{trials} finished trials, one running, 120x34; load {load:.1f} on {os.cpu_count()} cores")
    print(f"open: {frame_s:.2f} s from the command to the frame, {opened_s:.2f} s to the figures in it")
    print(f"      {opening_cpu_s:.2f} s of that on a core")
    print(f"at rest: {share:.1%} of a core over {WATCHED_S:.0f} s, {memory_mb:.0f} MB")
    median, (slowest, key) = statistics.median(each for each, _ in latencies_s), max(latencies_s)
    slow = sum(each > 0.1 for each, _ in latencies_s)
    print(
        f"keys: {len(latencies_s)} pressed, median {1000 * median:.0f} ms, slowest {1000 * slowest:.0f} ms ({key}), "
        f"{slow} above 100 ms"
    )


if __name__ == "__main__":
    main()
