"""Images to vectors: sources, the pipeline, the store, shards and sudden death."""

import errno
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from test_embedding_models import tiny_onnx

from gandt import EmbeddingStore, embed, storage
from gandt.embedding import check, fingerprint, merge, models, sources
from gandt.embedding.sources import Listed, list_source, parse_shard, part_of
from gandt.errors import InputError, StorageError


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model of 12 numbers that costs next to nothing."""
    return tiny_onnx(tmp_path_factory.mktemp("model") / "tiny.onnx")


def picture(number: int) -> bytes:
    """A PNG that differs from all others."""
    pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((80, 60), Image.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()


def paint(path: Path, number: int) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture(number))
    return str(path)


def fill(folder: Path, count: int) -> list[str]:
    return [paint(folder / f"{number % 3}/{number:04}.png", number) for number in range(count)]


def test_lite0_makes_unit_vectors_and_bad_files_are_set_aside(tmp_path: Path) -> None:
    good = [paint(tmp_path / "pool" / f"{number}.png", number) for number in range(5)]
    bad = {"empty.jpg": b"", "text.png": b"<html>", "cut.png": picture(9)[:300]}
    for name, content in bad.items():
        (tmp_path / "pool" / name).write_bytes(content)
    (tmp_path / "pool/notes.csv").touch()  # no image's ending: not looked at
    (tmp_path / "pool/folder.png").mkdir()
    (tmp_path / "pool/gone.png").symlink_to("/nowhere/at/all.png")
    os.mkfifo(tmp_path / "pool/pipe.png")
    store = embed(str(tmp_path / "pool"), str(tmp_path / "store"))
    items = store.items.set_index("item")
    reasons = {Path(item).name: reason for item, reason in items["reason"].items() if reason}
    assert set(items.index[items["status"] == "embedded"]) == set(good)
    assert set(reasons) == {*bad, "gone.png", "pipe.png"}
    for name, words in {
        "empty.jpg": "empty",
        "text.png": "HTML",
        "gone.png": "not there",
        "pipe.png": "regular file",
    }.items():
        assert words in reasons[name]
    assert (items.loc[good, ["width", "height"]] == [80, 60]).all(axis=None)
    vectors = store.vectors[store.rows(good)]
    assert vectors.shape == (5, 1280) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert store.run.set_aside == 5 and "limits" in store.run.bottleneck()
    assert check(store.path, source=str(tmp_path / "pool")) == []


def test_a_name_that_is_no_text_is_set_aside(tmp_path: Path, tiny: str) -> None:
    paint(tmp_path / "pool/good.png", 1)
    try:
        Path(os.fsdecode(os.fsencode(tmp_path / "pool") + b"/caf\xe9.png")).write_bytes(picture(2))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    items = embed(str(tmp_path / "pool"), str(tmp_path / "store"), model=tiny).items
    assert items["reason"].str.contains("isn't UTF-8").sum() == 1 and (items["status"] == "embedded").sum() == 1


def test_what_the_store_holds_is_not_computed_again(tmp_path: Path, tiny: str) -> None:
    pool, place = str(tmp_path / "pool"), str(tmp_path / "store")
    fill(tmp_path / "pool", 3)
    (tmp_path / "pool/bad.png").touch()
    first = embed(pool, place, model=tiny)
    again = embed(pool, place, model=tiny)
    assert (first.run.embedded, again.run.embedded, again.run.known, again.run.set_aside) == (3, 0, 3, 1)
    assert len(list(Path(place).glob("items-*"))) == 1  # what was set aside before is not recorded twice
    moved = paint(tmp_path / "pool/new name.png", 1)  # the content of 0001.png
    changed = paint(tmp_path / "pool/2/0002.png", 99)
    paint(tmp_path / "pool/bad.png", 100)
    third = embed(pool, place, model=tiny)
    assert (third.run.embedded, third.run.linked, third.run.known, third.run.set_aside) == (2, 1, 2, 0)
    rows = third.rows([moved, str(tmp_path / "pool/1/0001.png"), changed])
    assert rows[0] == rows[1] and len(third.items) == 5 and (third.items["status"] == "embedded").all()
    assert not np.allclose(third.vectors[rows[2]], first.vectors[first.rows([changed])[0]])


def test_a_store_is_tied_to_its_model(tmp_path: Path, tiny: str) -> None:
    fill(tmp_path / "pool", 2)
    embed(str(tmp_path / "pool"), str(tmp_path / "store"), model=tiny)
    with pytest.raises(InputError, match=r"was made with model onnx:.*, not lite0; use the same, or"):
        embed(str(tmp_path / "pool"), str(tmp_path / "store"))
    with pytest.raises(InputError, match="was made with dtype float32, not float16"):
        embed(str(tmp_path / "pool"), str(tmp_path / "store"), model=tiny, dtype="float16")


def test_an_unknown_item_is_named(tmp_path: Path, tiny: str) -> None:
    fill(tmp_path / "pool", 1)
    (tmp_path / "pool/bad.png").touch()
    store = embed(str(tmp_path / "pool"), str(tmp_path / "store"), model=tiny)
    with pytest.raises(InputError, match=r"/nowhere\.png is not in the store"):
        store.rows(["/nowhere.png"])
    with pytest.raises(InputError, match=r"bad\.png has no vector .* empty"):
        EmbeddingStore.open(store.path).rows([str(tmp_path / "pool/bad.png")])
    with pytest.raises(InputError, match=r"1 of 2 items were set aside, such as .*bad.png"):
        embed(str(tmp_path / "pool"), str(tmp_path / "store"), model=tiny, strict=True)


def test_every_kind_of_source_lists_the_same_pictures(tmp_path: Path, tiny: str, s3: Any) -> None:
    files = fill(tmp_path / "pool", 4)
    uris = [f"s3://bucket/pool/{number}.png" for number in range(4)]
    for number, uri in enumerate(uris):
        storage.write_bytes(uri, picture(number), s3=s3)
    (tmp_path / "list.txt").write_text("\n".join([*files[:2], "", "pool/2/0002.png", "pool/0/0003.png"]))
    pd.DataFrame({"photo": files, "label": "x"}).to_parquet(tmp_path / "table.parquet")
    lines = [json.dumps({"source-ref": uri, "label": 1}) for uri in uris]
    (tmp_path / "in.manifest").write_text("\n".join(lines))
    tiles = [{"source-ref": uri, "index": number} for number, uri in enumerate(uris)]
    (tmp_path / "grid.jsonl").write_text(json.dumps({"source": json.dumps(tiles)}) + "\n")
    storage.write_bytes("s3://bucket/lists/in.manifest", "\n".join(lines).encode(), s3=s3)
    for shard in (0, 1):
        with tarfile.open(tmp_path / f"shard-{shard:03}.tar", "w") as archive:
            for number in (2 * shard, 2 * shard + 1):
                for name, content in ((f"{number}.png", picture(number)), (f"{number}.json", b"{}")):
                    entry = tarfile.TarInfo(name)
                    entry.size = len(content)
                    archive.addfile(entry, io.BytesIO(content))
        storage.write_bytes(f"s3://bucket/shards/{shard}.tar", (tmp_path / f"shard-{shard:03}.tar").read_bytes(), s3=s3)
    places: list[tuple[str, dict[str, Any]]] = [
        (str(tmp_path / "pool"), {}),
        ("s3://bucket/pool/", {}),
        (str(tmp_path / "list.txt"), {}),
        (str(tmp_path / "table.parquet"), {"column": "photo"}),
        (str(tmp_path / "in.manifest"), {}),
        (str(tmp_path / "grid.jsonl"), {}),
        ("s3://bucket/lists/in.manifest", {}),
        (str(tmp_path / "shard-{000..001}.tar"), {}),
        (str(tmp_path / "shard-*.tar"), {}),
        ("s3://bucket/shards/", {}),
    ]
    found = []
    for number, (source, options) in enumerate(places):
        store = embed(source, str(tmp_path / f"store{number}"), model=tiny, s3=s3, **options)
        assert (store.items["status"] == "embedded").all(), store.items["reason"].tolist()
        found.append(store.vectors[store.rows(list(store.items["item"]))])
    for vectors in found:
        # listed in another order where names sort otherwise; the same pictures all the same
        assert np.allclose(np.sort(vectors, axis=0), np.sort(found[0], axis=0), atol=1e-6) and len(vectors) == 4
    assert f"{tmp_path}/shard-000.tar#1.png" in EmbeddingStore.open(str(tmp_path / "store7")).items["item"].tolist()
    # a second run over S3 knows by their ETags that nothing changed
    assert embed("s3://bucket/pool/", str(tmp_path / "store1"), model=tiny, s3=s3).run.known == 4


def test_a_tar_shard_on_s3_costs_few_requests(
    tmp_path: Path, tiny: str, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{number:02}.png" for number in np.random.default_rng(0).permutation(40)]  # in no order
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name in names:
            content = picture(int(name[:2]))
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    storage.write_bytes("s3://bucket/a.tar", (tmp_path / "a.tar").read_bytes(), s3=s3)
    size = (tmp_path / "a.tar").stat().st_size
    monkeypatch.setattr("gandt.embedding.blocks.BLOCK", 4096)  # pictures lie across the ends of blocks
    asked: list[str] = []

    class Counting:
        def get_object(self, **request: Any) -> Any:
            asked.append(request.get("Range", "whole"))
            return s3.get_object(**request)

    one = embed(str(tmp_path / "a.tar"), str(tmp_path / "local"), model=tiny)
    other = embed("s3://bucket/a.tar", str(tmp_path / "remote"), model=tiny, s3=Counting())
    assert (other.items["status"] == "embedded").all() and len(other.items) == 40
    np.testing.assert_array_equal(one.vectors, other.vectors)
    assert one.items["sha256"].tolist() == other.items["sha256"].tolist()
    assert [item.rpartition("#")[2] for item in one.items["item"]] == names  # read from front to back
    assert len(asked) <= 1 + -(-size // 4096) and asked.count("whole") == 1
    # one machine reads all of a shard
    listed = [Listed(f"s3://b/{shard}.tar#{member}", 9, "", 512) for shard in range(30) for member in range(9)]
    for entry_part in (part_of(listed, 1, 3), part_of(listed, 2, 3), part_of(listed, 3, 3)):
        assert len(entry_part) % 9 == 0 and entry_part


@pytest.mark.parametrize(
    ("content", "name", "sentence"),
    [
        ("", "empty.txt", "no images in"),
        ('{"source-ref": 1\n', "x.manifest", "line 1 of .* names no image"),
        ('{"other": 1}\n', "x.manifest", "line 1 of .* names no image"),
        ("a,b\n1,2\n", "x.csv", r"has no column of addresses; name one of its columns \(a, b\)"),
        ("not a tar", "x.tar", "isn't a readable tar"),
    ],
)
def test_a_source_that_is_none_is_one_sentence(tmp_path: Path, content: str, name: str, sentence: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=sentence):
        list_source(str(tmp_path / name))
    with pytest.raises(StorageError, match="no such file or folder"):
        list_source(str(tmp_path / "nowhere"))


def test_s3_objects_that_vanish_or_are_refused(
    tmp_path: Path, tiny: str, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"s3://bucket/p/{number:03}.png" for number in range(60)]
    for number, name in enumerate(names):
        storage.write_bytes(name, picture(number), s3=s3)
    (tmp_path / "list.txt").write_text("\n".join([*names, "s3://bucket/p/gone.png"]))

    from botocore.exceptions import ClientError

    class Refusing:
        """S3 as it answers once the right to read has ended."""

        def __init__(self, first: int, last: int) -> None:
            self.first, self.last = first, last

        def get_object(self, **request: Any) -> Any:
            stem = Path(request["Key"]).stem
            if stem.isdigit() and self.first <= int(stem) < self.last:
                raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetObject")
            return s3.get_object(**request)

        def __getattr__(self, name: str) -> Any:
            return getattr(s3, name)

    monkeypatch.setattr("gandt.embedding.pipeline.PART", 16)
    source, place = str(tmp_path / "list.txt"), str(tmp_path / "store")
    with pytest.raises(StorageError, match=r"S3 refused 20 objects in a row.*run the same command again"):
        embed(source, place, model=tiny, s3=Refusing(20, 60))
    assert (EmbeddingStore.open(place).items["status"] == "embedded").sum() == 20  # finished parts are kept
    store = embed(source, place, model=tiny, s3=Refusing(30, 33))
    assert (store.items["status"] == "set aside").sum() == 4
    assert set(store.items["reason"]) == {"", "can't be read: AccessDenied", "the object is not there"}
    assert (embed(source, place, model=tiny, s3=s3).items["status"] == "embedded").sum() == 60


def test_a_folder_that_can_not_be_written_is_one_sentence(tmp_path: Path, tiny: str) -> None:
    fill(tmp_path / "pool", 2)
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"can't write .*/file/store"):
        embed(str(tmp_path / "pool"), str(tmp_path / "file/store"), model=tiny)
    with pytest.raises(InputError, match="a store is a local folder"):
        embed(str(tmp_path / "pool"), "s3://bucket/store", model=tiny)


def test_a_store_goes_to_s3_and_comes_back_valid(tmp_path: Path, tiny: str, s3: Any) -> None:
    fill(tmp_path / "pool", 5)
    store = embed(str(tmp_path / "pool"), str(tmp_path / "store"), model=tiny)
    storage.copy_tree(store.path, "s3://bucket/stores/a", s3=s3)
    storage.copy_tree("s3://bucket/stores/a", str(tmp_path / "back"), s3=s3)
    assert check(str(tmp_path / "back")) == []
    assert fingerprint(EmbeddingStore.open(str(tmp_path / "back"))) == fingerprint(store)


def test_check_finds_every_damage(tmp_path: Path, tiny: str) -> None:
    fill(tmp_path / "pool", 5)
    path = Path(embed(str(tmp_path / "pool"), str(tmp_path / "store"), model=tiny).path)

    def damaged(name: str) -> Path:
        copy = tmp_path / name
        shutil.copytree(path, copy)
        return copy

    flipped = damaged("flipped") / "vectors-00000.npy"
    content = bytearray(flipped.read_bytes())
    content[-3] ^= 0x40
    flipped.write_bytes(content)
    assert any("checksum" in problem for problem in check(str(flipped.parent)))
    short = damaged("short") / "vectors-00000.npy"
    short.write_bytes(short.read_bytes()[:-48])
    assert "can't be read" in check(str(short.parent))[0]
    lost = damaged("lost") / "vectors-00000.npy"
    lost.unlink()
    assert "damaged" in check(str(lost.parent))[0]
    (damaged("json") / "store.json").write_text('{"format": 1}')
    assert "store.json can't be used" in check(str(tmp_path / "json"))[0]
    (damaged("newer") / "store.json").write_text('{"format": 99}')
    assert "newer gandt" in check(str(tmp_path / "newer"))[0]
    paint(tmp_path / "pool/new.png", 77)
    assert re.search("lacks 1 items of .*new.png; embed: gandt", check(str(path), source=str(tmp_path / "pool"))[0])
    assert "aws s3 sync s3://bucket/store FOLDER" in check("s3://bucket/store")[0]
    assert "holds no embedding store" in check(str(tmp_path / "pool"))[0]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.text(max_size=8), st.integers(-1, 10**9)), max_size=60), st.integers(1, 9))
def test_shards_partition_the_listing(entries: list[tuple[str, int]], of: int) -> None:
    listed = [Listed(item, size, "") for item, size in dict(entries).items()]
    parts = [part_of(listed, number, of) for number in range(1, of + 1)]
    assert sorted(entry.item for part in parts for entry in part) == sorted(entry.item for entry in listed)


def test_shards_have_about_the_same_bytes() -> None:
    sizes = np.random.default_rng(0).lognormal(12, 1.5, 5000).astype(int)
    listed = [Listed(f"s3://b/{number}.jpg", int(size), "") for number, size in enumerate(sizes)]
    loads = [sum(entry.size for entry in part_of(listed, number, 16)) for number in range(1, 17)]
    assert max(loads) < 1.05 * min(loads)


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "-1/2", "1/2/3", ""])
def test_a_shard_that_is_none(text: str) -> None:
    with pytest.raises(InputError, match="written i/n"):
        parse_shard(text)


SCRIPT = """
import sys, time
from gandt.embedding import pipeline
from gandt.embedding.families import onnx_file
pipeline.PART = 8
source, store, model, shard, pause = sys.argv[1:]
write = pipeline.Writer.write
def slowly(self, records, vectors):
    time.sleep(float(pause))
    write(self, records, vectors)
