"""``gandt doctor``: what will fail in an account, or with a labeling job's request, before it fails.

Nothing is changed, and no job is created. What only AWS can judge, such as policies of an organisation, stays unseen.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from gandt import manifest as manifests
from gandt import storage, templates
from gandt.errors import ContractError, GandtError
from gandt.jobs.client import CLOSED, is_closed
from gandt.jobs.exam import Exam
from gandt.jobs.inputs import FOLDER
from gandt.jobs.request import check_request, refuse_public
from gandt.jobs.rights import trusts
from gandt.manifest.check import MAX_OBJECTS
from gandt.manifest.lines import line_shown, raw_lines

# rights that gandt's commands ask of whoever runs them, with what for; docs/aws.md has the same list
CALLER_RIGHTS = (
    ("sagemaker:CreateLabelingJob", "labeling-job/*", "gandt job create"),
    ("sagemaker:DescribeLabelingJob", "labeling-job/*", "gandt job status, wait and create"),
    ("sagemaker:StopLabelingJob", "labeling-job/*", "gandt job stop"),
    ("sagemaker:ListLabelingJobs", "", "gandt job list"),
    ("sagemaker:DescribeWorkteam", "workteam/*", "gandt job create --workteam NAME"),
    ("sagemaker:ListWorkteams", "", "gandt job create without --workteam"),
)
# names of functions that AmazonSageMakerGroundTruthExecution may invoke
# https://docs.aws.amazon.com/sagemaker/latest/dg/security-iam-awsmanpol-ground-truth.html
MANAGED_NAMES = re.compile(r"GtRecipe|LabelingFunction|SageMaker|sagemaker|Sagemaker")
LISTED = 20_000  # lines of a manifest whose buckets are looked for
_AWS_FUNCTIONS = re.compile(r":function:(PRE|ACS)-")  # AWS's own; nobody else may look at them


def examine_account(
    *,
    stack: str | None = None,
    buckets: Sequence[str] = (),
    role: str | None = None,
    functions: Sequence[str] = (),
    instance_types: Sequence[str] = (),
    session: Any = None,
    sagemaker: Any = None,
    s3: Any = None,
) -> pd.DataFrame:
    """Check an account: credentials, region, access to Ground Truth, the caller's rights, and what is named.

    Parameters
    ----------
    stack : str, optional
        Stack of gandt's backend: its bucket, role and Lambdas are looked at.
    buckets : sequence of str
        Buckets for images and output, by name or ``s3://`` address.
    role : str, optional
        Role of labeling jobs, by name or ARN.
    functions : sequence of str
        Lambdas of labeling jobs, by name or ARN.
    instance_types : sequence of str
        For processing jobs, such as ``ml.g5.xlarge``: their quotas.
    session, sagemaker, s3 : optional
        Of boto3; by default what :func:`gandt.storage.use` was told.

    Returns
    -------
    pandas.DataFrame
        ``check, subject, state, problem, fix``; state is broken, warning, unknown or ok, the worst first.
    """
    exam = Exam(session or storage.session(), sagemaker=sagemaker, s3=s3)
    if not _entered(exam):
        return exam.table()
    _open(exam)
    for action, kind, command in CALLER_RIGHTS:
        resource = f"arn:aws:sagemaker:{exam.region}:{exam.caller.split(':')[4]}:{kind}" if kind else "*"
        exam.need(exam.caller, action, resource.replace("/*", "/gandt-doctor"), command)
    if stack:
        role, buckets, functions = _stack(exam, stack, role, buckets, functions)
    arn = _role(exam, role) if role else None
    for bucket in buckets:
        name = storage.split_s3(bucket)[0] if storage.is_s3(bucket) else bucket
        exam.bucket(name, shown=True, written=True, role=arn)
        if arn:
            _reach(exam, arn, f"s3://{name}/*", "s3:GetObject", "showing images to workers")
            _reach(exam, arn, f"s3://{name}/*", "s3:PutObject", "writing a job's output")
    for function in functions:
        _function(exam, function, arn)
    _quotas(exam, instance_types)
    return exam.table()


def examine_request(
    request: Mapping[str, Any], *, session: Any = None, sagemaker: Any = None, s3: Any = None
) -> pd.DataFrame:
    """Check a CreateLabelingJob request and all that it names; see :func:`examine_account` for what is returned."""
    exam = Exam(session or storage.session(), sagemaker=sagemaker, s3=s3)
    name = str(request.get("LabelingJobName"))
    try:
        refuse_public(request)
        check_request(request)
        exam.ok("request", name)
    except ContractError as error:
        exam.broken("request", name, str(error), "correct the request; gandt job create makes one that is right")
        return exam.table()
    if not _entered(exam):
        return exam.table()
    _open(exam)
    task, role = request["HumanTaskConfig"], request["RoleArn"]
    consolidation = task.get("AnnotationConsolidationConfig", {}).get("AnnotationConsolidationLambdaArn")
    lambdas = [arn for arn in (task.get("PreHumanTaskLambdaArn"), consolidation) if arn]
    for what, arn in (("workteam", task["WorkteamArn"]), *(("Lambda", arn) for arn in lambdas)):
        _same_region(exam, what, arn)
    _name(exam, name)
    _workteam(exam, task["WorkteamArn"])
    arn = _role(exam, role)
    for action, kind, command in CALLER_RIGHTS[:1]:
        exam.need(exam.caller, action, f"arn:aws:sagemaker:{exam.region}:{role.split(':')[4]}:{kind}", command)
    exam.need(exam.caller, "iam:PassRole", role, "giving the job its role")
    for each in lambdas:
        _function(exam, each, arn)
    if task.get("MaxConcurrentTaskCount", 0) > 1000:
        exam.warn(
            "quota", "MaxConcurrentTaskCount", f"it is {task['MaxConcurrentTaskCount']:,}, and accounts have 1,000",
            "ask AWS Support for more, or lower it: it is the size of a batch, not of the job",
        )  # fmt: skip
    _files(exam, request, arn)
    return exam.table()


# ---------------------------------------------------------------- the account


def _entered(exam: Exam) -> bool:
    """Check credentials and region, without which nothing else can be looked at."""
    if exam.session.region_name is None:
        exam.broken("region", "-", "no region is set", "give --region, or set AWS_REGION")
        return False
    from botocore.exceptions import ConnectionError as Unreachable
    from botocore.exceptions import HTTPClientError

    try:
        exam.client("sts").get_caller_identity()
    except Exception as error:
        if not type(error).__module__.startswith(("botocore", "boto3")):
            raise
        if isinstance(error, (Unreachable, HTTPClientError)):
            fix = "check the network, and the address in AWS_ENDPOINT_URL where it is set"
            exam.broken("endpoint", "-", storage.reason(error), fix)
        else:
            fix = "name a profile with --profile or AWS_PROFILE, or sign in again (aws sso login)"
            exam.broken("credentials", "-", storage.reason(error), fix)
        return False
    exam.ok("credentials", exam.caller)
    if exam.region not in exam.session.get_available_regions("sagemaker", exam.caller.split(":")[1]):
        exam.warn("region", exam.region, "boto3 knows no SageMaker there", "check the region's name, or update boto3")
    return True


def _open(exam: Exam) -> None:
    """Check that the account may use Ground Truth, which is closed to new customers."""
    sagemaker = exam.client("sagemaker")
    right = "sagemaker:ListLabelingJobs and sagemaker:ListWorkteams"
    with exam.looking("Ground Truth", exam.region, right):
        try:
            jobs = sagemaker.list_labeling_jobs(MaxResults=1)["LabelingJobSummaryList"]
            teams = sagemaker.list_workteams(MaxResults=1)["Workteams"]
        except sagemaker.exceptions.ClientError as error:
            if not is_closed(error):
                raise
            exam.broken("Ground Truth", exam.region, "AWS refuses: " + str(error), CLOSED)
            return
        if jobs:
            exam.ok("Ground Truth", exam.region)
        else:
            exam.warn(
                "Ground Truth", exam.region, "there never was a labeling job here, and new customers are refused since "
                "30 July 2026", "if this account is new to Ground Truth, run the same job on gandt serve (--endpoint)",
            )  # fmt: skip
        if not teams:
            exam.warn(
                "workteam", exam.region, "there is no workteam, so nobody can work",
                "create one in the SageMaker console (Labeling workforces), or use gandt serve",
            )  # fmt: skip


def _stack(
    exam: Exam, name: str, role: str | None, buckets: Sequence[str], functions: Sequence[str]
) -> tuple[str | None, Sequence[str], Sequence[str]]:
    """Return what is to be looked at, with what the stack of gandt's backend made."""
    absent = (f"there is no stack {name} in {exam.region}", "gandt deploy makes it; or correct its name or the region")
    with exam.looking("stack", name, "cloudformation:DescribeStacks", missing=absent):
        found = exam.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        if not re.fullmatch("(CREATE|UPDATE|IMPORT|UPDATE_ROLLBACK)_COMPLETE", found["StackStatus"]):
            fix = "see its events in the CloudFormation console, then run gandt deploy again"
            exam.broken("stack", name, f"it is {found['StackStatus']}", fix)
            return role, buckets, functions
        exam.ok("stack", name)
        made = {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}
        role = role or made.get("RoleArn")
        buckets = [*buckets, *(made[key] for key in ("Bucket",) if key in made)]
        lambdas = ("PreHumanTaskLambdaArn", "AnnotationConsolidationLambdaArn")
        functions = [*functions, *(made[key] for key in lambdas if key in made)]
    return role, buckets, functions


