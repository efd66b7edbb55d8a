"""The CreateLabelingJob request: built with sensible defaults, checked against botocore's model and the contract.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateLabelingJob.html
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from gandt.arguments import checked
from gandt.errors import ContractError

# https://docs.aws.amazon.com/sagemaker/latest/dg/sms-workforce-management.html and the API reference, in seconds
LONGEST_TASK = 28_800
LONGEST_PUBLIC, LONGEST_PRIVATE = 43_200, 2_592_000
PUBLIC_WORKTEAM = ":workteam/public-crowd/"
# tenths of a cent for a task, as the service takes them for classification and custom tasks
PUBLIC_PRICES = (12, 24, 36, 48, 60, 72, 120, 240, 360, 480, 600, 720, 840, 960, 1080, 1200)


@checked
def build_request(
    name: str,
    *,
    manifest: str | None,
    template: str | None,
    output: str,
    workteam: str,
    role: str,
    pre_lambda: str | None = None,
    post_lambda: str | None = None,
    label_attribute: str | None = None,
    categories: str | None = None,
    title: str = "Label images",
    description: str = "Look at each picture and choose the label that fits.",
    workers_per_object: int = 3,
    settings: Mapping[str, Any] | None = None,
    **human_task: Any,
) -> dict[str, Any]:
    """Build the request of a custom labeling job.

    Parameters
    ----------
    name : str
        1 to 63 letters, digits and single hyphens.
    manifest, template, output : str
        ``s3://`` addresses of the input manifest, the worker template and the folder for the output. Without a
        manifest (a streaming job) or a template (a HumanTaskUi), ``settings`` must say what takes their place.
    workteam, role, pre_lambda, post_lambda : str
        ARNs; a job without Lambdas takes its tasks straight from the manifest.
    label_attribute : str, optional
        Key of the label in the output manifest; by default ``name``.
    categories : str, optional
        ``s3://`` address of a label category file.
    title, description : str
        What workers see in their list of jobs.
    workers_per_object : int
        Answers wanted per data object, 1 to 9.
    settings : mapping, optional
        Any further members of the request, nested as in the API; they come last and win.
    **human_task
        Further members of ``HumanTaskConfig``, by their API names.

    Returns
    -------
    dict
        For ``boto3.client("sagemaker").create_labeling_job(**request)``.

    Raises
    ------
    ContractError
        When a value breaks a rule; all broken rules in one sentence.
    """
    config: dict[str, Any] = {
        "WorkteamArn": workteam,
        "UiConfig": {"UiTemplateS3Uri": template} if template else {},
        "TaskTitle": title,
        "TaskDescription": description,
        "NumberOfHumanWorkersPerDataObject": workers_per_object,
        "TaskTimeLimitInSeconds": 3600,
        "TaskAvailabilityLifetimeInSeconds": 864_000,
        "MaxConcurrentTaskCount": 1000,
    }
    if pre_lambda:
        config["PreHumanTaskLambdaArn"] = pre_lambda
    if post_lambda:
        config["AnnotationConsolidationConfig"] = {"AnnotationConsolidationLambdaArn": post_lambda}
    config.update(human_task)
    request = {
        "LabelingJobName": name,
        "LabelAttributeName": label_attribute or name,
        "InputConfig": {"DataSource": {"S3DataSource": {"ManifestS3Uri": manifest}} if manifest else {}},
        "OutputConfig": {"S3OutputPath": output},
        "RoleArn": role,
        "HumanTaskConfig": config,
    }
    if categories:
        request["LabelCategoryConfigS3Uri"] = categories
    request = merged(request, settings or {})
    check_request(request)
    return request


def merged(request: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request with ``settings`` laid over it: objects are merged, anything else takes the other's place."""
    result = dict(request)
    for name, value in settings.items():
        old = result.get(name)
        result[name] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


@checked
def read_settings(texts: Sequence[str]) -> dict[str, Any]:
    """Read settings such as ``StoppingConditions.MaxHumanLabeledObjectCount=500`` for :func:`build_request`.

    A member's last name is enough where no other member has the same (``TaskKeywords=["cat"]``). A value is JSON,
    or a plain string where the API wants one.

    Raises
    ------
    ContractError
        When CreateLabelingJob has no such member, or the value is not of its kind.
    """
    known = dict(_members(_shape(), ""))
    found: dict[str, Any] = {}
    for text in texts:
        name, mark, value = text.partition("=")
        paths = [path for path in known if name in (path, path.rpartition(".")[2])]
        if not mark or not paths:
            near = get_close_matches(name, [*known, *(path.rpartition(".")[2] for path in known)], 1) or [
                "TaskKeywords"
            ]
            raise ContractError(
                f"--set {text!r} names no member of CreateLabelingJob; write it as NAME=VALUE, such as {near[0]}=..."
            )
        if len(paths) > 1 and name not in paths:
            raise ContractError(f"--set {name} could be {' or '.join(paths)}; write one of these")
        path = name if name in paths else paths[0]
        content: Any = value
        if known[path] != "string":
            try:
                content = json.loads(value)
            except ValueError as error:
                raise ContractError(f"--set {path} takes JSON (a {known[path]}), not {value!r}: {error}") from error
        *folders, last = path.split(".")
        place = found
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = content
    return found


