"""Streaming jobs and notices: objects come by SNS, by a queue or by posts, and others hear what became of them."""

import http.server
import json
import threading
import urllib.error
import urllib.request
from typing import Any

import boto3
import pytest
from moto import mock_aws
from service import MEMBERS, running, until

from gandt import read_answers, storage
from gandt.errors import ContractError, InputError, StorageError
from gandt.jobs import build_request
from gandt.service.labeling import LabelingService
from gandt.service.notices import Notices
from gandt.service.store import open_store
from gandt.service.streaming import read_message

TEMPLATE = "<crowd-form>{{ task.input.source }}{{ task.input.source-ref }}</crowd-form>"


def asked(name: str, topic: str, team: str, **settings: Any) -> dict[str, Any]:
    return build_request(
        name,
        manifest=None,
        template="s3://bucket/t.html",
        output="s3://bucket/out",
        workteam=team,
        role="arn:aws:iam::000000000000:role/r",
        label_attribute="animal",
        workers_per_object=1,
        settings={"InputConfig": {"DataSource": {"SnsDataSource": {"SnsTopicArn": topic}}}, **settings},
    )


def output(s3: Any, name: str) -> list[dict[str, Any]]:
    try:
        text = storage.read_text(f"s3://bucket/out/{name}/manifests/output/output.manifest", s3=s3)
    except StorageError:
        return []  # not written yet
    return [json.loads(line) for line in text.splitlines()]


def answer(service: LabelingService, name: str, worker: str) -> str | None:
    """Take one task of the job and answer it; return its object's number, None where there is none."""
    lease = service.next(worker, name)
    if lease is None:
        return None
    assert service.submit(lease.id, worker, {"word": lease.number}, 1) == "kept"
    return lease.number


@pytest.fixture
def live(tmp_path):
    with running(str(tmp_path / "state")) as served:
        served.team = served.sagemaker.create_workteam(WorkteamName="crew", MemberDefinitions=MEMBERS, Description="d")[
            "WorkteamArn"
        ]
        storage.write_text("s3://bucket/t.html", TEMPLATE, s3=served.s3)
        served.sns = boto3.client("sns", endpoint_url=served.address + "/sns")
        served.worker = served.store.add_worker("Ann", "crew")
        yield served


def push(live: Any, job: str, body: bytes, **headers: str) -> tuple[int, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{live.address}/push/{job}", body, named)) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_messages_become_labels_as_they_come(live) -> None:
    topic = live.sns.create_topic(Name="objects")["TopicArn"]
    assert [each["TopicArn"] for each in live.sns.list_topics()["Topics"]] == [topic]
    with pytest.raises(live.sagemaker.exceptions.ClientError, match="no topic"):
        live.sagemaker.create_labeling_job(**asked("s", topic + "x", live.team))
    live.sagemaker.create_labeling_job(**asked("Stream", topic, live.team))
    own = {"source": "one", "dataset-objectid-attribute-name": "key", "key": "first"}
    for _ in range(2):  # the same object again
        live.sns.publish(TopicArn=topic, Message=json.dumps(own))
    record = {"s3": {"bucket": {"name": "bucket"}, "object": {"key": "a+b%2Fc.png", "sequencer": "7"}}}
    entries = [{"Id": "x", "Message": json.dumps({"Records": [record]})}, {"Id": "y", "Message": "no object"}]
    assert len(live.sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)["Successful"]) == 2
    until(lambda: live.store.states("stream").get("open") == 2)
    assert answer(live.service, "Stream", live.worker) == "0"
    until(lambda: live.store.states("stream").get("labeled") == 1)  # the other one isn't waited for
    until(lambda: "animal" in (output(live.s3, "Stream") or [{}])[0])
    assert answer(live.service, "Stream", live.worker) == "1"
    live.sns.publish(TopicArn=topic, Message='{"source": "late"}')
    until(lambda: live.store.states("stream").get("open") == 1)
    assert live.sagemaker.describe_labeling_job(LabelingJobName="Stream")["LabelingJobStatus"] == "InProgress"
    live.sagemaker.stop_labeling_job(LabelingJobName="Stream")
    until(lambda: live.store.job("stream").status == "Stopped")
    first, second, late = output(live.s3, "Stream")
    assert (first["source"], first["key"], first["animal"]) == ("one", "first", {})
    assert first["$label-attribute-name-object-id"] == "first"
    assert second["source-ref"] == "s3://bucket/a b/c.png"
    assert second["$label-attribute-name-object-id"] == "s3://bucket/a b/c.png7"
    assert "animal" not in late
    assert list(read_answers("s3://bucket/out/Stream", s3=live.s3).item) == ["one", "s3://bucket/a b/c.png"]
    (refused,) = live.service.problems("stream")["RefusedMessages"]
    assert "isn't JSON" in refused["reason"]
    with pytest.raises(live.sns.exceptions.InvalidParameterException):
        live.sns.publish(TopicArn=topic + "x", Message="{}")
    live.sns.delete_topic(TopicArn=topic)
    with pytest.raises(live.sns.exceptions.ClientError):
        live.sns.publish(TopicArn=topic, Message="{}")


