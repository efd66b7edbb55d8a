"""Names survive: the user's item names through manifest, job, answers, labels, and back to the store."""

import importlib
import io
import json
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from moto import mock_aws
from PIL import Image
from service import TEAM, until
from test_answers_round_trip import POST, PRE, Handler
from test_embedding_models import tiny_onnx
from typer.testing import CliRunner

from gandt import jobs, storage, tables
from gandt.answers import read_answers
from gandt.candidates.seeds import read_seeds
from gandt.cli import app
from gandt.deploy.steps import Steps
from gandt.embedding import EmbeddingStore, embed
from gandt.manifest import build_manifest, check_manifest, combine, items_of, read_labels, read_lines, where_of
from gandt.manifest.lines import NAMES, line_items, line_shown
from gandt.service import builtin, streaming
from gandt.service.engine import LabelingJob
from gandt.service.outputs import WorkerAnswer
from gandt.service.progress import Progress

for room in ("answers", "consensus", "embedding", "job", "manifest", "rounds", "select", "workers"):
    importlib.import_module(f"gandt.cli.{room}")  # registers its commands

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
WORKTEAM = "arn:aws:sagemaker:us-east-1:111122223333:workteam/private-crowd/me"
COLOURS = ("red", "blue")


class Crowd:
    """Workers who say the colour that a picture has."""

    def __init__(self, lines: list[dict[str, Any]], s3: Any) -> None:
        self.lines, self.s3 = lines, s3

    def label(self, pages, workers_per_object):
        for number in pages:
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


def ask(manifest: Path, name: str, s3: Any, **options: Any) -> tuple[str, list[dict[str, Any]], str]:
    """Prepare a job as ``gandt job create`` does, and run it; return its output, its lines, and what pages are of."""
    given = {"pre_lambda": PRE, "post_lambda": POST, **options}
    prepared = jobs.prepare(
        name,
        manifest=str(manifest),
        template="image-grid",
        output="s3://bucket/jobs",
        workteam=WORKTEAM,
        role="arn:aws:iam::111122223333:role/ground-truth",
        sagemaker=None,
        s3=s3,
        workers_per_object=2,
        label_attribute="colour",
        **given,
    )
    prepared.send(s3=s3)
    job = LabelingJob(prepared.request, {PRE: Handler("pre_annotation"), POST: Handler("post_annotation")}, s3)
    told = json.dumps([job.task_input(str(number)) for number in range(len(job.lines))])
    job.run(Crowd(job.lines, s3))
    return f"s3://bucket/jobs/{name}", job.lines, told


NFC, NFD = (unicodedata.normalize(form, "Übung é") for form in ("NFC", "NFD"))
HOSTILE = [
    "IMG_0123", "a b", "100%", "%2e%20", "a#b?c=d&e", "new\nline", "tab\t", "=cmd()", "\u202egpj", NFC, NFD, "日本 🐱",
    '"quoted"', "'", "<b>", "{{ 7 }}", "a,b;c", "\\", "-rf", "s3:", "CON", "..a", " ", "\x1b[31m",
]  # fmt: skip
letters = st.characters(exclude_characters="/\0", exclude_categories=["Cs"])
stems = st.sampled_from(HOSTILE) | st.text(letters, min_size=1, max_size=12)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
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
        output, lines, told = ask(folder / "job.manifest", "Names", s3)
        table, labels = read_answers(output, s3=s3), read_labels(f"{output}/manifests/output/output.manifest", s3=s3)
    assert sorted(zip(table["item"], table["label"], strict=True)) == sorted([*truth.items()] * 2)
    assert sorted(zip(labels["item"], labels["label"], strict=True)) == sorted(truth.items())
    assert len({shown for line in lines for shown in line_shown(line)}) == 2  # each content lies there once
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
    assert named(again) == names and all(line["source-ref"].startswith("s3://") for line in again)
    merged, _ = combine.merge_lines([done, again], into="colour")
    assert named(merged) == names
    # a manifest of the same objects that was written without names meets them by its addresses
    bare = [{key: value for key, value in line.items() if key != NAMES} for line in combine.explode_pages(done)]
    assert named(combine.merge_lines([done, bare], into="colour")[0]) == names
    assert named(combine.merge_lines([bare, done], into="colour")[0]) == names

    asking = [{**line, "labels": list(COLOURS)} for line in again]
    storage.write_text("s3://bucket/again.manifest", "".join(json.dumps(line) + "\n" for line in asking), s3=s3)
    assert sorted(items_of("s3://bucket/again.manifest", s3=s3)) == names
    built = build_manifest(
        items_of("s3://bucket/again.manifest", s3=s3),
        per_page=4, categories=COLOURS, where=where_of("s3://bucket/again.manifest", s3=s3),
    )  # fmt: skip
    built.write("s3://bucket/second.manifest", s3=s3)
    second, _, _ = ask("s3://bucket/second.manifest", "Second", s3)
    assert set(read_answers(second, s3=s3)["item"]) == set(names)
    # a chained job of the same lines, without Lambdas: the old label and the names pass through
    third, _, told = ask("s3://bucket/again.manifest", "Third", s3, pre_lambda=None, post_lambda=None, check=False)
    assert set(read_answers(third, s3=s3)["item"]) == set(names) and str(tmp_path) not in told


