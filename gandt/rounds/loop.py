"""The loop: choose → ask → consolidate → learn → decide, round after round, each step kept in a file.

A run is a folder. ``round-000/`` has, in the order in which they are written: ``inputs.json`` (session, pool,
configuration), ``questions.csv``, ``answers.csv``, ``labels.csv``, ``workers.csv``, ``predictions.parquet`` (of what
is unlabelled), ``model.pickle`` and, last, ``metrics.json``. Every file appears at once and whole, and a step whose
file is there isn't taken again: killed at any moment, the same command goes on, and nothing is asked or paid twice.
The model file is for its owner's use elsewhere; gandt never loads it, it learns again from the labels.
"""

import hashlib
import json
import pickle
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gandt import storage
from gandt.arguments import checked
from gandt.candidates import find_duplicates
from gandt.candidates.carry import representatives
from gandt.candidates.points import Points
from gandt.candidates.relabel import ANOTHER
from gandt.candidates.uncertainty import margin
from gandt.consensus import Consensus, consolidate
from gandt.embedding import EmbeddingStore, embed
from gandt.errors import InputError
from gandt.rounds.ask import Asker, asker
from gandt.rounds.config import Config, price_of_an_answer
from gandt.rounds.head import Model, learn
from gandt.rounds.lock import alone
from gandt.rounds.metrics import measure_head
from gandt.rounds.questions import choose_questions
from gandt.rounds.select import predict, read_known
from gandt.rounds.stop import LEAST_NEW, Reason, contradictions, halting_bar, judge, target_problem
from gandt.tables import read_table, write_table

Said = Callable[[str], None]


@dataclass
class RunResult:
    """How a run stands.

    Attributes
    ----------
    folder : str
    rounds : list of dict
        Metrics of each finished round.
    reasons : list of Reason
        What the rounds say; those that end the run have ``stop``.
    """

    folder: str
    rounds: list[dict[str, Any]]
    reasons: list[Reason]


