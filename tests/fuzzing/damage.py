"""Damage to what commands read: a run folder's files, its database, and files that are imported."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TypeAlias

from hypothesis import strategies as st

from tests.fuzzing.study_files import paths_in
from tests.fuzzing.values import keys, texts, values

_JSON = (
    st.recursive(
        values.filter(lambda value: not isinstance(value, int) or abs(value) < 10**4000).map(
            lambda value: value if isinstance(value, bool | int | float | str | list | dict) else str(value)
        ),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
        max_leaves=4,
    )
    | st.none()
)

Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]

PLACES = ("folder", "fifo", "loop", "zero", "gone", "empty")
DOCUMENTS = (
    "study.json",
    "coordinator.json",
    "trials/0000/spec.json",
    "trials/0001/events.jsonl",
    "trials/0000/events.jsonl",
    "course.jsonl",
    "trials/0000/log.txt",
    "study.db",
    "coordinator.lock",
    "trials",
    "trials/0000",
    "trials/0000/model.json",
    "artifacts",
    "figures",
    "coordinator.log",
)
COMMANDS = (
    ["list"],
    ["watch", "known"],
    ["analyze", "known"],
    ["analyze", "known", "--json"],
    ["export", "known"],
    ["export", "known", "-o", "out.parquet"],
    ["dashboard", "known", "--no-browser"],
    ["stop", "known"],
    ["pause", "known"],
    ["confirm", "known", "--gpus", "none", "--dry-run"],
    ["confirm", "known", "--gpus", "none"],
    ["rename", "known", "other"],
    ["run", "known.toml", "--gpus", "none", "--dry-run"],
    ["run", "known.toml", "--gpus", "none", "--plain"],
)
REPORT = ["report", "known", "--format", "html"]
_TABLES = {
    "study_user_attributes": ("value_json", True),
    "trial_user_attributes": ("value_json", True),
    "trial_system_attributes": ("value_json", True),
    "trial_params": ("distribution_json", True),
    "trial_values": ("value", False),
    "trials": ("datetime_start", False),
    "studies": ("study_name", False),
    "study_directions": ("direction", False),
    "version_info": ("schema_version", False),
    "alembic_version": ("version_num", False),
}


def json_with(text: str, draw: Draw) -> str:
    """A JSON document with a value replaced, removed or added."""
    document = json.loads(text)
    places = paths_in(document)
    if not places or draw(st.integers(0, 9)) == 0:
        return _dumped(draw(_JSON))
    *at, last = draw(st.sampled_from(places))
    holder = document
    for key in at:
        holder = holder[key]
    match draw(st.sampled_from(["replace", "replace", "remove", "add"])):
        case "remove":
            del holder[last]
        case "add" if isinstance(holder, dict):
            holder[draw(keys)] = draw(_JSON)
        case _:
            holder[last] = draw(_JSON)
    return _dumped(document)


def _dumped(value: Any) -> str:
    return json.dumps(value, default=str)


def _as_document(draw: Draw, content: bytes) -> bytes:
    lines = content.decode().splitlines() if b"\n{" in content else [content.decode()]
    at = draw(st.integers(0, len(lines) - 1))
    with suppress(ValueError):
        lines[at] = json_with(lines[at], draw)
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")


def _cut(draw: Draw, content: bytes) -> bytes:
    at: int = draw(st.integers(0, len(content)))
    return content[:at]


def _spliced(draw: Draw, content: bytes) -> bytes:
    at: int = draw(st.integers(0, len(content)))
    new: bytes = draw(st.binary(max_size=12))
    return content[:at] + new + content[at + draw(st.integers(0, 12)) :]


_NESTED = (b"[" * 5000, b'{"a":' * 5000, b"[" * 100_000 + b"]" * 100_000, b"", b"null", b"\0")


def _nested(draw: Draw, _: bytes) -> bytes:
    nested: bytes = draw(st.sampled_from(_NESTED))
    return nested


_CONTENTS: tuple[Callable[[Draw, bytes], bytes], ...] = (_as_document, _as_document, _cut, _spliced, _nested)


def damage_study(folder: Path, draw: Draw) -> str:
    """Damage a study's folder somewhere; returns what was done."""
    kind = draw(st.sampled_from(["document", "document", "database", "database", "place"]))
    if kind == "database":
        return _damage_row(folder / "study.db", draw)
    path = folder / draw(st.sampled_from(DOCUMENTS))
    if kind == "place":
        by = draw(st.sampled_from(PLACES))
        put_in_place(path, by)
        return f"{path.name}: {by}"
    content = path.read_bytes() if path.is_file() else b'{"pid": 1, "host": "x"}'
    change = draw(st.sampled_from(_CONTENTS))
    new = change(draw, content) if b"\0" not in content or change is not _as_document else _cut(draw, content)
    put_in_place(path, "gone")
    path.write_bytes(new)
    return f"{path.relative_to(folder)}: {new[:300]!r}"


