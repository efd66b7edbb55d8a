"""``gandt embed``, ``merge``, ``filter``, ``recall`` and ``duplicates``."""

from typing import Annotated, Any

import typer

from gandt.cli import Json, apart, app, note, show_json, show_table

Store = Annotated[str, typer.Argument(help="The folder of an embedding store.")]
Out = Annotated[str | None, typer.Option(help="Write the table here (.parquet, .csv or .jsonl).")]


@app.command("embed")
def embed_command(
    source: Annotated[
        str, typer.Argument(help="A folder, s3:// prefix, manifest, list, table or tar shards (a-{000..009}.tar).")
    ],
    store: Annotated[str, typer.Argument(help="The folder of the embedding store; made when absent.")],
    model: Annotated[
        str, typer.Option(help="lite0, lite1, lite2, timm:NAME, hf:DIR_OR_NAME, onnx:FILE or torchscript:FILE.")
    ] = "lite0",
    precision: Annotated[str, typer.Option(help="fp32, int8 or bf16.")] = "fp32",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    dtype: Annotated[str, typer.Option(help="Of the vectors on disk: float32 or float16.")] = "float32",
    threads: Annotated[int | None, typer.Option(help="By default one per core.")] = None,
    column: Annotated[str | None, typer.Option(help="Of a table: the column with the addresses.")] = None,
    shard: Annotated[str | None, typer.Option(help="Embed part i of n only, as in 3/16.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 when an item was set aside.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Compute nothing; verify that the store holds SOURCE.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Then take out of the store what SOURCE had and has no more.")
    ] = False,
    ray: Annotated[
        str | None, typer.Option(help="Embed on the Ray cluster at this address, a shard per node (gandt[ray]).")
    ] = None,
    json_: Json = False,
) -> None:
    """Turn images into vectors; only what the store doesn't hold yet is computed.

    Example: gandt embed photos/ photos.store
    """
    from gandt import embedding
    from gandt.errors import InputError, StorageError
    from gandt.walk import LeftOut

    if prune and (check or shard is not None or ray is not None):
        raise InputError("--prune goes without --check, --shard and --ray: put shards together first (gandt merge)")
    if check:
        _check(store, source, column, json_)
        return
    options: dict[str, Any] = {"model": model, "precision": precision, "device": device, "dtype": dtype}
    if ray is not None:
        from gandt.processing import Work
        from gandt.processing.on_ray import embed_on_ray

        whole = embed_on_ray(Work(source, store, options={**options, "threads": threads, "column": column}), ray)
        if json_:
            show_json({"store": store, **whole})
        else:
            show_table(f"Embedding store {store}", [whole])
        return
    left_out = LeftOut()
    result = embedding.embed(source, store, threads=threads, column=column, shard=shard, left_out=left_out, **options)
    run, gone = result.run, list[str]()
    if prune:
        result, gone = embedding.prune(store, source, column=column)
    bad = result.items[result.items["status"] == "set aside"]
    numbers = {
        "items": len(result.items),
        "vectors": len(result.vectors),
        "listed": run.listed,
        "known": run.known,
        "embedded": run.embedded,
        "linked": run.linked,
        "set_aside": run.set_aside,
        **({"gone": len(gone)} if prune else {}),
        "seconds": round(run.seconds, 2),
        "per_second": round((run.embedded + run.linked) / run.seconds, 1) if run.seconds else 0.0,
    }
    if json_:
        facts = {**numbers, "stage_seconds": {stage: round(seconds, 2) for stage, seconds in run.stages.items()}}
        facts |= {key: result.description[key] for key in ("model", "precision", "weights", "dim", "licence")}
        facts |= {"left_out": left_out.facts(), **({"gone_items": gone} if prune else {})}
        show_json({"store": store, **facts, "set_aside_items": bad[["item", "reason"]].to_dict("records")})
    else:
        show_table(f"Embedding store {store}", [numbers])
        note(f"model {result.description['model']}, licence of its weights: {result.description['licence']}")
        note(run.bottleneck())
        _first([f"set aside: {item}: {reason}" for item, reason in zip(bad["item"], bad["reason"], strict=True)])
        _first([f"taken out, for its file is gone: {item}" for item in gone])
        for sentence in [*left_out.notes(), embedding.vanished_note(result.items["item"], "the store's items")]:
            if sentence:
                note(sentence)
    if left_out.unreadable:
        raise StorageError(f"{left_out.problem()} (the rest is in {store})")
    if shard is None and run.nothing_usable():
        raise InputError(f"{source}: {run.nothing_usable()} {store}")
    if strict and run.set_aside:
        raise InputError(f"{run.set_aside} of {run.listed} items were set aside; the rest is in {store}")


