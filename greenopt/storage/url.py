"""Storage URLs and storage errors in user messages: a secret of a URL is neither shown nor kept.

Invariant: of a URL's parameters only those that are known to be harmless are shown, and a URL that cannot be taken
apart is cut where a secret could begin. SQLAlchemy, which is slow to import, is not needed for it.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, unquote_plus

from greenopt.errors import UsageError
from greenopt.plain_text import in_one_line, without_named_secrets

STORAGE_VARIABLE = "GREENOPT_STORAGE"
"""Environment variable with the URL of a storage, as `--storage` has it."""

HIDDEN = "***"
"""What stands for a secret."""

_SHOWN_PARAMETERS = frozenset(
    {"user", "host", "hostaddr", "port", "dbname", "sslmode", "sslrootcert", "connect_timeout", "application_name"}
    | {"target_session_attrs", "client_encoding", "charset", "timeout", "mode", "cache", "nolock", "immutable", "uri"}
)
_PLAIN_VALUE = re.compile(r"[\w./,+ -]*|\[?[0-9A-Fa-f:]+\]?")
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][\w+. -]*)://(?P<rest>.*)", re.DOTALL)
_PIECES = re.compile(r"[@:/?&=#;\s\[\]]+")
_URL_IN_TEXT = re.compile(r"[A-Za-z][\w+.-]*://[^\s'\"`<>]+")
_OF_LIBPQ = ("password", "passfile")
_WORDS = frozenset(("password", "passfile", "sslpassword", "user", "host", "database", "postgresql", "mysql", "token"))
"""Never hidden in a message, where they are words."""


def without_password(url: str) -> str:
    """Return a URL without its secrets, for showing and keeping: `***` stands in the place of each.

    A password may stand before the host or among the parameters, where tokens and others may stand as well.
    """
    found = _SCHEME.fullmatch(url)
    if found is None:
        # No URL: the path of a file, or a URL with a slip in it, which may hold a password all the same.
        return url if re.fullmatch(r"[\w./ ~-]*", url) else _cut(url)
    scheme, rest = found["scheme"], found["rest"]
    head, mark, query = rest.partition("?")
    if scheme.lower().startswith("sqlite") and head.startswith("/"):
        return f"{scheme}://{head}{mark}{_shown_query(query)}"
    if "@" in query and "@" not in head and ":" in head:
        # SQLAlchemy takes all of it up to the @ for user and password.
        return f"{scheme}://{head.partition(':')[0]}:{HIDDEN}"
    return f"{scheme}://{_shown_head(head)}{mark}{_shown_query(query)}"


def _cut(text: str) -> str:
    start = re.match(r"[\w. -]*", text)
    return f"{start.group() if start and ':' in text else ''}{HIDDEN}"


def _shown_head(head: str) -> str:
    """Return user, host, port and database without the password."""
    userinfo, at, place = head.rpartition("@")
    user, colon, _ = userinfo.partition(":")
    if slip := re.search(r"[/;&=#]", user):
        # No name of a user: an @ further on, in a password that stands where no password belongs.
        return f"{user[: slip.start()]}{HIDDEN}"
    if not colon and ":" in unquote(user):
        user, colon = unquote(user).partition(":")[0], ":"
    shown = f"{user}{f':{HIDDEN}' if colon else ''}{at}"
    host, slash, database = place.partition("/")
    if (port := re.fullmatch(r"(?P<host>\[[^\]]*\]|[^:]*):(?P<port>.*)", host)) and not _is_port(port["port"]):
        host = f"{port['host']}:{HIDDEN}"
    cut = re.search(r"[;&=#]", database)
    return f"{shown}{host}{slash}{f'{database[: cut.end()]}{HIDDEN}' if cut else database}"


def _is_port(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,5}", text) is not None and int(text) < 1 << 16


def _shown_query(query: str) -> str:
    return "&".join(_shown_parameter(part) for part in re.split(r"[&;]", query)) if query else ""


def _shown_parameter(part: str) -> str:
    name, equals, value = part.partition("=")
    if name in _SHOWN_PARAMETERS and equals and _PLAIN_VALUE.fullmatch(unquote_plus(value)):
        return part
    return f"{name}={HIDDEN}" if equals and re.fullmatch(r"\w+", name) else HIDDEN


def is_hiding(url: str) -> bool:
    """Return whether a URL has lost a secret, or never had one in its place."""
    return HIDDEN in url


def complete(url: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return a URL to connect with: of a secret that is not kept, the place is left to PostgreSQL's own ways.

    Args:
        url: a storage's, as it was given or as a study's folder keeps it.
        environment: where `PGPASSWORD` and `PGPASSFILE` are looked up.

    Raises:
        UsageError: a secret is missing, and nothing there says what it is.
    """
    if not is_hiding(url):
        return url
    without = url
    if url.startswith("postgres") and _has_password(environment):
        without = re.sub(r":\*\*\*@", "@", without, count=1)
        for name in _OF_LIBPQ:
            without = re.sub(rf"(?<=[?&]){name}=\*\*\*(?:&|$)", "", without)
        without = without.rstrip("?&")
    if is_hiding(without):
        ways = "PGPASSWORD or PGPASSFILE, " if url.startswith("postgres") else ""
        raise UsageError(
            f"storage {without_password(url)}: its secrets (***) are not kept; "
            f"give them by {ways}GREENOPT_STORAGE or --storage"
        )
    return without


