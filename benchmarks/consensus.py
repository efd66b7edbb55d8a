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
            plain = scored(consolidate(answers, method=method, iterations=2000, correlation=0.0).labels, truth)
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


def service(job: Path) -> None:
    """Print how often our ground-truth method gives what the service gave in the shared job."""
    labels = consolidate(read_answers(str(job)), method="ground-truth", correlation=0).labels.set_index("item")
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


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Pixels of real handwritten digits, and what they are."""
    from sklearn.datasets import load_digits

    images, truth = load_digits(return_X_y=True)
    return images / 16.0, truth.astype(str)


def photographs(folder: Path, store: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of a folder of photographs by the default network, and their folders' names."""
    import gandt

    with tempfile.TemporaryDirectory() as temporary:
        found = gandt.embed(str(folder), str(store or Path(temporary) / "store"))
        items = found.items[found.items["status"] == "embedded"]
        vectors = np.array(found.vectors[found.rows(list(items["item"]))], dtype=np.float64)
    return vectors, np.array([Path(item).parent.name for item in items["item"]])


def with_classifier(title: str, features: np.ndarray, truth: np.ndarray, jobs: int = 5, workers: int = 30) -> None:
    """Print accuracy with one or two answers per item, methods without and with a classifier on the items' features."""
    from gandt.consensus.classifier import out_of_sample

    items = [f"i{number:04}" for number in range(len(truth))]
    names, codes = np.unique(truth, return_inverse=True)
    correct = dict(zip(items, truth, strict=True))
    for skill in (0.6, 0.8):
        rows: dict[str, dict[str, list[float]]] = {}
        for each, seed in ((each, seed) for each in (1, 2) for seed in range(jobs)):
            count, error = f"{each} answer{'s'[: each > 1]}", f"ECE, {each}"
            random = np.random.default_rng(seed)
            accuracy = np.clip(random.normal(skill, 0.1, size=workers), 0.15, 0.98)
            table = []
            for item, code in zip(items, codes, strict=True):
                for worker in random.choice(workers, size=each, replace=False):
                    right = random.random() < accuracy[worker]
                    given = code if right else (code + random.integers(1, len(names))) % len(names)
                    table.append((item, f"w{worker:02}", names[given]))
            answers = pd.DataFrame(table, columns=["item", "worker", "label"])
            first = consolidate(answers, items=items)
            guesses, classes = out_of_sample(features, list(first.labels["label"]), seed=seed)
            voice = pd.DataFrame(guesses, columns=list(classes)).assign(item=items)
            runs = {name: consolidate(answers, method=name).labels for name in OURS}
            for name in ("auto", "one-coin", "dawid-skene"):
                runs[f"{name} + classifier"] = consolidate(answers, method=name, classifier=voice).labels
            for name, labels in runs.items():
                right, confidence = scored(labels, correct)
                own = rows.setdefault(name, {})
                own.setdefault(count, []).append(right.mean())
                own.setdefault(error, []).append(expected_calibration_error(confidence, right))
            alone = (np.array(classes)[guesses.argmax(axis=1)] == truth).mean()
            rows.setdefault("the classifier alone", {}).setdefault(count, []).append(alone)
        means = pd.DataFrame({name: {key: np.mean(own) for key, own in row.items()} for name, row in rows.items()}).T
        show(f"{title}, {workers} simulated workers of accuracy {skill}, {jobs} jobs", means)
        for count in ("1 answer", "2 answers"):
            best = means.loc[OURS, count].max()
            print(
                f"\n{count}: auto + classifier {100 * (means.loc['auto + classifier', count] - best):+.1f} points ",
                end="",
            )
            print("over the best method without it")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument(
        "--more", type=Path, help="another folder of sets, e.g. crowds that the default was not tried on"
    )
    parser.add_argument("--store", type=Path, help="the photographs' embedding store, kept and used again")
    parser.add_argument("--million", type=float, nargs="*", default=[2, 10])
    parser.add_argument("--turns", type=int, default=3, help="of which the quickest counts, for up to two millions")
    parser.add_argument("--methods", nargs="*", default=[*OURS, *AGGREGATORS, *THEIRS])
    parser.add_argument("--only", nargs="*", default=["service", "quality", "classifier", "speed"])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    began = time.perf_counter()
    methods = [name for name in options.methods if CROWD_KIT or name in OURS]
    if "service" in options.only and (options.data / "groundtruth-job").is_dir():
        service(options.data / "groundtruth-job")
    if "quality" in options.only:
        for folder in (options.data / "crowd", options.more):
            if folder and folder.is_dir():
                print(f"\n## {folder.name}")
                quality(load(folder), methods if folder != options.more else OURS)
    if "classifier" in options.only:
        if (options.data / "clothing").is_dir():
            with_classifier("Photographs of clothes, embedded", *photographs(options.data / "clothing", options.store))
        with_classifier("Handwritten digits", *digits())
    if "speed" in options.only:
        speed(options.million, ["majority", "one-coin", "dawid-skene", "auto"], options.turns)
    print(f"\n{time.perf_counter() - began:.0f} s in all", file=sys.stderr)


if __name__ == "__main__":
    main()
