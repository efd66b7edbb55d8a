"""Names survive: the user's item names through manifest, job, answers, labels, and back to the store."""

import base64
import io
import json
import sys
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from moto import mock_aws
from PIL import Image
from service import invite, running, until
from test_answers_round_trip import POST, PRE, Handler
from test_embedding_models import tiny_onnx
from typer.testing import CliRunner

from gandt import jobs, storage, tables, templates
from gandt.answers import read_answers, read_output
from gandt.cli import answers as _answers, app  # noqa: F401  (registers them, as do those below)
from gandt.cli import consensus as _consensus, embedding as _embedding, job as _job, manifest as _manifest  # noqa: F401
from gandt.cli import rounds as _rounds, select as _select  # noqa: F401
from gandt.manifest import build_manifest, check_manifest, combine, items_of, read_labels, read_lines, where_of
from gandt.manifest.lines import NAMES, line_items, line_shown
from gandt.service import streaming
from gandt.service.engine import LabelingJob
from gandt.service.outputs import WorkerAnswer

ROOT = Path(__file__).parents[1]
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TEAM = "arn:aws:sagemaker:us-east-1:111122223333:workteam/private-crowd/me"
COLOURS = ("red", "blue")


class Crowd:
    """A worker who says the colour that a picture has; pages are kept in ``seen``."""

    def __init__(self, lines: list[dict[str, Any]], s3: Any) -> None:
        self.lines, self.s3, self.seen = lines, s3, []

    def label(self, pages, workers_per_object):
        for number, html in pages.items():
            self.seen.append(html)
            line = self.lines[int(number)]
            entries = json.loads(line["source"]) if "source" in line else [{**line, "index": 0}]
            form = {f"labels-{each['index']}": json.dumps([colour(each["source-ref"], self.s3)]) for each in entries}
            for worker in range(workers_per_object):
                yield number, WorkerAnswer(f"private.us-east-1.{worker:016x}", form, NOON, NOON, 2.0)


def colour(uri: str, s3: Any) -> str:
    red, _, blue = Image.open(io.BytesIO(storage.read_bytes(uri, s3=s3))).convert("RGB").getpixel((0, 0))
    return "red" if red > blue else "blue"


def picture(path: Path, name: str, shade: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (255 - shade, 0, 0) if name == "red" else (0, 0, 255 - shade)).save(path, "PNG")


def ask(manifest: Path, name: str, s3: Any, **options: Any) -> tuple[str, list[dict[str, Any]], Crowd]:
    """Prepare a job as ``gandt job create`` does, and run it; return its output, its lines and its crowd."""
    given = {"pre_lambda": PRE, "post_lambda": POST, **options}
    prepared = jobs.prepare(
        name,
        manifest=str(manifest),
        template="image-grid",
        output="s3://bucket/jobs",
        workteam=TEAM,
        role="arn:aws:iam::111122223333:role/ground-truth",
        sagemaker=None,
        s3=s3,
        workers_per_object=2,
        label_attribute="colour",
        **given,
    )
    prepared.send(s3=s3)
    lines = list(read_lines(prepared.request["InputConfig"]["DataSource"]["S3DataSource"]["ManifestS3Uri"], s3=s3))
    crowd = Crowd(lines, s3)
    LabelingJob(prepared.request, {PRE: Handler("pre_annotation"), POST: Handler("post_annotation")}, s3).run(crowd)
    return f"s3://bucket/jobs/{name}", lines, crowd


