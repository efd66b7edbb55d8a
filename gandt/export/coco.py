"""COCO's object detection and segmentation JSON. https://cocodataset.org/#format-data ."""

import json
from typing import Any

from gandt import storage
from gandt.errors import InputError
from gandt.export.classes import Classes
from gandt.export.files import Names, Sizes, must_be_images, placed, write_folder
from gandt.export.rows import Label, Labelled
from gandt.export.selection import Selection
from gandt.export.shapes import around, run_length
from gandt.progress import track

#: the class that Ground Truth's masks have for what nobody painted
BACKGROUND = "BACKGROUND"


def to_coco(
    selection: Selection,
    out: str,
    classes: Classes,
    sizes: Sizes,
    *,
    images: bool = False,
    link: bool = False,
    s3: Any = None,
) -> None:
    """Write boxes, polygons and masks; category ids are the classes' numbers plus one, for COCO counts from 1.

    Without ``images``, ``out`` is the JSON file, ``file_name`` the item's address, and an image that has boxes alone
    has its size only where labels or the store know it. With ``images``, ``out`` is a folder of ``annotations.json``
    and ``images/``, and ``file_name`` is relative to that folder. ``confidence``, ``human``, ``status`` and ``method``
    stand on each annotation, an item that nothing was found on has none. A mask is one annotation of its class,
    run-length encoded.
    """
    names = [each.item for each in selection.items]
    files: dict[str, str] = {}
    if images:
        must_be_images(selection.items, "COCO")
        found = placed(selection.items, lambda _: "images/", Names())
        files, names = {name: each.item for name, each in found.items()}, list(found)
    described: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    without = 0
    pairs = track(list(zip(selection.items, names, strict=True)), "reading shapes")
    for number, (each, name) in enumerate(pairs, 1):
        drawn = any(label.shape and label.shape.kind != "box" for label in each.labels)  # readers need the size then
        size = sizes.of(each) if images or drawn else sizes.known(each)
        image: dict[str, Any] = {"id": number, "file_name": name}
        described.append(image | ({} if size is None else {"width": size[0], "height": size[1]}) | {"item": each.item})
        without += size is None
        for label in each.labels:
            if label.name == BACKGROUND and label.shape and label.shape.kind == "mask":
                selection.left_out["a mask's background"] += 1
                continue
            place = _place(each, label, s3)
            if place is None:
                selection.left_out["classes without a pixel on their mask"] += 1
                continue
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": classes[label.name] + 1, **place}
                | {"iscrowd": 0, **_more(each, label)}
            )
    if without:
        selection.notes.append(
            f"the size of {without:,} images isn't known, so COCO's width and height are left out; give --store or "
            "--images"
        )
    content = {
        "images": described,
        "annotations": annotations,
        "categories": [
            {"id": number + 1, "name": name, "supercategory": ""}
            for name, number in classes.numbers.items()
            if name != BACKGROUND or "mask" not in selection.kinds
        ],
    }
    text = json.dumps(content, ensure_ascii=False)
    if images:
        write_folder(out, files, {"annotations.json": text.encode()}, link=link, s3=s3)
    else:
        storage.write_text(out, text, s3=s3, content_type="application/json")


def _place(each: Labelled, label: Label, s3: Any) -> dict[str, Any] | None:
    shape = label.shape
    if shape is None:
        raise InputError(f"{each.item} has a label that is no shape; COCO holds boxes, polygons and masks")
    if shape.kind == "mask":
        return run_length(each.item, shape, s3=s3)
    if shape.kind == "polygon":
        box, area = around(shape.points)
        return {"segmentation": [[side for point in shape.points for side in point]], "bbox": list(box), "area": area}
    return {"bbox": list(shape.box), "area": shape.box[2] * shape.box[3]}


def _more(each: Labelled, label: Label) -> dict[str, Any]:
    said = {"confidence": label.confidence, "human": each.human, "status": each.status, "method": each.method}
    return {key: value for key, value in said.items() if value is not None}
