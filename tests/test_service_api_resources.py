"""Workforces, human task UIs, tags and lists, called by boto3 and by the AWS CLI as they are."""

import json
import os
import shutil
import subprocess
from datetime import timedelta
from typing import Any

import pytest
from service import MEMBERS, running, until

from gandt import storage
from gandt.jobs import build_request
from gandt.jobs.request import sagemaker_model
from gandt.service.api import operations

TEMPLATE = "<crowd-form>{{ task.input.source }}</crowd-form>"


@pytest.fixture
def live(tmp_path):
    with running(str(tmp_path / "state")) as served:
        served.team = served.sagemaker.create_workteam(
            WorkteamName="crew", MemberDefinitions=MEMBERS, Description="d", Tags=[{"Key": "a", "Value": "1"}]
        )["WorkteamArn"]
        storage.write_text("s3://bucket/in.manifest", '{"source": "one"}\n', s3=served.s3)
        storage.write_text("s3://bucket/t.liquid.html", TEMPLATE, s3=served.s3)
        yield served


def request(live: Any, name: str, **options: Any) -> dict[str, Any]:
    return build_request(
        name,
        manifest="s3://bucket/in.manifest",
        output="s3://bucket/out",
        workteam=live.team,
        role="arn:aws:iam::000000000000:role/r",
        **{"template": "s3://bucket/t.liquid.html", **options},
    )


def code(caught: Any) -> str:
    return caught.value.response["Error"]["Code"]


def test_every_labeling_operation_of_sagemakers_is_there() -> None:
    words = ("LabelingJob", "Workteam", "Workforce", "HumanTaskUi", "UiTemplate")
    wanted = {name for name in sagemaker_model().operation_names if any(word in name for word in words)}
    assert set(operations()) == wanted | {"AddTags", "ListTags", "DeleteTags"}


def test_a_workforce(live) -> None:
    sagemaker = live.sagemaker
    oidc = {"ClientId": "c", "ClientSecret": "hidden", "Issuer": "https://id.example/"}
    ends = ("AuthorizationEndpoint", "TokenEndpoint", "UserInfoEndpoint", "LogoutEndpoint", "JwksUri")
    oidc |= {name: f"https://id.example/{name}" for name in ends}
    with pytest.raises(sagemaker.exceptions.ClientError, match="exactly one") as caught:
        sagemaker.create_workforce(WorkforceName="people")
    assert code(caught) == "ValidationException"
    made = sagemaker.create_workforce(WorkforceName="People", OidcConfig=oidc, Tags=[{"Key": "k", "Value": "v"}])
    force = sagemaker.describe_workforce(WorkforceName="people")["Workforce"]
    assert (force["WorkforceName"], force["WorkforceArn"], force["Status"]) == (
        "People",
        made["WorkforceArn"],
        "Active",
    )
    assert force["OidcConfig"] == {name: value for name, value in oidc.items() if name != "ClientSecret"}
    assert b"hidden" not in json.dumps(live.store.records("workforce")[0].content).encode()
    assert sagemaker.list_tags(ResourceArn=made["WorkforceArn"])["Tags"] == [{"Key": "k", "Value": "v"}]
    with pytest.raises(sagemaker.exceptions.ResourceInUse):
        sagemaker.create_workforce(WorkforceName="another", OidcConfig=oidc)
    changed = sagemaker.update_workforce(WorkforceName="People", SourceIpConfig={"Cidrs": ["10.0.0.0/8"]})
    assert changed["Workforce"]["SourceIpConfig"] == {"Cidrs": ["10.0.0.0/8"]}
    assert changed["Workforce"]["OidcConfig"]["ClientId"] == "c"
    assert [each["WorkforceName"] for each in sagemaker.list_workforces(NameContains="peo")["Workforces"]] == ["People"]
    assert sagemaker.describe_workteam(WorkteamName="crew")["Workteam"]["WorkforceArn"] == made["WorkforceArn"]
    with pytest.raises(sagemaker.exceptions.ClientError, match="no workforce"):
        sagemaker.create_workteam(WorkteamName="b", WorkforceName="none", MemberDefinitions=MEMBERS, Description="d")
    with pytest.raises(sagemaker.exceptions.ClientError, match="crew"):
        sagemaker.delete_workforce(WorkforceName="People")
    sagemaker.delete_workteam(WorkteamName="crew")
    sagemaker.delete_workforce(WorkforceName="People")
    with pytest.raises(sagemaker.exceptions.ClientError, match="no workforce"):
        sagemaker.describe_workforce(WorkforceName="People")
    assert sagemaker.list_subscribed_workteams()["SubscribedWorkteams"] == []


