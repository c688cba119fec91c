"""The server answers this machine's browser and nobody else."""

import http.client
import socket
import threading
from collections.abc import Iterator

import pytest

from greenopt.dashboard.server import open_server, study_url
from greenopt.errors import UsageError
from tests.unit.dashboard.conftest import Page


@pytest.fixture
def address(page: Page) -> Iterator[tuple[str, int]]:
    with open_server(page.storage, page.folder.artifacts, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        assert study_url(server, "tried", page.storage) == f"http://127.0.0.1:{server.server_port}/dashboard/studies/1"
        yield str(server.server_address[0]), server.server_port
        server.shutdown()
        thread.join()


def status(address: tuple[str, int], host: str) -> int:
    connection = http.client.HTTPConnection(*address, timeout=10)
    connection.request("GET", "/api/studies", headers={"Host": host})
    return connection.getresponse().status


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1:{port}", 200),
        ("localhost:{port}", 200),
        ("localhost:9999", 200),
        ("localhost", 200),
        ("[::1]:{port}", 200),
        ("attacker.example:{port}", 403),
        ("127.0.0.1.attacker.example", 403),
        ("", 403),
    ],
)
def test_only_requests_to_loopback_are_answered(address: tuple[str, int], host: str, expected: int) -> None:
    assert address[0] == "127.0.0.1"
    assert status(address, host.format(port=address[1])) == expected


def test_a_port_that_is_taken_is_one_line(page: Page) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            UsageError, match=rf"--port {port}: Address already in use; without --port a free port is chosen"
        ):
            open_server(page.storage, page.folder.artifacts, port)


def test_a_body_that_nobody_reads_does_not_cost_the_answer(address: tuple[str, int]) -> None:
    """A server that closes on unread bytes resets the connection, and the browser sees no answer."""
    for _ in range(5):
        connection = http.client.HTTPConnection(*address, timeout=10)
        connection.request("POST", "/api/nowhere", body=bytes(3_000_000), headers={"Host": "localhost"})
        answer = connection.getresponse()
        assert answer.status == 404
        answer.read()
