import contextlib
import io
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from gandt.errors import InputError, StorageError
from gandt.images import BadImageError
from gandt.manifest import set_cors, upload, upload_images
from gandt.manifest.copies import carry_out, plan, strip_jpeg, strip_png

GPS = 0x8825


def pixels(width=48, height=32, seed=0) -> np.ndarray:
    """A smooth picture, the same for the same seed, with no symmetry."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return (255 * np.stack([x, y * x, (y + seed / 10) % 1], axis=2)).astype(np.uint8)


def picture(path: Path, seed: int = 0, mode: str = "RGB", **options) -> str:
    Image.fromarray(pixels(seed=seed)).convert(mode).save(path, **options)
    return str(path)


def exif(orientation: int | None = None) -> Image.Exif:
    made = Image.Exif()
    made[0x010F] = "SecretCamera"
    made.get_ifd(GPS)[1] = "N"
    if orientation is not None:
        made[0x0112] = orientation
    return made


def array(path: str) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB"))


def body(s3, uri: str) -> bytes:
    return s3.get_object(Bucket="bucket", Key=uri.removeprefix("s3://bucket/"))["Body"].read()


def image(s3, uri: str) -> Image.Image:
    return Image.open(io.BytesIO(body(s3, uri)))


class Counting:
    """An S3 client that counts its calls, and can fail."""

    def __init__(self, s3, fail_after: int | None = None) -> None:
        self._s3, self.puts, self.fail_after, self._lock = s3, 0, fail_after, threading.Lock()

    def put_object(self, **options):
        with self._lock:
            self.puts += 1
            if self.fail_after is not None and self.puts > self.fail_after:
                raise OSError(5, "the line is down")
        return self._s3.put_object(**options)

    def __getattr__(self, name):
        return getattr(self._s3, name)


def test_files_that_browsers_show_are_sent_as_they_are(tmp_path, s3) -> None:
    items = [
        picture(tmp_path / f"cat{n}{suffix}", n) for n, suffix in enumerate((".jpg", ".png", ".webp", ".bmp", ".gif"))
    ]
    done = upload([*items, "s3://bucket/elsewhere.jpg"], "s3://bucket/pool/", s3=s3)
    assert done.uris["s3://bucket/elsewhere.jpg"] == "s3://bucket/elsewhere.jpg"
    for item in items:
        assert body(s3, done.uris[item]) == Path(item).read_bytes()
        assert done.uris[item].startswith("s3://bucket/pool/") and "cat" not in done.uris[item]
        head = s3.head_object(Bucket="bucket", Key=done.uris[item].removeprefix("s3://bucket/"))
        assert head["ContentType"].startswith("image/")
    assert (done.sent, len(done.set_aside)) == (5, 0)


def test_nothing_is_sent_twice(tmp_path, s3) -> None:
    client = Counting(s3)
    items = [picture(tmp_path / f"{n}.png", n // 3) for n in range(12)]  # four contents, three files of each
    done = upload(items, "s3://bucket/pool", s3=client)
    assert client.puts == 4 and len(set(done.uris.values())) == 4 and set(done.uris) == set(items)
    again = upload(items, "s3://bucket/pool", s3=client)
    assert (client.puts, again.sent, again.already, again.uris) == (4, 0, 4, done.uris)


def test_an_interrupted_upload_goes_on(tmp_path, s3) -> None:
    items = [picture(tmp_path / f"{n}.png", n) for n in range(10)]
    with pytest.raises(StorageError, match="the line is down"):
        upload(items, "s3://bucket/pool", s3=Counting(s3, fail_after=4), workers=2)
    client = Counting(s3)
    done = upload(items, "s3://bucket/pool", s3=client)
    assert client.puts == 6 and len(done.uris) == 10


def test_turned_pictures_are_sent_upright(tmp_path, s3) -> None:
    item = picture(tmp_path / "turned.jpg", quality=95, exif=exif(6))
    seen = image(s3, upload([item], "s3://bucket/pool", s3=s3).uris[item])
    assert seen.size == (32, 48) and seen.getexif().get(0x0112, 1) == 1
    assert seen.getexif()[0x010F] == "SecretCamera"  # the rest of the metadata stays, unless it is to be stripped
    want = np.rot90(array(item), -1).astype(int)
    assert np.abs(np.asarray(seen).astype(int) - want).mean() < 12


@pytest.mark.parametrize(
    ("name", "mode", "options", "suffix"),
    [
        ("print.jpg", "CMYK", {}, ".jpg"),
        ("scan.tif", "RGB", {}, ".png"),
        ("paint.jp2", "RGB", {}, ".jpg"),
        ("film.gif", "P", {"save_all": True}, ".png"),
        ("film.webp", "RGB", {"save_all": True, "lossless": True}, ".png"),
        ("film.png", "RGB", {"save_all": True}, ".png"),
    ],
)
def test_what_browsers_show_otherwise_is_sent_as_a_copy(tmp_path, s3, name, mode, options, suffix) -> None:
    if "save_all" in options:
        options = {**options, "append_images": [Image.fromarray(pixels(seed=9)).convert(mode)], "duration": 100}
    item = picture(tmp_path / name, 1, mode, **options)
    uri = upload([item], "s3://bucket/pool", s3=s3).uris[item]
    seen = image(s3, uri)
    assert uri.endswith(suffix) and seen.mode == "RGB" and getattr(seen, "n_frames", 1) == 1
    want = array(item).astype(int)  # the first frame
    assert np.abs(np.asarray(seen).astype(int) - want).mean() < 12


def test_heic_is_sent_as_a_copy_that_browsers_show(tmp_path, s3) -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra 'heic' isn't installed")
    pillow_heif.register_heif_opener()
    item = picture(tmp_path / "phone.heic", quality=95)
    uri = upload([item], "s3://bucket/pool", s3=s3).uris[item]
    assert uri.endswith(".jpg")
    assert np.abs(np.asarray(image(s3, uri)).astype(int) - array(item).astype(int)).mean() < 12


def test_sixteen_bits_become_eight(tmp_path, s3) -> None:
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    item = str(tmp_path / "deep.png")
    seen = np.asarray(image(s3, upload([item], "s3://bucket/pool", s3=s3).uris[item]))
    assert seen.dtype == np.uint8 and np.abs(seen[..., 0].astype(float) - ramp / 257).max() <= 1


def test_what_cannot_be_shown_is_set_aside_by_name(tmp_path, s3) -> None:
    good = picture(tmp_path / "good.png")
    for name, content in (
        ("empty.jpg", b""),
        ("page.svg", b"<svg onload='x()'/>"),
        ("phone.heic", b"\0\0\0\x18ftypheic" + b"\0" * 99),
        ("torn.tif", Path(picture(tmp_path / "whole.tif", compression="tiff_lzw")).read_bytes()[:300]),
        ("note.mp3", b""),
    ):
        (tmp_path / name).write_bytes(content)
    items = [
        good,
        *(
            str(tmp_path / name)
            for name in ("empty.jpg", "page.svg", "phone.heic", "torn.tif", "absent.jpg", "note.mp3")
        ),
    ]
    done = upload(items, "s3://bucket/pool", s3=s3)
    reasons = {Path(row.item).name: row.reason for row in done.set_aside.itertuples()}
    assert list(done.uris) == [good] and set(reasons) == {Path(item).name for item in items[1:]}
    assert "0 bytes" in reasons["empty.jpg"] and "SVG" in reasons["page.svg"] and "HEIC" in reasons["phone.heic"]
    with pytest.raises(InputError, match=r"6 of 7 items can't be shown to workers, the first is .*empty\.jpg"):
        upload_images(items, "s3://bucket/pool", s3=s3)
    assert upload_images([good], "s3://bucket/pool", s3=s3) == done.uris


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.gif", "a.webp", "a.bmp"])
def test_files_cut_off_in_the_middle_are_set_aside(tmp_path, s3, name) -> None:
    item = picture(tmp_path / name)
    whole = Path(item).read_bytes()
    Path(item).write_bytes(whole[: len(whole) * 2 // 3])
    done = upload([item], "s3://bucket/pool", s3=s3)
    assert done.set_aside["item"].tolist() == [item] and not done.uris
    trailer = tmp_path / f"with-trailer-{name}"
    trailer.write_bytes(whole + b"a phone's video")
    assert upload([str(trailer)], "s3://bucket/pool", s3=s3).sent == 1


def test_sounds_are_sent_as_they_are(tmp_path, s3) -> None:
    (tmp_path / "wren.mp3").write_bytes(b"ID3 not really")
    uri = upload([str(tmp_path / "wren.mp3")], "s3://bucket/pool", s3=s3).uris[str(tmp_path / "wren.mp3")]
    assert body(s3, uri) == b"ID3 not really" and uri.endswith(".mp3")


def test_resized_copies(tmp_path, s3) -> None:
    Image.fromarray(pixels(400, 200)).save(tmp_path / "big.jpg")
    small = picture(tmp_path / "small.jpg")
    big = str(tmp_path / "big.jpg")
    whole = upload([big], "s3://bucket/pool", s3=s3).uris[big]
    done = upload([big, small], "s3://bucket/pool", s3=s3, max_side=100)
    assert image(s3, done.uris[big]).size == (100, 50) and done.uris[big] != whole
    assert body(s3, done.uris[small]) == Path(small).read_bytes()
    with pytest.raises(InputError, match="max_side is 3"):
        upload([big], "s3://bucket/pool", s3=s3, max_side=3)


@pytest.mark.parametrize("progressive", [False, True])
def test_stripping_keeps_every_pixel(tmp_path, s3, progressive) -> None:
    profile = b"a colour profile" * 20
    jpeg = picture(
        tmp_path / "a.jpg", exif=exif(), comment=b"secret note", icc_profile=profile, progressive=progressive
    )
    with Path(jpeg).open("ab") as file:
        file.write(b"trailing secret")
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", "secret name")
    png = picture(tmp_path / "b.png", pnginfo=text, exif=exif())
    webp = picture(tmp_path / "c.webp", lossless=True, exif=exif())
    done = upload([jpeg, png, webp], "s3://bucket/pool", s3=s3, strip=True)
    for item in (jpeg, png, webp):
        content, seen = body(s3, done.uris[item]), image(s3, done.uris[item])
        assert b"secret" not in content.lower() and not len(seen.getexif())
        assert np.array_equal(np.asarray(seen.convert("RGB")), array(item))
    assert image(s3, done.uris[jpeg]).info["icc_profile"] == profile


def test_stripping_a_turned_picture(tmp_path, s3) -> None:
    item = picture(tmp_path / "turned.jpg", exif=exif(8))
    seen = image(s3, upload([item], "s3://bucket/pool", s3=s3, strip=True).uris[item])
    assert seen.size == (32, 48) and not len(seen.getexif())


@pytest.mark.parametrize("strip", [strip_jpeg, strip_png])
def test_broken_structures_are_refused_not_mangled(tmp_path, strip) -> None:
    whole = Path(picture(tmp_path / ("a.jpg" if strip is strip_jpeg else "a.png"))).read_bytes()
    for length in range(0, len(whole) - 1, 7):
        try:
            kept = strip(whole[:length])
        except BadImageError:
            continue
        assert len(whole) - length < 12 and kept  # only the end mark itself may be cut


@settings(max_examples=150, deadline=None)
@given(
    head=st.sampled_from([b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\0\0\0\0WEBP", b""]),
    rest=st.lists(
        st.sampled_from([b"\xff\xda\0\x02", b"\xff\xe1\0\x04ab", b"\xff\xd9", b"\0\0\0\0IEND"]) | st.binary(max_size=9)
    ),
    name=st.sampled_from(["a.jpg", "a.png", "a.mp3", "a"]),
)
def test_hostile_files_are_refused_by_reason(head, rest, name) -> None:
    content = head + b"".join(rest)
    for act in (strip_jpeg, strip_png, lambda given: carry_out(plan(given, name, strip=True), given, strip=True)):
        with contextlib.suppress(BadImageError):
            assert isinstance(act(content), bytes)


def test_encryption(tmp_path, s3) -> None:
    item = picture(tmp_path / "a.png")
    s3.put_bucket_encryption(
        Bucket="bucket",
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
        },
    )

    def encryption(uri: str) -> tuple[str | None, str | None]:
        head = s3.head_object(Bucket="bucket", Key=uri.removeprefix("s3://bucket/"))
        return head.get("ServerSideEncryption"), head.get("SSEKMSKeyId")

    assert encryption(upload([item], "s3://bucket/default", s3=s3).uris[item])[0] == "AES256"
    kept = upload([item], "s3://bucket/own", s3=s3, kms_key="key-1").uris[item]
    assert encryption(kept) == ("aws:kms", "key-1")
    copy = upload([kept], "s3://bucket/copies", s3=s3, max_side=20).uris[kept]
    assert copy.startswith("s3://bucket/copies/") and encryption(copy) == ("aws:kms", "key-1")


def test_cors_is_added_and_other_rules_stay(s3) -> None:
    other = {"AllowedMethods": ["PUT"], "AllowedOrigins": ["https://upload.example"]}
    s3.put_bucket_cors(Bucket="bucket", CORSConfiguration={"CORSRules": [other]})
    assert set_cors("s3://bucket/pool", s3=s3) is True
    rules = s3.get_bucket_cors(Bucket="bucket")["CORSRules"]
    assert rules[0]["AllowedMethods"] == ["PUT"] and rules[1]["AllowedMethods"] == ["GET"]
    assert set_cors("s3://bucket/pool", s3=s3) is False
    with pytest.raises(StorageError, match="absent-bucket"):
        set_cors("s3://absent-bucket/x", s3=s3)
