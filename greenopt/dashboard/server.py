"""optuna-dashboard's own application on a study's storage, served to this machine only.

It has no login and its pages can delete studies: so it listens on loopback, and answers only requests that name
loopback as their host, so that no web page can reach it under a name of its own (DNS rebinding). What changes anything
is taken from its own pages alone: any page that the browser shows may send requests to this machine (CSRF). It is shown
in no frame of another page, and an artifact that is a page itself may run nothing.
"""

import io
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from optuna_dashboard import wsgi

from greenopt.errors import UsageError
from greenopt.search import Storage, artifact_store

HOST = "127.0.0.1"
_LOOPBACK = (HOST, "localhost", "[::1]")

MAX_BODY_BYTES = 1 << 30
"""The largest request: an artifact that is uploaded."""

_READING = ("GET", "HEAD", "OPTIONS")
_HEADERS = [
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]
_NO_FRAME = ("Content-Security-Policy", "frame-ancestors 'none'")
_NO_SCRIPT = ("Content-Security-Policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:")

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Print nothing: the terminal belongs to the user."""


def open_server(storage: Storage, artifacts: Path, port: int) -> WSGIServer:
    """Open a dashboard's server socket; `serve_forever` starts answering.

    Args:
        storage: what it shows.
        artifacts: folder of the artifacts' files; it need not exist.
        port: 0 for a free one.

    Raises:
        UsageError: the port is taken or not allowed.
    """
    application = _loopback_only(wsgi(storage, artifact_store(artifacts)))
    try:
        return make_server(HOST, port, application, server_class=_Server, handler_class=_Quiet)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"--port {port}: {reason}; without --port a free port is chosen") from None


def study_url(server: WSGIServer, study: str, storage: Storage) -> str:
    """Return the address of a study's page."""
    return f"http://{HOST}:{server.server_port}/dashboard/studies/{storage.get_study_id_from_name(study)}"


def _loopback_only(application: Application) -> Application:
    def guarded(environment: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        length = environment.get("CONTENT_LENGTH") or "0"
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            return _refused(start_response, "413 Content Too Large", "A request may have 1 GiB at most.")
        # Read whether or not the application asks for it: closing on unread bytes resets the connection.
        body = environment["wsgi.input"].read(int(length))
        environment["wsgi.input"] = io.BytesIO(body)
        host = environment.get("HTTP_HOST", "")
        if re.sub(r":\d+$", "", host) not in _LOOPBACK:
            return _refused(start_response, "403 Forbidden", "This server answers to 127.0.0.1 and localhost only.")
        if environment["REQUEST_METHOD"] not in _READING and not _is_own_page(environment, host):
            return _refused(start_response, "403 Forbidden", "Only this server's own pages may change anything.")
        is_artifact = environment.get("PATH_INFO", "").startswith("/artifacts")
        more = [*_HEADERS, _NO_SCRIPT if is_artifact else _NO_FRAME]

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, [*headers, *more], *rest)

        return application(environment, start)

    return guarded


def _is_own_page(environment: Mapping[str, Any], host: str) -> bool:
    """Return whether a request comes from a page of this server, or from no page at all.

    Browsers send `Origin` with what changes anything, and since 2023 all of them `Sec-Fetch-Site`; other programs,
    which no web page can start, send neither.
    """
    origin, site = environment.get("HTTP_ORIGIN"), environment.get("HTTP_SEC_FETCH_SITE")
    return origin in (None, f"http://{host}") and site in (None, "same-origin", "none")


def _refused(start_response: Callable[..., Any], status: str, text: str) -> list[bytes]:
    start_response(status, [("Content-Type", "text/plain")])
    return [f"{text}\n".encode()]
