"""Walks end, list each file once, and say what they leave out; stores know which files are gone."""

import ctypes
import importlib
import io
import json
import os
import pkgutil
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from test_embedding_models import tiny_onnx
from typer.testing import CliRunner

from gandt import EmbeddingStore, cli, embed, storage, tables, walk
from gandt.candidates import find_duplicates
from gandt.candidates.duplicates import threshold_page
from gandt.candidates.seeds import read_seeds
from gandt.cli import app
from gandt.embedding import check, compare, gone, merge, prune, vanished
from gandt.embedding.sources import list_source
from gandt.errors import InputError, StorageError
from gandt.folders.placing import images_in
from gandt.manifest import items_of
from gandt.processing.fleet import Member, Work, work
from gandt.walk import LeftOut

for _module in pkgutil.iter_modules(cli.__path__):  # registers all commands
    importlib.import_module(f"gandt.cli.{_module.name}")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_onnx(tmp_path_factory.mktemp("model") / "tiny.onnx")


def paint(path: Path, number: int) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((40, 30), Image.Resampling.NEAREST).save(path)
    return str(path)


def run(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == code, (result.output, result.exception)
    return result


# --- links ------------------------------------------------------------------------------------------------------------


def link(place: Path, target: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)


LINKS = {
    "to itself": [("pool/loop", ".")],
    "two to itself": [("pool/one", "."), ("pool/two", ".")],
    "to a parent": [("pool/a/b/up", ".."), ("pool/a/b/top", "../..")],
    "out of the pool and back": [("pool/out", "../outside"), ("outside/back", "../pool")],
    "to what holds the pool": [("pool/all", "..")],
    "to the root": [("pool/root", "/")],
    "two to one folder": [("pool/one", "../outside"), ("pool/two", "../outside")],
    "to a folder of its own": [("pool/0", "a"), ("pool/z", "a/b")],
    "one within the other": [("pool/one", "../outside/deep"), ("pool/two", "../outside")],
    "round and round": [("pool/one", "../outside"), ("outside/x", "deep"), ("outside/deep/y", "..")],
}
# what is listed besides the pool's own files, and how many folders aren't followed
FOUND = {
    "to itself": ([], 1),
    "two to itself": ([], 2),
    "to a parent": ([], 2),
    "out of the pool and back": (["out/3.png", "out/deep/4.png"], 1),
    "to what holds the pool": ([], 1),
    "to the root": ([], 1),
    "two to one folder": (["one/3.png", "one/deep/4.png"], 1),
    "to a folder of its own": ([], 2),
    "one within the other": (["one/4.png", "two/3.png"], 1),
    "round and round": (["one/3.png", "one/deep/4.png"], 2),
}


@pytest.mark.filterwarnings("ignore:.* stand in no label's folder:gandt.errors.GandtWarning")
@pytest.mark.parametrize("case", LINKS)
def test_links_end_and_each_file_is_listed_once(tmp_path: Path, tiny: str, case: str) -> None:
    for number, name in enumerate(
        ("pool/a/b/0.png", "pool/a/1.png", "pool/2.png", "outside/3.png", "outside/deep/4.png")
    ):
        paint(tmp_path / name, number)
    for place, target in LINKS[case]:
        link(tmp_path / place, target)
    more, not_followed = FOUND[case]
    pool = tmp_path / "pool"
    wanted = sorted(str(pool / name) for name in ("a/b/0.png", "a/1.png", "2.png", *more))
    # every room that walks: addresses, images to embed, items for a manifest, folders of labels, seeds
    left_out = LeftOut()
    assert sorted(storage.list_uris(str(pool), left_out=left_out)) == wanted
    assert len(left_out.again) == not_followed
    assert [entry.item for entry in list_source(str(pool))] == wanted
    assert sorted(items_of(str(pool))) == wanted
    assert sorted(map(str, images_in(pool))) == wanted
    done = run("embed", pool, tmp_path / "store", "--model", tiny)
    assert f"not followed: {not_followed} folder" in done.stderr
    store = EmbeddingStore.open(str(tmp_path / "store"))
    seeds = read_seeds([str(pool)], store)
    assert sorted(item for items in seeds.values() for item in items) == sorted(set(wanted) - {str(pool / "2.png")})


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=6),
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from("abc"), st.integers(0, 5)), max_size=8),
)
def test_whatever_leads_where_each_folder_is_walked_once(
    tmp_path_factory: pytest.TempPathFactory, files: list[tuple[int, int]], links: list[tuple[int, str, int]]
) -> None:
    root = tmp_path_factory.mktemp("walk")
    folders = [root / name for name in ("pool", "pool/x", "pool/x/y", "pool/z", "far", "far/off")]
    for folder in folders:
        folder.mkdir()
    for where, name in files:
        (folders[where] / f"{name}.png").touch()
    for where, name, target in links:
        if not (folders[where] / name).is_symlink():
            (folders[where] / name).symlink_to(folders[target])
    left_out = LeftOut()
    found = list(walk.files(str(root / "pool"), left_out))
    assert len({os.path.realpath(path) for path in found}) == len(found)
    own = {str(path) for path in root.glob("pool/**/*.png") if os.path.realpath(path) == str(path)}
    assert own <= set(found)  # by their own names, whatever links lead there
    assert list(walk.files(str(root / "pool"))) == found and not left_out.unreadable
    shutil.rmtree(root)