def test_pairs_and_gold_are_known_by_name(tmp_path, s3) -> None:
    for number, kind in enumerate(("a", "b", "c")):
        picture(tmp_path / f"{kind}.png", "red", number)
    run = command(tmp_path)
    (tmp_path / "pairs.csv").write_text("left,right\na.png,b.png\nb.png,c.png\n")
    run("manifest", "build", "pairs.csv", "pairs.manifest", "--pairs", "--category", "left", "--category", "right")
    prepared = jobs.prepare(
        "Pairs", manifest=str(tmp_path / "pairs.manifest"), template="pair-better", output="s3://bucket/jobs",
        workteam=WORKTEAM, role="arn:aws:iam::111122223333:role/r", pre_lambda=PRE, sagemaker=None, s3=s3,
    )  # fmt: skip
    prepared.send(s3=s3)
    uri = prepared.request["InputConfig"]["DataSource"]["S3DataSource"]["ManifestS3Uri"]
    lines = list(read_lines(uri, s3=s3))
    assert [line_items(line) for line in lines] == [["a.png b.png"], ["b.png c.png"]]
    for line in lines:
        assert line["source"] == f"{line['left']} {line['right']}" and line["left"].startswith("s3://bucket/jobs/")
        assert "a.png" not in json.dumps(Handler("pre_annotation").invoke({"dataObject": line}))


def test_pairs_of_texts_are_no_images(tmp_path, s3) -> None:
    line = {"source": "one two", "left": "one", "right": "two"}
    (tmp_path / "texts.manifest").write_text(json.dumps(line) + "\n")
    asked = {"workteam": WORKTEAM, "role": "arn:aws:iam::111122223333:role/r", "pre_lambda": PRE, "sagemaker": None}
    where = {"manifest": str(tmp_path / "texts.manifest"), "template": "text", "output": "s3://bucket/jobs"}
    prepared = jobs.prepare("Texts", **where, **asked, s3=s3)
    assert [json.loads(text) for name, text in prepared.files.items() if name.endswith(".manifest")] == [line]


def test_a_streaming_jobs_objects_keep_their_names(live) -> None:
    topic = boto3.client("sns", endpoint_url=live.address + "/sns").create_topic(Name="objects")["TopicArn"]
    storage.write_text("s3://bucket/t.html", "<crowd-form>{{ task.input | to_json }}</crowd-form>", s3=live.s3)
    request = jobs.build_request(
        "Stream", manifest=None, template="s3://bucket/t.html", output="s3://bucket/out", workteam=live.team,
        role="arn:aws:iam::000000000000:role/r", label_attribute="animal", workers_per_object=1,
        settings={"InputConfig": {"DataSource": {"SnsDataSource": {"SnsTopicArn": topic}}}},
    )  # fmt: skip
    live.sagemaker.create_labeling_job(**request)
    worker = live.store.add_worker("Ann", TEAM)
    until(lambda: live.store.job("Stream").status == "InProgress")
    line = {"source-ref": "s3://bucket/0a1b.jpg", NAMES: ["photos/ä.jpg"], streaming.ID_ATTRIBUTE: "id", "id": "7"}
    streaming.publish(live.service, topic, json.dumps(line), "message-1")
    until(lambda: live.service.next(worker, "Stream"))
    lease = live.service.next(worker, "Stream")
    page = live.service.page(lease, lambda uri: uri)
    assert "0a1b" in page and "photos" not in page
    live.service.submit(lease.id, worker, {"label": "cat"}, 1.0)
    output = "s3://bucket/out/Stream"
    until(lambda: b'"animal"' in storage.read_bytes(f"{output}/manifests/output/output.manifest", s3=live.s3))
    assert read_answers(output, s3=live.s3)[["item", "label"]].values.tolist() == [["photos/ä.jpg", "cat"]]


