"""Every notebook runs from top to bottom, on the output of a demo."""

import json
import os
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs(
    path: Path, finished, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(os.environ, "GANDT_RUN", finished.out)
    monkeypatch.chdir(path.parent)
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert not any(cell.get("outputs") for cell in notebook["cells"]), "clear the outputs before you commit"
    scope: dict[str, object] = {}
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{path.name} cell {number}", "exec"), scope)
    assert "to train on" in capsys.readouterr().out


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS
