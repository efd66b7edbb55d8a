"""How good and how quick the candidate rules are, beside a colour histogram and g-and-t's own computation.

::

    python benchmarks/candidates.py quality ../shared/data/clothing     # a folder per class
    python benchmarks/candidates.py decision ../shared/data/clothing
    python benchmarks/candidates.py calibration ../shared/data/clothing
    python benchmarks/candidates.py duplicates ../shared/data/clothing
    python benchmarks/candidates.py speed --rows 1000000

``quality``: 20 draws of 5 seeds per class; each class is looked for on its own in the rest of the pool. ``decision``:
3 wanted classes at a time, recall and share kept by the default decision. ``calibration``: what rule classifier's
probabilities are worth. ``speed``: seconds of every rule against the machine's own matrix product (with ``--device
cuda`` the GPU's), and g-and-t's rule against the same in scipy and pandas.
"""

import argparse
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from scipy.spatial.distance import cdist
from scipy.stats import trim_mean

from gandt import EmbeddingStore, embed, filter_by_similarity
from gandt.candidates import classifier, devices, spread
from gandt.candidates.duplicates import near_pairs
from gandt.candidates.rules import RULES, centred, pool_mean, product_chunks, unit
from gandt.candidates.trimmed import count_threshold, farther_than_other
from gandt.embedding import models
from gandt.embedding.store import EMBEDDED, Record
from gandt.embedding.vectors import Vectors
from gandt.embedding.writer import Writer
from gandt.images import decode

Array = np.ndarray[Any, np.dtype[Any]]

_whitening = spread.whitening


def remember_whitening() -> None:
    """Compute the whitening of a pool once for all draws, not once per draw."""
    found: dict[int, Any] = {}

    def remembered(vectors: Vectors, dim: int = 256) -> Any:
        if id(vectors) not in found:
            found[id(vectors)] = _whitening(vectors, dim)
        return found[id(vectors)]

    spread.whitening = classifier.whitening = remembered


def histograms(items: list[str]) -> Array:
    """Colour histograms of 8 × 8 × 8 bins, square roots, at length 1."""
    rows = []
    for item in items:
        pixels = np.asarray(Image.open(item).convert("RGB").resize((128, 128))).reshape(-1, 3) // 32
        rows.append(np.bincount(pixels @ [64, 8, 1], minlength=512))
    return unit(np.sqrt(np.array(rows, np.float32)))


def by_mean_uncentred(vectors: Vectors, seeds: list[Array]) -> Any:
    return type(
        "S", (), {"scores": np.asarray(vectors) @ np.stack([unit(vectors[rows].sum(axis=0)) for rows in seeds]).T}
    )


