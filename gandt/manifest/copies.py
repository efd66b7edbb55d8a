"""What of a file is sent to be seen by workers: itself where any browser shows it rightly, else a copy that it does.

Browsers disagree on orientation, CMYK, 16 bits, HEIC and TIFF, and play animations of which the embedding saw the first
frame only. Such files are sent as upright RGB copies of 8 bits: JPEG where the source is lossy, PNG where it isn't.
Deep pictures come to 8 bits as they do for the embedding (:func:`gandt.images.eight_bits`).
"""

import io
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

from PIL import Image

from gandt.images import BadImageError, opened, upright

QUALITY = 92  # of JPEG copies
VERSION = 1  # counts changes below that make other copies of the same file

CONTENT_TYPES = {
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".bmp": "image/bmp",
    # sounds are sent as they are
    ".mp3": "audio/mpeg",
    ".wav": "audio/wav",
    ".ogg": "audio/ogg",
    ".oga": "audio/ogg",
    ".opus": "audio/ogg",
    ".flac": "audio/flac",
    ".m4a": "audio/mp4",
    ".aac": "audio/aac",
}
_SHOWN = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "GIF": ".gif", "WEBP": ".webp", "BMP": ".bmp"}
_LOSSY = ("JPEG", "MPO", "HEIF", "AVIF", "JPEG2000")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")


@dataclass(frozen=True)
class Plan:
    """How a file is to be sent.

    Attributes
    ----------
    suffix : str
        Of what is sent, such as ``.jpg``.
    convert : bool
        Whether its pixels are written anew.
    strip : bool
        Whether metadata is cut out of the file.
    recipe : bytes
        Part of the copy's name: differs where another rule makes another copy of the same file.
    """

    suffix: str
    convert: bool = False
    strip: bool = False
    recipe: bytes = b""


def plan(content: bytes, name: str, *, max_side: int | None = None, strip: bool = False) -> Plan:
    """Look at a file's head and say how to send it.

    Raises
    ------
    BadImageError
        With the reason why it can't be shown.
    """
    suffix = PurePath(name).suffix.lower()
    if CONTENT_TYPES.get(suffix, "").startswith("audio/"):
        if not content:
            raise BadImageError("the file is empty (0 bytes)")
        return Plan(suffix)
    with opened(content) as image:
        kind = image.format or ""
        frames = getattr(image, "n_frames", 1) if kind != "MPO" else 1  # a phone's JPEG with a preview inside
        rightly = kind in _SHOWN and image.mode in _MODES and frames == 1 and image.getexif().get(0x0112, 1) == 1
        fits = max_side is None or max(image.size) <= max_side
        rewritten = strip and kind in ("WEBP", "GIF") and _has_metadata(image)
        if rightly and not _whole(content, kind):
            _load(image)  # decoders forgive a missing end, so they have the last word
        if rightly and fits and not rewritten:
            return Plan(_SHOWN[kind], strip=strip and kind in ("JPEG", "MPO", "PNG"))
        deep = image.mode in ("I", "F") or image.mode.startswith("I;16") or not kind
        recipe = b"deep pixels, rule 2" if deep else b""  # rule 1 left most of them black
        return Plan(".jpg" if kind in _LOSSY else ".png", convert=True, recipe=recipe)


def carry_out(made: Plan, content: bytes, *, max_side: int | None = None, strip: bool = False) -> bytes:
    """Return what is sent of a file, by its plan.

    Raises
    ------
    BadImageError
        With the reason why it can't be shown.
    """
    if made.convert:
        return _converted(content, made.suffix, max_side, strip)
    if made.strip:
        return strip_jpeg(content) if made.suffix == ".jpg" else strip_png(content)
    return content


def _converted(content: bytes, suffix: str, max_side: int | None, strip: bool) -> bytes:
    with opened(content) as image:
        profile = image.info.get("icc_profile") if image.mode == "RGB" else None
        exif = image.getexif()
        if max_side is not None:
            image.draft("RGB", (max_side, max_side))  # of effect for JPEG only: decodes at a smaller scale
        copy = upright(image)
        copy.load()
        if max_side is not None:
            copy.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    exif.pop(0x0112, None)
    written = io.BytesIO()
    options = {} if strip or not len(exif) else {"exif": exif.tobytes()}
    if profile:
        options["icc_profile"] = profile
    if suffix == ".jpg":
        copy.save(written, "JPEG", quality=QUALITY, optimize=True, **options)
    else:
        copy.save(written, "PNG", **options)
    return written.getvalue()


def _whole(content: bytes, kind: str) -> bool:
    """Say whether a file's structure reaches its end, which is far quicker to see than its pixels."""
    try:
        if kind in ("JPEG", "MPO"):
            strip_jpeg(content)
        elif kind == "PNG":
            strip_png(content)
        else:
            return False
    except BadImageError:
        return False
    return True


def _load(image: Image.Image) -> None:
    try:
        image.load()
    except Exception as error:  # decoders of hostile files raise anything
        raise BadImageError(f"its pixels can't be read ({error})") from None


def _has_metadata(image: Image.Image) -> bool:
    return any(key in image.info for key in ("exif", "xmp", "comment", "XML:com.adobe.xmp"))


# --- cutting metadata out, without touching a pixel -----------------------------------------------------------------

_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


def strip_jpeg(content: bytes) -> bytes:
    """Return a JPEG without EXIF, XMP, IPTC, comments, previews, and whatever follows the picture; pixels stay.

    The JFIF header, the colour profile (APP2) and Adobe's colour transform (APP14) stay: they change what is seen.

    Raises
    ------
    BadImageError
        When the file's structure is broken.
    """
    if content[:2] != b"\xff\xd8":
        raise BadImageError("it is no JPEG")
    parts, place = [content[:2]], 2
    while True:
        while content[place : place + 2] == b"\xff\xff":  # fill bytes
            place += 1
        marker = content[place + 1 : place + 2]
        if content[place : place + 1] != b"\xff" or not marker:
            raise BadImageError(f"its JPEG structure is broken at byte {place:,}")
        if marker == b"\xd9":
            parts.append(b"\xff\xd9")
            return b"".join(parts)
        if place + 4 > len(content):
            raise BadImageError("the JPEG is cut off")
        end = place + 2 + struct.unpack_from(">H", content, place + 2)[0]
        if _stays(marker[0], content[place + 4 : place + 18]):
            parts.append(content[place:end])
        if marker == b"\xda":  # a scan: compressed data up to the next marker
            found = _JPEG_MARKER.search(content, end)
            if found is None:
                raise BadImageError("the JPEG is cut off")
            parts.append(content[end : found.start()])
            end = found.start()
        place = end


def _stays(marker: int, head: bytes) -> bool:
    if marker == 0xE2:
        return head.startswith(b"ICC_PROFILE\0")
    return marker in (0xE0, 0xEE) or not (0xE0 <= marker <= 0xEF or marker == 0xFE)


def strip_png(content: bytes) -> bytes:
    """Return a PNG without texts, EXIF, time, and whatever follows the picture; pixels and colour profile stay.

    Raises
    ------
    BadImageError
        When the file's structure is broken.
    """
    kept = [content[:8]]
    for kind, chunk in _png_chunks(content):
        if kind not in (b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"tIME"):
            kept.append(chunk)
    return b"".join(kept)


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    place, kind = 8, b""
    while kind != b"IEND":
        if place + 8 > len(content):
            raise BadImageError("the PNG is cut off")
        length, kind = struct.unpack_from(">I4s", content, place)
        yield kind, content[place : place + 12 + length]
        place += 12 + length
