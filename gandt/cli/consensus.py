"""Commands: consensus, workers, plan."""

from typing import Annotated, Any

import typer

from gandt.cli import Json, apart, app, note, show_json, show_table
from gandt.cli.workers import commands as workers_commands

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
    several: bool = False,
    none: str | None = None,
    **options: Any,
) -> Any:
    from functools import partial

    from gandt.categories import checked
    from gandt.consensus import consolidate, consolidate_sets
    from gandt.consensus.table import read_answers_table
    from gandt.names import item_labels, matched
    from gandt.tables import GOLD, ITEMS, PREDICTIONS, WORKERS, read_table

    if options.get("categories"):
        options["categories"] = checked(options["categories"], none if several else None)[0]
    table = read_answers_table(answers)
    asked = list(read_table(items, ITEMS)["item"]) if items else None
    among = set(table["item"].dropna())
    if items and asked:
        matched(asked, among, what=items, among=f"the items of {answers}", some=False)
        among |= set(asked)
    truth: dict[Any, Any] = {}
    if gold:
        known = read_table(gold, GOLD).dropna(subset=["label"])
        truth |= known.groupby("item")["label"].agg(list).to_dict() if several else item_labels(known, gold)
        matched(list(truth), among, what=gold, among=f"the items of {answers}")
    told = read_table(classifier, PREDICTIONS) if classifier else None
    if classifier and told is not None:
        told["item"] = matched(list(told["item"]), among, what=classifier, among=f"the items of {answers}", some=False)
    function: Any = partial(consolidate_sets, none=none) if several else consolidate
    result = function(
        table,
        gold=truth or None,
        items=asked,
        previous=read_table(previous, WORKERS) if previous else None,
        classifier=told,
        **options,
    )
    if len(result.set_aside):
        reasons = result.set_aside["reason"].value_counts()
        note("set aside: " + ", ".join(f"{count} × {reason}" for reason, count in reasons.items()))
    return result


def _say_alike(result: Any, names: dict[str, str] | None = None) -> None:
    words = result.alike_by_name(names or {})
    if words:
        note(words)


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
    several: Annotated[bool, typer.Option(help="An answer may name several labels, one row each.")] = False,
    none: Annotated[
        str | None, typer.Option(help="With --several: the label that says none of the categories.")
    ] = None,
    by_class: Annotated[
        str | None, typer.Option(help="With --several: where to write each category's own probability and status.")
    ] = None,
    exclude_below: Annotated[
        float | None, typer.Option(help="Exclude workers whose whole interval of reliability lies under this.")
    ] = None,
    ask_next: Annotated[
        str | None, typer.Option("--next", help="Where to write which items to ask again, and from how many workers.")
    ] = None,
    cap: Annotated[int, typer.Option(help="With --next: most answers per item.")] = 9,
    per_round: Annotated[int, typer.Option(help="With --next: most workers to ask in one round.")] = 2,
    overall: Annotated[
        float | None,
        typer.Option(help="With --next: ask where it is worth most until all labels together are so accurate."),
    ] = None,
    share: Annotated[float, typer.Option(help="With --overall: the share of the items to ask in one round.")] = 0.05,
    json_: Json = False,
) -> None:
    """Turn answers into labels: one label, confidence and status per item.

    Example: gandt consensus answers.parquet --out labels.csv --gold gold.csv --target 0.95 --next ask.csv
    """
    from gandt.consensus.redundancy import next_round
    from gandt.consensus.workers import to_exclude
    from gandt.errors import InputError
    from gandt.tables import write_table

    if by_class and not several:
        raise InputError("--by-class is for answers of several labels each; add --several")
    options: dict[str, Any] = {
        "method": method,
        "categories": category,
        "target": target,
        "min_answers": min_answers,
        "previous": previous,
        "classifier": classifier,
        "several": several,
        "none": none,
    }
    apart([out, workers, by_class, ask_next], [answers, gold, items, previous, classifier])
    left_out = list(exclude or ())
    result = _consolidate(answers, gold, items, exclude=left_out, **options)
    if exclude_below is not None:
        named = [name for name in to_exclude(result.workers, exclude_below) if name not in left_out]
        if named:
            note(f"excluded for a reliability under {exclude_below:g}: {', '.join(named)}")
            result = _consolidate(answers, gold, items, exclude=[*left_out, *named], **options)
    write_table(result.labels, out)
    if ask_next:
        rule: dict[str, Any] = {
            "target": target,
            "cap": cap,
            "per_round": per_round,
            "overall": overall,
            "share": share,
        }
        write_table(next_round(result, least=min_answers, **rule), ask_next)
    if workers:
        write_table(result.workers, workers)
    if by_class:
        write_table(result.by_class, by_class)
    _say_alike(result)
    note(result.promise_in_words)
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
        "pairs_alike": len(result.alike),
        "labels": out,
    }
    if json_:
        summary["promise"] = result.promise._asdict() if result.promise else None
        show_json(summary)
    else:
        show_table("Consensus", [{"": name, "value": value} for name, value in summary.items()])


