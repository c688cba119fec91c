"""Storage URLs and storage errors in user messages; SQLAlchemy is imported on demand."""

import re

from greenopt.errors import UsageError


def without_password(url: str) -> str:
    """Return a URL without its password, for showing and storing."""
    if "@" not in url:
        return url
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return re.sub(r"://[^@/]*@", "://***@", url)


def driver_missing(url: str, error: ImportError) -> UsageError:
    """Return the error to raise if a database's driver is not installed."""
    hint = "; pip install 'greenopt[postgres]'" if url.startswith("postgres") else ""
    return UsageError(f"storage {without_password(url)}: its driver is not installed ({error.name}){hint}")


def database_message(error: Exception) -> str:
    """Return the database's own error message in one line."""
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]
