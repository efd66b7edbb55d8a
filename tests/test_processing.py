"""The processing job's program, run as it runs in the container, and what is sent to SageMaker."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from gandt import storage, tables
from gandt.demo.embedded_s3 import embedded_s3
from gandt.errors import InputError
from gandt.processing import Member, Work, work
from gandt.processing.__main__ import MESSAGE, _end

# small parts, and pictures that are slow or, from one on, never end: a kill in the middle leaves something finished
SLOWLY = """
import sys, time
import gandt.embedding.pipeline as pipeline
import gandt.processing.fleet as fleet
pipeline.PART, fleet.SYNC = 2, 0.02
decode, seen = pipeline.decode, []
def slowly(*arguments):
    seen.append(1)
    time.sleep(3600 if len(seen) > {most} else {pause})
    return decode(*arguments)
pipeline.decode = slowly
from gandt.processing.__main__ import main
sys.exit(main())
"""
SEEDS = 3


@pytest.fixture(scope="module")
def pool(digits: Path) -> Iterator[Any]:
    """An S3 that other processes reach, with pictures, one of them broken, and seeds."""
    with embedded_s3("bucket") as (s3, environment):
        rows = []
        for label in ("digit 0", "digit 2"):
            for path in sorted((digits / label).iterdir())[:12]:
                s3.put_object(Bucket="bucket", Key=f"images/{label[-1]}-{path.name}", Body=path.read_bytes())
                rows.append({"item": f"s3://bucket/images/{label[-1]}-{path.name}", "label": label})
        s3.put_object(Bucket="bucket", Key="images/broken.jpg", Body=b"no image at all")
        seeds = pd.DataFrame(rows[:SEEDS] + rows[12 : 12 + SEEDS])
        tables.write_table(seeds, "s3://bucket/seeds.csv", s3=s3)
        yield SimpleNamespace(s3=s3, environment=environment, items=len(rows) + 1)


class Fleet:
    """Processes that each believe to be one instance of a processing job."""

    def __init__(self, pool: Any, folder: Path, store: str) -> None:
        self._pool, self._folder, self.store = pool, folder, store

    def start(self, number: int, of: int, pause: float = 0.0, most: int = 999) -> subprocess.Popen[str]:
        ml = self.ml(number)
        (ml / "config").mkdir(parents=True, exist_ok=True)
        (ml / "processing").mkdir(exist_ok=True)
        hosts = [f"algo-{each}" for each in range(1, of + 1)]
        config = {"current_host": f"algo-{number}", "hosts": hosts}
        (ml / "config" / "resourceconfig.json").write_text(json.dumps(config))
        arn = "arn:aws:sagemaker:us-east-1:1:processing-job/job-1"
        (ml / "config" / "processingjobconfig.json").write_text(json.dumps({"ProcessingJobArn": arn}))
        return self.run({"GANDT_ML": str(ml)}, pause, most)

    def run(self, variables: Mapping[str, str], pause: float = 0.0, most: int = 999) -> subprocess.Popen[str]:
        arguments = ["s3://bucket/images/", self.store, "--seeds", "s3://bucket/seeds.csv", "--rule", "mean"]
        arguments += ["--candidates", f"{self.store}-candidates.parquet", "--threads", "1"]
        return subprocess.Popen(
            [sys.executable, "-c", SLOWLY.format(pause=pause, most=most), *arguments],
            env={**os.environ, **self._pool.environment, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ml(self, number: int) -> Path:
        return self._folder / f"algo-{number}"

    def message(self, number: int) -> str:
        return (self.ml(number) / "output" / "message").read_text()

    def files(self) -> dict[str, bytes]:
        """The store's files, and the candidates."""
        found = [*storage.list_uris(f"{self.store}/", s3=self._pool.s3), f"{self.store}-candidates.parquet"]
        return {uri.removeprefix(self.store): storage.read_bytes(uri, s3=self._pool.s3) for uri in found}


def ended(process: subprocess.Popen[str], code: int = 0) -> dict[str, Any]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    return json.loads(out) if out.strip() else {}