@workers_commands.command("show")
def workers(
    answers: Answers,
    out: Annotated[str | None, typer.Option(help="Where to write the whole table.")] = None,
    html: Annotated[str | None, typer.Option(help="Where to write a page about each worker (.html).")] = None,
    confusion: Annotated[str | None, typer.Option(help="Show what this worker says, by true class.")] = None,
    copying: Annotated[bool, typer.Option(help="Show pairs who agree beyond what both know.")] = False,
    method: Method = "auto",
    category: Categories = None,
    gold: Gold = None,
    exclude: Exclude = None,
    previous: Previous = None,
    names: Annotated[
        str | None,
        typer.Option(help="Show names: gandt-state, a Ground Truth job's output, or a table (worker, name)."),
    ] = None,
    json_: Json = False,
) -> None:
    """Show how reliable each worker is by gold and everybody else's answers, and what else stands out.

    Example: gandt workers answers.parquet --gold gold.csv --names gandt-state --html workers.html
    """
    from gandt.consensus import workers as about
    from gandt.consensus.table import read_answers_table
    from gandt.service.worker_names import names_of
    from gandt.tables import write_table

    apart([out, html], [answers, gold, previous])
    result = _consolidate(answers, gold, method=method, categories=category, exclude=exclude or (), previous=previous)
    called: dict[str, str] = names_of(result.workers["worker"], names) if names else {}
    _say_alike(result, called)
    if names and len(called) < len(result.workers):
        note(f"{len(result.workers) - len(called)} of {len(result.workers)} workers have no name in {names}")
    if html:
        from gandt.report.workers import write_worker_pages

        write_worker_pages(read_answers_table(answers), result, html, names=called)
    if confusion is not None:
        ids = [worker for worker, name in called.items() if name == confusion]
        confusion = ids[0] if len(ids) == 1 else confusion
        counts = about.confusion(result, confusion)
        table = counts.rename_axis("true class").reset_index()
        title = f"{confusion}: answers by true class (rows) and label (columns)"
    elif copying:
        table, title = about.copying(result), "Pairs of workers, the most surprising agreement first"
    else:
        table, title = about.evidence(read_answers_table(answers), result), "Workers"
    if names and confusion is None:
        table = about.named(table, called)
    if out:
        write_table(table, out)
    rows = [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
    if json_:
        show_json(rows)
        return
    if title == "Workers":
        columns = [
            *("worker", *(["name"] if names else []), "answers", "reliability", "reliability_low", "reliability_high"),
            *("gold_right", "gold_answers", "speed", "evidence"),
        ]
        rows = [{name: row[name] for name in columns} for row in rows]
        rows.sort(key=lambda row: not row["evidence"])
    show_table(f"{title} ({len(rows)})" if confusion is None else title, rows[:50])
    if len(rows) > 50:
        note(f"{len(rows) - 50} more; write them all with --out")


@app.command()
def plan(
    items: Annotated[str, typer.Argument(help="How many items, or a table of them (.parquet, .csv, .jsonl).")],
    per_page: Annotated[int, typer.Option(help="Items on a page: one object, and one task per worker.")] = 20,
    workers: Annotated[int, typer.Option(help="Answers per item (of the first round, with --until-sure).")] = 3,
    until_sure: Annotated[
        bool, typer.Option(help="Ask on, one answer at a time, until the target is reached.")
    ] = False,
    target: Annotated[float, typer.Option(help="With --until-sure: confidence at which an item is done.")] = 0.95,
    cap: Annotated[int, typer.Option(help="With --until-sure: most answers per item.")] = 9,
    classes: Annotated[int, typer.Option(help="Number of label categories.")] = 4,
    skill: Annotated[float, typer.Option(help="Expected accuracy of the workers.")] = 0.85,
    gold_rate: Annotated[float, typer.Option(help="Share of the tiles that are gold.")] = 0.0,
    seconds: Annotated[float, typer.Option(help="Seconds for one answer.")] = 3.0,
    prices: Annotated[
        str | None, typer.Option(help="Your price list (JSON); default: Ground Truth's, see the docs.")
    ] = None,
    out: Annotated[str | None, typer.Option(help="Write it here, as JSON, for gandt job cost --plan.")] = None,
    json_: Json = False,
) -> None:
    """Foretell a job's pages, judgements, hours and cost, with an interval.

    Example: gandt plan 3200 --per-page 20 --workers 2 --until-sure --prices prices.json --out plan.json
    """
    import json

    from gandt import storage
    from gandt.cost import GROUND_TRUTH, read_prices
    from gandt.cost import plan as foretell
    from gandt.tables import ITEMS, read_table

    count = int(items) if items.isdigit() else read_table(items, ITEMS)["item"].nunique()
    result = foretell(
        count,
        per_page=per_page,
        workers=workers,
        until_sure=until_sure,
        target=target,
        cap=cap,
        classes=classes,
        skill=skill,
        gold_rate=gold_rate,
        seconds=seconds,
        prices=read_prices(prices) if prices else GROUND_TRUTH,
    ).as_dict()
    if out:
        storage.write_text(out, json.dumps(result, indent=2) + "\n")
    if json_:
        show_json(result)
    else:
        show_table("Plan", [{"": name, "value": value} for name, value in result.items()])