pipeline.Writer.write = slowly
pipeline.embed(source, store, model=model, shard=shard or None, threads=2)
"""


def start(source: Path, store: Path, model: str, shard: str = "", pause: float = 0.0) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(source), str(store), model, shard, str(pause)])


def kill_after(process: "subprocess.Popen[bytes]", store: Path, parts: int) -> None:
    """Kill the process without warning once ``parts`` parts are finished."""
    until = time.monotonic() + 60
    while len(list(store.glob("items-*.parquet"))) < parts and time.monotonic() < until:
        assert process.poll() is None, "the process ended before it could be killed"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def files_of(store: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in store.iterdir() if not path.name.startswith(".")}


def test_three_sudden_deaths_leave_the_store_of_an_undisturbed_run(tmp_path: Path, tiny: str) -> None:
    fill(tmp_path / "pool", 60)
    for name in ("0/0000bad.png", "0/0009bad.png", "1/bad.png"):
        (tmp_path / "pool" / name).touch()
    shutil.copy(tmp_path / "pool/0/0000.png", tmp_path / "pool/2/copy.png")
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    assert start(tmp_path / "pool", undisturbed, tiny).wait() == 0
    for parts in (1, 3, 5):
        kill_after(start(tmp_path / "pool", killed, tiny, pause=0.05), killed, parts)
        assert len(EmbeddingStore.open(str(killed)).items) >= 8 * parts  # readable at once
    assert start(tmp_path / "pool", killed, tiny).wait() == 0
    assert files_of(killed) == files_of(undisturbed)
    assert not [path for path in killed.iterdir() if path.name.endswith(".part")]
    assert check(str(killed), source=str(tmp_path / "pool")) == []


@pytest.mark.parametrize("together", [True, False])
def test_any_number_of_shards_gives_the_same_store(tmp_path: Path, tiny: str, together: bool) -> None:
    fill(tmp_path / "pool", 50)
    (tmp_path / "pool/1/bad.png").touch()
    shutil.copy(tmp_path / "pool/0/0000.png", tmp_path / "pool/2/copy.png")
    assert start(tmp_path / "pool", tmp_path / "one", tiny).wait() == 0
    single = merge([str(tmp_path / "one")], str(tmp_path / "single"))
    stores = [tmp_path / ("both" if together else f"part{number}") for number in (1, 2)]
    processes = [start(tmp_path / "pool", store, tiny, f"{number}/2", 0.1) for number, store in enumerate(stores, 1)]
    kill_after(processes[0], stores[0], 1)
    assert processes[1].wait() == 0
    with pytest.raises(InputError, match="are in none of the stores"):
        merge([str(store) for store in stores], str(tmp_path / "early"), source=str(tmp_path / "pool"))
    assert start(tmp_path / "pool", stores[0], tiny, "1/2").wait() == 0
    merged = merge(sorted({str(store) for store in stores}), str(tmp_path / "merged"), source=str(tmp_path / "pool"))
    assert fingerprint(merged) == fingerprint(single) == fingerprint(EmbeddingStore.open(str(tmp_path / "one")))
    assert files_of(tmp_path / "merged") == files_of(tmp_path / "single")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "merged").iterdir()}
    merge([str(tmp_path / "merged"), *map(str, stores)], str(tmp_path / "merged"))  # again: nothing changes
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "merged").iterdir()} == before


def test_two_writers_do_not_mix(tmp_path: Path, tiny: str) -> None:
    fill(tmp_path / "pool", 30)
    process = start(tmp_path / "pool", tmp_path / "store", tiny, pause=0.3)
    until = time.monotonic() + 60
    while not list((tmp_path / "store").glob("items-*")) and time.monotonic() < until:
        time.sleep(0.01)
    with pytest.raises(InputError, match="another process is embedding into"):
        embed(str(tmp_path / "pool"), str(tmp_path / "store"), model=tiny)
    assert process.wait() == 0


def test_a_full_disk_is_one_sentence_and_costs_no_finished_part(tmp_path: Path, tiny: str) -> None:
    pool, store = tmp_path / "pool", tmp_path / "store"
    fill(pool, 6)
    embed(str(pool), str(store), model=tiny)
    fill(pool, 40)
    # the system refuses files above 2,000 bytes, as a full disk would
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n" + SCRIPT.replace(
        "= 8", "= 50"
    )
    run = [sys.executable, "-c", limited, str(pool), str(store), tiny, "", "0"]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.search(r"StorageError: can't write .*the finished parts are safe.*File too large", done.stderr)
    assert len(EmbeddingStore.open(str(store)).items) == 6 and check(str(store)) == []
    assert embed(str(pool), str(store), model=tiny).run.embedded == 34


@pytest.mark.parametrize(("code", "reason"), [(errno.EROFS, "Read-only file system"), (errno.ENOSPC, "No space left")])
def test_a_disk_that_fails_half_way_is_one_sentence(
    tmp_path: Path, tiny: str, monkeypatch: pytest.MonkeyPatch, code: int, reason: str
) -> None:
    pool, place = str(tmp_path / "pool"), str(tmp_path / "store")
    fill(tmp_path / "pool", 20)
    monkeypatch.setattr("gandt.embedding.pipeline.PART", 8)
    write_bytes, written = Path.write_bytes, []

    def failing(self: Path, content: Any) -> int:
        if "vectors-00001" in self.name:
            written.append(self)
            raise OSError(code, os.strerror(code))
        return write_bytes(self, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", failing)
        with pytest.raises(StorageError, match=rf"can't write .*the finished parts are safe; .*{reason}"):
            embed(pool, place, model=tiny)
    assert written and check(place) == [] and len(EmbeddingStore.open(place).items) == 8
    assert embed(pool, place, model=tiny).run.embedded == 12


def test_batches_give_the_vectors_that_single_pictures_do(
    tmp_path: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU: threads decode ahead, one thread runs whole batches, the last of which is short."""
    fill(tmp_path / "pool", 23)
    (tmp_path / "pool/0/0003a.png").touch()
    single = embed(str(tmp_path / "pool"), str(tmp_path / "single"), model=tiny)
    load, sizes = models.load, []

    def batched(name: str, **options: Any) -> models.Model:
        model = load(name, **options)

        def run(pixels: models.Pixels) -> models.Features:
            sizes.append(len(pixels))
            return model.run(pixels)

        return replace(model, run=run, batch=5, threads=1)

    monkeypatch.setattr("gandt.embedding.pipeline.models.load", batched)
    store = embed(str(tmp_path / "pool"), str(tmp_path / "store"), model=tiny)
    assert store.run.set_aside == 1 and sum(sizes) == 23 and max(sizes) == 5
    assert files_of(Path(store.path)) == files_of(Path(single.path))


