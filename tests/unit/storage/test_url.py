"""Storage URLs as they may be shown and kept: without their secrets, whatever they look like."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenopt.errors import GreenoptError, UsageError
from greenopt.search import open_storage
from greenopt.storage.database import find_database
from greenopt.storage.url import complete, database_message, take_storage, without_password, without_secrets


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg://me:secret:more@host/db", "postgresql+psycopg://me:***@host/db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("no scheme://me:secret@host/db", "no scheme://me:***@host/db"),
        ("sqlite:///runs/study.db", "sqlite:///runs/study.db"),
        ("sqlite:////home/me@work/a b.db?timeout=5", "sqlite:////home/me@work/a b.db?timeout=5"),
        ("postgresql://me:secret@host:5432/db?sslmode=require", "postgresql://me:***@host:5432/db?sslmode=require"),
        ("postgresql://host/db?user=me&password=secret", "postgresql://host/db?user=me&password=***"),
        ("postgresql:///db?host=/var/run/postgresql", "postgresql:///db?host=/var/run/postgresql"),
        ("postgresql://[::1]:5432/db", "postgresql://[::1]:5432/db"),
        ("studies.db", "studies.db"),
    ],
)
def test_a_password_is_never_shown_and_the_rest_is(url: str, shown: str) -> None:
    assert without_password(url) == shown
    assert without_password(shown) == shown


HIDING = [
    "postgresql://u:{}@h/db",
    "postgresql://u:{}@h:5432",
    "postgresql://u:x@{}@h/db",
    "postgresql://u:x/{}@h/db",
    "postgresql://u:x?{}@h/db",
    "postgresql://u:x#{}@h/db",
    "postgresql://u%3A{}@h/db",
    "postgresql://h/db?user=u&password={}",
    "postgresql://h/db?PASSWORD={}",
    "postgresql://h/db?p%61ssword={}",
    "postgresql://h:5432/db?password=x@{}",
    "postgresql://h/db?sslpassword={}&sslmode=require",
    "postgresql://h/db?passfile=/home/u/{}",
    "postgresql://h/db?access_token={}",
    "postgresql://h/db?options=-c%20app.token={}",
    "postgresql://h/db?host=u:{}@h",
    "postgresql://h/db?{}",
    "postgresql://h/db;password={}",
    "postgresql://h/db&password={}",
    "postgresql://h/db#{}",
    "postgresql://h:{}/db",
    "postgresql:///u:{}@h/db",
    "postgresql:/u:{}@h/db",
    "postgresql:u:{}@h/db",
    "postgresql//u:{}@h/db",
    "u:{}@h/db",
    "host=h user=u password={}",
    "mysql+pymysql://u:{}@h/db?ssl_key=k",
    "mysql://h/db?passwd={}",
    "sqlite+pysqlcipher://:{}@/study.db?cipher=aes",
    "sqlite:///study.db?key={}",
    "://u:{}@h",
]
SECRETS = ["hunter2-Xyz", "12345678", "hunter2%2FXyz", "hunter2%40Xyz"]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("form", HIDING)
def test_a_secret_is_hidden_wherever_it_stands(form: str, secret: str) -> None:
    shown = without_password(form.format(secret))
    assert secret not in shown
    assert "hunter2" not in shown
    assert "***" in shown


def test_a_secret_with_an_at_sign_in_the_place_of_a_database_is_hidden() -> None:
    assert without_password("postgresql://h/db;password=hunter2@Xyz") == "postgresql://h***"


@given(st.sampled_from(HIDING), st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=4))
def test_no_secret_whatsoever_is_shown_in_full(form: str, secret: str) -> None:
    assert f"S3{secret}T" not in without_password(form.format(f"S3{secret}T"))


@pytest.mark.parametrize("form", HIDING)
def test_no_error_of_opening_holds_a_secret(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLAlchemy's and the drivers' texts hold pieces of URLs that they could not take apart."""
    monkeypatch.chdir(tmp_path)
    url = form.format("hunter2-Xyz").replace("@h", "@127.0.0.1:1").replace("//h", "//127.0.0.1:1")
    for opens in (open_storage, lambda one: find_database(one).connect().__enter__()):
        error = _error_of(opens, url)
        if error is not None:
            assert "hunter2" not in str(error)


def _error_of(opens: Callable[[str], object], url: str) -> GreenoptError | None:
    """Errors of other kinds are let through: they would be shown as internal ones."""
    try:
        opens(url)
    except GreenoptError as error:
        return error
    return None


def test_a_message_is_shown_without_what_its_url_hides() -> None:
    url = "postgresql://u:pass@word@h/db"
    message = 'could not translate host name "word@h" to address, password=pass of postgresql://a:b@c/d?token=x'
    shown = without_secrets(message, url)
    assert shown == 'could not translate host name "***@h" to address, password=*** of postgresql://a:***@c/d?token=***'
    assert database_message(ValueError("invalid literal: 'pass'"), url) == "invalid literal: '***'"
    assert database_message(ValueError('password authentication failed for user "u"'), url) == (
        'password authentication failed for user "u"'
    )
    assert database_message(ValueError("")) == "ValueError"


def test_a_url_without_its_password_is_completed_by_the_environment(tmp_path: Path) -> None:
    kept, nowhere = "postgresql://u:***@h/db?sslmode=require", {"PGPASSFILE": str(tmp_path / "none")}
    assert complete(kept, {"PGPASSWORD": "secret"}) == "postgresql://u@h/db?sslmode=require"
    (tmp_path / "pass").write_text("h:*:*:u:secret")
    assert complete(kept, {"PGPASSFILE": str(tmp_path / "pass")}) == "postgresql://u@h/db?sslmode=require"
    by_parameter = "postgresql://h/db?user=u&password=***"
    assert complete(by_parameter, {"PGPASSWORD": "secret"}) == "postgresql://h/db?user=u"
    with pytest.raises(UsageError, match=r"its secrets \(\*\*\*\) are not kept; give them by PGPASSWORD or PGPASSFILE"):
        complete(kept, nowhere)
    with pytest.raises(UsageError, match=r"give them by GREENOPT_STORAGE or --storage"):
        complete("mysql://u:***@h/db", {"PGPASSWORD": "secret"})
    with pytest.raises(UsageError, match="are not kept"):
        complete("postgresql://h/db?token=***", {"PGPASSWORD": "secret"})
    assert complete("postgresql://u:secret@h/db", nowhere) == "postgresql://u:secret@h/db"


def test_a_command_line_is_told_without_its_storage() -> None:
    assert take_storage(["run", "a.toml", "--storage", "x://y", "--plain"]) == (["run", "a.toml", "--plain"], "x://y")
    assert take_storage(["run", "--storage=x://y", "a.toml"]) == (["run", "a.toml"], "x://y")
    assert take_storage(["run", "a.toml"]) == (["run", "a.toml"], None)
    assert take_storage(["run", "--", "--storage"]) == (["run", "--", "--storage"], None)


def test_a_file_is_named_without_a_slow_import() -> None:
    code = "import sys; from greenopt.storage.url import without_password as f; f('sqlite:///a.db'); "
    code += "sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
