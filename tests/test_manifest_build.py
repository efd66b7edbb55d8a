import json
from collections import Counter

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gandt import embed, storage, tables
from gandt.errors import ContractError, InputError, StorageError
from gandt.manifest import build_manifest, items_of

ITEMS = [f"s3://bucket/{number}.jpg" for number in range(10)]


def pages(manifest) -> list[list[dict]]:
    return [json.loads(line["source"]) for line in manifest.lines]


def test_one_item_a_line() -> None:
    manifest = build_manifest(
        ["s3://b/1.jpg", "s3://b/2.jpg", "s3://b/1.jpg"],
        categories=["cat", "dog"],
        other="neither",
        extra={"s3://b/2.jpg": {"shelf": 3}},
        shared={"header": "What is it?"},
    )
    head = {"labels": ["cat", "dog"], "other": "neither", "header": "What is it?"}
    assert manifest.lines == [
        {"source-ref": "s3://b/1.jpg", **head},
        {"source-ref": "s3://b/2.jpg", **head, "shelf": 3},
    ]
    assert manifest.gold.empty and list(manifest.gold) == ["data_object", "item", "label"]


def test_texts_go_under_source() -> None:
    assert build_manifest(["hello"], text=True).lines == [{"source": "hello"}]
    assert pages(build_manifest(["a", "b"], text=True, per_page=2))[0][1] == {"source": "b", "index": 1}


def test_pages_are_dealt_round_robin_with_a_global_index() -> None:
    manifest = build_manifest(ITEMS, per_page=4, categories=["cat"], positive_examples=["s3://b/yes.jpg"])
    assert [[entry["index"] for entry in page] for page in pages(manifest)] == [[0, 3, 6, 9], [1, 4, 7], [2, 5, 8]]
    for page in pages(manifest):
        assert [entry["source-ref"] for entry in page] == [ITEMS[entry["index"]] for entry in page]
        assert page[0]["event_names"] == ["cat"]
        assert page[0]["positive_examples"] == ["s3://b/yes.jpg"]
        assert page[0]["negative_examples"] == [] and page[0]["other_category_label"] is None
        assert all(set(entry) == {"source-ref", "index"} for entry in page[1:])


@settings(max_examples=80, deadline=None)
@given(
    count=st.integers(1, 60),
    per_page=st.integers(1, 12),
    gold_count=st.integers(1, 12),
    rate=st.floats(0.01, 0.7),
    seed=st.integers(0, 3),
)
def test_gold_is_spread_hidden_and_never_twice_on_a_page(count, per_page, gold_count, rate, seed) -> None:
    items = [f"s3://b/{n}" for n in range(count)]
    gold = {f"s3://b/gold{n}": f"label{n}" for n in range(gold_count)}
    try:
        manifest = build_manifest(items, per_page=per_page, gold=gold, gold_rate=rate, seed=seed)
    except InputError as error:
        assert "only" in str(error)
        return
    shown = [[line["source-ref"]] for line in manifest.lines] if per_page == 1 else [
        [entry["source-ref"] for entry in page] for page in pages(manifest)
    ]  # fmt: skip
    assert all(len(page) == len(set(page)) for page in shown)
    assert max(map(len, shown)) - min(map(len, shown)) <= 1 and max(map(len, shown)) <= per_page
    flat = [item for page in shown for item in page]
    assert [item for item in Counter(flat) if item not in gold] != []
    assert sorted(item for item in flat if item not in gold) == sorted(items)
    wanted = max(round(count * rate / (1 - rate)), 1)
    assert sum(item in gold for item in flat) == len(manifest.gold) == wanted
    used = Counter(item for item in flat if item in gold)
    assert max(used.values()) - min(used[item] for item in gold) <= 1
    held = [sum(item in gold for item in page) for page in shown]
    assert max(held) - min(held) <= 1 or max(held) == len(shown[held.index(min(held))]) + 1
    # the record names each place rightly, and nothing on the page does
    for row in manifest.gold.itertuples():
        assert row.item in shown[int(row.data_object)] and gold[row.item] == row.label
    alike = (
        {(frozenset(entry), type(entry["index"])) for page in pages(manifest) for entry in page[1:]}
        if per_page > 1
        else set()
    )
    assert len(alike) <= 1


def test_golds_places_are_drawn_by_the_seed() -> None:
    gold = {f"s3://b/gold{n}": "x" for n in range(5)}
    first, again, other = (
        build_manifest(ITEMS, per_page=3, gold=gold, gold_rate=0.2, seed=seed).lines for seed in (1, 1, 2)
    )
    assert first == again and first != other


