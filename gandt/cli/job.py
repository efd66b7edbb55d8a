"""``gandt job``: labeling jobs at SageMaker, or at a ``gandt serve`` with --endpoint."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gandt.cli import Json, group, note, show_json, show_table

if TYPE_CHECKING:
    from gandt.jobs import JobStatus

commands = group("job", "Labeling jobs: create, list, status, wait, stop, cost; at SageMaker or at gandt serve.")

Name = Annotated[str, typer.Argument(help="The labeling job's name.")]
Endpoint = Annotated[
    str | None, typer.Option(envvar="GANDT_ENDPOINT", help="Address of a gandt serve; by default SageMaker.")
]
Profile = Annotated[str | None, typer.Option(help="AWS profile, instead of AWS_PROFILE.")]
Region = Annotated[str | None, typer.Option(help="AWS region, instead of AWS_REGION.")]

INVITE = "gandt workers invite NAME brings one"


def _connect(endpoint: str | None, profile: str | None, region: str | None) -> Any:
    import os
    from dataclasses import replace

    from gandt import jobs, storage

    told = storage.access()
    s3 = told.s3_endpoint
    if endpoint and not (s3 or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")):
        s3 = jobs.s3_of(endpoint)
    storage.use(replace(told, profile=profile or told.profile, region=region or told.region, s3_endpoint=s3))
    return jobs.connect(endpoint)


@commands.command()
def create(
    name: Annotated[str | None, typer.Argument(help="The new job's name; --request may hold it instead.")] = None,
    manifest: Annotated[
        str | None, typer.Option(help="Manifest; a local one is uploaded, with the local images that it names.")
    ] = None,
    template: Annotated[
        str | None, typer.Option(help="Worker template: gandt's own by name, a file, or an s3:// address.")
    ] = None,
    output: Annotated[str | None, typer.Option(help="s3:// folder for the job's output.")] = None,
    workteam: Annotated[str | None, typer.Option(help="Name or ARN; may be left out if there is just one.")] = None,
    role: Annotated[str | None, typer.Option(help="Name or ARN of the role that the job runs under.")] = None,
    pre: Annotated[str | None, typer.Option(help="Pre-annotation Lambda, name or ARN.")] = None,
    post: Annotated[str | None, typer.Option(help="Post-annotation Lambda, name or ARN.")] = None,
    stack: Annotated[
        str | None, typer.Option(help="CloudFormation stack of gandt's backend: brings role and Lambdas.")
    ] = None,
    attribute: Annotated[str | None, typer.Option(help="Label attribute; by default the job's name.")] = None,
    category: Annotated[list[str] | None, typer.Option(help="A label category; once for each.")] = None,
    categories: Annotated[str | None, typer.Option(help="Label category file instead, local or s3://.")] = None,
    title: Annotated[str, typer.Option(help="What workers see in their list.")] = "Label images",
    description: Annotated[
        str, typer.Option(help="One sentence more about it.")
    ] = "Look at each picture and choose the label that fits.",
    workers: Annotated[int, typer.Option(help="Answers per data object, 1 to 9.")] = 3,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other member of CreateLabelingJob, NAME=JSON; may be repeated."),
    ] = None,
    request: Annotated[
        str | None, typer.Option(help="The whole request as a JSON file, as for the AWS CLI; --set changes it.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Read manifest, template, categories first.")
    ] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the request; upload and create nothing.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Then wait for the job's end.")] = False,
    endpoint: Endpoint = None,
    profile: Profile = None,
    region: Region = None,
    json_: Json = False,
) -> None:
    """Create a labeling job; the same command again finds the job that it made.

    Example: gandt job create animals-1 --manifest job.manifest --template image-grid --output s3://bucket/jobs
    --stack gandt --workteam friends --category cat --category dog --set MaxHumanLabeledObjectCount=500
    """
    from gandt import jobs
    from gandt.errors import InputError
    from gandt.jobs.inputs import read_request

    sagemaker = _connect(endpoint, profile, region)
    settings = jobs.read_settings(set_ or [])
    if request is not None:
        prepared = read_request(request, name, settings, check=check)
    else:
        missing = [each for each, value in (("NAME", name), ("--output", output)) if not value]
        if missing:
            raise InputError(f"gandt job create needs {' and '.join(missing)}, or a whole request by --request FILE")
        prepared = jobs.prepare(
            name or "",
            manifest=manifest,
            template=template,
            output=output or "",
            workteam=workteam,
            role=role,
            pre_lambda=pre,
            post_lambda=post,
            categories=categories or category,
            stack=stack,
            local=endpoint is not None,
            check=check,
            upload=not dry_run,
            sagemaker=sagemaker,
            label_attribute=attribute,
            title=title,
            description=description,
            workers_per_object=workers,
            settings=settings,
        )
    for warning in prepared.warnings[:20]:
        note(f"gandt: {warning}")
    if dry_run:
        for uri, content in prepared.files.items():
            note(f"would upload {len(content):,} bytes to {uri}")
        show_json(prepared.request)
        return
    prepared.send()
    status, made = jobs.create(prepared.request, sagemaker=sagemaker)
    if wait:
        _wait(status.name, endpoint, profile, region, 20.0, None, json_)
        return
    if json_:
        show_json({"made": made, **status.as_dict()})
        if status.shortage:
            note(f"gandt: {status.shortage}; {INVITE}")
        return
    note(f"gandt: {'created' if made else 'it is there already:'} {status.arn}")
    _show(status)
    if status.shortage:
        note(f"gandt: {status.shortage}; {INVITE}")


@commands.command("list")
def list_(
    status: Annotated[str | None, typer.Option(help="Only InProgress, Completed, Failed, Stopped, ...")] = None,
    contains: Annotated[str | None, typer.Option(help="Only jobs with this in their name.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 50,
    endpoint: Endpoint = None,
    profile: Profile = None,
    region: Region = None,
    json_: Json = False,
) -> None:
    """List labeling jobs, the newest first.

    Example: gandt job list --status InProgress
    """
    from gandt import jobs

    sagemaker = _connect(endpoint, profile, region)
    found = jobs.list_jobs(status=status, name_contains=contains, limit=limit, sagemaker=sagemaker)
    if json_:
        show_json([each.as_dict() for each in found])
        return
    rows = [
        {
            "job": each.name,
            "status": each.status,
            "labeled": each.labeled,
            "failed": each.failed,
            "left": each.unlabeled,
            "created": f"{each.created:%Y-%m-%d %H:%M}",
        }
        for each in found
    ]
    if rows:
        show_table("Labeling jobs (times in UTC)", rows)
    else:
        note("there are no such labeling jobs")


@commands.command()
def status(
    name: Name, endpoint: Endpoint = None, profile: Profile = None, region: Region = None, json_: Json = False
) -> None:
    """Show how a labeling job stands: progress, counters, why it failed, and at gandt serve why objects did.

    Example: gandt job status animals-1 --endpoint http://127.0.0.1:8250
    """
    from gandt import jobs

    found = jobs.describe(name, sagemaker=_connect(endpoint, profile, region))
    if json_:
        show_json(found.as_dict())
    else:
        _show(found)
    if found.shortage:
        note(f"gandt: {found.shortage}; {INVITE}")


@commands.command()
def wait(
    name: Name,
    poll: Annotated[float, typer.Option(min=0.1, help="Longest pause between two looks, in seconds.")] = 20.0,
    timeout: Annotated[float | None, typer.Option(help="Give up after so many seconds.")] = None,
    endpoint: Endpoint = None,
    profile: Profile = None,
    region: Region = None,
    json_: Json = False,
) -> None:
    """Wait for a labeling job's end, through throttling, lost connections and sleep; exit code 1 if it failed.

    Interrupt it at any time: nothing is kept here, and the same command, on any machine, goes on.

    Example: gandt job wait animals-1 && gandt answers s3://bucket/jobs/animals-1 --out answers.csv
    """
    _wait(name, endpoint, profile, region, poll, timeout, json_)


@commands.command()
def stop(
    name: Name, endpoint: Endpoint = None, profile: Profile = None, region: Region = None, json_: Json = False
) -> None:
    """Stop a labeling job; what was answered is kept. SageMaker doesn't start a stopped job again.

    Example: gandt job stop animals-1
    """
    from gandt import jobs

    found = jobs.stop(name, sagemaker=_connect(endpoint, profile, region))
    if json_:
        show_json(found.as_dict())
    else:
        _show(found)


@commands.command()
def cost(
    job: Annotated[str, typer.Argument(help="The job's name, or the folder of its output.")],
    plan: Annotated[str | None, typer.Option(help="The plan, a file that gandt plan --out wrote.")] = None,
    prices: Annotated[str | None, typer.Option(help="Your price list (JSON).")] = None,
    labels: Annotated[str | None, typer.Option(help="The labels table; by default answers are consolidated.")] = None,
    gold: Annotated[str | None, typer.Option(help="Table of item,label: items whose label was known.")] = None,
    target: Annotated[float, typer.Option(help="Confidence at which a label counts.")] = 0.95,
    endpoint: Endpoint = None,
    profile: Profile = None,
    region: Region = None,
    json_: Json = False,
) -> None:
    """Show what a labeling job cost so far beside its plan, and per confident label.

    Example: gandt job cost animals-1 --plan plan.json --prices prices.json
    """
    from gandt import cost as costs
    from gandt import storage
    from gandt.jobs.cost import job_cost

    sagemaker = None if storage.is_s3(job) or "/" in job else _connect(endpoint, profile, region)
    default = costs.OWN_SERVICE if endpoint else costs.GROUND_TRUTH
    result = job_cost(
        job,
        prices=costs.read_prices(prices) if prices else default,
        plan=costs.read_plan(plan) if plan else None,
        labels=labels,
        gold=gold,
        target=target,
        sagemaker=sagemaker,
    )
    if json_:
        show_json(result)
        return
    planned = result.pop("plan") or {}
    rows = []
    for what, value in result.items():
        row = {"": what, "actual": value}
        if planned:
            known = planned.get(what) or {}
            row |= {key: known.get(key) for key in ("planned", "low", "high", "difference")}
        rows.append(row)
    show_table(f"Cost of {job}", rows)


def _show(found: "JobStatus") -> None:
    rows = [
        {"": "status", "value": found.status},
        {"": "progress", "value": found.bar() if found.total else "its objects aren't counted yet"},
        {"": "labeled", "value": f"{found.labeled:,} ({found.human:,} by people, {found.machine:,} by machine)"},
        {"": "failed", "value": f"{found.failed:,}"},
        {"": "left", "value": f"{found.unlabeled:,}"},
        {"": "created", "value": f"{found.created:%Y-%m-%d %H:%M} UTC"},
        {"": "output", "value": found.output},
    ]
    if found.answers is not None:
        workers = f"{found.workers:,} worker{'s'[: found.workers != 1]} in the workteam"
        rows.insert(2, {"": "answers", "value": f"{found.answers:,} of {found.answers_wanted:,}, by {workers}"})
    if found.reason:
        lines = found.reason.split("\n")  # a Lambda's traceback has several
        rows += [{"": "" if number else "reason", "value": line} for number, line in enumerate(lines)]
    show_table(found.name, rows)
    if found.failures:
        title = f"Objects that failed (the first {len(found.failures)} of {found.failed:,})"
        show_table(title, [{"data object": number, "reason": why} for number, why in found.failures])


def _wait(
    name: str,
    endpoint: str | None,
    profile: str | None,
    region: str | None,
    poll: float,
    timeout: float | None,
    json_: bool,
) -> None:
    from gandt import jobs
    from gandt.progress import Ticker

    ticker, short = Ticker(), (0, 0)

    def shown(found: "JobStatus") -> None:
        nonlocal short
        stands = (found.workers or 0, found.workers_lacking or 0)
        if found.shortage and stands != short:
            said(f"{found.shortage}; {INVITE}")
        short = stands
        ticker.show(found.line(), final=found.ended)

    def said(sentence: str) -> None:
        ticker.end()
        note(f"gandt: {sentence}")

    try:
        found = jobs.wait(
            name,
            connect=lambda: _connect(endpoint, profile, region),
            poll=min(poll, 2.0) if endpoint else poll,
            timeout=timeout,
            shown=shown,
            said=said,
        )
    finally:
        ticker.end()
    if json_:
        show_json(found.as_dict())
    else:
        _show(found)
    if found.status == "Failed":
        raise typer.Exit(1)
