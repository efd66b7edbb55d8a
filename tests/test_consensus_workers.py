"""Evidence about workers, asking until sure, several labels, a classifier's voice, earlier jobs."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_consensus import CATEGORIES, accuracy, load, simulate
from typer.testing import CliRunner

from gandt.cli import app
from gandt.cli import consensus as _commands  # noqa: F401  (registers the commands)
from gandt.consensus import consolidate, consolidate_sets
from gandt.consensus.dawid_skene import dawid_skene
from gandt.consensus.em import Limits
from gandt.consensus.encode import encode
from gandt.consensus.majority import majority
from gandt.consensus.redundancy import next_manifest, next_round, replay
from gandt.consensus.workers import confusion, copying, evidence, to_exclude
from gandt.errors import InputError


def spammed() -> tuple[pd.DataFrame, dict[str, str]]:
    """Ten honest workers, one who always says None, one who clicks at once, one who copies w0."""
    random = np.random.default_rng(3)
    truth = random.integers(4, size=400)
    rows = []
    for item in range(400):
        said = {}
        for name in [f"w{number}" for number in random.choice(10, size=4, replace=False)]:
            right = random.random() < (0.7 if name == "w0" else 0.85)
            said[name] = truth[item] if right else (truth[item] + random.integers(1, 4)) % 4
        if "w0" in said:
            said["copier"] = said["w0"]
        said["constant"] = 3
        said["hasty"] = random.integers(4)
        for name, label in said.items():
            seconds = random.lognormal(0 if name == "hasty" else 2, 0.3)
            rows.append((f"i{item}", name, CATEGORIES[label], f"page{item}", seconds))
    answers = pd.DataFrame(rows, columns=["item", "worker", "label", "data_object", "seconds"])
    return answers, {f"i{item}": CATEGORIES[code] for item, code in enumerate(truth)}


def test_spammers_stand_out_and_honest_workers_do_not() -> None:
    answers, _ = spammed()
    result = consolidate(answers, categories=CATEGORIES)
    table = evidence(answers, result).set_index("worker")
    assert "says None of these to 100%" in table.loc["constant", "evidence"]
    assert "too fast to have looked" in table.loc["hasty", "evidence"]
    assert table.loc["hasty", "speed"] == pytest.approx(np.e**2, rel=0.3)
    assert table.loc["hasty", "too_fast"] > 0.9 and table.loc["hasty", "hurried"] < 0.05
    assert table.loc["copier", "copies"] == "w0" and "agrees with w0" in table.loc["copier", "evidence"]
    honest = table.loc[[f"w{number}" for number in range(1, 10)]]
    assert (honest["evidence"] == "").all()
    assert ((honest["reliability_low"] < 0.86) & (honest["reliability_high"] > 0.84)).sum() >= 7  # of nine at 95 %
    pairs = copying(result)
    assert pairs.loc[0, ["worker", "other"]].to_list() == ["w0", "copier"]
    assert pairs.loc[0, "agreed"] == pairs.loc[0, "items"]


def test_the_same_mistakes_tell_of_copying_and_the_same_right_answers_do_not() -> None:
    """Twins are right on all items but four, on which they alone make the same mistake; the two best err nowhere."""
    random = np.random.default_rng(8)
    truth = random.integers(4, size=120)
    rows = []
    for item, code in enumerate(truth):
        wrong = (code + 1) % 4 if item % 30 == 0 else code
        said = {"best": code, "second best": code, "twin": wrong, "other twin": wrong}
        for name in ("a", "b", "c"):
            said[name] = code if random.random() < 0.8 else (code + random.integers(1, 4)) % 4
        rows += [(f"i{item}", name, CATEGORIES[label]) for name, label in said.items()]
    pairs = copying(consolidate(pd.DataFrame(rows, columns=["item", "worker", "label"])))
    assert set(pairs.loc[0, ["worker", "other"]]) == {"twin", "other twin"}
    best = pairs[pairs["worker"].isin(["best"]) & pairs["other"].isin(["second best"])].iloc[0]
    assert best["agreed"] == 120 and pairs.loc[0, "z"] > best["z"] + 1


def test_two_who_share_few_items_are_no_pair() -> None:
    few = pd.DataFrame([("a", "v", "x"), ("a", "w", "x"), ("b", "v", "y")], columns=["item", "worker", "label"])
    assert copying(consolidate(few)).empty
    assert (evidence(few, consolidate(few))["evidence"] == "").all()


def test_a_page_of_fewer_items_takes_less_time() -> None:
    rows = [(f"i{n}", w, "xy"[n % 2], f"page{n // 10}", 30.0) for n in range(90) for w in "abc"]
    rows += [("last", w, "x", "page9", 3.0) for w in "abc"]
    answers = pd.DataFrame(rows, columns=["item", "worker", "label", "data_object", "seconds"])
    table = evidence(answers, consolidate(answers))
    assert table["seconds"].to_list() == [3.0] * 3
    assert (table["too_fast"] == 0).all() and (table["hurried"] == 0).all()


def test_nobody_is_judged_by_his_own_vote() -> None:
    answers = pd.DataFrame(
        [(f"i{n}", "loner", "x") for n in range(30)] + [(f"i{n}", w, "y") for n in range(30) for w in ("a", "b", "c")],
        columns=["item", "worker", "label"],
    )
    workers = consolidate(answers, method="majority").workers.set_index("worker")
    assert workers.loc["loner", "reliability"] < 0.35 and workers.loc["a", "reliability"] > 0.7


def test_items_that_nobody_else_answered_tell_nothing() -> None:
    answers = pd.DataFrame([(f"i{n}", "w", "xy"[n % 2]) for n in range(50)], columns=["item", "worker", "label"])
    row = consolidate(answers).workers.iloc[0]
    assert row["reliability_low"] < 0.5 and row["reliability_high"] > 0.95


def test_a_confusion_matrix_counts_a_workers_answers() -> None:
    answers, _ = spammed()
    matrix = confusion(consolidate(answers, categories=CATEGORIES), "constant")
    assert matrix.to_numpy().sum() == pytest.approx(400)
    assert matrix["None of these"].sum() == pytest.approx(400)
    with pytest.raises(InputError, match="no worker 'nobody'"):
        confusion(consolidate(answers), "nobody")


def test_exclusion_is_a_stated_rule_and_can_be_undone() -> None:
    answers, truth = spammed()
    before = consolidate(answers, categories=CATEGORIES)
    names = to_exclude(before.workers, 0.5)
    assert set(names) == {"constant", "hasty"}
    after = consolidate(answers, categories=CATEGORIES, exclude=names)
    assert accuracy(after.labels, truth) >= accuracy(before.labels, truth) - 0.01
    undone = consolidate(answers, categories=CATEGORIES)
    pd.testing.assert_frame_equal(undone.labels, before.labels)


def test_an_earlier_job_is_prior_knowledge() -> None:
    answers, _ = spammed()
    early = consolidate(answers, categories=CATEGORIES).workers
    few = pd.DataFrame({"item": ["a", "a"], "worker": ["constant", "w3"], "label": ["None of these", "cat"]})
    assert consolidate(few, categories=CATEGORIES, previous=early).labels.loc[0, "label"] == "cat"
    workers = consolidate(few, categories=CATEGORIES, previous=early).workers.set_index("worker")["reliability"]
    assert workers["constant"] < 0.5 < workers["w3"]
    with pytest.raises(InputError, match="lacks the column reliability"):
        consolidate(few, previous=early[["worker"]])


def test_a_classifier_is_one_more_voice() -> None:
    answers, truth = simulate(items=400, each=1, skills=(0.75,) * 10, seed=4)
    random = np.random.default_rng(0)
    scores = random.normal(size=(400, 4))
    scores[np.arange(400), [CATEGORIES.index(truth[f"i{n}"]) for n in range(400)]] += 2.0
    overconfident = np.exp(4 * scores) / np.exp(4 * scores).sum(axis=1, keepdims=True)
    table = pd.DataFrame(overconfident, columns=list(CATEGORIES)).assign(item=[f"i{n}" for n in range(400)])
    alone = accuracy(consolidate(answers, categories=CATEGORIES).labels, truth)
    classifier = float((overconfident.argmax(axis=1) == [CATEGORIES.index(truth[f"i{n}"]) for n in range(400)]).mean())
    both = consolidate(answers, categories=CATEGORIES, classifier=table)
    assert accuracy(both.labels, truth) > max(alone, classifier) + 0.04
    assert both.crowd.voice is not None and both.crowd.voice.sharpness < 0.9  # it was made four times too sure
    one_coin = consolidate(answers, method="one-coin", categories=CATEGORIES, classifier=table)
    assert (
        accuracy(one_coin.labels, truth) > max(alone, classifier) + 0.04
    )  # single answers don't agree with themselves
    useless = table.assign(**dict.fromkeys(CATEGORIES, 0.25))
    deaf = consolidate(answers, categories=CATEGORIES, classifier=useless)
    assert accuracy(deaf.labels, truth) > alone - 0.02
    with pytest.raises(InputError, match="lacks the column 'cat'"):
        consolidate(answers, categories=CATEGORIES, classifier=table.drop(columns="cat"))
    with pytest.raises(InputError, match="aren't probabilities"):
        consolidate(answers, categories=CATEGORIES, classifier=table.assign(cat=-1.0))


def test_asking_on_is_for_doubtful_items_only() -> None:
    rows = [("sure", worker, "x") for worker in "abcde"]
    rows += [("split", worker, label) for worker, label in zip("abcdefgh", "xxxxyyyy", strict=True)]
    rows += [("new", "a", "x"), *[(f"i{n}", worker, "xy"[n % 2]) for n in range(40) for worker in "abcdefgh"]]
    answers = pd.DataFrame(rows, columns=["item", "worker", "label"])
    result = consolidate(answers, items=["never", *dict.fromkeys(answers["item"])])
    plan = next_round(result, target=0.95, cap=9, price=0.05).set_index("item")
    assert plan.loc["sure", "decision"] == "confident" and plan.loc["sure", "ask"] == 0
    assert plan.loc["split", "decision"] == "split" and plan.loc["split", "price"] == 0
    assert plan.loc["new", "decision"] == plan.loc["never", "decision"] == "ask"
    assert plan.loc["never", "ask"] == 2 and plan.loc["never", "price"] == pytest.approx(0.1)
    assert list(next_manifest(plan.reset_index()).lines[0]) == ["source-ref"]
    capped = next_round(result, target=0.95, cap=1).set_index("item")
    assert capped.loc["new", "decision"] == "capped"
    worthless = next_round(result, target=0.95, price=1.0, value=0.01).set_index("item")
    assert worthless.loc["new", "ask"] == 0
    with pytest.raises(InputError, match="target 2"):
        next_round(result, target=2)


def test_asking_until_sure_is_cheaper_than_fixed_redundancy(shared: Path) -> None:
    answers, truth = load(shared, "sp_amt")
    fixed = replay(answers, truth, target=None, start=5, cap=5, method="majority").iloc[-1]
    sure = replay(answers, truth, target=0.8, cap=9).iloc[-1]
    assert sure["accuracy"] > fixed["accuracy"] - 0.015
    assert sure["judgements"] < 0.6 * fixed["judgements"]


def test_asking_until_all_are_sure_together_is_cheaper_still(shared: Path) -> None:
    answers, truth = load(shared, "ms")
    fixed = replay(answers, truth, target=None, start=5, cap=5, method="majority").iloc[-1]
    path = replay(answers, truth, overall=0.999, start=1, per_round=1)
    cheap = path[path["judgements"] <= 0.45 * fixed["judgements"]].iloc[-1]
    assert cheap["accuracy"] > fixed["accuracy"] + 0.03
    assert path["accuracy"].iloc[-1] > cheap["accuracy"]


@pytest.mark.parametrize("name", ["sp_amt", "tweets", "cf_amt"])
def test_a_few_second_answers_about_what_is_in_doubt_never_turn_the_others(shared: Path, name: str) -> None:
    """They are no sample of the items: all may have had the same first label."""
    answers, truth = load(shared, name)
    path = replay(answers, truth, overall=0.999, start=1, share=0.1)
    assert path["accuracy"].min() > path["accuracy"].iloc[0] - 0.025


def test_second_answers_about_one_label_only_leave_the_others_alone() -> None:
    answers, truth = simulate(items=600, each=2, skills=(0.7,) * 30)
    turn = answers.groupby("item").cumcount()
    first = answers[turn == 0]
    again = list(first[first["label"] == CATEGORIES[0]]["item"])[:40]
    some = pd.concat([first, answers[(turn == 1) & answers["item"].isin(again)]])
    vote = consolidate(first, method="majority", categories=CATEGORIES).labels
    assert accuracy(consolidate(some, categories=CATEGORIES).labels, truth) > accuracy(vote, truth) - 0.02


def test_the_most_doubtful_come_first_until_all_are_sure_together() -> None:
    answers, _ = simulate(items=100, each=2)
    result = consolidate(answers, categories=CATEGORIES)
    plan = next_round(result, overall=0.99, share=0.05)
    assert (plan["decision"] == "ask").sum() == 5
    doubtful = plan[plan["decision"].isin(["ask", "later"])]
    assert doubtful["confidence"].iloc[:5].max() <= doubtful["confidence"].iloc[5:].min()
    enough = next_round(result, overall=0.5)
    assert enough["ask"].sum() == 0 and "enough" in set(enough["decision"])
    with pytest.raises(InputError, match="overall accuracy 2"):
        next_round(result, overall=2)


def test_sets_of_labels_with_none_as_an_answer() -> None:
    rows = [("both", worker, label) for worker in "abcd" for label in ("cat", "dog")]
    rows += [("empty", worker, "none") for worker in "abcd"]
    rows += [("one", worker, "cat") for worker in "abc"] + [("one", "d", "dog"), ("one", "d", "cat")]
    rows += [(f"i{n}", worker, ("cat", "dog", "none")[n % 3]) for n in range(60) for worker in "abcd"]
    answers = pd.DataFrame(rows, columns=["item", "worker", "label"])
    gold = {f"i{n}": [("cat", "dog", "none")[n % 3]] for n in range(6)}
    result = consolidate_sets(
        answers, none="none", gold={key: [] if own == ["none"] else own for key, own in gold.items()}
    )
    labels = result.labels.set_index("item")
    assert labels.loc["both", "label"] == '["cat", "dog"]'
    assert labels.loc["empty", "label"] == '["none"]'
    assert labels.loc["one", ["label", "votes", "workers"]].to_list() == ['["cat"]', 3, 4]
    assert set(gold).isdisjoint(labels.index) and (result.workers["gold_right"] == 6).all()
    with pytest.raises(InputError, match="'bird'"):
        consolidate_sets(answers, none="none", gold={"both": ["bird"]})


def test_commands(tmp_path: Path) -> None:
    answers, truth = spammed()
    answers.to_csv(tmp_path / "answers.csv", index=False)
    pd.DataFrame([{"item": "i0", "label": truth["i0"]}]).to_csv(tmp_path / "gold.csv", index=False)
    run = CliRunner().invoke
    given = [str(tmp_path / "answers.csv"), "--gold", str(tmp_path / "gold.csv"), "--json"]
    out = ["--out", str(tmp_path / "labels.parquet"), "--next", str(tmp_path / "next.jsonl"), "--exclude-below", "0.5"]
    done = run(app, ["consensus", *given, *out])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["items"] == 399
    labels = pd.read_parquet(tmp_path / "labels.parquet")
    assert accuracy(labels, truth) > 0.9
    assert len((tmp_path / "next.jsonl").read_text().splitlines()) == 399
    shown = run(app, ["workers", *given])
    assert {row["worker"] for row in json.loads(shown.stdout)} == set(answers["worker"])
    shown = run(app, ["workers", *given, "--confusion", "constant"])
    assert sum(row["None of these"] for row in json.loads(shown.stdout)) == pytest.approx(400)
    shown = run(app, ["workers", *given, "--copying", "--out", str(tmp_path / "pairs.csv")])
    assert json.loads(shown.stdout)[0]["other"] == "copier" == pd.read_csv(tmp_path / "pairs.csv").loc[0, "other"]
    planned = run(app, ["plan", "1000", "--until-sure", "--json"])
    assert json.loads(planned.stdout)["items"] == 1000


def test_a_page_about_each_worker(tmp_path: Path) -> None:
    answers, _ = spammed()
    answers["worker"] = answers["worker"].replace("w1", "<script>alert(1)</script>")
    answers.to_csv(tmp_path / "answers.csv", index=False)
    done = CliRunner().invoke(app, ["workers", str(tmp_path / "answers.csv"), "--html", str(tmp_path / "workers.html")])
    assert done.exit_code == 0, done.output
    page = (tmp_path / "workers.html").read_text()
    assert "<script" not in page and "&lt;script&gt;" in page
    assert page.count("<details") == answers["worker"].nunique()
    assert page.count("<details open") == 4  # constant, hasty, copier and the one who was copied
    assert "agrees with w0 beyond what both know" in page and "too fast to have looked" in page
    few = answers.assign(label=answers["label"] + (answers.index % 5).astype(str))  # too many classes for a table
    few.to_csv(tmp_path / "answers.csv", index=False)
    CliRunner().invoke(app, ["workers", str(tmp_path / "answers.csv"), "--html", str(tmp_path / "workers.html")])
    assert "largest errors" in (tmp_path / "workers.html").read_text()


@pytest.mark.filterwarnings("ignore:::crowdkit", "ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", ["bluebirds", "sp_amt", "sp", "tweets"])
def test_crowd_kit_gives_the_same_labels(shared: Path, name: str) -> None:
    crowdkit = pytest.importorskip("crowdkit.aggregation", reason="crowd-kit isn't installed (pip install crowd-kit)")
    answers, _ = load(shared, name)
    answers = answers.drop_duplicates(["task", "worker"])
    crowd = encode(answers)
    # crowd-kit clips zero counts where we add pseudo-counts: next to none makes the models the same
    for fit, model in (
        (dawid_skene(crowd, Limits(), pseudo_count=1e-9), crowdkit.DawidSkene(n_iter=500, tol=1e-9)),
        (majority(crowd, Limits()), crowdkit.MajorityVote()),
    ):
        theirs = model.fit_predict(answers).reindex(list(crowd.items)).to_numpy()
        ours = np.array(crowd.classes)[fit.probabilities.argmax(axis=1)]
        clear = fit.probabilities.max(axis=1) > 0.51  # ties are broken otherwise
        assert (ours[clear] == theirs[clear]).mean() > 0.99


@pytest.mark.parametrize("method", ["glad", "m-msr", "kos"])
def test_crowd_kits_methods_under_our_interface(method: str) -> None:
    pytest.importorskip("crowdkit.aggregation", reason="crowd-kit isn't installed (pip install crowd-kit)")
    answers, truth = simulate(items=80, each=5, skills=(0.9,) * 8, seed=2)
    answers["label"] = (answers["label"] == "cat").map({True: "cat", False: "dog"})
    truth = {item: "cat" if label == "cat" else "dog" for item, label in truth.items()}
    result = consolidate(answers, method=method)
    assert accuracy(result.labels, truth) > 0.9
    assert (result.workers["reliability"] > 0.7).all()


def test_without_crowd_kit_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "crowdkit", None)
    with pytest.raises(Exception, match=r"gandt\[crowd-kit\]"):
        consolidate(simulate(items=10)[0], method="glad")


def test_an_order_on_the_page_is_no_bias_of_the_worker_and_a_bias_is_found() -> None:
    """The likeliest tiles lie first, so everybody's labels depend on the place; only one worker follows the place."""
    random = np.random.default_rng(5)
    rows = []
    for page in range(40):
        truth = np.sort(random.integers(0, 2, size=10))
        for worker in ("a", "b", "c", "d", "e", "by place"):
            for place, answer in enumerate(truth):
                if worker == "by place" and random.random() < 0.5:
                    answer = int(place % 2)
                elif random.random() < 0.08:
                    answer = 1 - answer
                rows.append((f"{page} {place}", worker, "cat" if answer else "dog", f"{page}", place))
    answers = pd.DataFrame(rows, columns=["item", "worker", "label", "data_object", "position"])
    found = evidence(answers, consolidate(answers)).set_index("worker")["position_p"]
    assert found["by place"] < 1e-6
    assert found.drop("by place").min() > 1e-3
