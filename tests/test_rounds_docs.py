"""What docs/rounds.md shows works as it stands."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gandt.candidates.strategies import DIVERSITIES, OTHERS
from gandt.candidates.uncertainty import UNCERTAINTIES
from gandt.cli import app
from gandt.cli import rounds as _rounds  # noqa: F401
from gandt.cli import select as _select  # noqa: F401
from gandt.rounds.config import parse_config

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "rounds.md").read_text(encoding="utf-8")


def test_every_strategy_is_named() -> None:
    for name in [*UNCERTAINTIES, *DIVERSITIES, *OTHERS]:
        assert f"`{name}`" in TEXT, name


def test_every_configuration_is_one() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        parse_config(block)


@pytest.mark.slow
def test_the_wine_is_labelled_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(code, {})
    Path("wine.yaml").write_text(re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)[1])
    for words in re.findall(r"^gandt ((?:vectors|run) wine.*)$", TEXT, re.MULTILINE):
        done = CliRunner().invoke(app, words.split())
        assert done.exit_code == 0, done.output
    assert "and the whole interval reaches the target of 90.0%" in done.output
    assert Path("wine-run/report.html").is_file()