def test_the_command_line(
    tmp_path: Path, tiny: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from gandt import cli

    def gandt(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gandt", *arguments])
        code = 0
        try:
            cli.main()
        except SystemExit as done:
            code = int(done.code or 0)
        out = capsys.readouterr()
        return code, out.out, out.err

    files = fill(tmp_path / "pool", 12)
    shutil.copy(files[0], tmp_path / "pool/copy.png")
    (tmp_path / "pool/bad.png").touch()
    pool, store = str(tmp_path / "pool"), str(tmp_path / "store")
    code, out, _ = gandt("embed", pool, store, "--model", tiny, "--json")
    facts = json.loads(out)
    assert code == 0 and facts["embedded"] == 12 and facts["linked"] == 1
    assert facts["set_aside_items"] == [
        {"item": str(tmp_path / "pool/bad.png"), "reason": "the file is empty (0 bytes)"}
    ]
    code, out, err = gandt("embed", pool, store, "--model", tiny, "--strict")
    assert code == 1 and "1 of 14 items were set aside" in err and "licence" in err
    assert gandt("embed", pool, store, "--check")[0] == 0
    seeds = f"a={files[0]},{files[1]},{files[2]}"
    out_file = str(tmp_path / "candidates.csv")
    code, out, _ = gandt(
        "filter", store, "--seeds", seeds, "--keep", "0.5", "--explore", "0.5", "--out", out_file, "--json"
    )
    assert code == 0 and json.loads(out)["keep"] == 5
    table = pd.read_csv(out_file)
    assert list(table.columns) == ["item", "decision", "label", "score", "reason", "score_a"]
    table[table["decision"] != "discard"].assign(label="a")[["item", "label"]].to_csv(
        tmp_path / "labels.csv", index=False
    )
    code, out, _ = gandt("recall", out_file, str(tmp_path / "labels.csv"), "--wanted", "a", "--json")
    assert code == 0 and 0 < json.loads(out)["low"] <= json.loads(out)["recall"] <= json.loads(out)["high"] <= 1
    code, out, _ = gandt("duplicates", store, "--exact", "--json", "--pictures", str(tmp_path / "pairs.html"))
    assert code == 0 and json.loads(out)["exact"] == 1 and (tmp_path / "pairs.html").stat().st_size > 300
    code, out, _ = gandt("merge", str(tmp_path / "merged"), store, "--source", pool, "--json")
    assert code == 0 and json.loads(out)["items"] == 14
    assert gandt("filter", store, "--seeds", "b=/nowhere.png")[0] == 1


def test_memory_does_not_grow_with_the_pool(tmp_path: Path, tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At no time are more pictures in memory than the pipeline's look-ahead allows."""
    held, most = set(), [0]
    fill(tmp_path / "pool", 300)
    read, decode = sources.read, __import__("gandt.embedding.pipeline", fromlist=["decode"]).decode

    def counting_read(listed: Listed, **options: Any) -> bytes:
        held.add(listed.item)
        most[0] = max(most[0], len(held))
        return read(listed, **options)

    def counting_decode(content: bytes, preprocessing: Any) -> Any:
        time.sleep(0.001)  # reading could run far ahead
        held.pop()
        return decode(content, preprocessing)

    monkeypatch.setattr("gandt.embedding.pipeline.sources.read", counting_read)
    monkeypatch.setattr("gandt.embedding.pipeline.decode", counting_decode)
    store = embed(str(tmp_path / "pool"), str(tmp_path / "store"), model=tiny, threads=2)
    assert store.run.embedded == 300 and most[0] < 40


def test_float16_halves_the_vectors(tmp_path: Path, tiny: str) -> None:
    fill(tmp_path / "pool", 10)
    whole = embed(str(tmp_path / "pool"), str(tmp_path / "whole"), model=tiny)
    half = embed(str(tmp_path / "pool"), str(tmp_path / "half"), model=tiny, dtype="float16")
    assert half.vectors.dtype == np.float16 and check(half.path) == []
    items = list(whole.items["item"])
    np.testing.assert_allclose(whole.vectors[whole.rows(items)], half.vectors[half.rows(items)], atol=1e-3)