def test_lambdas_keep_names_from_workers() -> None:
    handler = Handler("pre_annotation")
    assert handler.module.NAMES == NAMES
    line = {"source-ref": "s3://bucket/0a1b.jpg", "header": "Which?", NAMES: ["/home/me/a.jpg"]}
    for made in (handler, builtin.PreAnnotation([{"label": "cat"}])):
        told = json.dumps(made.invoke({"dataObject": line}))
        assert "Which?" in told and "/home/me" not in told


@pytest.mark.parametrize("names", [None, [], ["one"], ["1", "2", "3"], ["one", 2], ["one", ""], "one", {"a": 1}])
def test_names_that_dont_fit_a_line_are_refused_and_never_mixed_up(tmp_path, names) -> None:
    line = {
        "source": json.dumps([{"source-ref": "s3://bucket/1.jpg"}, {"source-ref": "s3://bucket/2.jpg"}]),
        NAMES: names,
    }
    assert line_items(line) == ["s3://bucket/1.jpg", "s3://bucket/2.jpg"]
    (tmp_path / "x.manifest").write_text(json.dumps({**line, "labels": ["cat"]}) + "\n")
    problems = check_manifest(str(tmp_path / "x.manifest"))
    assert problems[["severity", "rule"]].values.tolist() == [["error", "names"]]


def test_rounds_on_aws_ask_about_a_manifests_items_by_name(s3) -> None:
    lines = [{"source-ref": f"s3://bucket/{n // 2}.png", NAMES: [f"photos/{n}.png"]} for n in range(6)]  # twins
    storage.write_text("s3://bucket/in.manifest", "".join(json.dumps(line) + "\n" for line in lines), s3=s3)
    steps = Steps("bucket", "arn:aws:iam::111122223333:role/r", PRE, POST, s3=s3)
    given = {"name": "run", "workteam": WORKTEAM, "categories": list(COLOURS), "budget": 100}
    state = steps.take("ask", steps.take("filter", {**given, "items": "s3://bucket/in.manifest"}))
    asked = list(read_lines("s3://bucket/rounds/run/round-1/job.manifest", s3=s3))
    assert state["asked"] == 6
    assert sorted(item for line in asked for item in line_items(line)) == [f"photos/{n}.png" for n in range(6)]
    assert {shown for line in asked for shown in line_shown(line)} == {f"s3://bucket/{n}.png" for n in range(3)}


def test_an_output_manifest_seeds_by_the_names_that_the_store_knows(tmp_path) -> None:
    for kind in COLOURS:
        picture(tmp_path / "photos" / f"{kind}.png", kind)
    store = embed(str(tmp_path / "photos"), str(tmp_path / "store"), model=tiny_onnx(tmp_path / "tiny.onnx"))
    done = {"sort": 0, "sort-metadata": {"class-name": "warm", "type": "groundtruth/image-classification"}}
    names = [str(tmp_path / "photos" / "red.png"), "elsewhere/red.png"]
    lines = [{"source-ref": "s3://bucket/0a1b.png", NAMES: [name], **done} for name in names]
    (tmp_path / "output.manifest").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_seeds([str(tmp_path / "output.manifest")], store) == {"warm": [names[0], "s3://bucket/0a1b.png"]}


def command(folder: Path) -> Callable[..., Any]:
    """Return what runs a command in a folder, and gives what ``--json`` prints."""

    def run(*words: str) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            done = CliRunner().invoke(app, [*words, "--json"])
        assert done.exit_code == 0, (words, done.output, done.exception)
        return json.loads(done.stdout)

    return run


