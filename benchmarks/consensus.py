"""Accuracy, calibration, time and memory of every consensus method on every set, beside crowd-kit.

Run: python benchmarks/consensus.py [--data ../shared/data] [--more FOLDER] [--million 2 10] [--only NAME ...]

The tables go into docs/consensus.md. A set is <name>.answers.csv (task,worker,label) and <name>.truth.csv (task,label).
Without crowd-kit its rows are left out.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from gandt.answers import read_answers
from gandt.consensus import METHODS, consolidate
from gandt.consensus.calibration import expected_calibration_error, reliability_diagram
from gandt.consensus.crowdkit import AGGREGATORS

CROWD_KIT = importlib.util.find_spec("crowdkit") is not None
OURS = [name for name in METHODS if name not in (*AGGREGATORS, "certainty")]
THEIRS = {"crowd-kit majority": "MajorityVote", "crowd-kit dawid-skene": "DawidSkene"}
THEIRS |= {"crowd-kit one-coin": "OneCoinDawidSkene"}
PATIENCE = 10.0  # seconds; watching every allocation makes a run several times as long


def load(folder: Path) -> dict[str, tuple[pd.DataFrame, dict[str, str]]]:
    sets = {}
    for path in sorted(folder.glob("*.truth.csv")):
        name = path.name.removesuffix(".truth.csv")
        truth = pd.read_csv(path, dtype=str)
        sets[name] = (
            pd.read_csv(folder / f"{name}.answers.csv", dtype=str),
            dict(zip(truth["task"], truth["label"], strict=True)),
        )
    return sets


def scored(labels: pd.DataFrame, truth: dict[str, str]) -> tuple[np.ndarray, np.ndarray]:
    known = labels[labels["item"].isin(list(truth)) & (labels["status"] != "unanswered")]
    return (known["label"] == known["item"].map(truth)).to_numpy(), known["confidence"].to_numpy(dtype=float)


def crowd_kit(name: str, answers: pd.DataFrame) -> pd.DataFrame:
    """Labels and confidences of crowd-kit's own function."""
    from crowdkit import aggregation

    kind = getattr(aggregation, THEIRS[name])
    chances = (kind() if name == "crowd-kit majority" else kind(n_iter=100)).fit_predict_proba(answers)
    found = pd.DataFrame({"item": chances.index, "label": chances.idxmax(axis=1), "confidence": chances.max(axis=1)})
    return found.assign(status="relabel")


def weighed(run: Callable[[], pd.DataFrame]) -> tuple[pd.DataFrame, float, float]:
    """Labels, CPU seconds, and the most MiB that were allocated, measured in a second run if the first was quick."""
    start = time.process_time()
    labels = run()
    seconds = time.process_time() - start
    if seconds > PATIENCE:
        return labels, seconds, float("nan")
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return labels, seconds, peak


