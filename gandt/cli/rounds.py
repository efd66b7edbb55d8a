"""``gandt run``, ``generalize`` and ``export``."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gandt.cli import Json, apart, app, note, show_json, show_table

if TYPE_CHECKING:
    from gandt.export import Exported

Config = Annotated[str, typer.Argument(help="The YAML file of the run; see docs/rounds.md.")]
Form = Annotated[
    str, typer.Option("--as", help="table, manifest, coco, yolo, voc, folders or imagefolder; see docs/exports.md.")
]
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

    from gandt.export import export
    from gandt.rounds.config import read_config
    from gandt.rounds.generalize import generalize
    from gandt.rounds.lock import alone
    from gandt.rounds.loop import Run

    read = read_config(config)
    with alone(read[""]["run"]):
        labels, threshold = generalize(Run(read, changed_pool=changed_pool), precision)
    written = export(labels, out, form, link=link)
    counts = {
        str(name): int(count) for name, count in labels["method"].replace("", "unlabelled").value_counts().items()
    }
    if json_:
        facts = {"out": out, "written": written.items, "left_out": written.left_out, "notes": written.notes}
        show_json({**facts, "by": counts, "threshold": asdict(threshold)})
        return
    _tell(written)
    show_table(f"Labels of the whole pool, written to {out}", [{"items": len(labels), **counts}])
    note(threshold.sentence())


@app.command("export")
def export_command(
    labels: Annotated[
        str, typer.Argument(help="A labels table, or an augmented manifest (its name ends in .manifest).")
    ],
    out: Annotated[str, typer.Argument(help="A file, or a new folder; an interrupted export's folder is completed.")],
    form: Form,
    attribute: Annotated[
        str | None, typer.Option(help="The label attribute, where there are several; its name in a manifest, too.")
    ] = None,
    status: Annotated[
        str | None, typer.Option(help="Which rows, such as confident,relabel; default: confident (table: all).")
    ] = None,
    human_only: Annotated[bool, typer.Option("--human-only", help="Only labels known to be made by people.")] = False,
    category: Annotated[
        list[str] | None, typer.Option(help="A class; all of them, in the order of their numbers (from 0).")
    ] = None,
    categories: Annotated[
        str | None, typer.Option(help="Classes from a label category file, or numbered as in a .manifest.")
    ] = None,
    store: Annotated[str | None, typer.Option(help="Embedding store that knows the images' sizes, for boxes.")] = None,
    images: Annotated[bool, typer.Option("--images", help="coco: a folder with copies of the images, too.")] = False,
    link: Annotated[bool, typer.Option("--link", help="Hard-link files into folders instead of copying.")] = False,
    skip_missing: Annotated[bool, typer.Option("--skip-missing", help="Leave out items whose files are gone.")] = False,
    uploaded: Annotated[
        str | None,
        typer.Option(help="manifest: a job's manifest, for the addresses that it uploaded local images to."),
    ] = None,
    json_: Json = False,
) -> None:
    """Write labels in the form of others: manifest, COCO, YOLO, Pascal VOC, folders, Hugging Face's imagefolder.

    What is left out and why is said on stderr. Labels to be asked again (status relabel) are left out unless asked for.

    Example: gandt export labels.parquet dataset/ --as imagefolder --category cat --category dog
    """
    from gandt.embedding import EmbeddingStore
    from gandt.errors import InputError
    from gandt.export import FORMS, export
    from gandt.export.classes import read_categories
    from gandt.manifest.labels import class_numbers, read_labels
    from gandt.tables import LABELS, read_table

    apart([out], [labels, categories, uploaded])
    if category and categories:
        raise InputError("classes are given by --category and by --categories; give one of the two")
    numbers: Any = category or (read_categories(categories, attribute) if categories else None)
    if labels.endswith(".manifest"):
        table = read_labels(labels, attribute=attribute)
        numbered = form in FORMS and FORMS[form].numbered
        if numbers is None and numbered and table["attribute"].nunique() == 1:
            numbers = class_numbers(labels, attribute) or None
    else:
        table = read_table(labels, LABELS)
    written = export(
        table,
        out,
        form,
        attribute=attribute,
        statuses=[name.strip() for name in status.split(",")] if status is not None else None,
        human_only=human_only,
        categories=numbers,
        sizes=EmbeddingStore.open(store).items if store else None,
        images=images,
        link=link,
        skip_missing=skip_missing,
        uploaded=_uploaded(uploaded) if uploaded else None,
    )
    if json_:
        show_json({"out": out, "form": form, **vars(written)})
        return
    show_table("Exported", [{"items": written.items, "form": form, "out": out}])
    _tell(written)


def _uploaded(manifest: str) -> dict[str, str]:
    from gandt.errors import InputError
    from gandt.manifest import where_of

    found = where_of(manifest)
    if not found:
        raise InputError(f"{manifest} brings no names of uploaded items; give the output manifest of the labeling job")
    return found


def _tell(written: "Exported") -> None:
    for reason, count in written.left_out.items():
        note(f"left out: {count:,} {reason}")
    for sentence in written.notes:
        note(sentence)
