"""``gandt serve``: one port with SageMaker's API for the owner's code, the workers' portal and the owner's page."""

import json
import re
import secrets
import socket
import ssl
from importlib import resources
from typing import Any

from gandt import text
from gandt.errors import InputError, extra
from gandt.service.api import SageMakerApi
from gandt.service.frames import Frames
from gandt.service.labeling import LabelingService
from gandt.service.owner import Owner
from gandt.service.portal import Portal
from gandt.service.programs import Programs
from gandt.service.web import COMMON, PatientProtocol, RefusedError, body, origin, refused

with extra("local", "gandt serve"):
    import uvicorn
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, Response
    from starlette.routing import Route

GRANT_SECONDS = 3600  # for RenderUiTemplate; a task's grants end with its lease
LOOPBACK = ("127.0.0.1", "localhost")

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src {frames}; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_FILES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
# the key id in a signature, which the AWS clients send with every request
_KEY = re.compile(r"AWS4-HMAC-SHA256\s+Credential=([\w-]{16,128})/")


class Server:
    """The routes of one :class:`LabelingService`.

    Parameters
    ----------
    service : LabelingService
        What is served.
    hosts : tuple of str
        Names under which it may be called; any other Host header is refused, so that no foreign name can be
        pointed at this port.
    address : str, optional
        Under which browsers know it, where a proxy stands before it.
    tokens : bool
        Whether SageMaker's API asks for a token, as the AWS access key id; without, whoever reaches it is the owner.
    allowed : tuple of str
        Addresses that templates may load from, beside what they are granted.
    """

    def __init__(
        self,
        service: LabelingService,
        hosts: tuple[str, ...] = LOOPBACK,
        *,
        address: str | None = None,
        tokens: bool = False,
        allowed: tuple[str, ...] = (),
    ) -> None:
        self._service, self._tokens = service, tokens
        portal = Portal(service)
        self._frames = Frames(service, portal.worker, allowed)
        static = resources.files("gandt.service") / "static" / "portal"
        self._static = {file.name: file.read_bytes() for file in static.iterdir()}
        self._static["visible.js"] = text.script().encode()
        routes = [
            Route("/", self._api, methods=["POST"]),
            Route("/", self._page("index.html", frames="'self'")),
            Route("/enter", self._page("index.html", frames="'self'")),
            Route("/owner", self._page("owner.html")),
            Route("/portal/{name}", self._file),
            *self._frames.routes,
            *portal.routes,
            *Owner(service).routes,
            *Programs(service, lambda request: not tokens or self._known(request)).routes,
        ]
        guard = Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
        handlers: dict[Any, Any] = {RefusedError: refused}
        self.app = Starlette(routes=routes, middleware=[guard], exception_handlers=handlers)
        self.app.state.address = address

    async def _api(self, request: Request) -> Response:
        target = request.headers.get("x-amz-target", "")
        if not target.startswith("SageMaker."):  # a browser can't send this header to another origin
            raise RefusedError(404, "this is SageMaker's JSON protocol; call it through boto3 or the AWS CLI")
        headers = {"x-amzn-RequestId": secrets.token_hex(16)}
        kind = "application/x-amz-json-1.1"
        if self._tokens and not await run_in_threadpool(self._known, request):
            answer: Any = {
                "__type": "UnrecognizedClientException",
                "message": "The access key id is no token of this service; gandt owner --api prints one.",
            }
            return Response(json.dumps(answer), 403, headers, media_type=kind)
        sent = await body(request)
        address = origin(request)

        def grant(uri: str) -> str:
            return address + self._frames.grants.path(uri, self._service.clock() + GRANT_SECONDS)

        status, answer = await run_in_threadpool(SageMakerApi(self._service, grant).answer, target, sent)
        return Response(json.dumps(answer), status, headers, media_type=kind)

    def _known(self, request: Request) -> bool:
        key = _KEY.match(request.headers.get("authorization", ""))
        return key is not None and self._service.store.bearer(key[1], "api", self._service.clock()) is not None

    def _page(self, name: str, frames: str = "'none'") -> Any:
        headers = {"Content-Security-Policy": _POLICY.format(frames=frames), "Cache-Control": "no-store", **COMMON}

        async def page(request: Request) -> Response:
            return HTMLResponse(self._static[name], headers=headers)

        return page

    async def _file(self, request: Request) -> Response:
        name = request.path_params["name"]
        kind = _FILES.get(name[name.rfind(".") :])
        if kind is None or name not in self._static:
            raise RefusedError(404, "there is no such file")
        return Response(self._static[name], headers=COMMON, media_type=kind)


def listen(port: int, host: str = "127.0.0.1") -> socket.socket:
    """Return a socket on an interface, on any free port for 0.

    Raises
    ------
    InputError
        When the port is taken, or this machine has no such interface.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (while")[0]
        raise InputError(
            f"port {port} of {host} can't be had ({reason}); give another with --port, or --s3-port if it is the S3's"
        ) from error
    # asyncio doesn't do it for a socket made like this; connections inherit it, and don't wait 40 ms for a body
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def make_server(
    service: LabelingService,
    *,
    hosts: tuple[str, ...] = LOOPBACK,
    address: str | None = None,
    tokens: bool = False,
    allowed: tuple[str, ...] = (),
    certificate: tuple[str, str] | None = None,
) -> uvicorn.Server:
    """Return a server of ``service``; ``run(sockets=[...])`` serves until ``should_exit`` is set or a signal comes.

    Raises
    ------
    InputError
        When ``certificate``, the files of a TLS certificate and its key, can't be used.
    """
    certfile, keyfile = certificate or (None, None)
    # no access log: paths hold leases and grants
    app = Server(service, hosts, address=address, tokens=tokens, allowed=allowed).app
    config = uvicorn.Config(
        app, log_level="warning", access_log=False,
        server_header=False, lifespan="off", timeout_graceful_shutdown=5, h11_max_incomplete_event_size=65_536,
        http=PatientProtocol, log_config=None, ssl_certfile=certfile, ssl_keyfile=keyfile, ws="none",
    )  # fmt: skip
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"the certificate {certfile} with the key {keyfile} can't be used: {error}") from error
    return uvicorn.Server(config)
