"""docs/ground-truth.md names tests, files and commands that exist."""

import re
from pathlib import Path

from gandt.cli import app, manifest  # noqa: F401  (registers the commands)

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "ground-truth.md").read_text()


def test_tests_and_files_that_the_page_names_exist() -> None:
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    names = set(re.findall(r"`(test_\w+)`", PAGE)) - {"test_payload"}  # which is a key of events
    assert len(names) >= 5
    assert [name for name in names if f"def {name}(" not in tests] == []
    files = re.findall(r"`((?:tests|lambdas|benchmarks|docs|gandt)/[\w./-]+)`", PAGE)
    assert len(files) >= 6
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_options_that_the_page_names_exist() -> None:
    commands = "".join(path.read_text() for path in (ROOT / "gandt" / "cli").glob("*.py"))
    for option in set(re.findall(r"`--([a-z-]+)", PAGE)):
        assert re.search(rf"\b{option.replace('-', '_')}_?\b", commands), option


def test_the_pages_own_links_lead_somewhere() -> None:
    heads = {
        re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in re.findall(r"^#+ (.+)$", PAGE, re.M)
    }
    assert [link for link in re.findall(r"\]\(#([\w-]+)\)", PAGE) if link not in heads] == []
