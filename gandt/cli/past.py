"""``gandt import``."""

from typing import Annotated

import typer

from gandt.cli import Json, app, show_json, show_table
from gandt.cli.serve import State


@app.command("import")
def import_(
    output: Annotated[str, typer.Argument(help="A job's output folder, or one of several jobs; local or s3://.")],
    state: State = "gandt-state",
    workteam: Annotated[str, typer.Option(help="Workteam of jobs whose own isn't known.")] = "imported",
    described: Annotated[
        str | None, typer.Option(help="File or folder of what `aws sagemaker describe-labeling-job` printed.")
    ] = None,
    json_: Json = False,
) -> None:
    """Read past Ground Truth jobs into gandt serve's state, so that its lists and histories show them.

    Example: gandt import s3://bucket/output/birds-1 --described birds-1.json
    """
    from gandt.service.past import import_jobs

    jobs = import_jobs(output, state, workteam=workteam, described=described)
    show_json(jobs) if json_ else show_table("Imported", jobs)