def test_an_item_that_is_gold_is_asked_as_gold_only() -> None:
    manifest = build_manifest(ITEMS, gold={ITEMS[0]: "cat"}, gold_rate=0.1)
    assert Counter(line["source-ref"] for line in manifest.lines)[ITEMS[0]] == 1
    assert manifest.gold["item"].tolist() == [ITEMS[0]]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"items": []}, "nothing to ask"),
        ({"items": [""]}, "an item is ''"),
        ({"per_page": 0}, "at least 1 item"),
        ({"gold_rate": 1.0}, "below 1"),
        ({"gold": {"a": "x"}}, "gold_rate is 0"),
        ({"gold_rate": 0.1}, "no gold items"),
        ({"gold": {"a": "x"}, "gold_rate": 0.5, "per_page": 4}, "would show one twice"),
    ],
)
def test_options_that_make_no_sense(options, words) -> None:
    with pytest.raises(InputError, match=words):
        build_manifest(**{"items": ITEMS, **options})


@pytest.mark.parametrize("name", ["$id", "source", "source-ref", "index", ""])
def test_reserved_keys_are_refused(name) -> None:
    with pytest.raises(ContractError, match="reserved"):
        build_manifest(ITEMS, shared={name: 1})


def test_what_ground_truth_would_refuse_for_its_length_is_not_built() -> None:
    long = ["s3://b/" + "x" * 900 + str(n) for n in range(40)]
    with pytest.raises(ContractError, match="fewer items on a page"):
        build_manifest(long, per_page=40)
    with pytest.raises(ContractError, match="data object 0: it has"):
        build_manifest(["s3://b/k"], shared={f"k{n}": "x" * 19_000 for n in range(6)})


def test_write_is_utf8_json_lines(tmp_path, s3) -> None:
    manifest = build_manifest(["s3://b/é.jpg", "s3://b/\ud800.jpg"])
    for uri in (str(tmp_path / "a.manifest"), "s3://bucket/a.manifest"):
        manifest.write(uri, s3=s3)
        content = storage.read_bytes(uri, s3=s3)
        assert [json.loads(line) for line in content.decode().splitlines()] == manifest.lines
    assert "é".encode() in content


# --- what a manifest can be built from ------------------------------------------------------------------------------


def test_items_from_a_folder_a_prefix_a_list_a_table_and_a_manifest(tmp_path, s3) -> None:
    for name in ("b.JPG", "sub/a.png", "notes.txt", ".hidden.jpg"):
        (tmp_path / "pool" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pool" / name).write_bytes(b"x")
        s3.put_object(Bucket="bucket", Key=f"pool/{name}", Body=b"x")
    s3.put_object(Bucket="bucket", Key="pool2/c.jpg", Body=b"x")
    assert items_of(str(tmp_path / "pool")) == [str(tmp_path / "pool/b.JPG"), str(tmp_path / "pool/sub/a.png")]
    assert items_of("s3://bucket/pool", s3=s3) == [
        "s3://bucket/pool/b.JPG",
        "s3://bucket/pool/sub/a.png",
    ]
    (tmp_path / "list.txt").write_text("s3://b/2\n\ns3://b/1\ns3://b/2\n")
    assert items_of(str(tmp_path / "list.txt")) == ["s3://b/2", "s3://b/1"]
    build_manifest(ITEMS, per_page=4).write(str(tmp_path / "pages.manifest"))
    assert sorted(items_of(str(tmp_path / "pages.manifest"))) == ITEMS
    build_manifest(ITEMS[:2]).write("s3://bucket/in.manifest", s3=s3)
    assert items_of("s3://bucket/in.manifest", s3=s3) == ITEMS[:2]


def test_items_from_tables_are_those_to_be_asked_about(tmp_path) -> None:
    candidates = pd.DataFrame({"item": ["a", "b", "c"], "decision": ["keep", "discard", "explore"]})
    labels = pd.DataFrame(
        {"item": ["a", "b", "c"], "label": ["x", "y", None], "status": ["confident", "relabel", "unanswered"]}
    )
    for name, table, wanted in (
        ("c.csv", candidates, ["a", "c"]),
        ("l.parquet", labels, ["b", "c"]),
        ("p.jsonl", labels[["item"]], ["a", "b", "c"]),
    ):
        tables.write_table(table, str(tmp_path / name))
        assert items_of(str(tmp_path / name)) == wanted


def test_items_from_an_embedding_store_are_what_is_embedded(tmp_path) -> None:
    for number in range(2):
        Image.new("RGB", (30, 30), (90 * number, 40, 200)).save(tmp_path / f"{number}.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    embed(str(tmp_path), str(tmp_path / "store"))
    assert items_of(str(tmp_path / "store")) == [str(tmp_path / "0.png"), str(tmp_path / "1.png")]


def test_sources_without_items_are_named(tmp_path) -> None:
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "bad.manifest").write_text("{\n")
    for source, words in (("empty.txt", "names no item"), (".", "names no item"), ("bad.manifest", "line 1")):
        with pytest.raises(InputError, match=words):
            items_of(str(tmp_path / source))
    with pytest.raises((InputError, StorageError), match="absent"):
        items_of(str(tmp_path / "absent"))
