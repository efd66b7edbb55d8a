"""The same commands against an account: S3 is moto's, SageMaker's labeling and the stack are stand-ins."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import botocore.client
import pytest
from moto import mock_aws
from typer.testing import CliRunner

from gandt import jobs, storage
from gandt.cli import app
from gandt.cli import job as _commands  # noqa: F401  (registers them)
from gandt.errors import ContractError, InputError, ServiceError

HOME = "us-east-1:123456789012"
OUTPUTS = {
    "RoleArn": "arn:aws:iam::123456789012:role/gandt",
    "PreHumanTaskLambdaArn": f"arn:aws:lambda:{HOME}:function:LabelingFunction-pre",
    "AnnotationConsolidationLambdaArn": f"arn:aws:lambda:{HOME}:function:LabelingFunction-post",
}


@pytest.fixture
def aws(monkeypatch) -> Iterator[Any]:
    """SageMaker keeps requests by lower-case name, describes them with its own defaults, and lists two on a page."""
    kept: dict[str, dict[str, Any]] = {}
    state = SimpleNamespace(kept=kept, teams=["friends"], status="InProgress", refuse=None, calls=[])

    def answer(operation: str, asked: dict[str, Any]) -> Any:
        now = datetime(2026, 11, 22, tzinfo=UTC)
        if operation in ("DescribeWorkteam", "ListWorkteams"):
            teams = [
                {"WorkteamName": name, "WorkteamArn": f"arn:aws:sagemaker:{HOME}:workteam/private-crowd/{name}"}
                for name in state.teams
            ]
            return {"Workteam": teams[0]} if operation == "DescribeWorkteam" else {"Workteams": teams}
        if operation == "ListLabelingJobs":
            start = int(asked.get("NextToken", 0))
            names = [name for name in kept if asked.get("NameContains", "") in name]
            page = [described(name, now) for name in names[start : start + 2]]
            more = {"NextToken": str(start + 2)} if start + 2 < len(names) else {}
            return {"LabelingJobSummaryList": page, **more}
        name = asked["LabelingJobName"].lower()
        if operation == "CreateLabelingJob":
            if name in kept:
                return ("ResourceInUse", "Job name must be unique")
            kept[name] = asked
            return {"LabelingJobArn": f"arn:aws:sagemaker:{HOME}:labeling-job/{name}"}
        if name not in kept:
            return ("ResourceNotFound", "Requested resource not found.")
        if operation == "StopLabelingJob":
            state.status = "Stopping"
            return {}
        return described(name, now)

    def described(name: str, now: datetime) -> dict[str, Any]:
        request = json.loads(json.dumps(kept[name]))
        request["HumanTaskConfig"].setdefault("MaxConcurrentTaskCount", 1000)
        request["Tags"] = [*request.get("Tags", []), {"Key": "aws:cloudformation", "Value": "x"}]
        return {
            **request,
            "LabelingJobArn": f"arn:aws:sagemaker:{HOME}:labeling-job/{name}",
            "LabelingJobStatus": state.status,
            "CreationTime": now,
            "LastModifiedTime": now,
            "LabelCounters": {
                "TotalLabeled": 600,
                "HumanLabeled": 600,
                "FailedNonRetryableError": 20,
                "Unlabeled": 380,
            },
        }

    real = botocore.client.BaseClient._make_api_call

    def call(self: Any, operation: str, asked: dict[str, Any]) -> Any:
        if operation == "DescribeStacks":
            outputs = {"LogDays": "30"} if asked["StackName"] == "other" else OUTPUTS
            return {"Stacks": [{"Outputs": [{"OutputKey": key, "OutputValue": text} for key, text in outputs.items()]}]}
        if self.meta.service_model.service_name != "sagemaker":
            return real(self, operation, asked)
        state.calls.append(operation)
        found = state.refuse or answer(operation, asked)
        if isinstance(found, tuple):
            code, message = found
            raise self.exceptions.from_code(code)({"Error": {"Code": code, "Message": message}}, operation)
        return found

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", call)
    with mock_aws():
        storage.use(storage.Access())
        storage.default_s3().create_bucket(Bucket="pool")
        yield state
    storage.use(storage.Access())


def run(*words: str) -> tuple[int, Any]:
    done = CliRunner().invoke(app, ["job", *words, "--json"])
    error = done.exception if not isinstance(done.exception, SystemExit) else None
    return done.exit_code, error or json.loads(done.stdout)


@pytest.fixture
def words(tmp_path) -> list[str]:
    (tmp_path / "in.manifest").write_text('{"source-ref": "s3://pool/1.png"}\n')
    where = ["--manifest", str(tmp_path / "in.manifest"), "--template", "image-grid", "--output", "s3://pool/jobs/"]
    return [*where, "--stack", "gandt"]


def test_create_takes_role_and_lambdas_from_the_stack_and_finds_the_job_again(aws, words: list[str]) -> None:
    code, made = run("create", "Animals-1", *words)
    assert (code, made["made"], made["output"]) == (0, True, "s3://pool/jobs/Animals-1")
    request = aws.kept["animals-1"]
    task = request["HumanTaskConfig"]
    assert request["RoleArn"] == OUTPUTS["RoleArn"]
    assert task["PreHumanTaskLambdaArn"] == OUTPUTS["PreHumanTaskLambdaArn"]
    assert (
        task["AnnotationConsolidationConfig"]["AnnotationConsolidationLambdaArn"]
        == OUTPUTS["AnnotationConsolidationLambdaArn"]
    )
    manifest = request["InputConfig"]["DataSource"]["S3DataSource"]["ManifestS3Uri"]
    assert manifest.startswith("s3://pool/jobs/gandt-input/")
    assert storage.read_text(manifest) == '{"source-ref": "s3://pool/1.png"}\n'
    # AWS adds defaults and tags of its own, and the slash at the output's end is no difference
    words[words.index("s3://pool/jobs/")] = "s3://pool/jobs"
    code, again = run("create", "Animals-1", *words)
    assert (code, again["made"], aws.calls.count("CreateLabelingJob")) == (0, False, 1)
    with pytest.raises(ContractError, match=r"PreHumanTaskLambdaArn is .*LabelingFunction-pre', not .*:function:mine"):
        raise run("create", "Animals-1", *words, "--pre", "mine")[1]
    with pytest.raises(
        InputError, match="stack other isn't one of gandt's backend: it has no output AnnotationConsolidationLambdaArn"
    ):
        raise run("create", "Animals-2", *words[:-1], "other")[1]
    with pytest.raises(InputError, match="needs a role"):
        raise run("create", "Animals-2", *words[:-2])[1]


def test_names_become_arns_of_the_workteams_account(aws, words: list[str]) -> None:
    assert run("create", "Named", *words[:-2], "--role", "mine", "--pre", "GtRecipe-a")[0] == 0
    request = aws.kept["named"]
    assert request["RoleArn"] == "arn:aws:iam::123456789012:role/mine"
    assert request["HumanTaskConfig"]["PreHumanTaskLambdaArn"] == f"arn:aws:lambda:{HOME}:function:GtRecipe-a"
    aws.teams = ["friends", "others"]
    with pytest.raises(InputError, match=r"there are 2 \(friends, others\): name one with --workteam"):
        raise run("create", "More", *words)[1]
    aws.teams = []
    with pytest.raises(InputError, match=r"there is none yet: name one .* gandt workers invite"):
        raise run("create", "More", *words)[1]


def test_status_list_stop_and_wait(aws, words: list[str]) -> None:
    for number in range(5):
        assert run("create", f"Job-{number}", *words)[0] == 0
    assert [each["name"] for each in run("list")[1]] == [f"Job-{number}" for number in range(5)]
    assert len(run("list", "--limit", "3")[1]) == 3
    shown = CliRunner().invoke(app, ["job", "status", "Job-1"]).stdout
    assert "62% (620 of 1,000)" in shown and "600 by people" in shown
    assert run("stop", "Job-1")[1]["status"] == "Stopping"
    aws.status = "Failed"
    assert run("wait", "Job-1")[0] == 1
    aws.status = "Completed"
    assert run("wait", "Job-1")[0] == 0 and run("stop", "Job-1")[1]["status"] == "Completed"


def test_what_aws_refuses_is_said_with_what_to_do(aws, words: list[str]) -> None:
    for refusal, sentence in (
        (("ValidationException", "SageMaker Ground Truth is no longer open to new customers."), "gandt serve"),
        (("AccessDeniedException", "User: x is not authorized to perform: sagemaker:ListLabelingJobs"), "gandt doctor"),
        (("ResourceLimitExceeded", "too many labeling jobs"), "ask AWS Support"),
        (("ExpiredTokenException", "expired"), "renew them"),
    ):
        aws.refuse = refusal
        with pytest.raises(ServiceError, match=sentence):
            jobs.list_jobs()
        with pytest.raises(ServiceError, match=sentence):
            raise run("create", "Refused", *words)[1]
