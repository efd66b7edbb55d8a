"""Labeling jobs by command and function: at gandt serve, through a bad network, and at an account of AWS."""

import json
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from faults import faulty
from PIL import Image
from service import MEMBERS, running, until
from typer.testing import CliRunner

from gandt import jobs, storage, templates
from gandt.cli import app
from gandt.cli import consensus as _plan  # noqa: F401  (registers it)
from gandt.cli import job as _commands  # noqa: F401  (registers them)
from gandt.errors import ContractError, InputError, ServiceError

TEMPLATE = """<script src="https://assets.crowd.aws/crowd-html-elements.js"></script>
<crowd-form><p>{{ task.input.source }}</p><crowd-input name="label" label="Which?"></crowd-input></crowd-form>"""


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        with running(str(tmp_path_factory.mktemp("state"))) as served:
            served.team = served.sagemaker.create_workteam(
                WorkteamName="Friends", MemberDefinitions=MEMBERS, Description="those we know"
            )["WorkteamArn"]
            served.worker = served.store.add_worker("Ann", "Friends")
            yield served


@pytest.fixture
def gandt(live, monkeypatch):
    """Run a command with --json against the live service; return its exit code and what it printed."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", live.s3.meta.endpoint_url)
    storage.default_s3.cache_clear()

    def run(*words: str, endpoint: str = live.address) -> tuple[int, Any]:
        done = CliRunner().invoke(app, ["job", *words, "--endpoint", endpoint, "--json"])
        error = done.exception if not isinstance(done.exception, SystemExit) else None
        return done.exit_code, error or json.loads(done.stdout)

    yield run
    storage.use(storage.Access())


def files(folder: Path, lines: int = 3) -> list[str]:
    (folder / "texts.manifest").write_text("".join(f'{{"source": "text {n}"}}\n' for n in range(lines)))
    (folder / "t.liquid.html").write_text(TEMPLATE)
    where = ["--manifest", str(folder / "texts.manifest"), "--template", str(folder / "t.liquid.html")]
    return [*where, "--output", "s3://bucket/jobs", "--workers", "1", "--attribute", "answer"]


def work(live, name: str, count: int, content: Any = None) -> None:
    for _ in range(count):
        until(partial(live.service.next, live.worker, name))
        lease = live.service.next(live.worker, name)  # the same again
        live.service.submit(lease.id, live.worker, content or {"label": "cat"}, 2.0)


def test_a_job_from_local_files_to_its_cost(live, gandt, tmp_path: Path) -> None:
    asked = ["create", "Whole-1", *files(tmp_path), "--category", "cat", "--category", "dog"]
    code, made = gandt(*asked)
    assert (code, made["made"], made["name"]) == (0, True, "Whole-1")
    described = live.sagemaker.describe_labeling_job(LabelingJobName="Whole-1")
    labels = json.loads(storage.read_text(described["LabelCategoryConfigS3Uri"], s3=live.s3))
    assert labels["labels"] == [{"label": "cat"}, {"label": "dog"}]
    assert described["HumanTaskConfig"]["WorkteamArn"] == live.team  # the only one there is
    code, again = gandt(*asked)
    assert (code, again["made"], again["arn"]) == (0, False, made["arn"])
    until(lambda: gandt("status", "Whole-1")[1]["total"] == 3)

    work(live, "Whole-1", 3)
    code, ended = gandt("wait", "whole-1", "--poll", "0.2", "--timeout", "20")
    assert (code, ended["status"], ended["labeled"], ended["share"]) == (0, "Completed", 3, 1.0)
    assert [each["name"] for each in gandt("list", "--contains", "whole")[1]] == ["Whole-1"]
    assert gandt("list", "--status", "Failed")[1] == []
    assert gandt("stop", "Whole-1")[1]["status"] == "Completed"

    (tmp_path / "prices.json").write_text('{"per_object": [[0, 0.5]], "per_task": 0.25, "per_hour": 3600}')
    code, cost = gandt("cost", "Whole-1", "--prices", str(tmp_path / "prices.json"))
    assert (cost["status"], cost["pages"], cost["tasks"], cost["items"]) == ("Completed", 3, 3, 3)
    assert cost["cost"] == pytest.approx(3 * 0.5 + 3 * 0.25 + cost["hours"] * 3600)
    assert (cost["confident"], cost["cost_per_confident"], cost["plan"]) == (
        0,
        None,
        None,
    )  # one answer is no certainty
    with pytest.raises(InputError, match="no worker's answer"):
        raise gandt("cost", "s3://bucket/nothing")[1]


def test_the_endpoint_alone_says_where_its_s3_is(live, gandt, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    live.store.set("s3", "http://s3.example.org")  # not this machine's: nobody sends his files there by mistake
    assert jobs.s3_of(live.address) is None
    live.store.set("s3", live.s3.meta.endpoint_url)
    assert jobs.s3_of("http://service.example.org") is None
    assert jobs.s3_of("http://127.0.0.1:9") is None
    code, made = gandt("create", "Found-1", *files(tmp_path))
    assert (code, made["made"]) == (0, True)
    until(lambda: gandt("status", "Found-1")[1]["total"] == 3)
    work(live, "Found-1", 3)
    assert gandt("wait", "Found-1", "--poll", "0.2", "--timeout", "20")[1]["status"] == "Completed"


def test_another_request_under_the_same_name_is_refused(live, gandt, tmp_path: Path) -> None:
    assert gandt("create", "Named", *files(tmp_path))[0] == 0
    _, error = gandt("create", "named", *files(tmp_path), "--title", "Other", "--set", 'TaskKeywords=["cat"]')
    assert isinstance(error, ContractError)
    for words in ("TaskTitle is 'Label images', not 'Other'", "TaskKeywords is absent, not ['cat']", "choose another"):
        assert words in str(error)
    (tmp_path / "more").mkdir()
    _, error = gandt("create", "Named", *files(tmp_path / "more", lines=4))
    assert "ManifestS3Uri" in str(error) and "TaskTitle" not in str(error)


def test_two_that_create_the_same_job_at_once_get_the_same_job(live, gandt, tmp_path: Path, monkeypatch) -> None:
    """What a lost answer looks like too: the name is free, and then taken by the very request."""
    _, request = dry(gandt, "Raced", tmp_path)
    look = live.sagemaker.describe_labeling_job
    seen: list[int] = []

    def late(**asked: Any) -> Any:
        seen.append(1)
        if len(seen) == 1:
            error = {"Error": {"Code": "ResourceNotFound", "Message": "no"}}
            raise live.sagemaker.exceptions.ClientError(error, "DescribeLabelingJob")
        return look(**asked)

    assert jobs.create(request, sagemaker=live.sagemaker)[1]
    monkeypatch.setattr(live.sagemaker, "describe_labeling_job", late)
    status, made = jobs.create(request, sagemaker=live.sagemaker)
    assert (status.name, made) == ("Raced", False)


def dry(gandt, name: str, folder: Path, *more: str) -> tuple[int, Any]:
    code, request = gandt("create", name, *files(folder), *more, "--dry-run")
    if isinstance(request, dict):  # a dry run uploads nothing, and these tests need the files
        for place, uri in (
            ("texts.manifest", request["InputConfig"]["DataSource"]["S3DataSource"]["ManifestS3Uri"]),
            ("t.liquid.html", request["HumanTaskConfig"]["UiConfig"]["UiTemplateS3Uri"]),
        ):
            storage.write_text(uri, (folder / place).read_text())
    return code, request


def test_a_dry_run_prints_the_request_and_its_file_is_one(live, gandt, tmp_path: Path) -> None:
    before = {each["Key"] for each in live.s3.list_objects_v2(Bucket="bucket").get("Contents", [])}
    (tmp_path / "more").mkdir()
    code, request = gandt(
        "create", "Dry", *files(tmp_path / "more", lines=9), "--dry-run", "--set", "MaxConcurrentTaskCount=7"
    )
    assert (code, request["HumanTaskConfig"]["MaxConcurrentTaskCount"]) == (0, 7)
    new = {each["Key"] for each in live.s3.list_objects_v2(Bucket="bucket").get("Contents", [])} - before
    assert not [key for key in new if "gandt-input" in key or "Dry" in key]  # others' jobs may write meanwhile
    with pytest.raises(InputError, match="no labeling job 'Dry'"):
        raise gandt("status", "Dry")[1]

    _, request = dry(gandt, "Dry", tmp_path)
    (tmp_path / "request.json").write_text(json.dumps(request))
    code, made = gandt("create", "Dry-2", "--request", str(tmp_path / "request.json"), "--set", "TaskTitle=Hello")
    assert (code, made["name"]) == (0, "Dry-2")
    described = live.sagemaker.describe_labeling_job(LabelingJobName="Dry-2")
    assert described["HumanTaskConfig"]["TaskTitle"] == "Hello"


def test_images_that_a_local_manifest_names_go_up_with_it(live, gandt, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 8), "red" if name == "a.png" else "blue").save(tmp_path / name)
    page = json.dumps([{"source-ref": "a.png", "index": 0, "positive_examples": ["b.png"]}, {"source-ref": "b.png"}])
    lines = [{"source-ref": "a.png"}, {"source": page}, {"source-ref": "s3://bucket/there.png"}]
    manifest = tmp_path / "images.manifest"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = ["--manifest", str(manifest), "--template", "image-grid", "--output", "s3://bucket/jobs"]
    assert gandt("create", "Pictures", *words, "--workteam", "Friends")[1]["made"]
    assert not gandt("create", "Pictures", *words, "--workteam", "Friends")[1]["made"]
    uri = live.sagemaker.describe_labeling_job(LabelingJobName="Pictures")["InputConfig"]["DataSource"]["S3DataSource"]
    one, two, three = map(json.loads, storage.read_text(uri["ManifestS3Uri"], s3=live.s3).splitlines())
    first, second = json.loads(two["source"])
    assert one["source-ref"] == first["source-ref"] and first["positive_examples"] == [second["source-ref"]]
    assert three == {"source-ref": "s3://bucket/there.png"}
    assert storage.read_bytes(one["source-ref"], s3=live.s3) == (tmp_path / "a.png").read_bytes()
    asked = ["job", "create", "Later", *words, "--workteam", "Friends", "--dry-run", "--endpoint", live.address]
    assert "names 2 local images" in CliRunner().invoke(app, asked).stderr
    manifest.write_text('{"source-ref": "gone.png"}\n')
    with pytest.raises(InputError, match=r"names gone\.png, which is neither"):
        raise gandt("create", "Absent", *words)[1]


def test_gandts_own_templates_bring_its_lambdas_and_others_are_not_shown_empty(live, gandt, tmp_path: Path) -> None:
    words = files(tmp_path)
    words[3] = "text"
    page = ["--set", "TaskTitle=Own", "--workteam", "Friends"]
    (tmp_path / "texts.manifest").write_text('{"source": "text", "labels": ["a", "b"]}\n')
    assert gandt("create", "Own", *words, *page)[1]["made"]
    task = live.sagemaker.describe_labeling_job(LabelingJobName="Own")["HumanTaskConfig"]
    assert task["PreHumanTaskLambdaArn"].endswith(":function:gandt-LabelingFunction-pre")
    consolidation = task["AnnotationConsolidationConfig"]["AnnotationConsolidationLambdaArn"]
    assert consolidation.endswith(":function:gandt-LabelingFunction-post")
    (tmp_path / "changed.liquid.html").write_text(templates.read("text"))
    words[3] = str(tmp_path / "changed.liquid.html")
    with pytest.raises(ContractError, match=r"no task\.input\.items, and the template needs it; .* with --pre"):
        raise gandt("create", "Empty", *words, *page)[1]
    assert gandt("create", "Full", *words, *page, "--pre", "LabelingFunction-pre")[1]["made"]


def test_at_home_the_outputs_bucket_is_made(live, gandt, tmp_path: Path) -> None:
    words = [word.replace("s3://bucket/", "s3://fresh/") for word in files(tmp_path)]
    assert gandt("create", "Fresh", *words)[1]["output"] == "s3://fresh/jobs/Fresh"
    assert gandt("create", "Fresh", *words)[0] == 0
    assert "fresh" in {each["Name"] for each in live.s3.list_buckets()["Buckets"]}


def test_what_would_fail_is_refused_before_it_is_sent(live, gandt, tmp_path: Path) -> None:
    words = files(tmp_path)
    (tmp_path / "texts.manifest").write_text('{"source": "fine"}\n{"nothing": 1}\n{"source": "cut')
    with pytest.raises(InputError, match=r"texts\.manifest, line 3 isn't a JSON object"):
        raise gandt("create", "Bad", *words)[1]
    (tmp_path / "texts.manifest").write_text('{"source": "fine"}\n{"nothing": 1}\n{"source-ref": "s3://bucket"}\n')
    with pytest.raises(ContractError, match=r"texts\.manifest, line 2: .*line 3: "):
        raise gandt("create", "Bad", *words)[1]
    files(tmp_path)
    (tmp_path / "t.liquid.html").write_text(TEMPLATE.replace("source", "source | nonsense"))
    with pytest.raises(ContractError, match=r"t\.liquid\.html, line 2"):
        raise gandt("create", "Bad", *words)[1]
    files(tmp_path)
    with pytest.raises(ContractError, match="NumberOfHumanWorkersPerDataObject is over its limit of 9"):
        raise gandt("create", "Bad", *words, "--workers", "10")[1]
    with pytest.raises(ServiceError, match="no workteam Nobody"):
        raise gandt("create", "Bad", *words, "--workteam", "Nobody")[1]
    with pytest.raises(InputError, match=r"needs NAME and --output"):
        raise gandt("create")[1]
    with pytest.raises(InputError, match="no labeling job 'Bad'"):
        raise gandt("status", "Bad")[1]
    assert gandt("create", "Bad", *words, "--pre", "Unknown-function")[0] == 1


PUBLIC = "arn:aws:sagemaker:us-east-1:394669845002:workteam/public-crowd/default"


def test_the_public_workforce_is_explained(live, gandt, tmp_path: Path) -> None:
    _, error = gandt("create", "Public", *files(tmp_path), "--workteam", PUBLIC)
    for words in ("Mechanical Turk closed on 30 September 2026", "private workteam", "gandt serve", "vendor"):
        assert words in str(error)
    _, request = dry(gandt, "Public", tmp_path)
    request["HumanTaskConfig"]["WorkteamArn"] = PUBLIC
    with pytest.raises(ContractError, match="Mechanical Turk closed"):
        jobs.create(request, sagemaker=live.sagemaker)


def test_status_says_why_objects_failed_and_why_a_job_did(live, gandt, tmp_path: Path) -> None:
    assert gandt("create", "Expires", *files(tmp_path), "--set", "TaskAvailabilityLifetimeInSeconds=60")[0] == 0
    until(lambda: gandt("status", "Expires")[1]["total"] == 3)
    work(live, "Expires", 1)
    clock, live.service.clock = live.service.clock, lambda: time.time() + 3600
    try:
        ended = gandt("wait", "Expires", "--poll", "0.2")[1]
    finally:
        live.service.clock = clock
    assert (ended["labeled"], ended["failed"]) == (1, 2)
    assert [each["reason"] for each in ended["failures"]] == ["no worker answered before the task expired"] * 2
    shown = CliRunner().invoke(app, ["job", "status", "Expires", "--endpoint", live.address]).stdout
    assert "[##############################] 100% (3 of 3)" in shown and "no worker answered" in shown

    words = [*files(tmp_path), "--pre", "LabelingFunction-pre", "--post", "LabelingFunction-post", "--no-check"]
    assert gandt("create", "Fails", *words, "--template", "s3://bucket/absent.liquid.html")[0] == 0
    code, failed = gandt("wait", "Fails", "--poll", "0.2")
    assert code == 1 and failed["status"] == "Failed" and "absent.liquid.html" in failed["reason"]


def test_waiting_survives_throttling_and_lost_connections(live, gandt, tmp_path: Path, monkeypatch) -> None:
    assert gandt("create", "Stormy", *files(tmp_path))[0] == 0
    with faulty(live.address) as network:
        storm = ["throttle", "reset", "lost", "throttle", "reset", "cut"]
        network.fault = lambda method, path, count: storm[count % 6] if count < 12 and count != 7 else None
        said: list[str] = []
        naps: list[float] = []

        def sleep(seconds: float) -> None:
            naps.append(seconds)
            if len(naps) == 8:
                work(live, "Stormy", 3)

        def connect() -> Any:
            from botocore.config import Config

            once = Config(retries={"mode": "standard", "total_max_attempts": 1})
            return storage.session().client("sagemaker", endpoint_url=network.address, config=once)

        ended = jobs.wait("Stormy", connect=connect, sleep=sleep, said=said.append)
    assert ended.status == "Completed" and len(naps) >= 8 and len(set(naps)) == len(naps)  # jittered
    assert len(said) >= 1 and "still waiting" in said[0]


def test_waiting_goes_on_when_the_laptop_slept_and_credentials_were_renewed() -> None:
    """Hours pass on the wall clock between two looks; the token has expired, and another client has a new one."""
    moment = [1e9]
    made: list[int] = []

    class Sleepy:
        def __init__(self, number: int) -> None:
            self.number = number
            self.client = boto3.client("sagemaker")
            self.meta, self.exceptions = self.client.meta, self.client.exceptions

        def describe_labeling_job(self, **_: Any) -> Any:
            if self.number in (2, 3):
                raise self.exceptions.ClientError(
                    {"Error": {"Code": "ExpiredTokenException", "Message": "expired"}}, "DescribeLabelingJob"
                )
            now = datetime.fromtimestamp(moment[0], UTC)
            status = "Completed" if self.number == 4 else "InProgress"
            told = {"LabelingJobName": "j", "LabelingJobArn": "arn:j", "LabelingJobStatus": status, "CreationTime": now}
            if self.number == 1 and moment[0] > 1e9:  # the first client's connection didn't outlive the sleep
                from botocore.exceptions import ConnectionClosedError

                raise ConnectionClosedError(endpoint_url="https://x")
            return {**told, "LastModifiedTime": now, "LabelCounters": {"TotalLabeled": 1}}

    def connect() -> Any:
        made.append(1)
        return Sleepy(len(made))

    def sleep(seconds: float) -> None:
        moment[0] += 8 * 3600

    said: list[str] = []
    status = jobs.wait("j", connect=connect, sleep=sleep, clock=lambda: moment[0], said=said.append)
    assert (status.status, len(made)) == ("Completed", 4)
    made[:] = []
    with pytest.raises(ServiceError, match="hasn't ended in 30,000 s"):
        jobs.wait("j", connect=connect, sleep=sleep, clock=lambda: moment[0], timeout=30_000)


@pytest.mark.parametrize(
    ("code", "message", "words"),
    [
        (
            "AccessDeniedException",
            "User: u is not authorized to perform: sagemaker:DescribeLabelingJob",
            "gandt doctor",
        ),
        ("ValidationException", "Ground Truth is not available to new customers.", "run the same job on gandt serve"),
    ],
)
def test_what_waiting_cannot_mend_ends_it(monkeypatch, code: str, message: str, words: str) -> None:
    client = boto3.client("sagemaker")

    def refuse(**_: Any) -> Any:
        raise client.exceptions.ClientError({"Error": {"Code": code, "Message": message}}, "DescribeLabelingJob")

    monkeypatch.setattr(client, "describe_labeling_job", refuse)
    with pytest.raises(ServiceError, match=words):
        jobs.wait("j", connect=lambda: client, sleep=lambda seconds: pytest.fail("it waits"))


def test_stopping_keeps_what_there_is_and_is_idempotent(live, gandt, tmp_path: Path) -> None:
    assert gandt("create", "Halt", *files(tmp_path))[0] == 0
    until(lambda: gandt("status", "Halt")[1]["total"] == 3)
    work(live, "Halt", 1)
    assert gandt("stop", "Halt")[1]["status"] in ("Stopping", "Stopped")
    assert gandt("stop", "Halt")[1]["status"] in ("Stopping", "Stopped")
    code, ended = gandt("wait", "Halt", "--poll", "0.2")
    assert (code, ended["status"], ended["labeled"], ended["unlabeled"]) == (0, "Stopped", 1, 2)
    with pytest.raises(InputError, match="no labeling job 'Never'"):
        raise gandt("stop", "Never")[1]


def test_settings_reach_every_member() -> None:
    read = jobs.read_settings(
        [
            'TaskKeywords=["cat", "dog"]',
            "OutputConfig.SnsTopicArn=arn:aws:sns:us-east-1:111122223333:t",
            "MaxHumanLabeledObjectCount=5",
            "KmsKeyId=123",
            'Tags=[{"Key": "a", "Value": "b"}]',
        ]
    )
    assert read["HumanTaskConfig"]["TaskKeywords"] == ["cat", "dog"]
    assert read["OutputConfig"] == {"SnsTopicArn": "arn:aws:sns:us-east-1:111122223333:t", "KmsKeyId": "123"}
    assert read["StoppingConditions"] == {"MaxHumanLabeledObjectCount": 5}
    for text, words in (
        ("SnsTopicArn=x", "could be"),
        ("TaskKeyword=x", "TaskKeywords="),
        ("TaskTitle", "NAME=VALUE"),
        ("TaskKeywords=cat", "takes JSON"),
    ):
        with pytest.raises(ContractError, match=words):
            jobs.read_settings([text])


def test_connecting_needs_a_region_or_an_address(monkeypatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(InputError, match="no AWS region is known"):
        jobs.connect()
    monkeypatch.setenv("AWS_REGION", "eu-west-1")  # what boto3 by itself passes over
    assert jobs.connect().meta.region_name == storage.s3_client().meta.region_name == "eu-west-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")  # the CLI's order
    assert jobs.connect().meta.region_name == "eu-west-1"
    assert jobs.connect(access=storage.Access(region="eu-west-3")).meta.region_name == "eu-west-3"
    with pytest.raises(InputError, match="is no address"):
        jobs.connect("localhost:8250")
    client = jobs.connect("http://127.0.0.1:9")
    with pytest.raises(ServiceError, match="does gandt serve run"):
        monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)
        jobs.describe("x", sagemaker=client)
