"""gandt deploy and the rounds, in moto: deployed, launched, waited for, consolidated, deleted."""

import io
import json
import os
import re
import time
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import aws
import boto3
import pandas as pd
import pytest
from typer.testing import CliRunner

import gandt
from gandt import jobs, storage, tables
from gandt.deploy import Stack, bundle, steps
from gandt.errors import InputError, ServiceError

ROOT = Path(__file__).resolve().parents[1]
DATA = "gandt-sagemaker-123456789012-us-east-1"
TEAM = "arn:aws:sagemaker:us-east-1:123456789012:workteam/private-crowd/team"


def stack(**options: Any) -> Stack:
    return Stack(transform=aws.transformed, poll=0.01, **options)


@pytest.fixture
def empty() -> Iterator[None]:
    storage.use(storage.Access())
    with aws.account():
        yield
    storage.use(storage.Access())


# ---------------------------------------------------------------- what is uploaded


def test_a_bundle_depends_on_its_files_alone(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "__pycache__").mkdir(parents=True)
        (tmp_path / name / "handler.py").write_text("x = 1\n")
        (tmp_path / name / "README.md").write_text(name)
        (tmp_path / name / "__pycache__" / "handler.pyc").write_text(name)
        time.sleep(0.01)
    assert bundle.bundle(tmp_path / "one") == bundle.bundle(tmp_path / "two")
    (tmp_path / "two" / "handler.py").write_text("x = 2\n")
    assert bundle.bundle(tmp_path / "one") != bundle.bundle(tmp_path / "two")


def test_the_template_names_code_that_is_uploaded_and_fits_into_a_request() -> None:
    template, code = bundle.packaged("some-bucket")
    assert set(re.findall(r"s3://some-bucket/(\S+)", template)) == set(code)
    assert len(code) == 3
    assert "../lambdas" not in template and "rounds.asl.json" not in template
    for content in code.values():
        assert "handler.py" in zipfile.ZipFile(io.BytesIO(content)).namelist()
    assert len(template.encode()) < bundle.MAX_TEMPLATE


def test_every_parameter_is_known_with_its_purpose() -> None:
    declared = re.findall(r"^  (\w+):\n    Type: (?:String|Number|CommaDelimitedList)$", bundle.source(), re.MULTILINE)
    assert list(bundle.parameters()) == declared
    assert all(bundle.parameters().values())
    with pytest.raises(InputError, match=r"no parameter 'Prefx'; it has Prefix, KmsKeyArn"):
        bundle.chosen({"Prefx": "a"})


# ---------------------------------------------------------------- plan, act, delete


def test_a_plan_changes_nothing_and_can_be_forgotten(empty) -> None:
    there = stack()
    plan = there.plan({"LogDays": "7"})
    assert plan.new and plan.parameters == {"LogDays": "7"}
    assert {"PreAnnotation", "LabelingJobRole", "Bucket"} <= {change.resource for change in plan.changes}
    assert {change.action for change in plan.changes} == {"Add"}
    assert not boto3.client("s3").list_buckets()["Buckets"]
    there.discard(plan)
    assert there.describe() is None


def test_deployed_changed_and_deleted_but_never_a_bucket_with_data(empty) -> None:
    there = stack()
    said: list[str] = []
    outputs = there.act(there.plan({"AggregationImage": aws.IMAGE}), said=said.append)
    assert outputs["Bucket"] == DATA
    assert outputs["PreHumanTaskLambdaArn"].endswith(":gandt-LabelingFunction-pre")
    assert outputs["RoundsArn"].endswith("stateMachine:gandt-rounds")
    assert any("CREATE_COMPLETE" in sentence for sentence in said)
    assert {entry["Key"].partition("-")[0] for entry in _objects("gandt-code-123456789012-us-east-1")} == {
        "gandt/pre_annotation",
        "gandt/post_annotation",
        "gandt/job_ended",
    }
    function = boto3.client("lambda").get_function_configuration(FunctionName="gandt-LabelingFunction-post")
    assert function["Runtime"] == "python3.13"
    logs = boto3.client("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/gandt-")["logGroups"]
    assert len(logs) == 4 and {group["retentionInDays"] for group in logs} == {30}

    boto3.client("s3").put_object(Bucket=DATA, Key="images/1.jpg", Body=b"precious")
    result = there.delete()
    assert there.describe() is None and there.outputs() == {}
    assert result["kept"] == [DATA]
    assert sorted(result["removed"]) == [
        "gandt-access-logs-123456789012-us-east-1",
        "gandt-code-123456789012-us-east-1",
    ]
    assert boto3.client("s3").get_object(Bucket=DATA, Key="images/1.jpg")["Body"].read() == b"precious"
    assert not boto3.client("lambda").list_functions()["Functions"]

    again = there.plan()
    assert again.parameters["ExistingBucket"] == DATA
    assert "is there already" in again.notes[0]


