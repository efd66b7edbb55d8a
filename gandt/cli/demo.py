"""``gandt demo`` and ``gandt report``."""

from typing import Annotated

import typer

from gandt.cli import Json, app, note, show_json, show_table

WRITTEN = {
    "report.html": "the report, to open in a browser",
    "labels.csv": "labels",
    "relabel.csv": "what to ask again",
    "workers.csv": "workers",
    "answers.csv": "answers",
    "candidates.csv": "candidates",
    "s3/gandt-demo/manifests": "manifests",
    "s3/gandt-demo/jobs": "the jobs' S3 trees",
    "store": "embedding store",
}


@app.command()
def demo(
    out: Annotated[
        str, typer.Option(help="Folder for everything that is written; a new one, or that of the same run.")
    ] = "gandt-demo",
    seed: Annotated[int, typer.Option(min=0, help="Of every draw; the same seed gives the same result.")] = 0,
    images: Annotated[
        str | None, typer.Option(help="Your own pictures: a folder, or a folder of class folders (taken as truth).")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="A folder with one folder of examples per label.")] = None,
    labels: Annotated[
        str, typer.Option(help="Class folders to look for, parted by commas, where --seeds isn't given.")
    ] = "",
    me: Annotated[
        bool, typer.Option("--me", help="Label a few pages yourself, in your browser, on gandt's own service.")
    ] = False,
    alone: Annotated[
        bool, typer.Option("--alone", help="With --me: nobody else; by default two simulated workers help.")
    ] = False,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="With --me: only print your link, don't open a browser.")
    ] = False,
    json_: Json = False,
) -> None:
    """Run the whole main job on embedded parts, with a simulated crowd and nothing of AWS.

    Example: gandt demo --images photos --seeds examples --out my-run
    """
    from dataclasses import asdict

    from gandt.demo import Me, Stage, run_demo

    def show(stage: Stage) -> None:
        if not json_:
            show_table(stage.title, stage.rows)

    wanted = [label.strip() for label in labels.split(",") if label.strip()]
    if not json_ and not me:
        note("The crowd in this demo is simulated; everything else is what you would run.")
    you = Me(alone, not no_browser, note) if me else None
    result = run_demo(out, seed=seed, images=images, seeds=seeds, labels=wanted, on_stage=show, me=you)
    if json_:
        show_json(asdict(result))
    else:
        show_table("Written", [{"what": what, "where": f"{result.out}/{name}"} for name, what in WRITTEN.items()])
        note(f"Done in {result.seconds:.0f} seconds.")


@app.command()
def report(
    run: Annotated[str, typer.Argument(help="Folder of a run, as gandt demo writes it.")],
    json_: Json = False,
) -> None:
    """Write a run's report again from its files: one HTML page that shows and explains it all.

    Example: gandt report gandt-demo
    """
    from gandt.report import measure, write_report

    path = write_report(run)
    if json_:
        show_json({"report": path, **measure(run).counts()})
    else:
        show_table("The run", measure(run).rows())
        print(path)
