"""Both Lambdas, loaded from their files as AWS loads them: from a folder of their own, without gandt."""

import importlib.util
import json
import logging
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from gandt.answers import content as reader
from gandt.answers.files import line_page
from gandt.consensus import consolidate
from gandt.consensus.calibration import DEPENDENCE, discount
from gandt.tables import write_table

LAMBDAS = Path(__file__).parents[1] / "lambdas"
FIXTURES = Path(__file__).parent / "fixtures" / "ground-truth"


def load(name: str, file: str = "handler") -> ModuleType:
    folder = str(LAMBDAS / name)
    sys.path.insert(0, folder)
    try:
        spec = importlib.util.spec_from_file_location(f"{name}_{file}", LAMBDAS / name / f"{file}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(folder)
        sys.modules.pop("consolidation", None)


def fixture(name: str) -> Any:
    return json.loads((FIXTURES / name).read_text())


@pytest.fixture(scope="module")
def pre() -> ModuleType:
    return load("pre_annotation")


@pytest.fixture
def post(s3) -> ModuleType:
    return load("post_annotation")


@pytest.fixture(scope="module")
def consolidation() -> ModuleType:
    return load("post_annotation", "consolidation")


def in_s3(s3, event_name: str, payload: Any) -> dict[str, Any]:
    """Put a payload where an event fixture points to, and return the event."""
    event = fixture(event_name)
    key = event["payload"]["s3Uri"].removeprefix("s3://bucket/")
    s3.put_object(Bucket="bucket", Key=key, Body=payload if isinstance(payload, bytes) else json.dumps(payload))
    return event


# --- pre-annotation -----------------------------------------------------------------------------------------------


def test_pre_passes_a_single_item_and_every_extra_key(pre) -> None:
    response = pre.lambda_handler(fixture("pre-event.json"), None)
    assert response["isHumanAnnotationRequired"] is True
    assert response["taskInput"] == {
        "taskObject": "s3://kites/photos/0001.jpg",
        "items": [{"source-ref": "s3://kites/photos/0001.jpg", "index": 0}],
        "labels": [],
        "other": None,
        "positive_examples": [],
        "negative_examples": [],
        "source-ref": "s3://kites/photos/0001.jpg",
        "season": "spring",
        "record-id": 17,
        "camera": {"make": "Acme", "lens": [35, 50]},
    }


def test_pre_takes_the_documented_version_and_categories_of_a_text(pre) -> None:
    task_input = pre.lambda_handler(fixture("pre-event-documented.json"), None)["taskInput"]
    assert task_input["taskObject"] == "The wind was too strong for kites."
    assert task_input["items"] == [{"source": "The wind was too strong for kites.", "index": 0}]
    assert (task_input["labels"], task_input["header"]) == (["glad", "sad"], "How does the writer feel?")


def test_pre_opens_a_page(pre) -> None:
    event = fixture("pre-event-page.json")
    task_input = pre.lambda_handler(event, None)["taskInput"]
    assert task_input["taskObject"] == json.loads(event["dataObject"]["source"])
    assert task_input["items"] == [
        {"source-ref": "s3://kites/photos/0001.jpg", "index": 0},
        {"source-ref": "s3://kites/photos/0002.jpg", "index": 3},
    ]
    assert (task_input["labels"], task_input["other"]) == (["kite", "balloon"], "None of these")
    assert task_input["positive_examples"] == ["s3://kites/examples/yes.jpg"]
    assert task_input["batch"] == "may"
    assert "source" not in task_input  # it would double the page


def test_pre_takes_categories_from_the_environment(pre, monkeypatch) -> None:
    monkeypatch.setenv("LABELS", "kite, balloon")
    monkeypatch.setenv("OTHER_LABEL", "neither")
    task_input = pre.lambda_handler(fixture("pre-event.json"), None)["taskInput"]
    assert (task_input["labels"], task_input["other"]) == (["kite", "balloon"], "neither")
    monkeypatch.setenv("LABELS", '[{"label": "a, b"}, "c"]')
    assert pre.lambda_handler(fixture("pre-event.json"), None)["taskInput"]["labels"] == ["a, b", "c"]


def test_pre_prefers_source_where_both_are_given(pre) -> None:
    # which one Ground Truth prefers is unconfirmed; AWS's own sample Lambda prefers source
    event = {"dataObject": {"source-ref": "s3://b/k", "source": "text"}}
    assert pre.lambda_handler(event, None)["taskInput"]["taskObject"] == "text"


def test_pre_takes_a_list_that_is_no_page_for_a_text(pre) -> None:
    assert pre.lambda_handler({"dataObject": {"source": '["a", "b"]'}}, None)["taskInput"]["taskObject"] == '["a", "b"]'


@pytest.mark.parametrize(
    ("line", "attribute", "needed"),
    [
        ({}, "", True),
        ({"sky": 0}, "", True),
        ({"sky": 0}, "sky", False),
        ({"sky": None}, "sky", True),
        ({"exclude": True}, "", False),
        ({"exclude": "broken file"}, "", False),
        ({"exclude": "false"}, "", True),
    ],
)
def test_pre_asks_nobody_about_labelled_and_excluded_objects(pre, monkeypatch, line, attribute, needed) -> None:
    monkeypatch.setenv("LABEL_ATTRIBUTE", attribute)
    response = pre.lambda_handler({"dataObject": {"source-ref": "s3://b/k", **line}}, None)
    assert response["isHumanAnnotationRequired"] is needed
    assert response["taskInput"]["taskObject"] == "s3://b/k"  # taskInput is required in any case


@pytest.mark.parametrize(
    ("data_object", "words"),
    [
        (None, "no dataObject"),
        ({"season": "spring"}, "keys ['season']"),
        ({"source-ref": ""}, "neither 'source-ref' nor 'source'"),
        ({"source-ref": 7}, "neither 'source-ref' nor 'source'"),
        ({"source": '[{"index": 0}]'}, "item 0 of the page has neither"),
        (
            {"source": '[{"source-ref": "a", "index": 1}, {"source-ref": "b", "index": 1}]'},
            "item 1 of the page has the index 1",
        ),
        ({"source-ref": "s3://b/k", "labels": {"a": 1}}, "s3://b/k"),
        ({"source-ref": "s3://b/k", "notes": "x" * 130_000}, "130,"),
    ],
)
def test_pre_names_the_object_it_refuses(pre, data_object, words, caplog) -> None:
    with pytest.raises(pre.DataObjectError) as error:
        pre.lambda_handler({"labelingJobArn": "arn:x/job", "dataObject": data_object}, None)
    assert words in str(error.value)
    record = json.loads(caplog.records[-1].message)
    assert (record["job"], record["message"]) == ("job", "data object refused")


def test_pre_imports_neither_boto3_nor_gandt() -> None:
    code = "import sys, runpy; runpy.run_path(sys.argv[1]); print({'boto3', 'botocore', 'gandt'} & set(sys.modules))"
    path = str(LAMBDAS / "pre_annotation" / "handler.py")
    assert subprocess.run([sys.executable, "-I", "-c", code, path], capture_output=True, text=True).stdout == "set()\n"


# --- post-annotation ----------------------------------------------------------------------------------------------


def label_of(response: list[dict[str, Any]], object_id: str, attribute: str = "flying") -> Any:
    (entry,) = [entry for entry in response if entry["datasetObjectId"] == object_id]
    assert list(entry["consolidatedAnnotation"]["content"]) == [attribute]
    return entry["consolidatedAnnotation"]["content"][attribute]


def believed(odds: float, answers: int) -> Any:
    """The probability of these odds after the discount that gandt consensus applies to so many answers."""
    chance = np.array([[odds, 1.0]]) / (odds + 1)
    return pytest.approx(float(discount(chance, np.array([float(answers)]), DEPENDENCE)[0, 0]), abs=1e-4)


@pytest.mark.parametrize("event", ["post-event-2019.json", "post-event-2021.json"])
def test_post_consolidates_a_classifier(post, s3, event) -> None:
    response = post.lambda_handler(in_s3(s3, event, fixture("payload-classifier.json")), None)
    label = label_of(response, "7")
    assert (label["label"], label["votes"], label["workers"]) == ("kite", {"kite": 2, "balloon": 1}, 3)
    # two of three workers at 0.8 in two classes: odds 4 × 4 ÷ 4
    assert label["confidence"] == believed(4, answers=3)
    assert label["answers"][2] == {"workerId": "public.eu-west-1.BBBBBBBBBBBBBBBBBBBBBBBBBB", "labels": ["balloon"]}
    assert label_of(response, "5")["label"] == "balloon"  # radio buttons within annotatedResult


def test_post_consolidates_a_page_item_by_item(post, s3) -> None:
    response = post.lambda_handler(in_s3(s3, "post-event-2021.json", fixture("payload-page.json")), None)
    first, second = label_of(response, "0")["items"]
    assert (first["source-ref"], first["index"]) == ("s3://kites/photos/0001.jpg", 0)
    assert (first["label"], first["labels"], first["votes"]) == ("kite", ["kite"], {"kite": 3, "balloon": 1})
    # several labels on an item make every category a question of its own: kite 3 of 3, balloon 1 of 3, at 0.8
    assert first["confidence-map"] == {"kite": believed(64, answers=3), "balloon": believed(1 / 4, answers=3)}
    right = 64 / 65 * 0.8  # of the set; its odds are discounted once
    assert first["confidence"] == believed(right / (1 - right), answers=3)
    assert (second["source-ref"], second["workers"]) == ("s3://kites/photos/0002.jpg", 2)  # an empty answer is no vote
    assert second["answers"][2] == {"workerId": "c", "labels": []}


def test_post_single_select_stays_single(consolidation) -> None:
    label = consolidation.vote({"a": ["x"], "b": ["y"], "c": ["x"]}, {}, ["x", "y", "z"], False)
    weight = 0.8 / 0.1  # one-coin odds in three classes
    chances = np.array([[weight**2, weight, 1.0]]) / (weight**2 + weight + 1)
    expected = discount(chances, np.array([3.0]), consolidation.DEPENDENCE)[0, 0]
    assert label["confidence"] == pytest.approx(float(expected), abs=1e-4)
    assert consolidation.DEPENDENCE == DEPENDENCE  # one origin: what gandt consensus takes without gold


def test_post_discounts_workers_that_gold_has_shown_unreliable(post, s3, monkeypatch) -> None:
    payload = fixture("payload-classifier.json")[:1]
    bad = [a["workerId"] for a in payload[0]["annotations"][:2]]
    event = in_s3(s3, "post-event-2021.json", payload)
    quality = dict.fromkeys(bad, 0.5)
    for body in (
        json.dumps(quality),
        "".join(json.dumps({"worker": worker, "reliability": value}) + "\n" for worker, value in quality.items()),
        json.dumps([{"worker": worker, "reliability": 0.9, "excluded": True} for worker in quality], indent=1),
    ):
        s3.put_object(Bucket="bucket", Key="quality.json", Body=body)
        monkeypatch.setenv("WORKER_QUALITY", "s3://bucket/quality.json")
        label = label_of(post.lambda_handler(event, None), "7")
        assert (label["label"], label["confidence"]) == ("balloon", believed(4, answers=3))
        assert label["votes"] == {"kite": 2, "balloon": 1}  # counted as given


def test_post_takes_the_table_that_gandt_workers_writes(post, tmp_path, monkeypatch) -> None:
    rows = [
        (f"item{n}", worker, "kite" if worker != "c" or n % 2 else "balloon") for n in range(40) for worker in "abc"
    ]
    workers = consolidate(pd.DataFrame(rows, columns=["item", "worker", "label"])).workers
    write_table(workers, str(tmp_path / "workers.jsonl"))
    monkeypatch.setenv("WORKER_QUALITY", str(tmp_path / "workers.jsonl"))
    annotations = [
        {"workerId": w, "annotationData": {"content": json.dumps({"q": q})}} for w, q in (("a", "x"), ("c", "y"))
    ]
    event = {"labelAttributeName": "t", "test_payload": [{"datasetObjectId": "0", "annotations": annotations}]}
    label = label_of(post.lambda_handler(event, None), "0", "t")
    assert label["label"] == "x" and label["confidence"] > 0.55


@pytest.mark.parametrize("body", ["{", "[1]", '{"worker": "a"}', None])
def test_post_names_a_bad_quality_file(post, s3, monkeypatch, body) -> None:
    event = in_s3(s3, "post-event-2021.json", fixture("payload-classifier.json"))
    if body is not None:
        s3.put_object(Bucket="bucket", Key="quality.json", Body=body)
    monkeypatch.setenv("WORKER_QUALITY", "s3://bucket/quality.json")
    with pytest.raises(post.PayloadError, match=r"WORKER_QUALITY s3://bucket/quality\.json"):
        post.lambda_handler(event, None)


def test_post_counts_a_workers_first_answer_only(consolidation) -> None:
    annotations = [
        {"workerId": worker, "annotationData": {"content": json.dumps({"q": label})}}
        for worker, label in [("a", "x"), ("a", "y"), ("b", "x")]
    ]
    entry = {"datasetObjectId": 3, "dataObject": {"content": "text"}, "annotations": annotations}
    (response,), _, _ = consolidation.consolidate_objects([entry], "t")
    assert response["datasetObjectId"] == "3"
    assert response["consolidatedAnnotation"]["content"]["t"]["votes"] == {"x": 2}


def test_post_reads_annotations_held_in_s3(post, s3) -> None:
    s3.put_object(Bucket="bucket", Key="held/1.json", Body=json.dumps({"q": "x"}))
    data = [
        {"s3Uri": "s3://bucket/held/1.json"},
        {"s3uri": "s3://bucket/held/1.json"},
        {"s3Uri": "s3://bucket/held/none.json"},
    ]
    annotations = [{"workerId": f"w{number}", "annotationData": entry} for number, entry in enumerate(data)]
    event = in_s3(s3, "post-event-2021.json", [{"datasetObjectId": "0", "annotations": annotations}])
    assert label_of(post.lambda_handler(event, None), "0")["votes"] == {"x": 2}


def test_post_sets_bad_objects_aside_and_returns_the_rest(post, s3, caplog) -> None:
    good = fixture("payload-classifier.json")
    bad = [
        {"datasetObjectId": "20", "annotations": []},
        {"datasetObjectId": "21", "annotations": [{"workerId": "a", "annotationData": {"content": "{"}}]},
        {"datasetObjectId": "22", "annotations": [{"workerId": "a", "annotationData": {"content": "{}"}}]},
        {"annotations": []},
        "nonsense",
        good[0],
    ]
    caplog.set_level(logging.INFO)
    response = post.lambda_handler(in_s3(s3, "post-event-2021.json", good + bad), None)
    assert [entry["datasetObjectId"] for entry in response] == ["7", "5"]
    logged = [json.loads(record.message) for record in caplog.records if record.name == "gandt.post_annotation"]
    aside = {entry["object"]: entry["reason"] for entry in logged if entry["message"] == "object set aside"}
    assert aside["20"] == "it has no annotations"
    assert aside["21"] == "annotation 0: its content isn't JSON"
    assert aside["22"] == "all its answers are empty"
    assert aside["7"].startswith("it comes again")
    assert logged[-1] | {"level": 0} == {
        "level": 0, "message": "batch consolidated", "job": "find-kites",
        "objects": 8, "labelled": 2, "set_aside": 6, "by_reference": 0,
    }  # fmt: skip
    assert "far away" not in caplog.text  # what workers wrote stays out of the log


def test_post_refers_to_s3_where_the_response_would_be_too_large(post, s3) -> None:
    text = "x" * 4_000
    annotations = [
        {"workerId": f"w{n}", "annotationData": {"content": json.dumps({"note": text + str(n)})}} for n in range(9)
    ]
    payload = [{"datasetObjectId": str(number), "annotations": annotations} for number in range(200)]
    event = in_s3(s3, "post-event-2021.json", payload)
    response = post.lambda_handler(event, None)
    assert len(response) == 200
    assert len(json.dumps(response)) < 6 * 1024 * 1024 - 500_000
    label = label_of(response, "100")
    assert label["s3Uri"] == "s3://bucket/out/Find-Kites/annotations/consolidated-annotation/output/100/flying.json"
    held = s3.get_object(Bucket="bucket", Key=label["s3Uri"].removeprefix("s3://bucket/"))
    assert held["ServerSideEncryption"] == "aws:kms"  # the event's kmsKeyId
    assert len(json.loads(held["Body"].read())["answers"]) == 9
    event["outputConfig"] = "s3://absent-bucket/annotations"
    with pytest.raises(post.PayloadError, match="can't be written"):
        post.lambda_handler(event, None)
    del event["outputConfig"]
    with pytest.raises(post.PayloadError, match="names no outputConfig"):
        post.lambda_handler(event, None)


def test_post_takes_a_batch_of_thousands(consolidation) -> None:
    payload = fixture("payload-classifier.json")[0]
    response, aside, _ = consolidation.consolidate_objects(
        [payload | {"datasetObjectId": n} for n in range(5_000)], "t"
    )
    assert (len(response), aside) == (5_000, [])


def test_post_can_read_with_the_events_role(post, s3, monkeypatch) -> None:
    monkeypatch.setenv("ASSUME_ROLE", "true")
    made: list[dict[str, Any]] = []
    real = boto3.client

    def client(service: str, **options: Any) -> Any:
        made.append({"service": service, **options})
        return real(service, **{"region_name": "us-east-1", **options})

    monkeypatch.setattr(post.boto3, "client", client)
    event = in_s3(s3, "post-event-2021.json", fixture("payload-classifier.json"))
    assert len(post.lambda_handler(event, None)) == 2
    assert [call["service"] for call in made] == ["sts", "s3"]
    assert made[1]["aws_session_token"]
    with pytest.raises(post.PayloadError, match="can't be assumed"):
        post.lambda_handler({**event, "roleArn": "x"}, None)
    del event["roleArn"]
    with pytest.raises(post.PayloadError, match="no roleArn"):
        post.lambda_handler(event, None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labelAttributeName": None}, "no labelAttributeName"),
        ({"payload": {"s3Uri": "https://x/y"}}, "not an S3 address"),
        ({"payload": {"s3Uri": "s3://bucket/absent.json"}}, "can't be read"),
        ({"payload": {}}, "isn't a list"),
    ],
)
def test_post_names_what_is_wrong_with_the_event(post, s3, change, words) -> None:
    with pytest.raises(post.PayloadError, match=words):
        post.lambda_handler(fixture("post-event-2021.json") | change, None)
    with pytest.raises(post.PayloadError, match="isn't JSON"):
        post.lambda_handler(in_s3(s3, "post-event-2021.json", b"{"), None)