def rank_quality(score: Array, right: Array) -> tuple[float, float, float]:
    """Average precision, precision of the first 50, recall within the first 20 %."""
    order = np.lexsort((np.arange(len(score)), -score))
    hits = right[order]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean()), float(hits[:50].mean()), float(hits[: len(hits) // 5].sum() / hits.sum())


def quality(folder: str, models: list[str], draws: int, count: int, chosen: list[str]) -> pd.DataFrame:
    rows = []
    with tempfile.TemporaryDirectory() as work:
        stores = {}
        for number, name in enumerate(models):
            model, _, precision = name.partition("/")
            store = embed(folder, f"{work}/{number}", model=model, precision=precision or "fp32", device="cpu")
            stores[name] = store
        first = next(iter(stores.values())).items
        items = first.loc[first["status"] == "embedded", "item"].tolist()
        labels = np.array([Path(item).parent.name for item in items])
        pools = {
            name: Vectors([store.vectors[store.rows(items)]], store.dim, "float32") for name, store in stores.items()
        }
        colour = histograms(items)
        pools["colour histogram"] = Vectors([colour], colour.shape[1], "float32")
        for name, vectors in pools.items():
            rules: dict[str, Callable[..., Any]] = {"mean, not centred": by_mean_uncentred}
            rules |= {"mean": RULES["mean"]} if name == "colour histogram" else RULES
            for rule, function in rules.items():
                if chosen and rule not in chosen:
                    continue
                rng, found = np.random.default_rng(0), []
                for _ in range(draws):
                    for label in np.unique(labels):
                        seeds = rng.choice(np.flatnonzero(labels == label), count, replace=False)
                        others = rng.choice(np.flatnonzero(labels != label), 2 * count, replace=False)
                        result = function(
                            vectors, [np.sort(seeds), np.sort(others)][: 2 if rule == "g-and-t" else 1]
                        ).scores
                        # g-and-t's count has few values; its distance breaks the ties
                        score = result[:, 0] - 10 * farther_than_other(result, 1) if rule == "g-and-t" else result[:, 0]
                        rest = np.setdiff1d(np.arange(len(labels)), seeds)
                        found.append(rank_quality(score[rest], labels[rest] == label))
                values = np.mean(found, axis=0)
                rows.append(
                    {
                        "model": name,
                        "rule": rule,
                        "average precision": values[0],
                        "first 50": values[1],
                        "recall at 20 %": values[2],
                    }
                )
                print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def decision(folder: str, draws: int, wanted: int) -> pd.DataFrame:
    rows = []
    with tempfile.TemporaryDirectory() as work:
        store = embed(folder, f"{work}/store", device="cpu")
        items = store.items.loc[store.items["status"] == "embedded", "item"]
        label_of = {item: Path(item).parent.name for item in items}
        classes = sorted(set(label_of.values()))
        for rule in [name for name in RULES if name != "g-and-t"]:
            for count in (3, 5, 8, 20):
                for aim in (0.9, 0.95):
                    rng, found = np.random.default_rng(0), []
                    for _ in range(draws):
                        chosen = rng.choice(classes, wanted, replace=False)
                        seeds = {
                            str(name): rng.choice(
                                [i for i in items if label_of[i] == name], count, replace=False
                            ).tolist()
                            for name in chosen
                        }
                        table = filter_by_similarity(store, seeds, rule=rule, recall=aim)
                        right = table["item"].map(label_of).isin(chosen)
                        kept = table["decision"] == "keep"
                        found.append((kept[right].mean(), kept.mean(), right.mean()))
                    recall, kept_share, share = np.array(found).T
                    rows.append(
                        {
                            "rule": rule,
                            "seeds per label": count,
                            "aim": aim,
                            "recall": recall.mean(),
                            "worst tenth": np.quantile(recall, 0.1),
                            "kept": kept_share.mean(),
                            "wanted": share.mean(),
                        }
                    )
                    print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def calibration(folder: str, draws: int) -> pd.DataFrame:
    """Return what rule classifier's probabilities say and what is true, by seeds per class."""
    rows = []
    with tempfile.TemporaryDirectory() as work:
        store = embed(folder, f"{work}/store", device="cpu")
        items = store.items.loc[store.items["status"] == "embedded", "item"].tolist()
        labels, vectors = np.array([Path(item).parent.name for item in items]), store.vectors
        places = store.rows(items)
        for count in (3, 5, 10, 20):
            rng, said, true = np.random.default_rng(0), [], []
            for _ in range(draws):
                for label in np.unique(labels):
                    seeds = rng.choice(np.flatnonzero(labels == label), count, replace=False)
                    found = RULES["classifier"](vectors, [np.sort(places[seeds])]).probabilities
                    rest = np.setdiff1d(np.arange(len(labels)), seeds)
                    said.append(found[places[rest], 0])
                    true.append(labels[rest] == label)
            chance, right = np.concatenate(said).astype(float), np.concatenate(true)
            tenth = np.minimum((chance * 10).astype(int), 9)
            gaps = [abs((chance - right)[tenth == each].sum()) for each in range(10)]
            row = {"seeds per class": count, "share said": chance.mean(), "true share": right.mean()}
            row |= {
                "Brier score": ((chance - right) ** 2).mean(),
                "of the share alone": right.mean() * (1 - right.mean()),
            }
            row |= {"calibration error": sum(gaps) / len(right), "true where 90 % is said": right[chance >= 0.9].mean()}
            rows.append(row)
            print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def duplicates(folder: str) -> pd.DataFrame:
    """Return how alike a photograph stays to itself after a change, in quantiles over 100 photographs."""

    def jpeg(image: Image.Image, quality: int) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return buffer.getvalue()

    def cut(image: Image.Image, share: int) -> Image.Image:
        width, height = image.size
        return image.crop((width // share, height // share, width - width // share, height - height // share))

    changes: dict[str, Callable[[Image.Image], bytes]] = {
        "JPEG quality 60": lambda image: jpeg(image, 60),
        "15 % brighter": lambda image: jpeg(image.point(lambda value: min(255, int(value * 1.15))), 90),
        "mirrored": lambda image: jpeg(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 90),
        "JPEG quality 30": lambda image: jpeg(image, 30),
        "a tenth of each side cut off": lambda image: jpeg(cut(image, 10), 90),
        "scaled to half": lambda image: jpeg(image.resize((image.width // 2, image.height // 2)), 85),
    }
    with tempfile.TemporaryDirectory() as work:
        store = embed(folder, f"{work}/store", device="cpu")
        items = store.items.loc[store.items["status"] == "embedded", "item"].tolist()
        pairs = near_pairs(store, 0.9)
        print(f"{len(pairs)} of {len(items) * (len(items) - 1) // 2:,} pairs of different photographs reach 0.9")
        some, model = items[:: max(1, len(items) // 100)], models.load("lite0", device="cpu")
        centre = pool_mean(store.vectors)
        plain = centred(store.vectors[store.rows(some)], centre)
        rows = []
        for name, change in changes.items():
            contents = [change(Image.open(item).convert("RGB")) for item in some]
            found = [model.run(decode(content, model.preprocessing).pixels[None]) for content in contents]
            same = (centred(models.normalised(np.concatenate(found)), centre) * plain).sum(axis=1)
            rows.append({"change": name, **{f"{1 - q:.0%}": np.quantile(same, q) for q in (0.01, 0.05, 0.1, 0.5)}})
    return pd.DataFrame(rows)


def forget_peak() -> None:
    """Let the process's peak memory begin anew (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> float:
    """GiB that the process held at most since the peak was forgotten, pages of mapped files included."""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 2**20


def best_of(work: Callable[[], Any], times: int = 2) -> float:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def cpu_of(work: Callable[[], Any], times: int = 2) -> float:
    """CPU seconds of the process, the best of several: a busy machine disturbs them less than seconds on the clock."""
    seconds = []
    for _ in range(times):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def big_store(path: str, rows: int, dim: int) -> EmbeddingStore:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(100, dim)).astype(np.float32)
    description = {
        "model": "random",
        "weights": "",
        "precision": "fp32",
        "preprocessing": {},
        "dim": dim,
        "dtype": "float32",
        "licence": "",
    }
    with Writer(path, description) as writer:
        for first in range(0, rows, 16_384):
            count = min(16_384, rows - first)
            block = centres[rng.integers(0, 100, count)] + rng.normal(size=(count, dim)).astype(np.float32)
            records = [
                Record(f"{first + row:09}", f"{first + row}", 1, 1, EMBEDDED, "", row, "1") for row in range(count)
            ]
            writer.write(records, unit(block + 0.5))
    return EmbeddingStore.open(path)


def original(vectors: Array, seeds: dict[str, Array], other: str) -> Array:
    """g-and-t's computation, written from its description: cdist per label, trimmed mean, a data frame of counts."""
    frame = pd.DataFrame()
    for label, rows in seeds.items():
        frame[label] = trim_mean(cdist(vectors, vectors[rows], "cosine"), 0.1, axis=1)
    return frame.drop(columns=other).gt(frame[other], axis=0).sum(axis=1).to_numpy()


def speed(rows: int, dim: int, seed_count: int, place: str, rules: list[str]) -> pd.DataFrame:
    found, device = [], devices.choose(place)
    with tempfile.TemporaryDirectory() as work:
        store = big_store(f"{work}/store", rows, dim)
        vectors, rng = store.vectors, np.random.default_rng(1)
        a, b = (device.put(rng.random(shape, np.float32)) for shape in ((4096, dim), (dim, seed_count)))
        a @ b
        rate = 2 * 4096 * dim * seed_count / best_of(lambda: device.get((a @ b)[:1]), 8) / 1e9
        found.append({"what": f"this machine's sgemm, 4,096 x {dim} x {seed_count}", "seconds": None, "GFLOP/s": rate})
        centre = pool_mean(vectors)
        targets = unit(np.asarray(vectors[np.sort(rng.choice(rows, seed_count, replace=False))]) - centre)

        def products() -> None:
            for _, block in product_chunks(vectors, centre, targets, device):
                device.get(device.largest(block))

        seconds = best_of(products)
        share = (rows * cpu_of(lambda: a @ b, 8) / 4096) / cpu_of(products)
        print(f"products of the memory-mapped store run at {share:.0%} of sgemm's rate per CPU second", flush=True)
        found.append(
            {
                "what": f"{rows:,} x {dim} against {seed_count} seeds, centred cosines and their maximum",
                "seconds": seconds,
                "GFLOP/s": 2 * rows * dim * seed_count / seconds / 1e9,
            }
        )
        found.append({"what": "the pool's mean", "seconds": best_of(lambda: pool_mean(vectors), 1), "GFLOP/s": None})
        found.append(
            {
                "what": "cosines to 10 means",
                "seconds": best_of(lambda: sum(1 for _ in product_chunks(vectors, centre, targets[:10], device)), 1),
                "GFLOP/s": None,
            }
        )
        seeds = [np.sort(part) for part in np.array_split(rng.choice(rows, seed_count, replace=False), 10)]
        for rule in rules:
            forget_peak()
            seconds = best_of(lambda rule=rule: RULES[rule](vectors, seeds, device=device), 1)
            peak = f"peak {peak_memory():.2f} GiB"
            found.append(
                {"what": f"rule {rule}, {seed_count} seeds of 10 labels, {peak}", "seconds": seconds, "GFLOP/s": None}
            )
            print(found[-1]["what"], f"{seconds:.0f} s", flush=True)
        by_label = {f"label {number}": [f"{row:09}" for row in part] for number, part in enumerate(seeds)}
        forget_peak()
        seconds = best_of(lambda: filter_by_similarity(store, by_label, rule="mean", device=place), 1)
        found.append(
            {
                "what": f"filter_by_similarity, rule mean: names, scores, reasons, table; peak {peak_memory():.2f} GiB",
                "seconds": seconds,
                "GFLOP/s": None,
            }
        )
        some = min(rows, 20_000)
        part = np.asarray(vectors[:some])
        names = {f"label {number}": rng.choice(some, seed_count // 10, replace=False) for number in range(9)}
        names["Other"] = rng.choice(some, seed_count // 10, replace=False)
        start = time.perf_counter()
        expected = original(part, names, "Other")
        slow = time.perf_counter() - start
        start = time.perf_counter()
        scores = RULES["g-and-t"](Vectors([part], dim, "float32"), list(names.values())).scores
        counts = farther_than_other(scores, 9)
        quick = time.perf_counter() - start
        same = float((counts == expected).mean())
        thresholds = [count_threshold(np.bincount(each, minlength=10), 0.1) for each in (expected, counts)]
        assert thresholds[0] == thresholds[1]
        found.append(
            {"what": f"g-and-t's computation in scipy and pandas, {some:,} rows", "seconds": slow, "GFLOP/s": None}
        )
        found.append(
            {
                "what": f"the same here: {slow / quick:.0f} times as quick, {same:.4%} of counts equal",
                "seconds": quick,
                "GFLOP/s": None,
            }
        )
    return pd.DataFrame(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("quality", "decision", "calibration", "duplicates"):
        command = commands.add_parser(name)
        command.add_argument("folder", help="a folder per class")
        command.add_argument("--draws", type=int, default=20)
    commands.choices["quality"].add_argument("--models", nargs="+", default=["lite0", "lite0/int8", "lite1", "lite2"])
    commands.choices["quality"].add_argument("--seeds", type=int, default=5)
    commands.choices["quality"].add_argument("--rules", nargs="+", default=[], help="by default all")
    commands.choices["decision"].add_argument("--wanted", type=int, default=3)
    command = commands.add_parser("speed")
    command.add_argument("--rows", type=int, default=1_000_000)
    command.add_argument("--dim", type=int, default=1280)
    command.add_argument("--seeds", type=int, default=1000)
    command.add_argument("--device", default="cpu", help="cpu or cuda")
    command.add_argument("--rules", nargs="+", default=["mean", "nearest", "spread", "g-and-t"])
    options = parser.parse_args()
    if options.command != "speed":
        remember_whitening()
    if options.command == "quality":
        table = quality(options.folder, options.models, options.draws, options.seeds, options.rules)
    elif options.command == "duplicates":
        table = duplicates(options.folder)
    elif options.command == "calibration":
        table = calibration(options.folder, options.draws)
    elif options.command == "decision":
        table = decision(options.folder, options.draws, options.wanted)
    else:
        table = speed(options.rows, options.dim, options.seeds, options.device, options.rules)
    print(
        table.to_markdown(index=False, floatfmt=".3f")
        if hasattr(table, "to_markdown") and _tabulate()
        else table.to_string(index=False)
    )


def _tabulate() -> bool:
    try:
        import tabulate  # noqa: F401
    except ImportError:
        return False
    return True


if __name__ == "__main__":
    main()
