"""The page on which clusters are looked at, named and cleaned: a small server on the loopback interface.

Whoever has the link has the token in it, which the page trades for a cookie; without it nothing is served but the
page's own files. Only the page itself may change anything, pictures are copies, and a foreign Host is refused.
"""

import contextlib
import hmac
import json
import os
import secrets
import socket
import time
from importlib import resources
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from gandt import storage, tables, text
from gandt.candidates.clusters.clustering import Clustering
from gandt.candidates.clusters.naming import Naming
from gandt.candidates.clusters.pictures import SIZES, Pictures
from gandt.candidates.clusters.space import Array, Space, guesses, odd_first, spaced
from gandt.candidates.clusters.state import Cluster
from gandt.errors import GandtError, InputError, extra
from gandt.images import BadImageError

with extra("local", "gandt cluster --serve"):
    import uvicorn
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, JSONResponse, Response
    from starlette.routing import Route

COOKIE = "gandt_clusters"
BODY_LIMIT = 2_000_000
SAMPLE = 12  # pictures of each cluster while k is being chosen
_TYPICAL = 400  # members that a cluster's centre is taken from
_SCRIPT = "text/javascript; charset=utf-8"
_FILES = {"visible.js": _SCRIPT, "clusters.js": _SCRIPT, "clusters.css": "text/css; charset=utf-8"}
_COMMON = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