NFC, NFD = (unicodedata.normalize(form, "Übung é") for form in ("NFC", "NFD"))
HOSTILE = [
    "IMG_0123", "a b", "100%", "%2e%20", "a#b?c=d&e", "new\nline", "tab\t", "=cmd()", "\u202egpj", NFC, NFD, "日本 🐱",
    '"quoted"', "'", "<b>", "{{ 7 }}", "a,b;c", "\\", "-rf", "s3:", "CON", "..a", " ", "\x1b[31m",
]  # fmt: skip
letters = st.characters(exclude_characters="/\0", exclude_categories=["Cs"])
stems = st.sampled_from(HOSTILE) | st.text(letters, min_size=1, max_size=12)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    names=st.lists(stems, min_size=1, max_size=4, unique=True),
    per_page=st.sampled_from([1, 3]),
    written=st.sampled_from(["absolute", "relative", "file://"]),
)
@example(names=HOSTILE[:12], per_page=5, written="absolute")
@example(names=HOSTILE[12:], per_page=1, written="relative")
@example(names=HOSTILE[:12], per_page=1, written="file://")
def test_any_file_name_comes_back_from_the_job(tmp_path_factory, names, per_page, written) -> None:
    """Two folders with equal file names, in which every picture stands twice: four items for each content and more."""
    folder = tmp_path_factory.mktemp("names")
    files = [folder / "photos" / kind / f"{name}.png" for kind in COLOURS for name in names]
    for file in files:
        picture(file, file.parent.name)
    spell = {
        "absolute": str,
        "relative": lambda file: str(file.relative_to(folder)),
        "file://": lambda f: f"file://{f}",
    }
    truth = {spell[written](file): file.parent.name for file in files}
    build_manifest(list(truth), per_page=per_page, categories=COLOURS).write(str(folder / "job.manifest"))
    with mock_aws():
        storage.default_s3.cache_clear()
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="bucket")
        output, lines, crowd = ask(folder / "job.manifest", "Names", s3)
        table, labels = read_answers(output, s3=s3), read_labels(f"{output}/manifests/output/output.manifest", s3=s3)
    assert sorted(zip(table["item"], table["label"], strict=True)) == sorted([*truth.items()] * 2)
    assert sorted(zip(labels["item"], labels["label"], strict=True)) == sorted(truth.items())
    assert len({shown for line in lines for shown in line_shown(line)}) == 2  # each content lies there once
    told = "\n".join(crowd.seen)
    assert str(folder) not in told and "photos/" not in told  # workers see no path


def test_file_addresses_may_be_escaped(tmp_path, s3) -> None:
    picture(tmp_path / "a b ü%.png", "red")
    item = (tmp_path / "a b ü%.png").as_uri()
    assert "%20" in item
    build_manifest([item], categories=COLOURS).write(str(tmp_path / "job.manifest"))
    output, _, _ = ask(tmp_path / "job.manifest", "Escaped", s3)
    assert set(read_answers(output, s3=s3)["item"]) == {item}


@pytest.mark.parametrize("per_page", [1, 3])
def test_names_stay_through_every_command_on_manifests(tmp_path, s3, per_page) -> None:
    """Checked, split, joined, chained into the next job, merged, built anew: the names go along."""
    files = [tmp_path / kind / f"{name}.png" for kind in COLOURS for name in ("1", "2", "3")]
    for number, file in enumerate(files):
        picture(file, file.parent.name, number)
    names = sorted(map(str, files))
    build_manifest(names, per_page=per_page, categories=COLOURS).write(str(tmp_path / "job.manifest"))
    output, lines, _ = ask(tmp_path / "job.manifest", "First", s3)
    where = f"{output}/manifests/output/output.manifest"
    assert check_manifest(where, s3=s3)["severity"].eq("error").sum() == 0
    done = list(read_lines(where, s3=s3))

    def named(*parts: Any) -> list[str]:
        return sorted(item for part in parts for line in part for item in line_items(line))

    assert named(*combine.split_share(done, 0.5)) == named(combine.explode_pages(done)) == names
    assert named(combine.join_lines(done, lines)) == names
    again = combine.chain_lines(done, "colour", min_confidence=1.1, new_attribute="colour-2")
    assert named(again) == names and all(
        set(line_shown(line)) < set(line_shown(done[0]) * 9 + [*addresses(done)]) for line in again
    )
    merged, _ = combine.merge_lines([done, again], into="colour")
    assert named(merged) == names
    # a manifest of the same objects that was written without names meets them by its addresses
    bare = [{key: value for key, value in line.items() if key != NAMES} for line in combine.explode_pages(done)]
    assert named(combine.merge_lines([done, bare], into="colour")[0]) == names
    assert named(combine.merge_lines([bare, done], into="colour")[0]) == names

    storage.write_text("s3://bucket/again.manifest", "".join(json.dumps(line) + "\n" for line in again), s3=s3)
    assert sorted(items_of("s3://bucket/again.manifest", s3=s3)) == names
    built = build_manifest(
        items_of("s3://bucket/again.manifest", s3=s3),
        per_page=4, categories=COLOURS, where=where_of("s3://bucket/again.manifest", s3=s3),
    )  # fmt: skip
    built.write("s3://bucket/second.manifest", s3=s3)
    second, _, _ = ask("s3://bucket/second.manifest", "Second", s3)
    assert set(read_answers(second, s3=s3)["item"]) == set(names)
    # a chained job of the same lines, without Lambdas: the old label and the names pass through
    third, _, crowd = ask("s3://bucket/again.manifest", "Third", s3, pre_lambda=None, post_lambda=None, check=False)
    assert set(read_answers(third, s3=s3)["item"]) == set(names)


def addresses(lines: list[dict[str, Any]]) -> set[str]:
    return {shown for line in lines for shown in line_shown(line)}