def _has_password(environment: Mapping[str, str]) -> bool:
    file = environment.get("PGPASSFILE") or "~/.pgpass"
    return bool(environment.get("PGPASSWORD")) or Path(file).expanduser().is_file()


def secrets_of(url: str) -> list[str]:
    """Return the texts that a URL hides, as they stand there and decoded, the longest first.

    An error message of a driver may hold any piece of a URL that it could not take apart.
    """
    shown = set(_PIECES.split(without_password(url)))
    whole = [part for part in re.split(r"[@?&/]|:(?=.)", url) if part]
    pieces = {piece for part in (url, *whole) for piece in _PIECES.split(part)}
    found = {piece for piece in pieces if piece not in shown and piece}
    userinfo = url.partition("://")[2].rpartition("@")[0].partition(":")[2]
    found |= {userinfo} if userinfo and HIDDEN in without_password(url) else set()
    found |= {unquote(secret) for secret in found} | {unquote_plus(secret) for secret in found}
    return sorted(found - _WORDS - {HIDDEN, ""}, key=len, reverse=True)


def take_storage(arguments: Sequence[str]) -> tuple[list[str], str | None]:
    """Return the arguments of a command line without `--storage` and its URL, and the URL; None where it has none.

    What stands in a command line is seen by every user of the machine; an environment is not.
    """
    kept: list[str] = []
    url: str | None = None
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if argument == "--":
            kept += [argument, *rest]
        elif name != "--storage":
            kept.append(argument)
        else:
            url = value if equals else next(rest, None)
    return kept, url


def without_secrets(text: str, *urls: str) -> str:
    """Return a message without what these URLs hide, and without that of any URL that stands in it.

    Args:
        text: anybody's message, such as that of a database's driver.
        urls: URLs that it may speak of.
    """
    for secret in dict.fromkeys(secret for url in urls for secret in secrets_of(url)):
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)" if len(secret) < 6 else re.escape(secret), HIDDEN, text)
    text = _URL_IN_TEXT.sub(lambda found: without_password(found.group()), text)
    return without_named_secrets(text)


def driver_missing(url: str, error: ImportError) -> UsageError:
    """Return the error to raise if a database's driver is not installed."""
    hint = "; pip install 'greenopt[postgres]'" if url.startswith("postgres") else ""
    return UsageError(f"storage {without_password(url)}: its driver is not installed ({error.name}){hint}")


def database_message(error: Exception, url: str = "") -> str:
    """Return the database's own error message in one line, without secrets.

    Args:
        error: what SQLAlchemy or a driver raised.
        url: the database's.
    """
    lines = str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__]
    return in_one_line(without_secrets(lines[0], url) if url else without_secrets(lines[0]))
