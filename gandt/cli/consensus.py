"""Commands: consensus, workers, plan."""

from typing import Annotated, Any

import typer

from gandt.cli import Json, app, note, show_json, show_table

Answers = Annotated[str, typer.Argument(help="Answers table (.parquet, .csv, .jsonl; local or s3://).")]
Method = Annotated[
    str,
    typer.Option(
        help="auto, majority, certainty, weighted, one-coin, dawid-skene, ground-truth, …; see docs/consensus.md."
    ),
]
Categories = Annotated[
    list[str] | None, typer.Option("--category", help="A label category, in order; repeat it. Default: all that occur.")
]
Gold = Annotated[str | None, typer.Option(help="Table of item,label: items whose label is known.")]
Exclude = Annotated[list[str] | None, typer.Option(help="A worker whose answers shall weigh nothing; repeat it.")]
Previous = Annotated[str | None, typer.Option(help="Workers table of an earlier job, as prior knowledge.")]


def _consolidate(
    answers: str,
    gold: str | None,
    items: str | None = None,
    previous: str | None = None,
    classifier: str | None = None,
    **options: Any,
) -> Any:
    import warnings

    from gandt.consensus import consolidate
    from gandt.consensus.table import read_answers_table
    from gandt.tables import read_table

    known = read_table(gold, required=["item", "label"]) if gold else None
    asked = read_table(items, required=["item"]) if items else None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = consolidate(
            read_answers_table(answers),
            gold=dict(zip(known["item"], known["label"], strict=True)) if known is not None else None,
            items=list(asked["item"]) if asked is not None else None,
            previous=read_table(previous) if previous else None,
            classifier=read_table(classifier) if classifier else None,
            **options,
        )
    for warning in caught:
        note(f"gandt: {warning.message}")
    if len(result.set_aside):
        reasons = result.set_aside["reason"].value_counts()
        note("set aside: " + ", ".join(f"{count} × {reason}" for reason, count in reasons.items()))
    return result


@app.command()
def consensus(
    answers: Answers,
    out: Annotated[str, typer.Option(help="Where to write the labels table.")],
    workers: Annotated[str | None, typer.Option(help="Where to write the workers table.")] = None,
    method: Method = "auto",
    category: Categories = None,
    items: Annotated[str | None, typer.Option(help="Table with a column item: everything that was asked.")] = None,
    gold: Gold = None,
    target: Annotated[float, typer.Option(help="Expected accuracy that makes a label confident.")] = 0.95,
    min_answers: Annotated[int, typer.Option(help="Fewer answers than this are never confident.")] = 2,
    exclude: Exclude = None,
    previous: Previous = None,
    classifier: Annotated[
        str | None, typer.Option(help="Table of a classifier's probabilities: item, one column per category.")
    ] = None,
    json_: Json = False,
) -> None:
    """Turn answers into labels: one label, confidence and status per item.

    Example: gandt consensus answers.parquet --out labels.csv --gold gold.csv --target 0.95
    """
    from gandt.tables import write_table

    result = _consolidate(
        answers,
        gold,
        items,
        method=method,
        categories=category,
        target=target,
        min_answers=min_answers,
        exclude=exclude or (),
        previous=previous,
        classifier=classifier,
    )
    write_table(result.labels, out)
    if workers:
        write_table(result.workers, workers)
    counts = result.labels["status"].value_counts()
    summary = {
        "items": len(result.labels),
        **{status: int(counts.get(status, 0)) for status in ("confident", "relabel", "unanswered")},
        "expected_accuracy": float(result.labels["confidence"].mean()),
        "workers": len(result.workers),
        "method": result.method,
        "iterations": result.iterations,
        "converged": result.converged,
        "set_aside": len(result.set_aside),
        "labels": out,
    }
    if json_:
        show_json(summary)
    else:
        show_table("Consensus", [{"": name, "value": value} for name, value in summary.items()])


@app.command()
def workers(
    answers: Answers,
    out: Annotated[str | None, typer.Option(help="Where to write the whole table.")] = None,
    method: Method = "auto",
    category: Categories = None,
    gold: Gold = None,
    exclude: Exclude = None,
    previous: Previous = None,
    json_: Json = False,
) -> None:
    """Show how reliable each worker is by gold and everybody else's answers, and what else stands out.

    Example: gandt workers answers.parquet --gold gold.csv --out workers.csv
    """
    from gandt.consensus.table import read_answers_table
    from gandt.consensus.workers import evidence
    from gandt.tables import write_table

    result = _consolidate(answers, gold, method=method, categories=category, exclude=exclude or (), previous=previous)
    table = evidence(read_answers_table(answers), result)
    if out:
        write_table(table, out)
    rows = [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
    if json_:
        show_json(rows)
        return
    columns = ("worker", "answers", "reliability", "reliability_low", "reliability_high", "gold_right", "gold_answers")
    brief = [{name: row[name] for name in (*columns, "speed", "evidence")} for row in rows]
    brief.sort(key=lambda row: not row["evidence"])
    show_table(f"Workers ({len(rows)})", brief[:50])
    if len(rows) > 50:
        note(f"{len(rows) - 50} more; write them all with --out")
