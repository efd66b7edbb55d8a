"""Stand-ins for AWS's own Lambdas: the PRE-… and ACS-… functions of Ground Truth's built-in task types.

A job names them by ARN (``arn:aws:lambda:REGION:ACCOUNT:function:PRE-ImageMultiClass``), of which only the name counts.
Labels of classification come from the consolidation that Amazon published (gandt/consensus/ground_truth.py), boxes
and spans from merging what enough workers drew alike, as the guide describes it. What can't be reproduced isn't
there: a job that asks for it is refused.

https://docs.aws.amazon.com/sagemaker/latest/dg/sms-annotation-consolidation.html
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gandt import storage
from gandt.manifest.lines import NAMES

#: task type: the metadata's ``type``
TASKS = {
    "ImageMultiClass": "groundtruth/image-classification",
    "ImageMultiClassMultiLabel": "groundtruth/image-classification-multilabel",
    "TextMultiClass": "groundtruth/text-classification",
    "TextMultiClassMultiLabel": "groundtruth/text-classification-multilabel",
    "BoundingBox": "groundtruth/object-detection",
    "NamedEntityRecognition": "groundtruth/text-span",
    "VerificationMultiClass": "groundtruth/label-verification",
    "VerificationBoundingBox": "groundtruth/label-verification",
    "VerificationSemanticSegmentation": "groundtruth/label-verification",
}
# no confidence of the service's own was ever seen above this
_MOST = 0.95
_ALIKE = 0.5  # Jaccard index from which two boxes or spans are about the same thing
_ARN = re.compile(r"arn:aws[a-z-]*:lambda:[a-z0-9-]*:\d{12}:function:(PRE|ACS)-([A-Za-z0-9]+)(:\S+)?")

NER_TEMPLATE = """<script src="https://assets.crowd.aws/crowd-html-elements.js"></script>
<crowd-entity-annotation name="crowd-entity-annotation" header="Highlight the parts of the text that have a label"
  labels="{{ task.input.labels | to_json | escape }}" text="{{ task.input.taskObject }}">
  <full-instructions header="Instructions">Mark each part of the text, and choose its label.</full-instructions>
  <short-instructions>Mark each part of the text, and choose its label.</short-instructions>
</crowd-entity-annotation>
"""


def parse(arn: str) -> tuple[str, str] | None:
    """Return kind (PRE, ACS) and task type of an ARN that names one of AWS's functions, None for any other."""
    match = _ARN.fullmatch(arn)
    return (match[1], match[2]) if match else None


class PreAnnotation:
    """AWS's pre-annotation function: the object and the job's labels under the names that its templates use."""

    def __init__(self, labels: Sequence[Mapping[str, Any]]) -> None:
        self._labels = labels

    def invoke(self, event: Any) -> Any:
        """Return ``taskInput`` for one line of the manifest."""
        line = event["dataObject"]
        names = [each["label"] for each in self._labels]
        rich = any(len(each) > 1 for each in self._labels)  # display names, as entity annotation has them
        return {
            "taskInput": {
                "taskObject": line["source"] if "source" in line else line["source-ref"],
                "labels": list(self._labels) if rich else names,
                "manifestLine": {name: value for name, value in line.items() if name != NAMES},
            },
            "isHumanAnnotationRequired": True,
        }


