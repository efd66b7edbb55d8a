"""What `make test` and its relatives promise: the browser is found, its absence is said once, the sets are disjoint."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import chromium

ROOT = Path(__file__).resolve().parents[1]
BROWSER_FILE = "tests/test_crowd_elements_care.py"  # holds tests of both kinds


def pytest_(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in a process of its own, as on a machine that isn't CI and has no Chromium."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words]
    left = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("PYTEST_")}
    where = {"PATH": "/nowhere", "PLAYWRIGHT_BROWSERS_PATH": "/nowhere", **environment}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**left, **where}, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("how", [(), ("-n", "2")], ids=["one process", "two"])
def test_without_a_browser_one_line_says_how_many_and_what_mends_it(how: tuple[str, ...]) -> None:
    ran = pytest_(BROWSER_FILE, *how)
    told = [line for line in ran.stdout.splitlines() if line.startswith("SKIPPED")]
    assert ran.returncode == 0 and len(told) == 1, ran.stdout
    count = re.search(r"(\d+) skipped", ran.stdout)
    assert count and told[0].startswith(f"SKIPPED [{count[1]}]") and "`make browser`" in told[0]


def test_without_a_browser_ci_fails() -> None:
    ran = pytest_(BROWSER_FILE, "-x", CI="true")
    assert ran.returncode == 1 and "`make browser`" in ran.stdout, ran.stdout


def test_the_quick_set_asks_for_no_browser() -> None:
    ran = pytest_(BROWSER_FILE, "-m", "not slow and not medium and not browser", CI="true")
    assert ran.returncode == 0 and "deselected" in ran.stdout, ran.stdout


def test_playwrights_own_chromium_comes_before_the_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, system = tmp_path / "own" / "chrome", tmp_path / "system" / "google-chrome"
    playwright = SimpleNamespace(chromium=SimpleNamespace(executable_path=str(own)))
    monkeypatch.setenv("PATH", str(system.parent))
    assert chromium(playwright) is None
    for path in (system, own):
        path.parent.mkdir()
        path.touch(mode=0o755)
        assert chromium(playwright) == str(path)


def test_make_runs_every_test_in_one_set_or_the_other() -> None:
    recipes = dict(re.findall(r"^([\w-]+):.*\n\t(.+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert recipes["test"] == '$(PYTEST) -m "not slow"' and recipes["test-slow"] == "$(PYTEST) -m slow"
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert {"make lint", "make test", "make test-slow"} <= set(ci)
