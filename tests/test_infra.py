"""The SAM template, transformed as CloudFormation does: names, rights, encryption, and what is explained."""

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import aws
import pytest

from gandt.deploy import bundle, steps

INFRA = Path(__file__).resolve().parents[1] / "infra"


@lru_cache(maxsize=1)
def resources() -> dict[str, Any]:
    found = json.loads(aws.transformed(bundle.packaged("code")[0]))["Resources"]
    return dict(found)


def of(kind: str) -> dict[str, Any]:
    return {name: each["Properties"] for name, each in resources().items() if each["Type"] == kind}


def statements() -> list[tuple[str, dict[str, Any]]]:
    found = []
    documents = [
        *(
            (name, policy["PolicyDocument"])
            for name, each in of("AWS::IAM::Role").items()
            for policy in each["Policies"]
        ),
        *((name, each["PolicyDocument"]) for name, each in of("AWS::IAM::ManagedPolicy").items()),
    ]
    for name, document in documents:
        for statement in document["Statement"]:
            found.append((name, statement["Fn::If"][1] if "Fn::If" in statement else statement))
    return found


def test_the_template_is_sam_and_becomes_what_it_should() -> None:
    assert {each["Type"] for each in resources().values() if each["Type"].startswith("AWS::Serverless")} == set()
    assert set(of("AWS::Lambda::Function")) == {"PreAnnotation", "PostAnnotation", "Aggregation", "JobEnded"}
    assert set(of("AWS::StepFunctions::StateMachine")) == {"Rounds"}
    made = {"PreAnnotationRole", "PostAnnotationRole", "AggregationRole", "JobEndedRole", "LabelingJobRole"}
    assert set(of("AWS::IAM::Role")) == made | {
        "ProcessingRole",
        "RoundsRole",
        "PeopleRole",
    }  # none made behind our back


def test_lambdas_have_names_that_ground_truths_managed_policy_allows() -> None:
    for name, function in of("AWS::Lambda::Function").items():
        assert re.search("LabelingFunction", function["FunctionName"]["Fn::Sub"]), name
        assert function["Architectures"] == ["arm64"]
        assert function["DeadLetterConfig"]["TargetArn"] == {"Fn::GetAtt": ["DeadLetters", "Arn"]}
        group = of("AWS::Logs::LogGroup")[function["LoggingConfig"]["LogGroup"]["Ref"]]
        assert group["RetentionInDays"] == {"Ref": "LogDays"}
        assert group["LogGroupName"]["Fn::Sub"] == "/aws/lambda/" + function["FunctionName"]["Fn::Sub"]


def test_buckets_are_encrypted_versioned_closed_and_over_tls_only() -> None:
    policies = {
        each["Bucket"]["Ref"]: each["PolicyDocument"]["Statement"] for each in of("AWS::S3::BucketPolicy").values()
    }
    assert set(of("AWS::S3::Bucket")) == {"Bucket", "AccessLogs"} == set(policies)
    for name, bucket in of("AWS::S3::Bucket").items():
        assert (
            all(bucket["PublicAccessBlockConfiguration"].values())
            and len(bucket["PublicAccessBlockConfiguration"]) == 4
        )
        assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
        assert bucket["BucketEncryption"] and bucket["LifecycleConfiguration"]["Rules"]
        assert resources()[name]["DeletionPolicy"] == resources()[name]["UpdateReplacePolicy"] == "Retain"
        deny = next(each for each in policies[name] if each["Effect"] == "Deny")
        assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}} and deny["Action"] == "s3:*"
        assert len(deny["Resource"]) == 2
    rule = of("AWS::S3::Bucket")["Bucket"]["CorsConfiguration"]["CorsRules"][0]
    assert rule["AllowedMethods"] == ["GET"] and rule["AllowedOrigins"] == [{"Ref": "WorkerOrigin"}]


# What is allowed on every resource, and why it can't be less; docs/aws.md says it to people.
UNBOUND = {
    "StandInTheVpc": "IAM doesn't bind network interfaces that are yet to be made",
    "CountObjects": "PutMetricData takes no resource; a condition binds its namespace",
    "CountItsLoad": "the same",
    "LogInToFetchIt": "GetAuthorizationToken takes no resource",
    "WriteItsLog": "of the machine alone: deliveries of logs take no resource",
    "FindJobsAndWorkteams": "lists take no resource",
    "LookForWhatIsWrong": "only looks",
}


