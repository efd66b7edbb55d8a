"""Routes for the owner's programs beside SageMaker's API: messages to streaming jobs, a job's problems.

``/sns`` plays as much of Amazon SNS as streaming needs (``boto3.client("sns", endpoint_url=".../sns")``),
``POST /push/JOB`` takes data objects without it, ``GET /jobs/JOB/problems`` says why objects failed, ``GET /s3``
where the objects are.
"""

import re
import uuid
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from gandt.errors import ContractError, extra
from gandt.service.labeling import LabelingService
from gandt.service.streaming import OURS, publish, receive
from gandt.service.web import PRIVATE, RefusedError, body

with extra("local", "gandt serve"):
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import JSONResponse, PlainTextResponse, Response
    from starlette.routing import Route

_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,256}")
_NAMESPACE = "http://sns.amazonaws.com/doc/2010-03-31/"


class Programs:
    """The routes.

    Parameters
    ----------
    service : LabelingService
        Whose jobs they are about.
    known : callable
        Whether a request comes from one of the owner's programs.
    """

    def __init__(self, service: LabelingService, known: Callable[[Request], bool]) -> None:
        self._service, self._known = service, known
        self.routes = [
            Route("/sns", self._guarded(self._sns), methods=["POST"]),
            Route("/sns/", self._guarded(self._sns), methods=["POST"]),
            Route("/push/{job}", self._guarded(self._push), methods=["POST"]),
            Route("/jobs/{job}/problems", self._guarded(self._problems)),
            Route("/s3", self._guarded(self._s3)),
            Route("/human-task-ui/{name}", self._guarded(self._template)),
        ]

    def _guarded(
        self, answer: Callable[[Request, bytes], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            if not await run_in_threadpool(self._known, request):
                raise RefusedError(403, "the access key id is no token of this service; gandt owner --api prints one")
            # a page of another site can send neither of these without being asked first, and is never allowed
            signed = request.headers.get("authorization", "").startswith("AWS4-HMAC-SHA256 ")
            typed = request.headers.get("content-type", "").startswith("application/json")
            if request.method == "POST" and not (signed or typed):
                raise RefusedError(403, "a post is signed, or says Content-Type: application/json")
            return await answer(request, await body(request))

        return endpoint

    async def _push(self, request: Request, sent: bytes) -> Response:
        """Take one line of a manifest for a streaming job; ``x-message-id`` tells a second sending from a new line."""
        job, message_id = request.path_params["job"], request.headers.get("x-message-id") or str(uuid.uuid4())
        try:
            new = await run_in_threadpool(receive, self._service, job, sent.decode(errors="replace"), message_id)
        except ContractError as error:
            raise RefusedError(400, str(error)) from error
        return JSONResponse({"messageId": message_id, "new": new}, headers=PRIVATE)

    async def _problems(self, request: Request, sent: bytes) -> Response:
        found = await run_in_threadpool(self._service.problems, request.path_params["job"])
        if found is None:
            raise RefusedError(404, f"there is no labeling job {request.path_params['job']}")
        return JSONResponse(found, headers=PRIVATE)

    async def _s3(self, request: Request, sent: bytes) -> Response:
        return JSONResponse({"endpoint": self._service.store.setting("s3") or None}, headers=PRIVATE)

    async def _template(self, request: Request, sent: bytes) -> Response:
        record = await run_in_threadpool(self._service.store.record, "human-task-ui", request.path_params["name"])
        if record is None:
            raise RefusedError(404, "there is no such human task UI")
        return PlainTextResponse(record.content, headers=PRIVATE)  # somebody's template: never shown as a page here

    # ------------------------------------------------------------------ SNS's query protocol

    async def _sns(self, request: Request, sent: bytes) -> Response:
        given = {name: values[0] for name, values in parse_qs(sent.decode(errors="replace"), True).items()}
        action = given.get("Action", "")
        try:
            members = await run_in_threadpool(self._act, action, given)
        except ContractError as error:
            code = "InvalidAction" if "no action" in str(error) else "InvalidParameter"
            detail = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(str(error))}</Message></Error>"
            text = f'<ErrorResponse xmlns="{_NAMESPACE}">{detail}<RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>'
            return Response(text, 400, media_type="text/xml")
        about = f"<ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata>"
        result = f"<{action}Result>{members}</{action}Result>"
        text = f'<{action}Response xmlns="{_NAMESPACE}">{result}{about}</{action}Response>'
        return Response(text, media_type="text/xml")

    def _act(self, action: str, given: dict[str, Any]) -> str:
        store = self._service.store
        if action == "CreateTopic":
            if not _TOPIC.fullmatch(given.get("Name", "")):
                raise ContractError("a topic's name has 1 to 256 letters, digits, hyphens and underscores")
            arn = f"arn:aws:sns:us-east-1:{OURS}:{given['Name']}"
            store.add_record("topic", arn, None, self._service.clock())
            return f"<TopicArn>{arn}</TopicArn>"
        if action == "ListTopics":
            rows = "".join(f"<member><TopicArn>{each.key}</TopicArn></member>" for each in store.records("topic"))
            return f"<Topics>{rows}</Topics>"
        if action in ("Publish", "PublishBatch", "DeleteTopic"):
            topic = given.get("TopicArn") or given.get("TargetArn", "")
            if store.record("topic", topic) is None:
                raise ContractError(f"there is no topic {topic!r}; create it first")
            if action == "DeleteTopic":
                store.delete_record("topic", topic)
                return ""
            if action == "Publish":
                message_id = str(uuid.uuid4())
                publish(self._service, topic, given.get("Message", ""), message_id)
                return f"<MessageId>{message_id}</MessageId>"
            rows, base = "", "PublishBatchRequestEntries.member."
            for number in range(1, 11):
                if f"{base}{number}.Id" in given:
                    message_id = str(uuid.uuid4())
                    publish(self._service, topic, given.get(f"{base}{number}.Message", ""), message_id)
                    name = escape(given[f"{base}{number}.Id"])
                    rows += f"<member><Id>{name}</Id><MessageId>{message_id}</MessageId></member>"
            return f"<Successful>{rows}</Successful><Failed/>"
        raise ContractError(f"there is no action {action[:100]!r} here")
