"""Jobs that ask for AWS's own Lambdas: the built-in task types' labels in their own spelling."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gandt import storage
from gandt.errors import ContractError
from gandt.jobs import build_request
from gandt.manifest import read_labels
from gandt.service import builtin
from gandt.service.engine import LabelingJob
from gandt.service.outputs import WorkerAnswer

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LABELS = ("cat", "dog", "fish")


class Said:
    """Workers who say what the test has for them: by the object's number, one form each."""

    def __init__(self, forms: Mapping[str, list[Any]]) -> None:
        self.forms, self.pages = forms, {}

    def label(self, pages: Mapping[str, str], workers_per_object: int) -> Iterator[tuple[str, WorkerAnswer]]:
        self.pages.update(pages)
        for number in pages:
            for worker, form in enumerate(self.forms[number]):
                yield number, WorkerAnswer(f"worker-{worker}", form, NOON, NOON, 1.0)


def run(s3: Any, task: str, lines: list[Any], forms: Mapping[str, list[Any]], template: str = "") -> Any:
    """Run a job whose Lambdas are AWS's; return its output and what workers saw."""
    storage.write_text("s3://bucket/in.manifest", "".join(json.dumps(line) + "\n" for line in lines), s3=s3)
    default = "<crowd-form>{{ task.input.taskObject }} {{ task.input.labels | to_json }}</crowd-form>"
    storage.write_text("s3://bucket/t.liquid.html", template or default, s3=s3)
    categories = {"document-version": "2018-11-28", "labels": [{"label": label} for label in LABELS]}
    storage.write_text("s3://bucket/labels.json", json.dumps(categories), s3=s3)
    request = build_request(
        "Built-In",
        manifest="s3://bucket/in.manifest",
        template="s3://bucket/t.liquid.html",
        output="s3://bucket/out",
        workteam="arn:aws:sagemaker:us-west-2:111122223333:workteam/private-crowd/me",
        role="arn:aws:iam::111122223333:role/ground-truth",
        pre_lambda=f"arn:aws:lambda:us-west-2:081040173940:function:PRE-{task}",
        post_lambda=f"arn:aws:lambda:us-west-2:081040173940:function:ACS-{task}",
        categories="s3://bucket/labels.json",
        label_attribute="animal",
    )
    workers = Said(forms)
    job = LabelingJob(request, {}, s3)
    counters = job.run(workers)["LabelCounters"]
    text = storage.read_text("s3://bucket/out/Built-In/manifests/output/output.manifest", s3=s3)
    return [json.loads(line) for line in text.splitlines()], workers.pages, counters


def chosen(*labels: str) -> list[Any]:
    return [{"crowd-image-classifier": {"label": label}} for label in labels]


def test_image_classification(s3) -> None:
    lines = [{"source-ref": f"s3://bucket/{number}.jpg", "id": number} for number in range(4)]
    forms = {
        "0": chosen("dog", "dog", "dog"),
        "1": chosen("cat", "cat", "dog"),
        "2": chosen("fish"),
        "3": [{"crowd-image-classifier": {"label": "no such class"}}, {"other": 1}],
    }
    output, pages, counters = run(s3, "ImageMultiClass", lines, forms)
    assert "s3://bucket/0.jpg [" in pages["0"]
    assert all(label in pages["0"] for label in LABELS)
    assert output[0] == {
        "source-ref": "s3://bucket/0.jpg",
        "id": 0,
        "animal": 1,
        "animal-metadata": {
            "class-name": "dog",
            "confidence": 0.95,
            "type": "groundtruth/image-classification",
            "job-name": "labeling-job/Built-In",
            "human-annotated": "yes",
            "creation-date": "2026-03-01T12:00:00.000000",
        },
    }
    assert (output[1]["animal"], output[1]["animal-metadata"]["class-name"]) == (0, "cat")
    assert output[1]["animal-metadata"]["confidence"] <= 0.95
    assert (output[2]["animal"], output[2]["animal-metadata"]["confidence"]) == (2, 0.0)  # by one worker alone
    assert output[3] == lines[3]
    assert (counters["HumanLabeled"], counters["FailedNonRetryableError"]) == (3, 1)
    table = read_labels("s3://bucket/out/Built-In/manifests/output/output.manifest", s3=s3)
    assert list(table.label) == ["dog", "cat", "fish"]


