"""Questions that nobody can answer: each bad input is refused at each place that could let it in."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from service import MEMBERS, create, running, until
from typer.testing import CliRunner

from gandt import categories, jobs, storage, templates
from gandt.cli import app
from gandt.cli import job as _job  # noqa: F401  (registers it)
from gandt.cli import manifest as _manifest  # noqa: F401
from gandt.cli import template as _template  # noqa: F401
from gandt.deploy.steps import Round
from gandt.errors import ContractError, GandtError, InputError
from gandt.manifest import build_manifest, build_pairs, check_manifest
from gandt.manifest.questions import gold_labels
from gandt.rounds.config import parse_config
from gandt.service import streaming

TEMPLATE = """<script src="https://assets.crowd.aws/crowd-html-elements.js"></script>
<crowd-form><crowd-input name="label" label="{{ task.input.labels }}"></crowd-input></crowd-form>"""
IMAGE = "s3://bucket/there.jpg"


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        with running(str(tmp_path_factory.mktemp("state"))) as served:
            served.team = served.sagemaker.create_workteam(
                WorkteamName="Friends", MemberDefinitions=MEMBERS, Description="those we know"
            )["WorkteamArn"]
            served.worker = served.store.add_worker("Ann", "Friends")
            storage.write_bytes(IMAGE, b"x", s3=served.s3)
            yield served


@pytest.fixture
def world(live, tmp_path: Path, request, monkeypatch):
    """What a place needs: the service, a folder, and a name of its own for the job."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", live.s3.meta.endpoint_url)
    storage.default_s3.cache_clear()
    name = f"q-{abs(hash(request.node.name)) % 10**9}"
    yield SimpleNamespace(live=live, folder=tmp_path, name=name)
    storage.use(storage.Access())
    storage.default_s3.cache_clear()


def refused(act: Callable[[], Any]) -> str:
    """Return the sentence by which something is refused, "" where it is taken."""
    try:
        act()
    except GandtError as error:
        return str(error)
    except ClientError as error:
        assert error.response["Error"]["Code"] == "ValidationException"
        return str(error.response["Error"]["Message"])
    return ""


