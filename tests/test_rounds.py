"""``gandt run``: rounds that go on by themselves, can be killed anywhere, and lose nothing."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gandt import tables
from gandt.embedding import EmbeddingStore
from gandt.errors import InputError
from gandt.rounds.ask import JobAsker, SimulatedAsker, Waiting
from gandt.rounds.config import Config, parse_config
from gandt.rounds.given import store_vectors
from gandt.rounds.lock import alone
from gandt.rounds.loop import Run, run

CLASSES = ("bird", "cat", "dog")


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of 240 items in three heaps, their truth, 60 of them gold, and two seeds of each class."""
    folder = tmp_path_factory.mktemp("pool")
    rng = np.random.default_rng(0)
    heap = np.arange(240) % 3
    items = [f"/item {number:03}" for number in range(240)]
    store_vectors(items, 1.5 * np.eye(6)[heap] + 0.5 * rng.normal(size=(240, 6)), str(folder / "store"))
    truth = pd.DataFrame({"item": items, "label": [CLASSES[each] for each in heap]})
    tables.write_table(truth, str(folder / "truth.csv"))
    tables.write_table(truth.tail(60), str(folder / "gold.csv"))
    tables.write_table(truth.head(6), str(folder / "seeds.csv"))
    return folder


def config(pool: Path, folder: Path, *, more: str = "", stop: str = "rounds: 2", ask: str = "") -> Config:
    return parse_config(
        f"""
store: {pool}/store
run: {folder}
classes: [bird, cat, dog]
seeds: {pool}/seeds.csv
gold: {pool}/gold.csv
choose: {{n: 12}}
ask: {{{ask or f"with: simulated, truth: {pool}/truth.csv, skill: 0.85, workers: 2"}}}
stop: {{{stop}}}
{more}
""",
        "run.yaml",
    )


