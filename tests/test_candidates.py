"""Whom to ask about: rules, decisions, recall."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial.distance import cdist
from scipy.stats import trim_mean
from test_embedding_models import tiny_onnx
from typer.testing import CliRunner

from gandt import EmbeddingStore, embed, filter_by_similarity
from gandt.candidates import estimate_recall
from gandt.candidates.duplicates import find_duplicates, near_pairs, threshold_page
from gandt.candidates.rules import RULES
from gandt.candidates.seeds import read_seeds, with_seeds
from gandt.candidates.similar import lower_bounds
from gandt.candidates.trimmed import count_threshold
from gandt.cli import app
from gandt.cli import embedding as _embedding_cmd  # noqa: F401  (registers the command)
from gandt.embedding.store import EMBEDDED, Record
from gandt.embedding.vectors import Vectors
from gandt.embedding.writer import Writer
from gandt.errors import InputError

DESCRIPTION = {"model": "t", "weights": "", "precision": "fp32", "preprocessing": {}, "dtype": "float32", "licence": ""}
CLASSES = ["cat", "dog", "bird", "fish", "tree"]


def make_store(path: Path, per_class: int = 60, dim: int = 32, noise: float = 0.35, seed: int = 0) -> EmbeddingStore:
    """Write a store of clouds around one centre per class; items are named CLASS-NUMBER."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(len(CLASSES), dim)) / np.sqrt(dim)
    vectors = (
        np.repeat(centres, per_class, axis=0)
        + 0.8
        + noise * rng.normal(size=(len(CLASSES) * per_class, dim)) / np.sqrt(dim) * 2
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [f"{name}-{number}" for name in CLASSES for number in range(per_class)]
    records = [Record(name, f"{row:064x}", 1, 1, EMBEDDED, "", row, "1") for row, name in enumerate(names)]
    description = {
        "model": "test",
        "weights": "",
        "precision": "fp32",
        "preprocessing": {},
        "dim": dim,
        "dtype": "float32",
        "licence": "",
    }
    with Writer(str(path), description) as writer:
        writer.write(records, vectors)
    return EmbeddingStore.open(str(path))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingStore:
    return make_store(tmp_path_factory.mktemp("pool") / "store")


def seeds(*labels: str, count: int = 8) -> dict[str, list[str]]:
    return {label: [f"{label}-{number}" for number in range(count)] for label in labels}


def of_class(table: pd.DataFrame, *labels: str) -> "pd.Series[bool]":
    return table["item"].str.split("-").str[0].isin(labels)


@pytest.mark.parametrize("rule", list(RULES))
@pytest.mark.parametrize("aim", [{"recall": 0.9}, {"keep": 0.4}])
def test_every_rule_partitions_the_pool_and_finds_the_wanted(
    store: EmbeddingStore, rule: str, aim: dict[str, float]
) -> None:
    given_seeds = {**seeds("cat", "dog"), "Other": seeds("tree", count=4)["tree"]}
    table = filter_by_similarity(store, given_seeds, rule=rule, explore=0.1, **aim)
    known = {item for items in given_seeds.values() for item in items}
    assert sorted(table["item"]) == sorted(set(store.items["item"]) - known)
    assert set(table["decision"]) <= {"keep", "explore", "discard"}
    kept = table["decision"] == "keep"
    assert table.attrs["kept"] == kept.mean() and kept.to_numpy()[: kept.sum()].all()  # the kept come first
    explored, discarded = (table["decision"] == "explore").sum(), (~kept).sum()
    assert explored == round(0.1 * discarded)
    # ranked by the best wanted label's score, the wanted come well before the rest
    best = table[["score_cat", "score_dog"]].max(axis=1).rank(pct=True)
    assert best[of_class(table, "cat", "dog")].mean() > 0.7
    right = table[kept & of_class(table, "cat", "dog")]
    assert (right["label"] == right["item"].str.split("-").str[0]).mean() > 0.9
    assert not (table["label"] == "Other").any()
    if "keep" in aim:
        assert kept.sum() == round(0.4 * len(table))


@pytest.mark.parametrize("rule", ["spread", "mean", "nearest", "classifier"])
def test_the_aimed_recall_is_reached_on_average(tmp_path: Path, rule: str) -> None:
    reached, kept = [], []
    for draw in range(6):
        pool = make_store(tmp_path / f"{draw}", noise=0.5, seed=draw)
        table = filter_by_similarity(pool, seeds("cat", "dog", count=10), rule=rule, recall=0.9)
        is_kept = table["decision"] == "keep"
        reached.append(is_kept[of_class(table, "cat", "dog")].mean())
        kept.append(is_kept.mean())
    assert np.mean(reached) > 0.8 and np.mean(kept) < 0.75


def test_rule_mean_is_the_cosine_after_centring(store: EmbeddingStore) -> None:
    table = filter_by_similarity(store, seeds("cat"), rule="mean").set_index("item")
    vectors = np.asarray(store.vectors, np.float64)
    unit = vectors - vectors.mean(axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    target = unit[store.rows(seeds("cat")["cat"])].mean(axis=0)
    expected = unit[store.rows(list(table.index))] @ (target / np.linalg.norm(target))
    np.testing.assert_allclose(table["score_cat"], expected, atol=1e-5)


def test_the_original_rule_equals_its_description_in_scipy(store: EmbeddingStore) -> None:
    given_seeds = {**seeds("cat", "dog", "bird", count=13), "Other": seeds("tree", count=11)["tree"]}
    table = filter_by_similarity(store, given_seeds, rule="g-and-t")
    vectors = np.asarray(store.vectors, np.float64)
    items = list(table["item"])
    far = {
        label: trim_mean(cdist(vectors[store.rows(items)], vectors[store.rows(group)], "cosine"), 0.1, axis=1)
        for label, group in given_seeds.items()
    }
    counts = sum((far[label] > far["Other"]).astype(int) for label in ("cat", "dog", "bird"))
    threshold = max(x for x in range(4) if (counts > x).mean() >= 0.1)
    assert ((table["decision"] == "keep") == (counts <= threshold)).all()
    np.testing.assert_allclose(1 - table["score_dog"], far["dog"], atol=1e-5)


def test_the_original_rule_discards_nothing_where_it_used_to_lose_everything(store: EmbeddingStore) -> None:
    # "Other" lies farther from the pool than anything: no image has a label farther away
    given_seeds = {**seeds("cat", "dog", "bird", "fish"), "Other": ["tree-0"]}
    table = filter_by_similarity(store, given_seeds, rule="g-and-t", discard_at_least=0.99)
    assert (table["decision"] == "keep").all() and len(table) == len(store.items) - 33


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=50), st.floats(0, 1))
def test_the_count_threshold_discards_at_least_the_share_or_nothing(counts: list[int], share: float) -> None:
    array = np.array(counts)
    x = count_threshold(np.bincount(array, minlength=6), share)
    discarded = (array > x).mean()
    assert discarded >= share or discarded == 0
    higher = (array > x + 1).mean()
    assert x == 5 or higher < share  # a larger one would not do


