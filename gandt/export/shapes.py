"""Boxes, polygons and masks, as a label's ``value`` has them in JSON, in pixels of the image as it is shown.

========  ===========================================================================  ===============================
kind      value                                                                        comes from
========  ===========================================================================  ===============================
box       ``{"left": 5, "top": 6, "width": 20, "height": 10}``                         crowd-bounding-box, manifests
polygon   ``{"vertices": [{"x": 1, "y": 2}, …]}``                                      crowd-polygon
mask      ``{"mask": "s3://bucket/mask.png", "hex-color": "#1f77b4"}``, a class of it  semantic segmentation manifests
========  ===========================================================================  ===============================
"""

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from gandt import storage
from gandt.errors import InputError, extra
from gandt.images import BadImageError, opened, upright

Box = tuple[float, float, float, float]  # left, top, width, height
_SIDES = ("left", "top", "width", "height")


@dataclass(frozen=True)
class Shape:
    """Where on an image a label is: a box, a polygon's corners (at least three), or a colour of a mask."""

    kind: str
    box: Box = (0, 0, 0, 0)
    points: tuple[tuple[float, float], ...] = ()
    mask: str = ""
    colour: str = ""


def shape_of(item: str, value: Any) -> Shape | None:
    """Return the shape that a label's ``value`` holds, None where it holds none.

    Raises
    ------
    InputError
        When it holds a shape that can't be one.
    """
    try:
        found = json.loads(value) if isinstance(value, str) and value else value
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    if set(_SIDES) <= set(found):
        left, top, width, height = (_coordinate(item, found[side], "box") for side in _SIDES)
        if width <= 0 or height <= 0:
            raise InputError(f"{item} has a box without area (width {width:g}, height {height:g}); mend or remove it")
        return Shape("box", (left, top, width, height))
    if isinstance(found.get("vertices"), list):
        corners = [corner if isinstance(corner, dict) else {} for corner in found["vertices"]]
        if len(corners) < 3:
            raise InputError(
                f"{item} has a polygon of {len(corners)} corners, and three are the least; mend or remove it"
            )
        points = tuple(
            (_coordinate(item, corner.get("x"), "polygon"), _coordinate(item, corner.get("y"), "polygon"))
            for corner in corners
        )
        return Shape("polygon", points=points)
    if isinstance(found.get("mask"), str) and isinstance(found.get("hex-color"), str):
        return Shape("mask", mask=found["mask"], colour=found["hex-color"])
    return None


def _coordinate(item: str, value: Any, what: str) -> float:
    known = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not known or abs(value) > 1e9:
        raise InputError(
            f"{item} has a {what} with {str(value)[:40]!r} where a number of pixels belongs; mend or remove it"
        )
    number: float = value  # an int stays one
    return number


def inside(item: str, shape: Shape, size: tuple[int, int] | None) -> Shape:
    """Return a shape cut to its image of ``size`` (width, height); None: only what lies left of or above it is cut.

    Raises
    ------
    InputError
        When a box lies outside of the image, or a polygon leaves it.
    """
    wide, high = size or (math.inf, math.inf)
    of = f"its image of {wide} x {high}" if size else "any image"
    if shape.kind == "polygon" and any(not (0 <= x <= wide and 0 <= y <= high) for x, y in shape.points):
        raise InputError(f"{item} has a polygon that leaves {of}; mend or remove it")
    if shape.kind != "box":
        return shape
    left, top, width, height = shape.box
    right, bottom = min(left + width, wide), min(top + height, high)
    if (left, top) == (max(left, 0), max(top, 0)) and (right, bottom) == (left + width, top + height):
        return shape
    left, top = max(left, 0), max(top, 0)
    if right <= left or bottom <= top:
        raise InputError(
            f"{item} has a box outside of {of} ({', '.join(f'{side:g}' for side in shape.box)}); mend or remove it"
        )
    return Shape("box", (left, top, right - left, bottom - top))


def around(points: tuple[tuple[float, float], ...]) -> tuple[Box, float]:
    """Return the box around a polygon, and its area (by the shoelace formula, in square pixels)."""
    across, down = zip(*points, strict=True)
    area = 0.0
    for (x, y), (next_x, next_y) in zip(points, (*points[1:], points[0]), strict=True):
        area += x * next_y - next_x * y
    return (min(across), min(down), max(across) - min(across), max(down) - min(down)), abs(area) / 2


def run_length(item: str, shape: Shape, *, s3: Any = None) -> dict[str, Any] | None:
    """Return COCO's ``segmentation`` (compressed run-length), ``bbox`` and ``area`` of a mask's colour; None: no pixel.

    Raises
    ------
    InputError
        When the mask is no picture, or its colour none.
    MissingExtraError
        Without pycocotools.
    StorageError
        When the mask can't be read.
    """
    with extra("export", "run-length encoding of masks"):
        from pycocotools import mask as coco
    try:
        colour = bytes.fromhex(shape.colour.removeprefix("#"))
        if len(colour) != 3:
            raise ValueError
    except ValueError:
        raise InputError(f"{item} has a mask of the colour {shape.colour[:40]!r}; write it as #1f77b4") from None
    try:
        with opened(storage.read_bytes(shape.mask, s3=s3)) as picture:
            pixels = np.asarray(upright(picture))
    except BadImageError as error:
        raise InputError(f"{shape.mask}, the mask of {item}, can't be used: {error}") from None
    found = (pixels == np.frombuffer(colour, np.uint8)).all(axis=2)
    if not found.any():
        return None
    encoded = coco.encode(np.asfortranarray(found.astype(np.uint8)))
    return {
        "segmentation": {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode("ascii")},
        "bbox": [float(side) for side in coco.toBbox(encoded)],
        "area": int(coco.area(encoded)),
    }
