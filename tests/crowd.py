"""Pages with crowd-* elements in a real browser, served by a small local server (fixture ``crowd_pages``)."""

import contextlib
import json
import threading
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from gandt.service import crowd_elements

TYPES = {".js": "application/javascript", ".png": "image/png", ".svg": "image/svg+xml", ".jpg": "image/jpeg"}


class CrowdPages:
    """Serves pages and the elements, opens them in the browser, and fails the test when a page had an error."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser
        self.pages: dict[str, bytes] = {}
        self.files: dict[str, bytes] = {}
        self.posted: list[Any] = []
        self.status = 200
        self.errors: list[str] = []
        self.stack = contextlib.ExitStack()

    @cached_property
    def address(self) -> str:
        """The server's address, with no slash at its end; starts the server."""
        pages = self

        class Handler(BaseHTTPRequestHandler):
            def send(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                path = self.path.split("?")[0]
                if path in pages.pages:
                    self.send(200, "text/html; charset=utf-8", pages.pages[path])
                elif path in pages.files:
                    self.send(200, TYPES["." + path.rsplit(".", 1)[-1]], pages.files[path])
                elif path == "/crowd-html-elements.js":
                    self.send(200, "application/javascript; charset=utf-8", crowd_elements.bundle().encode())
                elif path.startswith("/static/"):
                    file = crowd_elements.FOLDER / path.removeprefix("/static/")
                    self.send(200, "application/javascript; charset=utf-8", file.read_bytes())
                else:
                    self.send(404, "text/plain", b"")

            def do_POST(self) -> None:
                pages.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send(pages.status, "application/json", b"{}")

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        self.stack.callback(thread.join)
        self.stack.callback(server.server_close)
        self.stack.callback(server.shutdown)
        return f"http://127.0.0.1:{server.server_address[1]}"

    def open(self, html: str, *, script: str = "/crowd-html-elements.js", head: str = "", **context: Any) -> Any:
        """Open ``html`` (a template's text without its script tag) and wait until its elements are ready.

        ``head`` comes before the script; ``context`` goes to Playwright's ``new_context``: viewport, has_touch and
        so on.
        """
        path = f"/page{len(self.pages)}.html"
        start = "<!doctype html><html lang='en'><title>task</title><link rel=icon href=data:,>"
        start += "<meta name='viewport' content='width=device-width'>"
        watch = """<script>
          document.addEventListener("all-crowd-elements-ready", () => { window.isReady = true; });
          document.addEventListener("crowd-form-submitted", (event) => { window.answer = event.detail; });
        </script>"""
        self.pages[path] = f"{start}{watch}{head}<script src='{script}'></script><body>{html}".encode()
        opened = self.stack.enter_context(self.browser.new_context(**context))
        opened.set_default_timeout(5000)
        page = opened.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        page.goto(self.address + path)
        page.wait_for_function("window.isReady")
        return page

    def submit(self, page: Any) -> Any:
        """Click the page's Submit button and return the answer that the form gave; None when it refused."""
        page.evaluate("window.answer = null")
        page.get_by_role("button", name="Submit").click()
        page.evaluate("new Promise((resolve) => setTimeout(resolve, 20))")
        return page.evaluate("window.answer")

    def close(self) -> None:
        """Close the pages and the server; raise when a page reported an error."""
        self.stack.close()
        assert not self.errors, self.errors
