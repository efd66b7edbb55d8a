"""``gandt embed``, ``gandt filter``, ``gandt duplicates``."""

from typing import Annotated

import typer

from gandt.cli import Json, app, note, show_json, show_table


@app.command("embed")
def embed_command(
    source: Annotated[str, typer.Argument(help="A folder or s3:// prefix of images.")],
    store: Annotated[str, typer.Argument(help="The folder of the embedding store; made when absent.")],
    model: Annotated[str, typer.Option(help="lite0, lite1, lite2, or a family's prefix and a name.")] = "lite0",
    precision: Annotated[str, typer.Option(help="fp32, int8 or bf16.")] = "fp32",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    dtype: Annotated[str, typer.Option(help="Of the vectors on disk: float32 or float16.")] = "float32",
    threads: Annotated[int | None, typer.Option(help="By default one per core.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 when an item was set aside.")] = False,
    json_: Json = False,
) -> None:
    """Turn images into vectors; only what the store doesn't hold yet is computed.

    Example: gandt embed photos/ photos.store
    """
    from gandt.embedding import embed

    result = embed(
        source, store, model=model, precision=precision, device=device, dtype=dtype, threads=threads, strict=strict
    )
    run = result.run
    bad = result.items[result.items["status"] == "set aside"]
    facts = {
        "store": store,
        "items": len(result.items),
        "vectors": len(result.vectors),
        "listed": run.listed,
        "known": run.known,
        "embedded": run.embedded,
        "linked": run.linked,
        "set_aside": len(bad),
        "seconds": round(run.seconds, 2),
        "images_per_second": round(run.embedded / run.seconds, 1) if run.seconds else 0.0,
        "stage_seconds": {stage: round(seconds, 2) for stage, seconds in run.stages.items()},
        "model": result.description["model"],
        "licence": result.description["licence"],
    }
    if json_:
        show_json({**facts, "set_aside_items": bad[["item", "reason"]].to_dict("records")})
        return
    show_table(
        f"Embedding store {store}", [{key: value for key, value in facts.items() if not isinstance(value, (dict, str))}]
    )
    note(run.bottleneck())
    for item, reason in zip(bad["item"][:20], bad["reason"][:20], strict=True):
        note(f"set aside: {item}: {reason}")
    if len(bad) > 20:
        note(f"… and {len(bad) - 20} more; --json lists them all")


@app.command("filter")
def filter_command(
    store: Annotated[str, typer.Argument(help="An embedding store.")],
    seeds: Annotated[
        list[str],
        typer.Option(help="A folder per label, a table (item, label), an augmented manifest, or label=FILE,FILE."),
    ],
    out: Annotated[str | None, typer.Option(help="Write the table here (.parquet, .csv or .jsonl).")] = None,
    rule: Annotated[str, typer.Option(help="How to score; see docs/embedding.md.")] = "spread",
    recall: Annotated[float, typer.Option(help="Aim: the share of the wanted that should be kept.")] = 0.95,
    keep: Annotated[float | None, typer.Option(help="Keep this share of the pool instead.")] = None,
    explore: Annotated[float, typer.Option(help="Share of the discarded to send to labeling too, at random.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the random choice.")] = 0,
    json_: Json = False,
) -> None:
    """Keep what resembles the seeds.

    Example: gandt filter photos.store --seeds seeds/ --explore 0.05 --out candidates.parquet
    """
    from gandt.candidates import filter_by_similarity
    from gandt.candidates.seeds import read_seeds
    from gandt.embedding import EmbeddingStore
    from gandt.tables import write_table

    opened = EmbeddingStore.open(store)
    table = filter_by_similarity(
        opened, read_seeds(seeds, opened), rule=rule, recall=recall, keep=keep, explore=explore, seed=seed
    )
    if out:
        write_table(table, out)
    counts = {decision: int((table["decision"] == decision).sum()) for decision in ("keep", "explore", "discard")}
    facts = {"pool": len(table), **counts, "share_kept": table.attrs["kept"]}
    if json_:
        show_json({**facts, "rule": rule, "thresholds": table.attrs["thresholds"], "out": out})
        return
    show_table(f"Candidates by rule {rule!r}", [facts])
    columns = ["item", "decision", "label", "score"]
    best = table[columns].head(10).to_dict("records")
    show_table("The most similar", [{str(key): value for key, value in row.items()} for row in best])
    if not out:
        note("nothing was written; --out FILE keeps the table")