def test_links_to_files_are_files(tmp_path: Path) -> None:
    paint(tmp_path / "pool/a.png", 1)
    link(tmp_path / "pool/b.png", "a.png")
    link(tmp_path / "pool/itself.png", "itself.png")
    link(tmp_path / "pool/nowhere.png", "/nowhere/at/all")
    names = [Path(path).name for path in storage.list_uris(str(tmp_path / "pool"))]
    assert names == ["a.png", "b.png", "itself.png", "nowhere.png"]
    assert list(storage.list_uris(str(tmp_path / "absent"))) == []


# --- what can't be read, is hidden or of another kind -----------------------------------------------------------------


def deny(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let the system refuse to list one folder, as it does to a user without the right."""
    real = os.scandir

    def scandir(path: Any = ".") -> Any:
        if os.fspath(path) == str(folder):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)


def test_an_unreadable_folder_is_named_and_an_error_everywhere(
    tmp_path: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, secret, store = tmp_path / "pool", tmp_path / "pool/secret", tmp_path / "store"
    for number, name in enumerate(("cat/a.png", "cat/b.png", "secret/c.png")):
        paint(pool / name, number)
    run("embed", pool, store, "--model", tiny)
    deny(monkeypatch, secret)
    for command in (
        ("embed", pool, tmp_path / "other", "--model", tiny),
        ("embed", pool, store, "--check"),
        ("embed", pool, store, "--model", tiny, "--prune"),
        ("manifest", "build", pool, tmp_path / "m.manifest"),
        ("filter", store, "--seeds", pool, "--keep", "0.5"),
    ):
        error = run(*command, code=1)
        assert "secret" in str(error.exception) and "Permission denied" in str(error.exception), command
    assert len(EmbeddingStore.open(str(tmp_path / "other")).items) == 2  # the rest was embedded
    assert len(EmbeddingStore.open(str(store)).items) == 3  # what can't be seen isn't taken for gone
    assert not (tmp_path / "m.manifest").exists()
    facts = json.loads(run("embed", pool, store, "--model", tiny, "--json", code=1).stdout)
    assert facts["left_out"]["unreadable"] == {str(secret): "Permission denied"}
    with pytest.raises(StorageError, match="secret"):
        embed(str(pool), str(store), model=tiny)
    assert "secret (Permission denied), so its files are missing" in check(str(store), source=str(pool))[0]
    with pytest.raises(StorageError, match=r"can't list .*secret"):
        images_in(pool)
    with pytest.raises(StorageError, match=r"can't list .*secret"):
        storage.copy_tree(str(pool), str(tmp_path / "copy"))
    deny(monkeypatch, pool)
    assert "Permission denied" in str(run("embed", pool, store, "--model", tiny, code=1).exception)


def test_the_systems_own_refusal_is_met(tmp_path: Path) -> None:
    """A process that has not root's right to read everything."""
    paint(tmp_path / "pool/a.png", 1)
    paint(tmp_path / "pool/secret/b.png", 2)
    (tmp_path / "pool/secret").chmod(0)

    def without_rights() -> None:
        libc = ctypes.CDLL(None)
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH; what follows exec lacks them
            libc.prctl(24, capability, 0, 0, 0)

    script = "import sys; from gandt.embedding.sources import list_source; list_source(sys.argv[1])"
    command = [sys.executable, "-c", script, str(tmp_path / "pool")]
    try:
        done = subprocess.run(command, capture_output=True, text=True, preexec_fn=without_rights)
    finally:
        (tmp_path / "pool/secret").chmod(0o700)
    assert "StorageError: can't list all of" in done.stderr and "secret (Permission denied)" in done.stderr


def test_other_kinds_and_hidden_files_are_counted_and_said(tmp_path: Path, tiny: str, s3: Any) -> None:
    pool = tmp_path / "pool"
    paint(pool / "a.png", 1)
    shutil.copy(paint(pool / "x/b.PNG", 2), pool / "x/bare")
    for name in ("c.jxl", "d.svg", "e.jpg.bak", "x/f.SVG", ".hidden.png", ".cache/g.png", "x/._a.png"):
        (pool / name).parent.mkdir(exist_ok=True)
        (pool / name).write_bytes(b"x")
    facts = json.loads(run("embed", pool, tmp_path / "store", "--model", tiny, "--json").stdout)
    assert facts["listed"] == 3 and facts["left_out"]["other_kinds"] == {".svg": 2, ".jxl": 1, ".bak": 1}
    assert facts["left_out"]["hidden"] == 3
    said = run("embed", pool, tmp_path / "store", "--model", tiny).stderr
    assert "left out: 4 files of other kinds (2 .svg, 1 " in said and "3 hidden names" in said
    assert "2 .svg" in run("embed", pool, tmp_path / "store", "--check").stderr
    said = run("manifest", "build", pool, tmp_path / "m.manifest").stderr
    assert "left out: 5 files of other kinds" in said and "1 without an ending" in said
    storage.copy_tree(str(pool), "s3://bucket/pool", s3=s3)
    for name in (".hidden.png", ".cache/g.png", "x/._a.png"):  # a copy leaves hidden files out
        s3.put_object(Bucket="bucket", Key=f"pool/{name}", Body=b"x")
    for prefix in ("s3://bucket/pool/", "s3://bucket/pool", "s3://bucket/po"):  # the same rule
        left_out = LeftOut()
        assert len(list_source(prefix, s3=s3, left_out=left_out)) == 3
        assert left_out.hidden == 3 and left_out.kinds == {".svg": 2, ".jxl": 1, ".bak": 1}
    for prefix in ("s3://bucket/pool/a", "s3://bucket/pool/.hid", "s3://bucket/pool/.cache/"):  # named by the user
        assert len(list_source(prefix, s3=s3)) == 1
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name in ("./1.png", "1.json", "._1.png"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    left_out = LeftOut()
    assert len(list_source(str(tmp_path / "a.tar"), left_out=left_out)) == 1
    assert left_out.kinds == {".json": 1} and left_out.hidden == 1


# --- files that are gone ----------------------------------------------------------------------------------------------


def parts(store: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in store.iterdir() if not path.name.startswith(".")}


def test_what_is_gone_is_said_and_taken_out(tmp_path: Path, tiny: str) -> None:
    pool, store = tmp_path / "pool", tmp_path / "store"
    paths = [Path(paint(pool / f"{label}/{number}.png", number)) for number, label in enumerate("aabbccdd")]
    (pool / "bad.png").touch()
    other = paint(tmp_path / "elsewhere/x.png", 99)  # of another source of the same store
    embed(str(tmp_path / "elsewhere"), str(store), model=tiny)
    embed(str(pool), str(store), model=tiny)
    assert run("embed", pool, store, "--check").stderr.strip().endswith("1 of it set aside")
    moved, deleted = paths[0].rename(pool / "a/new name.png"), paths[7]
    deleted.unlink()
    (pool / "bad.png").unlink()
    Path(other).unlink()  # not below the source: nothing is said of it
    lost = sorted(map(str, (paths[0], deleted, pool / "bad.png")))

    error = run("embed", pool, store, "--check", code=1)
    assert all(f"gone: {name}" in error.stderr for name in lost) and "lacks 1 items" in error.stderr
    facts = json.loads(run("embed", pool, store, "--check", "--json", code=1).stdout)
    assert facts["gone"] == lost and facts["missing"] == [str(moved)] and len(facts["problems"]) == 2
    assert "holds 3 items whose files are gone (" in facts["problems"][1] and "--prune" in facts["problems"][1]

    seeds = f"a={paths[1]},{paths[2]}"
    noted = run("filter", store, "--seeds", seeds, "--keep", "1", "--rule", "mean", "--out", tmp_path / "c.csv").stderr
    assert "3 of the candidates: the files are gone, such as " in noted
    assert "the files are gone" in run("manifest", "build", store, tmp_path / "m.manifest").stderr
    assert "the files are gone" in run("manifest", "build", tmp_path / "c.csv", tmp_path / "m.manifest").stderr
    assert "the files are gone" in run("embed", pool, store, "--model", tiny).stderr  # not before it is asked for
    exact = json.loads(run("duplicates", store, "--exact", "--json").stdout)
    assert exact["groups"] == 1 and "the file is gone" in exact["note"]  # the old place with the new

    before = parts(store)
    facts = json.loads(run("embed", pool, store, "--model", tiny, "--prune", "--json").stdout)
    assert facts["gone"] == 3 and facts["gone_items"] == lost
    after = parts(store)
    assert before.items() <= after.items()  # nothing is rewritten
    assert check(str(store), source=str(pool)) == []
    opened = EmbeddingStore.open(str(store))
    assert not set(lost) & set(opened.items["item"]) and other in set(opened.items["item"])
    np.testing.assert_array_equal(opened.vectors[opened.rows([str(moved)])[0]], opened.vectors[1])  # its vector stays
    noted = run("filter", store, "--seeds", seeds, "--keep", "1", "--rule", "mean", "--out", tmp_path / "c.csv").stderr
    assert f"1 of the candidates: the file is gone, such as {other}" in noted
    assert not set(lost) & set(tables.read_table(str(tmp_path / "c.csv"))["item"])
    assert not len(find_duplicates(opened, threshold=None)) and not set(lost) & set(items_of(str(store)))
    threshold_page(opened, str(tmp_path / "pairs.html"), lowest=0.01)
    run("embed", pool, store, "--model", tiny, "--prune")
    assert parts(store) == after  # again: nothing to do

    paint(deleted, 7)  # it comes back
    assert embed(str(pool), str(store), model=tiny).run.embedded == 1
    assert check(str(store), source=str(pool)) == []
    merged = merge([str(store)], str(tmp_path / "merged"))
    assert len(merged.vectors) == len(merged.items) == 9  # the vectors of what is gone, too


def test_pruning_may_be_killed_at_any_moment(tmp_path: Path, tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pool, store = tmp_path / "pool", tmp_path / "store"
    paths = [Path(paint(pool / f"{number}.png", number)) for number in range(9)]
    embed(str(pool), str(store), model=tiny)
    for path in paths[:7]:
        path.unlink()
    monkeypatch.setattr(gone, "_PART", 2)
    calls, rename = [0], Path.replace

    def dying(self: Path, target: Any) -> Any:
        calls[0] += 1
        if calls[0] in (4, 8, 11):  # after the vectors of a part, before its items; and between parts
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", dying)
    left = []
    for _ in range(4):
        try:
            prune(str(store), str(pool))
        except KeyboardInterrupt:
            assert check(str(store)) == []  # whole at any moment
        left.append(len(EmbeddingStore.open(str(store)).items))
    assert left == sorted(left, reverse=True) and left[0] > 2 and left[-1] == 2
    assert compare(EmbeddingStore.open(str(store)), str(pool)).gone == []


def test_gone_from_lists_shards_and_s3(tmp_path: Path, tiny: str, s3: Any) -> None:
    files = [paint(tmp_path / f"pool/{number}.png", number) for number in range(4)]
    uris = [f"s3://bucket/p/{number}.png" for number in range(4)]
    for path, uri in zip(files, uris, strict=True):
        storage.write_bytes(uri, Path(path).read_bytes(), s3=s3)
    (tmp_path / "list.txt").write_text("\n".join([*files, *uris]))
    for name, members in (("a", files[:2]), ("b", files[2:])):
        with tarfile.open(tmp_path / f"{name}.tar", "w") as archive:
            for path in members:
                archive.add(path, Path(path).name)
    sources = {"list": str(tmp_path / "list.txt"), "s3": "s3://bucket/p/", "tar": str(tmp_path / "*.tar")}
    stores = {name: str(tmp_path / f"{name}.store") for name in sources}
    for name, source in sources.items():
        embed(source, stores[name], model=tiny, s3=s3)
        assert check(stores[name], source=source, s3=s3) == []
    Path(files[0]).unlink()
    s3.delete_object(Bucket="bucket", Key="p/1.png")
    (tmp_path / "list.txt").write_text("\n".join([*files[2:], *uris[2:]]))  # a list says nothing about others
    (tmp_path / "b.tar").unlink()
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(files[1], "1.png")
    wanted = {
        "list": [files[0], uris[1]],
        "s3": [uris[1]],
        "tar": [f"{tmp_path}/a.tar#0.png", f"{tmp_path}/b.tar#2.png", f"{tmp_path}/b.tar#3.png"],
    }
    for name, source in sources.items():
        assert prune(stores[name], source, s3=s3)[1] == wanted[name]
        assert not set(wanted[name]) & set(EmbeddingStore.open(stores[name]).items["item"])
    assert vanished([files[0], f"{tmp_path}/b.tar#2.png", "row 3", uris[1], files[1]]) == [
        files[0],
        f"{tmp_path}/b.tar#2.png",
    ]


def test_a_store_of_shards_is_put_together_before_it_is_pruned(tmp_path: Path, tiny: str) -> None:
    paths = [paint(tmp_path / f"pool/{number}.png", number) for number in range(4)]
    pool, store = str(tmp_path / "pool"), str(tmp_path / "store")
    for shard in ("1/2", "2/2"):
        embed(pool, store, model=tiny, shard=shard)
    Path(paths[0]).unlink()
    with pytest.raises(InputError, match=r"parts of several shards; put them together first: gandt merge"):
        prune(store, pool)
    run("merge", store, store)
    assert prune(store, pool)[1] == paths[:1]
    run("embed", pool, store, "--prune", "--shard", "1/2", code=1)


# --- all set aside, and paths that are none ---------------------------------------------------------------------------


def test_where_all_is_set_aside_it_is_an_error_and_the_reasons_are_kept(tmp_path: Path, tiny: str, s3: Any) -> None:
    pool, store = tmp_path / "pool", tmp_path / "store"
    pool.mkdir()
    for number in range(3):
        (pool / f"{number}.png").write_bytes(b"<html>")
    for _ in range(2):  # the second time nothing is new, and it is an error still
        done = run("embed", pool, store, "--model", tiny, code=1)
        assert "all 3 items were set aside" in str(done.exception) and str(store) in str(done.exception)
        assert "HTML" in done.stderr
    assert EmbeddingStore.open(str(store)).items["reason"].str.contains("HTML").all()
    facts = json.loads(run("embed", pool, store, "--model", tiny, "--json", code=1).stdout)
    assert len(facts["set_aside_items"]) == 3
    done = run("manifest", "build", pool, tmp_path / "m.manifest", "--upload", "s3://bucket/p", code=1)
    assert "all 3 items were set aside, so no manifest is written" in str(done.exception) and "HTML" in done.stderr
    assert not (tmp_path / "m.manifest").exists()
    done = run("manifest", "upload", pool, "s3://bucket/p", code=1)
    assert "all 3 items were set aside, so nothing is sent" in str(done.exception)
    paint(pool / "good.png", 1)
    run("embed", pool, store, "--model", tiny)


COMMANDS = [
    ("embed", "PATH", "new.store"),
    ("filter", "good.store", "--seeds", "PATH"),
    ("select", "good.store", "--labels", "PATH"),
    ("manifest", "build", "PATH", "m.manifest"),
    ("manifest", "upload", "PATH", "s3://bucket/p"),
    ("filter", "PATH", "--seeds", "pool"),
    ("duplicates", "PATH"),
    ("select", "PATH"),
    ("merge", "new.store", "PATH"),
    ("answers", "PATH"),
    ("report", "PATH"),
    ("demo", "--images", "PATH"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command))
def test_a_path_that_is_not_there_is_not_taken_for_one_of_the_wrong_kind(
    tmp_path: Path, tiny: str, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    paint(tmp_path / "pool/a/1.png", 1)
    embed("pool", "good.store", model=tiny)
    (tmp_path / "there.xyz").write_text("{}")
    absent = str(run(*(word.replace("PATH", "exmples") for word in command), code=1).exception)
    assert "exmples" in absent and "there is no such file or folder" in absent
    wrong = str(run(*(word.replace("PATH", "there.xyz") for word in command), code=1).exception)
    assert "there.xyz" in wrong and "no such file" not in wrong
    assert "of a kind that can't be used here" in wrong or "table format" in wrong


def test_a_fleet_that_sets_all_aside_says_so(tmp_path: Path, tiny: str) -> None:
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool/bad.png").write_bytes(b"<html>")
    task = Work(str(tmp_path / "pool"), str(tmp_path / "store"), options={"model": tiny})
    with pytest.raises(InputError, match=r"all 1 items of .*pool were set aside"):
        work(task, Member(1, 1, "run"))
    assert EmbeddingStore.open(str(tmp_path / "store")).items["reason"].str.contains("HTML").all()


def test_the_dataset_of_labels_folders_says_what_it_left_out(
    tmp_path: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        paint(tmp_path / f"dataset/{number}.png", number)
    for number, label in enumerate(("cat", "dog", "cat", "dog")):
        paint(tmp_path / f"{label}/{number}.png", 100 + number)
    (tmp_path / "dataset/notes.svg").touch()
    link(tmp_path / "dataset/loop", "..")
    run("folders", "options", tmp_path, "model", tiny)
    said = run("folders", "step", tmp_path).stderr
    assert "left out: 1 file of other kinds (1 .svg)" in said and "not followed: 1 folder" in said
    (tmp_path / "dataset/secret").mkdir()
    deny(monkeypatch, tmp_path / "dataset/secret")
    assert "secret (Permission denied)" in str(run("folders", "step", tmp_path, code=1).exception)