@pytest.fixture(scope="module")
def alone(pool: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one instance makes of the pool."""
    fleet = Fleet(pool, tmp_path_factory.mktemp("alone"), "s3://bucket/alone")
    facts = ended(fleet.start(1, 1))
    assert facts["merged"] and facts["total"] == pool.items
    return fleet.files()


@pytest.mark.slow
def test_one_instance_and_three_with_one_killed_and_restarted_give_the_same(pool, alone, tmp_path: Path) -> None:
    many = Fleet(pool, tmp_path / "many", "s3://bucket/many")
    victim = many.start(2, 3, most=6)
    running = [many.start(1, 3), many.start(3, 3)]
    place = "s3://bucket/many.shards/2of3/"
    deadline = time.monotonic() + 60
    while not any("items-" in uri for uri in storage.list_uris(place, s3=pool.s3)):
        assert victim.poll() is None and time.monotonic() < deadline, "no checkpoint before it ended"
        time.sleep(0.02)
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    finished = sum("items-" in uri for uri in storage.list_uris(place, s3=pool.s3))

    others = [ended(process) for process in running]
    assert not any(each["merged"] for each in others)  # the killed one hasn't said that it is done
    assert not storage_has(pool, "s3://bucket/many/")

    again = ended(many.start(2, 3))
    assert again["merged"] and again["total"] == pool.items
    assert again["known"] >= 2 * finished - 1  # the broken picture is tried again
    assert sum(each["items"] for each in [*others, again]) == pool.items
    assert many.files() == alone
    assert "shard 2/3: " in many.message(2) and f"merged {pool.items}" in many.message(2)
    assert "merged" not in many.message(1)


def storage_has(pool: Any, place: str) -> bool:
    return any(True for _ in storage.list_uris(place, s3=pool.s3))


@pytest.mark.slow
def test_an_array_job_of_batch_gives_the_same(pool, alone, tmp_path: Path) -> None:
    batch = Fleet(pool, tmp_path / "batch", "s3://bucket/batch")
    processes = []
    for index in range(2):
        variables = {
            "AWS_BATCH_JOB_ARRAY_INDEX": str(index),
            "AWS_BATCH_JOB_ARRAY_SIZE": "2",
            "AWS_BATCH_JOB_ID": f"f1e2:{index}",
            "GANDT_ML": str(tmp_path / "no sagemaker here"),
        }
        processes.append(batch.run(variables))
    facts = [ended(process) for process in processes]
    assert any(each["merged"] for each in facts)
    assert batch.files() == alone


def test_a_failure_says_in_the_exit_message_what_failed(pool, tmp_path: Path) -> None:
    fleet = Fleet(pool, tmp_path, "s3://no-such-bucket-at-all/store")
    ended(fleet.start(1, 2), code=1)
    message = fleet.message(1)
    assert message.startswith("shard 1/2 failed: can't ") and "there is no such bucket" in message


def test_a_stopped_job_keeps_its_parts_and_says_so(pool, tmp_path: Path) -> None:
    fleet = Fleet(pool, tmp_path, "s3://bucket/stopped")
    process = fleet.start(1, 1, pause=0.3)
    deadline = time.monotonic() + 60
    while not storage_has(pool, "s3://bucket/stopped.shards/1of1/items-"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert "was stopped; its finished parts are kept" in fleet.message(1)


def test_who_this_machine_is(tmp_path: Path) -> None:
    assert Member.find(str(tmp_path), {}) == Member(1, 1)
    batch = {"AWS_BATCH_JOB_ARRAY_INDEX": "2", "AWS_BATCH_JOB_ARRAY_SIZE": "5", "AWS_BATCH_JOB_ID": "ab:2"}
    assert Member.find(str(tmp_path), batch) == Member(3, 5, "ab")
    with pytest.raises(InputError, match="array job '5' of '5' makes no sense"):
        Member.find(str(tmp_path), {**batch, "AWS_BATCH_JOB_ARRAY_INDEX": "5"})
    (tmp_path / "config").mkdir()
    config = tmp_path / "config" / "resourceconfig.json"
    config.write_text(json.dumps({"current_host": "algo-2", "hosts": ["algo-3", "algo-1", "algo-2"]}))
    assert Member.find(str(tmp_path), batch) == Member(2, 3)
    config.write_text('{"current_host": "algo-9", "hosts": ["algo-1"]}')
    with pytest.raises(InputError, match="doesn't say which host"):
        Member.find(str(tmp_path), {})


def test_an_earlier_jobs_word_doesnt_count(digits: Path, tmp_path: Path) -> None:
    """The pool has grown: the first machine of the new job must not merge on the old job's markers."""
    images = tmp_path / "images"
    images.mkdir()
    paths = sorted((digits / "digit 0").iterdir())
    for path in paths[:4]:
        (images / path.name).write_bytes(path.read_bytes())
    task = Work(str(images), str(tmp_path / "store"))
    assert [work(task, Member(number, 2, "first"))["merged"] for number in (1, 2)] == [False, True]
    for path in paths[4:8]:
        (images / path.name).write_bytes(path.read_bytes())
    results = [work(task, Member(number, 2, "second")) for number in (1, 2)]
    assert [each["merged"] for each in results] == [False, True]
    assert results[1]["total"] == 8


def test_more_machines_than_pictures_and_a_place_that_holds_another_store(pool, digits: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    path = next((digits / "digit 0").iterdir())
    (images / path.name).write_bytes(path.read_bytes())
    task = Work(str(images), "s3://bucket/few")
    facts = [work(task, Member(number, 3), s3=pool.s3) for number in (1, 2, 3)]
    assert facts[2]["merged"] and facts[2]["total"] == 1
    storage.write_text("s3://bucket/taken/items-00007.parquet", "x", s3=pool.s3)
    with pytest.raises(InputError, match=r"holds items-00007.parquet, which is no part"):
        work(Work(str(images), "s3://bucket/taken"), Member(), s3=pool.s3)
    with pytest.raises(InputError, match="go together"):
        work(Work(str(images), "s3://bucket/few", seeds=("a=b",)), Member(), s3=pool.s3)


def test_the_exit_message_is_cut_to_what_sagemaker_takes(tmp_path: Path) -> None:
    assert _end(str(tmp_path), "ü" * 2000, 1) == 1
    content = (tmp_path / "output" / "message").read_bytes()
    assert len(content) <= MESSAGE and set(content.decode()) == {"ü"}


# ---------------------------------------------------------------- submitting


TASK = Work(
    "s3://bucket/images/",
    "s3://bucket/stores/kites",
    ("s3://bucket/seeds.csv",),
    "s3://bucket/candidates.parquet",
    {"model": "lite0", "column": None},
    {"rule": "mean"},
)
ROLE = "arn:aws:iam::123456789012:role/gandt-ProcessingRole"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/gandt:processing"


def test_the_request_is_what_the_program_understands() -> None:
    from gandt.processing import submit
    from gandt.processing.__main__ import parse

    request = submit.build_request(
        "kites-1", TASK, image=IMAGE, role=ROLE, instances=3, subnets=["subnet-1"], security_groups=["sg-1"]
    )
    understood = parse(request["AppSpecification"]["ContainerArguments"])
    assert (understood.source, understood.store) == (TASK.source, TASK.store)
    assert (understood.model, understood.rule, understood.column) == ("lite0", "mean", None)
    assert (understood.seeds, understood.candidates) == (["s3://bucket/seeds.csv"], TASK.candidates)
    cluster = request["ProcessingResources"]["ClusterConfig"]
    assert [each["InstanceType"] for each in cluster["InstancePreferences"]] == list(submit.PREFERRED)
    assert {each["InstanceCount"] for each in cluster["InstancePreferences"]} == {3}
    assert "InstanceType" not in cluster
    single = submit.build_request("kites-1", TASK, image=IMAGE, role=ROLE, types=["ml.g5.xlarge"])
    assert single["ProcessingResources"]["ClusterConfig"]["InstanceType"] == "ml.g5.xlarge"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"instances": 101}, "InstanceCount is over its limit of 100"),
        ({"types": ["ml.p4d.24xlarge"]}, "'ml.p4d.24xlarge' is none of"),
        ({"name": "not a name"}, "ProcessingJobName 'not a name' doesn't match"),
        ({"task": Work("/home/me/images", "s3://bucket/store")}, "/home/me/images isn't on S3"),
        ({"settings": {"Nonsense": 1}}, "Nonsense"),
    ],
)
def test_a_wrong_request_isnt_sent(change: dict[str, Any], words: str) -> None:
    from gandt.errors import ContractError
    from gandt.processing import submit

    given = {"name": "kites-1", "task": TASK, "image": IMAGE, "role": ROLE, **change}
    with pytest.raises(ContractError, match="processing job") as error:
        submit.build_request(**given)
    assert words in str(error.value)


