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
from gandt.manifest.copies import carry_out, plan

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


RAMP = np.tile(np.linspace(0, 1, 64), (64, 1))  # black to white


def tiff(values: np.ndarray, sample_format: int) -> bytes:
    """A TIFF of any kind of number, one sample a pixel: 1 unsigned, 2 signed, 3 floating."""
    content = values.astype(values.dtype.newbyteorder("<")).tobytes()
    height, width = values.shape
    entries = [(256, width), (257, height), (258, 8 * values.itemsize), (259, 1), (262, 1), (277, 1), (278, height)]
    entries += [(273, 8 + 2 + 12 * 10 + 4), (279, len(content)), (339, sample_format)]
    packed = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(entries))
    return struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + packed + struct.pack("<I", 0) + content


def png16(values: np.ndarray) -> bytes:
    """A PNG of 16 bits a channel, which Pillow can't write in colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    colour = {1: 0, 2: 4, 3: 2, 4: 6}[values.shape[2]]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def whole(share: np.ndarray, bits: int, kind: type) -> np.ndarray:
    return np.round(share * (2**bits - 1)).astype(kind)


DEEP = {
    **{f"PNG, 16 bits of which {n}": saved(Image.fromarray(whole(RAMP, n, np.uint16)), "PNG") for n in (8, 10, 12, 14)},
    **{f"TIFF, 16 bits of which {n}": tiff(whole(RAMP, n, np.uint16), 1) for n in (8, 10, 12, 14, 16)},
    **{f"TIFF, 32 bits of which {n}": saved(Image.fromarray(whole(RAMP, n, np.int32)), "TIFF") for n in (8, 12, 16)},
    "TIFF, 24 of 32 bits": tiff(whole(RAMP, 24, np.uint32), 1),
    "TIFF, all of 32 bits": tiff(whole(RAMP, 32, np.uint32), 1),
    "TIFF, signed, 16 bits": tiff((RAMP * 4000 - 1000).astype(np.int16), 2),
    "TIFF, signed, 32 bits": tiff((RAMP * 1e9 - 3e8).astype(np.int32), 2),
    "TIFF, 0 to 1": tiff(RAMP.astype(np.float32), 3),
    "TIFF, 0 to 1.02": tiff((RAMP * 1.02).astype(np.float32), 3),
    "TIFF, 0 to 255": tiff((RAMP * 255).astype(np.float32), 3),
    "TIFF, 0 to 4095": tiff((RAMP * 4095).astype(np.float32), 3),
    "TIFF, below 0": tiff((RAMP * 1e-3 - 2e-3).astype(np.float32), 3),
    "JPEG 2000, 12 of 16 bits": saved(Image.fromarray(whole(RAMP, 12, np.uint16)), "JPEG2000"),
    "PGM of 12 bits": b"P5\n64 64\n4095\n" + whole(RAMP, 12, np.uint16).astype(">u2").tobytes(),
    **{
        f"PNG, colour, 16 bits of which {n}": png16(np.dstack([whole(RAMP, n, np.uint16)] * 3))
        for n in (8, 10, 12, 14, 16)
    },
    **{
        f"PNG, colour and alpha, 16 bits of which {n}": png16(
            np.dstack([*[whole(RAMP, n, np.uint16)] * 3, whole(np.ones((64, 64)), alpha, np.uint16)])
        )
        for n, alpha in ((8, 16), (12, 12), (12, 16))
    },
    "PNG, grey and alpha, 12 of 16 bits": png16(np.dstack([whole(RAMP, 12, np.uint16), whole(RAMP**0, 16, np.uint16)])),
}


@pytest.mark.parametrize("kind", DEEP)
def test_deep_pictures_are_as_bright_as_in_8_bits(kind: str) -> None:
    eight = decode(saved(Image.fromarray(np.round(RAMP * 255).astype(np.uint8)), "PNG"), SMALL).pixels.astype(int)
    tolerance = 17 if "grey and alpha" in kind else 2  # of those Pillow gives no more than 4 of 12 bits
    assert np.abs(decode(DEEP[kind], SMALL).pixels.astype(int) - eight).max() <= tolerance
    with images.opened(DEEP[kind]) as image:  # and so workers see it
        assert np.abs(np.asarray(images.upright(image)).astype(int)[..., 0] - RAMP * 255).max() <= tolerance
    made = plan(DEEP[kind], "x")
    shown = Image.open(io.BytesIO(carry_out(made, DEEP[kind]))).convert("RGB")
    assert np.abs(np.asarray(shown).astype(int)[..., 1] - RAMP * 255).max() <= tolerance


def test_deep_pictures_with_gaps_and_of_one_value() -> None:
    values = (RAMP * 0.9).astype(np.float32)
    values[0, :3] = np.nan, np.inf, -np.inf
    pixels = images.eight_bits(values)
    assert pixels[0, :3].tolist() == [0, 255, 0] and pixels[1:].max() == 230 and pixels.mean() > 100
    assert images.eight_bits(np.full((2, 2), np.nan, np.float32)).max() == 0
    assert images.eight_bits(np.zeros((2, 2), np.uint16)).max() == 0
    dark = images.eight_bits(np.full((2, 2), 60_000, np.uint16))
    assert (dark == 233).all() and images.eight_bits(np.empty((0, 4), np.int32)).shape == (0, 4)


@given(st.integers(1, 2**16 - 1), st.sampled_from([np.uint16, np.int32, np.uint32]))
def test_no_deep_picture_becomes_black(largest: int, kind: type) -> None:
    values = np.round(RAMP * largest).astype(kind)
    pixels = images.eight_bits(values)
    assert (np.diff(pixels[0].astype(int)) >= 0).all() and pixels[0, 0] == 0
    assert pixels.max() >= (63 if largest > 255 else largest)  # a quarter of the range at least


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_no_picture_of_fractions_becomes_black(low: float, span: float) -> None:
    values = (low + RAMP * span).astype(np.float32)
    ranges = values.min() >= 0 and (values.max() <= 1 or 64 <= values.max() <= 255)
    pixels = images.eight_bits(values).astype(int)
    assert (np.diff(pixels[0]) >= 0).all()
    if not ranges and values.max() > values.min():
        assert pixels.min() == 0 and pixels.max() == 255


def test_ordinary_pictures_are_read_as_ever() -> None:
    for kind, content in {"PNG": NOISE_PNG, "JPEG": NOISE_JPEG}.items():
        with images.opened(content) as image:
            assert image.format == kind and np.array_equal(
                np.asarray(images.upright(image)), np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
            )
    sixteen = whole(RAMP, 16, np.uint16)
    with images.opened(saved(Image.fromarray(sixteen), "PNG")) as image:
        wanted = np.clip(sixteen.astype(np.float32) * (255.0 / 65535), 0, 255).round().astype(np.uint8)
        assert np.array_equal(np.asarray(images.upright(image))[..., 0], wanted)
    deep = png16(np.dstack([sixteen] * 3))
    assert not plan(deep, "x.png").convert  # browsers show this rightly


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
