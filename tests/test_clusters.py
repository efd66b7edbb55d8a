"""Clusters of a pool: the tree, the cuts, what a reader decides, and what is kept of it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pooled import make_store
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.metrics import silhouette_score
from typer.testing import CliRunner

from gandt.candidates.clusters import Clustering, checked, cluster
from gandt.candidates.clusters.clustering import silhouette
from gandt.candidates.clusters.labels import clean
from gandt.candidates.clusters.naming import Naming
from gandt.candidates.clusters.space import Space, guesses, halves_of, odd_first
from gandt.candidates.clusters.ward import ward
from gandt.candidates.clusters.work import open_work
from gandt.cli import app
from gandt.cli import cluster as _commands  # noqa: F401  (registers it)
from gandt.embedding import EmbeddingStore
from gandt.errors import InputError
from gandt.manifest import items_of


def same_partition(left: np.ndarray, right: np.ndarray) -> bool:
    pairs = len(set(zip(left.tolist(), right.tolist(), strict=True)))
    return pairs == len(set(left.tolist())) == len(set(right.tolist()))


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 60), st.integers(0, 2**32 - 1))
def test_the_tree_is_wards(count: int, seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)
    tree, known = ward(points), linkage(points, "ward")
    assert np.allclose(tree.merges[:, 2], known[:, 2], rtol=1e-3, atol=1e-4)
    for k in {1, 2, count // 2 or 1, count}:
        cut = tree.cut(k)
        assert len(set(cut.tolist())) == k
        if np.diff(known[:, 2]).size == 0 or np.diff(known[:, 2]).min() > 1e-3:
            assert same_partition(cut, fcluster(known, k, "maxclust"))


def test_weights_stand_for_that_many_points() -> None:
    rng = np.random.default_rng(1)
    points = rng.normal(size=(9, 3)).astype(np.float32)
    weights = np.array([1, 4, 2, 1, 3, 1, 2, 5, 1])
    light = ward(points, weights)
    whole = linkage(np.repeat(points, weights, axis=0).astype(float), "ward")
    assert np.allclose(light.merges[:, 2], whole[-8:, 2], rtol=1e-4)
    assert light.merges[-1, 3] == weights.sum()


def test_equal_points_make_a_tree_too() -> None:
    tree = ward(np.ones((7, 3), np.float32))
    assert np.allclose(tree.merges[:, 2], 0)
    assert sorted(tree.cut(7).tolist()) == list(range(7))


def test_silhouette_is_scikit_learns() -> None:
    rng = np.random.default_rng(2)
    points = rng.normal(size=(60, 5)).astype(np.float32)
    cut = rng.integers(0, 6, 60)
    cut[:1] = 6  # alone in its cluster
    found = silhouette(points, {7: cut, 1: np.zeros(60, int)})
    assert found[7] == pytest.approx(silhouette_score(points, cut), abs=1e-4)
    assert 1 not in found  # a single cluster has none


@pytest.mark.parametrize("method", ["ward", "k-means", "hdbscan"])
def test_clusters_follow_what_is_alike_and_come_back_from_disk(method: str, tmp_path: Path) -> None:
    store, labels = make_store(tmp_path / "store", kinds=4, each=30)
    found = cluster(store, method=method, k_min=2, k_max=8)
    k = 4 if method == "ward" else min(found.ks, key=lambda each: abs(each - 4))
    cut = found.cut(k)
    assert found.points == 120 and set(cut.tolist()) <= set(range(-1, k))
    inside = cut >= 0
    kinds = np.array([labels[item] for item in found.items])
    majority = sum(np.unique(kinds[cut == each], return_counts=True)[1].max() for each in set(cut[inside].tolist()))
    assert majority / inside.sum() > 0.95 or k < 4
    found.write(str(tmp_path / "out"))
    again = Clustering.read(str(tmp_path / "out"))
    assert again.ks == found.ks and again.best == found.best and again.items == found.items
    assert all((again.cut(each) == found.cut(each)).all() for each in found.ks)


def test_a_pool_too_large_for_one_tree_gets_one_over_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gandt.candidates.clusters import clustering

    monkeypatch.setattr(clustering, "DIRECT", 100)
    monkeypatch.setattr(clustering, "PARTS", 30)
    store, labels = make_store(tmp_path / "store", kinds=4, each=40)
    found = cluster(store, k_max=6)
    assert found.tree is not None and found.tree.leaves <= 30 and found.points == 160
    kinds = np.array([labels[item] for item in found.items])
    assert same_partition(found.cut(4), pd.factorize(kinds)[0])
    with pytest.raises(InputError, match="a tree over"):
        cluster(store, k_max=60)


def test_items_with_the_same_content_are_one_point_and_share_the_label(tmp_path: Path) -> None:
    store, _ = make_store(tmp_path / "store", kinds=2, each=5, copies=3)
    found = cluster(store, k_max=4)
    assert len(found.pool) == 13 and found.points == 10
    naming = Naming(found, str(tmp_path))
    naming.choose(2)
    for each in naming.clusters():
        naming.name(each.name, f"label {each.name}")
    labels = naming.labels()
    assert (labels["status"] == "confident").all()
    carried = labels.dropna(subset=["carried_from"])
    assert len(carried) == 3
    by_item = labels.set_index("item")["label"]
    assert (carried["label"].to_numpy() == by_item[carried["carried_from"]].to_numpy()).all()
    assert naming.counts()["named"] == 13


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "magic"}, "there is no method 'magic'; choose ward, k-means, hdbscan"),
        ({"k_min": 5, "k_max": 4}, "no k lies between 5 and 4"),
        ({"k_min": 0}, "no k lies between 0 and 20"),
        ({"k_max": 21}, "21 clusters of 20 different images can't be; give --k-max 20 or less"),
    ],
)
def test_options_that_cannot_be(options: dict, message: str, tmp_path: Path) -> None:
    store, _ = make_store(tmp_path / "store", kinds=2, each=10)
    with pytest.raises(InputError, match=message):
        cluster(store, **options)


def test_an_empty_pool_and_one_of_a_single_image(tmp_path: Path) -> None:
    for each, count in ((0, 0), (1, 1)):
        store, _ = make_store(tmp_path / f"store{each}", kinds=1, each=each)
        with pytest.raises(InputError, match=f"has {count} different images?; clusters need at least two"):
            cluster(store)


# ---------------------------------------------------------------------- what a reader decides


@pytest.fixture
def work(tmp_path: Path):
    store, labels = make_store(tmp_path / "store", kinds=3, each=12)
    found = cluster(store, k_max=9)
    naming = Naming(found, str(tmp_path), worker="Ann", halves=halves_of(Space(store, found.rows)))
    return naming, labels, tmp_path


def test_named_struck_sent_back_deleted_and_open(work) -> None:
    naming, _, folder = work
    naming.choose(4)
    first, second, third, fourth = naming.clusters()
    out = first.members[:2].tolist()
    naming.strike(first.name, out)
    assert naming.name(first.name, "  Green   tea ") == "Green tea"
    naming.send_back(second.name)
    naming.delete(third.name)
    table = naming.labels().set_index("item")
    items = np.array(naming.clustering.items)
    assert (table.loc[items[out], "status"] == "relabel").all() and table.loc[items[out], "struck"].all()
    named = table.loc[items[first.members[2:]]]
    assert set(named["label"]) == {"Green tea"} and set(named["named_by"]) == {"Ann"} and set(named["k"]) == {4}
    assert set(named["method"]) == {"clusters/ward"} and set(named["cluster"]) == {"4.1"}
    assert set(table.loc[items[second.members], "outcome"]) == {"back"}
    assert set(table.loc[items[third.members], "status"]) == {"set aside"}
    assert set(table.loc[items[fourth.members], "status"]) == {"unanswered"}
    assert len(table) == 36
    # what is left to ask is what a manifest takes from the table
    table.reset_index().to_csv(folder / "labels.csv", index=False)
    asked = set(items_of(str(folder / "labels.csv")))
    assert asked == set(items[[*out, *second.members, *fourth.members]])


def test_a_check_gives_the_names_a_confidence_and_takes_back_what_is_wrong(work) -> None:
    naming, _, folder = work
    with pytest.raises(InputError, match="nothing is named yet, so there is nothing to check"):
        checked.draw(naming.labels(), 5)
    naming.choose(3)
    for name, each in zip(("cat", "dog", "cow"), naming.clusters(), strict=True):
        naming.name(each.name, name)
    assert naming.labels()["confidence"].isna().all() and naming.labels()["checked"].isna().all()
    drawn = checked.draw(naming.labels(), 20)
    assert drawn["item"].is_unique and len(drawn) == 20 and drawn["label"].isna().all()
    named = naming.labels().set_index("item")["label"]
    cows = drawn["item"][drawn["item"].map(named) == "cow"]
    wrong = cows.iloc[:2].tolist()
    given = drawn.assign(label=["CAT" if item in wrong else named[item].upper() for item in drawn["item"]])
    given.iloc[-1, 1] = None  # not labelled: passed over
    given.to_csv(folder / "given.csv", index=False)
    naming.check(str(folder / "given.csv"))
    again = Naming(naming.clustering, str(folder))  # kept in the folder
    table = again.labels().set_index("item")
    assert table["checked"].value_counts().to_dict() == {"right": 17, "wrong": 2}
    assert table.loc[wrong, "label"].isna().all() and set(table.loc[wrong, "status"]) == {"relabel"}
    overall = 18 / 21
    for name in ("cat", "dog", "cow"):
        own = given.iloc[:-1][given.iloc[:-1]["item"].map(named) == name]
        right = len(own) - (2 if name == "cow" else 0)
        confidence = table.loc[table["label"] == name, "confidence"].unique()
        assert confidence == pytest.approx([(right + 4 * overall) / (len(own) + 4)])
    for bad, message in (
        ({"item": ["/nowhere"], "label": ["cat"]}, "checks /nowhere, which is none of the clusters' items"),
        ({"item": [wrong[0]] * 2, "label": ["cat", "dog"]}, "gives .* two labels, 'cat' and 'dog'; keep one"),
        ({"item": [wrong[0]], "label": [None]}, "holds no label, so it checks nothing"),
    ):
        pd.DataFrame(bad).to_csv(folder / "bad.csv", index=False)
        with pytest.raises(InputError, match=message):
            again.check(str(folder / "bad.csv"))
    assert len(again.checks) == 19, "a refused check leaves the one before"


def test_names_that_differ_in_case_are_one(work) -> None:
    naming = work[0]
    naming.choose(3)
    one, two, _ = (each.name for each in naming.clusters())
    naming.name(one, "Cat")
    assert naming.name(two, "cAT") == "Cat"
    assert list(naming.names()) == ["Cat"]


def test_a_split_gives_the_two_halves_that_were_merged_last(work) -> None:
    naming, kinds, _ = work
    naming.choose(2)
    large = max(naming.clusters(), key=lambda each: len(each.members))
    halves = naming.split(large.name)
    assert halves == [f"{large.name}a", f"{large.name}b"]
    parts = [each for each in naming.clusters() if each.name in halves]
    assert sorted(np.concatenate([each.members for each in parts])) == sorted(large.members)
    for part in parts:
        assert len({kinds[naming.clustering.items[point]] for point in part.members}) == 1


def test_another_cut_takes_what_is_not_named_or_deleted(work) -> None:
    naming = work[0]
    naming.choose(3)
    one, two, _ = (each.name for each in naming.clusters())
    naming.name(one, "kept")
    naming.send_back(two)
    naming.choose(5)
    assert sorted(np.concatenate([each.members for each in naming.clusters()])) == sorted(naming.left().tolist())
    assert naming.counts() == {"open": 24, "named": 12, "struck": 0, "back": 0, "deleted": 0}
    for each in naming.clusters():
        naming.delete(each.name)
    with pytest.raises(InputError, match="nothing left to cut"):
        naming.choose(2)


def test_the_rest_is_sorted_by_what_the_names_foretell(work) -> None:
    naming, kinds, folder = work
    points = Space(EmbeddingStore.open(str(folder / "store")), naming.clustering.rows)
    naming.choose(3)
    with pytest.raises(InputError, match="once two names were given"):
        naming.sort([("x", naming.left())])
    for each in naming.clusters():  # half of each kind is named, the rest struck out
        naming.strike(each.name, each.members[6:].tolist())
        naming.name(each.name, f"kind {kinds[naming.clustering.items[each.members[0]]]}")
    groups = guesses(points, naming.given(), naming.left())
    naming.sort(groups)
    assert [each.guess for each in naming.clusters()] == ["kind 0", "kind 1", "kind 2", ""]
    for each in naming.clusters()[:3]:
        assert {f"kind {kinds[naming.clustering.items[point]]}" for point in each.members} == {each.guess}
        naming.name(each.name, each.guess)
    assert naming.clusters()[0].name == "sorted-1.1" and len(naming.left()) == 6
    again = Naming(naming.clustering, str(folder))
    pd.testing.assert_frame_equal(again.labels(), naming.labels())
    with pytest.raises(InputError, match="not what is left to name"):
        naming.sort(groups)


def test_undo_takes_back_one_decision_at_a_time(work) -> None:
    naming = work[0]
    naming.choose(3)
    states = [naming.labels()]
    name = naming.clusters()[0].name
    members = naming.clusters()[0].members
    naming.strike(name, members[:1].tolist())
    states.append(naming.labels())
    naming.name(name, "a")
    naming.reopen(name)
    naming.undo()  # the reopening
    assert naming.names() == {"a": 11}
    naming.undo()  # the name
    pd.testing.assert_frame_equal(naming.labels(), states[1])
    naming.undo()  # the stroke
    pd.testing.assert_frame_equal(naming.labels(), states[0])
    naming.undo()
    assert naming.k is None and not naming.undoable
    with pytest.raises(InputError, match="nothing to undo"):
        naming.undo()


def test_the_journal_gives_the_same_state_again_also_after_a_line_cut_off(work) -> None:
    naming, _, folder = work
    naming.choose(3)
    one, two, three = (each.name for each in naming.clusters())
    naming.strike(one, naming.clusters()[0].members[:3].tolist())
    naming.name(one, "Käse", seconds=12.5)
    naming.split(two)
    naming.send_back(three)
    naming.undo()
    again = Naming(naming.clustering, str(folder))
    pd.testing.assert_frame_equal(again.labels(), naming.labels())
    assert again.seconds == 12.5 and [each.name for each in again.clusters()] == [one, f"{two}a", f"{two}b", three]
    journal = folder / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"do": "name", "clus')  # the machine stopped here
    after = Naming(naming.clustering, str(folder))
    pd.testing.assert_frame_equal(after.labels(), naming.labels())
    after.delete(three)
    assert journal.read_bytes().startswith(whole) and len(Naming(naming.clustering, str(folder)).events) == 8
    lines = [json.loads(line) for line in journal.read_text("utf-8").splitlines()]
    assert [line["do"] for line in lines] == ["start", "k", "strike", "name", "split", "back", "undo", "delete"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no json", "line 3 of .* is damaged"),
        ('{"do": "name", "cluster": "9.9", "label": "x", "at": "", "by": ""}', "decision 2 in .* can't be understood"),
        ('{"do": "dance", "cluster": "3.1", "at": "", "by": ""}', "decision 2 in .* can't be understood"),
        ('{"do": "strike", "cluster": "3.1", "points": [99999], "on": true, "at": "", "by": ""}', "decision 2 in"),
    ],
)
def test_a_damaged_journal_is_named(line: str, message: str, work) -> None:
    naming, _, folder = work
    naming.choose(3)
    with (folder / "journal.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match=message):
        Naming(naming.clustering, str(folder))


def test_what_cannot_be_decided(work) -> None:
    naming = work[0]
    with pytest.raises(InputError, match="no cut into 12 clusters; choose k from 2 to 9"):
        naming.choose(12)
    naming.choose(3)
    one, two, three = naming.clusters()
    with pytest.raises(InputError, match=r"there is no cluster '7\.7'"):
        naming.name("7.7", "x")
    with pytest.raises(InputError, match="name is empty"):
        naming.name(one.name, " \u200b\n ")
    with pytest.raises(InputError, match="201 characters; 200 are the most"):
        naming.name(one.name, "x" * 201)
    with pytest.raises(InputError, match="can't be struck out of cluster"):
        naming.strike(one.name, two.members[:1].tolist())
    naming.strike(one.name, one.members.tolist())
    with pytest.raises(InputError, match=r"everything in cluster .* is struck out"):
        naming.name(one.name, "x")
    naming.send_back(two.name)
    with pytest.raises(InputError, match="is back already; open it again first"):
        naming.name(two.name, "x")
    with pytest.raises(InputError, match="nothing is decided"):
        naming.reopen(three.name)
    naming.choose(9)
    smallest = min(naming.clusters(), key=lambda each: len(each.members))
    while len(smallest.members) > 1:
        smallest = next(each for each in naming.clusters() if each.name == naming.split(smallest.name)[0])
    with pytest.raises(InputError, match="single image"):
        naming.split(smallest.name)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_clean_names_are_visible_and_stay_as_they_are(text: str) -> None:
    try:
        name = clean(text)
    except InputError:
        return
    assert name == clean(name) and name.isprintable() and name.strip() == name


def test_odd_ones_come_first() -> None:
    points = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.95, 0]], np.float32)
    assert odd_first(points, np.array([1.0, 0.0]), [np.array([0.0, 1.0])])[0] == 2


# ---------------------------------------------------------------------- the command


def test_the_command_makes_clusters_and_goes_on_with_them(tmp_path: Path) -> None:
    make_store(tmp_path / "store", kinds=3, each=10)
    out = tmp_path / "out"
    run = CliRunner().invoke(app, ["cluster", str(tmp_path / "store"), "--out", str(out), "--json"])
    assert run.exit_code == 0, run.output
    facts = json.loads(run.stdout)
    assert facts["items"] == 30 and facts["open"] == 30 and facts["k_from"] == 2 and facts["k_to"] == 30
    made = (out / "clusters.json").stat().st_mtime_ns
    with open_work(str(tmp_path / "store"), str(out), worker="Ann") as work:
        work.naming.choose(3)
        for each in work.naming.clusters():
            work.naming.name(each.name, each.name)
        with (
            pytest.raises(InputError, match="another gandt cluster works in"),
            open_work(str(tmp_path / "store"), str(out)),
        ):
            pass
    run = CliRunner().invoke(app, ["cluster", str(tmp_path / "store"), "--out", str(out), "--json"])
    assert json.loads(run.stdout)["named"] == 30
    assert (out / "clusters.json").stat().st_mtime_ns == made  # taken as they were
    labels = pd.read_csv(out / "labels.csv", dtype=str)
    assert set(labels["label"]) == {"3.1", "3.2", "3.3"}
    command = ["cluster", str(tmp_path / "store"), "--out", str(out), "--json"]
    drawn = json.loads(CliRunner().invoke(app, [*command, "--sample", "10"]).stdout)["check"]
    check = pd.read_csv(drawn)
    assert len(check) == 10
    check.assign(label=check["item"].map(labels.set_index("item")["label"])).to_csv(out / "filled.csv", index=False)
    facts = json.loads(CliRunner().invoke(app, [*command, "--check", str(out / "filled.csv")]).stdout)
    assert (facts["checked"], facts["right"]) == (10, 10) and 0.9 < facts["confidence"] < 1
    assert pd.read_csv(out / "labels.csv")["confidence"].between(0.9, 1).all()


def test_decisions_are_not_mixed_with_another_pool(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    make_store(Path(store), kinds=3, each=10)
    with open_work(store, str(tmp_path / "out")) as work:
        work.naming.choose(3)
    with (
        pytest.raises(InputError, match="holds decisions about other clusters"),
        open_work(store, str(tmp_path / "out"), k_max=5),
    ):
        pass
    make_store(tmp_path / "grown", kinds=3, each=11)
    with (
        pytest.raises(InputError, match="holds decisions about other clusters"),
        open_work(str(tmp_path / "grown"), str(tmp_path / "out")),
    ):
        pass
    with pytest.raises(InputError, match="is not a local folder"), open_work(store, "s3://bucket/out"):
        pass
    assert not (tmp_path / "s3:").exists()


def test_two_images_and_a_single_cluster(tmp_path: Path) -> None:
    make_store(tmp_path / "store", kinds=2, each=1)
    command = ["cluster", str(tmp_path / "store"), "--out", str(tmp_path / "out"), "--k-min", "1", "--json"]
    run = CliRunner().invoke(app, command)
    facts = json.loads(run.stdout)
    assert (facts["k_from"], facts["k_to"]) == (1, 2)
    json.loads((tmp_path / "out" / "clusters.json").read_text(), parse_constant=pytest.fail)


def test_clusters_on_disk_that_are_damaged(tmp_path: Path) -> None:
    store, _ = make_store(tmp_path / "store", kinds=2, each=5)
    cluster(store, k_max=4).write(str(tmp_path / "out"))
    pd.DataFrame({"leaf": [0]}).rename(columns={"leaf": "leaves"}).to_parquet(tmp_path / "out" / "cuts.parquet")
    with pytest.raises(InputError, match="lacks the column leaf"):
        Clustering.read(str(tmp_path / "out"))
