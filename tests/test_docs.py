"""What README and docs say can be done: every command, option, link and path in them exists."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(text: str) -> Iterator[str]:
    """Yield every line of a fenced block that calls gandt, with its continuation lines."""
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip().startswith("gandt "):
                yield line.strip()


@pytest.fixture(scope="module")
def root() -> Any:
    from typer.main import get_command

    from gandt.cli import answers, app, aws, cluster, consensus, demo, embedding, job, manifest, serve, template  # noqa: F401
    from gandt.cli import deploy as _deploy  # noqa: F401
    from gandt.cli import folders as _folders  # noqa: F401
    from gandt.cli import past as _past  # noqa: F401
    from gandt.cli import processing as _processing  # noqa: F401
    from gandt.cli import rounds as _rounds  # noqa: F401
    from gandt.cli import select as _select  # noqa: F401

    return get_command(app)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_docs_exist_with_their_options(page: Path, root: Any) -> None:
    for line in commands(page.read_text(encoding="utf-8")):
        words = shlex.split(line, comments=True)[1:]
        command = root
        flags = {name: parameter.is_flag for parameter in root.params for name in parameter.opts}
        while words and words[0] in flags:  # options of all commands, before the command
            del words[: 1 if flags[words[0]] else 2]
        while words and not words[0].startswith("-") and hasattr(command, "commands"):
            if words[0] not in command.commands and hasattr(command, "default"):
                words.insert(0, command.default)
            assert words[0] in command.commands, f"{page.name}: {line}"
            command = command.commands[words.pop(0)]
        options = {name for parameter in command.params for name in [*parameter.opts, *parameter.secondary_opts]}
        for word in words:
            if word.startswith("--"):
                assert word.partition("=")[0] in options | {"--help"}, f"{page.name}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_named_in_the_docs_exist(page: Path) -> None:
    """A path in code font that begins with one of the project's folders is a file, a folder or a pattern of files."""
    tops = "gandt|lambdas|templates|infra|notebooks|tests|benchmarks|docs"
    for name in re.findall(rf"`((?:{tops})/[\w./*-]+)`", page.read_text(encoding="utf-8")):
        if "NAME" in name:  # stands for a name of the reader's own
            continue
        found = list(ROOT.glob(name.rstrip("/")))
        assert found, f"{page.name} names {name}"


def test_readme_begins_with_exactly_two_set_up_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    first = re.search(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert first is not None
    assert first[1].split("\n") == ["make demo", "make test", ""]
