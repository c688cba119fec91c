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


def answer_to(address: tuple[str, int], method: str, path: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(*address, timeout=10)
    body = b'{"study_name": "other", "directions": ["minimize"]}' if method == "POST" else None
    connection.request(method, path, body=body, headers={"Content-Type": "application/json", **headers})
    return connection.getresponse()


FOREIGN = [
    {"Origin": "http://attacker.example"},
    {"Origin": "https://127.0.0.1:{port}"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://localhost:{port}"},
    {"Origin": "http://127.0.0.1:{port}.attacker.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "cross-site"},
]
OWN = [
    {},
    {"Origin": "http://{host}"},
    {"Origin": "http://{host}", "Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
]


def test_another_pages_request_changes_nothing(page: Page, address: tuple[str, int]) -> None:
    """A page of the web may send requests to this machine; the browser says whose it is."""
    for headers in FOREIGN:
        sent = {name: value.format(port=address[1]) for name, value in headers.items()}
        for method, path in (("DELETE", "/api/studies/1"), ("POST", "/api/studies"), ("PUT", "/api/studies/1/note")):
            answer = answer_to(address, method, path, {"Host": f"127.0.0.1:{address[1]}", **sent})
            assert answer.status == 403, headers
            assert answer.read() == b"Only this server's own pages may change anything.\n"
    assert [study.study_name for study in page.storage.get_all_studies()] == ["tried"]


def test_its_own_pages_and_programs_may_change(page: Page, address: tuple[str, int]) -> None:
    for host in (f"127.0.0.1:{address[1]}", f"localhost:{address[1]}"):
        for headers in OWN:
            sent = {name: value.format(host=host) for name, value in headers.items()}
            assert answer_to(address, "POST", "/api/studies", {"Host": host, **sent}).status == 201, headers
            page.storage.delete_study(page.storage.get_study_id_from_name("other"))


def test_a_length_that_cannot_be_is_refused(address: tuple[str, int]) -> None:
    for length in ("-1", "x", "99999999999999"):
        with socket.create_connection(address, timeout=10) as connection:
            head = f"POST /api/studies HTTP/1.0\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
            connection.sendall(head.encode())
            assert b" 413 " in connection.makefile("rb").readline(), length


def test_no_page_frames_it_and_no_artifact_runs(address: tuple[str, int]) -> None:
    headers = answer_to(address, "GET", "/api/studies", {"Host": "localhost"}).headers
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Content-Security-Policy"] == "frame-ancestors 'none'"
    artifact = answer_to(address, "GET", "/artifacts/1/0/nothing", {"Host": "localhost"}).headers
    assert artifact["Content-Security-Policy"].startswith("sandbox;")
    assert artifact["X-Content-Type-Options"] == "nosniff"
