"""Tasks in their frames. Templates are hostile: each gets an origin of its own, a policy, and granted objects only.

``sandbox`` without allow-same-origin makes the page's origin opaque: one that no other page has, not even another task.
It gets no cookies, storage or workers, reads nothing from this server's address, and opens no window. A second port or
host name would be less: cookies don't know ports, and tasks would share it.
"""

import mimetypes
import re
import secrets
from typing import Any

from gandt.errors import InputError, extra
from gandt.service import crowd_elements
from gandt.service.grants import Grants
from gandt.service.labeling import LabelingService
from gandt.service.web import COMMON, RefusedError, origin

with extra("local", "gandt serve"):
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, Response, StreamingResponse
    from starlette.routing import Route

# Ground Truth's own address of the elements, in whatever version
_REMOTE = re.compile(
    r"""(?P<quote>["'])https?://[^"'\s>]*/(?:crowd-html-elements[\w-]*|gen-ai-components)\.js(?P=quote)""",
    re.IGNORECASE,
)
# their style lies beside them there, and in them here
_REMOTE_STYLE = re.compile(r"""<link\b[^>]{0,500}["']https?://assets\.crowd\.aws/[^"'\s>]*\.css["'][^>]{0,500}>""")


# The policy can't name WebRTC in a way that browsers know, so its constructors go before the template begins.
# A page that is loaded ahead must not take the keyboard from the one in hand, and templates put the focus where work
# begins: `inert` keeps only people out. So a wish for the focus waits until the portal says that the page is shown.
_FIRST = """<script>
(() => {
  for (const name of ["RTCPeerConnection", "webkitRTCPeerConnection"]) {
    Object.defineProperty(window, name, { value: undefined, writable: false, configurable: false });
  }
  let shown = false, wish = null;
  for (const kind of [HTMLElement.prototype, SVGElement.prototype]) {
    const focus = kind.focus;
    kind.focus = function (...options) {
      if (shown) focus.apply(this, options);
      else wish = () => focus.apply(this, options);
    };
  }
  const own = window.focus;
  window.focus = () => shown && own.call(window);
  addEventListener("message", ({ source, data }) => {
    if (source !== parent || data?.type !== "crowd-form-shown") return;
    shown = data.shown;
    if (shown && wish) wish();
    wish = null;
  });
})();
</script>"""


class Frames:
    """The routes of what is shown inside the portal's frame.

    Parameters
    ----------
    service : LabelingService
        Whose tasks they are.
    worker
        Says which worker a request comes from, or refuses it.
    allowed : tuple of str
        Addresses, as in ``https://cdn.example.com``, whose scripts, styles, fonts, pictures and frames templates may
        load; see :func:`allowable`.
    """

    def __init__(self, service: LabelingService, worker: Any, allowed: tuple[str, ...] = ()) -> None:
        self._service, self._worker = service, worker
        self._allowed = "".join(f" {address}" for address in allowed)
        self.grants = Grants(service.store.set("key", secrets.token_hex(32), once=True))
        self.routes = [
            Route("/crowd-html-elements.js", self._elements),
            Route("/object/{token}/{name:path}", self._object),
            Route("/task/{lease}", self._task),
        ]

    async def _elements(self, request: Request) -> Response:
        headers = {**COMMON, "Cache-Control": "max-age=3600"}
        return Response(crowd_elements.bundle(), headers=headers, media_type="text/javascript; charset=utf-8")

    def _task(self, request: Request) -> Response:
        now, store = self._service.clock(), self._service.store
        lease = store.held(request.path_params["lease"], self._worker(request))
        if lease is None or not (
            (lease.state in ("held", "reserved") and lease.expires > now) or store.changeable(lease.id, now)
        ):
            raise RefusedError(404, "this task isn't yours, or its time is over")
        own = origin(request)
        html = self._service.page(lease, lambda uri: own + self.grants.path(uri, lease.expires))
        html = _REMOTE_STYLE.sub("", html)
        html = _REMOTE.sub(f'"{own}/crowd-html-elements.js" data-portal-origin="{own}"', html)
        granted, others = f"{own}/object/", self._allowed
        policy = (
            f"sandbox allow-scripts; default-src 'none'; "
            f"script-src {own}/crowd-html-elements.js 'unsafe-inline'{others}; style-src 'unsafe-inline'{others}; "
            f"img-src {granted} data: blob:{others}; "
            f"media-src {granted} data: blob:{others}; connect-src {granted}{others}; font-src data:{others}; "
            f"frame-src {granted}{others}; frame-ancestors {own}; base-uri 'none'; form-action 'none'"
        )
        headers = {
            "Content-Security-Policy": policy,
            "Cache-Control": "no-store",
            "X-DNS-Prefetch-Control": "off",  # a name that is looked up could carry something out
            "Permissions-Policy": "camera=(), microphone=(), geolocation=(), clipboard-read=(), display-capture=()",
            **COMMON,
        }
        return HTMLResponse(_whole(html), headers=headers)

    def _object(self, request: Request) -> Response:
        """Send a granted object; the signed address is the right to see it."""
        uri = self.grants.uri(request.path_params["token"], self._service.clock())
        if uri is None:
            raise RefusedError(403, "this address is not valid, or not any more")
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        wanted = {"Range": request.headers["range"]} if "range" in request.headers else {}
        try:
            found = self._service.s3.get_object(Bucket=bucket, Key=key, **wanted)
        except Exception as error:  # botocore's errors are made at run time
            raise RefusedError(404, "the object can't be read") from error
        kind = found.get("ContentType", "")
        if kind in ("", "binary/octet-stream", "application/octet-stream"):
            kind = mimetypes.guess_type(key)[0] or "application/octet-stream"
        headers = {
            **COMMON,
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


def allowable(address: str) -> str:
    """Return an address that templates may load from, checked: it becomes a part of their policy.

    Raises
    ------
    InputError
        When it isn't ``https://HOST``, perhaps with a port and a path (``http`` on this machine only).
    """
    found = re.fullmatch(r"(https?)://([\w.-]+|\[[\da-fA-F:]+\])(:\d{1,5})?(/[\w./@+~-]*)?", address, re.ASCII)
    if not found or (found[1] == "http" and found[2] not in ("127.0.0.1", "localhost", "[::1]")):
        raise InputError(f"--allow {address} isn't https://HOST, which may be followed by a path")
    return address


def _whole(html: str) -> str:
    """Return the page as a document of today's HTML, which templates leave to Ground Truth."""
    told = re.match(r"(?:\s|<!--.*?-->)*<!doctype[^>]*>", html[:2000], re.IGNORECASE | re.DOTALL)
    if told:
        return html[: told.end()] + _FIRST + html[told.end() :]
    head = '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    return head + _FIRST + html
