"""``gandt run`` with labeling jobs at gandt's own service: rows of scikit-learn's wine table, and pictures."""

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pandas as pd
import pytest
from botocore.stub import Stubber
from PIL import Image
from service import MEMBERS, running

from gandt import embed, storage, tables
from gandt.errors import InputError
from gandt.progress import Ticker
from gandt.rounds.ask import JobAsker
from gandt.rounds.config import parse_config
from gandt.rounds.given import read_vectors, store_vectors
from gandt.rounds.loop import run

WINES = ("barolo", "grignolino", "barbera")


class People:
    """A thread that answers every task as ``truth`` says, read from the task's own manifest line."""

    def __init__(self, live: Any, truth: dict[str, str]) -> None:
        self.live, self.truth, self.end = live, truth, threading.Event()
        self.seen: list[dict[str, Any]] = []
        self.thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> "People":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end.set()
        self.thread.join()

    def _work(self) -> None:
        service = self.live.service
        while not self.end.wait(0.05):
            for job in self.live.sagemaker.list_labeling_jobs(StatusEquals="InProgress")["LabelingJobSummaryList"]:
                for worker in self.live.workers:
                    lease = service.next(worker, job["LabelingJobName"])
                    if lease is None:
                        continue
                    page = service.page(lease, lambda uri: uri)
                    line = self._line(job["LabelingJobName"], lease.number)
                    self.seen.append({"line": line, "page": page})
                    entries = json.loads(line["source"])
                    content = {
                        f"labels-{each['index']}": json.dumps([self.truth[each.get("source", each.get("source-ref"))]])
                        for each in entries
                    }
                    service.submit(lease.id, worker, content, 2.0)

    def _line(self, job: str, number: str) -> dict[str, Any]:
        request = self.live.sagemaker.describe_labeling_job(LabelingJobName=job)
        uri = request["InputConfig"]["DataSource"]["S3DataSource"]["ManifestS3Uri"]
        return json.loads(storage.read_text(uri, s3=self.live.s3).splitlines()[int(number)])


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        with running(str(tmp_path_factory.mktemp("state"))) as served:
            served.sagemaker.create_workteam(
                WorkteamName="Friends", MemberDefinitions=MEMBERS, Description="those we know"
            )
            served.workers = [served.store.add_worker(name, "Friends") for name in ("Ann", "Bob")]
            yield served


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """scikit-learn's wine table as a CSV, as a store, and 60 rows of it as gold."""
    from sklearn.datasets import load_wine

    folder = tmp_path_factory.mktemp("wine")
    data = load_wine()
    table = pd.DataFrame(data.data, columns=data.feature_names)
    table.insert(0, "item", [f"wine {number:03}" for number in range(len(table))])
    table["label"] = [WINES[each] for each in data.target]
    table = table.sample(frac=1, random_state=0, ignore_index=True)
    tables.write_table(table, str(folder / "wine.csv"))
    tables.write_table(table[["item", "label"]].tail(60), str(folder / "gold.csv"))
    items, vectors = read_vectors(str(folder / "wine.csv"), skip=["label"])
    store_vectors(items, vectors, str(folder / "store"))
    return folder


def settings(live: Any, folder: Path, run_: Path, more: str) -> str:
    return f"""
run: {run_}
classes: [barolo, grignolino, barbera]
choose: {{n: 12, relabel: false}}
ask:
  with: job
  output: s3://bucket/{run_.name}
  endpoint: {live.address}
  pre_lambda: LabelingFunction-pre
  post_lambda: LabelingFunction-post
  {more}
"""