def command(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert isinstance(done.exception, GandtError | SystemExit | None)
    return "" if done.exit_code == 0 else f"{done.stdout} {done.stderr} {done.exception}"


def errors(table: pd.DataFrame) -> str:
    return "; ".join(table.loc[table["severity"] == "error", "problem"])


def written(world: Any, *lines: dict[str, Any], uri: str = "") -> str:
    place = uri or str(world.folder / "a.manifest")
    storage.write_text(place, "".join(json.dumps(line) + "\n" for line in lines), s3=world.live.s3)
    return place


def prepared(world: Any, manifest: str, template: str = "", **options: Any) -> jobs.Prepared:
    (world.folder / "t.liquid.html").write_text(TEMPLATE)
    return jobs.prepare(
        world.name,
        manifest=manifest,
        template=template or str(world.folder / "t.liquid.html"),
        output="s3://bucket/jobs",
        workteam="Friends",
        local=True,
        sagemaker=world.live.sagemaker,
        s3=world.live.s3,
        **options,
    )


def at_service(world: Any, *lines: dict[str, Any], **options: Any) -> None:
    create(world.live, world.name, TEMPLATE, list(lines), wait=False, **options)


# ------------------------------------------------------------------ categories

BAD = [
    pytest.param(["cat", "cat"], None, "'cat' is given twice", id="doubled"),
    pytest.param(["cat", "dog", "cat", "cat"], None, "'cat' is given 3 times", id="three times"),
    pytest.param(["cat", " cat\n"], None, "'cat' is given twice (written", id="doubled but for white space"),
    pytest.param(["caf\u00e9", "cafe\u0301"], None, "is given twice (written", id="doubled in another Unicode form"),
    pytest.param(["cat", ""], None, "the category '' is empty", id="empty"),
    pytest.param(["cat", " \t"], None, "is empty", id="white space"),
    pytest.param(["cat", "\u200b"], None, "is empty", id="nothing to be seen"),
    pytest.param(["cat", "none"], "none", "'none' is also the name of \"none of these\"", id="as other"),
    pytest.param(["cat", "none"], " none ", "'none' is also the name of", id="as other but for white space"),
]
GOOD = [
    pytest.param(["cat", "dog"], "none", id="plain"),
    pytest.param(["cat", "Cat"], None, id="case"),
    pytest.param([" cat", "dog"], "neither", id="white space around"),
]


def line_of(names: list[str], other: str | None) -> dict[str, Any]:
    return {"source-ref": IMAGE, "labels": names, **({"other": other} if other else {})}


def page_of(names: list[str], other: str | None) -> dict[str, Any]:
    head = {"source-ref": IMAGE, "event_names": names, "other_category_label": other}
    return {"source": json.dumps([head, {"source-ref": "s3://bucket/2.jpg"}])}


def in_build(world: Any, names: list[str], other: str | None) -> str:
    return refused(lambda: build_manifest([IMAGE], categories=names, other=other))


def in_build_command(world: Any, names: list[str], other: str | None) -> str:
    (world.folder / "items.txt").write_text(IMAGE)
    words = [word for name in names for word in ("--category", name)] + (["--other", other] if other else [])
    return command("manifest", "build", world.folder / "items.txt", world.folder / "out.manifest", *words)


def in_check(world: Any, names: list[str], other: str | None) -> str:
    return errors(check_manifest(written(world, {"source-ref": IMAGE}, line_of(names, other))))


def in_check_of_pages(world: Any, names: list[str], other: str | None) -> str:
    return errors(check_manifest(written(world, page_of(names, other))))


def in_job_create(world: Any, names: list[str], other: str | None) -> str:
    return refused(lambda: prepared(world, written(world, line_of(names, other))))


def in_job_create_by_request(world: Any, names: list[str], other: str | None) -> str:
    manifest = written(world, line_of(names, other), uri=f"s3://bucket/{world.name}.manifest")
    request = prepared(world, manifest, check=False)
    request.send(s3=world.live.s3)
    (world.folder / "request.json").write_text(json.dumps(request.request))
    where = ("--endpoint", world.live.address)
    return command("job", "create", "--request", world.folder / "request.json", *where)


def in_template_check(world: Any, names: list[str], other: str | None) -> str:
    inputs = templates.manifest_inputs(written(world, line_of(names, other)))
    found = templates.check(templates.read("image-single"), inputs=inputs)
    return "; ".join(problem.message for problem in found if problem.level == "error")


def in_service(world: Any, names: list[str], other: str | None) -> str:
    return refused(lambda: at_service(world, {"source-ref": IMAGE}, page_of(names, other)))


def in_streaming(world: Any, names: list[str], other: str | None) -> str:
    return refused(lambda: streaming.check_line(line_of(names, other), "label"))


def in_rounds_on_aws(world: Any, names: list[str], other: str | None) -> str:
    given_ = {"name": "r", "workteam": "w", "budget": 9, "items": "s3://b/i.csv", "categories": names}
    return refused(lambda: Round.read(given_ | ({"other": other} if other else {})))


WITH_OTHER = [
    *(in_build, in_build_command, in_check, in_check_of_pages, in_job_create, in_job_create_by_request),
    *(in_template_check, in_service, in_streaming, in_rounds_on_aws),
]


@pytest.mark.parametrize("place", WITH_OTHER, ids=lambda place: place.__name__)
@pytest.mark.parametrize(("names", "other", "words"), BAD)
def test_bad_categories_are_refused_everywhere(world, place, names, other, words) -> None:
    assert words in place(world, names, other)


@pytest.mark.parametrize("place", WITH_OTHER, ids=lambda place: place.__name__)
@pytest.mark.parametrize(("names", "other"), GOOD)
def test_good_categories_are_taken_everywhere(world, place, names, other) -> None:
    assert place(world, names, other) == ""


def category_file(world: Any, names: list[str], uri: str = "") -> str:
    place = uri or str(world.folder / "labels.json")
    storage.write_text(place, json.dumps({"labels": [{"label": name} for name in names]}), s3=world.live.s3)
    return place


def in_category_option(world: Any, names: list[str]) -> str:
    return refused(lambda: prepared(world, written(world, {"source-ref": IMAGE}), categories=names))


def in_category_file(world: Any, names: list[str]) -> str:
    file = category_file(world, names)
    return refused(lambda: prepared(world, written(world, {"source-ref": IMAGE}), categories=file))


def in_category_file_at_service(world: Any, names: list[str]) -> str:
    file = category_file(world, names, f"s3://bucket/{world.name}.json")
    return refused(lambda: at_service(world, {"source-ref": IMAGE}, categories=file))


def in_run(world: Any, names: list[str]) -> str:
    return refused(lambda: parse_config(f"store: s\nrun: r\nclasses: {json.dumps(names)}\n"))


@pytest.mark.parametrize(
    "place",
    [in_category_option, in_category_file, in_category_file_at_service, in_run],
    ids=lambda place: place.__name__,
)
@pytest.mark.parametrize(
    ("names", "words"), [pytest.param(*(case.values[0], case.values[2]), id=case.id) for case in BAD[:7]]
)
def test_bad_categories_without_other_are_refused_too(world, place, names, words) -> None:
    assert words in place(world, names)
    assert place(world, ["cat", "dog"]) == ""


def test_case_alone_is_a_warning(world) -> None:
    place = written(world, line_of(["cat", "Cat"], None))
    table = check_manifest(place)
    assert table["severity"].tolist() == ["warning"] and "differ in case only" in table["problem"][0]
    assert any("differ in case only" in each for each in prepared(world, place).warnings)


def test_a_fault_of_all_lines_is_told_once(world) -> None:
    table = check_manifest(
        written(world, *({"source-ref": f"s3://bucket/{n}.jpg", "labels": ["a", "a"]} for n in range(9)))
    )
    assert table[["line", "rule"]].values.tolist() == [[1, "categories"]]


@given(st.lists(st.text(max_size=3), max_size=5), st.none() | st.text(max_size=3))
def test_what_build_writes_passes_check_and_what_it_refuses_does_not(names: list[str], other: str | None) -> None:
    wrong = [sentence for severity, sentence in categories.problems(names, other) if severity == "error"]
    seen = [categories.tidy(name) for name in [*names, *([] if other is None else [other])]]
    assert bool(wrong) >= (len(set(seen)) < len(seen) or "" in seen)  # at least these
    try:
        made = build_manifest([IMAGE], categories=names, other=other)
    except InputError as error:
        assert wrong and wrong[0] in str(error)
        return
    assert not wrong
    line = made.lines[0]
    kept = [*line.get("labels", []), *([line["other"]] if "other" in line else [])]
    assert kept == seen and len(set(kept)) == len(kept)
    assert not [each for each in categories.problems(line.get("labels", []), line.get("other")) if each[0] == "error"]


def test_a_template_that_needs_categories_gets_some(world) -> None:
    """At the service the job fails before anybody is asked; job create says so before."""
    bare = written(world, {"source-ref": IMAGE})
    told = prepared(world, bare, template="image-single").warnings
    assert any("no task.input.labels" in each and "LABELS" in each for each in told)
    assert "--pre" in refused(lambda: prepared(world, bare, str(copied(world)), pre_lambda=None))
    pre = "arn:aws:lambda:us-east-1:000000000000:function:gandt-LabelingFunction-pre"
    create(world.live, world.name, templates.read("image-single"), [{"source-ref": IMAGE}], wait=False, pre_lambda=pre)
    until(lambda: world.live.store.job(world.name).ended)
    job = world.live.store.job(world.name)
    assert job.status == "Failed" and "brings no category" in job.reason
    assert world.live.service.next(world.live.worker, world.name) is None


def copied(world: Any) -> Path:
    place = world.folder / "copied.liquid.html"
    place.write_text(templates.read("image-single"))
    return place


def test_awss_own_functions_need_a_category_file(world) -> None:
    pre = "arn:aws:lambda:us-east-1:432418664414:function:PRE-ImageMultiClass"
    post = pre.replace("PRE-", "ACS-")
    words = refused(lambda: at_service(world, {"source-ref": IMAGE}, pre_lambda=pre, post_lambda=post))
    assert "needs label categories" in words and world.live.store.job(world.name) is None


# ------------------------------------------------------------------ gold


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("a", "cat"), ("a", "dog")], "row 2: a stands in row 1 already; as 'cat' and as 'dog': keep the right one"),
        ([("a", "cat"), ("b", "cat"), ("a", " cat")], "row 3: a stands in row 1 already; keep one"),
        ([("a", "cat"), ("b", "")], "row 2.* has no (item|label)"),
        ([("a", "cat"), ("b", None)], "row 2.* has no (item|label)"),
        ([(" ", "cat")], "row 1.* has no (item|label)"),
        ([("a", "cow")], "the label 'cow', which is none of 'cat', 'dog', 'none'"),
        ([("a", "Cat")], "the label 'Cat', which is none of"),
    ],
)
def test_bad_gold_is_refused(tmp_path: Path, rows, words) -> None:
    rows = [(f"s3://b/{item}.jpg" if item.strip() else item, label) for item, label in rows]
    words = words.replace(": a stands", ": s3://b/a.jpg stands")
    gold = pd.DataFrame(rows, columns=["item", "label"])
    options: dict[str, Any] = {"categories": ["cat", "dog"], "other": "none", "gold_rate": 0.5}
    items = ["s3://b/1.jpg", "s3://b/2.jpg"]
    with pytest.raises(InputError) as error:
        build_manifest(items, gold=gold_labels(gold), **options)
    assert re.search(words, str(error.value))

    gold.to_csv(tmp_path / "gold.csv", index=False)
    (tmp_path / "items.txt").write_text("\n".join(items))
    named = ["--category", "cat", "--category", "dog", "--other", "none", "--gold-rate", ".5"]
    record = ["--gold", tmp_path / "gold.csv", "--gold-record", tmp_path / "record.csv"]
    told = command("manifest", "build", tmp_path / "items.txt", tmp_path / "out.manifest", *named, *record)
    assert re.search(words, told)
    assert not (tmp_path / "out.manifest").exists()


