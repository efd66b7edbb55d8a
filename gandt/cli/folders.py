"""``gandt folders``: labels as folders of files."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gandt.cli import Json, group, note, show_json, show_table

if TYPE_CHECKING:
    from gandt.folders.base import Outcome

commands = group("folders", "Labels as folders of files: dataset/, a folder for each label, and a file manager.")

Base = Annotated[str, typer.Argument(help="The folder that holds dataset/ and the labels' folders.")]


@commands.command()
def step(base: Base, json_: Json = False) -> None:
    """Learn from the labels' folders; put some more images into <label>_potential/ and needhelp/, to be confirmed.

    Example: gandt folders step pictures
    """
    from gandt.folders import Folders

    _tell(Folders(base).step(), json_, "Now move what is right into the labels' folders, and step again.")


@commands.command()
def generalize(
    base: Base,
    out: Annotated[str | None, typer.Option("--out", "-o", help="Write a table of labels, too.")] = None,
    json_: Json = False,
) -> None:
    """Sort the whole dataset into <label>_potential/ and needhelp/.

    Example: gandt folders generalize pictures --out labels.csv
    """
    from gandt.folders import Folders

    outcome, _ = Folders(base).generalize(out)
    _tell(outcome, json_, f"Labels are in {out}." if out else "")


@commands.command()
def labels(base: Base, json_: Json = False) -> None:
    """Count the images in each label's folder.

    Example: gandt folders labels pictures
    """
    from gandt.folders import Folders

    counts = {label: len(images) for label, images in Folders(base).labels().items()}
    if json_:
        show_json(counts)
    else:
        show_table(f"Labels of {base}", [{"label": label, "images": count} for label, count in counts.items()])


@commands.command()
def confirm(
    base: Base,
    label: Annotated[str, typer.Argument(help="The label whose predictions are all right.")],
    json_: Json = False,
) -> None:
    """Move all of <label>_potential/ into the label's folder.

    Example: gandt folders confirm pictures cat
    """
    from gandt.folders import Folders

    count = Folders(base).confirm(label)
    if json_:
        show_json({"label": label, "moved": count})
    else:
        note(f"moved {count} images to {label}/; gandt folders undo takes it back")


@commands.command()
def undo(base: Base, json_: Json = False) -> None:
    """Take the last step, generalize or confirm back.

    Example: gandt folders undo pictures
    """
    from gandt.folders import Folders

    verb, left = Folders(base).undo()
    if json_:
        show_json({"undone": verb, "left_alone": left})
    else:
        note(f"took back: {verb}" + (f"; {left} files had changed and stay" if left else ""))


@commands.command()
def options(
    base: Base,
    name: Annotated[str | None, typer.Argument(help="The option to set.")] = None,
    value: Annotated[str | None, typer.Argument(help="Its value.")] = None,
    json_: Json = False,
) -> None:
    """Show the options, or set one; they are kept beside the folders.

    Example: gandt folders options pictures needhelp_prob 0.7
    """
    import dataclasses

    from gandt.errors import InputError
    from gandt.folders import Folders

    folders = Folders(base)
    if name is not None and value is None:
        raise InputError(f"option {name} needs a value: gandt folders options {base} {name} VALUE")
    found: dict[str, Any] = dataclasses.asdict(folders.set(name, value or "") if name else folders.options)
    if json_:
        show_json(found)
    else:
        show_table(f"Options of {base}", [{"option": key, "value": str(each)} for key, each in found.items()])


@commands.command()
def preload(base: Base, json_: Json = False) -> None:
    """Embed everything now, so that no step waits for the network.

    Example: gandt folders preload pictures
    """
    from gandt.folders import Folders

    count = len(Folders(base).preload().items)
    show_json({"items": count}) if json_ else note(f"{count} images have vectors")


@commands.command()
def dump(
    base: Base, folder: Annotated[str, typer.Argument(help="A new folder for the vectors.")], json_: Json = False
) -> None:
    """Copy the cached vectors; they are an embedding store.

    Example: gandt folders dump pictures vectors
    """
    from gandt.folders import Folders

    Folders(base).dump(folder)
    show_json({"store": folder}) if json_ else note(f"wrote {folder}")


@commands.command()
def load(base: Base, folder: Annotated[str, typer.Argument(help="An embedding store.")], json_: Json = False) -> None:
    """Add vectors that dump or gandt embed wrote.

    Example: gandt folders load pictures vectors
    """
    from gandt.folders import Folders

    count = len(Folders(base).load(folder).items)
    show_json({"items": count}) if json_ else note(f"{count} images have vectors")


@commands.command()
def prompt(base: Base, json_: Json = False) -> None:
    """Type the same verbs at a prompt, one after another; --json has no effect here.

    Example: gandt folders prompt pictures
    """
    from gandt.folders import Folders
    from gandt.folders.prompt import Prompt

    Prompt(Folders(base)).cmdloop()


def _tell(outcome: "Outcome", json_: bool, advice: str) -> None:
    from gandt.folders.prompt import sentences

    if json_:
        show_json(vars(outcome))
        return
    show_table("Images by folder", [{"folder": name, "images": count} for name, count in outcome.placed.items()])
    for sentence in [*sentences(outcome)[:1], *sentences(outcome)[1 + len(outcome.placed) :], advice]:
        if sentence:
            note(sentence)
