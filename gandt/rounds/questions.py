"""What a round asks: how many answers go to doubtful items, which new items their first, and what gold is mixed in."""

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from gandt.candidates.relabel import ANOTHER, FIRST, rank_answers
from gandt.consensus import consolidate
from gandt.errors import InputError
from gandt.rounds.head import Model
from gandt.rounds.select import predict, select
from gandt.tables import read_table

if TYPE_CHECKING:
    from gandt.rounds.loop import Run

_QUESTION = ["item", "ask", "answers", "label", "probability"]


def choose_questions(run: "Run", number: int, earlier: pd.DataFrame, model: Model | None) -> pd.DataFrame:
    """Return a round's questions: new items by the strategy, doubtful ones as far as ActiveLab ranks them.

    Parameters
    ----------
    run : Run
    number : int
        Of the round.
    earlier : DataFrame
        All answers of the rounds before.
    model : Model, optional
        What was learned from them.

    Returns
    -------
    DataFrame
        item, ask ("first answer" or "another answer"), answers (so far), label and probability (the classifier's).
        Gold items look like the others: who answers must not know them.

    Raises
    ------
    InputError
        When nothing is left to ask.
    """
    some, ask = run.config["choose"], run.config["ask"]
    known = {item: (label, 1.0) for item, label in run.seeds.items()}
    labels = pd.DataFrame(columns=["item", "label", "confidence", "status"])
    if number:
        labels = read_table(str(run.round_folder(number - 1) / "labels.csv"))
        labels = labels.assign(confidence=labels["confidence"].astype(float))
        known = run.labels(labels)
    about_pool = earlier[~earlier["item"].isin(run.gold)]
    left, n = run.left(known), some["n"]
    budget = run.config["stop"]["budget"]
    answers_left = budget - len(about_pool) if budget is not None else n * ask["workers"]
    again = _again(run, earlier, labels, known, model, left, n) if some["relabel"] and number else []
    again = again[: max(answers_left - 1, 0)]
    new = min(n - len(again), len(left), max(answers_left - len(again), 0) // ask["workers"])
    first = pd.DataFrame(columns=["item", "label", "probability"])
    if new > 0:
        labelled = {item: label for item, (label, _) in known.items()}
        first = select(
            run.store,
            labelled,
            new,
            strategy=some["strategy"],
            model=model,
            learned=model is not None or len(set(labelled.values())) > 1,
            points=run.points,
            duplicates=run.near,
            leave_out=list(run.gold),
            neighbours=some["neighbours"],
            seed=run.config[""]["seed"] + number,
        )
    tables = [
        first.assign(ask=FIRST, answers=0)[_QUESTION],
        _again_table(again, earlier.groupby("item")["worker"].nunique()),
    ]
    if not any(map(len, tables)):
        raise InputError(
            "there is nothing to ask: every item of the pool is a seed, gold or a duplicate of one; enlarge the pool"
        )
    questions = pd.concat([table for table in tables if len(table)], ignore_index=True).astype({"answers": "int64"})
    return _with_gold(run, number, questions, earlier, model)


def _with_gold(
    run: "Run", number: int, questions: pd.DataFrame, earlier: pd.DataFrame, model: Model | None
) -> pd.DataFrame:
    """Put ``ask.gold_rate`` gold items per question among the questions, at random places, the least asked first."""
    rate = run.config["ask"]["gold_rate"]
    if not rate:
        return questions
    rng = np.random.default_rng([run.config[""]["seed"], number, 8])
    gold = rng.permutation(np.array(sorted(run.gold), object))
    counts = earlier.groupby("item")["worker"].nunique().reindex(gold).fillna(0).to_numpy(np.int64)
    some = np.argsort(counts, kind="stable")[: math.ceil(rate * len(questions))]
    kind = np.where(counts[some] > 0, ANOTHER, FIRST)
    if questions["ask"].nunique() == 1:
        kind[:] = questions["ask"].iloc[0]  # never gold alone
    mixed = pd.DataFrame(
        {"item": gold[some], "ask": kind, "answers": counts[some], "label": None, "probability": np.nan}
    )
    if model is not None:
        found = predict(model, run.points, run.store.rows(mixed["item"].tolist()))
        mixed["label"] = np.array(model.classes, object)[found.argmax(axis=1)]
        mixed["probability"] = found.max(axis=1)
    both = pd.concat([questions, mixed.astype({"item": str})], ignore_index=True)
    return both.iloc[rng.permutation(len(both))].reset_index(drop=True)


def _again(
    run: "Run",
    earlier: pd.DataFrame,
    labels: pd.DataFrame,
    known: dict[str, tuple[str, float]],
    model: Model | None,
    left: list[str],
    n: int,
) -> list[str]:
    """Return the doubtful items that stand among the first ``n`` of ActiveLab's ranking."""
    asked = labels[(labels["status"] == "relabel") & labels["item"].isin(run.stands_for.index)]
    if model is None or not len(asked) or not left:
        return []
    trained = run.learn(known)
    if trained is None:
        return []
    classes = list(trained.classes)
    voice = pd.DataFrame(trained.out_of_sample, columns=classes).assign(item=list(known))
    voice = voice[voice["item"].isin(set(earlier["item"]))]
    new = pd.DataFrame(predict(model, run.points, run.store.rows(left)), columns=classes).assign(item=left)
    workers = consolidate(earlier, categories=run.classes, gold=run.gold_of(earlier)).workers
    every = pd.concat([voice, new], ignore_index=True)
    ranked = rank_answers(earlier, every, labels, workers, most=run.config["ask"]["most"]).head(n)
    doubtful = set(asked["item"])
    return [str(item) for item in ranked.loc[ranked["ask"] == ANOTHER, "item"] if item in doubtful]


def _again_table(items: list[str], counts: "pd.Series[int]") -> pd.DataFrame:
    """Return questions for another answer about items that have so many."""
    answers = [int(counts[item]) for item in items]
    rows = {"item": items, "ask": ANOTHER, "answers": answers, "label": None, "probability": np.nan}
    return pd.DataFrame(rows)[_QUESTION]