def test_what_is_left_out_keeps_its_value(empty) -> None:
    there = stack()
    there.act(there.plan({"OldVersionDays": "9"}))
    sent: list[dict[str, Any]] = []
    event = "provide-client-params.cloudformation.CreateChangeSet"
    there._cloudformation.meta.events.register(event, lambda params, **_: sent.append(params))
    change = there.plan({"LogDays": "7"})
    assert not change.new and change.parameters == {"LogDays": "7"}
    assert sent[0]["ChangeSetType"] == "UPDATE"
    parameters = {each["ParameterKey"]: each for each in sent[0]["Parameters"]}
    assert parameters["LogDays"]["ParameterValue"] == "7"
    assert parameters["OldVersionDays"] == {"ParameterKey": "OldVersionDays", "UsePreviousValue": True}
    there.discard(change)
    assert there.outputs()["Bucket"] == DATA  # forgetting a change leaves the stack


def test_a_bucket_whose_objects_were_deleted_still_holds_versions_and_stays(empty) -> None:
    there = stack()
    there.act(there.plan())
    s3 = boto3.client("s3")  # moto's CloudFormation leaves versioning out
    s3.put_bucket_versioning(Bucket=DATA, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=DATA, Key="a", Body=b"1")
    s3.delete_object(Bucket=DATA, Key="a")
    assert DATA in there.delete()["kept"]


def test_others_objects_in_the_code_bucket_stay(empty) -> None:
    there = stack()
    there.act(there.plan())
    boto3.client("s3").put_object(Bucket=there.code_bucket, Key="gandt/notes.txt", Body=b"mine")
    assert there.code_bucket in there.delete()["kept"]


def test_what_goes_wrong_is_said_in_a_sentence(empty, monkeypatch) -> None:
    with pytest.raises(InputError, match="there is no stack gandt in us-east-1"):
        stack().delete()
    there = stack()
    client = there._cloudformation
    failed = {"Status": "FAILED", "StatusReason": "Invalid template property [Foo]", "Changes": []}
    monkeypatch.setattr(client, "describe_change_set", lambda **_: failed)
    with pytest.raises(ServiceError, match=r"can't plan the stack gandt: Invalid template property \[Foo\]"):
        there.plan()
    assert there.describe() is None  # the shell that the change set made is gone again
    nothing = {"Status": "FAILED", "StatusReason": "The submitted information didn't contain changes.", "Changes": []}
    monkeypatch.setattr(client, "describe_change_set", lambda **_: nothing)
    plan = there.plan()
    assert (plan.identifier, plan.changes) == ("", ())
    monkeypatch.setattr(there, "describe", lambda: {"StackStatus": "ROLLBACK_COMPLETE"})
    with pytest.raises(InputError, match="--delete it first"):
        there.plan()


def test_a_failing_stack_names_the_first_resource_that_failed(empty, monkeypatch) -> None:
    there = stack()
    plan = there.plan()
    failed = {
        "EventId": "1",
        "LogicalResourceId": "Bucket",
        "ResourceStatus": "CREATE_FAILED",
        "ResourceStatusReason": "the name is taken",
    }
    monkeypatch.setattr(there, "_events", lambda seen: ([] if seen else [failed], {"1"}))
    monkeypatch.setattr(
        there._cloudformation, "describe_stacks", lambda **_: {"Stacks": [{"StackStatus": "ROLLBACK_COMPLETE"}]}
    )
    monkeypatch.setattr(there, "_wait", lambda seen, said: ("ROLLBACK_COMPLETE", ["Bucket the name is taken"]))
    with pytest.raises(ServiceError, match="gandt is ROLLBACK_COMPLETE: Bucket the name is taken"):
        there.act(plan)