def test_the_wine_table_is_labelled_by_jobs_row_by_row(
    live: Any, wine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tables.read_table(str(wine / "wine.csv"))
    more = f"workers: 1\n  template: table-row\n  table: {wine}/wine.csv\n  per_page: 6\n  gold_rate: 0.1"
    text = settings(live, wine, tmp_path / "wine-run", more) + f"store: {wine}/store\ngold: {wine}/gold.csv\n"
    text += "stop: {rounds: 2}\n"
    with People(live, dict(zip(table["item"], table["label"], strict=True))) as people:
        said: list[str] = []
        result = run(parse_config(text, "wine.yaml"), said=said.append, s3=live.s3)
    assert said[0] == (
        "labeling job wine-run-round-000: 14 items on 3 pages, 1 answer a page; people answer at "
        f"{live.address}, and their owner sees how it goes at {live.address}/owner"
    )
    told = capsys.readouterr().err.splitlines()
    assert "wine-run-round-000: Completed [##############################] 100% (3 of 3), 3 answers" in told
    assert (result.rounds[-1]["answers"], result.rounds[-1]["gold_answers"]) == (24, 4)
    assert result.rounds[-1]["accuracy"] > 0.85, "24 of 178 rows say what the other 154 are"
    first = json.loads(people.seen[0]["line"]["source"])[0]
    assert first["row"]["alcohol"] in people.seen[0]["page"], "the page shows the row"
    assert "label" not in first["row"], "and not its label"
    # killed after the job and before its answers were kept: the same job is found again, and nobody is asked twice
    folder = Path(result.folder)
    before = (folder / "round-001" / "answers.csv").read_bytes()
    for name in ("answers.csv", "metrics.json"):
        (folder / "round-001" / name).unlink()
    again = run(parse_config(text, "wine.yaml"), s3=live.s3)
    assert (folder / "round-001" / "answers.csv").read_bytes() == before
    assert again.rounds[-1]["answers"] == 24


def test_pictures_are_uploaded_and_shown_and_texts_too(live: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for number in range(4):
        Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(tmp_path / "images" / f"{number}.png")
    shutil.copy(tmp_path / "images" / "0.png", tmp_path / "images" / "copy.png")  # one address for two items
    store = embed(str(tmp_path / "images"), str(tmp_path / "store"))
    items = store.items["item"].tolist()
    config = parse_config(settings(live, tmp_path, tmp_path / "pictures", "workers: 1") + f"store: {tmp_path}/store\n")
    address = JobAsker(config, items, s3=live.s3)._shown(items)[0]
    questions = pd.DataFrame({"item": items, "ask": "first answer", "answers": 0})
    with People(live, dict.fromkeys(address.values(), "barolo")):
        answers = JobAsker(config, items, s3=live.s3).ask(0, questions, tmp_path)
    assert sorted(answers["item"]) == sorted(items)
    assert set(answers["label"]) == {"barolo"}

    notes = pd.DataFrame({"item": ["a", "b"], "text": ["red and dry", "white and sweet"]})
    tables.write_table(notes, str(tmp_path / "notes.csv"))
    more = f"workers: 1\n  template: text\n  table: {tmp_path}/notes.csv\n  show: text"
    config = parse_config(settings(live, tmp_path, tmp_path / "texts", more) + f"store: {tmp_path}/store\n", "t.yaml")
    questions = pd.DataFrame({"item": ["a", "b"], "ask": "first answer", "answers": 0})
    with People(live, {"red and dry": "barolo", "white and sweet": "barbera"}):
        answers = JobAsker(config, ["a", "b"], s3=live.s3).ask(0, questions, tmp_path)
    assert dict(zip(answers["item"], answers["label"], strict=True)) == {"a": "barolo", "b": "barbera"}
    with pytest.raises(InputError, match=r"t.yaml line \d+: ask.table lacks 1 of the 3 items .* as .c."):
        JobAsker(config, ["a", "b", "c"], s3=live.s3)


def test_people_may_say_that_it_is_none_of_the_classes(live: Any, wine: Path, tmp_path: Path) -> None:
    more = f"workers: 1\n  template: table-row\n  table: {wine}/wine.csv\n  other: Something else"
    config = parse_config(settings(live, wine, tmp_path / "open", more) + f"store: {wine}/store\n")
    items = ["wine 000", "wine 001"]
    questions = pd.DataFrame({"item": items, "ask": "first answer", "answers": 0})
    with People(live, dict.fromkeys(items, "Something else")) as people:
        answers = JobAsker(config, items, s3=live.s3).ask(0, questions, tmp_path)
    assert answers["label"].tolist() == ["Something else"] * 2
    assert 'data-other data-label="Something else"' in people.seen[0]["page"], "the page offers it"


def test_where_people_answer_is_said_or_why_nobody_knows(wine: Path, tmp_path: Path) -> None:
    text = f"store: {wine}/store\nrun: {tmp_path}/run\nclasses: [a, b]\n"
    text += f"ask: {{with: job, output: s3://bucket/jobs, template: table-row, table: {wine}/wine.csv}}\n"
    asks = JobAsker(parse_config(text), [])
    team = "arn:aws:sagemaker:us-east-1:123456789012:workteam/private-crowd/friends"
    client = boto3.client(
        "sagemaker", region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing"
    )
    with Stubber(client) as stub:
        described = {"WorkteamName": "friends", "MemberDefinitions": MEMBERS, "WorkteamArn": team, "Description": "us"}
        stub.add_response(
            "describe_workteam",
            {"Workteam": {**described, "SubDomain": "abc.labeling.us-east-1.sagemaker.aws"}},
            {"WorkteamName": "friends"},
        )
        assert asks._where(team, client) == "https://abc.labeling.us-east-1.sagemaker.aws"
        stub.add_client_error("describe_workteam", "AccessDeniedException", "no right to describe it")
        assert asks._where(team, client).startswith("their worker portal (can't look at the workteam arn:aws:")


def test_a_ticker_says_what_changed_and_now_and_then_that_it_still_waits(capsys: pytest.CaptureFixture[str]) -> None:
    looks = (
        (0, "0 of 3", False),
        (2, "1 of 3", False),  # too soon after the last line
        (9, "1 of 3", False),
        (11, "1 of 3", False),
        (30, "1 of 3", False),  # said already
        (610, "1 of 3", False),
        (611, "1 of 3", False),  # ten minutes are over
        (612, "3 of 3", True),  # the end waits for nothing
        (613, "3 of 3", True),
    )
    ticker = Ticker(clock=iter([moment for moment, _, _ in looks]).__next__)
    for _, text, final in looks:
        ticker.show(text, final=final)
    assert capsys.readouterr().err.splitlines() == ["0 of 3", "1 of 3", "1 of 3", "3 of 3"]


def test_on_a_terminal_one_line_is_redrawn(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    ticker = Ticker(clock=lambda: 0.0)
    ticker.show("0 of 3")
    ticker.show("3 of 3", final=True)
    ticker.end()
    ticker.end()
    assert capsys.readouterr().err == "\r\033[K0 of 3\r\033[K3 of 3\n"
