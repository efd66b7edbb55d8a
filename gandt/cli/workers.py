"""``gandt workers``: without a sub-command how good workers are (gandt/cli/consensus.py); and who may come in."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from gandt.cli import Json, group, show_json, show_table
from gandt.cli.serve import State

Workteam = Annotated[str, typer.Option(help="The worker's workteam.")]
NewTeam = Annotated[bool, typer.Option("--new-team", help="Make the workteam if there is none.")]
Days = Annotated[int, typer.Option(min=1, max=365, help="How long the link is good.")]


class _ShowByDefault(TyperGroup):
    """A group whose first word may be left out: what is none of its commands belongs to ``show``."""

    default = "show"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = [self.default, *args]
        return super().parse_args(ctx, args)


commands = group(
    "workers", "How reliable workers are (gandt workers ANSWERS), and who may work on gandt serve.", _ShowByDefault
)


@commands.command()
def invite(
    name: Annotated[str, typer.Argument(help="The worker's name.")],
    workteam: Workteam,
    state: State = "gandt-state",
    days: Days = 30,
    new_team: NewTeam = False,
    json_: Json = False,
) -> None:
    """Print a worker's personal link to the service, running or not; whoever has it works under this name.

    Example: gandt workers invite Ann --workteam friends --new-team
    """
    from gandt.service.invitations import invite as make

    link = make(name, workteam, state, days=days, new_team=new_team)
    if json_:
        show_json({"worker": name, "workteam": workteam, "link": link})
    else:
        print(link)


@commands.command()
def names(
    source: Annotated[str, typer.Argument(help="A service's state, a Ground Truth job's output, or a table.")],
    out: Annotated[str | None, typer.Option("--out", "-o", help="Write them to this table: worker, name.")] = None,
    json_: Json = False,
) -> None:
    """Show what workers are called, whom answers know by an id: who was invited, or the user pool's names.

    Example: gandt workers names gandt-state --out names.csv
    """
    from gandt.service.worker_names import worker_names
    from gandt.tables import write_table

    table = worker_names(source)
    if out is not None:
        write_table(table, out)
    rows = [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    if json_:
        show_json(rows)
    else:
        show_table("Workers", rows)


@commands.command()
def revoke(
    name: Annotated[str, typer.Argument(help="The worker's name.")],
    workteam: Annotated[str | None, typer.Option(help="Only in this workteam.")] = None,
    state: State = "gandt-state",
    json_: Json = False,
) -> None:
    """End all links and sessions of a worker, at once; what he has answered stays.

    Example: gandt workers revoke Ann
    """
    from gandt.service.invitations import revoke as end

    result = {"worker": name, "ended": end(name, state, workteam=workteam)}
    if json_:
        show_json(result)
    else:
        show_table("Revoked", [result])


@commands.command()
def code(
    workteam: Annotated[str, typer.Argument(help="The workteam.")],
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many codes, one for each person.")] = 1,
    hours: Annotated[int, typer.Option(min=1, max=720, help="How long they are good.")] = 24,
    state: State = "gandt-state",
    new_team: NewTeam = False,
    json_: Json = False,
) -> None:
    """Print one-time codes: whoever enters one at the service's address joins the workteam under a name of his own.

    Example: gandt workers code friends --count 20
    """
    from gandt.service.invitations import codes

    address, made = codes(workteam, state, count=count, hours=hours, new_team=new_team)
    if json_:
        show_json({"address": address, "workteam": workteam, "codes": made})
    else:
        print("\n".join(made))