def test_gold_of_pairs_is_held_to_the_same(tmp_path: Path) -> None:
    pairs = pd.DataFrame({"left": ["s3://b/1.jpg"], "right": ["s3://b/2.jpg"]})
    twice = pd.DataFrame([["s3://b/3.jpg", "s3://b/4.jpg", label] for label in ("Same", "Not the same")])
    twice.columns = pd.Index(["left", "right", "label"])
    with pytest.raises(InputError, match=r"row 2: .* stands in row 1 already"):
        build_pairs(pairs, gold=twice, gold_rate=0.5)
    with pytest.raises(InputError, match="is none of 'yes', 'no'"):
        build_pairs(pairs, gold=twice.head(1), gold_rate=0.5, categories=["yes", "no"])


def test_good_gold_is_taken_trimmed() -> None:
    gold = gold_labels(pd.DataFrame({"item": ["s3://b/1.jpg", "s3://b/2.jpg"], "label": ["cat ", "none"]}))
    made = build_manifest(["s3://b/3.jpg", "s3://b/4.jpg"], categories=["cat"], other="none", gold=gold, gold_rate=0.5)
    assert set(made.gold["label"]) == {"cat", "none"}
    # without categories (the Lambda's LABELS, or a template's own) any label may be right
    assert len(build_manifest(["s3://b/3.jpg"], gold={"s3://b/1.jpg": "yes"}, gold_rate=0.5).gold) == 1


