"""Pictures as networks want them: any file a pool may hold, decoded rightly or refused with a reason.

Orientation (EXIF) is applied, transparency is laid over white, pictures of 16 bits and more are brought to 8 by a rule
(:func:`eight_bits`), of an animation the first frame counts. JPEGs are decoded at the smallest scale that leaves twice
the pixels wanted.
"""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from gandt import storage

Pixels = np.ndarray[Any, np.dtype[np.uint8]]

EXTENSIONS = frozenset(
    f".{name}"
    for name in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "gif", "webp", "bmp", "dib", "tif", "tiff", "ppm", "pgm", "pbm", "pnm"),
        *("jp2", "j2k", "avif", "ico", "tga", "heic", "heif"),
    )
)

# Pillow also reads formats that start other programs (EPS runs Ghostscript); only these are tried.
_FORMATS = ["JPEG", "MPO", "PNG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "AVIF", "ICO", "TGA"]

MAX_PIXELS = 1_000_000_000  # in the file; beyond it a picture is refused unread
MAX_DECODED = 100_000_000  # in memory after a JPEG's reduced decoding: 300 MB as RGB
_BIG = 12_000_000  # such pictures are decoded one at a time, so that threads don't multiply their memory

# Pillow's own guard against decompression bombs warns at this size and raises at twice it; ours (below) comes first.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
_one_big = threading.Lock()
_starting = threading.Lock()


def list_images(place: str, *, s3: Any = None, left_out: storage.LeftOut | None = None) -> Iterator[str]:
    """Yield the addresses of the pictures below a folder or S3 prefix, known by their endings, in sorted order.

    Hidden files are left out: those with a dot in front of their name, or of a folder's below ``place``.

    Parameters
    ----------
    place : str
        A local folder or an ``s3://`` prefix.
    s3 : optional
        A boto3 S3 client.
    left_out : LeftOut, optional
        Gets what was left out; without it, a folder that can't be read is an error.

    Raises
    ------
    StorageError
        When the place can't be listed.
    """
    told = left_out if left_out is not None else storage.LeftOut()
    for uri in storage.list_uris(place, s3=s3, left_out=left_out):
        if told.takes(uri, EXTENSIONS, below=place):
            yield uri


class BadImageError(ValueError):
    """A file that is no picture, or none that can be used; ``str(error)`` is the reason."""


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes a network's input.

    Parameters
    ----------
    size : int
        Side of the square input, in pixels.
    crop : float
        The square's share of the shorter side: the picture is scaled so that its shorter side is ``size / crop``,
        and the centre is cut out.
    mean, std : tuple of float
        Per channel (RGB), of pixels in 0 … 1; the network's own code applies them.
    interpolation : {"bicubic", "bilinear", "lanczos", "nearest"}
        How the picture is scaled.
    """

    size: int = 224
    crop: float = 0.875
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    interpolation: str = "bicubic"


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (size, size, 3)
        RGB.
    width, height : int
        Of the file's picture as it is shown (orientation applied).
    """

    pixels: Pixels
    width: int
    height: int


def decode(content: bytes, preprocessing: Preprocessing) -> Picture:
    """Decode a file's content into a network's input (not yet normalised).

    Raises
    ------
    BadImageError
        With the reason why the file can't be used.
    """
    with opened(content) as image:
        width, height = image.size
        image.draft("RGB", (2 * preprocessing.size,) * 2)  # of effect for JPEG only
        # a progressive JPEG holds its whole picture in memory whatever the scale
        held = width * height if image.info.get("progressive") else image.width * image.height
        if held > MAX_DECODED:
            raise BadImageError(f"{width} x {height} pixels are more than the {MAX_DECODED:,} that may be in memory")
        if held > _BIG:
            with _one_big:
                return _decoded(image, width, height, preprocessing)
        return _decoded(image, width, height, preprocessing)


@contextmanager
def opened(content: bytes) -> Iterator[Image.Image]:
    """Open a file's content with Pillow, its pixels not decoded yet.

    Raises
    ------
    BadImageError
        With the reason, for whatever Pillow raises now or inside the block.
    """
    if not content:
        raise BadImageError("the file is empty (0 bytes)")
    try:
        with Image.open(io.BytesIO(content), formats=_formats()) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise BadImageError(f"{width} x {height} pixels are more than the {MAX_PIXELS:,} allowed")
            yield _with_its_depth(image, content)
    except UnidentifiedImageError:
        raise BadImageError(f"not a picture in a format that is read ({_kind(content)})") from None
    except BadImageError:
        raise
    except MemoryError:
        raise BadImageError("too big for this machine's memory") from None
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, …
        raise BadImageError(f"can't be decoded: {str(error) or type(error).__name__}") from None


def upright(image: Image.Image) -> Image.Image:
    """Return a picture as it is to be seen: first frame, EXIF orientation applied, RGB of 8 bits.

    Raises
    ------
    BadImageError
        When its pixels would need more memory than allowed.
    """
    if image.width * image.height > MAX_DECODED:
        raise BadImageError(
            f"{image.width} x {image.height} pixels are more than the {MAX_DECODED:,} that may be in memory"
        )
    turn = _TURNS.get(image.getexif().get(0x0112, 1))
    rgb = _rgb(image)
    return rgb if turn is None else rgb.transpose(turn)


def _decoded(image: Image.Image, width: int, height: int, preprocessing: Preprocessing) -> Picture:
    orientation = image.getexif().get(0x0112, 1)
    size = preprocessing.size
    rgb = _rgb(image)
    # scaling the shorter side to size / crop and cutting out the centre, in one step
    side = min(rgb.size) * min(preprocessing.crop, 1.0)
    # whole pixels of the scaled picture, as scaling first and cutting after would have it
    step = side / size
    left, top = (step * round((length - side) / 2 / step) for length in rgb.size)
    left, top = min(max(left, 0.0), rgb.width - side), min(max(top, 0.0), rgb.height - side)
    resample = Image.Resampling[preprocessing.interpolation.upper()]
    square = rgb.resize((size, size), resample, box=(left, top, left + side, top + side))
    turn = _TURNS.get(orientation)
    if turn is not None:
        square = square.transpose(turn)
        if orientation >= 5:
            width, height = height, width
    return Picture(np.asarray(square), width, height)


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return Image.fromarray(eight_bits(_values(image), known=image.format == "PPM")).convert("RGB")
    if image.mode in ("RGBA", "LA", "La", "RGBa", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _values(image: Image.Image) -> np.ndarray[Any, Any]:
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    if image.mode == "I" and tags.get(258) == (32,) and tags.get(339, (1,)) == (1,):  # Pillow reads them as signed
        return values.view(np.uint32)
    return values


_DEPTHS = (8, 10, 12, 14, 16)  # bits that cameras and scanners put into a file of 16 or 32 bits


def eight_bits(values: np.ndarray[Any, Any], *, known: bool = False) -> Pixels:
    """Scale deep pixels to 8 bits.

    Whole numbers from 0 to 65,535 are divided by the largest value of the smallest depth of 8, 10, 12, 14 or 16 bits
    that holds them all: nothing in a file tells how many of its 16 or 32 bits are used. Fractions from 0 to 1 are
    multiplied by 255; fractions from 0 to 255 of which some reaches a quarter of that stay. Of all else (negative or
    larger numbers) the smallest becomes 0 and the largest 255. Infinity becomes 255, minus infinity and NaN 0.

    Parameters
    ----------
    values : ndarray
        Integers or floats, any shape.
    known : bool
        Integers are known to use all of 16 bits.

    Returns
    -------
    ndarray of uint8, of the same shape
    """
    if not values.size:
        return values.astype(np.uint8)
    if np.issubdtype(values.dtype, np.integer):
        low, high = int(values.min()), int(values.max())
        if low >= 0 and high < 2**16:
            factor = 255.0 / (2 ** (16 if known else _depth(high)) - 1)
            table = np.clip(np.arange(2**16, dtype=np.float32) * factor, 0, 255).round().astype(np.uint8)
            scaled: Pixels = table[values]
            return scaled
        return _stretched(values.astype(np.float64), float(low), float(high))
    finite = values[np.isfinite(values)]
    low_, high_ = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if low_ >= 0 and (high_ <= 1 or 64 <= high_ <= 255):
        low_, high_ = 0.0, 1.0 if high_ <= 1 else 255.0
    return _stretched(np.nan_to_num(values, nan=low_, posinf=high_, neginf=low_), low_, high_)


def _depth(largest: int) -> int:
    return next(depth for depth in _DEPTHS if largest < 2**depth)


def _stretched(numbers: np.ndarray[Any, Any], low: float, high: float) -> Pixels:
    scaled: Pixels = np.clip((numbers - low) * (255.0 / max(high - low, 1e-12)), 0, 255).round().astype(np.uint8)
    return scaled


def _with_its_depth(image: Image.Image, content: bytes) -> Image.Image:
    """Return a PNG in colour by :func:`eight_bits`, where of 16 bits a channel 14 or fewer are used; else as it is.

    Pillow reads the upper 8 of the 16, of which little or nothing is left then. So the lower ones are read, too: from
    the same bytes, taken for those of the other order.
    """
    deep = image.format == "PNG" and content[24:25] == b"\x10" and content[25] in (2, 4, 6)
    if not deep or "transparency" in image.info or image.width * image.height > MAX_DECODED:
        return image
    upper = np.asarray(image)
    if upper.ndim < 3 or upper[..., :3].max() >= 2**6:
        return image
    values = upper.astype(np.uint16) << 8
    with Image.open(io.BytesIO(content), formats=["PNG"]) as again:
        tile = again.tile[0]
        if tile.args in ("RGB;16B", "RGBA;16B"):  # of grey with alpha the lower bits can't be read this way
            again.tile = [tile._replace(args=str(tile.args).replace("16B", "16L"))]
            values |= np.asarray(again)
    channels = [eight_bits(values[..., :3]), *(eight_bits(values[..., 3:]) for _ in range(upper.shape[2] - 3))]
    scaled = Image.fromarray(np.concatenate(channels, axis=2))
    scaled.info = {key: value for key, value in image.info.items() if key in ("exif", "icc_profile")}
    return scaled


@lru_cache(maxsize=1)
def _register_formats() -> list[str]:
    Image.init()  # Pillow's own lazy start isn't safe among threads
    with suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    return [name for name in [*_FORMATS, "HEIF"] if name in Image.OPEN]


def _formats() -> list[str]:
    with _starting:
        return _register_formats()


def _kind(content: bytes) -> str:
    """Name what a file seems to hold, for the reason."""
    head = content[:512].lstrip()
    if content[4:8] == b"ftyp" and content[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"hevc"):
        return "it is a broken HEIC file" if "HEIF" in _formats() else "it is HEIC; run: pip install 'gandt[heic]'"
    for start, name in (
        (b"%PDF", "PDF"),
        (b"PK", "a zip archive"),
        (b"%!PS", "PostScript"),
        (b"{", "JSON"),
        (b"<", "HTML, XML or SVG"),
    ):
        if head.startswith(start):
            return f"it looks like {name}"
    return f"it starts with {content[:4].hex(' ')}"