def test_the_estimate_grows_with_images_and_shrinks_with_machines() -> None:
    from gandt.processing import submit

    one = submit.estimate(1_000_000, instance="ml.g5.2xlarge", megapixels=12)
    four = submit.estimate(1_000_000, instance="ml.g5.2xlarge", megapixels=12, instances=4)
    assert one.hours > 3 * four.hours
    assert one.dollars < four.dollars < 1.3 * one.dollars  # four starts instead of one
    # 12 megapixels take a core 33 ms: 8 cores, a million images
    assert one.hours == pytest.approx(1_000_000 * 0.033 / 8 / 3600 + 300 / 3600, rel=0.05)
    known = submit.estimate(3600, instance="ml.p5.4xlarge", rate=1.0, hourly=2.0)
    assert known.dollars == pytest.approx(2 * (3600 + 300) / 3600, abs=0.01)
    with pytest.raises(InputError, match=r"no price for ml.p5.4xlarge; give --hourly and --rate"):
        submit.estimate(10, instance="ml.p5.4xlarge", rate=1.0)


def test_a_type_that_the_account_has_no_quota_for_gives_way_to_the_next(s3) -> None:
    import boto3

    from gandt.errors import ServiceError
    from gandt.processing import submit

    client = boto3.client("sagemaker")
    tried: list[list[str]] = []
    error = {"Error": {"Code": "ResourceLimitExceeded", "Message": "the limit for ml.g6.2xlarge is 0 Instances"}}

    class Poor:
        exceptions = client.exceptions

        def __init__(self, refused: int) -> None:
            self.refused = refused

        def create_processing_job(self, **request: Any) -> dict[str, str]:
            cluster = request["ProcessingResources"]["ClusterConfig"]
            tried.append([each["InstanceType"] for each in cluster.get("InstancePreferences", [cluster])])
            if len(tried) <= self.refused:
                raise client.exceptions.ClientError(error, "CreateProcessingJob")
            return {"ProcessingJobArn": "arn"}

    request = submit.build_request("kites-1", TASK, image=IMAGE, role=ROLE)
    assert submit.submit(request, sagemaker=Poor(2)) == "arn"
    assert [kinds[0] for kinds in tried] == list(submit.PREFERRED)
    tried.clear()
    with pytest.raises(ServiceError, match=r"the limit for ml.g6.2xlarge is 0"):
        submit.submit(request, sagemaker=Poor(9))
    assert len(tried) == 3
    error["Error"] = {"Code": "ResourceInUse", "Message": "Job name must be unique"}
    with pytest.raises(InputError, match="there is a processing job kites-1 already; choose another name"):
        submit.submit(request, sagemaker=Poor(9))


