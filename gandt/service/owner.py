"""The owner's page: what became of every job, live; for whoever has the owner's own signed link."""

import dataclasses
from typing import Any

from gandt.errors import InputError, extra
from gandt.service.invitations import OWNER
from gandt.service.labeling import LabelingService
from gandt.service.portal import SESSION_SECONDS, signed_in
from gandt.service.progress import Progress
from gandt.service.store import Job
from gandt.service.web import PRIVATE, RefusedError, posted

with extra("local", "gandt serve"):
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

COOKIE = "gandt_owner"
CONSOLE_LIMIT = 20_000  # characters of a Lambda's prints that are shown


class Owner:
    """The owner's routes, under ``/owner-api/``; all need the owner's session, on the loopback interface too."""

    def __init__(self, service: LabelingService) -> None:
        self._service, self._progress = service, Progress(service.store)
        base = "/owner-api/"
        self.routes = [
            Route(base + "session", posted(self._sign_in, lambda request: ""), methods=["POST"]),
            Route(base + "sign-out", posted(self._sign_out, self.owner), methods=["POST"]),
            Route(base + "jobs", self._jobs),
            Route(base + "jobs/{job}", self._job),
            Route(base + "jobs/{job}/history", self._history),
            Route(base + "jobs/{job}/gold", posted(self._gold, self.owner), methods=["POST"]),
            Route(base + "functions", self._functions),
        ]

    def owner(self, request: Request) -> str:
        """Refuse a request that isn't the owner's."""
        bearer = self._service.store.bearer(request.cookies.get(COOKIE, ""), "owner-session", self._service.clock())
        if bearer is None:
            raise RefusedError(401, "you aren't signed in as the owner; open the link that gandt owner prints")
        return bearer

    def _sign_in(self, request: Request, _: str, content: dict[str, Any]) -> Response:
        store, now = self._service.store, self._service.clock()
        if store.bearer(str(content.get("token")), "owner-link", now) is None:
            raise RefusedError(401, "this link isn't valid, or not any more; gandt owner prints a new one")
        session = store.issue(OWNER, "owner-session", now + SESSION_SECONDS)
        return signed_in(request, COOKIE, session, "/owner-api")

    def _sign_out(self, request: Request, owner: str, _: dict[str, Any]) -> Response:
        self._service.store.revoke(owner, self._service.clock(), token=request.cookies[COOKIE])
        response = JSONResponse({}, headers=PRIVATE)
        response.delete_cookie(COOKIE, "/owner-api", httponly=True, samesite="strict")
        return response

    def _jobs(self, request: Request) -> Response:
        self.owner(request)
        jobs = [self._progress.brief(job) for job in reversed(self._service.store.jobs())]
        return JSONResponse({"jobs": jobs, "now": self._service.clock()}, headers=PRIVATE)

    def _job(self, request: Request) -> Response:
        self.owner(request)
        now = self._service.clock()
        return JSONResponse({**self._progress.figures(self._named(request), now), "now": now}, headers=PRIVATE)

    def _history(self, request: Request) -> Response:
        self.owner(request)
        job, asked = self._named(request), request.query_params
        before, number = asked.get("before", ""), asked.get("object", "")
        if not all(text == "" or (text.isdecimal() and len(text) < 16) for text in (before, number)):
            raise RefusedError(400, "before and object are numbers")
        events = self._service.store.events(job.name, before=int(before) if before else None, number=number)
        return JSONResponse({"events": [dataclasses.asdict(event) for event in events]}, headers=PRIVATE)

    def _gold(self, request: Request, _: str, content: dict[str, Any]) -> Response:
        try:
            count = self._progress.set_gold(self._named(request), content.get("rows"), self._service.clock())
        except InputError as error:
            raise RefusedError(400, str(error)) from error
        return JSONResponse({"gold": count}, headers=PRIVATE)

    def _functions(self, request: Request) -> Response:
        """Show what the Lambdas printed, their tracebacks among it."""
        self.owner(request)
        printed = {}
        for name, function in self._service.functions.items():
            console = getattr(function, "console", None)
            printed[name] = console()[-CONSOLE_LIMIT:] if console else ""
        return JSONResponse({"functions": printed}, headers=PRIVATE)

    def _named(self, request: Request) -> Job:
        job = self._service.store.job(request.path_params["job"])
        if job is None:
            raise RefusedError(404, "there is no such job")
        return job