def test_plain_posts_and_what_they_may_not(live) -> None:
    topic = live.sns.create_topic(Name="objects")["TopicArn"]
    conditions = {"StoppingConditions": {"MaxHumanLabeledObjectCount": 2}}
    human = {"HumanTaskConfig": {"MaxConcurrentTaskCount": 1}}
    live.sagemaker.create_labeling_job(**asked("posts", topic, live.team, **conditions, **human))
    kind = {"Content_Type": "application/json"}
    for number in range(3):
        line = json.dumps({"source": str(number)}).encode()
        assert push(live, "posts", line, X_Message_Id=str(number), **kind)[1]["new"] == 1
    assert push(live, "posts", line, X_Message_Id="2", **kind)[1]["new"] == 0
    for body, message in (
        (b"{}", "neither"),
        (b'{"source": NaN}', "JSON"),
        (b'{"source": 1}', "neither"),
        (b"\xff", "J"),
    ):
        code, said = push(live, "posts", body, **kind)
        assert (code, message in said["reason"]) == (400, True)
    assert push(live, "posts", line)[0] == 403  # a form of another site could send this
    assert push(live, "other", line, **kind)[0] == 400
    until(lambda: live.store.states("posts").get("open"))
    assert live.store.states("posts") == {"open": 1, "waiting": 2}
    for _ in range(2):
        until(lambda: answer(live.service, "posts", live.worker) is not None)
    until(lambda: live.store.job("posts").status == "Stopped")
    assert live.store.states("posts") == {"labeled": 2, "waiting": 1}
    with urllib.request.urlopen(f"{live.address}/jobs/posts/problems") as found:
        assert json.load(found)["FailedObjects"] == []


def test_a_stream_goes_on_after_a_restart(s3, tmp_path) -> None:
    storage.write_text("s3://bucket/t.html", TEMPLATE, s3=s3)
    team = "arn:aws:sagemaker:us-east-1:000000000000:workteam/private-crowd/me"
    topic = "arn:aws:sns:us-east-1:000000000000:t"

    def open_service() -> LabelingService:
        service = LabelingService(open_store(str(tmp_path)), {}, s3)
        service.start()
        return service

    from gandt.service.streaming import receive

    service = open_service()
    service.store.put_workteam({"WorkteamName": "me"}, 0)
    service.store.add_record("topic", topic, None, 0)
    assert service.create(asked("go-on", topic, team))
    receive(service, "go-on", '{"source": "a"}', "1")
    until(lambda: service.store.states("go-on").get("open") == 1)
    service.end()
    receive(service, "go-on", '{"source": "b"}', "2")  # kept, though nobody looks
    service.store.close()
    service = open_service()
    worker = service.store.add_worker("Ann", "me")
    until(lambda: service.store.states("go-on").get("open") == 2)
    assert {answer(service, "go-on", worker), answer(service, "go-on", worker)} == {"0", "1"}
    until(lambda: service.store.states("go-on").get("labeled") == 2)
    service.stop("go-on")
    until(lambda: service.store.job("go-on").ended)
    assert [line["source"] for line in output(s3, "go-on")] == ["a", "b"]
    service.end()
    service.store.close()


