"""A table of somebody else's, whose names, values and messages would command a terminal, a page or a spreadsheet."""

import csv
import unicodedata
from pathlib import Path

COMMANDING = "\x1b[31m\x1b]0;owned\x07\u202e\x9b2J"
NAME = "[bold]opt[/]"
"""Of a parameter; one that would command a terminal is refused."""
MARKED = (
    *("[@click=app.quit]SGD[/]", "[link=http://x]Adam[/link]\x1b[2J"),
    *("=HYPERLINK(1)", "<img src=x onerror=alert(1)>"),
)


def commands_in(text: str) -> list[str]:
    """Return what in a text is not seen."""
    return [one for one in text if one not in "\n\t" and unicodedata.category(one) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]


def write_table(path: Path) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["trial", "state", NAME, "width", "accuracy", "energy_wh", "message", "gpu_name", "fail_reason"])
        for number in range(16):
            state = "fail" if number == 15 else "complete"
            words = [f"boom {COMMANDING}", f"H100 [red]{COMMANDING}", "crash" if state == "fail" else ""]
            figures = [0.5 + number / 40, 1 + number % 4]
            rows.writerow([number, state, MARKED[number % 4], 2 ** (number % 3), *figures, *words])
    return path
