"""Consensus with a classifier that learns from the very answers, beside each of them alone and beside CROWDLAB.

Run: python benchmarks/classifier.py [--data ../shared/data] [--store FOLDER] [--jobs 3] [--only digits photographs]

The tables go into docs/consensus.md. The classifier is a logistic regression on scikit-learn's handwritten digits, and
on photographs of clothes as `gandt embed` sees them. Without cleanlab (pip install cleanlab -c constraints.txt)
CROWDLAB's row is left out; it needs two answers an item.
"""

import argparse
import importlib.util
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from gandt.consensus import Consensus, consolidate, consolidate_with_vectors
from gandt.consensus.calibration import expected_calibration_error
from gandt.consensus.classifier import out_of_sample

CLEANLAB = importlib.util.find_spec("cleanlab") is not None
TURNS = 3
ALONE, ONE, TAUGHT = "the classifier alone", "auto + classifier, 1 turn", f"auto + classifier, {TURNS} turns"


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
        # a store may hold the same photographs under another path too, and copies would teach what they are asked
        items = items[[Path(item).parent.parent.resolve() == folder.resolve() for item in items["item"]]]
        items = items[~items["item"].map(lambda item: Path(item).resolve()).duplicated()]
        vectors = np.array(found.vectors[found.rows(list(items["item"]))], dtype=np.float64)
    return vectors, np.array([Path(item).parent.name for item in items["item"]])


def simulate(truth: np.ndarray, items: list[str], skill: float, each: int, seed: int, workers: int) -> pd.DataFrame:
    """Answers by workers whose accuracy is spread around ``skill`` and who err evenly."""
    random = np.random.default_rng(seed)
    names, codes = np.unique(truth, return_inverse=True)
    accuracy = np.clip(random.normal(skill, 0.1, size=workers), 0.15, 0.98)
    table = []
    for item, code in zip(items, codes, strict=True):
        for worker in random.choice(workers, size=each, replace=False):
            right = random.random() < accuracy[worker]
            given = code if right else (code + random.integers(1, len(names))) % len(names)
            table.append((item, f"w{worker:02}", names[given]))
    return pd.DataFrame(table, columns=["item", "worker", "label"])


def crowdlab(answers: pd.DataFrame, items: list[str], told: np.ndarray, classes: list[str]) -> tuple[list[str], list]:
    """CROWDLAB's labels and confidences."""
    from cleanlab.multiannotator import get_label_quality_multiannotator

    wide = answers.assign(code=answers["label"].map({name: code for code, name in enumerate(classes)}))
    wide = wide.pivot(index="item", columns="worker", values="code").loc[items].reset_index(drop=True)
    found = get_label_quality_multiannotator(wide, told, verbose=False)["label_quality"]
    return [classes[code] for code in found["consensus_label"]], list(found["consensus_quality_score"])


def measure(features: np.ndarray, truth: np.ndarray, skill: float, each: int, seed: int, workers: int) -> dict:
    """Accuracy and expected calibration error of every way on one simulated job."""
    items = [f"i{number:04}" for number in range(len(truth))]
    answers = simulate(truth, items, skill, each, seed, workers)
    found: dict[str, tuple] = {}

    def add(name: str, consensus: Consensus) -> None:
        found[name] = consensus.labels["label"], consensus.labels["confidence"]

    first = consolidate(answers, items=items)
    add("auto", first)
    told, classes = out_of_sample(features, list(first.labels["label"]), seed=seed)
    found[ALONE] = np.array(classes)[told.argmax(axis=1)], told.max(axis=1)
    if CLEANLAB and each > 1:
        found["CROWDLAB"] = crowdlab(answers, items, told, list(classes))
    for name, turns in ((ONE, 1), (TAUGHT, TURNS)):
        add(name, consolidate_with_vectors(answers, items, features, turns=turns, seed=seed))
    scores = {}
    for name, (labels, confidence) in found.items():
        right = np.asarray(labels, dtype=str) == truth
        scores[name] = right.mean(), expected_calibration_error(np.asarray(confidence, dtype=float), right)
    return scores


def compare(title: str, features: np.ndarray, truth: np.ndarray, jobs: int, workers: int = 30) -> bool:
    """Print a table per skill of the workers; tell whether the classifier and the crowd do best together."""
    together = True
    for skill in (0.6, 0.8):
        rows: dict[str, dict[str, float]] = {
            name: {} for name in ("auto", ALONE, *["CROWDLAB"] * CLEANLAB, ONE, TAUGHT)
        }
        for each in (1, 2, 5):
            scores = [measure(features, truth, skill, each, seed, workers) for seed in range(jobs)]
            count = f"{each} answer{'s'[: each > 1]}"
            for name in scores[0]:
                rows[name][count], rows[name][f"ECE, {each}"] = np.mean([score[name] for score in scores], axis=0)
            rivals = [ALONE] if each == 1 else [name for name in rows if name not in (ONE, TAUGHT)]
            together &= all(rows[TAUGHT][count] >= rows[rival][count] for rival in rivals)
        print(f"\n{title}, {workers} simulated workers of accuracy {skill}, {jobs} jobs:\n")
        columns = list(rows["auto"])
        print("| | " + " | ".join(columns) + " |\n|" + "---|" * (len(columns) + 1))
        for name, row in rows.items():
            cells = [f"{row[column]:.3f}" if column in row else "–" for column in columns]
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    return together


def main() -> None:
    """Print the tables; fail where the two together aren't best."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--store", type=Path, help="the photographs' embedding store, kept and used again")
    parser.add_argument("--jobs", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=["digits", "photographs"])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    began = time.perf_counter()
    together = True
    if "digits" in options.only:
        together &= compare("Handwritten digits", *digits(), options.jobs)
    if "photographs" in options.only and (options.data / "clothing").is_dir():
        found = photographs(options.data / "clothing", options.store)
        together &= compare("Photographs of clothes, embedded", *found, options.jobs)
    print(f"\n{time.perf_counter() - began:.0f} s in all", file=sys.stderr)
    if not together:
        sys.exit("with a classifier the consensus isn't best everywhere")


if __name__ == "__main__":
    main()