def test_rights_are_bound_to_resources_and_the_exceptions_are_known() -> None:
    for name, statement in statements():
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        assert statement["Effect"] == "Allow"
        assert not any(action.endswith("*") for action in actions), f"{name}: {actions}"
        if statement["Resource"] == "*":
            assert statement["Sid"] in UNBOUND, f"{name}: {statement['Sid']} is allowed everywhere"
            changing = [each for each in actions if not re.match(r"\w+:(Get|List|Describe|Render|Simulate)", each)]
            if statement["Sid"] in ("FindJobsAndWorkteams", "LookForWhatIsWrong"):
                assert not changing
    deletes = {action for _, each in statements() for action in each["Action"] if "Delete" in action}
    assert not any(action.startswith("s3:") for action in deletes)  # nobody can delete data


def test_roles_are_lent_to_sagemaker_alone() -> None:
    passing = [(name, each) for name, each in statements() if "iam:PassRole" in each["Action"]]
    assert {name for name, _ in passing} == {"AggregationRole", "PeopleRole"}
    for _, statement in passing:
        assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
        assert statement["Resource"] != "*"


def test_roles_trust_a_service_of_this_account() -> None:
    for name, role in of("AWS::IAM::Role").items():
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        service = statement["Principal"].get("Service", "")
        if service in ("sagemaker.amazonaws.com", "states.amazonaws.com"):
            assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}, name
        assert statement["Action"] == "sts:AssumeRole"
        assert role["PermissionsBoundary"]["Fn::If"][0] == "WithBoundary"


def test_the_machine_calls_steps_that_there_are_and_ends_by_telling() -> None:
    machine = json.loads((INFRA / "rounds.asl.json").read_text())
    states = machine["States"]
    called = {
        state["Parameters"]["Payload"]["step"] for state in states.values() if "Payload" in state.get("Parameters", {})
    }
    assert called == set(steps.STEPS)
    for name, state in states.items():
        for target in (state.get("Next"), state.get("Default"), *(each["Next"] for each in state.get("Catch", []))):
            assert target is None or target in states, name
        if "Payload" in state.get("Parameters", {}):
            assert state["Catch"][0]["ErrorEquals"] == ["States.ALL"] and state["Retry"], name
    assert states["Create job and wait"]["Resource"].endswith(".waitForTaskToken")
    assert set(of("AWS::StepFunctions::StateMachine")["Rounds"]["DefinitionSubstitutions"]) == {"Aggregation", "Topic"}


def test_every_suppression_is_explained() -> None:
    skipped = [
        skip for each in resources().values() for skip in each.get("Metadata", {}).get("checkov", {}).get("skip", [])
    ]
    assert skipped
    assert all(re.fullmatch(r"CKV_AWS_\d+", each["id"]) and len(each["comment"]) > 20 for each in skipped)


def test_the_rule_hears_the_ends_of_labeling_jobs() -> None:
    rule = of("AWS::Events::Rule")["LabelingJobEnded"]
    assert rule["EventPattern"]["detail"]["LabelingJobStatus"] == ["Completed", "Failed", "Stopped"]
    assert rule["EventPattern"]["detail-type"] == ["SageMaker Ground Truth Labeling Job State Change"]
    permission = of("AWS::Lambda::Permission")["LabelingJobEndedMayCall"]
    assert permission["SourceArn"] == {"Fn::GetAtt": ["LabelingJobEnded", "Arn"]}


def test_alarms_tell_the_topic() -> None:
    alarms = of("AWS::CloudWatch::Alarm")
    assert set(alarms) == {"PreAnnotationFails", "PostAnnotationFails", "LettersAreDead", "RoundsFail"}
    assert all(each["AlarmActions"] == [{"Ref": "Topic"}] for each in alarms.values())


@pytest.mark.parametrize("target", ["aggregation", "processing"])
def test_the_images_run_without_root_in_exec_form(target: str) -> None:
    text = (INFRA / "Dockerfile").read_text()
    stage = re.split(r"^FROM ", text, flags=re.MULTILINE)[1:][("aggregation", "processing").index(target)]
    assert stage.startswith(f"${{{target.upper()}_BASE}} AS {target}")
    user = re.findall(r"^USER (\S+)", stage, re.MULTILINE)[-1]
    assert user not in ("root", "0")
    assert re.search(r'^(CMD|ENTRYPOINT) \["', stage, re.MULTILINE)
    assert "constraints.txt" in stage or "kept.txt" in stage
    for name in re.findall(r"^COPY (.+) \S+$", stage, re.MULTILINE):
        assert all((INFRA.parent / each).exists() for each in name.split())
