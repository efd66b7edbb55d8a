"""gandt doctor: every check against an account of moto's that is broken in just that way."""

import io
import json
import socket
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import botocore.client
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from typer.testing import CliRunner

from gandt import storage
from gandt.cli import app
from gandt.cli import aws as _commands  # noqa: F401  (registers it)
from gandt.jobs import build_request
from gandt.jobs.doctor import CALLER_RIGHTS, examine_account, examine_request
from gandt.jobs.exam import Exam
from gandt.jobs.rights import Rights, rights_of_user, statements_of, trusts

ACCOUNT = "123456789012"
TEAM = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:workteam/private-crowd/friends"
TEMPLATE = """<script src="https://assets.crowd.aws/crowd-html-elements.js"></script><crowd-form>
<img src="{{ task.input.source-ref | grant_read_access }}"><crowd-input name="q"></crowd-input></crowd-form>"""
CORS = {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"], "AllowedHeaders": []}]}
TRUST = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(actions: list[str], *resources: str, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": list(resources) or ["*"], **more}


class Session:
    """A session that makes each client once for all tests, which saves most of their time."""

    region_name = "us-east-1"

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}
        self._session = storage.session()

    def client(self, service: str, **_: Any) -> Any:
        if service not in self._made:
            self._made[service] = self._session.client(service)
        return self._made[service]

    def get_available_regions(self, service: str, partition: str) -> list[str]:
        return ["us-east-1"]


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield Session()


@pytest.fixture
def account(monkeypatch, session) -> Iterator[Any]:
    """An account in which all is well; SageMaker's labeling operations, which moto hasn't, are answered here."""
    with mock_aws():
        iam, s3, functions, kms = (session.client(name) for name in ("iam", "s3", "lambda", "kms"))
        iam.create_user(UserName="ann")
        iam.put_user_policy(
            UserName="ann",
            PolicyName="work",
            PolicyDocument=policy(
                allow(["sagemaker:*LabelingJob*", "sagemaker:*Workteam*"]),
                allow(["iam:PassRole"], "arn:aws:iam::*:role/gt"),
            ),
        )
        role = iam.create_role(RoleName="gt", AssumeRolePolicyDocument=policy(TRUST))["Role"]["Arn"]
        lambda_role = iam.create_role(RoleName="l", AssumeRolePolicyDocument=policy(TRUST))["Role"]["Arn"]
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("handler.py", "")
        arns = [
            functions.create_function(
                FunctionName=name,
                Runtime="python3.13",
                Role=lambda_role,
                Handler="handler.x",
                Code={"ZipFile": code.getvalue()},
            )["FunctionArn"]
            for name in ("LabelingFunction-pre", "post")
        ]
        iam.put_role_policy(
            RoleName="gt",
            PolicyName="jobs",
            PolicyDocument=policy(
                allow(["s3:GetObject", "s3:PutObject"], "arn:aws:s3:::pool/*"),
                allow(["s3:ListBucket"], "arn:aws:s3:::pool"),
                allow(["lambda:InvokeFunction"], *arns),
            ),
        )
        s3.create_bucket(Bucket="pool")
        s3.put_bucket_cors(Bucket="pool", CORSConfiguration=CORS)
        s3.put_bucket_versioning(Bucket="pool", VersioningConfiguration={"Status": "Enabled"})
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        s3.put_bucket_encryption(Bucket="pool", ServerSideEncryptionConfiguration={"Rules": [rule]})
        put = lambda key, text: s3.put_object(Bucket="pool", Key=key, Body=text.encode())  # noqa: E731
        put("t.liquid.html", TEMPLATE)
        put("in.manifest", '{"source-ref": "s3://pool/1.png"}\n')
        put("labels.json", '{"labels": [{"label": "cat"}]}')
        now = datetime.now(UTC)
        answers: dict[str, Any] = {
            "GetCallerIdentity": {"Arn": f"arn:aws:iam::{ACCOUNT}:user/ann", "Account": ACCOUNT},
            "ListLabelingJobs": {"LabelingJobSummaryList": [{"LabelingJobName": "old"}]},
            "ListWorkteams": {"Workteams": [{"WorkteamName": "friends"}]},
            "DescribeWorkteam": {"Workteam": {"WorkteamName": "friends", "WorkteamArn": TEAM, "CreateDate": now}},
            "DescribeLabelingJob": ("ResourceNotFound", "Requested resource not found."),
            "ListServiceQuotas": {"Quotas": [{"QuotaName": "ml.g5.xlarge for processing job usage", "Value": 2.0}]},
        }
        real = botocore.client.BaseClient._make_api_call

        def call(self: Any, operation: str, params: dict[str, Any]) -> Any:
            if operation not in answers:
                return real(self, operation, params)
            if isinstance(answers[operation], tuple):
                error, message = answers[operation]
                raise self.exceptions.from_code(error)({"Error": {"Code": error, "Message": message}}, operation)
            return answers[operation]

        monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", call)
        request = build_request(
            "new-1", manifest="s3://pool/in.manifest", template="s3://pool/t.liquid.html", output="s3://pool/out",
            workteam=TEAM, role=role, pre_lambda=arns[0], post_lambda=arns[1], categories="s3://pool/labels.json",
        )  # fmt: skip
        yield SimpleNamespace(
            iam=iam, s3=s3, functions=functions, put=put, answers=answers, request=request, session=session,
            kms=kms, role=role, arns=arns, patch=monkeypatch,
        )  # fmt: skip
    storage.use(storage.Access())


def bad(table: Any) -> list[tuple[str, str]]:
    return [(row.check, row.state) for row in table.itertuples() if row.state != "ok"]


def test_in_a_healthy_account_nothing_is_found(account) -> None:
    table = examine_request(account.request, session=account.session)
    assert bad(table) == []
    assert {"credentials", "Ground Truth", "name", "workteam", "role", "Lambda", "manifest", "template", "categories",
            "bucket", "CORS", "encryption", "versions", "right", "request"} <= set(table["check"])  # fmt: skip
    table = examine_account(
        buckets=["pool"], role="gt", functions=account.arns, instance_types=["ml.g5.xlarge"], session=account.session
    )
    assert bad(table) == [] and "quota" in set(table["check"])


def role_policy(a: Any, *statements: dict[str, Any]) -> None:
    a.iam.put_role_policy(RoleName="gt", PolicyName="jobs", PolicyDocument=policy(*statements))


def kms_bucket(a: Any, then: Callable[[str], Any]) -> None:
    key = a.kms.create_key()["KeyMetadata"]["KeyId"]
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    a.s3.put_bucket_encryption(Bucket="pool", ServerSideEncryptionConfiguration={"Rules": [rule]})
    then(key)


def elsewhere(a: Any) -> None:
    s3 = storage.session().client("s3", region_name="eu-west-1")
    s3.create_bucket(Bucket="far", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_bucket_cors(Bucket="far", CORSConfiguration=CORS)
    a.put("in.manifest", '{"source-ref": "s3://far/1.png"}\n')


def rename_lambda(a: Any) -> None:
    role_policy(a, allow(["s3:*"]), allow(["lambda:InvokeFunction"], "arn:aws:lambda:*:*:function:*LabelingFunction*"))


def change(path: str, value: Any) -> Callable[[Any], None]:
    def apply(a: Any) -> None:
        *folders, name = path.split(".")
        part = a.request
        for folder in folders:
            part = part[folder]
        part[name] = value

    return apply


AWAY = TEAM.replace("us-east-1", "eu-west-1")
S3, CALL = allow(["s3:*"]), allow(["lambda:InvokeFunction"])
BREAKS: dict[str, tuple[Callable[[Any], Any], str, str, str, str]] = {
    # what is broken → how, check, state, words of the problem, words of the fix
    "a right of the role": (
        lambda a: role_policy(a, allow(["s3:GetObject", "s3:ListBucket"]), CALL),
        "right",
        "broken",
        "may not s3:PutObject on arn:aws:s3:::pool/out/new-1/*",
        "allows s3:PutObject",
    ),
    "a denied right": (
        lambda a: role_policy(a, S3, CALL, {**S3, "Effect": "Deny", "Action": "s3:Get*"}),
        "right",
        "broken",
        "may not s3:GetObject",
        "allows s3:GetObject",
    ),
    "a right under a condition": (
        lambda a: role_policy(a, {**S3, "Condition": {"Bool": {"x": "y"}}}, CALL),
        "right",
        "warning",
        "only under a condition",
        "condition holds",
    ),
    "the right to call a Lambda": (
        lambda a: role_policy(a, S3, allow(["lambda:InvokeFunction"], a.arns[1])),
        "right",
        "broken",
        "may not lambda:InvokeFunction",
        "allows lambda:InvokeFunction",
    ),
    "the caller's right": (
        lambda a: a.iam.put_user_policy(
            UserName="ann", PolicyName="work", PolicyDocument=policy(allow(["iam:PassRole"]))
        ),
        "right",
        "broken",
        "user/ann may not sagemaker:CreateLabelingJob",
        "a policy of user/ann",
    ),
    "the right to pass the role": (
        lambda a: a.iam.put_user_policy(
            UserName="ann", PolicyName="work", PolicyDocument=policy(allow(["sagemaker:*"]))
        ),
        "right",
        "broken",
        "user/ann may not iam:PassRole",
        "iam:PassRole",
    ),
    "a Lambda's name": (rename_lambda, "Lambda name", "broken", "only allows names with GtRecipe", "rename it"),
    "no such Lambda": (
        lambda a: a.functions.delete_function(FunctionName="post"),
        "Lambda",
        "broken",
        "there is no Lambda post",
        "deploy it",
    ),
    "the role's trust": (
        lambda a: a.iam.update_assume_role_policy(
            RoleName="gt", PolicyDocument=policy({**TRUST, "Principal": {"Service": "lambda.amazonaws.com"}})
        ),
        "role",
        "broken",
        "doesn't trust SageMaker",
        "sagemaker.amazonaws.com",
    ),
    "no such role": (
        change("RoleArn", f"arn:aws:iam::{ACCOUNT}:role/gone"),
        "role",
        "broken",
        "no such role",
        "create it",
    ),
    "CORS": (lambda a: a.s3.delete_bucket_cors(Bucket="pool"), "CORS", "broken", "workers see no images", "--cors"),
    "a bucket's region": (elsewhere, "region", "broken", "the bucket is in eu-west-1", "--region eu-west-1"),
    "no such bucket": (
        change("OutputConfig.S3OutputPath", "s3://nowhere/out"),
        "bucket",
        "broken",
        "no such bucket",
        "create",
    ),
    "versions": (
        lambda a: a.s3.put_bucket_versioning(Bucket="pool", VersioningConfiguration={"Status": "Suspended"}),
        "versions",
        "warning",
        "versioning is off",
        "put-bucket-versioning",
    ),
    "a public bucket": (
        lambda a: a.answers.update(GetBucketPolicyStatus={"PolicyStatus": {"IsPublic": True}}),
        "public access",
        "warning",
        "makes it public",
        "block public access",
    ),
    "a disabled key": (
        lambda a: kms_bucket(a, lambda key: a.kms.disable_key(KeyId=key)),
        "KMS key",
        "broken",
        "is Disabled",
        "enable it",
    ),
    "a right to the key": (
        lambda a: kms_bucket(a, lambda key: None),
        "right",
        "broken",
        "may not kms:Decrypt",
        "kms:Decrypt",
    ),
    "a key that is gone": (
        change("OutputConfig.KmsKeyId", "12345678-1234-1234-1234-123456789012"),
        "KMS key",
        "broken",
        "there is no KMS key",
        "restore it",
    ),
    "the workteam's region": (
        change("HumanTaskConfig.WorkteamArn", AWAY),
        "region",
        "broken",
        "the workteam is in eu-west-1",
        "a workteam of us-east-1",
    ),
    "no such workteam": (
        lambda a: a.answers.update(DescribeWorkteam=("ValidationException", "The specified Work team does not exist")),
        "workteam",
        "broken",
        "no such workteam",
        "create it",
    ),
    "the public workforce": (
        change("HumanTaskConfig.WorkteamArn", "arn:aws:sagemaker:us-east-1:394669845002:workteam/public-crowd/default"),
        "request",
        "broken",
        "Mechanical Turk closed",
        "correct",
    ),
    "a wrong request": (
        change("HumanTaskConfig.NumberOfHumanWorkersPerDataObject", 12),
        "request",
        "broken",
        "over its limit of 9",
        "correct",
    ),
    "a taken name": (
        lambda a: a.answers.update(DescribeLabelingJob={"LabelingJobStatus": "Stopped"}),
        "name",
        "warning",
        "already; it is Stopped",
        "another name",
    ),
    "a manifest's line": (
        lambda a: a.put("in.manifest", "{}\n"),
        "manifest",
        "broken",
        "line 1",
        "gandt manifest check",
    ),
    "no manifest": (
        change("InputConfig.DataSource.S3DataSource.ManifestS3Uri", "s3://pool/no"),
        "manifest",
        "broken",
        "no such object",
        "correct the address",
    ),
    "too many objects": (
        lambda a: (
            a.put("in.manifest", '{"source": "x"}\n' * 12),
            a.patch.setattr("gandt.jobs.doctor.MAX_OBJECTS", 11),
        ),
        "quota",
        "broken",
        "12 objects, and a job takes 11",
        "--per-page",
    ),
    "a template": (lambda a: a.put("t.liquid.html", "{{ broken"), "template", "broken", "line", "gandt template check"),
    "no template": (
        lambda a: a.s3.delete_object(Bucket="pool", Key="t.liquid.html"),
        "template",
        "broken",
        "no such object",
        "correct the address",
    ),
    "what is not uploaded yet": (
        change("HumanTaskConfig.UiConfig.UiTemplateS3Uri", "s3://pool/out/gandt-input/0/t.liquid.html"),
        "template",
        "warning",
        "isn't uploaded yet",
        "gandt job create",
    ),
    "no categories": (
        change("LabelCategoryConfigS3Uri", "s3://pool/no.json"),
        "categories",
        "broken",
        "no such object",
        "correct the address",
    ),
    "a batch too large": (
        change("HumanTaskConfig.MaxConcurrentTaskCount", 2000),
        "quota",
        "warning",
        "2,000",
        "Support",
    ),
    "closed access": (
        lambda a: a.answers.update(
            ListLabelingJobs=("ValidationException", "Ground Truth is no longer open to new customers.")
        ),
        "Ground Truth",
        "broken",
        "AWS refuses",
        "gandt serve",
    ),
    "perhaps closed": (
        lambda a: a.answers.update(ListLabelingJobs={"LabelingJobSummaryList": []}),
        "Ground Truth",
        "warning",
        "never was a labeling job",
        "gandt serve",
    ),
    "no right to look": (
        lambda a: a.answers.update(ListLabelingJobs=("AccessDeniedException", "no")),
        "Ground Truth",
        "unknown",
        "may not be looked at",
        "allow sagemaker:ListLabelingJobs",
    ),
    "no workteams": (
        lambda a: a.answers.update(ListWorkteams={"Workteams": []}),
        "workteam",
        "warning",
        "nobody can work",
        "use gandt serve",
    ),
    "expired credentials": (
        lambda a: a.answers.update(GetCallerIdentity=("ExpiredToken", "expired")),
        "credentials",
        "broken",
        "have expired",
        "aws sso login",
    ),
    "no region": (
        lambda a: setattr(a, "session", SimpleNamespace(region_name=None)),
        "region",
        "broken",
        "no region",
        "--region",
    ),
}


def test_an_address_where_nothing_answers_is_no_fault_of_the_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    found = examine_account(session=boto3.Session(region_name="us-east-1"))
    assert list(found["check"]) == ["endpoint"]
    assert "AWS_ENDPOINT_URL" in found["fix"].iloc[0]


@pytest.mark.parametrize("what", BREAKS)
def test_what_is_broken_in_a_request_is_named_with_its_fix(account, what: str) -> None:
    break_it, check, state, problem, fix = BREAKS[what]
    break_it(account)
    table = examine_request(account.request, session=account.session)
    found = table[(table["check"] == check) & (table["state"] == state)]
    assert any(problem in row.problem and fix in row.fix for row in found.itertuples()), table[
        table["state"] != "ok"
    ].values


def test_an_accounts_quotas_and_buckets_are_looked_at_without_a_request(account) -> None:
    account.s3.delete_bucket_cors(Bucket="pool")
    account.answers["ListServiceQuotas"] = {
        "Quotas": [{"QuotaName": "ml.g5.xlarge for processing job usage", "Value": 0}]
    }
    table = examine_account(
        buckets=["s3://pool/images"], instance_types=["ml.g5.xlarge", "ml.nonsense"], session=account.session
    )
    assert bad(table) == [("CORS", "broken"), ("quota", "broken"), ("quota", "warning")]
    assert "Service Quotas" in table["fix"][1]


def test_a_stack_brings_what_is_to_be_looked_at(account) -> None:
    outputs = {"Bucket": "pool", "RoleArn": account.role, "PreHumanTaskLambdaArn": account.arns[0]}
    told = [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]
    account.answers["DescribeStacks"] = {"Stacks": [{"StackStatus": "UPDATE_COMPLETE", "Outputs": told}]}
    table = examine_account(stack="gandt", session=account.session)
    assert bad(table) == []
    assert {"stack", "CORS", "role", "Lambda"} <= set(table["check"])
    account.answers["DescribeStacks"] = {"Stacks": [{"StackStatus": "ROLLBACK_COMPLETE"}]}
    assert bad(examine_account(stack="gandt", session=account.session)) == [("stack", "broken")]
    account.answers["DescribeStacks"] = ("ValidationError", "Stack with id gandt does not exist")
    table = examine_account(stack="gandt", session=account.session)
    assert "gandt deploy" in table[table["check"] == "stack"]["fix"].iloc[0]


def test_the_command_exits_1_for_what_is_broken(account, tmp_path) -> None:
    path = tmp_path / "request.json"
    path.write_text(json.dumps(account.request))
    done = CliRunner().invoke(app, ["doctor", str(path), "--json"])
    assert done.exit_code == 0 and {row["state"] for row in json.loads(done.stdout)} == {"ok"}
    account.s3.delete_bucket_cors(Bucket="pool")
    done = CliRunner().invoke(app, ["doctor", str(path), "--json"])
    assert done.exit_code == 1 and json.loads(done.stdout)[0]["check"] == "CORS"
    done = CliRunner().invoke(app, ["doctor", "--bucket", "pool"])
    assert done.exit_code == 1 and "--cors" in done.stdout and "1 broken" in done.stderr
    path.write_text("[]")
    assert "isn't a JSON object" in str(CliRunner().invoke(app, ["doctor", str(path)]).exception)


@pytest.mark.parametrize(
    ("statements", "action", "resource", "expected"),
    [
        ([allow(["s3:Get*"], "arn:aws:s3:::b/*")], "s3:GetObject", "arn:aws:s3:::b/k/l", "yes"),
        ([allow(["S3:getobject"], "arn:aws:s3:::b/?")], "s3:GetObject", "arn:aws:s3:::b/k", "yes"),
        ([allow(["s3:GetObject"], "arn:aws:s3:::b/[k]")], "s3:GetObject", "arn:aws:s3:::b/k", "no"),
        ([allow(["s3:*"], "arn:aws:s3:::b/${aws:username}/*")], "s3:GetObject", "arn:aws:s3:::b/ann/x", "yes"),
        ([allow(["*"]), {"Effect": "Deny", "NotAction": "iam:*", "Resource": "*"}], "s3:GetObject", "x", "no"),
        ([allow(["*"]), {"Effect": "Deny", "NotAction": "s3:*", "Resource": "*"}], "s3:GetObject", "x", "yes"),
        (
            [{"Effect": "Allow", "Action": "s3:*", "NotResource": "arn:aws:s3:::secret/*"}],
            "s3:GetObject",
            "arn:aws:s3:::b/k",
            "yes",
        ),
        (
            [{"Effect": "Allow", "Action": "s3:*", "NotResource": "arn:aws:s3:::b/*"}],
            "s3:GetObject",
            "arn:aws:s3:::b/k",
            "no",
        ),
        ([], "s3:GetObject", "x", "no"),
    ],
)
def test_policies_are_read_as_iam_reads_them(statements, action, resource, expected) -> None:
    assert Rights(tuple(statements)).allows(action, resource) == expected
    assert Rights((allow(["*"]),), tuple(statements)).allows(action, resource) == expected  # as a boundary


def test_rights_come_from_groups_managed_policies_and_boundaries(account) -> None:
    iam = account.iam
    managed = iam.create_policy(PolicyName="m", PolicyDocument=policy(allow(["s3:ListBucket"])))["Policy"]["Arn"]
    iam.create_group(GroupName="g")
    iam.put_group_policy(GroupName="g", PolicyName="i", PolicyDocument=policy(allow(["s3:GetObject"])))
    iam.attach_group_policy(GroupName="g", PolicyArn=managed)
    iam.add_user_to_group(GroupName="g", UserName="ann")
    rights = rights_of_user("ann", iam)
    assert [rights.allows(f"s3:{name}", "x") for name in ("ListBucket", "GetObject", "PutObject")] == [
        "yes",
        "yes",
        "no",
    ]
    assert not trusts(policy({**TRUST, "Effect": "Deny"}), "sagemaker.amazonaws.com")
    assert trusts(
        policy({**TRUST, "Principal": {"Service": ["x", "sagemaker.amazonaws.com"]}}), "sagemaker.amazonaws.com"
    )
    with pytest.raises(ClientError):
        rights_of_user("nobody", iam)


def test_a_policy_that_is_no_json_and_a_server_that_is_not_aws(account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gandt.jobs.exam.rights_of_role", lambda name, iam: statements_of("{'Version': '2012-10-17'}"))
    exam = Exam(storage.session())
    assert exam.rights("arn:aws:iam::123456789012:role/odd") is None
    assert (exam.findings[0].state, exam.findings[0].problem.partition(" (")[0]) == ("unknown", "a policy isn't JSON")
    answer = {"Error": {"Code": "500", "Message": "<!doctype html>\n<html><h1>Oops</h1>"}}
    assert storage.reason(ClientError(answer, "GetRole")).endswith("when calling the GetRole operation")


def test_the_page_names_every_right() -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "aws.md").read_text()
    for action, _, command in CALLER_RIGHTS:
        assert f"`{action}`" in page and command.split()[1] in page