class _RefusedError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Page:
    """The routes of one reader's work on one clustering.

    Parameters
    ----------
    naming : Naming
    points : Space or None
        The clusters' space; without it images are in no special order and clusters can't be split.
    labels : str
        Where the labels go, a table.
    token : str
        What the link holds.
    s3 : optional
        A boto3 S3 client for the pool's images.
    """

    def __init__(self, naming: Naming, points: Space | None, labels: str, token: str, s3: Any = None) -> None:
        self.naming, self._points, self._labels, self._token = naming, points, labels, token
        self._items = naming.clustering.items
        self._pictures = Pictures(self._items, s3)
        self._lock = Lock()
        self._centres: dict[str, Array] = {}
        self._covers: dict[str, int] = {}
        self._written, self._writing = 0.0, 0.0
        static = resources.files("gandt.candidates.clusters") / "static"
        self._index = (static / "index.html").read_text(encoding="utf-8")
        self._static = {name: (static / name).read_bytes() for name in _FILES if name != "visible.js"}
        self._static["visible.js"] = text.script().encode()
        routes = [
            Route("/", self._page),
            Route("/static/{name}", self._file),
            Route("/session", self._sign_in, methods=["POST"]),
            Route("/api/start", self._start),
            Route("/api/cut/{k:int}", self._cut),
            Route("/api/cluster/{name}", self._cluster),
            Route("/api/decide", self._decide, methods=["POST"]),
            Route("/image/{size}/{point:int}", self._image),
        ]
        guard = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"], www_redirect=False)
        handlers: dict[Any, Any] = {_RefusedError: _refused, GandtError: _explained}
        self.app = Starlette(routes=routes, middleware=[guard], exception_handlers=handlers)

    def write_labels(self) -> None:
        """Write the labels table."""
        started = time.monotonic()
        with self._lock:
            table = self.naming.labels()
        tables.write_table(table, self._labels)
        self._written = time.monotonic()
        self._writing = self._written - started

    # ------------------------------------------------------------------ routes

    async def _page(self, request: Request) -> Response:
        return HTMLResponse(self._index, headers={**_COMMON, "Content-Security-Policy": _POLICY})

    async def _file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _FILES:
            raise _RefusedError(404, "there is no such file")
        return Response(self._static[name], headers=_COMMON, media_type=_FILES[name])

    async def _sign_in(self, request: Request) -> Response:
        content = await _content(request)
        if not hmac.compare_digest(str(content.get("token", "")).encode(), self._token.encode()):
            raise _RefusedError(401, "this link isn't valid; open the one that gandt cluster printed")
        response = JSONResponse({}, headers=_COMMON)
        response.set_cookie(COOKIE, self._token, httponly=True, samesite="strict")
        return response

    def _start(self, request: Request) -> Response:
        self._allowed(request)
        clustering = self.naming.clustering
        with self._lock:
            state = self._state()
        facts = {
            "method": clustering.method,
            "ks": list(clustering.ks),
            "best": clustering.best,
            "silhouettes": [[k, round(value, 4)] for k, value in clustering.silhouettes.items()],
            "tree": top_of_tree(clustering),
            "items": len(clustering.pool),
            "points": clustering.points,
            "worker": self.naming.worker,
            "labels": self._labels,
            "splits": self._points is not None,
        }
        return JSONResponse({**facts, "state": state}, headers=_COMMON)

    def _cut(self, request: Request) -> Response:
        self._allowed(request)
        with self._lock:
            parts = self.naming.cut(request.path_params["k"])
        clusters = []
        for members in parts:
            sample = spaced(members, SAMPLE).tolist()
            names = [self._items[point].rsplit("/", 1)[-1] for point in sample]
            clusters.append({"size": len(members), "sample": sample, "items": names})
        return JSONResponse({"k": request.path_params["k"], "clusters": clusters}, headers=_COMMON)

    def _cluster(self, request: Request) -> Response:
        self._allowed(request)
        name = request.path_params["name"]
        with self._lock:
            clusters = {each.name: each for each in self.naming.clusters()}
            if name not in clusters:
                raise _RefusedError(404, f"there is no cluster {name!r}")
            struck = clusters[name].members[self.naming.struck(name)].tolist()
            members, alike = self._ordered(clusters[name], list(clusters.values()))
        content = {
            "name": name,
            "points": members.tolist(),
            "struck": struck,
            "alike": alike,
            "items": [self._items[point].rsplit("/", 1)[-1] for point in members],
        }
        return JSONResponse(content, headers=_COMMON)

    def _image(self, request: Request) -> Response:
        self._allowed(request)
        size, point = request.path_params["size"], request.path_params["point"]
        if size not in SIZES or point >= len(self._items):
            raise _RefusedError(404, "there is no such picture")
        try:
            content = self._pictures.get(point, size)
        except (BadImageError, GandtError) as error:
            raise _RefusedError(404, f"the picture can't be shown: {error}") from error
        headers = {**_COMMON, "Cache-Control": "private, max-age=86400", "Cross-Origin-Resource-Policy": "same-origin"}
        return Response(content, headers=headers, media_type="image/jpeg")

    async def _decide(self, request: Request) -> Response:
        self._allowed(request)
        content = await _content(request)
        return await run_in_threadpool(self._decided, content)

    def _decided(self, content: dict[str, Any]) -> Response:
        with self._lock:
            try:
                extra = self._act(content)
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                raise _RefusedError(400, f"this is no decision: {error!r}") from error
            state = self._state()
        if time.monotonic() - self._written > max(1.0, 20 * self._writing):
            self.write_labels()
        return JSONResponse({"state": state, **extra}, headers=_COMMON)

    def _act(self, content: dict[str, Any]) -> dict[str, Any]:
        naming, do = self.naming, content["do"]
        seconds = float(content.get("seconds", 0.0))
        if not 0 <= seconds < float("inf"):
            raise ValueError("seconds")
        if do == "undo":
            undone = naming.undo()
            if undone["do"] in ("k", "sort"):
                self._forget()
            return {"undone": {"do": undone["do"], "cluster": undone.get("cluster")}}
        if do == "k":
            naming.choose(int(content["k"]), seconds)
            self._forget()
            return {}
        if do == "sort":
            if self._points is None or len(naming.names()) < 2:
                raise InputError("the rest can be sorted by name once two names were given")
            naming.sort(guesses(self._points, naming.given(), naming.left()), seconds)
            self._forget()
            return {}
        cluster = content["cluster"]
        if not isinstance(cluster, str):
            raise TypeError("cluster")
        if do == "strike":
            naming.strike(cluster, [int(point) for point in content["points"]], bool(content["on"]))
        elif do == "name":
            label = content["label"]
            if not isinstance(label, str):
                raise TypeError("label")
            return {"label": naming.name(cluster, label, seconds)}
        elif do == "split":
            return {"halves": naming.split(cluster, seconds)}
        elif do == "reopen":
            naming.reopen(cluster)
        elif do in ("back", "delete"):
            (naming.send_back if do == "back" else naming.delete)(cluster, seconds)
        else:
            raise ValueError(str(do))
        return {}

    # ------------------------------------------------------------------ pieces

    def _allowed(self, request: Request) -> None:
        """Let in whoever has the cookie."""
        if not hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), self._token.encode()):
            raise _RefusedError(401, "open the link that gandt cluster printed")

    def _state(self) -> dict[str, Any]:
        naming = self.naming
        clusters = [
            {
                "name": each.name,
                "size": len(each.members),
                "struck": int(naming.struck(each.name).sum()),
                "outcome": each.outcome,
                "label": each.label,
                "guess": each.guess,
                "cover": self._cover(each),
            }
            for each in naming.clusters()
        ]
        return {
            "k": naming.k,
            "clusters": clusters,
            "names": [[name, count] for name, count in naming.names().items()],
            "counts": naming.counts(),
            "left": len(naming.left()),
            "seconds": round(naming.seconds, 1),
            "undoable": naming.undoable,
        }

    def _forget(self) -> None:
        """Drop what is known of clusters: after another cut their names stand for others."""
        self._centres.clear()
        self._covers.clear()

    def _cover(self, cluster: Cluster) -> int:
        """Return the point that stands for a cluster, the nearest to its centre."""
        if self._points is None:
            return int(cluster.members[0])
        if cluster.name not in self._covers:
            some = spaced(cluster.members, _TYPICAL)
            points = self._points.at(some)
            centre = points.mean(axis=0)
            self._centres[cluster.name] = centre / max(float(np.linalg.norm(centre)), 1e-9)
            self._covers[cluster.name] = int(some[(points @ centre).argmax()])
        return self._covers[cluster.name]

    def _ordered(self, cluster: Cluster, clusters: list[Cluster]) -> tuple[Array, list[str]]:
        """Return a cluster's members, the odd ones first, and the names of other clusters, the most alike first."""
        if self._points is None:
            return cluster.members, []
        for each in clusters:
            self._cover(each)
        others = [each for each in clusters if each.name != cluster.name]
        points = self._points.at(cluster.members)
        order = odd_first(points, self._centres[cluster.name], [self._centres[each.name] for each in others])
        near = {each.label: 0.0 for each in others if each.label}
        for each in others:
            if each.label:
                near[each.label] = max(
                    near[each.label], float(self._centres[cluster.name] @ self._centres[each.name]) + 1
                )
        return cluster.members[order], sorted(near, key=lambda label: -near[label])


