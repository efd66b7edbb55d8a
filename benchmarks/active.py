"""Learning curves of the strategies, beside random, modAL and scikit-activeml on the same vectors and classifier.

::

    python benchmarks/active.py ../shared/data/clothing          # a folder per class
    python benchmarks/active.py digits                           # scikit-learn's handwritten digits, as vectors
    python benchmarks/active.py ../shared/data/clothing --unequal --seeds 20 --out curves.csv --plot curves.svg
    python benchmarks/active.py answers ../shared/data/clothing  # relabel or label new, with noisy workers

Every strategy begins without any label. Each seed draws other test items (30 %) and another pool; with ``--unequal``
the pool's classes are as unequal as 100 : 5. Printed are the accuracy (with ``--unequal``: mean over classes) by budget
with 95 % intervals over seeds, the mean gain over random on the same draw with its interval, and the labels that each
needs to reach 90, 95 and 99 % of what all labels give. modAL (``pip install modAL-python``) and scikit-activeml
(``pip install scikit-activeml``) are left out, with a line that says so, where they aren't installed.
"""

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from gandt import EmbeddingStore, consolidate, embed
from gandt.candidates.points import Points
from gandt.candidates.relabel import rank_answers
from gandt.candidates.strategies import choose
from gandt.rounds import head
from gandt.rounds.head import learn

Array = np.ndarray[Any, np.dtype[Any]]

BUDGETS = (10, 20, 40, 60, 100, 150, 200, 300, 400, 600)
OURS = (
    *("default", "random", "margin", "entropy", "least-confidence", "typical", "k-center", "design"),
    *("margin+k-center", "margin+cluster", "margin+proximity", "margin+typical", "balanced"),
)
SHARES = (0.90, 0.95, 0.99)
# calibration hardly moves a ranking; two folds instead of five halve the work
head.FOLDS = 2
Chooser = Callable[[Any, Array, Array, list[int], int, np.random.Generator], Array]


def load(source: str) -> tuple[Array, Array]:
    """Return points and labels."""
    if source == "digits":
        from sklearn.datasets import load_digits

        data = load_digits()
        points = data.data - data.data.mean(axis=0)
        return (points / np.linalg.norm(points, axis=1).mean()).astype(np.float32), data.target.astype(str)
    with tempfile.TemporaryDirectory() as work:
        ready = (Path(source) / "store.json").is_file()
        store = EmbeddingStore.open(source) if ready else embed(source, f"{work}/store", device="cpu")
        items = store.items[store.items["status"] == "embedded"].sort_values("item")
        points = Points(store).take(items["row"].to_numpy())
    return points, np.array([Path(item).parent.name for item in items["item"]])


