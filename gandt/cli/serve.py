"""``gandt serve`` and ``gandt owner``."""

from typing import Annotated

import typer

from gandt.cli import Json, app, note, show_json, show_table

State = Annotated[str, typer.Option(help="Folder of the service's state; made if need be.")]


@app.command()
def serve(
    state: State = "gandt-state",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0 takes any free one.")] = 8250,
    s3: Annotated[
        str | None,
        typer.Option(
            help="embedded (in the state's folder), aws, or an endpoint; by default AWS_ENDPOINT_URL_S3, or embedded."
        ),
    ] = None,
    s3_port: Annotated[int | None, typer.Option(min=0, max=65_535, help="Of embedded; by default --port + 1.")] = None,
    function: Annotated[
        list[str] | None, typer.Option(help="A Lambda, NAME=FILE.py:HANDLER, or NAME=FOLDER:module.function; repeat.")
    ] = None,
    memory: Annotated[int, typer.Option(min=128, help="Each Lambda's limit of address space, in MiB.")] = 3008,
    timeout: Annotated[float, typer.Option(min=1, max=900, help="Each Lambda's limit of one call, in seconds.")] = 60,
    env: Annotated[
        list[str] | None,
        typer.Option(help="A variable for the Lambdas, NAME=VALUE, or NAME if it is set; repeat."),
    ] = None,
    webhook: Annotated[str | None, typer.Option(help="Address to post an event to when a job has ended.")] = None,
    host: Annotated[
        str,
        typer.Option(help="Interface to listen on; beyond this machine the API asks for tokens."),
    ] = "127.0.0.1",
    address: Annotated[
        str | None, typer.Option(help="How browsers call it, if otherwise: https://HOST of a proxy, for instance.")
    ] = None,
    tls_cert: Annotated[str | None, typer.Option(help="File of a TLS certificate (PEM).")] = None,
    tls_key: Annotated[str | None, typer.Option(help="File of its key (PEM).")] = None,
    tokens: Annotated[bool, typer.Option("--tokens", help="Ask for tokens on this machine, too.")] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="https://HOST that templates may load scripts, styles and pictures from; repeat."),
    ] = None,
    json_: Json = False,
) -> None:
    """Serve labeling jobs as Ground Truth does: SageMaker's API for code, a portal for workers, on one port.

    Example: gandt serve --function LabelingFunction-pre=lambdas/pre_annotation/handler.py:lambda_handler
    """
    from gandt.errors import InputError
    from gandt.service.serve import WITHOUT_TLS, Door, serving
    from gandt.service.setting import Setting

    if (tls_cert is None) != (tls_key is None):
        raise InputError("--tls-cert and --tls-key need each other; give both files")
    certificate = (tls_cert, tls_key) if tls_cert and tls_key else None
    door = Door(host, port, address, certificate, tokens, tuple(allow or ()))
    if door.readable:
        note(f"gandt: {WITHOUT_TLS}")
    near = s3_port if s3_port is not None else min(port + 1, 65_535) if port else 0
    setting = Setting(s3, near, function or (), memory, timeout, webhook, env or ())
    with serving(state, door=door, setting=setting) as (url, endpoint, wait):
        if json_:
            show_json({"address": url, "s3": endpoint, "state": state})
        else:
            note(f"gandt: serving at {url}, state in {state}; Ctrl-C ends it, and nothing is lost")
            note(f'  your code:  boto3.client("sagemaker", endpoint_url="{url}")')
            note(f"  objects:    {'AWS_ENDPOINT_URL_S3=' + endpoint if endpoint else 'in AWS'}")
            note(f"  workers:    gandt workers invite NAME --workteam TEAM --state {state}")
            note(f"  your page:  gandt owner --state {state}")
        wait()


@app.command()
def owner(
    state: State = "gandt-state",
    days: Annotated[int, typer.Option(min=1, max=365, help="How long it is good.")] = 30,
    api: Annotated[bool, typer.Option("--api", help="Print a token for SageMaker's API instead.")] = False,
    revoke: Annotated[
        bool, typer.Option("--revoke", help="End all of the owner's links, sessions and tokens instead.")
    ] = False,
    json_: Json = False,
) -> None:
    """Print a link to the owner's page of gandt serve: progress, agreement, gold, cost, every answer's history.

    Example: gandt owner --state gandt-state
    """
    from gandt.service import invitations

    if revoke:
        result: dict[str, object] = {"ended": invitations.revoke_owner(state)}
    elif api:
        token = invitations.api_token(state, days=days)
        result = {"AWS_ACCESS_KEY_ID": token, "AWS_SECRET_ACCESS_KEY": "anything"}
    else:
        result = {"link": invitations.owner_link(state, days=days)}
    if json_:
        show_json(result)
    elif revoke:
        show_table("Revoked", [result])
    else:
        print("\n".join(f"{name}={value}" for name, value in result.items()) if api else result["link"])
