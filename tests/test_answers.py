"""The reader of answers: every generation and form of output in the contract."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import gandt
from gandt.answers import COLUMNS, read_answers, read_output
from gandt.answers.content import answer_labels, parse_content
from gandt.answers.files import natural
from gandt.cli import answers as _answers_cmd  # noqa: F401  (registers the command)
from gandt.cli import app
from gandt.errors import ContractError, InputError, StorageError
from gandt.manifest import build_manifest

FIXTURES = Path(__file__).parent / "fixtures" / "ground-truth"


def put(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))


def answer(worker: str, content: dict, at: str = "2026-05-01T10:00:00.000Z", seconds: float = 4.5) -> dict:
    times = {"acceptanceTime": at.replace("T10", "T09"), "submissionTime": at, "timeSpentInSeconds": seconds}
    return {"workerId": worker, "answerContent": content, **times}


def response(
    job: Path, number: int, *answers: dict, iteration: int = 1, name: str = "2026-05-01_10:00:00.json"
) -> None:
    put(job / f"annotations/worker-response/iteration-{iteration}/{number}/{name}", {"answers": list(answers)})


def request(job: Path, *entries: dict, iteration: int = 1, name: str = "2026-05-01_10:00:01.json") -> None:
    put(job / f"annotations/consolidated-annotation/consolidation-request/iteration-{iteration}/{name}", list(entries))


def manifest(job: Path, *lines: dict) -> None:
    put(job / "manifests/output/output.manifest", "".join(json.dumps(line) + "\n" for line in lines))


def triples(table: pd.DataFrame) -> list[tuple[str, str, str]]:
    return sorted(table[["item", "worker", "label"]].itertuples(index=False, name=None))


KITE, CLOUD = {"crowd-image-classifier": {"label": "kite"}}, {"crowd-image-classifier": {"label": "cloud"}}


# --- the real job -----------------------------------------------------------------------------------------------


def test_the_real_job_reads_to_500_answers(shared) -> None:
    read = read_output(str(shared / "groundtruth-job"))
    table = read.answers
    assert len(table) == 500 and table["item"].nunique() == 100 and table["worker"].nunique() == 82
    assert (table.groupby("item").size() == 5).all() and read.set_aside.empty and len(read.items) == 100
    assert table["submitted_at"].notna().all() and table["accepted_at"].isna().all() and table["seconds"].isna().all()
    assert table["item"].str.startswith("s3://").all()
    assert list(table.columns) == COLUMNS and (table["job"] == "groundtruth-job").all()


def test_gandts_labels_agree_with_the_services_own(shared) -> None:
    job = shared / "groundtruth-job"
    service = gandt.manifest.read_labels(str(job / "manifests/output/output.manifest")).set_index("item")["label"]
    truth = {entry["ImageId"]: entry["Label"] for entry in json.loads((job / "true_labels.json").read_text())}
    ours = gandt.consolidate(read_answers(str(job))).labels.set_index("item")["label"]
    assert (ours[service.index] == service).sum() >= 99
    right = pd.Series({item: truth[Path(item).stem] for item in service.index})
    assert (ours[right.index] == right).sum() >= (service[right.index] == right).sum()


# --- generations of worker responses ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("year", "accepted", "seconds"), [(2019, None, None), (2020, "2020-12-28 18:59:15.191", 40.543)]
)
@pytest.mark.parametrize("name", ["2020-12-28_19:02:00.json", "2020-12-28_19_02_00.json"])
def test_worker_responses_of_all_years(tmp_path, year, accepted, seconds, name) -> None:
    job = tmp_path / "Find-Kites"
    put(
        job / f"annotations/worker-response/iteration-1/0/{name}",
        (FIXTURES / f"worker-response-{year}.json").read_text(),
    )
    manifest(job, {"source-ref": "s3://kites/1.jpg"})
    table = read_answers(str(job))
    assert len(table) == 2 and (table["item"] == "s3://kites/1.jpg").all() and (table["job"] == "Find-Kites").all()
    first = table.iloc[0]
    assert first["label"] == "kite" and str(first["submitted_at"]).startswith(str(year))
    assert (
        pd.isna(first["accepted_at"]) if accepted is None else first["accepted_at"] == pd.Timestamp(accepted, tz="UTC")
    )
    assert pd.isna(first["seconds"]) if seconds is None else first["seconds"] == seconds


def test_types_hold_even_where_nothing_is_known(tmp_path) -> None:
    request(tmp_path / "j", *json.loads((FIXTURES / "payload-classifier.json").read_text()))
    table = read_answers(str(tmp_path / "j"))
    assert str(table["accepted_at"].dtype) == str(table["submitted_at"].dtype) == "datetime64[ns, UTC]"
    assert str(table["seconds"].dtype) == "float64"
    assert triples(table)[0] == ("s3://kites/photos/0006.jpg", "AAAA", "balloon")


# --- pages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("described_by", ["manifest", "request", "input manifest", "nothing"])
def test_a_page_reads_to_an_answer_for_each_item(tmp_path, described_by) -> None:
    job = tmp_path / "grid"
    made = build_manifest([f"s3://kites/{n}.jpg" for n in range(5)], per_page=3, categories=["kite"])
    forms = [
        {"labels-0": '["kite"]', "labels-2": '["cloud", "kite"]', "labels-4": "[]"},
        {"labels-1": '["None of these"]'},
    ]
    for number, form in enumerate(forms):
        response(job, number, answer("w", form))
    options = {}
    if described_by == "manifest":
        manifest(job, *made.lines)
    elif described_by == "request":
        entries = [
            {"datasetObjectId": str(n), "dataObject": {"content": line["source"]}} for n, line in enumerate(made.lines)
        ]
        request(job, *(entry | {"annotations": []} for entry in entries))
    elif described_by == "input manifest":
        made.write(str(tmp_path / "in.manifest"))
        options["input_manifest"] = str(tmp_path / "in.manifest")
    read = read_output(str(job), **options)
    names = {n: f"s3://kites/{n}.jpg" if described_by != "nothing" else f"{n % 2}/{n}" for n in range(5)}
    want = [(names[0], "kite"), (names[1], "None of these"), (names[2], "cloud"), (names[2], "kite")]
    assert sorted(zip(read.answers["item"], read.answers["label"], strict=True)) == sorted(want)
    assert read.answers["data_object"].tolist() == ["0", "0", "0", "1"]
    assert f"no answer about {names[4]}" in read.set_aside["reason"].tolist()
    if described_by != "nothing":
        assert set(read.items["item"]) == set(names.values())  # asked, answered or not


def test_g_and_ts_own_output_is_read(tmp_path) -> None:
    """Its consolidation request, and the labels that its post-annotation Lambda assembled."""
    source = json.dumps(
        [{"source-ref": "s3://b/0.jpg", "index": 0, "event_names": ["cat"]}, {"source-ref": "s3://b/7.jpg", "index": 7}]
    )
    form = {"labels-0": '["cat"]', "labels-7": '["None of the above"]'}
    content = json.dumps({"annotatedResult": form})
    request(
        tmp_path / "a",
        {
            "datasetObjectId": "0",
            "dataObject": {"content": source},
            "annotations": [{"workerId": "w", "annotationData": {"content": content}}],
        },
    )
    manifest(
        tmp_path / "b",
        {"source": source, "t": {"responses": [{"workerId": "w", "annotation": form}]}, "t-metadata": {}},
    )
    want = [("s3://b/0.jpg", "w", "cat"), ("s3://b/7.jpg", "w", "None of the above")]
    assert triples(read_answers(str(tmp_path / "a"))) == triples(read_answers(str(tmp_path / "b"))) == want


def test_boxes_and_texts_of_gandts_templates(tmp_path) -> None:
    job = tmp_path / "j"
    box = {"boundingBoxes": [{"label": "kite", "left": 1, "top": 2, "width": 3, "height": 4}]}
    response(job, 0, answer("w", {"boxes-0": json.dumps(box)}))
    response(job, 1, answer("w", {"labels-0": json.dumps(["a red kite"])}))
    manifest(job, {"source-ref": "s3://b/0.jpg"}, {"source-ref": "s3://b/1.jpg"})
    boxes, text = read_answers(str(job))["label"]
    assert json.loads(boxes) == box and text == "a red kite"
    assert read_answers(str(job), template="boxes")["label"].tolist()[0].count("boundingBoxes") == 1
    assert read_answers(str(job), template="free-text")["label"].tolist() == ["a red kite"]


def test_a_template_without_a_header_is_refused(tmp_path) -> None:
    put(tmp_path / "t.liquid.html", "<crowd-form></crowd-form>")
    with pytest.raises(InputError, match="declares no outputs"):
        read_answers(str(tmp_path), template=str(tmp_path / "t.liquid.html"))


# --- every widget of the contract ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "labels"),
    [
        ({"crowd-image-classifier": {"label": "Cat"}, "workerComment": "far"}, ["Cat"]),
        ({"animal": {"labels": ["a", "b"]}}, ["a", "b"]),
        ({"crowd-classifier-multi-select": {"labels": ["None of the above"]}}, ["None of the above"]),
        ({"sure": {"on": True}, "crowd-classifier": {"label": "x"}, "note": "blurry", "hits": "3"}, ["x"]),
        ({"q": {"a": True, "b": False}}, ["a"]),
        ({"image": {"blurry": True, "dim": True, "exposed": False}, "note": "n"}, ["blurry", "dim"]),
        ({"on-sale": {"on": True}}, ["on"]),
        ({"title": " two words "}, ["two words"]),
        ({"text": "with \n inside"}, ["with \n inside"]),
        ({"rating": 4}, ["4"]),
        ({"labels-0": '["cat", "dog", "cat"]', "note": "x"}, ["cat", "dog"]),
        ({"hidden": '["cat"]'}, ["cat"]),
        # anything richer than a label is its JSON
        ({"k": {"keypoints": [{"label": "eye", "x": 1}]}}, ['{"keypoints": [{"label": "eye", "x": 1}]}']),
        ({"b": {"z": {}, "boundingBoxes": []}}, ['{"boundingBoxes": [], "z": {}}']),
        ({"e": {"entities": [{"startOffset": 0, "label": "x"}]}}, ['{"entities": [{"label": "x", "startOffset": 0}]}']),
        ({"empty": "", "label": "kite"}, ["kite"]),
        ({}, []),
        ({"workerComment": "only this"}, []),
        ({"q": {"a": False}}, []),
    ],
)  # fmt: skip
def test_forms(form, labels) -> None:
    assert answer_labels(form) == labels


def test_a_form_of_several_fields_can_be_told_which_counts(tmp_path) -> None:
    job = tmp_path / "j"
    response(job, 0, answer("w", {"color": {"red": True, "blue": False}, "shape": {"round": True}}))
    manifest(job, {"source-ref": "s3://b/0.jpg"})
    read = read_output(str(job))
    assert read.answers["label"].tolist() == ["red"]
    assert read.set_aside["reason"][0].startswith("the field 'shape' of 1 forms isn't part of the answer")
    with pytest.raises(InputError, match=r"field 'size'; the forms' fields are: color, shape"):
        read_answers(str(job), answer_field="size")
    assert read_answers(str(job), answer_field="shape")["label"].tolist() == ["round"]


def test_workers_comments_are_kept(tmp_path) -> None:
    job = tmp_path / "j"
    response(job, 0, answer("v", {"animal": {"label": "cat", "workerComment": "or a dog?"}}), answer("w", KITE))
    response(job, 1, answer("w", {**KITE, "workerComment": " too dark "}))
    manifest(job, {"source-ref": "s3://b/0.jpg"}, {"source-ref": "s3://b/1.jpg"})
    read = read_output(str(job))
    assert read.comments.values.tolist() == [["j", "0", "v", "or a dog?"], ["j", "1", "w", "too dark"]]
    assert read.set_aside.empty and len(read.answers) == 3
    out = tmp_path / "comments.csv"
    result = CliRunner().invoke(app, ["answers", str(job), "--comments", str(out)])
    assert result.exit_code == 0 and len(gandt.tables.read_table(str(out))) == 2


# --- partial, repeated, chained, several -----------------------------------------------------------------------------


def test_duplicates_and_iterations(tmp_path) -> None:
    job = tmp_path / "j"
    early, late = "2026-05-01T10:00:00.500Z", "2026-05-01T10:00:01Z"
    response(job, 0, answer("a", CLOUD, late), answer("a", KITE, early), answer("b", KITE), name="1.json")
    response(job, 0, answer("b", KITE), name="2.json")  # the same file again
    response(job, 10, answer("a", KITE), iteration=2)
    manifest(job, *({"source-ref": f"s3://b/{n}.jpg"} for n in range(11)))
    read = read_output(str(job))
    assert triples(read.answers) == [
        ("s3://b/0.jpg", "a", "kite"),
        ("s3://b/0.jpg", "b", "kite"),
        ("s3://b/10.jpg", "a", "kite"),
    ]
    assert read.set_aside["reason"].tolist() == ["the worker answered this object before; the first answer counts"]
    assert len(read.items) == 11  # a stopped job: nine were asked in vain
    assert read.answers["data_object"].tolist() == ["0", "0", "10"]


def test_requests_fill_what_responses_lack(tmp_path) -> None:
    job = tmp_path / "j"
    response(job, 0, answer("a", KITE))
    annotations = [{"workerId": worker, "annotationData": {"content": json.dumps(CLOUD)}} for worker in "ab"]
    request(
        job,
        *(
            {"datasetObjectId": str(n), "dataObject": {"s3Uri": f"s3://b/{n}.jpg"}, "annotations": annotations}
            for n in (0, 1)
        ),
    )
    assert triples(read_answers(str(job))) == [
        ("s3://b/0.jpg", "a", "kite"), ("s3://b/0.jpg", "b", "cloud"),
        ("s3://b/1.jpg", "a", "cloud"), ("s3://b/1.jpg", "b", "cloud"),
    ]  # fmt: skip


def test_chained_jobs_under_one_prefix(tmp_path, s3) -> None:
    for name, label in (("sky", KITE), ("Sky-2", CLOUD)):
        response(tmp_path / name, 0, answer("w", label))
        manifest(
            tmp_path / name,
            {"source-ref": "s3://b/0.jpg", "sky": 0, "sky-metadata": {"type": "groundtruth/image-classification"}},
        )
    table = read_answers(str(tmp_path))
    assert sorted(zip(table["job"], table["label"], strict=True)) == [("Sky-2", "cloud"), ("sky", "kite")]
    gandt.storage.copy_tree(str(tmp_path), "s3://bucket/out", s3=s3)
    pd.testing.assert_frame_equal(read_answers("s3://bucket/out/", s3=s3), table)


@pytest.mark.parametrize("part", ["annotations", "annotations/worker-response"])
def test_a_jobs_annotations_alone(tmp_path, part) -> None:
    response(tmp_path / "sky", 0, answer("w", KITE))
    manifest(tmp_path / "sky", {"source-ref": "s3://b/0.jpg"})
    (row,) = read_answers(str(tmp_path / "sky" / part)).itertuples()
    assert (row.item, row.job) == ("s3://b/0.jpg", "sky")
    (tmp_path / "sky" / "annotations").rename(tmp_path / "synced")
    (row,) = read_answers(str(tmp_path / "synced")).itertuples()
    assert (row.item, row.job) == ("0", "synced")  # nothing says what object 0 shows


def test_single_files(tmp_path) -> None:
    response(tmp_path / "sky", 4, answer("w", KITE))
    file = next((tmp_path / "sky").rglob("*.json"))
    assert triples(read_answers(str(file))) == [("4", "w", "kite")]
    assert len(read_answers(str(FIXTURES / "payload-page.json"))) == 6
    augmented = read_answers(str(FIXTURES / "augmented.manifest"))
    assert triples(augmented) == [
        ("s3://kites/13.jpg", "private.eu-west-1.aa", "not cell"),
        ("s3://kites/8.jpg", "a", "kite"), ("s3://kites/8.jpg", "b", "kite"), ("s3://kites/9.jpg", "a", "kite"),
    ]  # fmt: skip


def test_labels_of_the_post_annotation_lambda_are_read_where_nothing_else_is(tmp_path, s3) -> None:
    label = {
        "label": "kite",
        "answers": [{"workerId": "a", "labels": ["kite"]}, {"workerId": "b", "labels": ["cloud", "kite"]}],
    }
    page = {"items": [{"source-ref": "s3://b/5.jpg", "index": 5, "answers": [{"workerId": "a", "labels": ["x"]}]}]}
    held = {"label": "kite", "s3Uri": "s3://bucket/held.json"}
    s3.put_object(Bucket="bucket", Key="held.json", Body=json.dumps(label))
    entries = [
        {"datasetObjectId": str(number), "consolidatedAnnotation": {"content": {"t": value, "t-metadata": {}}}}
        for number, value in enumerate((label, page, held))
    ]
    put(tmp_path / "j/annotations/consolidated-annotation/consolidation-response/iteration-1/1.json", entries)
    table = read_answers(str(tmp_path / "j"), s3=s3)
    assert triples(table) == [
        ("0", "a", "kite"), ("0", "b", "cloud"), ("0", "b", "kite"),
        ("2", "a", "kite"), ("2", "b", "cloud"), ("2", "b", "kite"), ("s3://b/5.jpg", "a", "x"),
    ]  # fmt: skip


def test_a_chained_jobs_manifest_does_not_bring_old_answers_in(tmp_path) -> None:
    def label(worker: str) -> dict:
        return {"label": "kite", "answers": [{"workerId": worker, "labels": ["kite"]}]}

    old, new = {"job-name": "labeling-job/first"}, {"job-name": "labeling-job/second"}
    lines = [
        {"source-ref": "s3://b/0.jpg", "t": label("old"), "t-metadata": old, "u": label("lost"), "u-metadata": new},
        {"source-ref": "s3://b/1.jpg", "t": label("old"), "t-metadata": old},
    ]
    response(tmp_path / "Second", 1, answer("w", KITE))
    manifest(tmp_path / "Second", *lines)
    assert triples(read_answers(str(tmp_path / "Second"))) == [
        ("s3://b/0.jpg", "lost", "kite"),
        ("s3://b/1.jpg", "w", "kite"),
    ]
    # of the manifest alone every label's answers are read, each under its own job
    alone = read_answers(str(tmp_path / "Second/manifests/output/output.manifest"))
    assert sorted(zip(alone["data_object"], alone["job"], alone["worker"], strict=True)) == [
        ("0", "Second", "lost"), ("0", "first", "old"), ("1", "first", "old"),
    ]  # fmt: skip


def test_annotations_held_in_s3(tmp_path, s3) -> None:
    s3.put_object(Bucket="bucket", Key="held.json", Body=json.dumps(KITE))
    data = [{"s3Uri": "s3://bucket/held.json"}, {"s3uri": "s3://bucket/held.json"}, {"s3Uri": "s3://bucket/lost.json"}]
    annotations = [{"workerId": f"w{n}", "annotationData": entry} for n, entry in enumerate(data)]
    request(tmp_path / "j", {"datasetObjectId": "0", "annotations": annotations})
    read = read_output(str(tmp_path / "j"), s3=s3)
    assert triples(read.answers) == [("0", "w0", "kite"), ("0", "w1", "kite")]
    assert "no such object" in read.set_aside["reason"][0]


def test_streaming_jobs_have_ids_of_their_own(tmp_path) -> None:
    response(tmp_path / "j", 0, answer("w", KITE))
    (tmp_path / "j/annotations/worker-response/iteration-1/0").rename(
        tmp_path / "j/annotations/worker-response/iteration-1/my-id"
    )
    manifest(
        tmp_path / "j",
        {"source-ref": "s3://b/1.jpg"},
        {"source-ref": "s3://b/2.jpg", "$label-attribute-name-object-id": "my-id"},
    )
    assert triples(read_answers(str(tmp_path / "j"))) == [("s3://b/2.jpg", "w", "kite")]


def test_texts_are_their_own_items(tmp_path) -> None:
    response(tmp_path / "j", 0, answer("w", {"label": "glad"}))
    manifest(tmp_path / "j", {"source": "What a day!"})
    assert triples(read_answers(str(tmp_path / "j"))) == [("What a day!", "w", "glad")]


# --- hostile and broken input ----------------------------------------------------------------------------------------


def test_what_cannot_be_read_is_set_aside_by_name(tmp_path) -> None:
    job = tmp_path / "j"
    response(job, 0, answer("w", KITE), {"answerContent": KITE}, answer("x", "{"), answer("y", [1]))
    put(job / "annotations/worker-response/iteration-1/1/a.json", "{")
    put(job / "annotations/worker-response/iteration-1/2/a.json", {"answer": []})
    put(job / "annotations/consolidated-annotation/consolidation-request/iteration-1/a.json", {})
    put(job / "manifests/output/output.manifest", '{"source-ref": "s3://b/0.jpg"}\n[1]\n')
    read = read_output(str(job))
    assert triples(read.answers) == [("s3://b/0.jpg", "w", "kite")]
    assert len(read.set_aside) == 7 and read.set_aside["file"].str.startswith(str(job)).all()
    assert {"an answer has no workerId", "its content isn't JSON", "its content isn't a JSON object"} <= set(
        read.set_aside["reason"]
    )


def test_places_without_answers_are_named(tmp_path, s3) -> None:
    manifest(tmp_path / "j", {"source-ref": "s3://b/0.jpg"})
    with pytest.raises(StorageError, match="absent: there is no such file or folder"):
        read_answers(str(tmp_path / "absent"))
    for place in (tmp_path, tmp_path / "j"):
        with pytest.raises(InputError, match="holds no worker's answer"):
            read_answers(str(place))
    with pytest.raises(StorageError, match="no such bucket"):
        read_answers("s3://absent-bucket/out", s3=s3)


def test_parse_content_names_what_it_cannot_read() -> None:
    assert parse_content('{"annotatedResult": {"a": 1}}') == {"a": 1}
    for content in ("{", "[1]", 7, None, "[" * 100_000):
        with pytest.raises(ContractError):
            parse_content(content)


def test_answers_survive_a_round_trip_through_parquet(tmp_path) -> None:
    response(tmp_path / "j", 0, answer("w", {"label": "\ud800 half a character"}))
    table = read_answers(str(tmp_path / "j"))
    gandt.tables.write_table(table, str(tmp_path / "a.parquet"))
    assert gandt.tables.read_table(str(tmp_path / "a.parquet"))["label"].tolist() == ["? half a character"]


def test_natural_order() -> None:
    assert sorted(["10", "9", "a2", "a10", "x", "²", "1" * 40], key=natural)[:2] == ["9", "10"]


keys = st.sampled_from(
    [
        *("answers", "answerContent", "workerId", "submissionTime", "datasetObjectId", "annotations", "annotationData"),
        *("content", "dataObject", "source", "items", "index", "labels", "label", "labels-0", "s3Uri"),
        "consolidatedAnnotation",
    ]
)
texts = st.text(max_size=6) | st.just('[{"source-ref": "s3://b/k"}]')
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys | st.text(max_size=3), inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None)
@given(
    files=st.lists(
        st.tuples(st.sampled_from(["response", "request", "consolidated", "manifest"]), anything),
        min_size=1,
        max_size=3,
    )
)
def test_any_output_is_survived(tmp_path_factory, files) -> None:
    job = tmp_path_factory.mktemp("job")
    folder = job / "annotations/consolidated-annotation"
    places = {
        "response": job / "annotations/worker-response/iteration-1/0/1.json",
        "request": folder / "consolidation-request/iteration-1/1.json",
        "consolidated": folder / "consolidation-response/iteration-1/1.json",
        "manifest": job / "manifests/output/output.manifest",
    }
    for kind, value in files:
        put(places[kind], {"answers": value} if kind == "response" else value)
    try:
        read = read_output(str(job), s3=object())
    except InputError:
        return
    assert list(read.answers.columns) == COLUMNS
    read.answers.to_parquet(job / "answers.parquet")
    read.set_aside.to_parquet(job / "aside.parquet")


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command(tmp_path) -> None:
    response(tmp_path / "sky", 0, answer("w", KITE), answer("w", KITE, "2026-05-02T10:00:00Z"))
    manifest(tmp_path / "sky", {"source-ref": "s3://b/0.jpg"})
    out = str(tmp_path / "answers.csv")
    result = CliRunner().invoke(app, ["answers", str(tmp_path / "sky"), "--out", out, "--json"])
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    assert (shown["answers"], shown["items"], shown["workers"], shown["jobs"]) == (1, 1, 1, ["sky"])
    assert sum(shown["set_aside"].values()) == 1
    assert gandt.tables.read_table(out)["label"].tolist() == ["kite"]
    result = CliRunner().invoke(app, ["answers", str(tmp_path / "sky")])
    assert result.exit_code == 0 and "kite" in result.stdout