def files(folder: Path) -> dict[str, bytes]:
    """Everything that a run wrote but the session's number."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in (".lock", "run.json"):
            content = path.read_bytes()
            if path.suffix == ".json":
                value = json.loads(content)
                for each in value if isinstance(value, list) else [value]:
                    each.pop("session", None)
                content = json.dumps(value).encode()
            found[str(path.relative_to(folder))] = content
    return found


@pytest.fixture(scope="module")
def whole(pool: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("whole") / "run"
    return run(config(pool, folder))


def test_rounds_learn_and_everything_is_kept(whole: Any) -> None:
    assert len(whole.rounds) == 2
    last = whole.rounds[-1]
    assert last["labelled"] == 6 + 2 * 12 - sum(each["asked_again"] for each in whole.rounds)
    assert last["accuracy_low"] < last["accuracy"] < last["accuracy_high"]
    assert last["accuracy"] > 0.8
    assert last["gold"] == 60
    assert last["spent"] == pytest.approx(last["answers"] * 0.012)
    assert [reason.name for reason in whole.reasons if reason.stop] == ["rounds"]
    assert all(reason.sentence.endswith(".") for reason in whole.reasons)
    folder = Path(whole.folder)
    for name in ("inputs.json", "questions.csv", "answers.csv", "labels.csv", "workers.csv", "model.pickle"):
        assert (folder / "round-001" / name).is_file(), name
    asked = pd.concat([tables.read_table(str(folder / f"round-00{number}" / "questions.csv")) for number in range(2)])
    first = asked[asked["ask"] == "first answer"]["item"]
    assert first.is_unique
    assert not set(first) & {f"/item {number:03}" for number in [*range(6), *range(180, 240)]}, "neither seeds nor gold"
    answers = tables.read_table(str(folder / "round-000" / "answers.csv"))
    assert len(answers) == 24
    assert (answers.groupby("item")["worker"].nunique() == 2).all()


def test_gold_mixed_in_judges_workers_and_is_no_label(pool: Path, whole: Any, tmp_path: Path) -> None:
    ask = f"with: simulated, truth: {pool}/truth.csv, skill: 0.85, workers: 2, gold_rate: 0.25"
    result = run(config(pool, tmp_path / "run", ask=ask, stop="rounds: 3, budget: 60"))
    gold = set(tables.read_table(str(pool / "gold.csv"))["item"])
    folder = tmp_path / "run"
    asked: list[str] = []
    for number in range(3):
        questions = tables.read_table(str(folder / f"round-00{number}" / "questions.csv"))
        mixed = questions[questions["item"].isin(gold)]
        assert len(mixed) == -(-0.25 * (len(questions) - len(mixed)) // 1)
        assert questions["probability"][questions["ask"] == "first answer"].notna().all(), "gold looks like the others"
        asked += mixed["item"].tolist()
    assert len(asked) == len(set(asked)), "of sixty gold items none is asked twice before all are"
    last = result.rounds[-1]
    answers = pd.concat([tables.read_table(str(folder / f"round-00{number}" / "answers.csv")) for number in range(3)])
    assert last["gold_answers"] == answers["item"].isin(gold).sum() == 2 * len(asked)
    assert last["answers"] == (~answers["item"].isin(gold)).sum() <= 60
    assert last["spent"] == pytest.approx(len(answers) * 0.012)
    labels = tables.read_table(str(folder / "round-002" / "labels.csv"))
    assert not set(labels["item"]) & gold
    workers = tables.read_table(str(folder / "round-002" / "workers.csv")).astype(
        {"gold_answers": int, "gold_right": int}
    )
    assert workers["gold_answers"].sum() == last["gold_answers"]
    assert 0.6 < workers["gold_right"].sum() / workers["gold_answers"].sum() < 1
    assert result.rounds[0]["asked"] == whole.rounds[0]["asked"], "gold takes nothing from the pool"


class DiesAt:
    """Raises at the n-th file that is written, as a power cut would; the file isn't there then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
        from gandt import storage

        self.count, self.real = 0, storage.write_bytes

        def write(uri: str, content: bytes, **options: Any) -> None:
            self.count += 1
            if self.count == at:
                raise KeyboardInterrupt
            self.real(uri, content, **options)

        monkeypatch.setattr(storage, "write_bytes", write)


@pytest.mark.parametrize("at", [4, 6, 13])
def test_killed_at_any_file_the_same_command_goes_on_and_asks_nothing_twice(
    pool: Path, whole: Any, tmp_path: Path, at: int
) -> None:
    wanted = config(pool, tmp_path / "run")
    with pytest.MonkeyPatch.context() as patch:
        DiesAt(patch, at)
        with pytest.raises(KeyboardInterrupt):
            run(wanted)
    asked: list[int] = []
    crowd = SimulatedAsker.read(wanted, [])

    class Counting:
        def ask(self, number: int, questions: pd.DataFrame, folder: Path) -> pd.DataFrame:
            asked.append(number)
            return crowd.ask(number, questions, folder)

    answered = [path.parent.name for path in (tmp_path / "run").glob("round-*/answers.csv")]
    run(wanted, ask=Counting())
    assert len(asked) == 2 - len(answered), "a round that was answered isn't asked again"
    one, other = files(Path(whole.folder)), files(tmp_path / "run")
    for name in one:
        if not name.endswith(("config.yaml", "inputs.json", "model.pickle")):
            assert one[name] == other[name], name
    assert json.loads((tmp_path / "run" / "run.json").read_text())["session"] == 2


