"""The CreateLabelingJob request is checked before AWS sees it."""

import copy

import pytest

from gandt.errors import ContractError
from gandt.jobs import build_request, check_request

GOOD = build_request(
    "pick-animals-1",
    manifest="s3://b/in.manifest",
    template="s3://b/t.liquid.html",
    output="s3://b/out",
    workteam="arn:aws:sagemaker:us-east-1:111122223333:workteam/private-crowd/me",
    role="arn:aws:iam::111122223333:role/ground-truth",
)


def changed(path: str, value: object) -> dict:
    request = copy.deepcopy(GOOD)
    *folders, name = path.split(".")
    part = request
    for folder in folders:
        part = part.setdefault(folder, {})
    part[name] = value
    return request


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("LabelingJobName", "a" * 63),
        ("LabelAttributeName", "animal-2"),
        ("HumanTaskConfig.NumberOfHumanWorkersPerDataObject", 9),
        ("HumanTaskConfig.TaskKeywords", ["cat", "dog"]),
        ("Tags", [{"Key": "team", "Value": "birds"}]),
        ("StoppingConditions", {"MaxHumanLabeledObjectCount": 500}),
    ],
)
def test_what_the_service_takes_passes(path, value) -> None:
    check_request(changed(path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("LabelingJobName", "a" * 64),
        ("LabelingJobName", "pick_animals"),
        ("LabelAttributeName", "a" * 128),
        ("LabelAttributeName", "an_imal"),
        ("LabelAttributeName", "animal-metadata"),
        ("LabelAttributeName", "source-ref"),
        ("RoleArn", "me"),
        ("OutputConfig.S3OutputPath", "/out"),
        ("InputConfig.DataSource", {}),
        ("HumanTaskConfig.UiConfig.HumanTaskUiArn", "arn:aws:sagemaker:us-east-1:111122223333:human-task-ui/x"),
        ("HumanTaskConfig.NumberOfHumanWorkersPerDataObject", 10),
        ("HumanTaskConfig.NumberOfHumanWorkersPerDataObject", 0),
        ("HumanTaskConfig.TaskTitle", "a" * 129),
        ("HumanTaskConfig.TaskDescription", "a" * 256),
        ("HumanTaskConfig.TaskKeywords", ["a"] * 6),
        ("HumanTaskConfig.TaskKeywords", ["a" * 31]),
        ("HumanTaskConfig.TaskTimeLimitInSeconds", 29),
        ("HumanTaskConfig.TaskAvailabilityLifetimeInSeconds", 59),
        ("HumanTaskConfig.MaxConcurrentTaskCount", 5001),
        ("StoppingConditions.MaxPercentageOfInputDatasetLabeled", 101),
        ("Tags", [{"Key": "team", "Value": "birds"}] * 51),
    ],
)
def test_what_the_service_refuses_is_named(path, value) -> None:
    with pytest.raises(ContractError, match=path.split(".")[-1]):
        check_request(changed(path, value))


PUBLIC = "arn:aws:sagemaker:us-east-1:394669845002:workteam/public-crowd/default"


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("HumanTaskConfig.TaskTimeLimitInSeconds", 28_801, "8 hours"),
        ("HumanTaskConfig.TaskAvailabilityLifetimeInSeconds", 2_592_001, "private"),
        ("HumanTaskConfig.PublicWorkforceTaskPrice", {"AmountInUsd": {"Cents": 1}}, "public workteam alone"),
    ],
)
def test_limits_of_the_guide_for_private_jobs(path, value, words) -> None:
    with pytest.raises(ContractError, match=words):
        check_request(changed(path, value))


def test_a_public_job_needs_an_allowed_price_and_the_classifier() -> None:
    request = changed("HumanTaskConfig.WorkteamArn", PUBLIC)
    request["HumanTaskConfig"]["TaskAvailabilityLifetimeInSeconds"] = 43_201
    with pytest.raises(ContractError) as caught:
        check_request(request)
    for words in ("0.000 dollars is none of 0.012", "FreeOfPersonallyIdentifiableInformation", "43,200"):
        assert words in str(caught.value)
    request["HumanTaskConfig"]["TaskAvailabilityLifetimeInSeconds"] = 43_200
    request["HumanTaskConfig"]["PublicWorkforceTaskPrice"] = {"AmountInUsd": {"Cents": 3, "TenthFractionsOfACent": 6}}
    request["InputConfig"]["DataAttributes"] = {"ContentClassifiers": ["FreeOfPersonallyIdentifiableInformation"]}
    check_request(request)


@pytest.mark.parametrize("value", ["text", None, 3, [], {"UiConfig": "x"}])
def test_members_of_a_wrong_type_are_named(value) -> None:
    with pytest.raises(ContractError, match="HumanTaskConfig"):
        check_request(changed("HumanTaskConfig", value))
