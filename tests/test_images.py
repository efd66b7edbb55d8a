"""Any file a pool may hold: decoded rightly, or refused with a reason."""

import io
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from gandt import images
from gandt.images import BadImageError, Picture, Preprocessing, decode

SMALL = Preprocessing(32, 1.0)
RED, GREEN, BLUE, WHITE = (220, 20, 30), (10, 200, 40), (20, 30, 210), (255, 255, 255)


def quarters(size: int = 64) -> Image.Image:
    """Red, green / blue, white: so that turning and mirroring show."""
    image = Image.new("RGB", (size, size))
    for (x, y), colour in zip(((0, 0), (1, 0), (0, 1), (1, 1)), (RED, GREEN, BLUE, WHITE), strict=True):
        image.paste(colour, (x * size // 2, y * size // 2, (x + 1) * size // 2, (y + 1) * size // 2))
    return image


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
NOISE_PNG, NOISE_JPEG = saved(NOISE, "PNG"), saved(NOISE, "JPEG")


def corners(picture: Picture) -> list[tuple[int, ...]]:
    return [tuple(int(value) for value in picture.pixels[y, x]) for y, x in ((8, 8), (8, 24), (24, 8), (24, 24))]


def assert_quarters(picture: Picture, tolerance: int = 12) -> None:
    for found, wanted in zip(corners(picture), (RED, GREEN, BLUE, WHITE), strict=True):
        assert np.abs(np.subtract(found, wanted)).max() <= tolerance, (found, wanted)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {"quality": 95}),
        ("JPEG", {"quality": 95, "progressive": True}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("GIF", {}),
        ("JPEG2000", {}),
        ("PPM", {}),
        ("TGA", {}),
    ],
)
def test_every_format_gives_the_same_picture(kind: str, options: dict[str, object]) -> None:
    picture = decode(saved(quarters(), kind, **options), SMALL)
    assert picture.pixels.shape == (32, 32, 3) and picture.pixels.dtype == np.uint8
    assert (picture.width, picture.height) == (64, 64)
    assert_quarters(picture)


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK", "YCbCr", "LAB"])
def test_every_colour_mode_becomes_rgb(mode: str) -> None:
    if mode == "LAB":
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(quarters(), srgb, lab, outputMode="LAB")
        assert image is not None
    else:
        image = quarters().convert(mode)
    kind = {"CMYK": "JPEG", "YCbCr": "JPEG", "LAB": "TIFF"}.get(mode, "PNG")
    picture = decode(saved(image, kind, **({"quality": 98} if kind == "JPEG" else {})), SMALL)
    if mode != "LAB":
        assert_quarters(picture, 25)
    assert picture.pixels[24, 24].min() > 200


def test_grey_one_bit_and_sixteen_bit_keep_their_brightness() -> None:
    ramp = np.tile(np.linspace(0, 65535, 64), (64, 1))
    sixteen = decode(saved(Image.fromarray(ramp.astype(np.uint16)), "PNG"), SMALL)
    eight = decode(saved(Image.fromarray((ramp / 257).astype(np.uint8)), "PNG"), SMALL)
    assert np.abs(sixteen.pixels.astype(int) - eight.pixels).max() <= 2
    unit = decode(saved(Image.fromarray((ramp / 65535).astype(np.float32)), "TIFF"), SMALL)
    assert np.abs(unit.pixels.astype(int) - eight.pixels).max() <= 2
    bits = decode(
        saved(Image.fromarray((ramp / 257).astype(np.uint8)).convert("1", dither=Image.Dither.NONE), "PNG"), SMALL
    )
    assert bits.pixels[0, 2].max() == 0 and bits.pixels[0, 30].min() == 255


def test_what_is_transparent_lies_on_white() -> None:
    image = quarters().convert("RGBA")
    image.putalpha(Image.new("L", image.size, 0))
    assert decode(saved(image, "PNG"), SMALL).pixels.min() == 255
    palette = quarters().quantize(4)
    red = palette.getpixel((0, 0))
    shown = decode(saved(palette, "PNG", transparency=red), SMALL)
    assert shown.pixels[8, 8].min() > 240 and np.abs(shown.pixels[8, 24].astype(int) - GREEN).max() < 30