def test_post_takes_g_and_ts_test_payload(post) -> None:
    event = {"labelAttributeName": "t", "test_payload": fixture("payload-classifier.json")}
    assert len(post.lambda_handler(event, None)) == 2


# --- fuzzing: a valid response or a named error ---------------------------------------------------------------------

names = st.sampled_from(
    [
        "source",
        "source-ref",
        "index",
        "labels",
        "label",
        "event_names",
        "answers",
        "annotations",
        "annotationData",
        "content",
        "workerId",
        "dataObject",
        "datasetObjectId",
        "labelAttributeName",
        "payload",
        "s3Uri",
        "test_payload",
        "labels-0",
        "annotatedResult",
        "exclude",
        "crowd-image-classifier",
    ]
)
texts = st.text(max_size=8) | st.sampled_from(
    ['["a"]', '[{"source-ref": "s3://b/k"}]', '{"a": true}', "[[[", "s3://b/k", "\ud800"]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names | st.text(max_size=4), inner, max_size=5),
    max_leaves=25,
)


@settings(max_examples=100, deadline=None)
@given(event=json_values | st.fixed_dictionaries({"dataObject": st.dictionaries(names, json_values, max_size=5)}))
def test_pre_survives_any_event(event) -> None:
    pre = _pre()
    try:
        response = pre.lambda_handler(event, None)
    except pre.DataObjectError as error:
        assert str(error)
        return
    json.dumps(response)
    assert isinstance(response["taskInput"], dict) and isinstance(response["isHumanAnnotationRequired"], bool)
    assert all(isinstance(item, dict) and "index" in item for item in response["taskInput"]["items"])