class Consolidation:
    """AWS's consolidation function for one task type; its content holds the label and its metadata.

    Parameters
    ----------
    task : str
        Of :data:`TASKS`.
    labels : sequence of mapping
        The label category file's.
    s3
        boto3 S3 client, for payloads.
    """

    def __init__(self, task: str, labels: Sequence[Mapping[str, Any]], s3: Any) -> None:
        self._task, self._labels, self._s3 = task, labels, s3
        self._classes = [str(each["label"]) for each in labels]

    def invoke(self, event: Any) -> Any:
        """Consolidate the payload; objects without an answer that can be used are left out."""
        payload = json.loads(storage.read_text(event["payload"]["s3Uri"], s3=self._s3))
        answers = {
            entry["datasetObjectId"]: {
                answer["workerId"]: found
                for answer in entry["annotations"]
                if (found := self._found(json.loads(answer["annotationData"]["content"]))) is not None
            }
            for entry in payload
        }
        attribute = event["labelAttributeName"]
        merge = {"boundingBoxes": self._boxes, "entities": self._spans, "labels": self._sets, "label": self._single}
        results = merge[self._member](answers)
        return [
            {
                "datasetObjectId": number,
                "consolidatedAnnotation": {
                    "content": {attribute: label, f"{attribute}-metadata": {**more, "type": TASKS[self._task]}}
                },
            }
            for number, label, more in results
        ]

    @property
    def _member(self) -> str:
        if self._task == "BoundingBox":
            return "boundingBoxes"
        if self._task == "NamedEntityRecognition":
            return "entities"
        return "labels" if self._task.endswith("MultiLabel") else "label"

    def _found(self, content: Any) -> Any:
        """Return the widget's value in a form, whatever the widget is called; None where there is none."""
        for value in content.values() if isinstance(content, dict) else ():
            if isinstance(value, dict) and _usable(self._member, value.get(self._member)):
                return value
        return None

    def _single(self, answers: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
        rows = [
            (number, worker, value["label"])
            for number, given in answers.items()
            for worker, value in given.items()
            if value["label"] in self._classes
        ]
        for number, label, confidence in _consolidated(rows, self._classes):
            alone = sum(row[0] == number for row in rows) == 1
            more: dict[str, Any] = {"class-name": label, "confidence": 0.0 if alone else confidence}
            if "Verification" in self._task:
                comments = [value.get("workerComment") for value in answers[number].values()]
                more["worker-feedback"] = [{"comment": comment} for comment in comments if comment]
            yield number, self._classes.index(label), more

    def _sets(self, answers: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
        chosen: dict[str, dict[str, float]] = {number: {} for number, given in answers.items() if given}
        for label in self._classes:
            rows = [
                (number, worker, "yes" if label in value["labels"] else "no")
                for number, given in answers.items()
                for worker, value in given.items()
            ]
            somebody = {number for number, _, said in rows if said == "yes"}
            if not somebody:
                continue
            for number, winner, confidence in _consolidated(rows, ["no", "yes"]):
                if number in somebody:
                    sure = confidence if winner == "yes" else round(1 - confidence, 2)
                    chosen[number][label] = 0.0 if len(answers[number]) == 1 else min(_MOST, sure)
        for number, labels in chosen.items():
            ids = {str(self._classes.index(label)): label for label in labels}
            confidences = {str(self._classes.index(label)): value for label, value in labels.items()}
            yield number, [int(id_) for id_ in ids], {"class-map": ids, "confidence-map": confidences}

    def _boxes(self, answers: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
        for number, given in answers.items():
            if not given:
                continue
            groups = _groups([value["boundingBoxes"] for value in given.values()], _box_overlap)
            kept = [group for group in groups if group[0]["label"] in self._classes]
            places = [
                {
                    "class_id": self._classes.index(group[0]["label"]),
                    **{side: round(_mean(box[side] for box in group)) for side in ("top", "left", "height", "width")},
                }
                for group in kept
            ]
            size = next(iter(given.values())).get("inputImageProperties")
            size = size if isinstance(size, dict) else {}
            label = {
                "image_size": [{"width": size.get("width"), "height": size.get("height"), "depth": 3}],
                "annotations": places,
            }
            names = {str(self._classes.index(group[0]["label"])): group[0]["label"] for group in kept}
            yield number, label, {"objects": _shares(kept, len(given)), "class-map": names}

    def _spans(self, answers: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
        for number, given in answers.items():
            if not given:
                continue
            groups = _groups([value["entities"] for value in given.values()], _span_overlap)
            kept = [group for group in groups if group[0]["label"] in self._classes]
            entities = [
                {
                    "label": group[0]["label"],
                    **{end: _middle(span[end] for span in group) for end in ("startOffset", "endOffset")},
                }
                for group in kept
            ]
            label = {"annotations": {"entities": entities, "labels": list(self._labels)}}
            yield number, label, {"entities": _shares(kept, len(given))}


def _usable(member: str, value: Any) -> bool:
    """Tell whether a widget's value has the form that the consolidation reads; workers can send anything."""
    if member == "label":
        return isinstance(value, str)
    if not isinstance(value, list):
        return False
    if member == "labels":
        return all(isinstance(each, str) for each in value)
    sides = ("startOffset", "endOffset") if member == "entities" else ("top", "left", "height", "width")
    return all(
        isinstance(each, dict)
        and isinstance(each.get("label"), str)
        and all(type(each.get(side)) in (int, float) and abs(each[side]) < 1e9 for side in sides)
        for each in value
    )


def _consolidated(rows: Sequence[tuple[str, str, str]], classes: Sequence[str]) -> Iterator[tuple[str, str, float]]:
    """Yield item, label and confidence by the published method."""
    import pandas as pd

    from gandt.consensus import consolidate

    if not rows:
        return
    table = pd.DataFrame(rows, columns=["item", "worker", "label"])
    found = consolidate(table, method="ground-truth", categories=classes, dependence=0.0)
    # an empty string isn't an answer: an object that got nothing else has no label
    answered = found.labels[found.labels["label"].notna()]
    for item, label, confidence in answered[["item", "label", "confidence"]].itertuples(index=False):
        yield str(item), str(label), round(min(_MOST, float(confidence)), 2)


def _groups(
    drawn: Sequence[Sequence[Mapping[str, Any]]], overlap: Callable[[Any, Any], float]
) -> list[list[Mapping[str, Any]]]:
    """Return what at least half of the workers drew alike, each group with one piece by each of them."""
    groups: list[list[Mapping[str, Any]]] = []
    for pieces in drawn:
        free = list(range(len(groups)))
        for piece in pieces:
            near = [
                (_mean(overlap(piece, other) for other in groups[index]), index)
                for index in free
                if groups[index][0]["label"] == piece["label"]
            ]
            best, index = max(near, default=(0.0, -1))
            if best >= _ALIKE:
                groups[index].append(piece)
                free.remove(index)
            else:
                groups.append([piece])
    return [group for group in groups if 2 * len(group) >= len(drawn)]


def _shares(groups: Sequence[Sequence[Any]], workers: int) -> list[dict[str, float]]:
    """Return confidences: the share of the workers who drew each group, none for a single worker."""
    return [{"confidence": 0.0 if workers == 1 else round(min(_MOST, len(group) / workers), 2)} for group in groups]


def _box_overlap(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    wide = min(one["left"] + one["width"], other["left"] + other["width"]) - max(one["left"], other["left"])
    high = min(one["top"] + one["height"], other["top"] + other["height"]) - max(one["top"], other["top"])
    both = max(0.0, wide) * max(0.0, high)
    whole = one["width"] * one["height"] + other["width"] * other["height"] - both
    return both / whole if whole else 0.0


def _span_overlap(one: Mapping[str, int], other: Mapping[str, int]) -> float:
    both = min(one["endOffset"], other["endOffset"]) - max(one["startOffset"], other["startOffset"])
    whole = max(one["endOffset"], other["endOffset"]) - min(one["startOffset"], other["startOffset"])
    return max(0, both) / whole if whole else 0.0


def _mean(values: Iterator[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


def _middle(values: Iterator[int]) -> int:
    listed = sorted(values)
    return listed[(len(listed) - 1) // 2]
