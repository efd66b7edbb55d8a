"""The default on simulated crowds of six kinds, next to its rivals, and how little its priors matter on the real ones.

Run: python benchmarks/simulated_crowds.py [--crowds 400] [--data ../shared/data/crowd]

A guard against a default that fits the few real crowds there are: sizes, skills and kinds are drawn at random.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from gandt.consensus import consolidate, hierarchical

RIVALS = ("majority", "one-coin", "dawid-skene")
KINDS = ("one-coin", "confusions", "shared confusions", "hard items", "spammers", "all at once")
PRIORS = {
    "_ROW": (4.0, 16.0),
    "_WORKER": (10.0, 40.0),
    "_PRIOR": (2.0, 10.0),
    "_ANCHOR": (32.0, 128.0),
    "_CLASS": (250.0, 1000.0),
    "_CONFUSION": (5.0, 50.0),
    "_CLUE": (0.1, 0.4),
    "_HARD": ((1.0, 19.0), (4.0, 16.0)),
    "_LABEL": (0.5, 1.0),
}


def simulate(random: np.random.Generator) -> tuple[str, pd.DataFrame, np.ndarray, int]:
    """Draw a crowd; return its kind, answers, the true class of each item, and the number of classes."""
    classes = int(random.choice([2, 2, 3, 4, 5, 10]))
    items = int(random.choice([60, 200, 500, 2000]))
    workers = int(random.choice([5, 12, 40, 200]))
    each = min(workers, int(random.choice([1, 2, 3, 3, 5, 5, 10])))
    kind = str(random.choice(KINDS))
    truth = random.choice(classes, size=items, p=random.dirichlet(np.full(classes, random.choice([1.0, 5.0, 50.0]))))
    skill = np.clip(random.beta(8, 3, size=workers), 1 / classes, 0.99)
    shared = random.dirichlet(np.ones(classes), size=classes)
    confusion = np.zeros((workers, classes, classes))
    for worker in range(workers):
        for true in range(classes):
            right, wrong = skill[worker], np.ones(classes)
            if kind in ("confusions", "all at once"):
                right = np.clip(random.beta(8 * right, 8 * (1 - right)), 0.05, 0.98)
                wrong = random.dirichlet(np.ones(classes))
            if kind == "shared confusions":
                lean = 2 * (true / (classes - 1) - 0.5)
                right = np.clip(1 / (1 + np.exp(-(np.log(right / (1 - right)) + lean))), 0.05, 0.99)
                wrong = shared[true].copy()
            wrong[true] = 0
            confusion[worker, true] = (1 - right) * wrong / wrong.sum()
            confusion[worker, true, true] = right
    if kind in ("spammers", "all at once"):
        for worker in np.flatnonzero(random.random(workers) < 0.25):
            favourite = np.eye(classes)[random.integers(classes)]
            confusion[worker] = 0.96 * favourite + 0.04 / classes if random.random() < 0.5 else 1 / classes
    hard = random.random(items) < (0.3 if kind in ("hard items", "all at once") else 0)
    guesses = random.dirichlet(np.full(classes, 3.0))
    busy = 0.5 * random.dirichlet(np.ones(workers)) + 0.5 / workers
    rows = []
    for item in range(items):
        for worker in random.choice(workers, size=each, replace=False, p=busy):
            chance = confusion[worker, truth[item]]
            chance = 0.3 * chance + 0.7 * guesses if hard[item] else chance
            rows.append((item, worker, int(random.choice(classes, p=chance / chance.sum()))))
    return kind, pd.DataFrame(rows, columns=["item", "worker", "label"]), truth, classes


def simulated(crowds: int) -> None:
    """Print by kind how far each method stays behind the best of the three rivals, and how often it is no worse.

    The best of the three *for each crowd* is an oracle's choice: on small crowds it profits from luck. So a loss is
    also counted as clear only where it is more than chance, by the items on which the two differ (a sign test at 5 %).
    """
    random = np.random.default_rng(5)
    rows = []
    for _ in range(crowds):
        kind, answers, truth, classes = simulate(random)
        right = {}
        for method in ("auto", *RIVALS):
            labels = consolidate(answers, method=method, categories=[str(code) for code in range(classes)]).labels
            right[method] = (labels["label"].astype(int) == truth[labels["item"].astype(int)]).to_numpy()
        best = max(RIVALS, key=lambda rival: right[rival].mean())
        for method, own in right.items():
            behind, ahead = int((~own & right[best]).sum()), int((own & ~right[best]).sum())
            gap = 100 * (own.mean() - right[best].mean())
            clear = gap < -0.5 and stats.binomtest(behind, behind + ahead, alternative="greater").pvalue < 0.05
            rows.append({"kind": kind, "method": method, "gap": gap, "within": gap >= -0.5, "clear": clear})
    table = pd.DataFrame(rows)
    for title, column, form, sign in (
        ("Points of accuracy from the best of the three for each crowd, mean", "gap", "{:+.1f}", 1),
        ("Crowds on which the method is at most half a point under the best of the three, %", "within", "{:.0f}", 100),
        ("Crowds on which it is clearly under it, %", "clear", "{:.0f}", 100),
    ):
        summary = sign * table.astype({column: float}).pivot_table(
            index="kind", columns="method", values=column, aggfunc="mean", margins=True
        )
        print(f"\n### {title}\n\n| kind | crowds | " + " | ".join(("auto", *RIVALS)) + " |\n|---|---|" + "---|" * 4)
        for name, row in summary.iterrows():
            count = len(table) // 4 if name == "All" else (table["kind"] == name).sum() // 4
            print(f"| {name} | {count} | " + " | ".join(form.format(row[m]) for m in ("auto", *RIVALS)) + " |")


def priors(folder: Path) -> None:
    """Print the accuracy on the real crowds with each prior at about half and about twice its value."""
    sets = {}
    for path in sorted(folder.glob("*.truth.csv")):
        truth = pd.read_csv(path, dtype=str)
        name = path.name.removesuffix(".truth.csv")
        answers = pd.read_csv(path.with_name(f"{name}.answers.csv"), dtype=str)
        sets[name] = answers, dict(zip(truth["task"], truth["label"], strict=True))

    def accuracies() -> list[float]:
        found = []
        for answers, truth in sets.values():
            labels = consolidate(answers).labels
            known = labels[labels["item"].isin(list(truth))]
            found.append((known["label"] == known["item"].map(truth)).mean())
        return found

    print("\n| prior | " + " | ".join(sets) + " |\n|---|" + "---|" * len(sets))
    usual = accuracies()
    print("| as they are | " + " | ".join(f"{value:.3f}" for value in usual) + " |")
    for name, values in PRIORS.items():
        kept = getattr(hierarchical, name)
        for value in values:
            setattr(hierarchical, name, value)
            print(f"| {name} = {value} | " + " | ".join(f"{found:.3f}" for found in accuracies()) + " |")
        setattr(hierarchical, name, kept)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crowds", type=int, default=400)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data" / "crowd")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    simulated(options.crowds)
    if options.data.is_dir():
        priors(options.data)


if __name__ == "__main__":
    main()
