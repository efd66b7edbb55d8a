"""An augmented manifest, as Ground Truth's built-in jobs leave it.

https://docs.aws.amazon.com/sagemaker/latest/dg/sms-data-output.html
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from gandt import storage
from gandt.errors import InputError
from gandt.export.classes import Classes
from gandt.export.files import Sizes
from gandt.export.rows import Labelled
from gandt.export.selection import Selection
from gandt.manifest.check import check_label_attribute
from gandt.manifest.lines import named


def to_manifest(
    selection: Selection,
    out: str,
    classes: Classes,
    sizes: Sizes,
    *,
    attribute: str = "label",
    uploaded: Mapping[str, str] | None = None,
    s3: Any = None,
) -> None:
    """Write one label an item as classification, several as multi-label, boxes as object detection.

    A confidence that nobody knows is left out (0 would say "surely wrong"), as ``human-annotated`` is where nobody
    knows who made the label. ``status`` and ``method`` are gandt's own, beside the contract's keys. Items that are
    ``uploaded`` stand at their addresses there, and their names beside them.

    Raises
    ------
    InputError
        When ``attribute`` can't be a label attribute's name.
    """
    for _, _, problem in (each for each in check_label_attribute(attribute) if each[0] == "error"):
        raise InputError(problem)
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    domain = "text" if selection.text else "image"
    lines = []
    for each in selection.items:
        if "box" in selection.kinds:
            value, more = _boxes(each, classes, sizes)
        elif "several" in selection.kinds:
            value, more = _several(each, classes, domain)
        else:
            value, more = _one(each, classes, domain)
        said = {"human-annotated": each.human, "status": each.status, "method": each.method}
        if each.human is not None:
            said["human-annotated"] = "yes" if each.human else "no"
        line = {
            "source" if selection.text else "source-ref": (uploaded or {}).get(each.item, each.item),
            attribute: value,
            f"{attribute}-metadata": {
                **more,
                **{key: entry for key, entry in said.items() if entry is not None},
                "creation-date": moment,
                "job-name": "gandt",
            },
        }
        lines.append(json.dumps(named(line, [each.item]), ensure_ascii=False))
    storage.write_text(out, "\n".join(lines) + "\n", s3=s3, content_type="application/jsonlines")


def _one(each: Labelled, classes: Classes, domain: str) -> tuple[Any, dict[str, Any]]:
    (label,) = each.labels
    sure = {} if label.confidence is None else {"confidence": label.confidence}
    return classes[label.name], {"class-name": label.name, **sure, "type": f"groundtruth/{domain}-classification"}


def _several(each: Labelled, classes: Classes, domain: str) -> tuple[Any, dict[str, Any]]:
    sure = {str(classes[label.name]): label.confidence for label in each.labels if label.confidence is not None}
    return [classes[label.name] for label in each.labels], {
        "class-map": {str(classes[label.name]): label.name for label in each.labels},
        "confidence-map": sure,
        "type": f"groundtruth/{domain}-classification-multilabel",
    }


def _boxes(each: Labelled, classes: Classes, sizes: Sizes) -> tuple[Any, dict[str, Any]]:
    width, height = sizes.of(each)
    boxes = []
    for label in each.labels:
        left, top, wide, high = label.shape.box if label.shape else (0, 0, 0, 0)
        boxes.append({"class_id": classes[label.name], "top": top, "left": left, "height": high, "width": wide})
    value = {"image_size": [{"width": width, "height": height, "depth": 3}], "annotations": boxes}
    return value, {
        "objects": [{} if label.confidence is None else {"confidence": label.confidence} for label in each.labels],
        "class-map": {str(classes[label.name]): label.name for label in each.labels},
        "type": "groundtruth/object-detection",
    }