def test_the_command_shows_acts_and_deletes(empty, monkeypatch) -> None:
    from gandt.cli import app
    from gandt.cli import deploy as _command  # noqa: F401  (registered)

    monkeypatch.setattr("gandt.deploy.Stack", lambda name: stack(name=name))
    run = CliRunner().invoke

    shown = run(app, ["deploy", "--dry-run", "--json", "--set", "Prefix=kites"])
    plan = json.loads(shown.stdout)
    assert plan["acted"] is False and plan["parameters"] == {"Prefix": "kites"} and len(plan["changes"]) > 15
    assert not boto3.client("s3").list_buckets()["Buckets"]

    refused = run(app, ["deploy"])
    assert isinstance(refused.exception, InputError) and "--yes" in str(refused.exception)

    done = json.loads(run(app, ["deploy", "--yes", "--json"]).stdout)
    assert done["acted"] and done["outputs"]["Bucket"] == DATA

    gone = json.loads(run(app, ["deploy", "--delete", "--yes", "--json"]).stdout)
    assert gone["deleted"] and gone["kept"] == []


def _objects(bucket: str) -> list[dict[str, Any]]:
    return boto3.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])


# ---------------------------------------------------------------- the rounds


class Cloud:
    """The stack, deployed in moto with its rounds, a Ground Truth with a crowd, and a pool of digits in its bucket."""

    def __init__(self, digits: Path) -> None:
        from gandt.demo.crowd import Nature, Scene, SimulatedCrowd

        self.truth: dict[str, str] = {}
        self.scene = Scene({}, {}, {})
        careful = Nature("careful", 0.97, 3.0)
        self.crowd = SimulatedCrowd([careful] * 6, ("digit 0", "digit 2", "None of these"), self.scene, 3, "team")
        self.ground_truth = aws.GroundTruth(self.crowd)
        self.ticket_first: list[bool] = []
        self._digits = digits

    def invoke(self, name: str, event: Any) -> Any:
        """Run the stack's Lambdas in this process."""
        if name == "gandt-LabelingFunction-aggregation":
            if event["step"] == "create":
                self.ticket_first.append(event["run"]["job"] not in self.ground_truth.jobs)
            return self.steps.take(event["step"], event["run"], event.get("ticket", ""))
        assert name == "gandt-LabelingFunction-ended"
        function = boto3.client("lambda").get_function_configuration(FunctionName=name)
        with patch.dict(os.environ, function["Environment"]["Variables"]):
            return aws.load("job_ended").lambda_handler(event, None)

    def put(self) -> None:
        """Deploy, and upload the pool."""
        outputs = stack().act(stack().plan({"AggregationImage": aws.IMAGE}))
        self.outputs = outputs
        self.s3 = boto3.client("s3")
        self.steps = steps.Steps(
            outputs["Bucket"],
            outputs["RoleArn"],
            outputs["PreHumanTaskLambdaArn"],
            outputs["AnnotationConsolidationLambdaArn"],
            s3=self.s3,
        )
        rows = []
        for folder in sorted(self._digits.iterdir()):
            label = folder.name if folder.name in ("digit 0", "digit 2") else "None of these"
            for path in sorted(folder.glob("*.png"))[:12]:
                if "broken" in path.name:
                    continue
                key = f"images/{folder.name.replace(' ', '')}-{path.name}"
                self.s3.put_object(Bucket=DATA, Key=key, Body=path.read_bytes())
                uri = f"s3://{DATA}/{key}"
                self.truth[uri] = label
                seen = f"s3://{key}"  # the crowd reads addresses with the bucket in the host's name
                self.scene.truth[seen], self.scene.lookalike[seen], self.scene.difficulty[seen] = label, label, 0.1
                rows.append({"item": uri, "label": label})
        self.gold = pd.DataFrame(rows[::8])
        tables.write_table(self.gold, f"s3://{DATA}/gold.csv", s3=self.s3)
        tables.write_table(pd.DataFrame(rows)[["item"]], f"s3://{DATA}/pool.csv", s3=self.s3)

    def start(self, **settings: Any) -> str:
        run = {
            "name": "kites",
            "workteam": TEAM,
            "categories": ["digit 0", "digit 2"],
            "budget": 400,
            "items": f"s3://{DATA}/pool.csv",
            "gold": f"s3://{DATA}/gold.csv",
            **settings,
        }
        states = boto3.client("stepfunctions")
        started = states.start_execution(
            stateMachineArn=self.outputs["RoundsArn"], name=run["name"], input=json.dumps(run)
        )
        return started["executionArn"]

    def ended(self, execution: str, end_job: Any) -> dict[str, Any]:
        """Wait for the machine, ending each job that it creates by ``end_job(name)``."""
        done = {name for name, job in self.ground_truth.jobs.items() if job["LabelingJobStatus"] != "InProgress"}
        deadline = time.monotonic() + 120
        while True:
            found = boto3.client("stepfunctions").describe_execution(executionArn=execution)
            if found["status"] != "RUNNING":
                return found
            for name in set(self.ground_truth.jobs) - done:
                time.sleep(0.05)
                done.add(name)
                end_job(name)
            assert time.monotonic() < deadline, "the machine never ended"
            time.sleep(0.02)

    def news(self) -> list[str]:
        """What was published to the topic."""
        from moto.core import DEFAULT_ACCOUNT_ID
        from moto.sns.models import sns_backends

        topic = sns_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].topics[self.outputs["TopicArn"]]
        return [entry[1] for entry in topic.sent_notifications]