def put_in_place(path: Path, by: str) -> None:
    """Put something else in the place of a file or folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    match by:
        case "folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "loop":
            path.symlink_to(path.name)
        case "zero":
            path.symlink_to("/dev/zero")
        case "empty":
            path.write_bytes(b"")


def _damage_row(file: Path, draw: Draw) -> str:
    table = draw(st.sampled_from(sorted(_TABLES)))
    column, is_json = _TABLES[table]
    with closing(sqlite3.connect(file)) as database:
        rows = database.execute(f"SELECT rowid, {column} FROM {table} ORDER BY rowid").fetchall()
        if not rows or draw(st.integers(0, 19)) == 0:
            database.execute(f"DROP TABLE {table}")
            return f"{table}: dropped"
        rowid, old = draw(st.sampled_from(rows))
        new: Any = draw(st.one_of(texts, st.sampled_from(["", "x", None, -1, 10**18, 1e308, b"\xff", "NaN"])))
        if is_json and isinstance(old, str) and draw(st.integers(0, 3)):
            new = json_with(old, draw)
        with suppress(sqlite3.IntegrityError):
            if draw(st.integers(0, 9)) == 0:
                database.execute(f"DELETE FROM {table} WHERE rowid = ?", (rowid,))
            else:
                database.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (new, rowid))
        database.commit()
    return f"{table}.{column}[{rowid}]: {new!r:.300}"


IMPORTS = (
    ("trials.csv", ["import", "trials.csv", "--name", "again"]),
    ("trials.csv", ["import", "trials.csv", "--name", "again", "--study", "known.toml"]),
    ("trials.parquet", ["import", "trials.parquet", "--name", "again"]),
    ("paper/a/parameters.yaml", ["import", "paper", "--name", "again"]),
    ("paper/a/logs.csv", ["import", "paper", "--name", "again"]),
)
_CELLS = (
    "nan",
    "inf",
    "-1",
    "1e400",
    "9" * 5000,
    '"',
    '""',
    "=cmd()",
    "\x1b[2J",
    "complete",
    "None",
    "\0",
    "é",
    "True",
    "1e-320",
    "10" * 200,
    "2026-13-45",
    "[" * 3000,
    "{" * 3000,
    "&a [*a]",
    "!!python/object:os.system x",
    "a: b: c",
)


def damage_import(folder: Path, draw: Draw) -> tuple[str, list[str]]:
    """Damage a file that is imported; returns what was done, and the command that imports it."""
    name, line = draw(st.sampled_from(IMPORTS))
    path = folder / name
    if draw(st.integers(0, 19)) == 0:
        by = draw(st.sampled_from(PLACES))
        put_in_place(path, by)
        return f"{name}: {by}", line
    content = path.read_bytes()
    kind = draw(st.sampled_from(["cell", "cell", "cell", "header", "splice", "cut"]))
    if kind == "cut":
        new = _cut(draw, content)
    elif b"\0" in content:
        new = _spliced(draw, content)
    else:
        new = _with_cell(draw, content.decode().splitlines(), kind)
    path.write_bytes(new)
    return f"{name}: {new[:400]!r}", line


def _with_cell(draw: Draw, lines: list[str], kind: str) -> bytes:
    at = 0 if kind == "header" else draw(st.integers(0, len(lines) - 1))
    comma = "," if "," in lines[at] else ": "
    cells = lines[at].split(comma)
    where = draw(st.integers(0, len(cells) - 1))
    cells[where] = draw(st.one_of(st.sampled_from(_CELLS), texts))
    lines[at] = comma.join(cells[where:] + cells if kind == "splice" else cells)
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")