def draw(labels: Array, seed: int, unequal: bool) -> tuple[Array, Array]:
    """Return the rows of a pool and of test items."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    test, pool = np.split(order, [round(0.3 * len(order))])
    if unequal:
        names = rng.permutation(np.unique(labels))
        share = np.geomspace(1, 0.05, len(names))
        kept = [rows[: max(round(part * len(rows)), 3)] for part, name in zip(share, names, strict=True)
                for rows in [pool[labels[pool] == name]]]  # fmt: skip
        pool = rng.permutation(np.concatenate(kept))
    return pool, test


def ours(name: str) -> Chooser:
    def chosen(model: Any, points: Array, labels: Array, known: list[int], n: int, rng: np.random.Generator) -> Array:
        rest = np.setdiff1d(np.arange(len(points)), known)
        probabilities = model.probabilities(points[rest]) if model else None
        return rest[choose(name, probabilities, points[rest], n, rng, labelled=points[known])]

    return chosen


class Given:
    """A fitted classifier in the way that peers ask for one."""

    def __init__(self, model: Any) -> None:
        self.model, self.classes_ = model, np.arange(len(model.classes))

    def predict_proba(self, rows: Array, **_: Any) -> Array:
        """Return probabilities."""
        return self.model.probabilities(np.asarray(rows, np.float32))

    def fit(self, *_: Any, **__: Any) -> "Given":
        """Stay as it is."""
        return self


def peers() -> Iterator[tuple[str, Chooser]]:
    """Yield the peers' strategies that are installed; those that need a classifier start with a random batch."""

    def wrap(query: Callable[..., Any], cold: bool = False) -> Chooser:
        def chosen(
            model: Any, points: Array, labels: Array, known: list[int], n: int, rng: np.random.Generator
        ) -> Array:
            rest = np.setdiff1d(np.arange(len(points)), known)
            if model is None and not cold:
                return rng.choice(rest, n, replace=False)
            return rest[np.asarray(query(model, points, labels, known, rest, n, rng))]

        return chosen

    def places(found: Any) -> Array:
        return np.asarray(found[0] if isinstance(found, tuple) else found, int).ravel()  # by modAL's version

    try:
        import modAL.batch
        import modAL.models
        import modAL.uncertainty
    except ImportError:
        print("modAL isn't installed, so it is left out: pip install modAL-python", file=sys.stderr)
    else:
        for name in ("uncertainty_sampling", "margin_sampling", "entropy_sampling"):
            function = getattr(modAL.uncertainty, name)
            yield (
                f"modAL {name}",
                wrap(lambda m, p, y, k, rest, n, rng, f=function: places(f(Given(m), p[rest], n_instances=n))),
            )

        def batch(m: Any, p: Array, y: Array, k: list[int], rest: Array, n: int, rng: Any) -> Any:
            learner = modAL.models.ActiveLearner(estimator=Given(m), X_training=p[k], y_training=y[k])
            return places(modAL.batch.uncertainty_batch_sampling(learner, p[rest], n_instances=n))

        yield "modAL uncertainty_batch_sampling", wrap(batch)
    try:
        import skactiveml.pool as pool
        from skactiveml.classifier import SklearnClassifier
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        print("scikit-activeml isn't installed, so it is left out: pip install scikit-activeml", file=sys.stderr)
        return

    def query(make: Callable[[int], Any], needs: bool) -> Chooser:
        def ask(m: Any, p: Array, y: Array, k: list[int], rest: Array, n: int, rng: np.random.Generator) -> Any:
            names = np.unique(y)
            told = np.full(len(p), np.nan)
            told[k] = np.searchsorted(names, y[k])
            strategy = make(int(rng.integers(1 << 30)))
            extra: dict[str, Any] = {}
            if needs:
                # it learns by itself: the classifier, penalty and class weights that gandt's head has
                own = LogisticRegression(C=30.0, max_iter=1000, class_weight="balanced")
                extra = {"clf": SklearnClassifier(own, classes=np.arange(len(names)), random_state=0)}
            found = strategy.query(X=p, y=told, candidates=rest, batch_size=n, **extra)
            return np.searchsorted(rest, found)

        return wrap(ask, cold=not needs)

    missing = np.nan
    yield (
        "skactiveml UncertaintySampling(margin)",
        query(
            lambda s: pool.UncertaintySampling(method="margin_sampling", missing_label=missing, random_state=s), True
        ),
    )
    yield "skactiveml CoreSet", query(lambda s: pool.CoreSet(missing_label=missing, random_state=s), False)
    yield "skactiveml TypiClust", query(lambda s: pool.TypiClust(missing_label=missing, random_state=s), False)
    yield "skactiveml ProbCover", query(lambda s: pool.ProbCover(missing_label=missing, random_state=s), False)
    yield "skactiveml Badge", query(lambda s: pool.Badge(missing_label=missing, random_state=s), True)


def score(model: Any, points: Array, labels: Array, unequal: bool) -> float:
    right = np.array(model.classes)[model.probabilities(points).argmax(axis=1)] == labels
    if unequal:
        return float(np.mean([right[labels == name].mean() for name in np.unique(labels)]))
    return float(right.mean())


def curve(name: str, points: Array, labels: Array, seed: int, unequal: bool) -> list[dict[str, Any]]:
    """Run one strategy on one draw."""
    warnings.simplefilter("ignore")
    chooser = ours(name) if name in OURS else dict(peers())[name]
    pool, test = draw(labels, seed, unequal)
    rng = np.random.default_rng([seed, 1])
    known: list[int] = []
    model, rows, seconds = None, [], 0.0
    full = score(learn(points[pool], labels[pool].tolist()), points[test], labels[test], unequal)
    for budget in (each for each in BUDGETS if each < len(pool)):
        begun = time.perf_counter()
        found = chooser(model, points[pool], labels[pool], known, budget - len(known), rng)
        seconds += time.perf_counter() - begun
        known += [int(each) for each in found]
        assert len(set(known)) == budget, f"{name} chose an item twice"
        accuracy = 1 / len(np.unique(labels))
        if len(set(labels[pool[known]])) > 1:
            model = learn(points[pool[known]], labels[pool[known]].tolist())
            accuracy = score(model, points[test], labels[test], unequal)
        rows.append({"strategy": name, "seed": seed, "labels": budget, "accuracy": accuracy, "full": full})
    return [{**row, "seconds": seconds} for row in rows]


def interval(values: Array) -> float:
    """Return half the width of the mean's 95 % interval (Student's t)."""
    if len(values) < 2:
        return float("nan")
    return float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))


