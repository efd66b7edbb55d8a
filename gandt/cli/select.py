"""``gandt select``, ``carry`` and ``vectors``."""

from typing import Annotated, Any

import typer

from gandt.cli import Json, apart, app, note, show_json, show_table

Store = Annotated[str, typer.Argument(help="The folder of an embedding store.")]
Out = Annotated[str | None, typer.Option(help="Write the table here (.parquet, .csv or .jsonl).")]


@app.command("select")
def select_command(
    store: Store,
    labels: Annotated[
        list[str] | None,
        typer.Option(help="What is labelled: a table (item, label), a folder per label, an augmented manifest."),
    ] = None,
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="How many to ask about.")] = 50,
    strategy: Annotated[
        str, typer.Option(help="default, random, margin, entropy+k-center, …; see docs/rounds.md.")
    ] = "default",
    classifier: Annotated[str, typer.Option(help="logistic, torch, or sklearn.….")] = "logistic",
    answers: Annotated[
        str | None, typer.Option(help="Answers table instead of labels: rank another answer against a first one.")
    ] = None,
    most: Annotated[int, typer.Option(help="With --answers: answers per item at most.")] = 5,
    duplicates: Annotated[
        float | None, typer.Option(help="Ask one of items that are this similar (0.9); copies are asked once anyhow.")
    ] = None,
    leave_out: Annotated[
        str | None, typer.Option(help="Table with a column item: never ask these, such as gold.")
    ] = None,
    neighbours: Annotated[
        int, typer.Option(min=0, help="With 4, a fifth of the N is chosen; their nearest neighbours are the rest.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    out: Out = None,
    json_: Json = False,
) -> None:
    """Choose what to ask next, so that a classifier learns most from it.

    Example: gandt select photos.store --labels labels.csv --n 100 --out ask.csv
    """
    from gandt.candidates import find_duplicates
    from gandt.embedding import EmbeddingStore, vanished_note
    from gandt.errors import InputError
    from gandt.names import matched
    from gandt.rounds.select import read_known, select, select_answers
    from gandt.tables import ANSWERS, ITEMS, read_table, write_table

    apart([out], [*(labels or ()), answers, leave_out])
    opened = EmbeddingStore.open(store)
    unwanted = []
    if leave_out:
        named = read_table(leave_out, ITEMS)["item"].tolist()
        all_items, among = set(opened.items["item"]), f"the items of {store}"
        unwanted = matched(opened.names(named), all_items, what=leave_out, among=among, given=named)
    shared: dict[str, Any] = {"classifier": classifier, "seed": seed, "leave_out": unwanted}
    if answers:
        if labels or strategy != "default" or neighbours:
            raise InputError(
                "--answers has labels and a ranking of its own; leave out --labels, --strategy and --neighbours"
            )
        table = select_answers(opened, read_table(answers, ANSWERS), n, most=most, **shared)
    else:
        known = read_known(labels, opened) if labels else {}
        near = find_duplicates(opened, threshold=duplicates) if duplicates is not None else None
        table = select(opened, known, n, strategy=strategy, duplicates=near, neighbours=neighbours, **shared)
    if out:
        write_table(table, out)
    dead = vanished_note(table["item"], "the chosen items")
    if json_:
        facts = {"strategy": "answers" if answers else strategy, "out": out, "note": dead}
        show_json({**facts, "chosen": table.to_dict("records")})
        return
    if dead:
        note(dead)
    rows = [{str(key): value for key, value in row.items()} for row in table.head(20).to_dict("records")]
    show_table(f"What to ask next ({len(table):,} items)", rows)
    if not out:
        note("nothing was written; --out FILE keeps the table")


@app.command("carry")
def carry_command(
    store: Store,
    labels: Annotated[str, typer.Argument(help="A table with item and label, such as gandt consensus writes.")],
    out: Annotated[str, typer.Option(help="Write labels and carried labels here.")],
    duplicates: Annotated[float | None, typer.Option(help="To near duplicates of this similarity, too (0.9).")] = None,
    json_: Json = False,
) -> None:
    """Carry labels over to duplicates, marked as carried and from which item.

    Example: gandt carry photos.store labels.csv --duplicates 0.9 --out all-labels.csv
    """
    from gandt.candidates import find_duplicates
    from gandt.candidates.carry import carry_labels, representatives
    from gandt.embedding import EmbeddingStore
    from gandt.names import matched
    from gandt.tables import LABELS, read_table, write_table

    apart([out], [labels])
    opened = EmbeddingStore.open(store)
    table = read_table(labels, LABELS)
    named, all_items = table["item"].tolist(), set(opened.items["item"])
    names = matched(opened.names(named), all_items, what=labels, among=f"the items of {store}", given=named)
    near = find_duplicates(opened, threshold=duplicates) if duplicates is not None else None
    carried = carry_labels(table.assign(item=names), representatives(opened, near))
    write_table(carried, out)
    facts = {"labels": len(table), "carried over": int((carried["carried_from"] != "").sum()), "out": out}
    if json_:
        show_json(facts)
    else:
        show_table("Labels carried over to duplicates", [facts])


@app.command("vectors")
def vectors_command(
    table: Annotated[str, typer.Argument(help="A table whose columns are features, or vectors.npy.")],
    store: Annotated[str, typer.Argument(help="The folder of the new embedding store.")],
    item: Annotated[str, typer.Option(help="The column that names the rows.")] = "item",
    skip: Annotated[list[str] | None, typer.Option(help="A column that is no feature, such as the label.")] = None,
    json_: Json = False,
) -> None:
    """Make an embedding store of a table's rows, or of vectors that you bring (sounds, texts, anything).

    Example: gandt vectors wine.csv wine.store --item bottle --skip label
    """
    from gandt.rounds.given import read_vectors, store_vectors

    names, vectors = read_vectors(table, item=item, skip=skip or [])
    made = store_vectors(names, vectors, store)
    facts = {"store": store, "items": len(made.items), "features": vectors.shape[1]}
    if json_:
        show_json(facts)
    else:
        show_table("Embedding store of given vectors", [facts])
