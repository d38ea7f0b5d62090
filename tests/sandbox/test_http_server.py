"""The sandbox's HTTP server: connections that stay open, and requests that end where they should."""

import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from runbook.sandbox.server import HOST, Sandbox

if TYPE_CHECKING:
    from runbook.sandbox.http_server import Server


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Says what it was asked for; reads nothing of it unless told to, and comes to grief when told to."""
    match environ["PATH_INFO"]:
        case "/grief":
            raise ValueError("as the test wants it")
        case "/read":
            said = environ["wsgi.input"].read()
        case path:
            said = path.encode()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [said[:2], said[2:]]


@pytest.fixture
def serving(sandbox: Sandbox) -> "Iterator[Server]":
    from runbook.sandbox.http_server import Server

    with socket.create_server((HOST, 0)) as listening:
        server = Server(HOST, listening.getsockname()[1], application, listening.fileno())
    thread = Thread(target=server.serve_forever, args=[0.01], daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def connection(serving: "Server") -> Iterator[HTTPConnection]:
    with closing(HTTPConnection(HOST, serving.port, timeout=20)) as made:
        yield made


def asked(connection: HTTPConnection, path: str, body: Any = None, **more: Any) -> tuple[int, bytes]:
    connection.request("POST", path, body, **more)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_one_connection_serves_one_request_after_the_other(connection: HTTPConnection) -> None:
    connection.connect()
    socket_at_first = connection.sock
    for body in (None, b"x" * 100_000, iter([b"in ", b"chunks"])):
        assert asked(connection, "/unread", body, encode_chunked=isinstance(body, Iterator)) == (200, b"/unread")
    assert asked(connection, "/read", iter([b"in ", b"chunks"]), encode_chunked=True) == (200, b"in chunks")
    assert asked(connection, "/read", b"x" * 100_000) == (200, b"x" * 100_000)
    connection.request("HEAD", "/nothing")
    assert connection.getresponse().read() == b""
    assert asked(connection, "/after") == (200, b"/after")
    assert connection.sock is socket_at_first


def test_an_application_that_comes_to_grief_is_answered_for(
    connection: HTTPConnection, capfd: pytest.CaptureFixture[str]
) -> None:
    assert asked(connection, "/grief", b"unread")[0] == 500
    assert "as the test wants it" in capfd.readouterr().err
    assert asked(connection, "/after") == (200, b"/after")


def test_who_waits_to_be_told_to_send_the_body_is_told_at_once(serving: "Server") -> None:
    """botocore does so with every object, and waits a second at most."""
    with socket.create_connection((HOST, serving.port), timeout=20) as caller:
        caller.sendall(b"PUT /read HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert caller.recv(100).startswith(b"HTTP/1.1 100 ")
        caller.sendall(b"body")
        assert caller.recv(1_000).endswith(b"\r\n\r\nbody")


def test_a_server_that_was_closed_answers_nobody_who_is_still_connected(
    serving: "Server", connection: HTTPConnection
) -> None:
    assert asked(connection, "/before") == (200, b"/before")
    serving.shutdown()
    serving.server_close()
    with pytest.raises(ConnectionError):
        asked(connection, "/after")