def test_of_an_animation_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in (GREEN, BLUE)]
    for kind, options in (("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {})):
        content = saved(quarters(), kind, save_all=True, append_images=frames, **options)
        assert_quarters(decode(content, SMALL))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(orientation: int) -> None:
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    upright = quarters().crop((0, 0, 64, 60))  # not square, so that width and height show
    stored = upright.transpose(turns[orientation]) if orientation in turns else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = decode(saved(stored, "JPEG", quality=95, exif=exif), SMALL)
    assert_quarters(picture, 20)
    assert (picture.width, picture.height) == (64, 60)


def test_heic_from_a_phone_is_read() -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra 'heic' isn't installed")
    pillow_heif.register_heif_opener()
    picture = decode(saved(quarters(), "HEIF", quality=95), SMALL)
    assert_quarters(picture, 20)


def test_reduced_decoding_changes_next_to_nothing() -> None:
    rng = np.random.default_rng(0)
    rough = Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).resize(
        (3000, 2000), Image.Resampling.BICUBIC
    )
    from_jpeg = decode(saved(rough, "JPEG", quality=95), Preprocessing()).pixels.astype(int)
    from_png = decode(saved(rough, "PNG", compress_level=1), Preprocessing()).pixels.astype(int)
    assert np.abs(from_jpeg - from_png).mean() < 2


def test_the_centre_of_the_shorter_side_is_cut_out() -> None:
    wide = Image.new("RGB", (400, 100), BLUE)
    wide.paste(RED, (150, 0, 250, 100))
    pixels = decode(saved(wide, "PNG"), Preprocessing(32, 0.875)).pixels
    assert np.abs(pixels.astype(int) - RED).max() < 5
    reference = wide.resize((146, 37), Image.Resampling.BICUBIC).crop((57, 2, 89, 34))  # by hand: 32 / 0.875 = 36.6
    assert np.abs(np.asarray(reference).astype(int) - pixels).mean() < 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"empty \(0 bytes\)"),
        (b"\0" * 100, "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "HTML, XML or SVG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
        (b"%PDF-1.7", "PDF"),
        (b"\0\0\0\x18ftypheic" + b"\0" * 99, "HEIC"),
        (NOISE_PNG[:2000], "truncated"),
        (NOISE_JPEG[:2000], "truncated"),
        (NOISE_PNG[:20], r"can't be decoded|not a picture"),
    ],
)
def test_what_is_no_picture_is_refused_with_a_reason(content: bytes, reason: str) -> None:
    with pytest.raises(BadImageError, match=reason):
        decode(content, SMALL)


def test_huge_pictures_are_refused_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    for side in (40_000, 60_000):
        header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
        bomb += struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
        with pytest.raises(BadImageError, match=r"pixels"), warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            decode(bomb, SMALL)
    monkeypatch.setattr(images, "MAX_DECODED", 10_000)
    with pytest.raises(BadImageError, match="may be in memory"):
        decode(saved(Image.new("RGB", (200, 200)), "PNG"), SMALL)
    assert decode(saved(Image.new("RGB", (800, 600)), "JPEG"), SMALL).width == 800  # read at an eighth of its size
    with pytest.raises(BadImageError, match="may be in memory"):  # a progressive one can't be
        decode(saved(Image.new("RGB", (800, 600)), "JPEG", progressive=True), SMALL)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"]), st.data())
def test_a_damaged_file_gives_a_picture_or_a_reason_and_nothing_else(kind: str, data: st.DataObject) -> None:
    content = bytearray(saved(quarters(), kind))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        picture = decode(bytes(content[: data.draw(st.integers(0, len(content)))]), SMALL)
    except BadImageError as error:
        assert str(error)
    else:
        assert picture.pixels.shape == (32, 32, 3)


def test_threads_may_start_together(tmp_path: Path) -> None:
    images._register_formats.cache_clear()
    content, failures = saved(quarters(), "WEBP"), []

    def work() -> None:
        try:
            decode(content, SMALL)
        except BadImageError as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
