"""SageMaker's operations, called by boto3 as it is; and what the port refuses."""

import json
import re
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from service import MEMBERS, arn, invite, running, until

from gandt import storage
from gandt.jobs import build_request
from gandt.service.grants import Grants

TEXT = "<crowd-form>{{ task.input.source }}</crowd-form>"


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        with running(str(tmp_path_factory.mktemp("state"))) as served:
            served.team = served.sagemaker.create_workteam(
                WorkteamName="Friends", MemberDefinitions=MEMBERS, Description="those we know"
            )["WorkteamArn"]
            storage.write_text("s3://bucket/t.liquid.html", TEXT, s3=served.s3)
            lines = "".join(json.dumps({"source": f"text {n}"}) + "\n" for n in range(3))
            storage.write_text("s3://bucket/in.manifest", lines, s3=served.s3)
            yield served


def request(live, name: str, **options: Any) -> dict[str, Any]:
    return build_request(
        name,
        manifest="s3://bucket/in.manifest",
        template="s3://bucket/t.liquid.html",
        output="s3://bucket/out",
        workteam=live.team,
        role="arn:aws:iam::000000000000:role/r",
        label_attribute="answer",
        **options,
    )


def code(caught: Any) -> str:
    return caught.value.response["Error"]["Code"]


def test_a_labeling_job_is_created_described_listed_and_stopped(live) -> None:
    sagemaker = live.sagemaker
    asked = {**request(live, "First-Job"), "Tags": [{"Key": "k", "Value": "v"}]}
    before = datetime.now(UTC) - timedelta(seconds=1)
    created = sagemaker.create_labeling_job(**asked)
    assert created["LabelingJobArn"] == "arn:aws:sagemaker:us-east-1:000000000000:labeling-job/first-job"
    until(lambda: sagemaker.describe_labeling_job(LabelingJobName="First-Job")["LabelCounters"]["Unlabeled"] == 3)
    described = sagemaker.describe_labeling_job(LabelingJobName="first-job")
    assert described["LabelingJobStatus"] in ("Initializing", "InProgress")
    for member in ("HumanTaskConfig", "InputConfig", "OutputConfig", "RoleArn", "LabelAttributeName", "Tags"):
        assert described[member] == asked[member]
    assert before < described["CreationTime"] <= described["LastModifiedTime"]
    output = "s3://bucket/out/First-Job/manifests/output/output.manifest"
    assert described["LabelingJobOutput"]["OutputDatasetS3Uri"] == output
    (summary,) = sagemaker.list_labeling_jobs(NameContains="first", CreationTimeAfter=before)["LabelingJobSummaryList"]
    assert summary["LabelingJobName"] == "First-Job"
    works = sagemaker.list_labeling_jobs_for_workteam(WorkteamArn=live.team)["LabelingJobSummaryList"]
    (work,) = (each for each in works if each["JobReferenceCode"] == described["JobReferenceCode"])
    assert work["LabelCounters"] == {"HumanLabeled": 0, "PendingHuman": 3, "Total": 3}
    assert work["JobReferenceCode"] == described["JobReferenceCode"]
    sagemaker.stop_labeling_job(LabelingJobName="First-Job")

    def status() -> str:
        return sagemaker.describe_labeling_job(LabelingJobName="First-Job")["LabelingJobStatus"]

    until(lambda: status() == "Stopped")
    assert len(storage.read_text(output, s3=live.s3).splitlines()) == 3
    with pytest.raises(sagemaker.exceptions.ClientError) as caught:
        sagemaker.stop_labeling_job(LabelingJobName="First-Job")
    assert code(caught) == "ValidationException"


def test_lists_come_in_pages_in_order(live) -> None:
    for name in ("page-b", "page-a", "page-c"):
        live.sagemaker.create_labeling_job(**request(live, name))
    pages = live.sagemaker.get_paginator("list_labeling_jobs").paginate(
        NameContains="page-", SortBy="Name", SortOrder="Ascending", PaginationConfig={"PageSize": 2}
    )
    assert [[job["LabelingJobName"] for job in page["LabelingJobSummaryList"]] for page in pages] == [
        ["page-a", "page-b"],
        ["page-c"],
    ]
    with pytest.raises(live.sagemaker.exceptions.ClientError, match="NextToken"):
        live.sagemaker.list_labeling_jobs(NextToken="-1")


def test_errors_have_awss_codes(live) -> None:
    sagemaker = live.sagemaker
    sagemaker.create_labeling_job(**request(live, "taken"))
    with pytest.raises(sagemaker.exceptions.ResourceInUse):
        sagemaker.create_labeling_job(**request(live, "TAKEN"))
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.describe_labeling_job(LabelingJobName="nobody")
    with pytest.raises(sagemaker.exceptions.ClientError, match="Lambda is known as 'other'") as caught:
        sagemaker.create_labeling_job(**request(live, "j", pre_lambda=arn("other")))
    assert code(caught) == "ValidationException"
    wrong = request(live, "fine")
    wrong["LabelAttributeName"] = "animal-metadata"
    with pytest.raises(sagemaker.exceptions.ClientError, match="metadata") as caught:
        sagemaker.create_labeling_job(**wrong)
    assert code(caught) == "ValidationException"
    with pytest.raises(sagemaker.exceptions.ClientError) as caught:
        sagemaker.list_models()
    assert code(caught) == "UnknownOperationException"
    with pytest.raises(sagemaker.exceptions.ClientError, match="StatusEquals") as caught:
        sagemaker.list_labeling_jobs(StatusEquals="Sleeping")
    assert code(caught) == "ValidationException"