@pytest.fixture(scope="module")
def cloud(digits: Path) -> Iterator[Cloud]:
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    environment = {**dict.fromkeys(keys, "testing"), "AWS_DEFAULT_REGION": "us-east-1"}
    storage.use(storage.Access())
    cloud = Cloud(digits)
    with patch.dict(os.environ, environment), aws.account(cloud.invoke), cloud.ground_truth.open():
        cloud.put()
        yield cloud
        with warnings.catch_warnings():  # moto's, of types that it doesn't know
            warnings.simplefilter("ignore")
            assert stack().delete()["kept"] == [DATA]
    storage.use(storage.Access())


def test_the_machine_runs_the_rounds_until_all_is_sure(cloud: Cloud) -> None:
    execution = cloud.start()
    found = cloud.ended(execution, cloud.ground_truth.finish)
    assert found["status"] == "SUCCEEDED", found
    run = json.loads(found["output"])["run"]
    labels = tables.read_table(f"s3://{DATA}/rounds/kites/labels.parquet", s3=cloud.s3)
    gold = set(cloud.gold["item"])
    assert set(labels["item"]) == set(cloud.truth) - gold  # every item once, gold apart
    assert run["round"] >= 1 and cloud.ticket_first == [True] * run["round"]
    assert run["spent"] <= 400
    right = [cloud.truth[item] == label for item, label in zip(labels["item"], labels["label"], strict=True)]
    assert sum(right) > 0.85 * len(right)
    report = json.loads(storage.read_text(f"s3://{DATA}/rounds/kites/report.json", s3=cloud.s3))
    assert report["confident"] + report["relabel"] + report["unanswered"] == len(labels)
    assert cloud.news()[-1] == run["message"]
    assert f"{report['confident']:,} items are labeled for sure" in run["message"]
    assert len(cloud.ground_truth.rules_met) == run["round"]  # each of EventBridge's words woke the machine once


def test_launched_waited_for_and_consolidated_by_people(cloud: Cloud) -> None:
    """What `gandt job create --stack gandt`, `wait`, `answers` and `consensus` do, upon the deployed stack."""
    manifest = gandt.build_manifest(
        sorted(cloud.truth)[:12], per_page=6, categories=["digit 0", "digit 2"], other="None of these"
    )
    manifest.write(f"s3://{DATA}/people.manifest", cloud.s3)
    sagemaker = boto3.client("sagemaker")
    prepared = jobs.prepare(
        "people-1",
        manifest=f"s3://{DATA}/people.manifest",
        template="image-grid",
        output=f"s3://{DATA}/jobs",
        workteam=TEAM,
        stack="gandt",
        sagemaker=sagemaker,
        s3=cloud.s3,
    )
    assert prepared.request["RoleArn"] == cloud.outputs["RoleArn"]
    prepared.send(s3=cloud.s3)
    status, made = jobs.create(prepared.request, sagemaker=sagemaker)
    assert made and status.status == "InProgress"
    cloud.ground_truth.finish("people-1")
    status = jobs.wait("people-1", connect=lambda: sagemaker, poll=0.01)
    answers = gandt.read_answers(f"s3://{DATA}/jobs/people-1/", s3=cloud.s3)
    labels = gandt.consolidate(answers).labels
    assert (status.status, len(labels), len(answers)) == ("Completed", 12, 36)


def test_the_budget_is_never_exceeded(cloud: Cloud) -> None:
    found = cloud.ended(cloud.start(budget=30, name="poor"), cloud.ground_truth.finish)
    run = json.loads(found["output"])["run"]
    assert 0 < run["spent"] <= 30
    assert run["uncertain"] > 0 and "were never asked" in run["message"]
    report = json.loads(storage.read_text(f"s3://{DATA}/rounds/poor/report.json", s3=cloud.s3))
    assert report["never_asked"] > 0