def test_a_topic_in_aws_is_heard_through_a_queue(tmp_path) -> None:
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="bucket")
        storage.write_text("s3://bucket/t.html", TEMPLATE, s3=s3)
        sns, sqs = boto3.client("sns"), boto3.client("sqs")
        topic = sns.create_topic(Name="objects")["TopicArn"]
        labeled = sns.create_topic(Name="labeled")["TopicArn"]
        queue = sqs.create_queue(QueueName="listener")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=labeled, Protocol="sqs", Endpoint=arn)
        store = open_store(str(tmp_path))
        service = LabelingService(store, {}, s3, notices=Notices(store))
        service.start()
        notify = {"NotificationConfiguration": {"NotificationTopicArn": labeled}}
        store.put_workteam({"WorkteamName": "me", **notify}, 0)
        team = "arn:aws:sagemaker:us-east-1:000000000000:workteam/private-crowd/me"
        told = {"OutputConfig": {"SnsTopicArn": labeled}}
        assert service.create(asked("From-AWS", topic, team, **told))
        until(lambda: sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"])
        assert sqs.get_queue_url(QueueName="GroundTruth-from-aws")
        sns.publish(TopicArn=topic, Message='{"source": "from afar"}')
        sns.publish(TopicArn=topic, Message="nonsense")
        until(lambda: store.states("from-aws").get("open") == 1)
        worker = store.add_worker("Ann", "me")
        assert answer(service, "From-AWS", worker) == "0"
        until(lambda: store.states("from-aws").get("labeled") == 1)
        until(lambda: len(service.problems("from-aws")["RefusedMessages"]) == 1)
        heard: list[Any] = []

        def all_heard() -> bool:
            for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
                heard.append(json.loads(json.loads(message["Body"])["Message"]))
            return len(heard) == 2

        until(all_heard)
        work = next(each for each in heard if "taskTitle" in each)
        assert work["labelingJobArn"].endswith(":labeling-job/from-aws")
        line = next(each for each in heard if "source" in each)
        assert (line["source"], line["animal"]) == ("from afar", {})
        service.stop("from-aws")
        until(lambda: store.job("from-aws").ended)
        service.end()
        store.close()


class Hook(http.server.BaseHTTPRequestHandler):
    """Fails once, then listens."""

    def do_POST(self) -> None:
        heard = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.heard.append(heard)
        self.send_response(500 if len(self.server.heard) == 1 else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_webhook_hears_of_a_jobs_end_even_if_it_was_away(tmp_path) -> None:
    server = http.server.HTTPServer(("127.0.0.1", 0), Hook)
    server.heard = []
    store = open_store(str(tmp_path))
    hook = f"http://127.0.0.1:{server.server_port}/hook"
    arn = "arn:aws:sagemaker:us-east-1:000000000000:labeling-job/j"
    early = Notices(store, hook)
    early.state_changed(arn, "Completed", 0)  # nobody delivers yet; a service that ends keeps it
    early.end()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    notices = Notices(store, hook)
    notices.start()
    until(lambda: len(server.heard) == 2)
    until(lambda: not store.records("notice"))
    notices.end()
    server.shutdown()
    server.server_close()
    store.close()
    first, second = server.heard
    assert first == second
    assert first["id"]
    assert first["detail-type"] == "SageMaker Ground Truth Labeling Job State Change"
    assert (first["source"], first["detail"], first["resources"]) == (
        "aws.sagemaker",
        {"LabelingJobStatus": "Completed"},
        [arn],
    )
    for wrong in ("ftp://a/b", "a.example/hook", "http://"):
        with pytest.raises(InputError, match="--webhook"):
            Notices(store, wrong)


@pytest.mark.parametrize(
    "text",
    [
        "[]", "1", "{", '{"source": 1}', '{"Records": [{}]}', '{"Records": [1]}',
        '{"source": "a", "dataset-objectid-attribute-name": "absent"}',
        json.dumps({"source": "a", "dataset-objectid-attribute-name": "k", "k": "x" * 1025}),
        json.dumps({"source": "a" * 100_001}),
        '{"source": "\\ud800"}',
    ],
)  # fmt: skip
def test_what_is_no_data_object_is_refused(text: str) -> None:
    with pytest.raises(ContractError):
        [*read_message(text, "id")]
