"""``gandt run``, ``generalize`` and ``export``."""

from typing import Annotated, Any

import typer

from gandt.cli import Json, app, note, show_json, show_table

Config = Annotated[str, typer.Argument(help="The YAML file of the run; see docs/rounds.md.")]
Form = Annotated[str, typer.Option("--as", help="table, manifest, coco, folders or imagefolder.")]
ChangedPool = Annotated[
    bool, typer.Option("--changed-pool", help="Take the pool as it is now, though it was another in the last session.")
]


@app.command("run")
def run_command(config: Config, changed_pool: ChangedPool = False, json_: Json = False) -> None:
    """Run the rounds: choose, ask, consolidate, learn, decide; again the same command goes on where it ended.

    Example: gandt run clothes.yaml
    """
    from dataclasses import asdict

    from gandt.rounds.ask import Waiting
    from gandt.rounds.config import read_config
    from gandt.rounds.loop import run
    from gandt.rounds.page import write_page

    try:
        result = run(read_config(config), changed_pool=changed_pool, said=note)
    except Waiting as waiting:
        if json_:
            show_json({"waiting": str(waiting)})
        else:
            note(f"waiting: {waiting}")
        return
    page = write_page(result)
    if json_:
        reasons = [asdict(reason) for reason in result.reasons]
        show_json({"run": result.folder, "rounds": result.rounds, "reasons": reasons, "report": page})
        return
    columns = ("round", "asked", "asked_again", "answers", "labelled", "accuracy", "contradictions", "halting")
    show_table(f"Rounds in {result.folder}", [{name: row[name] for name in columns} for row in result.rounds])
    for reason in result.reasons:
        note(f"{'stop: ' if reason.stop else ''}{reason.sentence}")
    note(f"report: {page}")


@app.command("generalize")
def generalize_command(
    config: Config,
    out: Annotated[str, typer.Option(help="Where to write: a table, a manifest, or a new folder.")],
    precision: Annotated[float | None, typer.Option(help="Wanted of the classifier's labels, on gold.")] = None,
    form: Form = "table",
    link: Annotated[bool, typer.Option("--link", help="Hard-link files into folders instead of copying.")] = False,
    changed_pool: ChangedPool = False,
    json_: Json = False,
) -> None:
    """Apply what a run has learned to its whole pool; what isn't sure enough stays unlabelled.

    Example: gandt generalize clothes.yaml --precision 0.95 --out labels.parquet
    """
    from dataclasses import asdict

    from gandt.rounds.config import read_config
    from gandt.rounds.export import export
    from gandt.rounds.generalize import generalize
    from gandt.rounds.lock import alone
    from gandt.rounds.loop import Run

    read = read_config(config)
    with alone(read[""]["run"]):
        labels, threshold = generalize(Run(read, changed_pool=changed_pool), precision)
    options: dict[str, Any] = {"link": link} if form in ("folders", "imagefolder") else {}
    written = export(labels, out, form, **options)
    counts = {
        str(name): int(count) for name, count in labels["method"].replace("", "unlabelled").value_counts().items()
    }
    if json_:
        show_json({"out": out, "written": written, "by": counts, "threshold": asdict(threshold)})
        return
    show_table(f"Labels of the whole pool, written to {out}", [{"items": len(labels), **counts}])
    note(threshold.sentence())


@app.command("export")
def export_command(
    labels: Annotated[str, typer.Argument(help="A labels table, or an augmented manifest (boxes too).")],
    out: Annotated[str, typer.Argument(help="A file, or a new folder.")],
    form: Form,
    store: Annotated[str | None, typer.Option(help="Embedding store, for the images' sizes in COCO.")] = None,
    link: Annotated[bool, typer.Option("--link", help="Hard-link files into folders instead of copying.")] = False,
    json_: Json = False,
) -> None:
    """Write labels in the form of others: augmented manifest, COCO, a folder per label, Hugging Face's imagefolder.

    Example: gandt export labels.parquet dataset/ --as imagefolder
    """
    from gandt.manifest.labels import read_labels
    from gandt.rounds.export import export
    from gandt.tables import read_table

    table = read_labels(labels) if labels.endswith(".manifest") else read_table(labels, required=["item", "label"])
    options: dict[str, Any] = {"link": link} if form in ("folders", "imagefolder") else {}
    if form == "coco" and store:
        from gandt.embedding import EmbeddingStore

        options["sizes"] = EmbeddingStore.open(store).items
    written = export(table, out, form, **options)
    facts = {"items": written, "form": form, "out": out}
    if json_:
        show_json(facts)
    else:
        show_table("Exported", [facts])
