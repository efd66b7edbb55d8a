"""Ask until sure, replayed on real crowds: accuracy against judgements per item, next to fixed redundancy.

Run: python benchmarks/redundancy.py [--data ../shared/data/crowd] [--jobs 5] [--chart docs/redundancy.svg]

Each item's real answers come in a random order; every curve is a mean over ``jobs`` orders. Fixed redundancy takes the
first k answers of every item, consolidated by majority vote or by the default. Asking until each is sure starts with
two and asks on by gandt.consensus.redundancy, one answer a round, at most nine in all; until all are sure together
starts with one and asks about a twentieth of the items each round. For the digits (real images, simulated workers of
accuracy .7) a classifier learned from the first answer to each item speaks as well. docs/consensus.md holds the tables
as they are printed.
"""

import argparse
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from gandt.consensus.redundancy import replay

DIGITS = "digits (simulated workers)"
TARGETS = (0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
Curve = list[tuple[float, float]]  # judgements per item, accuracy
Stops = list[tuple[float, float, float]]  # expected accuracy wanted, judgements per item, accuracy


def mean_curve(runs: list[pd.DataFrame]) -> Curve:
    rounds = min(len(run) for run in runs)  # those that every run came to
    table = pd.concat([run.iloc[:rounds] for run in runs]).groupby(level=0).mean()
    return list(zip(table["judgements"], table["accuracy"], strict=True))


def curves(name: str, data: Path, jobs: int) -> tuple[dict[str, Curve], Stops]:
    warnings.simplefilter("ignore")
    answers, truth = digits() if name == DIGITS else crowd(name, data)
    seeds = range(jobs)
    fixed = {
        f"fixed, {name}": mean_curve(
            [replay(answers, truth, target=None, start=1, cap=9, method=method, seed=seed) for seed in seeds]
        )
        for name, method in (("majority", "majority"), ("default", "auto"))
    }

    def until_sure(voices: dict[int, pd.DataFrame], start: int) -> Curve:
        found = []
        for target in TARGETS:
            end = pd.DataFrame(
                [
                    replay(answers, truth, target=target, start=start, seed=seed, classifier=voices.get(seed)).iloc[-1]
                    for seed in seeds
                ]
            ).mean()
            found.append((float(end["judgements"]), float(end["accuracy"])))
        return sorted(found)

    fixed["until each is sure"] = until_sure({}, start=2)
    paths = [replay(answers, truth, overall=0.999, start=1, per_round=1, seed=seed) for seed in seeds]
    fixed["until all are sure"] = mean_curve(paths)
    stops = []
    for target in TARGETS:
        ends = [
            path[((path["expected"] >= target) & (path.index > 0)) | (path.index == path.index[-1])].iloc[0]
            for path in paths
        ]
        stops.append((target, *(float(pd.DataFrame(ends)[name].mean()) for name in ("judgements", "accuracy"))))
    if name == DIGITS:
        fixed["with a classifier"] = until_sure({seed: digits_voice(answers, seed) for seed in seeds}, start=1)
    return fixed, stops


def crowd(name: str, data: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    truth = pd.read_csv(data / f"{name}.truth.csv", dtype=str)
    return pd.read_csv(data / f"{name}.answers.csv", dtype=str), dict(zip(truth["task"], truth["label"], strict=True))


def digits(workers: int = 30, each: int = 9) -> tuple[pd.DataFrame, dict[str, str]]:
    from sklearn.datasets import load_digits

    truth = load_digits().target
    random = np.random.default_rng(0)
    skill = np.clip(random.normal(0.7, 0.1, size=workers), 0.2, 0.97)
    rows = []
    for number, label in enumerate(truth):
        for worker in random.choice(workers, size=each, replace=False):
            right = random.random() < skill[worker]
            rows.append(
                (f"i{number:04}", f"w{worker:02}", str(label if right else (label + random.integers(1, 10)) % 10))
            )
    return pd.DataFrame(rows, columns=["item", "worker", "label"]), {
        f"i{n:04}": str(label) for n, label in enumerate(truth)
    }


def digits_voice(answers: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Learn a classifier from the answer to each item that ``replay`` asks for first, out of sample."""
    from sklearn.datasets import load_digits

    from gandt.consensus.classifier import out_of_sample
    from gandt.consensus.learning import consolidate_with_vectors

    images = load_digits().data / 16.0
    items = [f"i{number:04}" for number in range(len(images))]
    order = np.random.default_rng(seed).permutation(len(answers))  # as replay draws it
    first = consolidate_with_vectors(answers.iloc[order].drop_duplicates("item"), items, images, turns=2, seed=seed)
    guesses, classes = out_of_sample(images, list(first.labels["label"]), seed=seed)
    return pd.DataFrame(guesses, columns=list(classes)).assign(item=items)


def needed(curve: Curve, accuracy: float) -> float:
    """Judgements per item at which the curve reaches ``accuracy``, its points joined by lines; or NaN.

    A single point above it may be luck, so the next one must lie above it as well.
    """
    following = [*curve[1:], curve[-1]]
    for (x0, y0), (x1, y1), (_, y2) in zip([curve[0], *curve], curve, following, strict=False):
        if min(y1, y2) >= accuracy:
            return x1 if y1 == y0 else x0 + (x1 - x0) * max(accuracy - y0, 0) / (y1 - y0)
    return float("nan")


def fall(curve: Curve) -> float:
    """Points of accuracy by which a curve ever lies under an earlier point of its own."""
    accuracy = np.array([y for _, y in curve])
    return 100 * float((np.maximum.accumulate(accuracy) - accuracy).max())


def chart(all_curves: dict[str, dict[str, Curve]]) -> str:
    """Draw small multiples as SVG: judgements per item across, accuracy up."""
    colours = {
        "fixed, majority": "#999999",
        "fixed, default": "#1f77b4",
        "until each is sure": "#ff9f4a",
        "until all are sure": "#d62728",
    }
    wide, high, columns, pad = 260, 200, 4, 34
    rows = -(-len(all_curves) // columns)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide * columns} {high * rows + 30}" '
        'font-family="sans-serif" font-size="11" role="img" aria-label="Accuracy against judgements per item">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for place, (name, own) in enumerate(all_curves.items()):
        left, top = place % columns * wide, place // columns * high
        low = min(y for curve in own.values() for _, y in curve)
        best = max(y for curve in own.values() for _, y in curve)

        def at(x: float, y: float, left: int = left, top: int = top, low: float = low, best: float = best) -> str:
            across = left + pad + (x - 1) / 8 * (wide - pad - 10)
            return f"{across:.1f},{top + high - 28 - (y - low) / max(best - low, 1e-9) * (high - 60):.1f}"

        parts.append(f'<text x="{left + pad}" y="{top + 16}" font-weight="bold">{name}</text>')
        parts.append(
            f'<text x="{left + 2}" y="{top + 34}">{best:.2f}</text>'
            f'<text x="{left + 2}" y="{top + high - 26}">{low:.2f}</text>'
        )
        for x in (1, 3, 5, 7, 9):
            point = at(x, low).split(",")
            parts.append(f'<text x="{point[0]}" y="{top + high - 10}" text-anchor="middle" fill="#555">{x}</text>')
        for label, curve in own.items():
            points = " ".join(at(x, y) for x, y in curve)
            colour = colours.get(label, "#2ca02c")
            parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
            for x, y in curve:
                cx, cy = at(x, y).split(",")
                parts.append(f'<circle cx="{cx}" cy="{cy}" r="2.2" fill="{colour}"/>')
    x = pad
    shown = [name for name in (*colours, "with a classifier") if any(name in own for own in all_curves.values())]
    for label in shown:
        y = high * rows + 18
        parts.append(
            f'<circle cx="{x}" cy="{y - 4}" r="4" fill="{colours.get(label, "#2ca02c")}"/>'
            f'<text x="{x + 8}" y="{y}">{label}</text>'
        )
        x += 40 + 7 * len(label)
    parts.append(
        f'<text x="{x}" y="{high * rows + 18}" fill="#555">across: judgements per item; up: accuracy</text></svg>'
    )
    return "\n".join(parts) + "\n"


def main() -> None:
    """Print the table and write the chart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data" / "crowd")
    parser.add_argument("--jobs", type=int, default=5)
    parser.add_argument("--chart", type=Path)
    options = parser.parse_args()
    names = [*(path.name.removesuffix(".truth.csv") for path in sorted(options.data.glob("*.truth.csv"))), DIGITS]
    with ProcessPoolExecutor() as pool:
        results = list(pool.map(partial(curves, data=options.data, jobs=options.jobs), names))
    found = {name: own for name, (own, _) in zip(names, results, strict=True)}
    stops = {name: own for name, (_, own) in zip(names, results, strict=True)}

    ways = ("until each is sure", "until all are sure", "with a classifier")
    print(
        f"| set | fixed 5, majority | fixed 5, default | {' | '.join(ways)} | until all are sure, for the default's |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, own in found.items():
        five, ours = ((own[key] + [own[key][-1]] * 5)[4] for key in ("fixed, majority", "fixed, default"))
        cells = []
        for key, wanted in (*((key, five) for key in ways), ("until all are sure", ours)):
            judgements = needed(own[key], wanted[1]) if key in own else float("nan")
            share = f"{judgements:.2f}, {judgements / wanted[0]:.0%}" if judgements == judgements else "not reached"
            cells.append(share if key in own else "–")
        print(f"| {name} | {five[1]:.3f} at {five[0]:.2f} | {ours[1]:.3f} | " + " | ".join(cells) + " |", flush=True)
    head = "\n| set | " + " | ".join(f"{target:g}" for target in TARGETS) + " |\n|---|" + "---|" * len(TARGETS)
    print("\nUntil all are sure: by how many points the accuracy ever lies under what it was in an earlier round\n")
    print("| " + " | ".join(found) + " |\n|" + "---|" * len(found))
    print("| " + " | ".join(f"{fall(own['until all are sure']):.1f}" for own in found.values()) + " |")
    print(f"\nTarget of each label:\n{head}")
    for name, own in found.items():
        print(f"| {name} | " + " | ".join(f"{y:.3f} at {x:.2f}" for x, y in own["until each is sure"]) + " |")
    print(f"\nExpected accuracy of all labels:\n{head}")
    for name, stop in stops.items():
        print(f"| {name} | " + " | ".join(f"{y:.3f} at {x:.2f}" for _, x, y in stop) + " |")
    if options.chart:
        options.chart.write_text(chart(found), encoding="utf-8")


if __name__ == "__main__":
    main()
