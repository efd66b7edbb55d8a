"""``gandt doctor``."""

from typing import Annotated

import typer

from gandt.cli import Json, app, note, show_json, show_table


@app.command()
def doctor(
    request: Annotated[
        str | None, typer.Argument(help="A labeling job's request (JSON), as gandt job create --dry-run prints it.")
    ] = None,
    stack: Annotated[str | None, typer.Option(help="Stack of gandt's backend: its bucket, role, Lambdas.")] = None,
    bucket: Annotated[list[str] | None, typer.Option(help="A bucket for images and output; may be repeated.")] = None,
    role: Annotated[str | None, typer.Option(help="Role of labeling jobs, name or ARN.")] = None,
    function: Annotated[list[str] | None, typer.Option(help="A Lambda of labeling jobs; may be repeated.")] = None,
    instance_type: Annotated[
        list[str] | None, typer.Option(help="For processing jobs, such as ml.g5.xlarge: is there a quota?")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Show what is well, too.")] = False,
    profile: Annotated[str | None, typer.Option(help="AWS profile, instead of AWS_PROFILE.")] = None,
    region: Annotated[str | None, typer.Option(help="AWS region, instead of AWS_REGION.")] = None,
    json_: Json = False,
) -> None:
    """Check an account, or a labeling job's request, and say what is broken and what mends it; changes nothing.

    The exit code is 1 if something is broken.

    Example: gandt doctor request.json
    """
    import json
    from dataclasses import replace

    from gandt import storage
    from gandt.errors import InputError
    from gandt.jobs.doctor import examine_account, examine_request

    told = storage.access()
    storage.use(replace(told, profile=profile or told.profile, region=region or told.region))
    if request is not None:
        if stack or bucket or role or function or instance_type:
            raise InputError("a request names its buckets, role and Lambdas itself; leave the options out")
        try:
            asked = json.loads(storage.read_text(request))
        except ValueError as error:
            raise InputError(f"the request {request} isn't JSON: {error}") from error
        if not isinstance(asked, dict):
            raise InputError(f"the request {request} isn't a JSON object")
        table = examine_request(asked)
    else:
        table = examine_account(
            stack=stack, buckets=bucket or (), role=role, functions=function or (), instance_types=instance_type or ()
        )
    counts = table["state"].value_counts()
    rows = [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
    if json_:
        show_json(rows)
    else:
        seen = [row for row in rows if all_ or row["state"] != "ok"]
        if seen:
            show_table("gandt doctor", seen)
        note(", ".join(f"{count} {state}" for state, count in counts.items()))
    if counts.get("broken", 0):
        raise typer.Exit(1)