# ------------------------------------------------------------------ examples


@pytest.mark.parametrize("option", ["positive", "negative"])
@pytest.mark.parametrize("example", ["nope.jpg", "/nowhere/nope.jpg", "file:///nowhere/nope.jpg"])
def test_an_example_that_is_no_file_is_refused(world, option, example) -> None:
    key = f"{option}_examples"
    line = {"source-ref": IMAGE, "labels": ["a", "b"], key: [example]}
    page = {"source": json.dumps([{"source-ref": IMAGE, "event_names": ["a"], key: [example]}])}
    on_s3 = written(world, line, uri=f"s3://bucket/{world.name}.manifest")
    (world.folder / "items.txt").write_text(IMAGE)
    made = world.folder / "out.manifest"
    for told in (
        refused(lambda: build_manifest([IMAGE], **{key: [example]})),
        refused(lambda: build_pairs(pd.DataFrame({"left": ["s3://b/1"], "right": ["s3://b/2"]}), **{key: [example]})),
        command("manifest", "build", world.folder / "items.txt", made, f"--{option}", example),
        errors(check_manifest(written(world, line))),
        errors(check_manifest(written(world, page))),
        errors(check_manifest(on_s3, s3=world.live.s3)),
        refused(lambda: prepared(world, written(world, line))),
        refused(lambda: prepared(world, on_s3)),
        refused(lambda: at_service(world, line)),
    ):
        assert example[:20] in told
    assert not made.exists()


