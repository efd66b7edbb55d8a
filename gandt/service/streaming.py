"""Streaming jobs: data objects come one by one, as messages of an SNS topic or posts, and are labeled as they come.

A message is one line of a manifest, or a notification of S3 that a file was put. It is kept before it is acknowledged,
and once: by the id that its line names (``dataset-objectid-attribute-name``), else the S3 address and sequencer, else
the message's own id. Every object is an iteration of its own, opened as soon as there is room under
MaxConcurrentTaskCount and consolidated as soon as it is answered, so that no slow object holds the others back.

https://docs.aws.amazon.com/sagemaker/latest/dg/sms-streaming-labeling-job.html
"""

import json
import logging
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from gandt import storage
from gandt.errors import ContractError
from gandt.service.engine import LabelingJob
from gandt.service.inputs import check_line, writable

if TYPE_CHECKING:
    from gandt.service.labeling import LabelingService

_log = logging.getLogger(__name__)
OBJECT_ID = "$label-attribute-name-object-id"
ID_ATTRIBUTE = "dataset-objectid-attribute-name"
IDLE = 10 * 86_400  # seconds without work after which a job stops
OURS = "000000000000"  # the account of topics that this service plays itself


def topic_of(request: Mapping[str, Any]) -> str | None:
    """Return the ARN of the topic that feeds a job, None for one that isn't streaming."""
    source = request["InputConfig"]["DataSource"].get("SnsDataSource")
    return str(source["SnsTopicArn"]) if source else None