def needed(table: pd.DataFrame, share: float) -> float:
    """Return the labels at which the mean curve crosses ``share`` of the full accuracy, linearly between budgets."""
    mean = table.groupby("labels")["accuracy"].mean()
    target = share * table["full"].mean()
    above = np.flatnonzero(mean.to_numpy() >= target)
    if not len(above):
        return float("inf")
    at = int(above[0])
    if not at:
        return float(mean.index[0])
    (n0, a0), (n1, a1) = list(mean.items())[at - 1 : at + 1]
    return float(n0 + (n1 - n0) * (target - a0) / (a1 - a0))


def report(table: pd.DataFrame) -> None:
    budgets = sorted(table["labels"].unique())
    names = list(table["strategy"].unique())
    print(f"full data: {table['full'].mean():.3f}; {table['seed'].nunique()} seeds\n")
    print("| accuracy ± 95 % | " + " | ".join(map(str, budgets)) + " |")
    print("|---" + "|---" * len(budgets) + "|")
    cells = table.groupby(["strategy", "labels"])["accuracy"]
    for name in names:
        some = [cells.get_group((name, n)).to_numpy() for n in budgets]
        print(f"| {name} | " + " | ".join(f"{each.mean():.3f} ± {interval(each):.3f}" for each in some) + " |")
    print("\n| gain over random, same draw | " + " | ".join(map(str, budgets)) + " |")
    print("|---" + "|---" * len(budgets) + "|")
    wide = table.pivot(index=["seed", "labels"], columns="strategy", values="accuracy")
    for name in names:
        if name != "random":
            gains = [(wide[name] - wide["random"]).xs(n, level="labels").to_numpy() for n in budgets]
            print(f"| {name} | " + " | ".join(f"{each.mean():+.3f} ± {interval(each):.3f}" for each in gains) + " |")
    print("\n| labels needed for | " + " | ".join(f"{share:.0%}" for share in SHARES) + " | seconds to choose |")
    print("|---" + "|---" * (len(SHARES) + 1) + "|")
    for name in names:
        some = table[table["strategy"] == name]
        found = [needed(some, share) for share in SHARES]
        shown = [f"{each:,.0f}" if each < float("inf") else f"over {budgets[-1]}" for each in found]
        print(f"| {name} | " + " | ".join(shown) + f" | {some.groupby('seed')['seconds'].first().mean():.1f} |")


def plot(table: pd.DataFrame, path: str, shown: tuple[str, ...]) -> None:
    """Draw the mean curves with their intervals as SVG."""
    width, height, left, bottom = 760, 420, 50, 40
    names = [name for name in shown if name in set(table["strategy"])]
    cells = table.groupby(["strategy", "labels"])["accuracy"]
    budgets = np.array(sorted(table["labels"].unique()))
    low, high = 0.9 * cells.mean().min(), table["full"].mean() * 1.03
    colours = ("#2563eb", "#6b7280", "#d97706", "#059669", "#dc2626", "#7c3aed", "#0891b2")

    def at(n: float, share: float) -> str:
        x = left + (width - left - 220) * np.log(n / budgets[0]) / np.log(budgets[-1] / budgets[0])
        return f"{x:.1f},{(height - bottom) * (1 - (share - low) / (high - low)) + 8:.1f}"

    parts = []
    for share in np.arange(np.ceil(10 * low) / 10, high, 0.1):
        x, y = at(budgets[0], share).split(",")
        parts.append(f'<line x1="{x}" x2="{width - 170}" y1="{y}" y2="{y}" stroke="#8884"/>')
        parts.append(f'<text x="{left - 8}" y="{y}" text-anchor="end">{share:.0%}</text>')
    for n in budgets:
        x = at(n, low).split(",")[0]
        parts.append(f'<text x="{x}" y="{height - 8}" text-anchor="middle">{n}</text>')
    for number, (name, colour) in enumerate(zip(names, colours, strict=False)):
        some = [cells.get_group((name, n)).to_numpy() for n in budgets]
        upper = [at(n, each.mean() + interval(each)) for n, each in zip(budgets, some, strict=True)]
        lower = [at(n, each.mean() - interval(each)) for n, each in zip(budgets, some, strict=True)]
        parts.append(f'<polygon points="{" ".join([*upper, *lower[::-1]])}" fill="{colour}" opacity=".15"/>')
        line = " ".join(at(n, each.mean()) for n, each in zip(budgets, some, strict=True))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{width - 162}" y="{24 + 20 * number}" fill="{colour}">{name}</text>')
    text = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
    Path(path).write_text(text + f'font-size="12" fill="#6b7280">{"".join(parts)}</svg>\n')