def top_of_tree(clustering: Clustering) -> list[list[float]]:
    """Return the top of the dendrogram for drawing: for each merge its two nodes, height and points.

    Nodes are numbered anew: 0 … k−1 are the clusters of the largest k, in order; k + i is merge i.
    """
    tree = clustering.tree
    if tree is None:
        return []
    nodes = tree.nodes(clustering.ks[-1])
    numbers = {node: place for place, node in enumerate(nodes)}
    rows: list[list[float]] = []
    first = tree.leaves
    for merge in range(2 * tree.leaves - 1 - len(nodes) + 1 - first, len(tree.merges)):
        left, right, height, size = tree.merges[merge].tolist()
        numbers[first + merge] = len(nodes) + len(rows)
        rows.append([numbers[int(left)], numbers[int(right)], round(height, 4), size])
    return rows


def secret(folder: str) -> str:
    """Return the token of a folder's link; it stays the same, so that the link does."""
    path = Path(folder) / ".token"
    with contextlib.suppress(OSError):
        token = path.read_text("ascii").strip()
        if len(token) >= 32:
            return token
    token = secrets.token_urlsafe(32)
    with storage.explained("write", str(path)):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as file:
            file.write(token)
    return token


def listen(port: int) -> socket.socket:
    """Return a socket on the loopback interface, on any free port for 0.

    Raises
    ------
    InputError
        When the port is taken.
    """
    try:
        return socket.create_server(("127.0.0.1", port), backlog=128)
    except OSError as error:
        raise InputError(
            f"port {port} of 127.0.0.1 can't be had ({error.strerror}); give another with --port"
        ) from error


def make_server(page: Page) -> uvicorn.Server:
    """Return a server; ``run(sockets=[...])`` serves until a signal comes or ``should_exit`` is set."""
    config = uvicorn.Config(
        page.app, log_level="warning", log_config=None, access_log=False, server_header=False, lifespan="off",
        timeout_graceful_shutdown=2, h11_max_incomplete_event_size=65_536,
    )  # fmt: skip
    return uvicorn.Server(config)


async def _content(request: Request) -> dict[str, Any]:
    """Return the JSON object that the page sent; another site can send neither this header nor this Origin."""
    origin = str(request.base_url).rstrip("/")
    if request.headers.get("origin", origin) != origin or request.headers.get("x-gandt") != "clusters":
        raise _RefusedError(403, "only the page itself may do this")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > BODY_LIMIT:
            raise _RefusedError(413, f"the body has more than {BODY_LIMIT:,} bytes")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _RefusedError(400, "the body isn't JSON") from error
    if not isinstance(content, dict):
        raise _RefusedError(400, "the body isn't a JSON object")
    return content


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, _RefusedError)
    return JSONResponse({"reason": str(error)}, error.status, headers=_COMMON)


async def _explained(request: Request, error: Exception) -> Response:
    return JSONResponse({"reason": str(error)}, 409, headers=_COMMON)