def read_message(text: str, message_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield id and line of every data object in a message.

    Raises
    ------
    ContractError
        When it is neither a line of a manifest nor S3's notification.
    """
    try:
        value = json.loads(text)
        writable(value)
    except (ValueError, RecursionError) as error:
        raise ContractError(f"a message isn't JSON: {error}") from error
    if isinstance(value, dict) and isinstance(value.get("Records"), list):
        for record in value["Records"]:
            try:
                key, bucket = unquote_plus(record["s3"]["object"]["key"]), record["s3"]["bucket"]["name"]
                sequencer = str(record["s3"]["object"].get("sequencer", ""))
                uri = f"s3://{bucket}/{key}"
                yield uri + sequencer, {"source-ref": uri}
            except (KeyError, TypeError) as error:
                raise ContractError("a notification of S3 names no object") from error
        return
    if not isinstance(value, dict) or not (
        isinstance(value.get("source"), str) or isinstance(value.get("source-ref"), str)
    ):
        raise ContractError("a message has neither source nor source-ref")
    if len(text) > 100_000:
        raise ContractError("a message has more than 100,000 characters")
    own = value.get(ID_ATTRIBUTE)
    if own is None:
        yield message_id, value
    elif isinstance(own, str) and isinstance(value.get(own), str) and len(own) <= 140 and len(value[own]) <= 1024:
        yield value[own], value
    else:
        raise ContractError(f"{ID_ATTRIBUTE} names no key of the message with a text of up to 1,024 characters")


def receive(service: "LabelingService", job: str, text: str, message_id: str) -> int:
    """Keep the data objects of a message to a job; return how many of them are new.

    Raises
    ------
    ContractError
        When there is no such streaming job in progress, or the message isn't a data object.
    """
    kept = service.store.job(job)
    if kept is None or topic_of(kept.request) is None or kept.ended:
        raise ContractError(f"no streaming job {job!r} is in progress")
    new = 0
    for object_id, line in [*read_message(text, message_id)]:
        check_line(line, kept.request["LabelAttributeName"])
        line[OBJECT_ID] = object_id
        new += service.store.add_streamed(kept.name, object_id, line, service.clock())
    service.wake(kept.name)
    return new


def publish(service: "LabelingService", topic: str, text: str, message_id: str) -> None:
    """Give a message to every job that the topic feeds; one that is no data object is kept among the job's problems."""
    for job in service.store.jobs():
        if topic_of(job.request) == topic and not job.ended:
            try:
                receive(service, job.name, text, message_id)
            except ContractError as error:
                problem = {"message": message_id, "reason": str(error)}
                service.store.add_record(f"refused {job.name.lower()}", message_id, problem, service.clock())


def live(service: "LabelingService", job: LabelingJob) -> bool:
    """Take a streaming job on until it ends, or the service does; return whether the job ended."""
    store, request = service.store, job.request
    lifetime = service.lifetime(job)
    concurrent = request["HumanTaskConfig"].get("MaxConcurrentTaskCount", 1000)
    busy = service.clock()
    while not service.ending:
        stopping, states = service.stopping(job.name), store.states(job.name)
        if sum(states.values()) > len(job.lines):
            job.take(store.lines(job.name)[len(job.lines) :])
        flying = sum(states.get(state, 0) for state in ("drawn", "open", "answered"))
        batch: list[str] = []
        if states.get("waiting") and not stopping:
            batch = job.batch(store.drawn(job.name))[: max(0, concurrent - flying)]
        if "StoppingConditions" in request:
            batch = batch[: max(0, job.allowed() - flying)]
            stopping = stopping or (job.allowed() <= 0 and not flying)
        first, now = store.iteration(job.name)[0] + 1, service.clock()
        for iteration, number in enumerate(batch, first):
            store.open_iteration(job.name, iteration, [number], now)
        ended = 0
        for iteration, opened in store.open_iterations(job.name):
            drawn = store.drawn(job.name, iteration).values()
            if "drawn" in drawn:
                service.prepare(job, iteration)
                drawn = store.drawn(job.name, iteration).values()
            if "open" not in drawn or stopping or service.clock() >= opened + lifetime:
                service.close(job, iteration)
                ended += 1
        if ended:
            job.write_output()
        if batch or flying:
            busy = service.clock()
        if stopping or service.clock() >= busy + IDLE:
            return True
        if not ended:
            service.sleep(job.name)
    return False


class Subscription:
    """What brings the messages of a topic in AWS: a queue subscribed to it, as Ground Truth makes one.

    Its name is ``GroundTruth-<job name in lower case>``; as there, it isn't deleted when the job ends.
    """

    def __init__(self, service: "LabelingService", job: str, topic: str) -> None:
        self._service, self._job, self._topic = service, job, topic
        region = topic.split(":")[3]
        session, config = storage.session(), storage.client_config()
        self._sqs = session.client("sqs", region_name=region, config=config)
        self._sns = session.client("sns", region_name=region, config=config)

    def start(self) -> threading.Thread:
        """Begin to fetch, until the job has ended."""
        thread = threading.Thread(target=self._fetch, name=f"messages to {self._job}", daemon=True)
        thread.start()
        return thread

    def _fetch(self) -> None:
        queue = ""
        while not self._service.ending:
            job = self._service.store.job(self._job)
            if job is None or job.ended:
                return
            try:
                queue = queue or self._subscribe()
                found = self._sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
                for message in found.get("Messages", []):
                    self._take(message)
                    self._sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            except Exception as error:
                if not type(error).__module__.startswith("botocore"):
                    _log.exception("streaming job %s", self._job)
                problem = {"message": "", "reason": f"can't fetch messages of {self._topic}: {error}"}
                self._service.store.put_record(f"refused {job.name.lower()}", "", problem, self._service.clock())
                self._service.sleep(self._job, 5.0)

    def _subscribe(self) -> str:
        name = f"GroundTruth-{self._job.lower()}"
        week = str(14 * 86_400)
        queue = str(self._sqs.create_queue(QueueName=name, Attributes={"MessageRetentionPeriod": week})["QueueUrl"])
        arn = self._sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        allow = {
            "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
            "Resource": arn, "Condition": {"ArnEquals": {"aws:SourceArn": self._topic}},
        }  # fmt: skip
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
        self._sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
        self._sns.subscribe(TopicArn=self._topic, Protocol="sqs", Endpoint=arn)
        return queue

    def _take(self, message: Mapping[str, Any]) -> None:
        try:
            envelope = json.loads(message["Body"])
            text, message_id = envelope["Message"], envelope["MessageId"]
        except (ValueError, KeyError, TypeError):
            text, message_id = message["Body"], message["MessageId"]
        try:
            receive(self._service, self._job, str(text), str(message_id))
        except ContractError as error:
            problem = {"message": message_id, "reason": str(error)}
            kind = f"refused {self._job.lower()}"
            self._service.store.add_record(kind, str(message_id), problem, self._service.clock())
