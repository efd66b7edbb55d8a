"""A proxy between boto3 and a service that throttles, refuses, cuts connections: what networks and S3 do at times."""

import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

S3_ERROR = "<?xml version='1.0'?><Error><Code>{}</Code><Message>injected</Message></Error>"
Fault = Callable[[str, str, int], str | None]  # method, path, how often it was asked before → what goes wrong


class Faults:
    """What the proxy does wrong, and what came by.

    ``fault`` may return ``"slow down"`` (503), ``"throttle"`` (SageMaker's 400), ``"forbidden"`` (403), ``"gone"``
    (404), ``"reset"`` (the connection dies before the request is carried out), ``"lost"`` (… after it was), ``"cut"``
    (half of the content comes, to the last byte), ``"torn"`` (… or less, as chance has it), ``"flip"`` (a byte of the
    content is another), ``"no version"`` or ``"no range"`` (the service never sees If-Match, or Range).
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream)
        self.fault: Fault = lambda method, path, count: None
        self.asked: dict[tuple[str, str], int] = {}
        self.done: list[tuple[str, str, int]] = []  # what reached the service: method, path, status
        self.lock = threading.Lock()
        self.address = ""


@contextmanager
def faulty(upstream: str) -> Iterator[Faults]:
    """Serve a proxy of the service at ``upstream`` on a port of its own."""
    faults = Faults(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = self.path.partition("?")[0] if self.path != "/" else self.headers.get("X-Amz-Target", "/")
            with faults.lock:
                count = faults.asked.get((self.command, path), 0)
                faults.asked[self.command, path] = count + 1
            wrong = faults.fault(self.command, path, count)
            if wrong == "reset":
                return self._kill()
            if wrong == "throttle":
                content = b'{"__type": "ThrottlingException", "message": "Rate exceeded"}'
                return self._send(400, {"Content-Type": "application/x-amz-json-1.1"}, content)
            refused = {"slow down": (503, "SlowDown"), "forbidden": (403, "AccessDenied"), "gone": (404, "NoSuchKey")}
            if wrong in refused:
                status, code = refused[wrong]
                return self._send(status, {"Content-Type": "application/xml"}, S3_ERROR.format(code).encode())
            connection = http.client.HTTPConnection(faults.upstream.hostname or "", faults.upstream.port)
            try:
                unheard = {"no version": "if-match", "no range": "range"}.get(wrong or "")
                passed = {name: value for name, value in self.headers.items() if name.lower() != unheard}
                connection.request(self.command, self.path, body, passed)
                answer = connection.getresponse()
                content = answer.read()
                headers = dict(answer.getheaders())
            finally:
                connection.close()
            with faults.lock:
                faults.done.append((self.command, path, answer.status))
            if wrong == "lost":
                return self._kill()
            if wrong in ("cut", "torn"):
                self._send(answer.status, headers, content, content[: len(content) // 2])
                if wrong == "torn":
                    return self._kill()
                self.close_connection = True  # FIN: what was sent arrives
                return None
            if wrong == "flip":
                content = content[:-1] + bytes([content[-1] ^ 1])
            return self._send(answer.status, headers, content)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _any  # noqa: N815

        def _send(self, status: int, headers: dict[str, str], content: bytes, part: bytes | None = None) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                    self.send_header(name, value)
            length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(content))
            self.send_header("Content-Length", length)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content if part is None else part)
                self.wfile.flush()

        def _kill(self) -> None:
            self.close_connection = True
            with suppress(OSError):  # RST instead of FIN
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.shutdown(socket.SHUT_RD)
                self.connection.close()

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: Any) -> None:  # a killed connection is meant
            pass

    server = Server(("127.0.0.1", 0), Handler)
    faults.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield faults
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