def quality(sets: dict[str, tuple[pd.DataFrame, dict[str, str]]], methods: list[str]) -> None:
    """Print accuracy, calibration error, time and memory per set and method, and the error with gold."""
    accuracy = pd.DataFrame(index=methods, columns=list(sets), dtype=float)
    error, raw, gold_error, seconds, memory = (accuracy.copy() for _ in range(5))
    diagrams: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    if CROWD_KIT:
        importlib.import_module("crowdkit.aggregation")  # so that nobody's time holds it
    for name, (answers, truth) in sets.items():
        random = np.random.default_rng(0)
        gold = {item: truth[item] for item in sorted(truth) if random.random() < 0.1}
        for method in methods:
            if method == "kos" and answers["label"].nunique() > 2:
                continue  # it takes two classes only

            def run(method: str = method, answers: pd.DataFrame = answers) -> pd.DataFrame:
                if method in THEIRS:
                    return crowd_kit(method, answers)
                return consolidate(answers, method=method, iterations=2000).labels

            labels, seconds.loc[method, name], memory.loc[method, name] = weighed(run)
            right, confidence = scored(labels, truth)
            accuracy.loc[method, name] = right.mean()
            error.loc[method, name] = expected_calibration_error(confidence, right)
            diagrams.setdefault(method, []).append((confidence, right))
            if method not in OURS:
                continue
            plain = scored(consolidate(answers, method=method, iterations=2000, dependence=0.0).labels, truth)
            raw.loc[method, name] = expected_calibration_error(plain[1], plain[0])
            told = scored(consolidate(answers, method=method, iterations=2000, gold=gold).labels, truth)
            gold_error.loc[method, name] = expected_calibration_error(told[1], told[0])
        print(name, f"{seconds[name].sum():.0f} s", file=sys.stderr, flush=True)
    for title, table in (
        ("Accuracy", accuracy),
        ("Expected calibration error, answers taken for independent", raw),
        ("Expected calibration error, with the default discount", error),
        ("Expected calibration error on the rest, with a tenth of the items as gold", gold_error),
        ("CPU seconds", seconds),
        ("MiB allocated at the most", memory),
    ):
        table["mean"] = table.mean(axis=1, skipna=False)
        show(title, table.dropna(how="all"), 1 if title.startswith("MiB") else 3)
    best = accuracy.drop(columns="mean").loc[["majority", "dawid-skene", "one-coin"]].max()
    show(
        "auto less the best of {majority, dawid-skene, one-coin}, points",
        ((accuracy.loc[["auto"]] - best) * 100).drop(columns="mean"),
    )
    bins = [f"{low / 10:.1f} to {(low + 1) / 10:.1f}" for low in range(10)]
    found = pd.DataFrame(index=list(diagrams), columns=bins, dtype=float)
    for method, own in diagrams.items():
        confidence, right = (np.concatenate(parts) for parts in zip(*own, strict=True))
        diagram = reliability_diagram(confidence, right)
        for row in diagram.itertuples():
            found.loc[method, bins[round(row.low * 10)]] = row.accuracy
        if method == "auto":
            print(
                "\n### Reliability diagram of auto, all sets together\n\n| from | to | items | confidence | accuracy |"
            )
            print("|---|---|---|---|---|")
            for row in diagram.itertuples():
                print(f"| {row.low:.1f} | {row.high:.1f} | {row.items} | {row.confidence:.3f} | {row.accuracy:.3f} |")
    show("Accuracy by confidence, all sets together", found.dropna(axis=1, how="all"), 2)


NUMBERS = (1, 2, 3, 5, 0)  # answers per item; 0 for all there are
COMPARED = ("auto", "weighted", "majority", "one-coin", "dawid-skene")
TARGETS = (0.8, 0.9, 0.95)
GOLD_DRAWS = 5  # of the draws, that are consolidated with gold as well


def simulated_sets(each: int = 2) -> dict[str, tuple[pd.DataFrame, dict[str, str]]]:
    """Return the first crowds of each kind of simulated_crowds.py with at least 500 items of five answers each."""
    from simulated_crowds import KINDS, simulate

    random = np.random.default_rng(1)
    found: dict[str, tuple[pd.DataFrame, dict[str, str]]] = {}
    while len(found) < each * len(KINDS):
        kind, answers, truth, _ = simulate(random)
        number = sum(name.startswith(kind) for name in found) + 1
        if number <= each and len(truth) >= 500 and len(answers) >= 5 * len(truth):
            table = answers.astype(str).rename(columns={"item": "task"})
            found[f"{kind} {number}"] = (table, {str(item): str(code) for item, code in enumerate(truth)})
    return found


def drawn(answers: pd.DataFrame, number: int, draw: int) -> pd.DataFrame:
    """So many of each item's answers, at random; all for 0."""
    if not number:
        return answers
    mixed = answers.iloc[np.random.default_rng(draw).permutation(len(answers))]
    return mixed[mixed.groupby("task").cumcount() < number]