def test_an_item_may_seed_several_labels(store: EmbeddingStore) -> None:
    table = filter_by_similarity(store, {"cat": ["cat-0", "cat-1", "dog-0"], "dog": ["dog-0", "dog-1"]}, rule="mean")
    assert len(table) == len(store.items) - 4
    assert not table["item"].isin(["cat-0", "dog-0"]).any()


def test_exploring_is_random_but_repeatable(store: EmbeddingStore) -> None:
    tables = [filter_by_similarity(store, seeds("cat"), keep=0.2, explore=0.2, seed=seed) for seed in (1, 1, 2)]
    chosen = [set(table.loc[table["decision"] == "explore", "item"]) for table in tables]
    assert chosen[0] == chosen[1] != chosen[2]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"seeds": {"cat": ["cow-1"]}}, r"cow-1 is not in the store"),
        ({"seeds": {}}, r"no seeds of a wanted label"),
        ({"seeds": {"Other": ["tree-1"]}}, r"no seeds of a wanted label"),
        ({"seeds": {"cat": ["cat-1"], "dog": ["dog-1"]}}, r"one seed per label .*keep=0\.3"),
        ({"seeds": {"cat": ["cat-1", "cat-2"]}, "rule": "g-and-t"}, r"needs seeds labelled 'Other'"),
        ({"seeds": {"cat": ["cat-1"]}, "rule": "best"}, r"no rule 'best'; choose from"),
        ({"seeds": {"cat": ["cat-1"]}, "keep": 1.5}, r"keep is a share between 0 and 1, not 1\.5"),
    ],
)
def test_a_mistake_is_one_sentence(store: EmbeddingStore, options: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        filter_by_similarity(store, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [4, 20])
def test_the_classifier_s_probabilities_are_calibrated(tmp_path: Path, count: int) -> None:
    said, right = [], []
    for draw in range(4):
        pool = make_store(tmp_path / f"{draw}", per_class=200, noise=0.6, seed=draw)
        table = filter_by_similarity(pool, seeds("cat", "dog", count=count), rule="classifier")
        assert table["probability_cat"].between(0, 1).all()
        ranks = table[["score_cat", "probability_cat"]].sort_values("score_cat")["probability_cat"]
        assert ranks.is_monotonic_increasing
        for label in ("cat", "dog"):
            said.append(table[f"probability_{label}"].to_numpy(np.float64))
            right.append(of_class(table, label).to_numpy())
    chance, truth = np.concatenate(said), np.concatenate(right)
    share = truth.mean()
    assert chance.mean() < 1.3 * share
    error = ((chance - truth) ** 2).mean()
    assert error < (1.0 if count == 4 else 0.6) * share * (1 - share)  # better than knowing the share alone
    low, high = truth[chance < 0.1].mean(), truth[chance > 0.8].mean()
    assert low < 0.2 and high > 0.7
    alone = filter_by_similarity(pool, {"cat": ["cat-0"]}, rule="classifier", keep=0.2)
    assert alone["probability_cat"].isna().all()


def test_one_seed_is_enough_to_keep_a_share(store: EmbeddingStore) -> None:
    for rule in ("spread", "mean", "nearest", "classifier"):
        table = filter_by_similarity(store, {"cat": ["cat-0"]}, rule=rule, keep=0.2)
        assert of_class(table, "cat")[table["decision"] == "keep"].mean() > 0.4


def test_the_bound_covers_what_it_promises() -> None:
    rng = np.random.default_rng(0)
    passed = []
    for _ in range(400):
        own = [rng.normal(centre, 0.2, size=6) for centre in (0.3, 0.6)]
        bounds = lower_bounds(own, 0.9, np.array([True, True]), 0.2)
        passed.append([rng.normal(0.3, 0.2) > bounds[0], rng.normal(0.6, 0.2) > bounds[1]])
    assert 0.87 < np.mean(passed) < 0.93


def test_two_seeds_that_are_alike_are_not_taken_for_certain() -> None:
    """Two seeds score each other equally; the threshold must still lie well below that score."""
    (bound,) = lower_bounds([np.array([0.8, 0.8])], 0.95, np.array([True]), 0.2)
    assert bound < 0.8 - 2 * 0.2


def test_the_pool_may_be_larger_than_the_graph(store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = filter_by_similarity(store, seeds("cat", "dog"), keep=0.4).set_index("item")
    monkeypatch.setattr("gandt.candidates.spread.ANCHORS", 100)
    part = filter_by_similarity(store, seeds("cat", "dog"), keep=0.4).set_index("item")
    assert len(part) == len(whole)
    assert (part["decision"] == whole["decision"].reindex(part.index)).mean() > 0.8


def test_recall_is_estimated_with_an_interval_that_covers_it() -> None:
    rng, covered = np.random.default_rng(1), 0
    for _ in range(200):
        truth = rng.random(2000) < np.where(np.arange(2000) < 400, 0.7, 0.05)
        decision = np.where(np.arange(2000) < 400, "keep", "discard").astype(object)
        decision[rng.choice(np.arange(400, 2000), 160, replace=False)] = "explore"
        table = pd.DataFrame({"item": [f"{number}" for number in range(2000)], "decision": decision})
        known = table["decision"] != "discard"
        labels = dict(zip(table["item"][known], np.where(truth, "cat", "none")[known], strict=True))
        found = estimate_recall(table, labels, ["cat"])
        assert 0 <= found.low <= found.recall <= found.high <= 1
        covered += found.low <= truth[:400].sum() / truth.sum() <= found.high
    assert covered >= 186  # 95 % of 200, less three standard deviations


def test_recall_needs_labels_of_the_explored() -> None:
    table = pd.DataFrame({"item": ["a", "b"], "decision": ["keep", "discard"]})
    with pytest.raises(InputError, match="none of the explored items is labelled"):
        estimate_recall(table, {"a": "cat"}, ["cat"])


def test_seeds_come_from_folders_tables_manifests_and_names(tmp_path: Path) -> None:
    for label, number in (("cat", 1), ("dog", 2)):
        (tmp_path / f"seeds/{label}").mkdir(parents=True)
        (tmp_path / f"seeds/{label}/{number}.png").write_bytes(bytes([number]))
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool/two.png").write_bytes(bytes([2]))
    known = [str(tmp_path / "seeds/cat/1.png"), str(tmp_path / "pool/two.png")]
    hashes = ["", "dbc1b4c900ffe48d575b5da5c638040125f65db0fe3e24494b76ea986457d986"]  # sha256 of the byte 2
    description = {
        "model": "t",
        "weights": "",
        "precision": "fp32",
        "preprocessing": {},
        "dim": 2,
        "dtype": "float32",
        "licence": "",
    }
    with Writer(str(tmp_path / "store"), description) as writer:
        writer.write(
            [
                Record(item, sha, 1, 1, EMBEDDED, "", row, "1")
                for row, (item, sha) in enumerate(zip(known, hashes, strict=True))
            ],
            np.eye(2),
        )
    store = EmbeddingStore.open(str(tmp_path / "store"))
    expected = {"cat": known[:1], "dog": known[1:]}
    assert read_seeds([str(tmp_path / "seeds")], store) == expected  # dog/2.png is found by its content
    pd.DataFrame({"item": known, "label": ["cat", "dog"]}).to_csv(tmp_path / "labels.csv", index=False)
    assert read_seeds([str(tmp_path / "labels.csv")], store) == expected
    lines = [
        {"source-ref": item, "job": 0, "job-metadata": {"class-name": label, "confidence": 0.9}}
        for item, label in zip(known, ("cat", "dog"), strict=True)
    ]
    (tmp_path / "output.manifest").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_seeds([str(tmp_path / "output.manifest")], store) == expected
    assert read_seeds([f"cat={known[0]}", f"dog={known[1]}"], store) == expected
    (tmp_path / "none.csv").write_text("item,label\n")
    with pytest.raises(InputError, match="names no seeds"):
        read_seeds([str(tmp_path / "none.csv")], store)


def test_seeds_that_the_store_lacks_are_embedded_beside_it(tmp_path: Path) -> None:
    model = tiny_onnx(tmp_path / "tiny.onnx")
    rng = np.random.default_rng(0)
    for name in [f"pool/{number}.png" for number in range(12)] + [f"seeds/a/{number}.png" for number in range(3)]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(tmp_path / name)
    path, out = str(tmp_path / "store"), tmp_path / "out.csv"
    embed(str(tmp_path / "pool"), path, model=model, dtype="float16")
    before = {file.name: file.read_bytes() for file in Path(path).glob("[!.]*")}
    line = ["filter", path, "--seeds", str(tmp_path / "seeds"), "--rule", "mean", "--out", str(out)]
    assert CliRunner().invoke(app, line).exit_code == 0
    found = pd.read_csv(out)
    assert {file.name: file.read_bytes() for file in Path(path).glob("[!.]*")} == before
    assert sorted(found["item"]) == sorted(str(tmp_path / f"pool/{number}.png") for number in range(12))
    # the same as with the seeds in the store
    embed(str(tmp_path / "seeds"), path, model=model, dtype="float16")
    assert CliRunner().invoke(app, line).exit_code == 0
    pd.testing.assert_frame_equal(pd.read_csv(out), found)
    # a mistake says which seed, and in Python which command adds it
    (tmp_path / "seeds/a/none.png").touch()
    store = EmbeddingStore.open(path)
    with pytest.raises(InputError, match=r"the seed .*none\.png can't be used: the file is empty"):
        with_seeds(store, {"a": [str(tmp_path / "seeds/a/none.png")]})
    with pytest.raises(InputError, match=r"first: gandt embed SOURCE .* --model onnx:.* --dtype float16"):
        filter_by_similarity(store, {"a": [str(tmp_path / "seeds/a/none.png")]})
    Path(model.removeprefix("onnx:")).unlink()
    with pytest.raises(InputError, match="can't load"):
        with_seeds(store, {"a": ["elsewhere.png"]})


def test_vectors_of_several_parts_act_as_one_array() -> None:
    whole = np.random.default_rng(0).normal(size=(10, 3)).astype("f4")
    vectors = Vectors([whole[:4], whole[4:4], whole[4:]], 3, "float32")
    assert vectors.shape == whole.shape and len(vectors) == 10
    for key in (
        3,
        -1,
        slice(2, 7),
        slice(None, None, 3),
        [9, 0, 4],
        np.array([True] + [False] * 8 + [True]),
        slice(5, 2),
    ):
        np.testing.assert_array_equal(vectors[key], whole[key])
    np.testing.assert_array_equal(np.asarray(vectors), whole)
    np.testing.assert_array_equal(np.concatenate([block for _, block in vectors.chunks(3)]), whole)
    with pytest.raises(IndexError):
        vectors[[10]]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system doesn't say what memory is mapped")
def test_a_pass_over_a_store_holds_one_part_at_most(tmp_path: Path) -> None:
    def mapped() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("RssFile")))

    with Writer(str(tmp_path / "store"), DESCRIPTION | {"dim": 1024}) as writer:
        for part in range(8):  # of 4 MiB
            records = [Record(f"{part}-{row}", f"{part}-{row}", 1, 1, EMBEDDED, "", row, "1") for row in range(1024)]
            writer.write(records, np.ones((1024, 1024)))
    vectors = EmbeddingStore.open(str(tmp_path / "store")).vectors
    before = mapped()
    assert sum(float(block.sum()) for _, block in vectors.chunks(512)) == 8 * 2**20
    assert mapped() - before < 6000  # KiB
    assert vectors[np.arange(0, len(vectors), 3)].all() and mapped() - before < 6000


