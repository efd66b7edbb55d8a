"""``gandt template``: list, check and render worker templates."""

from gandt.cli import Json, group, show_json, show_table

commands = group("template", "Worker templates: list gandt's own, check any, render one to look at.")


@commands.command("list")
def list_(json_: Json = False) -> None:
    """List gandt's own templates, with what each is for.

    Example:  gandt template list
    """
    from gandt import templates

    rows = []
    for name in templates.names():
        told = templates.header(templates.read(name))
        rows.append({"template": name, "title": told.title if told else "", "about": told.about if told else ""})
    show_json(rows) if json_ else show_table("Templates", rows)
