"""``gandt answers``: a labeling job's output as one table."""

from typing import Annotated, Any, cast

import typer

from gandt.cli import Json, app, note, show_json, show_table


@app.command()
def answers(
    output: Annotated[
        str,
        typer.Argument(help="A labeling job's output folder, <S3OutputPath>/<job>/, or one that holds several jobs."),
    ],
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="Write the table here (.parquet, .csv, .jsonl).")
    ] = None,
    template: Annotated[str | None, typer.Option(help="The template that was answered, to read its fields by.")] = None,
    field: Annotated[
        str | None, typer.Option(help="The form field that holds the answer, where a form has several.")
    ] = None,
    input_manifest: Annotated[
        str | None, typer.Option(help="The job's input manifest, where the output holds none.")
    ] = None,
    set_aside: Annotated[str | None, typer.Option(help="Write what was set aside, and why, to this table.")] = None,
    comments: Annotated[str | None, typer.Option(help="Write the workers' comments to this table.")] = None,
    json_: Json = False,
) -> None:
    """Read every worker's answer from a labeling job's output.

    Example: gandt answers s3://bucket/out/my-job/ --out answers.parquet
    """
    from gandt.answers import read_output
    from gandt.tables import write_table

    read = read_output(output, answer_field=field, template=template, input_manifest=input_manifest)
    if out is not None:
        write_table(read.answers, out)
    if set_aside is not None:
        write_table(read.set_aside, set_aside)
    if comments is not None:
        write_table(read.comments, comments)
    table = read.answers
    reasons = read.set_aside["reason"].str.replace(r" about .*", "", regex=True).value_counts()
    if json_:
        summary = {"answers": len(table), "items": table["item"].nunique(), "workers": table["worker"].nunique()}
        rest = {"out": out} if out is not None else {"rows": table.to_dict("records")}
        show_json(
            {
                **summary,
                "jobs": sorted(table["job"].unique()),
                "comments": len(read.comments),
                "set_aside": reasons.to_dict(),
                **rest,
            }
        )
        return
    rows = table.groupby("job", sort=True).agg(
        answers=("label", "size"),
        items=("item", "nunique"),
        workers=("worker", "nunique"),
        seconds=("seconds", "median"),
    )
    show_table("Answers", cast(list[dict[str, Any]], rows.reset_index().to_dict("records")))
    counts = table["label"].value_counts().head(20)
    show_table("Labels given", [{"label": label, "answers": count} for label, count in counts.items()])
    if len(read.comments) and comments is None:
        note(f"workers left {len(read.comments):,} comments; --comments comments.csv keeps them")
    for reason, count in reasons.items():
        note(f"set aside, {count:,} times: {reason}")
    if out is None:
        note("nothing was written; add --out answers.parquet to keep the table")
