"""``gandt processing``: embed a pool on a fleet of SageMaker's."""

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gandt.cli import Json, group, note, show_json, show_table

if TYPE_CHECKING:
    from gandt.processing.submit import JobState

commands = group("processing", "Embed a pool on many machines: SageMaker Processing jobs, submitted and watched.")

Name = Annotated[str, typer.Argument(help="The processing job's name.")]


def _client() -> Any:
    from gandt import jobs

    return jobs.connect()


@commands.command("submit")
def submit_command(
    source: Annotated[str, typer.Argument(help="What to embed, on S3: a prefix, manifest, list, table, tar shards.")],
    store: Annotated[str, typer.Argument(help="s3:// folder where the store comes to lie.")],
    image: Annotated[str, typer.Option(help="ECR address of the image made from infra/Dockerfile.")],
    role: Annotated[str | None, typer.Option(help="ARN of the role that the job runs under.")] = None,
    stack: Annotated[str | None, typer.Option(help="Stack that gandt deploy made: brings the role.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the job; by default gandt-embed- and the time.")] = None,
    instances: Annotated[int, typer.Option(help="How many machines, 1 to 100.")] = 1,
    instance: Annotated[
        list[str] | None, typer.Option(help="Instance type; once for each that will do, the best first.")
    ] = None,
    model: Annotated[str, typer.Option(help="As for gandt embed.")] = "lite0",
    precision: Annotated[str, typer.Option(help="fp32, int8 or bf16.")] = "fp32",
    dtype: Annotated[str, typer.Option(help="Of the vectors on disk: float32 or float16.")] = "float32",
    column: Annotated[str | None, typer.Option(help="Of a table: the column with the addresses.")] = None,
    seeds: Annotated[list[str] | None, typer.Option(help="On S3; with --candidates, filter by these.")] = None,
    candidates: Annotated[str, typer.Option(help="s3:// table of candidates for the last machine to write.")] = "",
    rule: Annotated[str | None, typer.Option(help="As for gandt filter.")] = None,
    volume: Annotated[int, typer.Option(help="GB of disk for each machine.")] = 100,
    hours: Annotated[float, typer.Option(help="Most hours it may take.")] = 24.0,
    subnet: Annotated[list[str] | None, typer.Option(help="Of a VPC.")] = None,
    security_group: Annotated[list[str] | None, typer.Option(help="Of the VPC.")] = None,
    images: Annotated[int | None, typer.Option(help="How many there are, instead of listing the source.")] = None,
    megapixels: Annotated[float, typer.Option(help="Of a usual image, for the estimate.")] = 1.0,
    rate: Annotated[float | None, typer.Option(help="Images a second of one machine, if you measured it.")] = None,
    hourly: Annotated[float | None, typer.Option(help="Dollars an hour of one machine, if you know it.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Estimate, print the request, submit nothing.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until it has ended.")] = False,
    json_: Json = False,
) -> None:
    """Embed a pool on SageMaker: says what it will cost, submits, shows how far it is.

    Example: gandt processing submit s3://pool/images/ s3://pool/store --image ECR_ADDRESS --stack gandt --instances 4
    """
    from gandt import jobs, storage
    from gandt.errors import InputError
    from gandt.processing import Work
    from gandt.processing import submit as room

    if stack and not role:
        from gandt.deploy import Stack

        role = Stack(stack).outputs().get("ProcessingRoleArn")
    if not role:
        raise InputError("a processing job needs a role: give --role ARN, or --stack with the stack of gandt deploy")
    types = instance or list(room.PREFERRED)
    options: dict[str, Any] = {"model": model, "precision": precision, "dtype": dtype, "column": column}
    task = Work(source, store, tuple(seeds or ()), candidates, options, {"rule": rule})
    request = room.build_request(
        name or f"gandt-embed-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}",
        task,
        image=image,
        role=role,
        instances=instances,
        types=types,
        volume=volume,
        hours=hours,
        kms_key=storage.access().kms_key,
        subnets=subnet or (),
        security_groups=security_group or (),
    )
    number = images if images is not None else room.count(source, column=column)
    cost = room.estimate(
        number, instance=types[0], instances=instances, megapixels=megapixels, rate=rate, hourly=hourly
    )
    facts: dict[str, Any] = {"estimate": vars(cost), "request": request, "arn": None}
    if not json_:
        show_table("Estimate (prices of November 2026, us-east-1; --hourly knows better)", [vars(cost)])
    if not dry_run:
        client = jobs.connect()
        facts["arn"] = room.submit(request, sagemaker=client)
        note(f"submitted: gandt processing status {request['ProcessingJobName']} shows how far it is")
        if wait:
            ended = room.wait(request["ProcessingJobName"], sagemaker=client, shown=_shown)
            facts["state"] = ended.as_dict()
    if json_:
        show_json(facts)


@commands.command()
def status(name: Name, json_: Json = False) -> None:
    """Show how far a processing job is.

    Example: gandt processing status gandt-embed-20261122-101500
    """
    from gandt.processing import submit as room

    now = room.state(name, sagemaker=_client())
    if json_:
        show_json(now.as_dict())
    else:
        show_table(f"Processing job {name}", [now.as_dict()])


@commands.command()
def wait(
    name: Name,
    poll: Annotated[float, typer.Option(help="Seconds between two looks.")] = 20.0,
    json_: Json = False,
) -> None:
    """Wait until a processing job has ended; exit 1 when it failed, with its exit message.

    Example: gandt processing wait gandt-embed-20261122-101500
    """
    from gandt.processing import submit as room

    now = room.wait(name, sagemaker=_client(), poll=poll, shown=_shown)
    if json_:
        show_json(now.as_dict())
    else:
        show_table(f"Processing job {name}", [now.as_dict()])


@commands.command()
def stop(name: Name, json_: Json = False) -> None:
    """Stop a processing job; what is finished is kept, and a new job with the same store goes on from it.

    Example: gandt processing stop gandt-embed-20261122-101500
    """
    from gandt.jobs.client import asked

    with asked(f"stop processing job {name}"):
        _client().stop_processing_job(ProcessingJobName=name)
    if json_:
        show_json({"name": name, "stopping": True})
    else:
        note(f"{name} is stopping")


def _shown(now: "JobState") -> None:
    note(f"{now.status}: {now.done} of {now.instances} machines done, {now.parts} parts written, {now.seconds:,.0f} s")