def test_readmes_own_way_speaks_of_the_stores_items_from_end_to_end(live, tmp_path, monkeypatch) -> None:
    """Embed, filter, manifest, job, answers, consensus, select, carry, export, on a running gandt serve."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", live.s3.meta.endpoint_url)
    monkeypatch.setenv("GANDT_ENDPOINT", live.address)
    storage.default_s3.cache_clear()
    live.store.set("address", live.address)
    run = command(tmp_path)
    stems = ["IMG_0123", "a b", "100% #1?", NFC, NFD, 'a,b;"c"', "new\nline"]
    for number, name in enumerate(stems):
        for kind in COLOURS:
            picture(tmp_path / "photos" / kind / f"{name}.png", kind, 5 * number)
    picture(tmp_path / "photos" / "again" / "copy.png", "red", 5)  # of red/"a b"
    for kind in COLOURS:
        for number in (2, 3):
            picture(tmp_path / "examples" / kind / f"{number}.png", kind, number)
    model = tiny_onnx(tmp_path / "tiny.onnx")
    run("embed", "photos", "store", "--model", model)
    run("embed", "examples", "store", "--model", model)
    run("filter", "store", "--seeds", "examples", "--out", "candidates.csv")
    categories = ["--category", "red", "--category", "blue", "--other", "None of these"]
    run("manifest", "build", "candidates.csv", "job.manifest", "--per-page", "4", *categories)
    asked = items_of(str(tmp_path / "candidates.csv"))
    assert len(asked) >= len(stems) and set(asked) <= set(EmbeddingStore.open(str(tmp_path / "store")).items["item"])
    for name in ("Ann", "Ben"):
        run("workers", "invite", name, "--workteam", TEAM, "--state", str(live.state))
    where = ["--template", "image-grid", "--output", "s3://photos/jobs", "--workers", "2"]
    run("job", "create", "my-job", "--manifest", "job.manifest", *where)
    until(lambda: live.store.states("my-job").get("open"))

    def work() -> bool:
        for worker in live.store.workers(TEAM):
            while (lease := live.service.next(worker.id, "my-job")) is not None:
                task = live.store.task(lease)
                assert str(tmp_path) not in json.dumps(task) + live.service.page(lease, lambda uri: uri)
                form = {
                    f"labels-{each['index']}": json.dumps([colour(each["source-ref"], live.s3)])
                    for each in task["items"]
                }
                live.service.submit(lease.id, worker.id, form, 2.0)
        return bool(live.store.job("my-job").ended)

    until(work)
    run("job", "wait", "my-job")
    run("answers", "s3://photos/jobs/my-job", "--out", "answers.csv")
    run("consensus", "answers.csv", "--out", "labels.csv")
    run("manifest", "labels", "s3://photos/jobs/my-job/manifests/output/output.manifest", "--out", "read.csv")
    for name in ("answers", "labels", "read"):
        assert set(tables.read_table(str(tmp_path / f"{name}.csv"))["item"]) == set(asked), name
    labels = tables.read_table(str(tmp_path / "labels.csv"))
    for row in labels.to_dict("records"):
        assert row["label"] == ("blue" if "/blue/" in row["item"] else "red")

    chosen = run("select", "store", "--labels", "labels.csv", "-n", "2")["chosen"]
    assert not {row["item"] for row in chosen} & set(asked)
    copy = str(tmp_path / "photos" / "again" / "copy.png")
    tables.write_table(labels[labels["item"] != copy], str(tmp_path / "fewer.csv"))
    assert run("carry", "store", "fewer.csv", "--out", "carried.csv")["carried over"] >= 1
    carried = tables.read_table(str(tmp_path / "carried.csv")).set_index("item")
    assert carried.loc[copy, "carried_from"] == str(tmp_path / "photos" / "red" / "a b.png")
    run("export", "labels.csv", "exported.csv", "--as", "table")
    assert set(tables.read_table(str(tmp_path / "exported.csv"))["item"]) == set(asked)
    output = "s3://photos/jobs/my-job/manifests/output/output.manifest"
    done = run("export", "labels.csv", "local.manifest", "--as", "manifest", "--status", "confident,relabel")
    assert any("are local files, where no SageMaker job finds them" in said for said in done["notes"])
    done = run(
        "export",
        "labels.csv",
        "there.manifest",
        "--as",
        "manifest",
        "--status",
        "confident,relabel",
        "--uploaded",
        output,
    )
    assert not any("are local files" in said for said in done["notes"])
    for line in map(json.loads, (tmp_path / "there.manifest").read_text().splitlines()):
        assert line["source-ref"].startswith("s3://photos/") and line["gandt-items"][0] in asked
        assert ("blue" in line["gandt-items"][0]) == (line["label-metadata"]["class-name"] == "blue")
    read_again = run("manifest", "labels", "there.manifest", "--out", "there.csv")
    assert read_again is not None
    assert set(tables.read_table(str(tmp_path / "there.csv"))["item"]) == set(asked)
    run("export", "labels.csv", "folders", "--as", "folders", "--status", "confident,relabel")
    files = [path.name for path in (tmp_path / "folders").rglob("*.png")]
    assert len(files) == len(asked) and {"IMG_0123.png", "a b.png"} <= set(files)
    # the owner's page knows gold by the same names
    gold = [{"data_object": "0", "item": line_items(live.store.lines("my-job")[0])[0], "label": "red"}]
    assert Progress(live.store).set_gold(live.store.job("my-job"), gold, 0) == 1