def test_workteams(live) -> None:
    sagemaker = live.sagemaker
    with pytest.raises(sagemaker.exceptions.ResourceInUse):
        sagemaker.create_workteam(WorkteamName="friends", MemberDefinitions=MEMBERS, Description="again")
    made = sagemaker.create_workteam(WorkteamName="Short", MemberDefinitions=MEMBERS, Description="d")["WorkteamArn"]
    team = sagemaker.describe_workteam(WorkteamName="Short")["Workteam"]
    assert (team["WorkteamArn"], team["MemberDefinitions"], team["Description"]) == (made, MEMBERS, "d")
    names = [
        each["WorkteamName"] for each in sagemaker.list_workteams(SortBy="Name", SortOrder="Ascending")["Workteams"]
    ]
    assert names == ["Friends", "Short"]
    changed = sagemaker.update_workteam(WorkteamName="short", Description="other")["Workteam"]
    assert (changed["WorkteamName"], changed["Description"], changed["MemberDefinitions"]) == (
        "Short",
        "other",
        MEMBERS,
    )
    assert sagemaker.describe_workteam(WorkteamName="Short")["Workteam"] == changed
    assert changed["LastUpdatedDate"] > changed["CreateDate"]
    assert sagemaker.delete_workteam(WorkteamName="Short")["Success"]
    with pytest.raises(sagemaker.exceptions.ClientError, match="no workteam"):
        sagemaker.describe_workteam(WorkteamName="Short")
    sagemaker.create_labeling_job(**request(live, "holds-the-team"))
    with pytest.raises(sagemaker.exceptions.ClientError, match="in progress"):
        sagemaker.delete_workteam(WorkteamName="Friends")


def test_templates_are_rendered_for_the_owner(live) -> None:
    storage.write_text("s3://bucket/a b.txt", "granted", s3=live.s3)
    role = "arn:aws:iam::000000000000:role/r"
    rendered = live.sagemaker.render_ui_template(
        UiTemplate={"Content": "<a href='{{ task.input.image | grant_read_access }}'>{{ task.input.text }}</a>"},
        Task={"Input": json.dumps({"image": "s3://bucket/a b.txt", "text": "<b>"})},
        RoleArn=role,
    )
    assert rendered["Errors"] == []
    assert "&lt;b&gt;" in rendered["RenderedContent"]
    url = re.search("href='(.*?)'", rendered["RenderedContent"])[1]
    assert fetch(url) == (200, b"granted")
    assert fetch(url.replace("/object/", "/object/x"))[0] == 403
    broken = live.sagemaker.render_ui_template(UiTemplate={"Content": "{% if"}, Task={"Input": "{}"}, RoleArn=role)
    assert broken["Errors"][0]["Message"]


def fetch(url: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, named), timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_what_the_port_refuses(live) -> None:
    json_ = {"Content_Type": "application/json"}
    assert fetch(live.address, b"{}")[0] == 404  # no X-Amz-Target
    assert fetch(live.address, b"{", X_Amz_Target="SageMaker.ListWorkteams")[1].startswith(b'{"__type": "Serial')
    assert fetch(live.address, b"[]", X_Amz_Target="SageMaker.ListWorkteams")[0] == 400
    for operation in ("_call", "", "__init__", "answer", "A" * 5000):
        assert b"UnknownOperation" in fetch(live.address, b"{}", X_Amz_Target=f"SageMaker.{operation}")[1]
    assert fetch(live.address, b" " * 10_000_001, X_Amz_Target="SageMaker.ListWorkteams")[0] == 413
    assert fetch(live.address + "/", Host="evil.example")[0] == 400  # a name pointed at this port
    for body in (b'{"a": NaN}', b'{"a": 1e999}', b'{"a": "\\ud800"}', b"[" * 100_000, b"\xff"):
        assert b"Serialization" in fetch(live.address, body, X_Amz_Target="SageMaker.ListWorkteams")[1]
    for path in ("/portal/../server.py", "/portal/%2e%2e%2fserver.py", "/portal/index.html", "/object/x/y", "/task/x"):
        assert fetch(live.address + path)[0] in (401, 403, 404)
    token = invite(live, "Mallory", "friends").partition("#")[2].encode()
    session = b'{"token": "' + token + b'"}'
    path = live.address + "/portal-api/session"
    assert fetch(path, session, **json_)[0] == 403  # a plain form of another site
    assert fetch(path, session, **json_, X_Gandt="portal", Origin="http://evil.example")[0] == 403
    assert fetch(path, session, **json_, X_Gandt="portal", Origin="null")[0] == 403  # a template in its sandbox
    assert fetch(path, b'{"token": "x"}', **json_, X_Gandt="portal")[0] == 401
    assert fetch(path, session, **json_, X_Gandt="portal")[0] == 200


def test_grants_are_for_one_object_and_a_time() -> None:
    grants = Grants("secret")
    token = grants.path("s3://bucket/a.png", 100).split("/")[2]
    assert grants.uri(token, 99) == "s3://bucket/a.png"
    assert grants.uri(token, 100) is None
    assert Grants("other").uri(token, 99) is None
    for forged in ("", ".", "a.b.c", token + "x", token.replace(".", "A."), "é.é", token.split(".")[0] + "."):
        assert grants.uri(forged, 99) is None
