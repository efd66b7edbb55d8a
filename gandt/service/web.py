"""What all routes of the service share: refusals, bodies, posts that only our own pages can make, slow clients."""

import asyncio
import ipaddress
import time
import urllib.parse
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from gandt.errors import extra
from gandt.service.api import checked_json

with extra("local", "gandt serve"):
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import JSONResponse, Response
    from uvicorn.protocols.http.h11_impl import H11Protocol

BODY_LIMIT = 10_000_000  # bytes; the largest answers hold an image
SMALL = 65_536  # bytes
BODY_SECONDS = 60.0  # for a body to come
COMMON = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
PRIVATE = {"Cache-Control": "no-store", **COMMON}


class RefusedError(Exception):
    """A request that is answered with a status and a sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def refused(request: Request, error: Exception) -> Response:
    """Answer a request that was refused; a Starlette exception handler."""
    assert isinstance(error, RefusedError)
    return JSONResponse({"reason": str(error)}, error.status, headers=PRIVATE)


async def body(request: Request, limit: int = BODY_LIMIT) -> bytes:
    """Return the body, as long as it keeps to the limit and comes in time."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            parts, size = [], 0
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise RefusedError(413, f"the body has more than {limit:,} bytes")
                parts.append(part)
    except ClientDisconnect as error:
        raise RefusedError(400, "the body ended early") from error
    except TimeoutError as error:
        raise RefusedError(408, "the body took too long to come") from error
    return b"".join(parts)


def within(host: str, ranges: Iterable[str]) -> bool:
    """Tell whether an IP address lies in one of the ranges (CIDR)."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in ipaddress.ip_network(each, strict=False) for each in ranges)


def origin(request: Request) -> str:
    """Return this server's own origin, as the browser that asks knows it."""
    address: str | None = request.app.state.address
    if address and urllib.parse.urlsplit(address).hostname == request.url.hostname:
        return address.rstrip("/")
    return str(request.base_url).rstrip("/")


def posted(
    answer: Callable[[Request, str, dict[str, Any]], Response], who: Callable[[Request], str]
) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint for posts of our own pages: another site can't send JSON with this header, nor this Origin.

    ``who`` says whose request it is, or refuses it.
    """

    async def endpoint(request: Request) -> Response:
        own = origin(request)
        if request.headers.get("origin", own) != own or request.headers.get("x-gandt") != "portal":
            raise RefusedError(403, "only the portal's own page may do this")
        if int(request.headers.get("content-length") or BODY_LIMIT) > SMALL:
            await run_in_threadpool(who, request)  # nobody's large body is read
        sent = await body(request)

        def act() -> Response:
            bearer = who(request)
            try:
                content = checked_json(sent)
            except (ValueError, RecursionError) as error:
                raise RefusedError(400, "the body isn't JSON") from error
            if not isinstance(content, dict):
                raise RefusedError(400, "the body isn't a JSON object")
            return answer(request, bearer, content)

        return await run_in_threadpool(act)

    return endpoint


class Attempts:
    """Counts failures: after ``most`` in a minute nobody may try, so that nobody can guess."""

    def __init__(self, most: int = 20, clock: Callable[[], float] = time.monotonic) -> None:
        self._failed: deque[float] = deque(maxlen=most)
        self._clock = clock

    def check(self) -> None:
        """Refuse while there were too many failures."""
        if len(self._failed) == self._failed.maxlen and self._failed[0] > self._clock() - 60:
            raise RefusedError(429, "too many codes were tried; wait a minute")

    def failed(self) -> None:
        """Count one more."""
        self._failed.append(self._clock())


class PatientProtocol(H11Protocol):
    """HTTP for clients that are slow, but not for those that never end: each connection's time is limited.

    uvicorn itself waits without end for the rest of a request's headers, and for a client to read its response.
    """

    HEAD_SECONDS = 20.0  # for the headers of a request, and between requests
    WHOLE_SECONDS = 600.0  # for a request and its response
    LOOK_SECONDS = 2.0

    def connection_made(self, transport: Any) -> None:
        """Begin to watch."""
        super().connection_made(transport)
        self._idle_since: float | None = self.loop.time()
        self._busy_since = 0.0
        self._watch = self.loop.call_later(self.LOOK_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """End watching."""
        self._watch.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        now = self.loop.time()
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy and self._idle_since is not None:
            self._idle_since, self._busy_since = None, now
        elif not busy and self._idle_since is None:
            self._idle_since = now
        late = now - self._busy_since > self.WHOLE_SECONDS if busy else now - self._since() > self.HEAD_SECONDS
        if late:
            self.transport.abort()
        else:
            self._watch = self.loop.call_later(self.LOOK_SECONDS, self._look)

    def _since(self) -> float:
        return self.loop.time() if self._idle_since is None else self._idle_since