def _check(store: str, source: str, column: str | None, json_: bool) -> None:
    """Say what is wrong with a store, and what differs from its source."""
    from gandt import embedding
    from gandt.errors import GandtError, InputError

    problems, facts, aside = embedding.check(store), dict[str, Any](), 0
    if not problems:
        opened = embedding.EmbeddingStore.open(store)
        aside = int((opened.items["status"] == "set aside").sum())
        facts = {"items": len(opened.items), "set_aside": aside}
        try:
            found = embedding.compare(opened, source, column=column)
        except GandtError as error:
            problems = [str(error)]
        else:
            problems = found.problems(opened, source)
            facts |= {"gone": found.gone, "missing": found.missing, "left_out": found.left_out.facts()}
            if not json_:
                for sentence in found.left_out.notes():
                    note(sentence)
                _first([f"gone: {item}" for item in found.gone])
    if json_:
        show_json({"store": store, "problems": problems, **facts})
    for problem in [] if json_ else problems:
        note(problem)
    if problems:
        raise InputError(f"{store} has {len(problems)} problem{'s'[: len(problems) != 1]}; the first: {problems[0]}")
    note(f"{store} is whole and holds {source}" + (f", {aside:,} of it set aside" if aside else ""))


def _first(sentences: list[str]) -> None:
    """Say the first twenty, and how many there are."""
    for sentence in sentences[:20]:
        note(sentence)
    if len(sentences) > 20:
        note(f"… and {len(sentences) - 20:,} more; --json lists them all")


@app.command("merge")
def merge_command(
    out: Annotated[str, typer.Argument(help="The folder of the merged store.")],
    stores: Annotated[list[str], typer.Argument(help="Stores, such as one per shard; OUT may be among them.")],
    source: Annotated[str | None, typer.Option(help="Verify that every item of this source is there.")] = None,
    json_: Json = False,
) -> None:
    """Put stores together into one that is the same, byte for byte, whatever the number of shards.

    Example: gandt merge photos.store part1.store part2.store --source photos/
    """
    from gandt.embedding import merge

    merged = merge(stores, out, source=source)
    facts = {"store": out, "stores": len(stores), "items": len(merged.items), "vectors": len(merged.vectors)}
    if json_:
        show_json(facts)
    else:
        show_table("Merged store", [facts])


@app.command("filter")
def filter_command(
    store: Store,
    seeds: Annotated[
        list[str],
        typer.Option(help="A folder per label, a table (item, label), an augmented manifest, or label=FILE,FILE."),
    ],
    out: Out = None,
    rule: Annotated[str, typer.Option(help="spread, mean, nearest, classifier or g-and-t.")] = "spread",
    recall: Annotated[float, typer.Option(help="Aim: the share of the wanted that should be kept.")] = 0.95,
    keep: Annotated[float | None, typer.Option(help="Keep this share of the pool instead.")] = None,
    explore: Annotated[float, typer.Option(help="Share of the discarded to label too, at random.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the random choice.")] = 0,
    other: Annotated[str, typer.Option(help="The label of seeds that aren't wanted.")] = "Other",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    shard: Annotated[str | None, typer.Option(help="STORE is part i of n, as in 3/16; start one command each.")] = None,
    exchange: Annotated[
        str | None, typer.Option(help="With --shard: a folder or s3:// prefix that all of them reach; one per run.")
    ] = None,
    wait: Annotated[float, typer.Option(help="With --shard: seconds to wait for the others, at each step.")] = 3600.0,
    json_: Json = False,
) -> None:
    """Keep what resembles the seeds.

    Example: gandt filter photos.store --seeds seeds/ --explore 0.05 --out candidates.parquet

    On many machines: gandt filter part3.store --seeds seeds/ --rule mean --shard 3/16 --exchange s3://bucket/run1
    --out candidates-3.parquet
    """
    from gandt.candidates import filter_by_similarity
    from gandt.candidates.seeds import read_seeds, with_seeds
    from gandt.candidates.shards import Exchange
    from gandt.embedding import EmbeddingStore, vanished_note
    from gandt.errors import InputError, StorageError
    from gandt.tables import write_table
    from gandt.walk import LeftOut

    apart([out], seeds)
    opened = EmbeddingStore.open(store)
    options: dict[str, Any] = {"rule": rule, "recall": recall, "keep": keep, "explore": explore, "seed": seed}
    options["other"] = other
    if (shard is None) != (exchange is None):
        raise InputError("--shard and --exchange belong together: which part this is, and the folder that all reach")
    if shard is not None and exchange is not None:
        options["exchange"] = Exchange(exchange, shard, {**options, "seeds": seeds}, wait=wait)
    left_out = LeftOut()
    given = read_seeds(seeds, opened, left_out=left_out)
    if left_out.unreadable:
        raise StorageError(f"the seeds: {left_out.problem()}")
    for sentence in left_out.notes():
        note(f"seeds: {sentence}")
    if shard is None:  # a shard's seeds may lie in another shard
        opened = with_seeds(opened, given)
    table = filter_by_similarity(opened, given, device=device, **options)
    if out:
        write_table(table, out)
    dead = vanished_note(table.loc[table["decision"] != "discard", "item"], "the candidates")
    counts = {decision: int((table["decision"] == decision).sum()) for decision in ("keep", "explore", "discard")}
    facts = {"items": len(table), **counts, "pool": table.attrs["pool"], "share_kept": table.attrs["kept"]}
    if json_:
        show_json({**facts, "rule": rule, "thresholds": table.attrs["thresholds"], "out": out, "note": dead})
        return
    if dead:
        note(dead)
    show_table(f"Candidates by rule {rule!r}", [facts])
    best = table[["item", "decision", "label", "score"]].head(10).to_dict("records")
    show_table("The most similar", [{str(key): value for key, value in row.items()} for row in best])
    if not out:
        note("nothing was written; --out FILE keeps the table")


