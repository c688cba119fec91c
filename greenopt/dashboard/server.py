"""optuna-dashboard's own application on a study's storage, served to this machine only.

It has no login and its pages can delete studies: so it listens on loopback, and answers only requests that name
loopback as their host, so that no web page can reach it under a name of its own (DNS rebinding).
"""

import io
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from optuna_dashboard import wsgi

from greenopt.errors import UsageError
from greenopt.search import Storage, artifact_store

HOST = "127.0.0.1"
_LOOPBACK = (HOST, "localhost", "[::1]")

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
        # Read whether or not the application asks for it: closing on unread bytes resets the connection.
        body = environment["wsgi.input"].read(int(environment.get("CONTENT_LENGTH") or 0))
        environment["wsgi.input"] = io.BytesIO(body)
        if re.sub(r":\d+$", "", environment.get("HTTP_HOST", "")) in _LOOPBACK:
            return application(environment, start_response)
        start_response("403 Forbidden", [("Content-Type", "text/plain")])
        return [b"This server answers to 127.0.0.1 and localhost only.\n"]

    return guarded
