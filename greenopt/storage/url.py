"""What may be said of a storage's URL, and of a storage that fails; SQLAlchemy is imported where it is needed."""

import re

from greenopt.errors import UsageError


def without_password(url: str) -> str:
    """The URL as it may be shown and kept."""
    if "@" not in url:
        return url
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return re.sub(r"://[^@/]*@", "://***@", url)


def driver_missing(url: str, error: ImportError) -> UsageError:
    """The error to raise where the module that talks to a database is not installed."""
    hint = "; pip install 'greenopt[postgres]'" if url.startswith("postgres") else ""
    return UsageError(f"storage {without_password(url)}: its driver is not installed ({error.name}){hint}")


def cause_of(error: Exception) -> str:
    """What the database itself said, in one line."""
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]
