"""``gandt serve``: one port with SageMaker's API for the owner's code and the portal for the workers."""

import json
import mimetypes
import re
import secrets
import socket
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any

from gandt.errors import InputError, extra
from gandt.service import crowd_elements
from gandt.service.api import SageMakerApi, checked_json
from gandt.service.grants import Grants
from gandt.service.labeling import LabelingService
from gandt.service.store import Lease

with extra("local", "gandt serve"):
    import uvicorn
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
    from starlette.routing import Route

COOKIE = "gandt_session"
SESSION_SECONDS = 30 * 86_400
LINK_SECONDS = 30 * 86_400
BODY_LIMIT = 10_000_000  # bytes; the largest answers hold an image
GRANT_SECONDS = 3600  # for RenderUiTemplate; a task's grants end with its lease

# Ground Truth's own address of the elements, in whatever version
_REMOTE = re.compile(r"""(?P<quote>["'])https?://[^"'\s>]*/crowd-html-elements(?:-v2)?\.js(?P=quote)""")
_PORTAL_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_FILES = {"portal.js": "text/javascript; charset=utf-8", "portal.css": "text/css; charset=utf-8"}


class _RefusedError(Exception):
    """A request that is answered with a status and a sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Server:
    """The routes of one :class:`LabelingService`.

    Parameters
    ----------
    service : LabelingService
        What is served.
    hosts : list of str
        Names under which it may be called; any other Host header is refused, so that no foreign name can be
        pointed at this port.
    """

    def __init__(self, service: LabelingService, hosts: tuple[str, ...] = ("127.0.0.1", "localhost")) -> None:
        self._service = service
        self._grants = Grants(service.store.set("key", secrets.token_hex(32), once=True))
        static = resources.files("gandt.service") / "static" / "portal"
        self._index = (static / "index.html").read_text(encoding="utf-8")
        self._static = {name: (static / name).read_bytes() for name in _FILES}
        routes = [
            Route("/", self._api, methods=["POST"]),
            Route("/", self._portal),
            Route("/enter", self._portal),
            Route("/portal/{name}", self._file),
            Route("/crowd-html-elements.js", self._elements),
            Route("/object/{token}/{name:path}", self._object),
            Route("/task/{lease}", self._task),
            Route("/portal-api/session", self._guarded(self._sign_in, signed_in=False), methods=["POST"]),
            Route("/portal-api/sign-out", self._guarded(self._sign_out), methods=["POST"]),
            Route("/portal-api/jobs", self._jobs),
            Route("/portal-api/jobs/{job}/next", self._guarded(self._next), methods=["POST"]),
            Route("/portal-api/leases/{lease}/answer", self._guarded(self._answer), methods=["POST"]),
            Route("/portal-api/leases/{lease}/decline", self._guarded(self._decline), methods=["POST"]),
        ]
        guard = Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
        handlers: dict[Any, Any] = {_RefusedError: _refused}
        self.app = Starlette(routes=routes, middleware=[guard], exception_handlers=handlers)

    # ------------------------------------------------------------------ SageMaker's API

    async def _api(self, request: Request) -> Response:
        target = request.headers.get("x-amz-target", "")
        if not target.startswith("SageMaker."):  # a browser can't send this header to another origin
            raise _RefusedError(404, "this is SageMaker's JSON protocol; call it through boto3 or the AWS CLI")
        body = await _body(request)
        address = str(request.base_url).rstrip("/")

        def grant(uri: str) -> str:
            return address + self._grants.path(uri, self._service.clock() + GRANT_SECONDS)

        status, answer = await run_in_threadpool(SageMakerApi(self._service, grant).answer, target, body)
        headers = {"x-amzn-RequestId": secrets.token_hex(16)}
        return Response(json.dumps(answer), status, headers, media_type="application/x-amz-json-1.1")

    # ------------------------------------------------------------------ the portal's files

    async def _portal(self, request: Request) -> Response:
        headers = {"Content-Security-Policy": _PORTAL_POLICY, "Cache-Control": "no-store", **_COMMON}
        return HTMLResponse(self._index, headers=headers)

    async def _file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _FILES:
            raise _RefusedError(404, "there is no such file")
        return Response(self._static[name], headers=_COMMON, media_type=_FILES[name])

    async def _elements(self, request: Request) -> Response:
        headers = {**_COMMON, "Cache-Control": "max-age=3600"}
        return Response(crowd_elements.bundle(), headers=headers, media_type="text/javascript; charset=utf-8")

    # ------------------------------------------------------------------ a task, in its frame

    def _task(self, request: Request) -> Response:
        """Show a leased task: somebody else's file, so it gets an origin of its own and a policy.

        ``sandbox`` without allow-same-origin makes the origin opaque, in the portal's frame and in a tab alike: no
        cookie is sent from it or shown to it. It may load the elements and what was granted, and nothing else.
        """
        lease = self._service.store.held(request.path_params["lease"], self._worker(request))
        if lease is None or lease.state != "held" or lease.expires <= self._service.clock():
            raise _RefusedError(404, "this task isn't yours, or its time is over")
        origin = str(request.base_url).rstrip("/")
        html = self._service.page(lease, lambda uri: origin + self._grants.path(uri, lease.expires))
        html = _REMOTE.sub(f'"{origin}/crowd-html-elements.js" data-portal-origin="{origin}"', html)
        granted = f"{origin}/object/"
        policy = (
            f"sandbox allow-scripts; default-src 'none'; script-src {origin}/crowd-html-elements.js 'unsafe-inline'; "
            f"style-src 'unsafe-inline'; img-src {granted} data: blob:; media-src {granted} data: blob:; "
            f"connect-src {granted}; font-src data:; frame-ancestors {origin}; base-uri 'none'; form-action 'none'"
        )
        return HTMLResponse(
            _whole(html), headers={"Content-Security-Policy": policy, "Cache-Control": "no-store", **_COMMON}
        )

    def _object(self, request: Request) -> Response:
        """Send a granted object; the signed address is the right to see it."""
        uri = self._grants.uri(request.path_params["token"], self._service.clock())
        if uri is None:
            raise _RefusedError(403, "this address is not valid, or not any more")
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        wanted = {"Range": request.headers["range"]} if "range" in request.headers else {}
        try:
            found = self._service.s3.get_object(Bucket=bucket, Key=key, **wanted)
        except Exception as error:  # botocore's errors are made at run time
            raise _RefusedError(404, "the object can't be read") from error
        kind = found.get("ContentType", "")
        if kind in ("", "binary/octet-stream", "application/octet-stream"):
            kind = mimetypes.guess_type(key)[0] or "application/octet-stream"
        headers = {
            **_COMMON,
            "Access-Control-Allow-Origin": "*",  # as the CORS rule that Ground Truth asks of buckets
            "Cross-Origin-Resource-Policy": "cross-origin",
            "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",  # no page of ours
            "Content-Length": str(found["ContentLength"]),
            "Accept-Ranges": "bytes",
            "Cache-Control": "private, max-age=3600",
        }
        if "ContentRange" in found:
            headers["Content-Range"] = found["ContentRange"]
        return StreamingResponse(
            found["Body"].iter_chunks(65_536), 206 if "ContentRange" in found else 200, headers, media_type=kind
        )

    # ------------------------------------------------------------------ what the portal's script calls

    def _guarded(
        self, answer: Callable[[Request, str, dict[str, Any]], Response], *, signed_in: bool = True
    ) -> Callable[[Request], Awaitable[Response]]:
        """Let only the portal's own page post: another site can't send JSON with this header, nor this Origin."""

        async def endpoint(request: Request) -> Response:
            origin = str(request.base_url).rstrip("/")
            if request.headers.get("origin", origin) != origin or request.headers.get("x-gandt") != "portal":
                raise _RefusedError(403, "only the portal's own page may do this")
            worker = await run_in_threadpool(self._worker, request) if signed_in else ""
            try:
                content = checked_json(await _body(request))
            except (ValueError, RecursionError) as error:
                raise _RefusedError(400, "the body isn't JSON") from error
            if not isinstance(content, dict):
                raise _RefusedError(400, "the body isn't a JSON object")
            return await run_in_threadpool(answer, request, worker, content)

        return endpoint

    def _worker(self, request: Request) -> str:
        worker = self._service.store.bearer(request.cookies.get(COOKIE, ""), "session", self._service.clock())
        if worker is None:
            raise _RefusedError(401, "you aren't signed in; open your personal link")
        return worker

    def _sign_in(self, request: Request, _: str, content: dict[str, Any]) -> Response:
        store, now = self._service.store, self._service.clock()
        worker = store.bearer(str(content.get("token", "")), "link", now)
        if worker is None:
            raise _RefusedError(401, "this link isn't valid, or not any more; ask for a new one")
        response = JSONResponse({}, headers=_COMMON)
        session = store.issue(worker, "session", now + SESSION_SECONDS)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, session, SESSION_SECONDS, httponly=True, samesite="strict", secure=secure)
        return response

    def _sign_out(self, request: Request, worker: str, _: dict[str, Any]) -> Response:
        self._service.store.revoke(worker, self._service.clock(), token=request.cookies[COOKIE])
        response = JSONResponse({}, headers=_COMMON)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return response

    def _jobs(self, request: Request) -> Response:
        worker = self._worker(request)
        name, _ = self._service.store.worker(worker)
        jobs = [
            {"name": job.name, "title": task["TaskTitle"], "description": task["TaskDescription"], "left": left}
            for job, left in self._service.jobs(worker)
            for task in [job.request["HumanTaskConfig"]]
        ]
        return JSONResponse({"worker": name, "jobs": jobs}, headers={"Cache-Control": "no-store", **_COMMON})

    def _next(self, request: Request, worker: str, _: dict[str, Any]) -> Response:
        return self._task_for(worker, request.path_params["job"])

    def _answer(self, request: Request, worker: str, content: dict[str, Any]) -> Response:
        lease = self._lease(request, worker)
        answer, seconds = content.get("answer"), content.get("seconds", 0)
        if not isinstance(answer, dict) or not isinstance(seconds, (int, float)):
            raise _RefusedError(400, "an answer is a JSON object, seconds a number")
        outcome = self._service.submit(lease.id, worker, answer, float(seconds))
        if outcome == "over":
            raise _RefusedError(410, "the time for this task is over; your answer couldn't be kept")
        return self._task_for(worker, lease.job)

    def _decline(self, request: Request, worker: str, _: dict[str, Any]) -> Response:
        lease = self._lease(request, worker)
        self._service.store.decline(lease.id, worker, self._service.clock())
        return self._task_for(worker, lease.job)

    def _lease(self, request: Request, worker: str) -> Lease:
        lease = self._service.store.held(request.path_params["lease"], worker)
        if lease is None:
            raise _RefusedError(404, "this task isn't yours")
        return lease

    def _task_for(self, worker: str, job: str) -> Response:
        lease = self._service.next(worker, job)
        now = self._service.clock()
        task = None if lease is None else {"lease": lease.id, "seconds": lease.expires - now}
        left = self._service.store.left(job, worker, now)
        return JSONResponse({"task": task, "left": left}, headers={"Cache-Control": "no-store", **_COMMON})


def listen(port: int) -> socket.socket:
    """Return a socket on the loopback interface, on any free port for 0.

    Raises
    ------
    InputError
        When the port is taken.
    """
    try:
        return socket.create_server(("127.0.0.1", port), backlog=256)
    except OSError as error:
        raise InputError(
            f"port {port} of 127.0.0.1 can't be had ({error.strerror}); give another with --port"
        ) from error


def make_server(service: LabelingService) -> uvicorn.Server:
    """Return a server of ``service``; ``run(sockets=[...])`` serves until ``should_exit`` is set or a signal comes."""
    # no access log: paths hold leases and grants
    config = uvicorn.Config(
        Server(service).app, log_level="warning", access_log=False, server_header=False, lifespan="off",
        timeout_graceful_shutdown=5, h11_max_incomplete_event_size=65_536,
    )  # fmt: skip
    return uvicorn.Server(config)


_COMMON = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


async def _body(request: Request) -> bytes:
    """Return the body, as long as it keeps to the limit."""
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > BODY_LIMIT:
                raise _RefusedError(413, f"the body has more than {BODY_LIMIT:,} bytes")
            parts.append(part)
    except ClientDisconnect as error:
        raise _RefusedError(400, "the body ended early") from error
    return b"".join(parts)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, _RefusedError)
    return JSONResponse({"reason": str(error)}, error.status, headers=_COMMON)


def _whole(html: str) -> str:
    """Return the page as a document of today's HTML, which templates leave to Ground Truth."""
    if "<!doctype" in html[:2000].lower():
        return html
    head = '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    return head + html