def _quotas(exam: Exam, instance_types: Iterable[str]) -> None:
    wanted = [f"{kind} for processing job usage" for kind in instance_types]
    if not wanted:
        return
    with exam.looking("quota", ", ".join(wanted), "servicequotas:ListServiceQuotas"):
        pages = exam.client("service-quotas").get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker")
        quotas = {each["QuotaName"]: each["Value"] for page in pages for each in page["Quotas"]}
        for name in wanted:
            if name not in quotas:
                exam.warn("quota", name, "there is no such quota", "check the instance type's name")
            elif quotas[name] < 1:
                exam.broken(
                    "quota", name, f"it is {quotas[name]:g}, so no such instance starts",
                    "ask for more under Service Quotas, Amazon SageMaker, or choose another instance type",
                )  # fmt: skip
            else:
                exam.ok("quota", f"{name}: {quotas[name]:g}")


# ---------------------------------------------------------------- what a job names


def _same_region(exam: Exam, what: str, arn: str) -> None:
    region = arn.split(":")[3]
    if region != exam.region:
        exam.broken(
            "region", arn, f"the {what} is in {region} and the job in {exam.region}",
            f"use a {what} of {exam.region}, or create the job with --region {region}",
        )  # fmt: skip


def _name(exam: Exam, name: str) -> None:
    with exam.looking("name", name, "sagemaker:DescribeLabelingJob"):
        sagemaker = exam.client("sagemaker")
        try:
            found = sagemaker.describe_labeling_job(LabelingJobName=name)
        except sagemaker.exceptions.ClientError as error:
            if storage.error_code(error) not in ("ResourceNotFound", "ValidationException"):
                raise
            exam.ok("name", name)
            return
        exam.warn(
            "name", name, f"a labeling job has this name already; it is {found['LabelingJobStatus']}",
            "choose another name: names are compared without case and never become free again",
        )  # fmt: skip