@app.command("recall")
def recall_command(
    candidates: Annotated[str, typer.Argument(help="The table that gandt filter wrote.")],
    labels: Annotated[str, typer.Argument(help="A table with item and label, such as gandt consensus writes.")],
    wanted: Annotated[list[str], typer.Option(help="A label that the filter looked for; give it once per label.")],
    confidence: Annotated[float, typer.Option(help="Of the interval.")] = 0.95,
    json_: Json = False,
) -> None:
    """Estimate how much of the wanted a filter kept, from the labels of the explored items.

    Example: gandt recall candidates.parquet labels.parquet --wanted cat --wanted dog
    """
    from gandt.candidates import estimate_recall
    from gandt.names import item_labels, matched
    from gandt.tables import CANDIDATES, LABELS, read_table

    known = item_labels(read_table(labels, LABELS), labels)
    table = read_table(candidates, CANDIDATES)
    names = matched(list(known), set(table["item"]), what=labels, among=f"the items of {candidates}")
    by_item = dict(zip(names, known.values(), strict=True))
    found = estimate_recall(table, by_item, wanted, confidence=confidence)
    if json_:
        show_json(vars(found))
    else:
        show_table(f"Recall of the filter, with a {confidence:.0%} interval", [vars(found)])


@app.command("duplicates")
def duplicates_command(
    store: Store,
    out: Out = None,
    threshold: Annotated[float, typer.Option(help="Similarity from which two items are near duplicates.")] = 0.9,
    exact: Annotated[bool, typer.Option("--exact", help="Only files with the same bytes.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    pictures: Annotated[
        str | None, typer.Option(help="Write an HTML page of pairs by similarity, for choosing a threshold.")
    ] = None,
    json_: Json = False,
) -> None:
    """Find items that show the same, in groups with a representative.

    Example: gandt duplicates photos.store --pictures pairs.html --out duplicates.csv
    """
    from gandt.candidates.duplicates import find_duplicates, threshold_page
    from gandt.embedding import EmbeddingStore, vanished_note
    from gandt.tables import write_table

    opened = EmbeddingStore.open(store)
    table = find_duplicates(opened, threshold=None if exact else threshold, device=device)
    if out:
        write_table(table, out)
    dead = vanished_note(table["item"], "the items in groups")
    if pictures:
        threshold_page(opened, pictures)
        note(f"wrote {pictures}")
    facts = {
        "items": int((opened.items["status"] == "embedded").sum()),
        "groups": int(table["group"].nunique()),
        "exact": int((table["kind"] == "exact").sum()),
        "near": int((table["kind"] == "near").sum()),
    }
    if json_:
        show_json({**facts, "threshold": None if exact else threshold, "out": out, "note": dead})
        return
    if dead:
        note(dead)
    show_table("Duplicates", [facts])
    first = table.head(20).to_dict("records")
    if first:
        show_table("The biggest groups", [{str(key): value for key, value in row.items()} for row in first])