def test_a_job_that_fails_ends_the_run_with_the_reason(cloud: Cloud) -> None:
    found = cloud.ended(cloud.start(name="fails"), lambda name: cloud.ground_truth.finish(name, "Failed"))
    assert found["status"] == "FAILED"
    assert "the template could not be read" in found["cause"]
    assert "labeling job fails-r1 failed" in cloud.news()[-1]


def test_wrong_settings_end_the_run_before_anybody_is_asked(cloud: Cloud) -> None:
    before = set(cloud.ground_truth.jobs)
    found = cloud.ended(cloud.start(name="wrong", bugdet=1), cloud.ground_truth.finish)
    assert found["status"] == "FAILED" and "a run has no setting 'bugdet'" in found["cause"]
    assert set(cloud.ground_truth.jobs) == before


def test_an_event_that_nobody_waits_for_or_that_comes_twice_does_nothing(cloud: Cloud) -> None:
    arn = "arn:aws:sagemaker:us-east-1:123456789012:labeling-job/somebody-elses"
    cloud.ground_truth.tell(arn, "Completed")

    def twice(name: str) -> None:
        cloud.ground_truth.finish(name)
        cloud.ground_truth.tell(cloud.ground_truth.jobs[name]["LabelingJobArn"], "Completed")

    assert cloud.ended(cloud.start(name="twice"), twice)["status"] == "SUCCEEDED"
    handler = aws.load("job_ended").lambda_handler
    with pytest.raises(ValueError, match="names no labeling job"):
        handler({"detail": {}}, None)


def test_a_job_whose_event_was_lost_is_found_when_the_machine_looks_again(cloud: Cloud, monkeypatch) -> None:
    """After six hours the step is taken again: the job isn't made twice, and the machine is woken at once."""
    run = {"name": "lost", "workteam": TEAM, "categories": ["digit 0"], "budget": 50, "items": f"s3://{DATA}/pool.csv"}
    woken: list[dict[str, Any]] = []
    monkeypatch.setattr(
        cloud.steps, "_states", type("S", (), {"send_task_success": lambda self, **k: woken.append(k)})()
    )
    run = cloud.steps.take("ask", cloud.steps.take("filter", run))
    cloud.steps.take("create", run, "first ticket")
    assert not woken
    cloud.ground_truth.jobs["lost-r1"]["LabelingJobStatus"] = "Completed"
    cloud.steps.take("create", run, "second ticket")
    assert [each["taskToken"] for each in woken] == ["second ticket"]
    assert [name for name in cloud.ground_truth.jobs if name.startswith("lost")] == ["lost-r1"]


def test_the_filter_step_takes_its_store_from_s3(cloud: Cloud, tmp_path: Path) -> None:
    from gandt.embedding import embed

    embed(f"s3://{DATA}/images/", str(tmp_path / "store"), s3=cloud.s3)
    storage.copy_tree(str(tmp_path / "store"), f"s3://{DATA}/stores/digits", s3=cloud.s3)
    seeds = pd.DataFrame([{"item": item, "label": label} for item, label in cloud.truth.items()]).iloc[::5]
    tables.write_table(seeds, f"s3://{DATA}/seeds.csv", s3=cloud.s3)
    run = {
        "name": "filtered",
        "workteam": TEAM,
        "categories": ["digit 0", "digit 2"],
        "budget": 50,
        "store": f"s3://{DATA}/stores/digits",
        "seeds": [f"s3://{DATA}/seeds.csv"],
    }
    cloud.steps.take("filter", run)
    found = tables.read_table(f"s3://{DATA}/rounds/filtered/candidates.parquet", s3=cloud.s3)
    assert {"keep", "discard"} >= set(found["decision"]) - {"explore"}
    assert set(found["item"]) == set(cloud.truth) - set(seeds["item"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "../other"}, "a run's name has"),
        ({"name": 7}, "a run's name has"),
        ({"budget": 0}, "budget is a whole number from 1, not 0"),
        ({"workers": True}, "workers is a whole number"),
        ({"items": ""}, "names nothing to ask: give store and seeds, or items"),
        ({"nonsense": 1}, "no setting 'nonsense'"),
    ],
)
def test_wrong_settings_are_named(change: dict[str, Any], words: str) -> None:
    good = {"name": "kites-1", "workteam": TEAM, "categories": ["kite"], "budget": 10, "items": "s3://b/pool.csv"}
    assert steps.Round.read(good).name == "kites-1"
    with pytest.raises(InputError, match=re.escape(words)):
        steps.Round.read({**good, **change})
    with pytest.raises(InputError, match="a run needs budget, categories, name, workteam"):
        steps.Round.read(None)
