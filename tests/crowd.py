"""Pages with crowd-* elements in a real browser, served by a small local server (fixture ``crowd_pages``)."""

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from gandt.service import crowd_elements

TYPES = {".js": "application/javascript", ".png": "image/png", ".svg": "image/svg+xml", ".jpg": "image/jpeg"}


class CrowdPages:
    """Serves pages and the elements and opens them in the browser. One for all tests, fresh for each (``fresh``)."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser
        self.idle: dict[str, list[Any]] = defaultdict(list)  # opened pages that no test uses, by their options
        self.clear()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler(self))
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def clear(self) -> None:
        """Forget what the last test put here."""
        self.pages: dict[str, bytes] = {}  # path -> HTML
        self.files: dict[str, bytes] = {}  # path -> any other file
        self.posted: list[Any] = []  # what pages sent
        self.status = 200  # what they are answered
        self.errors: list[str] = []  # what they complained of
        self.used: list[tuple[str, Any]] = []

    def fresh(self) -> Iterator["CrowdPages"]:
        """Yield this, empty, to one test; then fail it when one of its pages had an error."""
        self.clear()
        yield self
        for options, page in self.used:
            if not page.is_closed():
                page.goto("about:blank")
                self.idle[options].append(page)
        assert not self.errors, self.errors

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
        page = self.page(context)
        page.goto(self.address + path)
        page.wait_for_function("window.isReady")
        return page

    def page(self, context: dict[str, Any]) -> Any:
        """Return an empty page with these options, an earlier test's where there is one: new ones are slow."""
        options = repr(sorted(context.items()))
        if self.idle[options]:
            page = self.idle[options].pop()
        else:
            page = self.browser.new_context(**context).new_page()
            page.set_default_timeout(60_000)
            page.on("pageerror", lambda error: self.errors.append(str(error)))
            page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        self.used.append((options, page))
        return page

    def submit(self, page: Any) -> Any:
        """Click the page's Submit button and return the answer that the form gave; None when it refused."""
        page.evaluate("window.answer = null")
        page.get_by_role("button", name="Submit").click()
        page.evaluate("new Promise((resolve) => setTimeout(resolve, 20))")
        return page.evaluate("window.answer")

    def close(self) -> None:
        """Close the pages and the server."""
        for pages in self.idle.values():
            for page in pages:
                page.context.close()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def handler(pages: CrowdPages) -> type[BaseHTTPRequestHandler]:
    """Return the class that answers the pages' requests."""

    class Handler(BaseHTTPRequestHandler):
        def send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
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

    return Handler
