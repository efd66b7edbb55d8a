"""``gandt manifest``: build, check and upload a labeling job's manifest."""

from typing import Annotated

import typer

from gandt.cli import Json, group, note, show_json

manifest = group("manifest", "Build, check and upload a labeling job's manifest.")


@manifest.command()
def build(
    source: Annotated[
        str, typer.Argument(help="Folder, s3:// prefix, list (.txt), embedding store, or table with a column item.")
    ],
    out: Annotated[str, typer.Argument(help="Where the manifest goes: a path or s3:// address.")],
    per_page: Annotated[int, typer.Option(help="Items on one worker's page.")] = 1,
    category: Annotated[
        list[str] | None, typer.Option(help="A category to choose from; give it once for each.")
    ] = None,
    other: Annotated[str | None, typer.Option(help='Name of the category for "none of these".')] = None,
    positive: Annotated[list[str] | None, typer.Option(help="Address of a positive example.")] = None,
    negative: Annotated[list[str] | None, typer.Option(help="Address of a negative example.")] = None,
    gold: Annotated[
        str | None, typer.Option(help="Table with columns item and label: items whose label is known.")
    ] = None,
    gold_rate: Annotated[float, typer.Option(help="Share of tiles that are gold.")] = 0.1,
    gold_record: Annotated[str | None, typer.Option(help="Where to record which tiles are gold (a table).")] = None,
    upload: Annotated[str | None, typer.Option(help="Send local items to this s3:// prefix first.")] = None,
    seed: Annotated[int, typer.Option(help="Draws the gold's places.")] = 0,
    json_: Json = False,
) -> None:
    """Build a manifest from a folder, an S3 prefix, a list, an embedding store or a table.

    Example: gandt manifest build candidates.parquet s3://bucket/job.manifest --per-page 20 --category cat
    """
    from gandt.errors import InputError
    from gandt.manifest import build_manifest, items_of, upload_images
    from gandt.tables import read_table, write_table

    items = items_of(source)
    known: dict[str, str] = {}
    if gold is not None:
        if gold_record is None:
            raise InputError("--gold needs --gold-record PATH, or nobody would know later which items were gold")
        table = read_table(gold, required=["item", "label"])
        known = dict(zip(table["item"].astype(str), table["label"].astype(str), strict=True))
    if upload is not None:
        where = upload_images([*items, *known], upload)
        items, known = [where[item] for item in items], {where[item]: label for item, label in known.items()}
    made = build_manifest(
        items,
        per_page=per_page,
        categories=category or (),
        other=other,
        positive_examples=positive or (),
        negative_examples=negative or (),
        gold=known,
        gold_rate=gold_rate if known else 0.0,
        seed=seed,
    )
    made.write(out)
    if gold_record is not None:
        write_table(made.gold, gold_record)
    if json_:
        show_json({"manifest": out, "data_objects": len(made.lines), "items": len(items), "gold": len(made.gold)})
    else:
        note(f"{out}: {len(made.lines):,} data objects, {len(items):,} items, {len(made.gold):,} places of gold")