def _workteam(exam: Exam, arn: str) -> None:
    if ":workteam/vendor-crowd/" in arn:  # a subscription, seen by another operation
        return
    absent = ("there is no such workteam", "create it, or name one that aws sagemaker list-workteams shows")
    name = arn.rpartition("/")[2]
    with exam.looking("workteam", name, "sagemaker:DescribeWorkteam", missing=absent):
        exam.client("sagemaker").describe_workteam(WorkteamName=name)
        exam.ok("workteam", name)


def _role(exam: Exam, role: str) -> str | None:
    """Check a role and whom it trusts; return its ARN, None when there is no such role."""
    name = role.rpartition("/")[2]
    arn = None
    absent = ("there is no such role", "create it (gandt's stack has one), or correct the name")
    with exam.looking("role", name, "iam:GetRole", missing=absent):
        found = exam.client("iam").get_role(RoleName=name)["Role"]
        arn = str(found["Arn"])
        if trusts(found["AssumeRolePolicyDocument"], "sagemaker.amazonaws.com"):
            exam.ok("role", name)
        else:
            exam.broken(
                "role", name, "it doesn't trust SageMaker, so no labeling job can run under it",
                "allow sts:AssumeRole to the service sagemaker.amazonaws.com in its trust policy",
            )  # fmt: skip
    return arn


def _reach(exam: Exam, role: str, uri: str, action: str, why_needed: str) -> None:
    bucket, key = storage.split_s3(uri)
    exam.need(role, action, f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}", why_needed)


def _function(exam: Exam, function: str, role: str | None) -> None:
    """Check a Lambda: there, ready, and the role may invoke it; AWS's own are taken as they are."""
    if _AWS_FUNCTIONS.search(function):
        return
    name = function.split(":")[6] if function.count(":") >= 6 else function
    absent = (f"there is no Lambda {name} in {exam.region}", "deploy it (gandt's stack has both), or correct the ARN")
    with exam.looking("Lambda", name, "lambda:GetFunction", missing=absent):
        found = exam.client("lambda").get_function(FunctionName=function)["Configuration"]
        state = found.get("State", "Active")
        if state in ("Active", "Inactive"):
            exam.ok("Lambda", name)
        else:
            why_not = found.get("StateReason") or "no reason is given"
            exam.broken("Lambda", name, f"it is {state}: {why_not}", "deploy it again")
        rights = exam.rights(role) if role else None
        if rights is None:
            return
        if rights.allows("lambda:InvokeFunction", found["FunctionArn"]) == "no" and not MANAGED_NAMES.search(name):
            exam.broken(
                "Lambda name", name, f"{role} may not invoke it, and AWS's managed policy for Ground Truth only allows "
                "names with GtRecipe, LabelingFunction or SageMaker",
                f"rename it (for instance LabelingFunction-{name}), or allow lambda:InvokeFunction on it to the role",
            )  # fmt: skip
        else:
            exam.need(role or "", "lambda:InvokeFunction", found["FunctionArn"], "calling the job's Lambda")


