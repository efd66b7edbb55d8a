"""Pieces of S3's answers: stretches of objects, conditions, CORS, XML."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from fnmatch import fnmatchcase
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from starlette.requests import Request
from starlette.responses import Response

from gandt.service.objects.body import S3Error
from gandt.service.objects.folder import Content, Object, ObjectFolder

_KEPT = ("content-type", "content-encoding", "content-disposition", "content-language", "cache-control", "expires")
_XML_LIMIT = 4_000_000  # bytes


class Sent(Response):
    """A stretch of an object's file, opened at once, so that a later PUT or DELETE doesn't cut it off."""

    def __init__(
        self, folder: ObjectFolder, found: Object, start: int, end: int, status: int, headers: dict[str, str]
    ) -> None:
        super().__init__(status_code=status)
        self.raw_headers = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
        try:
            self._file = folder.path(found.file).open("rb")
        except FileNotFoundError:  # replaced in this moment
            raise S3Error(503, "SlowDown", "the object is being replaced; ask again") from None
        self._start, self._left = start, end - start

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send it."""
        with self._file as file:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            file.seek(self._start)
            while self._left > 0 and scope["method"] != "HEAD":
                piece = file.read(min(self._left, 1 << 18))
                if not piece:
                    break
                self._left -= len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


def byte_range(text: str, size: int) -> tuple[int, int, int]:
    """Return start, end and status for a Range header; one that isn't understood counts as none, as in HTTP."""
    match = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", text)
    if match is None or match[0] == "bytes=-":
        return 0, size, 200
    first, last = match.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if start >= end:
        raise S3Error(416, "InvalidRange", f"the object has {size} bytes")
    return start, end, 206


def check_conditions(request: Request, there: Object | None, *, writing: bool) -> None:
    """Raise what S3 answers when an If-… header isn't met."""
    tags = {name: request.headers.get(name, "").replace('"', "") for name in ("if-match", "if-none-match")}
    etag = there.etag if there else None
    if tags["if-match"] and etag not in (tags["if-match"], *([etag] if tags["if-match"] == "*" and etag else [])):
        raise S3Error(412, "PreconditionFailed", "the object isn't the one that If-Match names")
    if tags["if-none-match"] and etag and tags["if-none-match"] in ("*", etag):
        raise S3Error(412 if writing else 304, "PreconditionFailed", "the object is there already")
    since = request.headers.get("if-modified-since")
    if since and there and not writing and not tags["if-none-match"]:
        try:
            if int(there.modified) <= parsedate_to_datetime(since).timestamp():
                raise S3Error(304, "NotModified", "the object wasn't modified")
        except ValueError:
            pass


def own_headers(request: Request) -> dict[str, str]:
    """Return the headers that an object keeps."""
    kept = {name: value for name, value in request.headers.items() if name in _KEPT or name.startswith("x-amz-meta-")}
    encodings = [each.strip() for each in kept.pop("content-encoding", "").split(",")]
    encoding = ",".join(each for each in encodings if each and each != "aws-chunked")
    return {**kept, **({"content-encoding": encoding} if encoding else {})}


def cors(request: Request, rules: list[dict[str, list[str]]], method: str) -> dict[str, str]:
    """Return the headers by which a browser lets a page of the request's origin read the answer."""
    origin = request.headers.get("origin", "")
    for rule in rules:
        if method in rule["AllowedMethod"] and any(fnmatchcase(origin, each) for each in rule["AllowedOrigin"]):
            headers = {"Access-Control-Allow-Origin": "*" if "*" in rule["AllowedOrigin"] else origin, "Vary": "Origin"}
            if rule.get("ExposeHeader"):
                headers["Access-Control-Expose-Headers"] = ", ".join(rule["ExposeHeader"])
            return headers
    return {}


def preflight(request: Request, rules: list[dict[str, list[str]]]) -> Response:
    """Answer a browser that asks whether a page may send a request."""
    method = request.headers.get("access-control-request-method", "")
    asked = request.headers.get("access-control-request-headers", "")
    names = [each.strip() for each in asked.split(",") if each.strip()]
    for rule in rules:
        allowed = cors(request, [rule], method)
        # a page of another site never signs in headers: that would be as good as reaching the port itself
        fits = all(
            name.lower() != "authorization"
            and any(fnmatchcase(name.lower(), each.lower()) for each in rule.get("AllowedHeader", []))
            for name in names
        )
        if allowed and fits:
            more = {"Access-Control-Allow-Methods": method, "Access-Control-Allow-Headers": ", ".join(names)}
            return Response(headers={**allowed, **more})
    raise S3Error(403, "AccessForbidden", "no CORS rule of the bucket allows this")


async def read_xml(request: Request) -> ElementTree.Element:
    """Return a request's body, with its namespaces taken off."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _XML_LIMIT:
            raise S3Error(400, "MalformedXML", "the body is too long")
    try:
        if b"<!" in body:  # no entities of its own, that could grow without end
            raise ElementTree.ParseError
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise S3Error(400, "MalformedXML", "the body isn't XML as S3 has it") from error
    for each in root.iter():
        each.tag = each.tag.rpartition("}")[2]
    return root


def xml(body: str, status: int = 200) -> Response:
    """Return an XML answer."""
    head, _, rest = body.partition(">")
    if "<Error" not in head:
        mark = "/" if head.endswith("/") else ""
        head = f'{head.removesuffix("/")} xmlns="http://s3.amazonaws.com/doc/2006-03-01/"{mark}'
    return Response(f'<?xml version="1.0" encoding="UTF-8"?>\n{head}>{rest}', status, media_type="application/xml")


def copy_result(name: str, content: Content, now: float) -> str:
    """Return the XML about a copy."""
    return f"<{name}><ETag>&quot;{content.etag}&quot;</ETag><LastModified>{iso(now)}</LastModified></{name}>"


def text(value: str) -> str:
    """Escape for XML; what XML can't hold at all is asked for with encoding-type=url."""
    return escape(re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "\ufffd", value))


def iso(moment: float) -> str:
    """Return a time as S3's XML has it."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