def test_human_task_uis_and_a_job_that_uses_one(live) -> None:
    sagemaker = live.sagemaker
    for name in ("first", "second", "third"):
        arn = sagemaker.create_human_task_ui(HumanTaskUiName=name, UiTemplate={"Content": TEMPLATE})["HumanTaskUiArn"]
    with pytest.raises(sagemaker.exceptions.ResourceInUse):
        sagemaker.create_human_task_ui(HumanTaskUiName="first", UiTemplate={"Content": TEMPLATE})
    described = sagemaker.describe_human_task_ui(HumanTaskUiName="third")
    assert (described["HumanTaskUiArn"], described["HumanTaskUiStatus"]) == (arn, "Active")
    assert len(described["UiTemplate"]["ContentSha256"]) == 64
    pages = sagemaker.get_paginator("list_human_task_uis").paginate(
        SortOrder="Ascending", PaginationConfig={"PageSize": 2}
    )
    assert [[each["HumanTaskUiName"] for each in page["HumanTaskUiSummaries"]] for page in pages] == [
        ["first", "second"],
        ["third"],
    ]
    role = "arn:aws:iam::000000000000:role/r"
    rendered = sagemaker.render_ui_template(HumanTaskUiArn=arn, Task={"Input": '{"source": "x"}'}, RoleArn=role)
    assert rendered["RenderedContent"] == "<crowd-form>x</crowd-form>"
    settings = {"HumanTaskConfig": {"UiConfig": {"HumanTaskUiArn": arn}}}
    sagemaker.create_labeling_job(**request(live, "by-name", template=None, settings=settings))
    until(lambda: live.store.states("by-name").get("open"))
    sagemaker.delete_human_task_ui(HumanTaskUiName="third")
    assert live.store.job("by-name").template == TEMPLATE  # a job keeps what it began with
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.describe_human_task_ui(HumanTaskUiName="third")
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.render_ui_template(HumanTaskUiArn=arn, Task={"Input": '{"source": "x"}'}, RoleArn=role)
    with pytest.raises(sagemaker.exceptions.ClientError, match="no human task UI 'third'"):
        sagemaker.create_labeling_job(**request(live, "too-late", template=None, settings=settings))


def test_tags(live) -> None:
    sagemaker = live.sagemaker
    tags = [{"Key": "project", "Value": "birds"}]
    job = sagemaker.create_labeling_job(**{**request(live, "Tagged"), "Tags": tags})["LabelingJobArn"]
    assert sagemaker.list_tags(ResourceArn=job)["Tags"] == tags
    added = sagemaker.add_tags(ResourceArn=job, Tags=[{"Key": "project", "Value": "fish"}, {"Key": "b", "Value": ""}])
    assert added["Tags"] == [{"Key": "project", "Value": "fish"}, {"Key": "b", "Value": ""}]
    sagemaker.delete_tags(ResourceArn=job, TagKeys=["project", "absent"])
    assert sagemaker.describe_labeling_job(LabelingJobName="Tagged")["Tags"] == [{"Key": "b", "Value": ""}]
    assert sagemaker.list_tags(ResourceArn=live.team)["Tags"] == [{"Key": "a", "Value": "1"}]
    many = [{"Key": str(number), "Value": ""} for number in range(50)]
    with pytest.raises(sagemaker.exceptions.ResourceLimitExceeded):
        sagemaker.add_tags(ResourceArn=job, Tags=many)
    for absent in (job + "x", live.team + "x", job.replace("labeling-job", "model")):
        with pytest.raises(sagemaker.exceptions.ClientError) as caught:
            sagemaker.list_tags(ResourceArn=absent)
        assert code(caught) == "ResourceNotFound"


def test_a_workteams_jobs_by_every_filter(live) -> None:
    sagemaker = live.sagemaker
    for name in ("one", "two", "three"):
        sagemaker.create_labeling_job(**request(live, name))

    def listed(**filters: Any) -> list[str]:
        found = sagemaker.list_labeling_jobs_for_workteam(WorkteamArn=live.team, **filters)
        return [job["LabelingJobName"] for job in found["LabelingJobSummaryList"]]

    assert listed(SortOrder="Ascending", SortBy="CreationTime") == ["one", "two", "three"]
    two = sagemaker.describe_labeling_job(LabelingJobName="two")
    assert listed(JobReferenceCodeContains=two["JobReferenceCode"]) == ["two"]
    earlier, later = (two["CreationTime"] + timedelta(seconds=seconds) for seconds in (-60, 60))
    assert len(listed(CreationTimeAfter=earlier, CreationTimeBefore=later)) == 3
    assert listed(CreationTimeAfter=later) == listed(CreationTimeBefore=earlier) == []
    pages = sagemaker.get_paginator("list_labeling_jobs_for_workteam").paginate(
        WorkteamArn=live.team, PaginationConfig={"PageSize": 2}
    )
    assert [len(page["LabelingJobSummaryList"]) for page in pages] == [2, 1]
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.list_labeling_jobs_for_workteam(WorkteamArn=live.team + "x")


def test_the_aws_cli_makes_and_stops_a_job(live, tmp_path) -> None:
    aws = os.environ.get("GANDT_AWS_CLI") or shutil.which("aws")
    if not aws:
        pytest.skip("no AWS CLI on this machine's PATH (or in GANDT_AWS_CLI)")

    def call(operation: str, *options: str) -> Any:
        command = [aws, "--endpoint-url", live.address, "sagemaker", operation, "--output", "json", *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        return json.loads(done.stdout or "{}") if done.returncode == 0 else done.stderr

    asked = tmp_path / "request.json"
    asked.write_text(json.dumps(request(live, "By-CLI")))
    made = call("create-labeling-job", "--cli-input-json", f"file://{asked}")
    assert made == {"LabelingJobArn": "arn:aws:sagemaker:us-east-1:000000000000:labeling-job/by-cli"}
    assert call("describe-labeling-job", "--labeling-job-name", "By-CLI")["HumanTaskConfig"]["WorkteamArn"] == live.team
    assert [each["LabelingJobName"] for each in call("list-labeling-jobs")["LabelingJobSummaryList"]] == ["By-CLI"]
    assert call("stop-labeling-job", "--labeling-job-name", "By-CLI") == {}
    assert "ResourceInUse" in call("create-labeling-job", "--cli-input-json", f"file://{asked}")
    until(lambda: live.store.job("by-cli").status == "Stopped")
