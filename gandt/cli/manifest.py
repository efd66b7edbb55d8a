"""``gandt manifest``: build, upload, check, read, and combine manifests."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gandt.cli import Json, apart, group, note, show_json, show_table

if TYPE_CHECKING:
    import pandas as pd

commands = group("manifest", "Build, upload and check a labeling job's manifest; read and combine augmented ones.")

Out = Annotated[str, typer.Argument(help="Where the manifest goes: a path or s3:// address.")]
Augmented = Annotated[
    str, typer.Argument(help="An augmented manifest, such as <job>/manifests/output/output.manifest.")
]
Attribute = Annotated[str, typer.Option(help="The label attribute.")]
MinConfidence = Annotated[float, typer.Option(help="A label of lower confidence is uncertain.")]


@commands.command()
def build(
    source: Annotated[
        str, typer.Argument(help="Folder, s3:// prefix, list (.txt), embedding store, table or manifest.")
    ],
    out: Out,
    per_page: Annotated[int, typer.Option(help="Items on one worker's page.")] = 1,
    category: Annotated[list[str] | None, typer.Option(help="A category to choose from; once for each.")] = None,
    other: Annotated[str | None, typer.Option(help='Name of the category for "none of these".')] = None,
    positive: Annotated[list[str] | None, typer.Option(help="A positive example, an address or a file.")] = None,
    negative: Annotated[list[str] | None, typer.Option(help="A negative example, an address or a file.")] = None,
    gold: Annotated[str | None, typer.Option(help="Table of items whose label is known: item, label.")] = None,
    gold_rate: Annotated[float, typer.Option(help="Share of shown tiles that are gold.")] = 0.1,
    gold_record: Annotated[str | None, typer.Option(help="Table to record in which tiles are gold.")] = None,
    upload: Annotated[str | None, typer.Option(help="Send local files to this s3:// prefix first.")] = None,
    pairs: Annotated[
        bool, typer.Option("--pairs", help="The table's columns left and right are pairs to compare.")
    ] = False,
    text: Annotated[bool, typer.Option("--text", help="The items are texts, not addresses.")] = False,
    carry: Annotated[list[str] | None, typer.Option(help="A column of the table to carry along as a key.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE for every line, such as header=...")
    ] = None,
    seed: Annotated[int, typer.Option(help="Draws the gold's places.")] = 0,
    json_: Json = False,
) -> None:
    """Build a manifest from a folder, an S3 prefix, a list, an embedding store or a table.

    Example: gandt manifest build candidates.parquet s3://bucket/job.manifest --per-page 20 --category cat
    """
    from pathlib import Path

    import pandas as pd

    from gandt.embedding import vanished_note
    from gandt.errors import InputError
    from gandt.manifest import build_manifest, build_pairs, extra_of, pairs_of, where_of
    from gandt.manifest import upload as send
    from gandt.manifest.questions import check_examples, gold_labels, local_path
    from gandt.tables import GOLD, read_table, write_table

    apart([out, gold_record], [source, gold])
    shared = {}
    for pair in set_ or []:
        key, mark, value = pair.partition("=")
        if not mark:
            raise InputError(f"--set {pair!r} has no '='; write it as KEY=VALUE")
        shared[key] = value
    if gold is not None and gold_record is None:
        raise InputError("--gold needs --gold-record PATH, or nobody would know later which tiles were gold")
    if pairs and (per_page != 1 or text or carry):
        raise InputError("--pairs goes without --per-page, --text and --carry; a pair is a data object of its own")
    positive, negative = positive or [], negative or []
    if not text:  # they are seen from where the command runs; readers of the manifest see them from where it stands
        check_examples([*positive, *negative])
        positive, negative = (
            [str(Path(each).absolute()) if local_path(each) is not None else each for each in examples]
            for examples in (positive, negative)
        )
    shown = ["left", "right"] if pairs else ["item"]
    if pairs:
        asked = pairs_of(source)
        known = pairs_of(gold, ["label"]) if gold is not None else asked.head(0).assign(label="")
    else:
        asked = pd.DataFrame({"item": _items(source)})
        known = asked.head(0).assign(label="")
        if gold is not None:
            labels = gold_labels(read_table(gold, GOLD), where=gold)
            known = pd.DataFrame({"item": list(labels), "label": list(labels.values())}, dtype=str)
    extra = extra_of(source, carry) if carry else {}
    where = {} if pairs else where_of(source)
    if upload is not None:
        images = [item for table in (asked, known) for name in shown for item in table[name]]
        images += [*positive, *negative]
        sent = send([where.get(image, image) for image in images], upload)
        for row in sent.set_aside.itertuples():
            note(f"set aside: {row.item}: {row.reason}")
        lie = {image: where.get(image, image) for image in images}
        where = {image: sent.uris[place] for image, place in lie.items() if place in sent.uris}
        if images and not where:
            raise InputError(_all_set_aside(len(sent.set_aside), sent.set_aside, "no manifest is written"))
        asked, known = (table[table[shown].isin(list(where)).all(axis=1)] for table in (asked, known))
        positive, negative = ([each for each in some if each in where] for some in (positive, negative))
    elif not text:
        items = [item for table in (asked, known) for name in shown for item in table[name]]
        dead = vanished_note([where.get(item, item) for item in items], "the items")
        if dead:
            note(dead)
    options: dict[str, Any] = {
        "categories": category or (),
        "other": other,
        "positive_examples": positive,
        "negative_examples": negative,
        "gold_rate": gold_rate if len(known) else 0.0,
        "seed": seed,
        "shared": shared,
        "where": where,
    }
    if pairs:
        made = build_pairs(asked, gold=known, **options)
    else:
        labels = dict(zip(known["item"], known["label"], strict=True))
        made = build_manifest(list(asked["item"]), per_page=per_page, gold=labels, text=text, extra=extra, **options)
    made.write(out)
    if gold_record is not None:
        write_table(made.gold, gold_record)
    _tell(json_, {"manifest": out, "data objects": len(made.lines), "items": len(asked), "gold tiles": len(made.gold)})


@commands.command()
def upload(
    source: Annotated[str, typer.Argument(help="Folder, list (.txt), embedding store or table of local files.")],
    base: Annotated[str, typer.Argument(help="S3 prefix to send to.")],
    out: Annotated[str | None, typer.Option("--out", "-o", help="Table of items and their addresses.")] = None,
    max_side: Annotated[
        int | None, typer.Option(help="Send copies whose longer side is at most this, in pixels.")
    ] = None,
    strip: Annotated[bool, typer.Option("--strip", help="Remove EXIF, GPS and other metadata.")] = False,
    cors: Annotated[bool, typer.Option("--cors", help="Let browsers read the bucket, as Ground Truth needs.")] = False,
    kms_key: Annotated[str | None, typer.Option(help="Encrypt with this KMS key, not the bucket's default.")] = None,
    workers: Annotated[int, typer.Option(help="Files on their way at once.")] = 32,
    json_: Json = False,
) -> None:
    """Send images to S3 in parallel; run it again to go on, for nothing is sent twice.

    Example: gandt manifest upload photos/ s3://bucket/photos --max-side 1024 --strip --cors --out where.csv
    """
    import pandas as pd

    from gandt import manifest
    from gandt.errors import InputError
    from gandt.tables import write_table

    items = _items(source)
    if cors:
        manifest.set_cors(base)
    sent = manifest.upload(items, base, max_side=max_side, strip=strip, kms_key=kms_key, workers=workers)
    if out is not None:
        write_table(pd.DataFrame({"item": list(sent.uris), "uri": list(sent.uris.values())}, dtype=str), out)
    _tell(
        json_,
        {
            "sent": sent.sent,
            "there already": sent.already,
            "megabytes": round(sent.size / 1e6, 1),
            "set aside": len(sent.set_aside),
        },
        {"set_aside": sent.set_aside.to_dict("records")},
    )
    if not json_:
        for row in sent.set_aside.itertuples():
            note(f"set aside: {row.item}: {row.reason}")
    if len(sent.set_aside) == len(items):
        raise InputError(_all_set_aside(len(items), sent.set_aside, "nothing is sent"))


def _items(source: str) -> list[str]:
    """Return the items of a source, and say what was left out of it."""
    from gandt.errors import StorageError
    from gandt.manifest import items_of
    from gandt.walk import LeftOut

    left_out = LeftOut()
    items = items_of(source, left_out=left_out)
    if left_out.unreadable:
        raise StorageError(f"{source}: {left_out.problem()}")
    for sentence in left_out.notes():
        note(sentence)
    return items


def _all_set_aside(count: int, set_aside: "pd.DataFrame", so: str) -> str:
    first = set_aside.iloc[0]
    items = "the only item was" if count == 1 else f"all {count:,} items were"
    return f"{items} set aside, so {so}; the first: {first['item']} ({first['reason']})"


@commands.command()
def check(
    manifest: Annotated[str, typer.Argument(help="A manifest, at a path or s3:// address.")],
    label_attribute: Annotated[str | None, typer.Option(help="The attribute that the job will write.")] = None,
    task_type: Annotated[str, typer.Option(help="custom, image-classification, object-detection, ...")] = "custom",
    online: Annotated[bool, typer.Option("--online", help="Ask S3 too: objects, regions, CORS.")] = False,
    region: Annotated[str | None, typer.Option(help="The job's region.")] = None,
    out: Annotated[str | None, typer.Option("--out", "-o", help="Write all problems to this table.")] = None,
    json_: Json = False,
) -> None:
    """Find everything that Ground Truth would refuse, all at once; the exit code is 1 where there are errors.

    Example: gandt manifest check s3://bucket/job.manifest --label-attribute animal --online
    """
    from gandt.manifest import check_manifest
    from gandt.tables import write_table

    problems = check_manifest(
        manifest, label_attribute=label_attribute, task_type=task_type, online=online, region=region
    )
    if out is not None:
        write_table(problems, out)
    counts = problems["severity"].value_counts()
    if json_:
        show_json(problems.to_dict("records"))
    elif problems.empty:
        note(f"{manifest}: nothing is wrong")
    else:
        show_table(manifest, _records(problems.head(50)))
        if len(problems) > 50:
            note(f"and {len(problems) - 50:,} more; add --out problems.csv to get them all")
        note(", ".join(f"{count:,} {severity}{'s'[: count != 1]}" for severity, count in counts.items()))
    if counts.get("error", 0):
        raise typer.Exit(1)


@commands.command()
def labels(
    manifest: Augmented,
    attribute: Annotated[str | None, typer.Option(help="One label attribute; all by default.")] = None,
    out: Annotated[str | None, typer.Option("--out", "-o", help="Write the labels to this table.")] = None,
    json_: Json = False,
) -> None:
    """Read the labels of an augmented manifest, of any built-in or custom task.

    Example: gandt manifest labels s3://bucket/out/job/manifests/output/output.manifest --out labels.parquet
    """
    from gandt.manifest import read_labels
    from gandt.tables import write_table

    table = read_labels(manifest, attribute=attribute)
    if out is not None:
        write_table(table, out)
    if json_:
        show_json(table.to_dict("records") if out is None else {"labels": len(table), "out": out})
        return
    counts = table.groupby(["attribute", "type", "label"], dropna=False)["confidence"].agg(["size", "median"])
    rows = _records(counts.reset_index().rename(columns={"size": "items", "median": "median confidence"}))
    show_table(manifest, [row | {"label": None if row["label"] != row["label"] else row["label"]} for row in rows])


@commands.command("filter")
def filter_(
    manifest: Augmented,
    out: Out,
    attribute: Attribute,
    label: Annotated[list[str] | None, typer.Option(help="Keep lines with this label; once for each.")] = None,
    min_confidence: Annotated[float | None, typer.Option(help="Lowest confidence to keep.")] = None,
    max_confidence: Annotated[float | None, typer.Option(help="Highest confidence to keep.")] = None,
    human: Annotated[bool | None, typer.Option("--human/--machine", help="Labelled by people, or not.")] = None,
    json_: Json = False,
) -> None:
    """Keep the labelled lines that meet every condition.

    Example: gandt manifest filter output.manifest cats.manifest --attribute animal --label cat --min-confidence 0.9
    """
    from gandt.manifest import Manifest, combine, read_lines

    apart([out], [manifest])
    lines = read_lines(manifest)
    kept = list(
        combine.filter_lines(
            lines, attribute, labels=label, min_confidence=min_confidence, max_confidence=max_confidence, human=human
        )
    )
    Manifest(kept).write(out)
    _tell(json_, {"manifest": out, "kept": len(kept)})


@commands.command()
def split(
    manifest: Augmented,
    first: Annotated[str, typer.Argument(help="Where confident lines (or the share) go.")],
    second: Annotated[str, typer.Argument(help="Where all other lines go.")],
    attribute: Annotated[str | None, typer.Option(help="The label attribute, to split by confidence.")] = None,
    min_confidence: MinConfidence = 0.95,
    share: Annotated[float | None, typer.Option(help="Split at random instead: the first part's share.")] = None,
    seed: Annotated[int, typer.Option(help="Of the random split.")] = 0,
    json_: Json = False,
) -> None:
    """Split by confidence, or at random as for training and validation.

    Example: gandt manifest split output.manifest sure.manifest unsure.manifest --attribute animal
    """
    from gandt.errors import InputError
    from gandt.manifest import Manifest, combine, read_lines

    if (attribute is None) == (share is None):
        raise InputError("give either --attribute, to split by confidence, or --share, to split at random")
    apart([first, second], [manifest])
    lines = read_lines(manifest)
    if attribute is not None:
        parts = combine.split_lines(lines, attribute, min_confidence)
    else:
        parts = combine.split_share(lines, share or 0.0, seed=seed)
    for part, where in zip(parts, (first, second), strict=True):
        Manifest(part).write(where)
    _tell(json_, {first: len(parts[0]), second: len(parts[1])})


@commands.command()
def chain(
    manifest: Augmented,
    out: Out,
    attribute: Attribute,
    min_confidence: MinConfidence = 0.95,
    new_attribute: Annotated[str | None, typer.Option(help="The next job's attribute, to relabel only these.")] = None,
    json_: Json = False,
) -> None:
    """Make the next job's manifest, which asks again only about what is uncertain.

    With the same attribute Ground Truth resumes (lines that hold it are passed over); with a new one it labels every
    line, so only uncertain items are written, one a line (build pages of them with gandt manifest build).

    Example: gandt manifest chain output.manifest again.manifest --attribute animal --new-attribute animal-2
    """
    from gandt.manifest import Manifest, combine, read_lines

    apart([out], [manifest])
    lines = combine.chain_lines(
        read_lines(manifest), attribute, min_confidence=min_confidence, new_attribute=new_attribute
    )
    Manifest(lines).write(out)
    target = new_attribute or attribute
    asked = sum(target not in line for line in lines)
    _tell(json_, {"manifest": out, "lines": len(lines), "to be asked": asked})


@commands.command()
def join(
    out: Out,
    manifests: Annotated[list[str], typer.Argument(help="Manifests over the same objects.")],
    json_: Json = False,
) -> None:
    """Put the attributes of several manifests side by side, a line for each object.

    Example: gandt manifest join all.manifest animals/output.manifest colors/output.manifest
    """
    from gandt.manifest import Manifest, combine, read_lines

    apart([out], manifests)
    lines = combine.join_lines(*(read_lines(uri) for uri in manifests))
    Manifest(lines).write(out)
    _tell(json_, {"manifest": out, "lines": len(lines)})


@commands.command()
def merge(
    out: Out,
    manifests: Annotated[list[str], typer.Argument(help="Output manifests of jobs that asked the same question.")],
    attribute: Annotated[list[str] | None, typer.Option(help="A label attribute to merge; all by default.")] = None,
    into: Annotated[str | None, typer.Option(help="Attribute of the merged label.")] = None,
    prefer: Annotated[str, typer.Option(help="latest or confidence.")] = "latest",
    conflicts: Annotated[str | None, typer.Option(help="Write where labels differ to this table.")] = None,
    json_: Json = False,
) -> None:
    """Merge the labels of several jobs over the same objects, one for each item.

    Example: gandt manifest merge all.manifest round-1.manifest round-2.manifest --prefer confidence
    """
    from gandt.manifest import Manifest, combine, read_lines
    from gandt.tables import write_table

    apart([out, conflicts], manifests)
    lines, differ = combine.merge_lines(
        [read_lines(uri) for uri in manifests], attributes=attribute, into=into, prefer=prefer
    )
    Manifest(lines).write(out)
    if conflicts is not None:
        write_table(differ, conflicts)
    _tell(json_, {"manifest": out, "items": len(lines), "conflicts": len(differ)})


def _tell(json_: bool, facts: dict[str, Any], more: dict[str, Any] | None = None) -> None:
    """Print what was done: as JSON on stdout, or as a sentence on stderr."""
    if json_:
        show_json({name.replace(" ", "_"): value for name, value in facts.items()} | (more or {}))
    else:
        head = f"{facts.pop('manifest')}: " if "manifest" in facts else ""
        note(head + ", ".join(f"{value:,} {name}" for name, value in facts.items()))


def _records(table: "pd.DataFrame") -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
