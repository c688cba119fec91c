"""Reads what trials keep beside their settings, many thousands of them at once."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

Rows = Iterable[tuple[Any, ...]]

_ROWS = "SELECT x.trial_id, x.key, x.value_json FROM {table} x WHERE {condition}"
_JOINED = """
    SELECT x.trial_id, count(*), group_concat(json_quote(x.key) || ':' || x.value_json)
    FROM {table} x WHERE {condition} GROUP BY x.trial_id
"""


def attributes_by_trial(
    ask: Callable[[str], Rows], table: str, condition: str, *, is_sqlite: bool
) -> dict[int, dict[str, Any]]:
    """Return the attributes of trials by `trial_id`; trials that have none are left out.

    Args:
        ask: runs a query.
        table: where they stand; the condition calls it `x`.
        condition: which rows are meant.
        is_sqlite: whether the database is SQLite, which joins the attributes of a trial itself: half the time.

    Raises:
        ValueError, TypeError: what is stored is not JSON.
    """
    if is_sqlite:
        return _joined(ask(_JOINED.format(table=table, condition=condition)))
    return _separate(ask(_ROWS.format(table=table, condition=condition)))


def _joined(rows: Rows) -> dict[int, dict[str, Any]]:
    counted = list(rows)
    # Decode one text: decoding thousands of texts separately takes several times as long.
    decoded = json.loads(f"[{','.join(['{' + text + '}' for _, _, text in counted])}]")
    if [len(each) for each in decoded] != [count for _, count, _ in counted]:
        raise ValueError("an attribute is not JSON")
    return {trial_id: each for (trial_id, _, _), each in zip(counted, decoded, strict=True)}


def _separate(rows: Rows) -> dict[int, dict[str, Any]]:
    listed = list(rows)
    decoded = json.loads(f"[{','.join([text for _, _, text in listed])}]")
    found: dict[int, dict[str, Any]] = defaultdict(dict)
    last, of_last = None, {}
    for (trial_id, key, _), value in zip(listed, decoded, strict=True):
        if trial_id != last:
            last, of_last = trial_id, found[trial_id]
        of_last[key] = value
    return found
