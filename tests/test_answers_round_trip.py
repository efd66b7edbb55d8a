"""From manifests through jobs (gandt's engine, both real Lambdas) back to answers and labels, and into the next job."""

import importlib.util
import json
import random
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import gandt
from gandt import storage
from gandt.answers import read_output
from gandt.jobs import build_request
from gandt.manifest import Manifest, build_manifest, check_manifest, combine, read_labels, read_lines
from gandt.service.engine import LabelingJob
from gandt.service.outputs import WorkerAnswer

PRE, POST = ("arn:aws:lambda:us-east-1:111122223333:function:LabelingFunction-" + kind for kind in ("pre", "post"))
CATEGORIES = ("cat", "dog", "bird")
NONE = "None of these"
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Handler:
    """A Lambda's handler, called in this process."""

    def __init__(self, folder: str) -> None:
        path = Path(__file__).parents[1] / "lambdas" / folder
        sys.path.insert(0, str(path))
        try:
            spec = importlib.util.spec_from_file_location(f"{folder}_round_trip", path / "handler.py")
            self.module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(self.module)
        finally:
            sys.path.remove(str(path))
            sys.modules.pop("consolidation", None)

    def invoke(self, event: Any) -> Any:
        return json.loads(json.dumps(self.module.lambda_handler(json.loads(json.dumps(event)), None)))


class Crowd:
    """Workers who see the rendered page's items and err now and then; what they said is kept in ``said``."""

    def __init__(self, lines: list[dict[str, Any]], truth: Mapping[str, str], skill: float, seed: int) -> None:
        self.lines, self.truth, self.skill = lines, truth, skill
        self.random = random.Random(seed)
        self.said: set[tuple[str, str, str]] = set()

    def label(self, pages: Mapping[str, str], workers_per_object: int) -> Iterator[tuple[str, WorkerAnswer]]:
        for number, html in pages.items():
            line = self.lines[int(number)]
            entries = json.loads(line["source"]) if "source" in line else [{**line, "index": 0}]
            assert all(entry["source-ref"].split("/")[-1] in html for entry in entries)
            for place in range(workers_per_object):
                worker = f"private.us-east-1.{place:016x}"
                form = {}
                for entry in entries:
                    right = self.truth[entry["source-ref"]]
                    label = right if self.random.random() < self.skill else self.random.choice((*CATEGORIES, NONE))
                    form[f"labels-{entry['index']}"] = json.dumps([label])
                    self.said.add((entry["source-ref"], worker, label))
                at = NOON + timedelta(seconds=60 * place)
                yield number, WorkerAnswer(worker, form, at, at + timedelta(seconds=30), 21.5)


def run(
    s3, name: str, lines: list[dict[str, Any]], truth, *, skill=1.0, attribute="animal", post=True, seed=0
) -> tuple[Crowd, str]:
    uri = f"s3://bucket/{name}.manifest"
    Manifest(lines).write(uri, s3=s3)
    problems = check_manifest(uri, s3=s3, label_attribute=attribute)
    assert not (problems["severity"] == "error").any()
    template = Path(__file__).parents[1] / "templates" / "image-grid.liquid.html"
    storage.write_text("s3://bucket/t.liquid.html", template.read_text(), s3=s3)
    request = build_request(
        name,
        manifest=uri,
        template="s3://bucket/t.liquid.html",
        output="s3://bucket/out",
        workteam="arn:aws:sagemaker:us-east-1:111122223333:workteam/private-crowd/me",
        role="arn:aws:iam::111122223333:role/ground-truth",
        pre_lambda=PRE,
        post_lambda=POST if post else None,
        label_attribute=attribute,
        workers_per_object=3,
    )
    crowd = Crowd(lines, truth, skill, seed)
    LabelingJob(request, {PRE: Handler("pre_annotation"), POST: Handler("post_annotation")}, s3).run(crowd)
    return crowd, f"s3://bucket/out/{name}"


@pytest.fixture
def truth() -> dict[str, str]:
    return {f"s3://bucket/pool/{n:02}.jpg": (*CATEGORIES, NONE)[n % 4] for n in range(30)}


@pytest.mark.parametrize("per_page", [1, 4])
@pytest.mark.parametrize("post", [True, False])
def test_what_workers_say_comes_back_word_for_word(s3, truth, per_page, post) -> None:
    manifest = build_manifest(list(truth), per_page=per_page, categories=CATEGORIES, other=NONE)
    crowd, output = run(s3, "Pick-Animals", manifest.lines, truth, skill=0.8, post=post)
    read = read_output(output, s3=s3)
    table = read.answers
    assert set(table[["item", "worker", "label"]].itertuples(index=False, name=None)) == crowd.said
    assert len(table) == 3 * len(truth) == len(crowd.said) and read.set_aside.empty
    assert set(read.items["item"]) == set(truth)
    assert (table["seconds"] == 21.5).all() and (table["submitted_at"] - table["accepted_at"]).dt.seconds.eq(30).all()
    labels = read_labels(f"{output}/manifests/output/output.manifest", s3=s3)
    if not post:
        assert labels["reason"].str.contains("worker-response").all()
        return
    ours = gandt.consolidate(table, method="majority").labels.set_index("item")
    theirs = labels.set_index("item")["label"]
    clear = ours.index[ours["votes"] >= 2]
    assert len(labels) == len(truth) and len(clear) > 20 and (theirs[clear] == ours["label"][clear]).all()


def test_uncertain_items_go_round_again_and_come_back_merged(s3, truth) -> None:
    first = build_manifest(list(truth), per_page=4, categories=CATEGORIES, other=NONE)
    _, output = run(s3, "one", first.lines, truth, skill=0.5, seed=3)
    lines = list(read_lines(f"{output}/manifests/output/output.manifest", s3=s3))
    left = combine.chain_lines(lines, "animal", min_confidence=0.8, new_attribute="animal-2")
    asked = [line["source-ref"] for line in left]
    assert 0 < len(asked) < len(truth)
    again = build_manifest(asked, per_page=5, categories=CATEGORIES, other=NONE)
    _, second = run(s3, "two", again.lines, truth, attribute="animal-2")
    outputs = [read_lines(f"{place}/manifests/output/output.manifest", s3=s3) for place in (output, second)]
    merged, conflicts = combine.merge_lines(outputs, prefer="confidence", into="animal")
    got = {line["source-ref"]: line["animal"]["label"] for line in merged}
    assert set(got) == set(truth) and all(got[item] == truth[item] for item in asked)
    assert set(conflicts["item"]) <= set(asked) and len(conflicts)
    both = read_output("s3://bucket/out", s3=s3).answers
    assert both.groupby("job")["item"].nunique().to_dict() == {"one": len(truth), "two": len(asked)}


def test_resuming_asks_only_what_lost_its_label(s3, truth) -> None:
    single = build_manifest(list(truth), categories=CATEGORIES, other=NONE)
    _, output = run(s3, "one", single.lines, truth, skill=0.5, seed=3)
    lines = list(read_lines(f"{output}/manifests/output/output.manifest", s3=s3))
    left = combine.chain_lines(lines, "animal", min_confidence=0.8)
    crowd, second = run(s3, "resumed", left, truth)
    asked = {item for item, _, _ in crowd.said}
    assert asked == {line["source-ref"] for line in left if "animal" not in line} and 0 < len(asked) < len(truth)
    # the labels that passed through carry the first job's answers, which aren't this job's
    assert set(read_output(second, s3=s3).answers["item"]) == asked
    labels = read_labels(f"{second}/manifests/output/output.manifest", s3=s3)
    assert len(labels) == len(truth) and set(labels["job"]) == {"one", "resumed"}