def test_submitted_and_watched(s3, monkeypatch) -> None:
    from typer.testing import CliRunner

    from gandt.cli import app
    from gandt.cli import processing as _commands  # noqa: F401  (registered)

    storage.use(storage.Access())
    for number in range(3):
        s3.put_object(Bucket="bucket", Key=f"images/{number}.jpg", Body=b"x")
    command = ["processing", "submit", "s3://bucket/images/", "s3://bucket/store", "--image", IMAGE, "--role", ROLE]
    run = CliRunner().invoke
    shown = json.loads(run(app, [*command, "--name", "kites-1", "--dry-run", "--json"]).stdout)
    assert shown["arn"] is None and shown["estimate"]["images"] == 3
    sent = json.loads(run(app, [*command, "--name", "kites-1", "--instances", "2", "--json"]).stdout)
    assert sent["arn"].endswith(":processing-job/kites-1")
    s3.put_object(Bucket="bucket", Key="store.shards/1of1/items-1of1-00000.parquet", Body=b"x")
    s3.put_object(Bucket="bucket", Key="store.shards/done/kites-1/1of1.json", Body=b"{}")
    s3.put_object(Bucket="bucket", Key="store.shards/done/kites-0/1of1.json", Body=b"{}")
    now = json.loads(run(app, ["processing", "wait", "kites-1", "--json"]).stdout)
    assert (now["status"], now["done"], now["parts"], now["store"]) == ("Completed", 1, 1, "s3://bucket/store")
    missing = run(app, ["processing", "status", "no-such-job"])
    assert isinstance(missing.exception, InputError) and "no processing job 'no-such-job'" in str(missing.exception)
    storage.use(storage.Access())