@pytest.mark.parametrize("task", ["TextMultiClassMultiLabel", "ImageMultiClassMultiLabel"])
def test_several_labels(s3, task: str) -> None:
    forms = {
        "0": [{"x": {"labels": labels}} for labels in (["cat", "dog"], ["cat"], ["cat", "fish"])],
        "1": [{"x": {"labels": []}}] * 3,
    }
    output, _, _ = run(s3, task, [{"source": "one"}, {"source": "two"}], forms)
    meta = output[0]["animal-metadata"]
    assert output[0]["animal"] == [0, 1, 2]  # every label that anybody chose
    assert meta["class-map"] == {"0": "cat", "1": "dog", "2": "fish"}
    assert meta["confidence-map"]["0"] > 0.5 > meta["confidence-map"]["1"]
    assert meta["type"] == (
        "groundtruth/" + task.removesuffix("MultiClassMultiLabel").lower() + "-classification-multilabel"
    )
    assert (output[1]["animal"], output[1]["animal-metadata"]["class-map"]) == ([], {})


def box(label: str, left: float, size: float = 100) -> dict[str, Any]:
    return {"label": label, "left": left, "top": 10, "width": size, "height": size}


def test_bounding_boxes_that_most_drew_alike(s3) -> None:
    size = {"inputImageProperties": {"width": 640, "height": 480}}
    drawn = ([box("dog", 100), box("cat", 300)], [box("dog", 110)], [box("dog", 120), box("dog", 500)])
    forms = {"0": [{"crowd-bounding-box": {"boundingBoxes": boxes, **size}} for boxes in drawn]}
    output, _, _ = run(s3, "BoundingBox", [{"source-ref": "s3://bucket/a.jpg"}], forms)
    assert output[0]["animal"] == {
        "image_size": [{"width": 640, "height": 480, "depth": 3}],
        "annotations": [{"class_id": 1, "top": 10, "left": 110, "height": 100, "width": 100}],
    }
    meta = output[0]["animal-metadata"]
    assert (meta["objects"], meta["class-map"]) == ([{"confidence": 0.95}], {"1": "dog"})
    assert meta["type"] == "groundtruth/object-detection"


def test_spans_of_text(s3) -> None:
    spans = ((0, 4), (0, 5), (20, 30))
    forms = {
        "0": [{"e": {"entities": [{"label": "cat", "startOffset": a, "endOffset": b}]}} for a, b in spans],
    }
    output, pages, _ = run(s3, "NamedEntityRecognition", [{"source": "some text"}], forms, builtin.NER_TEMPLATE)
    assert 'text="some text"' in pages["0"]
    found = output[0]["animal"]["annotations"]["entities"]
    assert found == [{"label": "cat", "startOffset": 0, "endOffset": 4}]
    assert output[0]["animal-metadata"]["entities"] == [{"confidence": 0.67}]


def test_a_built_in_that_isnt_there_is_refused(s3) -> None:
    with pytest.raises(ContractError, match="PRE-SemanticSegmentation isn't there; use PRE-PassThrough"):
        run(s3, "SemanticSegmentation", [{"source": "a"}], {})


@pytest.mark.parametrize(
    ("arn", "found"),
    [
        ("arn:aws:lambda:us-east-1:432418664414:function:PRE-ImageMultiClass", ("PRE", "ImageMultiClass")),
        ("arn:aws-cn:lambda:cn-north-1:432418664414:function:ACS-BoundingBox", ("ACS", "BoundingBox")),
        ("arn:aws:lambda:us-east-1:432418664414:function:my-PRE-ImageMultiClass", None),
        ("PRE-ImageMultiClass", None),
    ],
)
def test_arns(arn: str, found: Any) -> None:
    assert builtin.parse(arn) == found


ANY = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["label", "labels", "boundingBoxes", "entities", "x", "top"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@example(task="ImageMultiClass", forms=[{"label": {"label": ""}}])
@settings(max_examples=60, deadline=None)
@given(task=st.sampled_from(sorted(builtin.TASKS)), forms=st.lists(ANY, min_size=1, max_size=3))
def test_whatever_workers_send_an_object_gets_a_label_or_none(task: str, forms: list[Any]) -> None:
    payload = [
        {
            "datasetObjectId": "0",
            "annotations": [
                {"workerId": str(number), "annotationData": {"content": json.dumps(form)}}
                for number, form in enumerate(forms)
            ],
        }
    ]

    class Body:
        def __enter__(self):
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def read(self) -> bytes:
            return json.dumps(payload).encode()

        close = __exit__

    class S3:
        def get_object(self, **_: Any) -> Any:
            return {"Body": Body(), "ContentLength": 1}

    function = builtin.Consolidation(task, [{"label": "x"}, {"label": ""}], S3())
    result = function.invoke({"payload": {"s3Uri": "s3://b/k"}, "labelAttributeName": "a"})
    assert len(result) <= 1
    json.dumps(result, allow_nan=False)
