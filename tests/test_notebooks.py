"""Every notebook runs from top to bottom: on a demo's output, on real data where it is, against the local service."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from service import MEMBERS, running
from test_answers import answer, response

from gandt import storage
from gandt.demo.crowd import read_tiles

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
# what each prints last, and how many plots it draws at least
LAST = {
    "analyse_a_job": ("to train on", 3),
    "ask_until_sure": ("more about", 2),
    "filter_a_pool": ("worth a judgement", 4),
    "launch_a_job": ("labels are confident", 1),
    "leave_ground_truth": ("to ask again", 1),
}


def execute(name: str) -> int:
    """Run a notebook's cells in its folder; return how many plots it drew."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    path = NOTEBOOKS / f"{name}.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert not any(cell.get("outputs") for cell in notebook["cells"]), "clear the outputs before you commit"
    scope: dict[str, object] = {}
    try:
        with matplotlib.rc_context():  # what a notebook sets is for itself
            for number, cell in enumerate(notebook["cells"]):
                if cell["cell_type"] == "code":
                    exec(compile("".join(cell["source"]), f"{path.name} cell {number}", "exec"), scope)
            return len(plt.get_fignums())
    finally:
        plt.close("all")


@pytest.fixture
def there(finished: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANDT_RUN", finished.out)
    monkeypatch.chdir(NOTEBOOKS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "real"),
    [
        *((name, True) for name in sorted(set(LAST) - {"launch_a_job"})),
        ("analyse_a_job", False),
        ("leave_ground_truth", False),
    ],
)
def test_the_notebook_runs(name: str, real: bool, there, monkeypatch, capsys, tmp_path: Path) -> None:
    """With ``real`` from where it lies, so that it finds the real data beside the project where that is."""
    if not real:
        (tmp_path / "one" / "notebooks").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / "one" / "notebooks")  # nothing lies beside
    words, plots = LAST[name]
    assert execute(name) >= plots
    assert words in capsys.readouterr().out


def test_a_plot_takes_any_name_of_a_worker_and_a_label(tmp_path: Path, monkeypatch) -> None:
    """Formulas, unfinished ones too, are text in a plot."""
    monkeypatch.setenv("GANDT_RUN", str(tmp_path))
    (tmp_path / "one" / "notebooks").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "one" / "notebooks")
    job = tmp_path / "s3" / "gandt-demo" / "jobs" / "job"
    lines = "".join(json.dumps({"source-ref": f"s3://bucket/{number}.png"}) + "\n" for number in range(12))
    storage.write_text(str(job / "manifests" / "output" / "output.manifest"), lines)
    (tmp_path / "gold.csv").write_text("item,label\ns3://bucket/0.png,cat\n")
    for number in range(12):
        said = [("$\\frac$", "cat"), ("$x_{$", "cat" if number % 2 else "$\\no{$"), ("\u202e$x", "$\\no{$")]
        response(job, number, *(answer(who, {"crowd-image-classifier": {"label": label}}) for who, label in said))
    assert execute("analyse_a_job") >= 3


@contextmanager
def people(live: Any, names: list[str]) -> Iterator[None]:
    """Workers who answer whatever is asked, the first button of every tile, until the block is left."""
    ended = threading.Event()

    def work(worker: str) -> None:
        while not ended.wait(0.02):
            lease = live.service.next(worker, "animals-1")
            if lease is not None:
                tiles = read_tiles(
                    live.service.page(lease, lambda uri: f"https://pictures/{uri.removeprefix('s3://')}")
                )
                content = {f"labels-{tile.index}": json.dumps(tile.choices[:1]) for tile in tiles}
                live.service.submit(lease.id, worker, content, 2.0)

    workers = [live.store.add_worker(name, "friends") for name in names]
    threads = [threading.Thread(target=work, args=(worker,), daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


@pytest.mark.slow
def test_the_notebook_that_launches_runs_against_the_local_service(there, monkeypatch, capsys, tmp_path: Path) -> None:
    with running(str(tmp_path / "state")) as live:
        live.sagemaker.create_workteam(WorkteamName="friends", MemberDefinitions=MEMBERS, Description="friends")
        monkeypatch.setenv("GANDT_ENDPOINT", live.address)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", live.s3.meta.endpoint_url)
        monkeypatch.setenv("GANDT_POLL", "0.2")
        storage.use(storage.Access())
        words, plots = LAST["launch_a_job"]
        with people(live, ["Ann", "Ben"]):
            assert execute("launch_a_job") >= plots
        assert words in capsys.readouterr().out
        assert live.sagemaker.describe_labeling_job(LabelingJobName="animals-1")["LabelingJobStatus"] == "Completed"
    storage.use(storage.Access())


def test_every_notebook_is_run() -> None:
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(LAST)
    assert os.environ.get("GANDT_RUN") is None
