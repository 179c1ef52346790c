"""A server of pages on loopback that can be slow, huge, wrong or away."""

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PAGE = b"""# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name="m"} 3
# TYPE vllm:generation_tokens counter
vllm:generation_tokens_total{model_name="m"} 120
"""


class Server:
    """What the pages answer, and how often each was asked."""

    def __init__(self) -> None:
        self.asked: dict[str, list[float]] = {}
        self.headers: list[dict[str, str]] = []
        self.body = PAGE
        self.release = threading.Event()
        self.address = ""
        # Without it a page answers 401.
        self.wants = ""

    def url(self, path: str = "/metrics") -> str:
        return f"{self.address}{path}"


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path
            server.asked.setdefault(path, []).append(time.time())
            server.headers.append(dict(self.headers.items()))
            try:
                answer(self, server, path)
            except (BrokenPipeError, ConnectionResetError):
                return

        def log_message(self, *_: Any) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    if tls is not None:
        # The handshake belongs to the request's thread: one that fails must not end the server's loop.
        httpd.socket = tls.wrap_socket(httpd.socket, server_side=True, do_handshake_on_connect=False)
        httpd.handle_error = lambda *_: None  # type: ignore[method-assign]  # a refused handshake is no fault here
    thread = threading.Thread(target=httpd.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    server.address = f"http{'s' if tls else ''}://127.0.0.1:{httpd.server_address[1]}"
    try:
        yield server
    finally:
        server.release.set()
        httpd.shutdown()
        httpd.server_close()
        thread.join()


# What a path answers instead of the page: status, headers beside the usual, body.
WRONG: dict[str, tuple[int, dict[str, str], bytes]] = {
    "/moved": (302, {"location": "http://169.254.169.254/latest"}, b""),
    "/missing": (404, {}, b"secret words"),
    "/zipped": (200, {"content-encoding": "gzip"}, PAGE),
    "/html": (200, {}, b"<html>secret words</html>"),
    "/partly": (200, {}, PAGE + b"secret words {\n"),
    "/openmetrics": (
        200,
        {"content-type": "application/openmetrics-text; version=1.0.0"},
        b"# TYPE a counter\na_total 1.0\n# EOF\n",
    ),
}


def answer(request: BaseHTTPRequestHandler, server: Server, path: str) -> None:
    if server.wants and request.headers.get("authorization") != server.wants:
        request.send_response(401)
        request.end_headers()
        return
    if path == "/slow":
        server.release.wait(30)
    if path in ("/trickle", "/huge"):
        request.send_response(200)
        request.end_headers()
        while path == "/trickle" and not server.release.wait(0.05):
            request.wfile.write(b"# one more line\n")
        for _ in range(400):
            request.wfile.write(b"x" * 65_536)
        return
    status, headers, body = WRONG.get(path, (200, {}, server.body))
    request.send_response(status)
    for key, value in ({"content-type": "text/plain; version=0.0.4"} | headers).items():
        request.send_header(key, value)
    request.send_header("content-length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)