def test_an_example_that_is_no_object_is_refused_where_s3_can_be_asked(world) -> None:
    gone = f"s3://bucket/{world.name}-gone.jpg"
    line = {"source-ref": IMAGE, "labels": ["a", "b"], "positive_examples": [IMAGE, gone]}
    place = written(world, line)
    assert errors(check_manifest(place)) == ""
    for told in (
        errors(check_manifest(place, examples=True, s3=world.live.s3)),
        errors(check_manifest(place, online=True, s3=world.live.s3)),
        refused(lambda: prepared(world, place)),
        refused(lambda: at_service(world, line)),
    ):
        assert f"can't read {gone}: there is no such object" in told
    storage.write_bytes(gone, b"x", s3=world.live.s3)
    assert refused(lambda: prepared(world, place)) == refused(lambda: at_service(world, line)) == ""


def test_examples_of_texts_may_be_texts(tmp_path: Path) -> None:
    made = build_manifest(["a text"], text=True, categories=["a", "b"], positive_examples=["like this"])
    made.write(str(tmp_path / "a.manifest"))
    assert check_manifest(str(tmp_path / "a.manifest")).empty


def test_examples_of_the_command_are_found_from_any_folder(world, monkeypatch) -> None:
    """Named from where the command runs, and read from where the manifest stands."""
    (world.folder / "out").mkdir()
    (world.folder / "e.png").write_bytes(b"x")
    (world.folder / "items.txt").write_text(IMAGE)
    monkeypatch.chdir(world.folder)
    assert command("manifest", "build", "items.txt", "out/a.manifest", "--positive", "e.png", "--category", "a") == ""
    assert check_manifest("out/a.manifest")["severity"].tolist() == []
    line = json.loads((world.folder / "out" / "a.manifest").read_text())
    assert line["positive_examples"] == [str(world.folder / "e.png")]


# ------------------------------------------------------------------ the label attribute


def attribute_cases(world: Any, *lines: dict[str, Any]) -> dict[str, str]:
    on_s3 = written(world, *lines, uri=f"s3://bucket/{world.name}-in.manifest")
    place = written(world, *lines)
    return {
        "check": errors(check_manifest(place, label_attribute="label")),
        "command": command("manifest", "check", place, "--label-attribute", "label"),
        "job create": refused(lambda: prepared(world, place, label_attribute="label")),
        "job create from S3": refused(lambda: prepared(world, on_s3, label_attribute="label")),
        "service": refused(lambda: at_service(world, *lines)),
        "streaming": refused(lambda: streaming.check_line(lines[0], "label")),
    }


@pytest.mark.parametrize("value", ["a cell", 0, {"x": 1}, None, ""])
def test_a_label_attribute_that_is_a_key_of_every_line_is_refused(world, value) -> None:
    lines = [{"source-ref": f"s3://bucket/{n}.jpg", "label": value} for n in range(3)]
    for where, told in attribute_cases(world, *lines).items():
        assert "have a key 'label' of their own" in told.replace("\n", " ") or where == "command", where
        assert told, where
    assert world.live.store.job(world.name) is None  # the name stays free