annotation = st.fixed_dictionaries(
    {
        "workerId": st.sampled_from("abc"),
        "annotationData": st.fixed_dictionaries({"content": json_values.map(json.dumps) | json_values}),
    }
)
payload = st.lists(
    st.fixed_dictionaries(
        {"datasetObjectId": st.integers(0, 9).map(str), "annotations": st.lists(annotation | json_values, max_size=4)},
        optional={"dataObject": json_values | st.fixed_dictionaries({"content": texts})},
    )
    | json_values,
    max_size=4,
)


@settings(max_examples=100, deadline=None)
@given(event=json_values | st.fixed_dictionaries({"labelAttributeName": st.just("t"), "test_payload": payload}))
def test_post_survives_any_event(event) -> None:
    post = _post()
    try:
        with mock_aws():
            response = post.lambda_handler(event, None)
    except post.PayloadError as error:
        assert str(error)
        return
    json.dumps(response, allow_nan=False).encode()
    ids = [entry["datasetObjectId"] for entry in response]
    assert len(ids) == len(set(ids))
    for entry in response:
        label = entry["consolidatedAnnotation"]["content"][event["labelAttributeName"]]
        for item in label.get("items", [label]):
            assert item["confidence"] is None or 0 <= item["confidence"] <= 1
            assert item["label"] is None or item["votes"][item["label"]] >= 1


@settings(max_examples=100, deadline=None)
@given(form=st.dictionaries(names | st.text(max_size=4), json_values, max_size=5), source=texts | json_values)
def test_the_lambda_and_the_reader_understand_forms_alike(form, source) -> None:
    consolidation = load_once("post_annotation", "consolidation")
    assert reader.answer_labels(form) == consolidation.answer_labels(form)
    assert reader.tile_labels(form, 0) == consolidation.tile_labels(form, 0)
    pages = [{key: value for key, value in entry.items() if key != "index"} for entry in line_page({"content": source})]
    assert pages == [{k: v for k, v in entry.items() if k != "index"} for entry in consolidation.page_items(source)]
    assert all(label == label.strip() and label.encode() for label in reader.answer_labels(form))


_loaded: dict[tuple[str, str], ModuleType] = {}


def load_once(name: str, file: str) -> ModuleType:
    if (name, file) not in _loaded:
        _loaded[name, file] = load(name, file)
    return _loaded[name, file]


def _pre() -> ModuleType:
    return load_once("pre_annotation", "handler")


def _post() -> ModuleType:
    return load_once("post_annotation", "handler")
