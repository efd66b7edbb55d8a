"""``gandt deploy``: the backend on AWS."""

import sys
from typing import Annotated, Any

import typer

from gandt.cli import Json, app, note, show_json, show_table


@app.command("deploy")
def deploy_command(
    stack: Annotated[str, typer.Option(help="Name of the CloudFormation stack.")] = "gandt",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A parameter of infra/template.yaml as NAME=VALUE; once for each."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, and forget it.")] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="Take the stack away; buckets that hold anything stay.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask before acting.")] = False,
    json_: Json = False,
) -> None:
    """Put gandt's backend on AWS, or change it: shows the plan, asks, acts.

    Example: gandt --region eu-west-1 deploy --set Prefix=kites --dry-run
    """
    from gandt.deploy import Stack
    from gandt.errors import InputError

    settings: dict[str, str] = {}
    for text in set_ or []:
        name, mark, value = text.partition("=")
        if not mark:
            raise InputError(f"--set {text!r} is no setting; write it as NAME=VALUE")
        settings[name] = value
    if delete and (settings or dry_run):
        raise typer.BadParameter("--delete goes with --stack and --yes alone")
    ask = not (yes or dry_run)
    if ask and (json_ or not sys.stdin.isatty()):
        raise InputError("nobody can be asked here; add --yes to act, or --dry-run to see the plan alone")
    there = Stack(stack)
    where = f"{stack} in account {there.account}, {there.region}"
    if delete:
        if ask and not typer.confirm(f"Delete the stack {where}? Buckets that hold anything stay.", err=True):
            raise typer.Exit(1)
        result = there.delete(said=note)
        if json_:
            show_json({"stack": stack, "deleted": True, **result})
            return
        note(f"the stack {where} is deleted")
        for bucket in result["kept"]:
            note(f"kept, because it isn't empty: s3://{bucket}")
        return

    plan = there.plan(settings)
    facts: dict[str, Any] = {**plan.as_dict(), "acted": False}
    if not json_:
        for sentence in plan.notes:
            note(sentence)
        if plan.changes:
            rows = [
                {"does": e.action, "what": e.resource, "kind": e.kind, "replaced": e.replaced} for e in plan.changes
            ]
            show_table(f"Plan for the {'new ' if plan.new else ''}stack {where}", rows)
        else:
            note(f"the stack {where} is as it should be: nothing to do")
    if dry_run or (ask and plan.changes and not typer.confirm("Act on this plan?", err=True)):
        there.discard(plan)
        note("the plan was shown and forgotten; nothing was changed")
    else:
        facts |= {"acted": bool(plan.identifier), "outputs": there.act(plan, said=note)}
        if not json_ and facts["outputs"]:
            show_table("The stack's outputs", [{"name": k, "value": v} for k, v in facts["outputs"].items()])
            note(f"launch with: gandt job create NAME --stack {stack} ... (docs/aws.md goes on from here)")
    if json_:
        show_json(facts)