def test_a_job_resumes_as_ground_truth_does(world) -> None:
    """A label has its metadata; and a manifest of which some lines have a label is taken on the same terms."""
    done = {"source-ref": IMAGE, "label": 0, "label-metadata": {"type": "groundtruth/custom"}}
    other = {"source-ref": "s3://bucket/2.jpg", "earlier": "cat", "earlier-metadata": {}}
    by_hand = {"source-ref": "s3://bucket/3.jpg", "label": 1}
    assert attribute_cases(world, done, other, by_hand) == dict.fromkeys(
        ("check", "command", "job create", "job create from S3", "service", "streaming"), ""
    )
    until(lambda: world.live.store.states(world.name).get("open") == 1)
    assert world.live.store.states(world.name) == {"given": 2, "open": 1}


def test_a_manifest_that_asks_nothing_is_a_warning(world) -> None:
    done = {"source-ref": IMAGE, "label": 0, "label-metadata": {"type": "groundtruth/custom"}}
    table = check_manifest(written(world, done), label_attribute="label")
    assert table[["severity", "rule"]].values.tolist() == [["warning", "chained"]]
    assert "nobody is asked anything" in table["problem"][0]


# ------------------------------------------------------------------ a local manifest


@pytest.mark.parametrize("pages", [False, True])
@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("here.png", True),
        ("deep/er.png", True),
        ("./here.png", True),
        ("ABSOLUTE", True),
        ("file://ABSOLUTE", True),
        (IMAGE, True),
        ("gone.png", False),
        ("deep", False),
        ("/nowhere/x.png", False),
        ("https://example.org/x.png", False),
    ],
)
def test_check_takes_of_a_local_manifest_what_job_create_takes(world, name, good, pages) -> None:
    (world.folder / "deep").mkdir()
    for image in ("here.png", "deep/er.png"):
        Image.new("RGB", (8, 8)).save(world.folder / image)
    name = name.replace("ABSOLUTE", str(world.folder / "here.png"))
    line: dict[str, Any] = {"source-ref": name, "labels": ["a", "b"]}
    if pages:
        line = {"source": json.dumps([{"source-ref": name, "event_names": ["a", "b"]}])}
    place = written(world, line)
    table = check_manifest(place)
    assert (errors(table) == "") == good
    assert (refused(lambda: prepared(world, place)) == "") == good
    notes = table.loc[table["severity"] == "note", "problem"].tolist()
    assert len(notes) == (good and name != IMAGE)
    assert all("1 local image, which gandt job create uploads" in note for note in notes)


@pytest.mark.parametrize("name", ["n" * 5000, "a\0b.png", "\ud800.png", "."])
def test_a_path_that_no_file_can_have_is_an_error_like_any(world, name) -> None:
    assert "nor a file beside the manifest" in errors(check_manifest(written(world, {"source-ref": name})))


def test_a_manifest_on_s3_names_no_local_image(world) -> None:
    uri = written(world, {"source-ref": "here.png"}, uri=f"s3://bucket/{world.name}.manifest")
    assert "isn't an s3:// address" in errors(check_manifest(uri, s3=world.live.s3))


def test_streaming_refuses_and_tells(world) -> None:
    topic = "arn:aws:sns:us-east-1:000000000000:objects"
    world.live.store.add_record("topic", topic, None, 0.0)
    settings = {"InputConfig": {"DataSource": {"SnsDataSource": {"SnsTopicArn": topic}}}}
    storage.write_text("s3://bucket/stream.liquid.html", TEMPLATE, s3=world.live.s3)
    request = jobs.build_request(
        world.name,
        manifest=None,
        template="s3://bucket/stream.liquid.html",
        output="s3://bucket/out",
        workteam=world.live.team,
        role="arn:aws:iam::000000000000:role/r",
        label_attribute="label",
        settings=settings,
    )
    world.live.sagemaker.create_labeling_job(**request)
    until(lambda: world.live.store.job(world.name).status == "InProgress")
    with pytest.raises(ContractError, match="have a key 'label' of their own"):
        streaming.receive(world.live.service, world.name, json.dumps({"source-ref": IMAGE, "label": 1}), "m1")
    assert streaming.receive(world.live.service, world.name, json.dumps({"source-ref": IMAGE}), "m2") == 1
    world.live.service.stop(world.name)