def test_duplicates_are_grouped_around_the_biggest(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 16))
    vectors[1] = vectors[0] + 0.05 * rng.normal(size=16)  # near
    vectors[3] = vectors[2] + 0.8 * rng.normal(size=16)  # not so near
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    records = [Record(f"{row:02}", f"{row}", 10 + (row == 1), 10, EMBEDDED, "", row, "1") for row in range(40)]
    records.append(Record("copy", "5", 10, 10, EMBEDDED, "", -1, "1"))
    with Writer(str(tmp_path / "store"), DESCRIPTION | {"dim": 16}) as writer:
        writer.write(records, vectors)
    store = EmbeddingStore.open(str(tmp_path / "store"))
    table = find_duplicates(store)
    assert table[["group", "item", "kind"]].to_numpy().tolist() == [
        [0, "01", "representative"],
        [0, "00", "near"],
        [1, "05", "representative"],
        [1, "copy", "exact"],
    ]
    unit = vectors - vectors.mean(axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    np.testing.assert_allclose(table["similarity"], [1, unit[0] @ unit[1], 1, 1], atol=1e-5)
    assert find_duplicates(store, threshold=None)["item"].tolist() == ["05", "copy"]
    expected = {(i, j) for i in range(40) for j in range(i + 1, 40) if unit[i] @ unit[j] >= 0.3}
    pairs = near_pairs(store, 0.3)
    assert set(zip(pairs["row"], pairs["other"], strict=True)) == expected
    with pytest.raises(InputError, match="between 0 and 1"):
        find_duplicates(store, threshold=0.0)
    assert len(find_duplicates(make_store(tmp_path / "far", 2, 64, 2.0), threshold=0.99)) == 0


def test_the_page_of_pairs_shows_pictures_and_trusts_no_name(tmp_path: Path) -> None:
    name = str(tmp_path / "<script>alert(1)<|script>.png")
    Image.new("RGB", (9, 9), "red").save(name)
    vectors = np.array([[1, 0, 0], [0.99, 0.1, 0], [0, 1, 0], [0, 0, 1.0]])
    items = [name, str(tmp_path / "gone.png"), "c", "d"]
    with Writer(str(tmp_path / "store"), DESCRIPTION | {"dim": 3}) as writer:
        writer.write([Record(item, item, 9, 9, EMBEDDED, "", row, "1") for row, item in enumerate(items)], vectors)
    threshold_page(EmbeddingStore.open(str(tmp_path / "store")), str(tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text()
    assert "data:image/jpeg;base64," in page and "&lt;script&gt;" in page and "<script>" not in page
    assert "(the picture is gone)" in page