def answers(points: Array, labels: Array, seeds: int, skill: float = 0.7) -> None:
    """Compare ways to spend answers of workers who are right ``skill`` of the time: accuracy by answers."""
    names = sorted(set(labels))
    firsts = {"ranked": 1, "always new": 1, "always two": 2, "always three": 3}
    rows = []
    for seed in range(seeds):
        pool, test = draw(labels, seed, False)
        for way in firsts:
            rng = np.random.default_rng([seed, 5])
            given: list[tuple[str, str, str]] = []
            counts = np.zeros(len(pool), int)

            def ask(item: int, rng: Any = rng, given: Any = given, counts: Any = counts, pool: Any = pool) -> None:
                truth = labels[pool[item]]
                right = rng.random() < skill
                label = truth if right else rng.choice([name for name in names if name != truth])
                # thirty workers, each of whom sees an item once
                given.append((str(item), f"w{(item * 7 + counts[item] * 11) % 30}", str(label)))
                counts[item] += 1

            start = choose("default", None, points[pool], 100, np.random.default_rng(seed))
            for item in start:
                for _ in range(firsts[way]):
                    if len(given) < 100:
                        ask(int(item))
            while True:
                table = pd.DataFrame(given, columns=["item", "worker", "label"])
                consensus = consolidate(table, categories=names)
                known = consensus.labels
                told = known["item"].astype(int).to_numpy()
                model = learn(points[pool[told]], known["label"].tolist(), classes=names, weights=known["confidence"])
                voice = pd.DataFrame(model.out_of_sample, columns=names).assign(item=known["item"].to_numpy())
                consensus = consolidate(table, categories=names, classifier=voice)
                # as gandt run does: what is kept, chosen by and measured has learned from the labels with that voice
                known = consensus.labels
                model = learn(points[pool[told]], known["label"].tolist(), classes=names, weights=known["confidence"])
                voice = pd.DataFrame(model.out_of_sample, columns=names).assign(item=known["item"].to_numpy())
                right = consensus.labels["label"].to_numpy() == labels[pool[told]]
                accuracy = score(model, points[test], labels[test], False)
                rows.append({"way": way, "answers": len(given), "head": accuracy, "labels": float(right.mean()),
                             "right": int(right.sum())})  # fmt: skip
                if len(given) >= 700:
                    break
                rest = np.flatnonzero(counts == 0)
                found = model.probabilities(points[pool[rest]])
                each = firsts[way]
                picks = choose("default", found, points[pool[rest]], min(100, len(rest)), rng)
                chosen = []
                if way == "ranked":
                    new = pd.DataFrame(found, columns=names).assign(item=rest.astype(str))
                    every = pd.concat([voice, new], ignore_index=True)
                    ranking = rank_answers(table, every, consensus.labels, consensus.workers)
                    fresh = iter(rest[picks].tolist())  # the ranking says how many are new, the strategy which
                    for item, asks in zip(ranking["item"], ranking["ask"], strict=True):
                        chosen += [int(item)] if asks == "another answer" else [next(fresh)] * each
                        if len(chosen) >= 100:
                            break
                else:
                    chosen = [int(rest[pick]) for pick in picks for _ in range(each)]
                chosen = chosen[:100]
                for item in chosen:
                    ask(item)
    table = pd.DataFrame(rows)
    print(f"workers are right {skill:.0%} of the time; {seeds} seeds; the classifier's accuracy on test items")
    print(table.pivot_table(index="way", columns="answers", values="head").round(3).to_string())
    print("\naccuracy of the labels of what was asked")
    print(table.pivot_table(index="way", columns="answers", values="labels").round(3).to_string())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "source", nargs="+", help="a folder per class, a store of one, or digits; after 'answers' the same"
    )
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--unequal", action="store_true")
    parser.add_argument("--only", nargs="*", help="these strategies")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", help="write every curve here as CSV")
    parser.add_argument("--plot", help="draw the curves here as SVG")
    given = parser.parse_args()
    points, labels = load(given.source[-1])
    if given.source[0] == "answers":
        answers(points, labels, given.seeds)
        return
    names = given.only or [*OURS, *(name for name, _ in peers())]
    names = ["random", *(name for name in names if name != "random")]
    work = [(name, points, labels, seed, given.unequal) for name in names for seed in range(given.seeds)]
    with ProcessPoolExecutor(given.workers) as executor:
        rows = []
        for (name, *_), some in zip(work, executor.map(curve, *zip(*work, strict=True)), strict=True):
            rows += some
            print(f"{name}: {some[-1]['accuracy']:.3f}", file=sys.stderr, flush=True)
    table = pd.DataFrame(rows)
    if given.out:
        table.to_csv(given.out, index=False)
    report(table)
    if given.plot:
        best = ("default", "random", "margin", "modAL margin_sampling", "skactiveml TypiClust", "skactiveml CoreSet")
        plot(table, given.plot, best)


if __name__ == "__main__":
    main()