def test_a_failed_job_is_told_with_its_exit_message(s3) -> None:
    import boto3

    from gandt.errors import ServiceError
    from gandt.processing import submit

    client = boto3.client("sagemaker")
    request = submit.build_request("kites-1", TASK, image=IMAGE, role=ROLE)
    submit.submit(request, sagemaker=client)

    def failed(**_: Any) -> dict[str, Any]:
        return {
            "AppSpecification": request["AppSpecification"],
            "ProcessingResources": request["ProcessingResources"],
            "ProcessingJobStatus": "Failed",
            "ExitMessage": "shard 1/1 failed: access is denied",
        }

    client.describe_processing_job = failed
    with pytest.raises(ServiceError, match="kites-1 failed: shard 1/1 failed: access is denied"):
        submit.wait("kites-1", sagemaker=client, s3=s3)


@pytest.mark.slow
def test_a_ray_cluster_gives_the_same_store(digits: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="ray isn't installed; pip install 'gandt[ray]'")
    from gandt.embedding import embed, merge
    from gandt.processing.on_ray import embed_on_ray

    images = str(digits / "digit 0")
    facts = embed_on_ray(Work(images, str(tmp_path / "ray")), "local", shards=2)
    assert facts["shards"] == 2 and facts["total"] == facts["items"] == 24
    embed(images, str(tmp_path / "one"))
    merge([str(tmp_path / "one")], str(tmp_path / "alone"))
    files = {path.name: path.read_bytes() for path in (tmp_path / "alone").iterdir() if not path.name.startswith(".")}
    assert files == {p.name: p.read_bytes() for p in (tmp_path / "ray").iterdir() if not p.name.startswith(".")}


def test_the_sdk_gets_the_same_job() -> None:
    pytest.importorskip("sagemaker.core.processing", reason="the SDK isn't installed; pip install 'gandt[sagemaker]'")
    from gandt.processing import sdk, submit

    boto_session = SimpleNamespace(region_name="us-east-1")
    session = SimpleNamespace(boto_region_name="us-east-1", sagemaker_config={}, boto_session=boto_session)
    request = submit.build_request("kites-1", TASK, image=IMAGE, role=ROLE, instances=2)
    made = sdk.processor(request, session=session)
    preferred = request["ProcessingResources"]["ClusterConfig"]["InstancePreferences"]
    assert made.instance_preferences == preferred and made.image_uri == IMAGE
    assert made.entrypoint == list(submit.ENTRYPOINT)
    assert sdk.arguments(request) == request["AppSpecification"]["ContainerArguments"]
    vpc = {"types": ["ml.g5.xlarge"], "subnets": ["subnet-1"], "security_groups": ["sg-1"]}
    made = sdk.processor(submit.build_request("kites-1", TASK, image=IMAGE, role=ROLE, **vpc), session=session)
    assert (made.instance_type, made.network_config.subnets) == ("ml.g5.xlarge", ["subnet-1"])
