"""The interactive prompt: the verbs of QuickLabel, typed one after another."""

import cmd
import dataclasses
import sys
from typing import IO

from gandt.errors import GandtError
from gandt.folders.base import Folders, Outcome
from gandt.text import on_screen


class Prompt(cmd.Cmd):
    """A prompt for one labels folder; ``cmdloop()`` runs it until ``quit`` or the end of input."""

    intro = (
        "Type help for the verbs, quit to leave. Files are only added or moved, and undo takes the last change back."
    )
    prompt = "gandt> "

    def __init__(self, folders: Folders, stdin: IO[str] | None = None, stdout: IO[str] | None = None) -> None:
        super().__init__(stdin=stdin, stdout=stdout)
        self.use_rawinput = stdin is None
        self._folders = folders

    def onecmd(self, line: str) -> bool:
        """Run one line; what goes wrong is told, and the prompt goes on."""
        try:
            return bool(super().onecmd(line))
        except GandtError as error:
            self._say(str(error))
        except KeyboardInterrupt:
            self._say("interrupted; nothing is half-written")
        return False

    def emptyline(self) -> bool:
        """Do nothing on an empty line."""
        return False

    def default(self, line: str) -> None:
        """Say which verbs there are."""
        if line == "EOF":
            return
        self._say(f"there is no verb {line.split()[0]!r}; type help")

    def do_labels(self, _: str) -> None:
        """Tell how many images each label has."""
        for label, images in self._folders.labels().items():
            self._say(f"{label}: {len(images)}")

    def do_classifier(self, _: str) -> None:
        """Tell which classifier is used; options classifier NAME sets it."""
        self._say(self._folders.options.classifier)

    def do_model(self, _: str) -> None:
        """Tell which network is used; options model NAME sets it."""
        self._say(self._folders.options.model)

    def do_step(self, _: str) -> None:
        """Learn, and fill <label>_potential and needhelp with some more images."""
        self._say(*sentences(self._folders.step()))

    def do_generalize(self, line: str) -> None:
        """Sort the whole dataset; generalize FILE writes a table of labels, too."""
        outcome, _ = self._folders.generalize(line.strip() or None)
        self._say(*sentences(outcome))

    def do_confirm(self, line: str) -> None:
        """Move all of <label>_potential into the label's folder: confirm LABEL."""
        self._say(f"moved {self._folders.confirm(line.strip())} images to {line.strip()}")

    def do_undo(self, _: str) -> None:
        """Take the last step, generalize or confirm back."""
        verb, left = self._folders.undo()
        self._say(f"took back: {verb}" + (f"; {left} files had changed and stay" if left else ""))

    def do_preload(self, _: str) -> None:
        """Embed everything now."""
        self._say(f"{len(self._folders.preload().items)} images have vectors")

    def do_dump(self, line: str) -> None:
        """Copy the vectors: dump FOLDER."""
        self._folders.dump(line.strip())

    def do_load(self, line: str) -> None:
        """Add the vectors that dump or gandt embed wrote: load FOLDER."""
        self._say(f"{len(self._folders.load(line.strip()).items)} images have vectors")

    def do_options(self, line: str) -> None:
        """Show the options; options NAME VALUE sets one."""
        name, _, value = line.strip().partition(" ")
        if name:
            self._folders.set(name, value)
        for option, given in dataclasses.asdict(self._folders.options).items():
            if not name or option == name:
                self._say(f"{option} = {given}")

    def do_quit(self, _: str) -> bool:
        """Leave."""
        return True

    def do_EOF(self, _: str) -> bool:  # noqa: N802  (cmd's own name)
        """Leave at the end of input (Ctrl-D)."""
        self._say("")
        return True

    def _say(self, *lines: str) -> None:
        stream = self.stdout or sys.stdout
        for line in lines:
            print(on_screen(line, stream), file=stream)


def sentences(outcome: Outcome) -> list[str]:
    """Say for people what a step or generalize did."""
    learned = ", ".join(f"{label} {count}" for label, count in outcome.learned.items())
    said = [f"learned from {learned}"]
    said += [f"put {count} into {folder}/" for folder, count in sorted(outcome.placed.items())]
    if outcome.cleared:
        said.append(f"cleared {outcome.cleared} of the last step away (undo brings them back)")
    if outcome.kept:
        said.append(f"left {outcome.kept} files there that aren't gandt's")
    said += [f"set aside: {item}: {reason}" for item, reason in outcome.set_aside[:20]]
    if len(outcome.set_aside) > 20:
        said.append(f"… and {len(outcome.set_aside) - 20} more were set aside")
    return said + outcome.left_out