class Run:
    """A run: its configuration, pool, points, seeds, gold and folder.

    Parameters
    ----------
    config : Config
    changed_pool : bool
        Take a pool that isn't what it was in the last session.
    ask : Asker, optional
        By default what the configuration says.
    said : callable
        Gets what people may want to know meanwhile, a sentence each.
    s3 : optional
        A boto3 S3 client.

    Raises
    ------
    InputError
        When pool, seeds, gold or folder can't be used.
    """

    def __init__(
        self,
        config: Config,
        *,
        changed_pool: bool = False,
        ask: Asker | None = None,
        said: Said = lambda sentence: None,
        s3: Any = None,
    ) -> None:
        self.config, self.s3, self.said = config, s3, said
        self._learned: dict[Any, Model] = {}  # the last few: the same labels give the same model
        top = config[""]
        self.folder = Path(top["run"])
        self.classes = config.labels
        with storage.explained("write", str(self.folder)):
            self.folder.mkdir(parents=True, exist_ok=True)
        store_path = top["store"] or str(self.folder / "store")
        if top["images"] is not None:
            embed(top["images"], store_path, model=top["model"], s3=s3)
        self.store = EmbeddingStore.open(store_path)
        self.near = find_duplicates(self.store, threshold=top["duplicates"]) if top["duplicates"] else None
        self.stands_for = representatives(self.store, self.near)
        if not len(self.stands_for):
            raise InputError(f"the pool is empty: {store_path} has no item with a vector; embed some images first")
        self.points = Points(self.store)
        self.seeds = self._known("seeds")
        self.gold = self._known("gold")
        missing = [name for name in top["classes"] if name not in self.seeds.values()]
        if self.seeds and missing:
            raise config.error(
                "seeds", f"have no example of the class {missing[0]!r}; add one, or give no seeds at all"
            )
        both = sorted(set(self.seeds) & set(self.gold))
        if both:
            raise config.error(
                "gold", f"holds {both[0]}, which is a seed, too; gold must be unseen: leave it out there"
            )
        self.ask = ask
        self._same_pool(changed_pool)
        self.price = price_of_an_answer(config, s3=s3)

    def _known(self, name: str) -> dict[str, str]:
        found = read_known(self.config[""][name], self.store, s3=self.s3) if self.config[""][name] else {}
        unknown = sorted(set(found.values()) - set(self.classes))
        if unknown:
            raise self.config.error(name, f"has the label {unknown[0]!r}, which is none of {', '.join(self.classes)}")
        return dict(zip(self.store.names(found), found.values(), strict=True))

    def _same_pool(self, changed_pool: bool) -> None:
        """Compare the pool with that of the last session, and remember it."""
        items = self.store.items[self.store.items["status"] == "embedded"].sort_values("item")
        path, marker = self.folder / "pool.parquet", self.folder / "run.json"
        state: dict[str, Any] = {"session": 0, "classes": self.classes}
        if marker.is_file():
            state = json.loads(marker.read_text("utf-8"))
        if tuple(state["classes"]) != self.classes and self.round_folder(0).is_dir():
            then = ", ".join(state["classes"])
            name = "classes" if self.config[""]["classes"] != state["classes"][:-1] else "ask.other"
            raise self.config.error(
                name, f"changes the labels, which were {then} when this run began; keep them, or begin another run"
            )
        if path.is_file() and not changed_pool:
            before = pd.read_parquet(path)
            was, now = ({*zip(table["item"], table["sha256"], strict=True)} for table in (before, items))
            if was != now:
                raise InputError(
                    f"the pool {self.store.path} isn't what it was in session {state['session']} of {self.folder}: "
                    f"{len(now - was):,} items are new or changed, {len(was - now):,} are gone; take it as it is now "
                    "with --changed-pool (answers are kept), or put it back"
                )
        write_table(items[["item", "sha256"]], str(path))
        self.pool_hash = hashlib.sha256("\n".join(items["item"] + items["sha256"]).encode()).hexdigest()
        self.session = int(state["session"]) + 1
        storage.write_text(str(marker), json.dumps({"session": self.session, "classes": self.classes}))
        storage.write_text(str(self.folder / "config.yaml"), self.config.text)

    # ------------------------------------------------------------------ the loop

    def go(self) -> RunResult:
        """Go on until something says to stop.

        Raises
        ------
        InputError
            When the target can't be reached, or what questions are answered from lacks something; before any is asked.
        Waiting
            When people haven't answered yet; the same call goes on later.
        """
        problem = target_problem(self.config["stop"]["accuracy"], len(self.gold))
        if problem:
            raise self.config.error("stop.accuracy", problem)
        if self.ask is None:
            known = {item: (label, 1.0) for item, label in self.seeds.items()}
            may_be_asked = [*self.left(known), *(self.gold if self.config["ask"]["gold_rate"] else ())]
            self.ask = asker(self.config, may_be_asked, self.store, said=self.said, s3=self.s3)
        history = self.history()
        while True:
            reasons = self.reasons(history)
            if any(reason.stop for reason in reasons):
                break
            history.append(self._round(len(history), history))
            now = history[-1]
            on_gold = f", accuracy on gold {now['accuracy']:.1%}" if now["accuracy"] is not None else ""
            self.said(f"round {now['round']}: {now['labelled']:,} labelled with {now['answers']:,} answers{on_gold}")
        result = RunResult(str(self.folder), history, reasons)
        text = json.dumps([asdict(reason) for reason in reasons], indent=1)
        storage.write_text(str(self.folder / "decision.json"), text)
        return result

    def history(self) -> list[dict[str, Any]]:
        """Return the metrics of the rounds that are finished."""
        found: list[dict[str, Any]] = []
        while (path := self.round_folder(len(found)) / "metrics.json").is_file():
            found.append(json.loads(path.read_text("utf-8")))
        return found

    def reasons(self, history: list[dict[str, Any]]) -> list[Reason]:
        """Return what the rounds so far say."""
        wishes = self.config["stop"]
        found = judge(history, wishes)
        if wishes["budget"] is not None and not any(reason.stop for reason in found):
            left = wishes["budget"] - (history[-1]["answers"] if history else 0)
            if left < self.config["ask"]["workers"]:
                text = f"Of the budget {max(left, 0)} answer{'s'[: left != 1]} are left, too few for one more item."
                found.append(Reason("budget", True, text))
        return found

    def _round(self, number: int, history: list[dict[str, Any]]) -> dict[str, Any]:
        folder = self.round_folder(number)
        folder.mkdir(exist_ok=True)
        inputs = folder / "inputs.json"
        if not inputs.is_file():
            facts = {"session": self.session, "pool": self.pool_hash, "seed": self.config[""]["seed"]}
            storage.write_text(str(inputs), json.dumps({**facts, "config": self.config.text}))
        earlier = self.answers(number)
        model = self.model_of(history[-1]["learned_in"]) if history else self._learn_seeds()
        questions = self._step(folder, "questions.csv", lambda: choose_questions(self, number, earlier, model))
        answers = self._step(folder, "answers.csv", lambda: self._answered(number, questions))
        every = pd.concat([earlier, answers], ignore_index=True)
        consensus = self.consensus(every)
        write_table(consensus.labels, str(folder / "labels.csv"))
        write_table(consensus.workers, str(folder / "workers.csv"))

        last = history[-1] if history else {"labelled": len(self.seeds), "learned_in": -1, "learned_from": 0}
        known = self.labels(consensus.labels)
        about_gold = int(every["item"].isin(self.gold).sum())
        learned_in, learned_from = last["learned_in"], last["learned_from"]
        if model is None or len(known) - learned_from >= self.config["learn"]["every"]:
            model, learned_in, learned_from = self.learn(known), number, len(known)
        left, other = self.left(known), self.config["ask"]["other"]
        metrics: dict[str, Any] = {
            "round": number,
            "session": self.session,
            "strategy": self.config["choose"]["strategy"],
            "classifier": self.config["learn"]["classifier"],
            "asked": int((~questions["item"].isin(self.gold)).sum()),
            "asked_again": int(((questions["ask"] == ANOTHER) & ~questions["item"].isin(self.gold)).sum()),
            "answers": len(every) - about_gold,
            "gold_answers": about_gold,
            "spent": len(every) * self.price[0],
            "price_per_answer": self.price[0],
            "currency": self.price[1],
            "labelled": len(known),
            "confident": int((consensus.labels["status"] == "confident").sum()),
            "left": len(left),
            "pool": int((self.stands_for == self.stands_for.index).sum()),
            "learned_in": learned_in,
            "learned_from": learned_from,
            "target": self.config["stop"]["accuracy"],
            "other": other,
            "others": sum(label == other for label, _ in known.values()) if other else None,
            "gold_lacks": self.config.unseen_other(self.gold.values()),
            **dict.fromkeys(("contradictions", "halting", "halting_counts")),
            **dict.fromkeys(("accuracy", "accuracy_low", "accuracy_high", "auc")),
        }
        if model is not None:
            metrics |= self._judge_model(model, left, folder, number, len(known) - last["labelled"])
        storage.write_text(str(folder / "metrics.json"), json.dumps(metrics, indent=1))
        return metrics

    def _judge_model(self, model: Model, left: list[str], folder: Path, number: int, new: int) -> dict[str, Any]:
        """Write the model and what it predicts for the unlabelled; return what that and gold say of it."""
        found = predict(model, self.points, self.store.rows(left))
        names = np.array(model.classes, object)[found.argmax(axis=1)] if left else np.empty(0, object)
        table = pd.DataFrame({"item": left, "label": names, "probability": found.max(axis=1) if left else 0.0})
        write_table(table.astype({"item": "str", "label": "str"}), str(folder / "predictions.parquet"))
        with storage.explained("write", str(folder)):
            storage.write_bytes(str(folder / "model.pickle"), pickle.dumps(model))
        gold = list(self.gold)
        facts = measure_head(model, self.points.take(self.store.rows(gold)), list(self.gold.values()))
        before = self.round_folder(number - 1) / "predictions.parquet"
        if before.is_file() and new >= LEAST_NEW:
            pair = table.merge(pd.read_parquet(before), on="item", suffixes=("", "_before"))
            facts["contradictions"] = contradictions(pair["label_before"].to_numpy(), pair["label"].to_numpy())
        if left:
            bar = halting_bar(margin(found), self.config["choose"]["n"])
            facts["halting"] = bar.state
            facts["halting_counts"] = [bar.efficient, bar.no_better_than_random, bar.not_efficient]
        return facts

    # ------------------------------------------------------------------ pieces

    def round_folder(self, number: int) -> Path:
        """Return the folder of a round."""
        return self.folder / f"round-{number:03}"

    def _step(self, folder: Path, name: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        path = str(folder / name)
        if not Path(path).is_file():
            write_table(make(), path)
        return read_table(path)

    def answers(self, rounds: int) -> pd.DataFrame:
        """Return the answers of the first ``rounds`` rounds."""
        tables = [read_table(str(self.round_folder(number) / "answers.csv")) for number in range(rounds)]
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["item", "worker", "label"])

    def gold_of(self, answers: pd.DataFrame) -> dict[str, str]:
        """Return the gold that workers were asked about, with ``ask.gold_rate``."""
        asked = set(answers["item"])
        return {item: label for item, label in self.gold.items() if item in asked}

    def consensus(self, answers: pd.DataFrame) -> Consensus:
        """Consolidate the answers alone and then, where a classifier can learn from that, ``_TURNS`` times with it."""
        gold = self.gold_of(answers)
        options: dict[str, Any] = {"categories": self.classes, "gold": gold, **self.config["consensus"]}
        items = sorted(set(answers["item"]) - set(gold))
        found = consolidate(answers, items=items, **options)
        for _ in range(_TURNS if self.config["consensus"]["method"] in _HEARING else 0):
            known = self.labels(found.labels)
            model = self.learn(known)
            if model is None:
                break
            voice = pd.DataFrame(model.out_of_sample, columns=list(model.classes)).assign(item=list(known))
            found = consolidate(answers, items=items, classifier=voice, **options)
        return found

    def labels(self, table: pd.DataFrame) -> dict[str, tuple[str, float]]:
        """Return label and confidence of all that is labelled and still in the store, seeds first."""
        given = table.dropna(subset=["label"])
        given = given[given["item"].isin(self.stands_for.index)]
        found = {item: (label, 1.0) for item, label in self.seeds.items()}
        for item, label, confidence in zip(given["item"], given["label"], given["confidence"], strict=True):
            found.setdefault(str(item), (str(label), float(confidence)))
        return found

    def learn(self, known: dict[str, tuple[str, float]]) -> Model | None:
        """Learn from labels, each counting as much as it is sure; None while only one class has any."""
        if len({label for label, _ in known.values()}) < 2:
            return None
        key = tuple(known.items())
        if key in self._learned:
            return self._learned[key]
        some = self.config["learn"]
        model = learn(
            self.points.take(self.store.rows(list(known))),
            [label for label, _ in known.values()],
            classes=self.classes,
            classifier=some["classifier"],
            options=some["options"],
            balance=some["balance"],
            weights=np.array([confidence for _, confidence in known.values()]),
            seed=self.config[""]["seed"],
        )
        self._learned = {**dict(list(self._learned.items())[-2:]), key: model}
        return model

    def _learn_seeds(self) -> Model | None:
        return self.learn({item: (label, 1.0) for item, label in self.seeds.items()})

    def model_of(self, number: int) -> Model | None:
        """Return the model that round ``number`` learned, learned again from the labels that it left."""
        path = self.round_folder(number) / "labels.csv"
        if number < 0 or not path.is_file():
            return self._learn_seeds()
        table = read_table(str(path))
        return self.learn(self.labels(table.assign(confidence=table["confidence"].astype(float))))

    def left(self, known: dict[str, tuple[str, float]]) -> list[str]:
        """Return the items that may still be asked for the first time."""
        done = {self.stands_for.get(item, item) for item in [*known, *self.gold]}
        pool = self.stands_for[self.stands_for == self.stands_for.index].index
        return [str(item) for item in pool[~pool.isin(list(done))]]

    def _answered(self, number: int, questions: pd.DataFrame) -> pd.DataFrame:
        assert self.ask is not None
        answers = self.ask.ask(number, questions, self.round_folder(number))
        unknown = sorted(set(answers["label"].dropna().astype(str)) - set(self.classes))
        if unknown:
            raise InputError(
                f"the answers hold the label {unknown[0]!r}, which is none of the classes {', '.join(self.classes)}; "
                "mend the answers, or begin a run with that class"
            )
        if not len(answers.dropna(subset=["label"])):
            raise InputError("nobody answered anything in this round; see to the job, and run this again")
        return answers[["item", "worker", "label"]]


_TURNS = 2  # of learning from the consensus and consolidating with what was learned
_HEARING = ("auto", "one-coin", "dawid-skene", "ground-truth")


@checked
def run(
    config: Config,
    *,
    changed_pool: bool = False,
    ask: Asker | None = None,
    said: Said = lambda sentence: None,
    s3: Any = None,
) -> RunResult:
    """Run the rounds of a configuration until they stop; see :class:`Run`."""
    with alone(config[""]["run"]):
        return Run(config, changed_pool=changed_pool, ask=ask, said=said, s3=s3).go()
