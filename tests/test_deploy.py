"""gandt deploy in moto: bundled, planned, deployed, changed, deleted."""

import io
import json
import re
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aws
import boto3
import pytest
from aws import DATA, stack
from typer.testing import CliRunner

from gandt import storage
from gandt.deploy import bundle
from gandt.errors import InputError, ServiceError

ROOT = Path(__file__).resolve().parents[1]


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
