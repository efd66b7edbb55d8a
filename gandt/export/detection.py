"""Images with boxes for detectors: Ultralytics' YOLO layout (polygons, too) and Pascal VOC's XML."""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any
from xml.etree import ElementTree

from gandt.errors import InputError
from gandt.export.classes import Classes
from gandt.export.files import Names, Sizes, must_be_images, placed, write_folder
from gandt.export.folders import RECORD, record
from gandt.export.rows import Label, Labelled
from gandt.export.selection import Selection

# of the endings that gandt reads, those that Ultralytics lists (ultralytics/data/utils.py, IMG_FORMATS)
_YOLO_ENDINGS = frozenset(f".{name}" for name in ("bmp", "jpeg", "jpg", "png", "tif", "tiff", "webp"))
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # https://www.w3.org/TR/xml/#charsets


def to_yolo(
    selection: Selection, out: str, classes: Classes, sizes: Sizes, *, link: bool = False, s3: Any = None
) -> None:
    """Write ``data.yaml``, ``images/train/`` and ``labels/train/``, a text file for each image.

    A line is ``class centre-x centre-y width height``, or ``class x y x y …`` of a polygon, as shares of the image.
    What such a line has no place for (confidence, status, who made it) stands in ``labels.parquet``.
    https://docs.ultralytics.com/datasets/detect/
    """
    if len(selection.kinds) > 1:
        raise InputError("YOLO's files hold boxes or polygons, and these labels are both; export them apart")
    must_be_images(selection.items, "YOLO", _YOLO_ENDINGS)
    names = classes.ordered("YOLO")
    files = placed(selection.items, lambda _: "images/train/", Names(), alone=True)
    texts = {"data.yaml": _data_yaml(names).encode(), RECORD: record(files)}
    for name, each in files.items():
        size = sizes.of(each)
        lines = [" ".join([str(classes[label.name]), *map(_share, _shares(label, size))]) for label in each.labels]
        text = PurePosixPath("labels/train") / f"{PurePosixPath(name).stem}.txt"
        texts[str(text)] = "".join(line + "\n" for line in lines).encode()
    selection.notes.append(
        "data.yaml names no images for validation, which YOLO's training wants: split the labels, export both parts "
        "with the same --category, and name the other's images under val"
    )
    write_folder(out, {name: each.item for name, each in files.items()}, texts, link=link, s3=s3)


def _data_yaml(names: Iterable[str]) -> str:
    listed = "".join(f"  {number}: {_quoted(name)}\n" for number, name in enumerate(names))
    return f"train: images/train\nval:  # name a folder of images that aren't trained on\nnames:\n{listed}"


def _quoted(text: str) -> str:
    """Return a YAML string that any reader takes for this text, whatever it holds."""
    plain = (each if 32 <= ord(each) < 127 and each not in '"\\' else f"\\U{ord(each):08x}" for each in text)
    return '"' + "".join(plain) + '"'


def _shares(label: Label, size: tuple[int, int]) -> list[float]:
    width, height = size
    if label.shape and label.shape.kind == "polygon":
        return [part for x, y in label.shape.points for part in (x / width, y / height)]
    left, top, wide, high = label.shape.box if label.shape else (0, 0, 0, 0)
    return [(left + wide / 2) / width, (top + high / 2) / height, wide / width, high / height]


def _share(value: float) -> str:
    return f"{value:.10f}".rstrip("0").rstrip(".")


def to_voc(
    selection: Selection, out: str, classes: Classes, sizes: Sizes, *, link: bool = False, s3: Any = None
) -> None:
    """Write ``JPEGImages/``, ``Annotations/*.xml`` and ``ImageSets/Main/trainval.txt``.

    ``xmin`` and ``ymin`` are the box's left and top, counted from 0 as labelImg does, ``xmax`` and ``ymax`` its
    left + width and top + height. ``item``, and on each object ``confidence``, ``status``, ``method`` and ``human``
    are additions. http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/
    """
    must_be_images(selection.items, "Pascal VOC")
    files = placed(selection.items, lambda _: "JPEGImages/", Names(), alone=True)
    stems = [PurePosixPath(name).stem for name in files]
    texts = {"ImageSets/Main/trainval.txt": "".join(stem + "\n" for stem in stems).encode()}
    for (name, each), stem in zip(files.items(), stems, strict=True):
        texts[f"Annotations/{stem}.xml"] = _xml(PurePosixPath(name).name, each, sizes.of(each))
    write_folder(out, {name: each.item for name, each in files.items()}, texts, link=link, s3=s3)


def _xml(name: str, each: Labelled, size: tuple[int, int]) -> bytes:
    root = ElementTree.Element("annotation")
    _add(root, {"folder": "JPEGImages", "filename": name}, each)
    _add(ElementTree.SubElement(root, "source"), {"database": "gandt"}, each)
    _add(ElementTree.SubElement(root, "size"), {"width": size[0], "height": size[1], "depth": 3}, each)
    _add(root, {"segmented": 0, "item": each.item}, each)
    for label in each.labels:
        found = ElementTree.SubElement(root, "object")
        _add(found, {"name": label.name, "pose": "Unspecified", "truncated": 0, "difficult": 0}, each)
        left, top, wide, high = label.shape.box if label.shape else (0, 0, 0, 0)
        sides = {"xmin": left, "ymin": top, "xmax": left + wide, "ymax": top + high}
        _add(ElementTree.SubElement(found, "bndbox"), sides, each)
        human = None if each.human is None else "yes" if each.human else "no"
        said = {"confidence": label.confidence, "status": each.status, "method": each.method, "human": human}
        _add(found, {key: value for key, value in said.items() if value is not None}, each)
    ElementTree.indent(root)
    # a reader of XML makes \n of a bare \r
    text = ElementTree.tostring(root, encoding="unicode").replace("\r", "&#13;")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def _add(parent: ElementTree.Element, texts: Mapping[str, Any], each: Labelled) -> None:
    for key, value in texts.items():
        text = str(value)
        if bad := _NO_XML.search(text):
            raise InputError(
                f"{each.item} has the {key} {text!r}, and XML can't hold the character U+{ord(bad[0]):04X}; take COCO"
            )
        ElementTree.SubElement(parent, key).text = text