def test_killed_by_force_in_the_middle_it_ends_as_if_nothing_had_been(pool: Path, whole: Any, tmp_path: Path) -> None:
    """SIGKILL, which nothing can catch, while the second round is being written."""
    wanted = config(pool, tmp_path / "run")
    (tmp_path / "run.yaml").write_text(wanted.text)
    command = [sys.executable, "-c", "import sys; from gandt.cli import main; sys.exit(main())", "run"]
    process = subprocess.Popen([*command, str(tmp_path / "run.yaml")], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until = time.monotonic() + 120
    while process.poll() is None and not (tmp_path / "run" / "round-001" / "inputs.json").is_file():
        assert time.monotonic() < until
        time.sleep(0.001)
    process.kill()
    process.communicate()
    (tmp_path / "run" / "round-001" / f".labels.csv.{'0' * 32}.part").write_text("half a file")
    run(wanted)
    one, other = files(Path(whole.folder)), files(tmp_path / "run")
    assert one.keys() == {name for name in other if name != "report.html"}
    for name in one:
        if not name.endswith(("config.yaml", "inputs.json", "model.pickle")):
            assert one[name] == other[name], name


def test_it_stops_at_target_budget_and_an_empty_pool(pool: Path, tmp_path: Path) -> None:
    result = run(config(pool, tmp_path / "target", stop="accuracy: 0.5, rounds: 9"))
    assert len(result.rounds) == 1
    assert any(reason.name == "target" and reason.stop for reason in result.reasons)
    result = run(config(pool, tmp_path / "budget", stop="budget: 31"))
    assert result.rounds[-1]["answers"] <= 31
    assert any(reason.name == "budget" and reason.stop for reason in result.reasons)
    assert [each["answers"] for each in result.rounds][:1] == [24]
    often = "learn: {every: 100}\nconsensus: {method: majority}"
    text = config(pool, tmp_path / "pool", more=often, stop="when_stalled: false").text.replace("n: 12", "n: 90")
    result = run(parse_config(text))
    assert any(reason.name == "pool" and reason.stop for reason in result.reasons)
    assert result.rounds[-1]["left"] == 0
    learned = [each["learned_in"] for each in result.rounds]
    assert len(set(learned)) <= 3, "retrained every 100 labels only"


def test_people_fill_in_a_table(pool: Path, tmp_path: Path) -> None:
    wanted = config(pool, tmp_path / "run", ask="with: table", stop="rounds: 1")
    for _ in range(2):
        with pytest.raises(Waiting, match=r"round 0 asks about 12 items: .*questions.csv. Put the answers"):
            run(wanted)
    folder = tmp_path / "run" / "round-000"
    questions = tables.read_table(str(folder / "questions.csv"))
    truth = tables.read_table(str(pool / "truth.csv")).set_index("item")["label"]
    given = pd.DataFrame({"item": questions["item"], "worker": "me", "label": questions["item"].map(truth)})
    tables.write_table(given.assign(label="fish"), str(folder / "given.csv"))
    with pytest.raises(InputError, match="the answers hold the label 'fish', which is none of the classes bird, cat"):
        run(wanted)
    tables.write_table(given.assign(item="/item 001"), str(folder / "given.csv"))
    with pytest.raises(InputError, match="answers /item 001, which round 0 didn't ask"):
        run(wanted)
    tables.write_table(given.assign(label=None), str(folder / "given.csv"))
    with pytest.raises(InputError, match="nobody answered anything in this round"):
        run(wanted)
    tables.write_table(given, str(folder / "given.csv"))
    assert run(wanted).rounds[0]["answers"] == 12


def test_without_seeds_it_begins_with_typical_items(pool: Path, tmp_path: Path) -> None:
    text = config(pool, tmp_path / "run").text.replace(f"seeds: {pool}/seeds.csv\n", "")
    result = run(parse_config(text))
    assert result.rounds[0]["accuracy"] > 0.6


def test_a_changed_pool_is_noticed_and_taken_when_wanted(pool: Path, tmp_path: Path) -> None:
    mine = tmp_path / "pool"
    shutil.copytree(pool, mine)
    run(config(mine, tmp_path / "run", stop="rounds: 1"))
    from gandt.embedding.store import EMBEDDED, Record
    from gandt.embedding.writer import Writer

    store = EmbeddingStore.open(str(mine / "store"))
    vector = np.asarray(store.vectors[:1])
    with Writer(str(mine / "store"), store.description) as writer:
        writer.write([Record("/item new", "abc", 0, 0, EMBEDDED, "", 0, "1")], vector)
    before = files(tmp_path / "run")
    truth = tables.read_table(str(mine / "truth.csv"))
    tables.write_table(pd.concat([truth, truth.head(1).assign(item="/item new")]), str(mine / "truth.csv"))
    wanted = config(mine, tmp_path / "run", stop="rounds: 2")
    with pytest.raises(InputError, match=r"isn't what it was in session 1 .*: 1 items are new or changed, 0 are gone"):
        run(wanted)
    assert files(tmp_path / "run") == before
    result = run(wanted, changed_pool=True)
    assert result.rounds[1]["pool"] == result.rounds[0]["pool"] + 1


def test_what_a_run_refuses(pool: Path, tmp_path: Path) -> None:
    few = tmp_path / "few.csv"
    truth = tables.read_table(str(pool / "truth.csv"))
    tables.write_table(truth.iloc[[0, 1]], str(few))
    good = config(pool, tmp_path / "run").text

    def refused(old: str, new: str, sentence: str) -> None:
        assert old in good
        with pytest.raises(InputError, match=sentence):
            run(parse_config(good.replace(old, new), "run.yaml"))

    refused(f"{pool}/seeds.csv", str(few), "run.yaml line 5: seeds have no example of the class 'dog'; add one")
    refused(
        "[bird, cat, dog]", "[bird, cat, fish]", "line 5: seeds has the label 'dog', which is none of bird, cat, fish"
    )
    refused(f"{pool}/gold.csv", f"{pool}/seeds.csv", "line 6: gold holds /item 000, which is a seed, too")
    refused(
        f"{pool}/truth.csv",
        str(few),
        "line 8: ask.truth lacks 174 of the 174 items that may be asked",
    )
    tables.write_table(pd.DataFrame({"item": ["/nowhere"], "label": ["cat"]}), str(few))
    refused(f"{pool}/gold.csv", str(few), "few.csv labels '/nowhere', which is none of the 240 items of")
    tables.write_table(pd.DataFrame({"item": ["/item 200"] * 2, "label": ["cat", "dog"]}), str(few))
    refused(f"{pool}/gold.csv", str(few), "/item 200 has two labels, 'cat' and 'dog'")
    with alone(str(tmp_path / "run")), pytest.raises(InputError, match="another gandt run works in"):
        run(parse_config(good))
    run(parse_config(good.replace("rounds: 2", "rounds: 1")))
    with pytest.raises(InputError, match="classes changes the labels, which were bird, cat, dog when this run began"):
        run(parse_config(good.replace("[bird, cat, dog]", "[dog, cat, bird]")))


def test_an_empty_pool(pool: Path, tmp_path: Path) -> None:
    from gandt.embedding.store import SET_ASIDE, Record
    from gandt.embedding.writer import Writer

    store = EmbeddingStore.open(str(pool / "store"))
    with Writer(str(tmp_path / "store"), store.description) as writer:
        writer.write([Record("/broken", "", 0, 0, SET_ASIDE, "no image", -1, "1")], np.empty((0, store.dim)))
    text = config(pool, tmp_path / "run").text.replace(f"{pool}/store", f"{tmp_path}/store")
    with pytest.raises(InputError, match=r"the pool is empty: .* has no item with a vector"):
        run(parse_config(text))


def test_the_simulated_crowd_is_as_good_as_it_should_be(pool: Path) -> None:
    truth = {f"/{number}": CLASSES[number % 3] for number in range(900)}
    crowd = SimulatedAsker(truth, CLASSES, crowd=9, skill=0.8, workers=2, seed=1)
    questions = pd.DataFrame({"item": list(truth), "ask": "first answer", "answers": 0})
    answers = crowd.ask(0, questions, Path())
    assert (answers["label"] == answers["item"].map(truth)).mean() == pytest.approx(0.8, abs=0.05)
    more = crowd.ask(1, questions.assign(answers=2), Path())
    both = pd.concat([answers, more])
    assert not both.duplicated(["item", "worker"]).any(), "nobody is asked about an item twice"


def test_run_is_what_it_says(pool: Path, whole: Any) -> None:
    again = Run(config(pool, Path(whole.folder)))
    assert again.history() == whole.rounds
    assert again.session == 2


def test_a_pool_of_seeds_alone_leaves_nothing_to_ask(pool: Path, tmp_path: Path) -> None:
    text = config(pool, tmp_path / "run").text.replace(f"{pool}/seeds.csv", f"{pool}/truth.csv")
    text = text.replace(f"gold: {pool}/gold.csv\n", "")
    with pytest.raises(InputError, match="there is nothing to ask: every item of the pool is a seed, gold or a dup"):
        run(parse_config(text))


def test_what_an_answer_costs_comes_from_the_price_list(pool: Path, tmp_path: Path) -> None:
    prices = {"currency": "EUR", "per_object": [[0, 0.08]], "per_task": 0.02}
    (tmp_path / "prices.json").write_text(json.dumps(prices))
    wanted = config(pool, tmp_path / "run", more=f"prices: {tmp_path}/prices.json", stop="money: 1")
    result = run(wanted)
    assert result.rounds[0]["spent"] == pytest.approx(24 * (0.02 + 0.08 / 2))
    assert [reason.sentence for reason in result.reasons if reason.stop] == [
        f"{result.rounds[-1]['spent']:,.2f} of 1 EUR are spent, so the budget is at its end."
    ]


# ---------------------------------------------------------------------- before the first round


def refused(text: str) -> str:
    """Run a configuration that can't be; return why, once nothing was asked."""
    wanted = parse_config(text, "run.yaml")
    with pytest.raises(InputError) as error:
        run(wanted)
    assert not list(Path(wanted[""]["run"]).glob("round-*")), "no round was begun"
    return str(error.value)


def test_a_truth_that_lacks_items_is_refused_before_anything_is_asked(pool: Path, tmp_path: Path) -> None:
    """As it was, round 0 was paid and round 1 failed."""
    truth = tables.read_table(str(pool / "truth.csv"))
    good = config(pool, tmp_path / "run").text
    mine = str(tmp_path / "truth.csv")
    text = good.replace(f"truth: {pool}/truth.csv", f"truth: {mine}")

    tables.write_table(truth.drop(index=[20, 30]), mine)
    assert "line 8: ask.truth lacks 2 of the 174 items that may be asked, such as '/item 020'; add them" in refused(
        text
    )
    tables.write_table(truth.assign(label=truth["label"].where(truth["item"] != "/item 040")), mine)
    assert "lacks 1 of the 174 items that may be asked, such as '/item 040'; add it" in refused(text)
    tables.write_table(pd.concat([truth, truth.head(20).tail(1).assign(label="dog")]), mine)
    assert "ask.truth says two different things of the item '/item 019'; keep one row" in refused(text)
    tables.write_table(truth.assign(label=truth["label"].replace("dog", "wolf")), mine)
    said = refused(text)
    assert "ask.truth has 80 labels outside the run's labels, such as 'wolf' of '/item 002'" in said
    assert "or name the label for what is none of them as ask.other" in said
    tables.write_table(truth.head(180).tail(174), mine)
    assert run(parse_config(text)).rounds, "neither seeds nor gold are asked, so they needn't be in it"
    mixed = text.replace("workers: 2", "workers: 2, gold_rate: 0.1").replace(
        f"run: {tmp_path}/run", f"run: {tmp_path}/2"
    )
    assert "lacks 60 of the 234 items that may be asked, such as '/item 180'" in refused(mixed)


def test_a_target_that_this_gold_cannot_show_is_refused(pool: Path, tmp_path: Path) -> None:
    text = config(pool, tmp_path / "run", stop="accuracy: 0.95").text
    assert "run.yaml line 9: stop.accuracy of 95.0% can't be shown by 60 gold items" in refused(text)


def test_a_run_that_never_reaches_its_target_ends_with_the_pool(pool: Path, tmp_path: Path) -> None:
    few = tables.read_table(str(pool / "truth.csv"))
    flipped = few.tail(60).assign(label=few.tail(60)["label"].map({"bird": "cat", "cat": "dog", "dog": "bird"}))
    tables.write_table(flipped, str(tmp_path / "gold.csv"))
    text = config(pool, tmp_path / "run", stop="accuracy: 0.9", more="learn: {every: 50}").text
    text = text.replace(f"{pool}/gold.csv", f"{tmp_path}/gold.csv").replace("n: 12", "n: 45")
    result = run(parse_config(text.replace("workers: 2", "workers: 1, crowd: 2")))
    assert [reason.name for reason in result.reasons if reason.stop] == ["pool"]
    assert "below the target of 90.0%" in " ".join(reason.sentence for reason in result.reasons)
    answers = pd.concat([tables.read_table(str(path)) for path in (tmp_path / "run").glob("round-*/answers.csv")])
    assert answers.groupby("item")["worker"].nunique().max() <= 2, "a crowd of two gives two answers"


@pytest.mark.parametrize(
    ("rows", "show", "sentence"),
    [
        (
            lambda table: table.drop(index=[9]),
            "text",
            "ask.table lacks 1 of the 174 items that may be asked, such as '/it",
        ),
        (
            lambda table: pd.concat([table, table.tail(1).assign(text="other")]),
            "text",
            "ask.table says two different things of the item '/item 239'",
        ),
        (lambda table: table, "picture", "ask.show 'picture' is no column of"),
        (
            lambda table: table.assign(text=table["text"].where(table["item"] != "/item 020")),
            "text",
            "ask.show has 1 empty cells in",
        ),
        (
            lambda table: table.assign(text=[__file__, *table["text"].tail(239)]).iloc[::-1],
            "text",
            None,
        ),
        (
            lambda table: table.assign(
                text=[*table["text"].head(239), __file__], item=table["item"].iloc[::-1].tolist()
            ),
            "text",
            None,
        ),
        (
            lambda table: table.assign(text=[*[__file__] * 100, *table["text"].tail(140)]),
            "text",
            "ask.show can't show 80 of the 174 items that may be asked: there is no file such as wine 100",
        ),
    ],
)
def test_what_is_shown_is_looked_at_before_the_first_round(
    pool: Path, tmp_path: Path, rows: Any, show: str, sentence: str | None
) -> None:
    items = tables.read_table(str(pool / "truth.csv"))["item"]
    table = pd.DataFrame({"item": items, "text": [f"wine {number}" for number in range(240)]})
    tables.write_table(rows(table), str(tmp_path / "table.csv"))
    ask = f"with: job, output: s3://bucket/jobs, template: text, table: {tmp_path}/table.csv, show: {show}"
    text = config(pool, tmp_path / "run", ask=ask).text
    if sentence is not None:
        assert sentence in refused(text)
        return
    seeds_alone = [f"/item {number:03}" for number in range(6, 180)]
    assert JobAsker(parse_config(text), seeds_alone).files is False, "texts, as only a seed's row names a file"


def test_files_that_are_gone_are_named_before_the_first_round(pool: Path, tmp_path: Path) -> None:
    text = config(pool, tmp_path / "run", ask="with: job, output: s3://bucket/jobs").text
    assert "ask.with can't show 174 of the 174 items that may be asked: there is no file such as /item 006" in refused(
        text
    )


def test_options_of_the_usual_classifier_are_checked_too(pool: Path, tmp_path: Path) -> None:
    text = config(pool, tmp_path / "run").text + "learn: {options: {strength: 3}}\n"
    with pytest.raises(
        InputError, match=r"run.yaml line \d+: learn.options can't be used: the classifier logistic has no"
    ):
        parse_config(text, "run.yaml")