def _members(shape: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield (path, kind) of every member of a structure and those within it."""
    for name, member in shape.members.items():
        yield path + name, member.type_name
        if member.type_name == "structure":
            yield from _members(member, f"{path}{name}.")


def refuse_public(request: Mapping[str, Any]) -> None:
    """Refuse a request for the public workforce, which nobody can serve any more.

    Raises
    ------
    ContractError
        Says why, and what to use.
    """
    task = request.get("HumanTaskConfig")
    team = task.get("WorkteamArn") if isinstance(task, Mapping) else None
    if isinstance(team, str) and PUBLIC_WORKTEAM in team:
        raise ContractError(
            f"labeling job {request.get('LabelingJobName')} asks for the public workforce, but Amazon Mechanical Turk "
            "closed on 30 September 2026: use a private workteam (gandt serve has them without AWS) or a vendor's "
            "from AWS Marketplace, and leave PublicWorkforceTaskPrice out"
        )


@checked
def check_request(request: Mapping[str, Any]) -> None:
    """Check a CreateLabelingJob request against botocore's model and the contract's extra rules.

    Raises
    ------
    ContractError
        Names every problem at once.
    """
    shape = _shape()
    # members that are missing or of a wrong type come first: the other rules couldn't look at them
    problems = _missing(request, shape) or [*_limit_problems(request, shape, ""), *_contract_problems(request)]
    if problems:
        name = request.get("LabelingJobName", "without a name")
        raise ContractError(f"labeling job {name}: {'; '.join(problems)}")


def model_problems(request: Mapping[str, Any], operation: str) -> list[str]:
    """Return what botocore's model of one of SageMaker's operations has against a request, a sentence each."""
    shape = _shape(operation)
    return _missing(request, shape) or [*_limit_problems(request, shape, "")]


@lru_cache(maxsize=1)
def sagemaker_model() -> Any:
    """Return botocore's model of SageMaker, which takes a while to load."""
    import botocore.session

    return botocore.session.get_session().get_service_model("sagemaker")


def _shape(operation: str = "CreateLabelingJob") -> Any:
    return sagemaker_model().operation_model(operation).input_shape


def _missing(request: Mapping[str, Any], shape: Any) -> list[str]:
    from botocore.validate import ParamValidator

    report: str = ParamValidator().validate(request, shape).generate_report()
    return report.splitlines()


def _limit_problems(value: Any, shape: Any, path: str) -> Iterator[str]:
    """Yield what botocore leaves to the server: upper limits, patterns, enumerations."""
    if shape.type_name == "structure":
        for name, member in value.items():
            yield from _limit_problems(member, shape.members[name], f"{path}.{name}".lstrip("."))
        return
    if shape.type_name == "list":
        for index, member in enumerate(value):
            yield from _limit_problems(member, shape.member, f"{path}[{index}]")
    rules = shape.metadata
    size = value if shape.type_name in ("integer", "long") else len(value) if hasattr(value, "__len__") else None
    if size is not None and "max" in rules and size > rules["max"]:
        yield f"{path} is over its limit of {rules['max']}"
    if isinstance(value, str):
        if "pattern" in rules and not _matches(rules["pattern"], value):
            yield f"{path} {value!r} doesn't match {rules['pattern']}"
        if "enum" in rules and value not in rules["enum"]:
            yield f"{path} {value!r} is none of {', '.join(rules['enum'])}"


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.fullmatch(pattern, value) is not None
    except re.error:  # some patterns use Java's \p{...}, which only the service can judge
        return True


def _contract_problems(request: Mapping[str, Any]) -> Iterator[str]:
    """Yield what only the developer guide says."""
    attribute = request["LabelAttributeName"]
    if attribute in ("source", "source-ref") or attribute.endswith("-metadata"):
        yield f"LabelAttributeName {attribute!r} is reserved; choose another"
    if not request["InputConfig"]["DataSource"]:
        yield "InputConfig.DataSource needs S3DataSource or SnsDataSource"
    task = request["HumanTaskConfig"]
    if len(task["UiConfig"]) != 1:
        yield "UiConfig needs exactly one of UiTemplateS3Uri and HumanTaskUiArn"
    # video frames and point clouds, which have no UiTemplateS3Uri, may take longer
    if "UiTemplateS3Uri" in task["UiConfig"] and task["TaskTimeLimitInSeconds"] > LONGEST_TASK:
        yield f"TaskTimeLimitInSeconds is over {LONGEST_TASK:,}, the 8 hours that images, text and custom tasks have"
    public = PUBLIC_WORKTEAM in task["WorkteamArn"]
    longest = LONGEST_PUBLIC if public else LONGEST_PRIVATE
    if task.get("TaskAvailabilityLifetimeInSeconds", 0) > longest:
        whose = "public" if public else "private and vendor"
        yield f"TaskAvailabilityLifetimeInSeconds is over {longest:,}, the limit for {whose} workteams"
    if public:
        yield from _public_problems(request)
    elif "PublicWorkforceTaskPrice" in task:
        yield "PublicWorkforceTaskPrice is for the public workteam alone; leave it out"


def _public_problems(request: Mapping[str, Any]) -> Iterator[str]:
    amount = request["HumanTaskConfig"].get("PublicWorkforceTaskPrice", {}).get("AmountInUsd", {})
    price = 10 * (100 * amount.get("Dollars", 0) + amount.get("Cents", 0)) + amount.get("TenthFractionsOfACent", 0)
    if price not in PUBLIC_PRICES:
        allowed = ", ".join(f"{each / 1000:.3f}" for each in PUBLIC_PRICES)
        yield f"PublicWorkforceTaskPrice of {price / 1000:.3f} dollars is none of {allowed}"
    classifiers = request["InputConfig"].get("DataAttributes", {}).get("ContentClassifiers", [])
    if "FreeOfPersonallyIdentifiableInformation" not in classifiers:
        yield "jobs of the public workteam fail without the content classifier FreeOfPersonallyIdentifiableInformation"
