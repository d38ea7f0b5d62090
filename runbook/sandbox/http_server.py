"""The sandbox's server: like AWS, it keeps a connection open for the next request of whoever made it."""

from __future__ import annotations

import io
import socket
import threading
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import ThreadedWSGIServer
from werkzeug.wrappers import Response

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Server(ThreadedWSGIServer):
    """Serves a WSGI application at a socket that listens already, with a thread for each connection.

    werkzeug's own closes a connection after each answer: a new connection and a new thread would take as long as many
    an answer does.
    """

    daemon_threads = True

    def __init__(self, host: str, port: int, application: Application, descriptor: int) -> None:
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(host, port, application, _Connection, fd=descriptor)

    def opened(self, connection: socket.socket) -> None:
        """Take note of a connection."""
        with self._lock:
            self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        """It is gone."""
        with self._lock:
            self._open.discard(connection)

    def server_close(self) -> None:
        """Close all connections as well: nobody is answered any more."""
        super().server_close()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):  # the other side was quicker
                    connection.shutdown(socket.SHUT_RDWR)


class _Connection(MotoRequestHandler):
    """One request after the other, until either side has had enough."""

    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # the first half of an answer does not wait for anybody
    wbufsize = -1  # and goes out together with the second

    def setup(self) -> None:
        super().setup()
        self.server.opened(self.connection)

    def finish(self) -> None:
        self.server.closed(self.connection)
        super().finish()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Do not write a line for each request."""

    def handle_expect_100(self) -> bool:
        """Tell whoever waits for it to go on, at once."""
        told = super().handle_expect_100()
        self.wfile.flush()
        return told

    def run_wsgi(self) -> None:
        """Answer one request. All of it is read first: the next one begins where it ends."""
        self.environ = environ = self.make_environ()
        chunked = "wsgi.input_terminated" in environ
        body = environ["wsgi.input"].read(-1 if chunked else int(environ.get("CONTENT_LENGTH") or 0))
        try:
            self._answer({**environ, "wsgi.input": io.BytesIO(body)}, self.server.app)
        except ConnectionError as error:
            self.close_connection = True
            self.connection_dropped(error, environ)
        except Exception:  # noqa: BLE001
            traceback.print_exc()
            self._answer(environ, Response("The sandbox is broken.\n", 500))

    def _answer(self, environ: dict[str, Any], application: Application) -> None:
        """Send what the application answers, in one piece."""
        status, headers = "", list[tuple[str, str]]()

        def start_response(code: str, named: list[tuple[str, str]], *_: Any) -> None:
            nonlocal status
            status, headers[:] = code, named

        content = b"".join(application(environ, start_response))
        number, _, words = status.partition(" ")
        self.send_response(int(number), words)
        for name, value in headers:
            self.send_header(name, value)
        without = environ["REQUEST_METHOD"] == "HEAD" or number in ("204", "304")
        if not without and not any(name.lower() == "content-length" for name, _ in headers):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(b"" if without else content)
        self.wfile.flush()
