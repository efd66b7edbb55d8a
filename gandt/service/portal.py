"""What the portal's script asks of the server: signing in, jobs, tasks, answers, drafts, the last page again."""

from typing import Any

from gandt.errors import InputError, extra
from gandt.service.invitations import checked_name
from gandt.service.labeling import LabelingService
from gandt.service.progress import to_come
from gandt.service.store import Lease
from gandt.service.web import PRIVATE, Attempts, RefusedError, posted, within

with extra("local", "gandt serve"):
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

COOKIE = "gandt_session"
_TWICE = "An answer of yours to that page was kept before, and it stands. Last page shows it, to be changed."
_LATE = "this page can't be changed any more: its time is over, or its label is made"
SESSION_SECONDS = 30 * 86_400


class Portal:
    """The workers' routes, under ``/portal-api/``."""

    def __init__(self, service: LabelingService) -> None:
        self._service, self._codes = service, Attempts()
        base = "/portal-api/"

        def own(path: str, answer: Any, who: Any = self.worker) -> Route:
            return Route(base + path, posted(answer, who), methods=["POST"])

        self.routes = [
            own("session", self._sign_in, lambda request: ""),
            own("sign-out", self._sign_out),
            Route(base + "jobs", self._jobs),
            own("jobs/{job}/next", self._next),
            own("jobs/{job}/ahead", self._ahead),
            own("leases/{lease}/answer", self._answer),
            own("leases/{lease}/draft", self._draft),
            own("leases/{lease}/again", self._again),
            own("leases/{lease}/decline", self._decline),
        ]

    def worker(self, request: Request) -> str:
        """Return the id of the worker whose request this is."""
        worker = self._service.store.bearer(request.cookies.get(COOKIE, ""), "session", self._service.clock())
        if worker is None:
            raise RefusedError(401, "you aren't signed in; open your personal link")
        self._admit(request)
        return worker

    def _admit(self, request: Request) -> None:
        """Refuse who comes from elsewhere than the workforce's SourceIpConfig allows."""
        for force in self._service.store.records("workforce"):
            ranges = force.content.get("SourceIpConfig", {}).get("Cidrs", [])
            host = request.client.host if request.client else ""
            if ranges and not within(host, ranges):
                raise RefusedError(403, f"nobody works from this address ({host}); the workforce has others")

    def _sign_in(self, request: Request, _: str, content: dict[str, Any]) -> Response:
        self._admit(request)
        store, now = self._service.store, self._service.clock()
        worker = self._by_code(content) if "code" in content else store.bearer(str(content.get("token")), "link", now)
        if worker is None:
            raise RefusedError(401, "this link isn't valid, or not any more; ask for a new one")
        return signed_in(request, COOKIE, store.issue(worker, "session", now + SESSION_SECONDS))

    def _by_code(self, content: dict[str, Any]) -> str:
        try:
            name = checked_name(str(content.get("name", "")))
        except InputError as error:
            raise RefusedError(400, str(error)) from error
        self._codes.check()
        try:
            worker = self._service.store.join(str(content["code"])[:100], name, self._service.clock())
        except InputError as error:
            raise RefusedError(409, str(error)) from error
        if worker is None:
            self._codes.failed()
            raise RefusedError(401, "this code isn't valid, or was used already; ask for another")
        return worker

    def _sign_out(self, request: Request, worker: str, _: dict[str, Any]) -> Response:
        self._service.store.revoke(worker, self._service.clock(), token=request.cookies[COOKIE])
        response = JSONResponse({}, headers=PRIVATE)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return response

    def _jobs(self, request: Request) -> Response:
        worker = self.worker(request)
        name, _ = self._service.store.worker(worker)
        jobs = [
            {
                "name": job.name, "title": task["TaskTitle"], "description": task["TaskDescription"],
                "seconds": task["TaskTimeLimitInSeconds"], "left": left,
                "later": to_come(job, self._service.store.states(job.name)),
            }
            for job, left in self._service.jobs(worker)
            for task in [job.request["HumanTaskConfig"]]
        ]  # fmt: skip
        return JSONResponse({"worker": name, "jobs": jobs}, headers=PRIVATE)

    def _next(self, request: Request, worker: str, _: dict[str, Any]) -> Response:
        return self._task_for(worker, request.path_params["job"])

    def _ahead(self, request: Request, worker: str, _: dict[str, Any]) -> Response:
        """Say which task comes after the one in hand, so that its page can be loaded ahead."""
        lease = self._service.store.reserve(request.path_params["job"], worker, self._service.clock())
        return JSONResponse({"lease": lease.id if lease else None}, headers=PRIVATE)

    def _answer(self, request: Request, worker: str, content: dict[str, Any]) -> Response:
        lease = self._lease(request, worker)
        answer, seconds = _answer(content)
        revision = content.get("revision", 0)
        if not isinstance(revision, int) or not 0 <= revision < 1000:
            raise RefusedError(400, "a revision is a number")
        outcome = self._service.submit(lease.id, worker, answer, seconds, revision)
        if outcome == "over":
            kept = "your first answer stands" if revision else "your answer couldn't be kept"
            raise RefusedError(410, f"the time for this task is over; {kept}")
        before = self._service.store.last_answer(lease.id, worker) if outcome == "kept before" else None
        return self._task_for(worker, lease.job, _TWICE if before and before[0] != answer else "")

    def _draft(self, request: Request, worker: str, content: dict[str, Any]) -> Response:
        """Keep what is unfinished, to go on with on any device."""
        lease = self._lease(request, worker)
        answer, seconds = _answer(content)
        kept = self._service.store.set_draft(lease.id, worker, answer, seconds, self._service.clock())
        return JSONResponse({"kept": kept}, headers=PRIVATE)

    def _again(self, request: Request, worker: str, _: dict[str, Any]) -> Response:
        """Give an answered task once more, with its answer, to change it."""
        lease, store, now = self._lease(request, worker), self._service.store, self._service.clock()
        last = store.last_answer(lease.id, worker)
        if last is None or not store.changeable(lease.id, now):
            raise RefusedError(410, _LATE)
        answer, spent, revision = last
        task = {"lease": lease.id, "seconds": lease.expires - now, "draft": answer, "spent": spent}
        return JSONResponse({"task": {**task, "revision": revision + 1}}, headers=PRIVATE)

    def _decline(self, request: Request, worker: str, content: dict[str, Any]) -> Response:
        """Leave a task to others; only ``withdraw`` takes back the answer of one that was answered."""
        lease, store, now = self._lease(request, worker), self._service.store, self._service.clock()
        if content.get("withdraw") is True and lease.state == "submitted" and not store.withdraw(lease.id, worker, now):
            raise RefusedError(410, _LATE)
        store.decline(lease.id, worker, now)
        return self._task_for(worker, lease.job)

    def _lease(self, request: Request, worker: str) -> Lease:
        lease = self._service.store.held(request.path_params["lease"], worker)
        if lease is None:
            raise RefusedError(404, "this task isn't yours")
        return lease

    def _task_for(self, worker: str, job: str, note: str = "") -> Response:
        lease, store = self._service.next(worker, job), self._service.store
        now = self._service.clock()
        task: dict[str, Any] | None = None
        if lease is not None:
            task = {"lease": lease.id, "seconds": lease.expires - now, "spent": 0, "revision": 0}
            draft = store.draft(lease.id)
            if draft is not None:
                task.update(draft=draft.content, spent=draft.seconds)
        kept = store.job(job)
        later = to_come(kept, store.states(job)) if kept is not None else 0
        content = {"task": task, "left": store.left(job, worker, now), "later": later, "note": note}
        return JSONResponse(content, headers=PRIVATE)


def signed_in(request: Request, cookie: str, session: str, path: str = "/") -> Response:
    """Return the response that signs a browser in."""
    response = JSONResponse({}, headers=PRIVATE)
    secure = request.url.scheme == "https"
    response.set_cookie(cookie, session, SESSION_SECONDS, path, httponly=True, samesite="strict", secure=secure)
    return response


def _answer(content: dict[str, Any]) -> tuple[dict[str, Any], float]:
    answer, seconds = content.get("answer"), content.get("seconds", 0)
    if not isinstance(answer, dict) or not isinstance(seconds, (int, float)):
        raise RefusedError(400, "an answer is a JSON object, seconds a number")
    return answer, float(seconds)
