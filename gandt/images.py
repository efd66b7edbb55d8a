"""Pictures as networks want them: any file a pool may hold, decoded rightly or refused with a reason.

Orientation (EXIF) is applied, transparency is laid over white, 16-bit and float pictures are brought to 8 bits,
of an animation the first frame counts. JPEGs are decoded at the smallest scale that leaves twice the pixels wanted.
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
            yield image
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
        return Image.fromarray(_eight_bits(np.asarray(image), image.mode)).convert("RGB")
    if image.mode in ("RGBA", "LA", "La", "RGBa", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _eight_bits(values: np.ndarray[Any, Any], mode: str) -> Pixels:
    """Scale 16-bit values by their full range, and float values by 1, 255 or, beyond these, their own range."""
    numbers = np.nan_to_num(values.astype(np.float32))
    if mode != "F":
        high = 65535.0 if numbers.max() > 255 or mode.startswith("I;16") else 255.0
        low = 0.0
    else:
        low, high = float(numbers.min()), float(numbers.max())
        if low >= 0 and high <= 255:
            low, high = 0.0, 1.0 if high <= 1 else 255.0
    scaled: Pixels = np.clip((numbers - low) * (255.0 / max(high - low, 1e-12)), 0, 255).round().astype(np.uint8)
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