def _files(exam: Exam, request: Mapping[str, Any], role: str | None) -> None:
    """Check the files that a request names, their buckets, and the role's rights to them."""
    source = request["InputConfig"]["DataSource"].get("S3DataSource", {}).get("ManifestS3Uri")
    template = request["HumanTaskConfig"]["UiConfig"].get("UiTemplateS3Uri")
    output, categories = request["OutputConfig"]["S3OutputPath"], request.get("LabelCategoryConfigS3Uri")
    shown: set[str] = set()
    if source:
        shown = _manifest(exam, source, request["LabelAttributeName"])
    if template:
        with _readable(exam, "template", template):
            bad = [each for each in templates.check(storage.read_text(template, s3=exam.client("s3"))) if
                   each.level == "error"]  # fmt: skip
            if bad:
                problem = "; ".join(f"line {each.line}: {each.message}" for each in bad[:3])
                exam.broken("template", template, problem, f"correct it; gandt template check {template} tells all")
            else:
                exam.ok("template", template)
    if categories:
        with _readable(exam, "categories", categories):
            storage.read_text(categories, s3=exam.client("s3"))
            exam.ok("categories", categories)
    read = [uri for uri in (source, template, categories) if uri]
    buckets = dict.fromkeys([*shown, *(storage.split_s3(uri)[0] for uri in (*read, output))])
    for bucket in buckets:
        written = bucket == storage.split_s3(output)[0]
        exam.bucket(bucket, shown=bucket in shown, written=written, role=role)
    if key := request["OutputConfig"].get("KmsKeyId"):
        exam.key(key, role)
    if role is None:
        return
    for uri in read:
        _reach(exam, role, uri, "s3:GetObject", "reading what the job is made of")
    for bucket in shown:
        _reach(exam, role, f"s3://{bucket}/*", "s3:GetObject", "showing images to workers")
    for bucket in buckets:
        _reach(exam, role, f"s3://{bucket}", "s3:ListBucket", "finding objects")
    _reach(exam, role, storage.join(output, request["LabelingJobName"], "*"), "s3:PutObject", "writing the output")


class _readable:  # noqa: N801  (a context manager, used as a function)
    """Turn a GandtError inside the block into a finding that the file can't be used."""

    def __init__(self, exam: Exam, check: str, uri: str) -> None:
        self._exam, self._check, self._uri = exam, check, uri

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        if not isinstance(error, GandtError):
            return False
        if f"/{FOLDER}/" in self._uri and storage.error_code(error.__cause__) in ("404", "NoSuchKey"):
            self._exam.warn(self._check, self._uri, "it isn't uploaded yet", "gandt job create does that")
            return True
        fix = "correct the address, or give the right to read it (s3:GetObject, and kms:Decrypt for its key)"
        self._exam.broken(self._check, self._uri, str(error), fix)
        return True


def _manifest(exam: Exam, uri: str, attribute: str) -> set[str]:
    """Check a manifest; return the buckets of the objects that it shows."""
    s3 = exam.client("s3")
    buckets: set[str] = set()
    with _readable(exam, "manifest", uri):
        table = manifests.check_manifest(uri, label_attribute=attribute, s3=s3)
        errors = table[table["severity"] == "error"]
        count = sum(1 for raw in raw_lines(uri, s3=s3) if raw.content.strip())
        for line in _first(manifests.read_lines(uri, s3=s3)) if errors.empty else ():
            buckets |= {storage.split_s3(item)[0] for item in line_shown(line) if storage.is_s3(item)}
        if len(errors):
            worst = "; ".join(f"line {line}: {text}" for line, text in errors[["line", "problem"]].values[:3])
            fix = f"correct it; gandt manifest check {uri} lists all {len(errors):,}"
            exam.broken("manifest", uri, worst, fix)
        else:
            exam.ok("manifest", uri)
        if count > MAX_OBJECTS:
            exam.broken(
                "quota", uri, f"it has {count:,} objects, and a job takes {MAX_OBJECTS:,}",
                "show several items on a page (gandt manifest build --per-page), split it, or ask AWS Support for more",
            )  # fmt: skip
    return buckets


def _first(lines: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for _, line in zip(range(LISTED), lines, strict=False):
        yield line
