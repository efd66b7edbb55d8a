"""docs/coming-from.md: every command and option that it names exists."""

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).resolve().parents[1] / "docs" / "coming-from.md"


@pytest.fixture(scope="module")
def root() -> Any:
    import importlib
    import pkgutil

    from typer.main import get_command

    import gandt.cli

    for module in pkgutil.iter_modules(gandt.cli.__path__):
        importlib.import_module(f"gandt.cli.{module.name}")
    return get_command(gandt.cli.app)


def test_every_command_named_exists_with_its_options(root: Any) -> None:
    named = re.findall(r"`gandt ([^`]+)`", PAGE.read_text(encoding="utf-8"))
    assert len(named) > 80
    for text in named:
        command = root
        words = text.split()
        while words and hasattr(command, "commands") and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        assert command is not root, f"there is no gandt {text}"
        options = {name for parameter in command.params for name in parameter.opts}
        unknown = [word for word in words if word.startswith("-") and word not in options]
        assert not unknown, f"gandt {text}: no {unknown}"


def test_each_row_says_where_it_is_now() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    for row in rows:
        there, here = (cell.strip() for cell in row.strip("|").split(" | ", 1))
        assert there and here, row
    assert {"QuickLabel", "Cluster labelling (Sicara)", "g-and-t (popsa-hq)"} <= set(
        re.findall(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    )
