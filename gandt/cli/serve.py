"""``gandt serve`` and ``gandt invite``."""

from typing import Annotated

import typer

from gandt.cli import Json, app, note, show_json, show_table

State = Annotated[str, typer.Option(help="Folder of the service's state; made if need be.")]


@app.command()
def serve(
    state: State = "gandt-state",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port on 127.0.0.1; 0 takes any free one.")] = 8250,
    s3: Annotated[
        str | None, typer.Option(help="Endpoint of an S3; by default AWS's, or that of AWS_ENDPOINT_URL_S3.")
    ] = None,
    function: Annotated[
        list[str] | None, typer.Option(help="A Lambda from a local file, NAME=FILE.py:HANDLER; may be repeated.")
    ] = None,
    json_: Json = False,
) -> None:
    """Serve labeling jobs as Ground Truth does: SageMaker's API for code, a portal for workers, on one port.

    Example: gandt serve --function LabelingFunction-pre=lambdas/pre_annotation/handler.py:lambda_handler
    """
    from gandt.service.serve import serving

    with serving(state, port=port, s3_endpoint=s3, functions=function or []) as (address, wait):
        if json_:
            show_json({"address": address, "state": state})
        else:
            note(f"gandt: serving at {address}, state in {state}; Ctrl-C ends it, and nothing is lost")
            note(f'  your code:  boto3.client("sagemaker", endpoint_url="{address}")')
            note(f"  workers:    gandt invite NAME --workteam TEAM --state {state}")
        wait()


@app.command()
def invite(
    name: Annotated[str, typer.Argument(help="The worker's name.")],
    workteam: Annotated[str, typer.Option(help="The worker's workteam.")],
    state: State = "gandt-state",
    days: Annotated[int, typer.Option(min=1, max=365, help="How long the link is good.")] = 30,
    new_team: Annotated[bool, typer.Option("--new-team", help="Make the workteam if there is none.")] = False,
    revoke: Annotated[
        bool, typer.Option("--revoke", help="End all of the worker's links and sessions instead.")
    ] = False,
    json_: Json = False,
) -> None:
    """Print a worker's personal link to the service, running or not; whoever has it works under this name.

    Example: gandt invite Ann --workteam friends --new-team
    """
    from gandt.service.serve import invite as make

    link = make(name, workteam, state, days=days, new_team=new_team, revoke=revoke)
    if json_:
        show_json({"worker": name, "workteam": workteam, "link": link})
    elif link is None:
        show_table("Revoked", [{"worker": name, "workteam": workteam}])
    else:
        print(link)
