"""Storage URLs as they may be shown."""

import subprocess
import sys

import pytest

from greenopt.storage.url import without_password


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg://me:secret:more@host/db", "postgresql+psycopg://me:***@host/db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("no scheme://me:secret@host/db", "no scheme://***@host/db"),
        ("sqlite:///runs/study.db", "sqlite:///runs/study.db"),
    ],
)
def test_a_password_is_never_shown_and_the_rest_is(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_a_file_is_named_without_a_slow_import() -> None:
    code = "import sys; from greenopt.storage.url import without_password as f; f('sqlite:///a.db'); "
    code += "sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