def _measured(task: tuple[str, pd.DataFrame, dict[str, str], int, int]) -> list[dict[str, object]]:
    name, answers, truth, number, draw = task
    warnings.simplefilter("ignore")
    categories = sorted(set(answers["label"]) | set(truth.values()))
    own = drawn(answers, number, draw)
    gold_items = sorted(truth)
    np.random.default_rng(draw).shuffle(gold_items)
    gold = {item: truth[item] for item in gold_items[: min(100, len(truth) // 2)]}
    rows = []
    for method in COMPARED:
        result = consolidate(own, method=method, categories=categories)
        labels = result.labels
        right, confidence = scored(labels, truth)
        enough = labels.loc[labels["item"].isin(list(truth)) & (labels["workers"] > 0), "workers"].to_numpy() >= 2
        row = {"set": name, "number": number, "method": method, "accuracy": right.mean(), "items": len(right)}
        row["alike"] = len(result.alike)
        row |= {
            "error": expected_calibration_error(confidence, right),
            "right": right,
            "confidence": confidence * enough,
        }
        if method == "auto" and draw < GOLD_DRAWS:
            told = consolidate(own, method=method, categories=categories, gold=gold)
            row["told error"] = expected_calibration_error(*reversed(scored(told.labels, truth)))
            row["promise"] = told.promise[1:3] if told.promise else (0, 0)
        rows.append(row)
    return rows


def by_number(sets: dict[str, tuple[pd.DataFrame, dict[str, str]]], title: str, draws: int) -> None:
    """Print accuracy, the promise of confident and calibration by how many answers each item has."""
    if not sets:
        return
    tasks = [
        (name, answers, truth, number, draw)
        for name, (answers, truth) in sets.items()
        for number in NUMBERS
        for draw in range(draws if number else 1)
        if not number or len(answers) > number * answers["task"].nunique() * 0.9
    ]
    with ProcessPoolExecutor() as pool:
        table = pd.DataFrame([row for rows in pool.map(_measured, tasks, chunksize=4) for row in rows])
    print(f"\n## {title}: by number of answers per item, {draws} draws each (0: all there are)")
    mean = table.pivot_table(index=["method", "set"], columns="number", values="accuracy")[list(NUMBERS)]
    show(f"{title}: mean accuracy over crowds", mean.groupby("method").mean().loc[list(COMPARED)])
    gap = 100 * (mean - mean.loc["majority"].reindex(mean.index, level="set"))
    show(f"{title}: the worst crowd less majority, points", gap.groupby("method").min().loc[list(COMPARED)], 1)
    show(f"{title}: auto less majority, points", gap.loc["auto"], 1)
    show(f"{title}: accuracy of auto", mean.loc["auto"])
    pooled = table[table["method"].isin(["auto", "weighted"])]
    rows = []
    for target in TARGETS:
        for number in NUMBERS[1:]:
            own = pooled[(pooled["number"] == number) & (pooled["method"] == "auto")]
            precision, coverage, sure = promise_of(own, target)
            few = precision[sure >= 20]
            theirs = pooled[(pooled["number"] == number) & (pooled["method"] == "weighted")]
            rows.append(
                {
                    "target": target,
                    "answers": "all" if not number else str(number),
                    "right, mean": few.mean(),
                    "right, worst": few.min(),
                    "worst crowd": few.idxmin() if len(few) else "–",
                    "crowds with any": len(few),
                    "coverage": coverage.mean(),
                    "weighted's at that precision": coverage_at(theirs, few.mean()) if len(few) else np.nan,
                }
            )
    print(f"\n### {title}: of the items called confident, how many are right (crowds with at least 20 such items)\n")
    found = pd.DataFrame(rows)
    print("| " + " | ".join(found.columns) + " |\n|" + "---|" * len(found.columns))
    for row in found.itertuples(index=False):
        print("| " + " | ".join(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row) + " |")
    auto = table[table["method"] == "auto"]
    whole = auto[auto["number"] == 0].set_index("set")
    _, shares, _ = promise_of(auto[auto["number"] == 0], 0.95)
    columns = {"share confident": shares, "pairs of workers named for erring alike": whole["alike"].astype(float)}
    show(f"{title}: all answers, target 0.95", pd.DataFrame(columns), 2)
    error = table.pivot_table(index="method", columns="number", values="error")[list(NUMBERS)]
    told = auto.pivot_table(index="method", columns="number", values="told error")[list(NUMBERS)]
    error.loc["auto, 100 gold items, on the rest"] = told.loc["auto"]
    show(f"{title}: expected calibration error", error.loc[[*COMPARED, "auto, 100 gold items, on the rest"]])
    for number, group in auto.dropna(subset=["promise"]).groupby("number"):
        items, right = np.array(list(group["promise"])).sum(axis=0)
        share = f"{right / items:.1%} of {items:,}" if items else "none"
        print(f"\nMeasured on gold, {number or 'all'} answers, target 0.95: {share} confident gold items right", end="")
    print()


def promise_of(own: pd.DataFrame, target: float) -> tuple[pd.Series, pd.Series, pd.Series]:
    """By crowd, all draws together: share right of the confident, share confident, and how many those are."""
    sure = own.assign(
        sure=[int((confidence >= target).sum()) for confidence in own["confidence"]],
        hit=[
            int(right[confidence >= target].sum())
            for right, confidence in zip(own["right"], own["confidence"], strict=True)
        ],
    )
    total = sure.groupby("set")[["sure", "hit", "items"]].sum()
    return total["hit"] / total["sure"].replace(0, np.nan), total["sure"] / total["items"], total["sure"]


def coverage_at(own: pd.DataFrame, precision: float) -> float:
    """Mean coverage at the lowest confidence from which the mean precision over crowds is at least ``precision``."""
    for target in np.linspace(0.5, 0.999, 200):
        found, coverage, sure = promise_of(own, float(target))
        if found[sure >= 20].mean() >= precision:
            return float(coverage.mean())
    return 0.0


def service(job: Path) -> None:
    """Print how often our ground-truth method gives what the service gave in the shared job."""
    labels = consolidate(read_answers(str(job)), method="ground-truth", dependence=0).labels.set_index("item")
    lines = (job / "manifests" / "output" / "output.manifest").read_text().splitlines()
    same, close = 0, 0
    for line in map(json.loads, lines):
        metadata = next(value for key, value in line.items() if key.endswith("-metadata"))
        ours = labels.loc[line["source-ref"]]
        same += ours["label"] == metadata["class-name"]
        # the service never goes beyond 0.95
        close += abs(min(round(ours["confidence"], 2), 0.95) - metadata["confidence"]) < 1e-9
    print(f"\nGround Truth's own labels of {len(lines)} images: {same} the same, confidence the same for {close}")


def show(title: str, table: pd.DataFrame, digits: int = 3) -> None:
    print(f"\n### {title}\n")
    columns = [str(column) for column in table.columns]
    print("| | " + " | ".join(columns) + " |")
    print("|---|" + "---|" * len(columns))
    for name, row in table.iterrows():
        cells = [
            "–" if value != value else f"{value:.{digits}f}" if abs(value) < 1000 else f"{value:,.0f}" for value in row
        ]
        print(f"| {name} | " + " | ".join(cells) + " |")


def simulate(path: str, answers: int, classes: int = 4, each: int = 5, workers: int = 20_000) -> None:
    """Write a CSV of ``answers`` answers in random order, task and worker named by text; a worker each without any."""
    random = np.random.default_rng(0)
    items = answers // each
    truth = random.integers(classes, size=items)
    item = np.repeat(np.arange(items), each)
    worker = random.integers(workers, size=len(item)) if workers else np.arange(len(item))
    right = random.random(len(item)) < random.beta(8, 3, size=workers or len(item))[worker]
    label = np.where(right, truth[item], (truth[item] + random.integers(1, classes, size=len(item))) % classes)
    order = random.permutation(len(item))
    names = np.array(["cat", "dog", "bird", "none"])
    table = pd.DataFrame({"task": item[order], "worker": worker[order], "label": names[label[order]]})
    table["task"] = "s3://pool/" + table["task"].astype(str) + ".jpg"
    table["worker"] = "w" + table["worker"].astype(str)
    table.to_csv(path, index=False)


# each is timed in a process of its own, from the file to the labels, imports left out
_OURS = """
import resource, sys, time
from gandt.consensus import consolidate
from gandt.consensus.table import read_answers_table
start = time.perf_counter(); cpu = time.process_time()
result = consolidate(read_answers_table(sys.argv[1]), method=sys.argv[2])
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(time.perf_counter() - start, time.process_time() - cpu, memory, result.iterations)
result.labels.set_index("item")["label"].sort_index().to_csv(sys.argv[3])
"""
_THEIRS = """
import resource, sys, time
import pandas as pd
from crowdkit.aggregation import DawidSkene, MajorityVote
model = {"majority": MajorityVote, "dawid-skene": DawidSkene}[sys.argv[2]]()
start = time.perf_counter(); cpu = time.process_time()
labels = model.fit_predict(pd.read_csv(sys.argv[1]))
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
turns = len(getattr(model, "loss_history_", [1]))
print(time.perf_counter() - start, time.process_time() - cpu, memory, turns)
labels.rename("label").rename_axis("item").sort_index().to_csv(sys.argv[3])
"""


def timed(code: str, path: str, method: str, found: str, turns: int) -> list[float]:
    """Seconds, CPU seconds, GiB and iterations of the quickest of several turns, each in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    command = [sys.executable, "-c", code, path, method, found]
    rows = []
    for _ in range(turns):
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        rows.append([float(word) for word in done.stdout.split()])
    return min(rows)


def speed(millions: list[float], methods: list[str], turns: int) -> None:
    """Print seconds and memory from a CSV to labels, ours and crowd-kit's, in one run."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "answers.csv")
        for million in millions:
            simulate(path, round(million * 1e6))
            rows = {}
            tasks = [(f"gandt {method}", _OURS, method) for method in methods]
            if CROWD_KIT and million <= 2:
                tasks += [(f"crowd-kit {method}", _THEIRS, method) for method in ("majority", "dawid-skene")]
            for name, code, method in tasks:
                again = turns if million <= 2 and name != "crowd-kit dawid-skene" else 1
                rows[name] = timed(code, path, method, str(Path(folder) / f"{name}.csv"), again)
                print(name, rows[name], file=sys.stderr, flush=True)
            table = pd.DataFrame(rows, index=["seconds", "CPU seconds", "GiB", "iterations"]).T
            show(f"{million:g} million answers, from a CSV to labels", table, 2)
            for method in ("majority", "dawid-skene"):
                theirs = Path(folder) / f"crowd-kit {method}.csv"
                if f"crowd-kit {method}" in rows:
                    ours = pd.read_csv(Path(folder) / f"gandt {method}.csv", index_col=0)["label"]
                    same = (ours == pd.read_csv(theirs, index_col=0)["label"]).mean()
                    wall, cpu = (rows[f"crowd-kit {method}"][n] / rows[f"gandt {method}"][n] for n in (0, 1))
                    print(
                        f"\n{method}: {wall:.1f} × as quick as crowd-kit by the clock, {cpu:.1f} × by the CPU; ", end=""
                    )
                    print(f"the same label on {same:.4f} of the items")
        simulate(path, 3_000_000, workers=0)
        rows = {f"gandt {method}": timed(_OURS, path, method, str(Path(folder) / "found.csv"), 1) for method in methods}
        table = pd.DataFrame(rows, index=["seconds", "CPU seconds", "GiB", "iterations"]).T
        show("3 million workers with one answer each", table, 2)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument(
        "--more", type=Path, help="another folder of sets, e.g. crowds that the default was not tried on"
    )
    parser.add_argument("--draws", type=int, default=20, help="random draws of the answers, by number of answers")
    parser.add_argument("--million", type=float, nargs="*", default=[2, 10])
    parser.add_argument("--turns", type=int, default=3, help="of which the quickest counts, for up to two millions")
    parser.add_argument("--methods", nargs="*", default=[*OURS, *AGGREGATORS, *THEIRS])
    parser.add_argument("--only", nargs="*", default=["number", "service", "quality", "speed"])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    began = time.perf_counter()
    methods = [name for name in options.methods if CROWD_KIT or name in OURS]
    if "number" in options.only:
        shared = load(options.data / "crowd") if (options.data / "crowd").is_dir() else {}
        by_number(shared, "shared", options.draws)
        if options.more:
            by_number(load(options.more), options.more.name, options.draws)
        by_number(simulated_sets(), "simulated", options.draws)
    if "service" in options.only and (options.data / "groundtruth-job").is_dir():
        service(options.data / "groundtruth-job")
    if "quality" in options.only:
        for folder in (options.data / "crowd", options.more):
            if folder and folder.is_dir():
                print(f"\n## {folder.name}")
                quality(load(folder), methods if folder != options.more else OURS)
    if "speed" in options.only:
        speed(options.million, ["majority", "one-coin", "dawid-skene", "auto"], options.turns)
    print(f"\n{time.perf_counter() - began:.0f} s in all", file=sys.stderr)


if __name__ == "__main__":
    main()
