"""``gandt template``: list, check and render worker templates."""

from typing import Annotated

import typer

from gandt.cli import Json, group, note, show_json, show_table

commands = group("template", "Worker templates: list gandt's own, check any, render one to look at.")

Template = Annotated[str, typer.Argument(help="One of gandt's own by name, or a path or s3:// address.")]
Manifest = Annotated[str | None, typer.Option(help="A manifest whose lines the template shall work with.")]
Labels = Annotated[str | None, typer.Option(help="Categories where a line brings none: names parted by commas.")]
Other = Annotated[str | None, typer.Option(help='Name of "none of these" where a line brings none.')]
NoLambda = Annotated[
    bool, typer.Option("--no-lambda", help="The job has no pre-annotation Lambda: a line is the task.")
]


@commands.command("list")
def list_(json_: Json = False) -> None:
    """List gandt's own templates, with what each is for.

    Example: gandt template list
    """
    from gandt import templates

    told = {name: templates.header(templates.read(name)) or templates.Header() for name in templates.names()}
    if json_:
        from dataclasses import asdict

        show_json([{"template": name, **asdict(each)} for name, each in told.items()])
        return
    rows = [{"template": name, "for": each.about} for name, each in told.items()]
    show_table("Templates", rows)


@commands.command()
def check(
    template: Template,
    manifest: Manifest = None,
    labels: Labels = None,
    other: Other = None,
    no_lambda: NoLambda = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
    json_: Json = False,
) -> None:
    """Find what is wrong with a template before it costs a job; the exit code is 1 where there are errors.

    Example: gandt template check image-grid --manifest s3://bucket/job.manifest
    """
    from dataclasses import asdict

    from gandt import templates

    lines = templates.manifest_inputs(manifest, labels=labels, other=other, as_it_is=no_lambda) if manifest else ()
    problems = templates.check(templates.read(template), inputs=lines)
    errors = [problem for problem in problems if strict or problem.level == "error"]
    if json_:
        show_json([asdict(problem) for problem in problems])
    elif problems:
        columns = ("line", "level", "rule", "message")
        show_table(template, [{name: getattr(problem, name) or None for name in columns} for problem in problems])
    else:
        note(f"{template}: nothing is wrong")
    if errors:
        raise typer.Exit(1)


@commands.command()
def render(
    template: Template,
    out: Annotated[str, typer.Argument(help="Where the page goes: a path or s3:// address.")],
    manifest: Manifest = None,
    line: Annotated[int, typer.Option(help="Which line of the manifest, from 1.", min=1)] = 1,
    labels: Labels = None,
    other: Other = None,
    no_lambda: NoLambda = False,
    task: Annotated[str | None, typer.Option(help="A JSON file with the task input, instead of a manifest.")] = None,
    sign: Annotated[bool, typer.Option("--sign", help="Sign s3:// addresses with your AWS credentials.")] = False,
    json_: Json = False,
) -> None:
    """Render a template as Ground Truth does, with a made-up task or a manifest's line, to open it in a browser.

    Example: gandt template render image-grid page.html --manifest job.manifest --line 3 --sign
    """
    from gandt import storage, templates

    text = templates.read(template)
    if task is not None:
        given = templates.task_file(task)
    elif manifest is not None:
        lines = templates.manifest_inputs(manifest, labels=labels, other=other, as_it_is=no_lambda)
        given = templates.pick_line(lines, line, manifest)
    else:
        given = templates.sample_input(templates.header(text))
    page = templates.render(text, given, grant=templates.signed if sign else None)
    storage.write_text(out, page, content_type="text/html; charset=utf-8")
    if json_:
        show_json({"page": out, "characters": len(page)})
        return
    note(f"{out}: {len(page):,} characters")
    if "s3://" in page and not sign:
        note("its s3:// addresses can't be opened by a browser; --sign signs them for an hour")
