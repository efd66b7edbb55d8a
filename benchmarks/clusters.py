"""How quickly clusters are named, and with how many errors, beside one image after another and beside a grid.

::

    python benchmarks/clusters.py ../shared/data/clothing        # a folder per class
    python benchmarks/clusters.py --digits                       # scikit-learn's handwritten digits

Nobody was timed: the reader is simulated. It knows the truth, looks at every image before it is named, and takes the
times below, which are assumptions (change them: ``--look 0.3``). Clusters, splits, strikes and labels are gandt's own.

Where less than 65 % of a cluster are of one class the reader sees that on the first screen, and splits it, or sends it
back when it is smaller than six. Else he scans it whole, strikes the others out and names it. What is left (struck
out, sent back) is labelled in the grid.
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gandt import EmbeddingStore, embed
from gandt.candidates.clusters import Clustering, cluster
from gandt.candidates.clusters.naming import Halves, Naming
from gandt.candidates.clusters.space import Space, guesses, halves_of

PURE = 0.65
SMALL = 6


@dataclass(frozen=True)
class Reader:
    """Assumed seconds and error rates.

    ``look``: per image while scanning a cluster for what doesn't belong. Krishna et al. ("Embracing error to enable
    rapid crowdsourcing", CHI 2016) show images for 0.1 s each and correct for misses; this reader takes his time.
    ``single``: per image when each is shown alone and answered by a key; the same paper reports 1.7 s for a yes or no.
    ``tile``: per image in a grid where each tile gets a key, no page to wait for.
    """

    look: float = 0.25
    strike: float = 1.0
    key: float = 1.5  # a name given before
    typed: float = 4.0  # a new name
    move: float = 1.0  # a split, a cluster sent back; reading the page anew is counted by ``look``
    choose: float = 60.0  # choosing k by eye, once
    single: float = 1.7
    tile: float = 1.2
    missed: float = 0.10  # of the images that don't belong
    glance: float = 40  # images looked at before a mixed cluster is split or sent back: a screenful
    slip: float = 0.015  # of the images that are answered one by one, or in the grid


def pool(folder: str | None, work: Path) -> tuple[EmbeddingStore, dict[str, str]]:
    """Embed a folder of class folders, or the digits; return the store and each item's class."""
    if folder is None:
        from PIL import Image
        from sklearn.datasets import load_digits

        data = load_digits()
        for number, (pixels, label) in enumerate(zip(data.images, data.target, strict=True)):
            path = work / "digits" / f"digit {label}" / f"{number:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            ink = np.pad(pixels / 16, 1)
            Image.fromarray(np.uint8(255 * (1 - ink))).resize((120, 120), Image.Resampling.BICUBIC).save(path)
        folder = str(work / "digits")
    store = embed(folder, str(work / "store"))
    items = store.items[store.items["row"] >= 0]["item"]
    return store, {item: Path(item).parent.name for item in items}


def read(
    found: Clustering,
    halves: Halves,
    points: Space | None,
    truth: dict[str, str],
    reader: Reader,
    k: int,
    seed: int,
) -> dict[str, Any]:
    """Let the reader name all clusters of one cut; return minutes, pace and errors."""
    rng = np.random.default_rng(seed)
    kinds = np.array([truth[item] for item in found.items])
    seconds, known = reader.choose, set()
    with tempfile.TemporaryDirectory() as folder:
        naming = Naming(found, folder, halves=halves)
        naming.choose(k)
        splits = strikes = 0
        turns = 1 if points is None else 3
        for turn in range(turns):
            if turn and points is not None:
                naming.sort(guesses(points, naming.given(), naming.left()))
                seconds += reader.move
            while waiting := [each for each in naming.clusters() if each.outcome == "open"]:
                each = waiting[0]
                names, counts = np.unique(kinds[each.members], return_counts=True)
                name, share = str(names[counts.argmax()]), counts.max() / counts.sum()
                if share < PURE:
                    seconds += reader.look * min(len(each.members), reader.glance) + reader.move
                    if turns == 1 and len(each.members) >= SMALL:
                        splits += 1
                        naming.split(each.name)
                    else:
                        naming.send_back(each.name)
                    continue
                seconds += reader.look * len(each.members)
                strangers = each.members[kinds[each.members] != name]
                seen = strangers[rng.random(len(strangers)) >= reader.missed]
                if len(seen):
                    naming.strike(each.name, seen.tolist())
                    seconds += reader.strike * len(seen)
                    strikes += len(seen)
                seconds += reader.key if name in known else reader.typed
                known.add(name)
                naming.name(each.name, name)
        labels = naming.labels()
    labels["truth"] = labels["item"].map(truth)
    named = labels[labels["status"] == "confident"]
    wrong = (named["label"] != named["truth"]).mean()
    left = len(labels) - len(named)
    whole = seconds + reader.tile * left
    errors = (wrong * len(named) + reader.slip * left) / len(labels)
    return {
        "way": f"{found.method}, k = {k}, " + ("splitting" if points is None else "sorting the rest"),
        "named": len(named) / len(labels),
        "a minute, named": 60 * len(named) / seconds,
        "errors, named": wrong,
        "minutes, all": whole / 60,
        "a minute, all": 60 * len(labels) / whole,
        "errors, all": errors,
        "minutes for 3,670": 3670 * (whole - reader.choose) / len(labels) / 60 + reader.choose / 60,
        "splits": splits,
        "strikes": strikes,
    }


def plain(way: str, count: int, each: float, slip: float) -> dict[str, Any]:
    """Return the row of a way in which every image is answered."""
    pace = 60 / each
    return {
        "way": way, "named": 1.0, "a minute, named": pace, "errors, named": slip, "minutes, all": count * each / 60,
        "a minute, all": pace, "errors, all": slip, "minutes for 3,670": 3670 * each / 60, "splits": 0, "strikes": 0,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", help="a folder per class")
    parser.add_argument("--digits", action="store_true")
    parser.add_argument("--k", type=int, action="append", help="numbers of clusters; 10, 20, 40, 60, 100 by default")
    parser.add_argument("--seeds", type=int, default=5, help="draws of what the reader misses")
    for name, value in vars(Reader()).items():
        parser.add_argument(f"--{name}", type=float, default=value)
    given = vars(parser.parse_args())
    if not given["folder"] and not given["digits"]:
        parser.error("give a folder, or --digits")
    reader = Reader(**{name: given[name] for name in vars(Reader())})
    print("assumed:", ", ".join(f"{name} {value:g}" for name, value in vars(reader).items()))
    with tempfile.TemporaryDirectory() as work:
        store, truth = pool(None if given["digits"] else given["folder"], Path(work))
        rows = [plain("one by one", len(truth), reader.single, reader.slip)]
        rows.append(plain("grid", len(truth), reader.tile, reader.slip))
        ks = given["k"] or [10, 20, 40, 60, 100]
        tree = cluster(store, k_max=max(ks))
        print(f"Ward's tree of {tree.points:,} points with its silhouettes: {tree.facts['seconds']} s")
        points = Space(store, tree.rows)
        halves = halves_of(points)
        for k in ks:
            for found, sorting in (
                (tree, None),
                (tree, points),
                (cluster(store, method="k-means", k_min=k, k_max=k), None),
            ):
                some = pd.DataFrame(
                    [read(found, halves, sorting, truth, reader, k, seed) for seed in range(given["seeds"])]
                )
                rows.append({"way": some["way"][0], **some.drop(columns="way").mean().to_dict()})
    table = pd.DataFrame(rows)
    shares = ["named", "errors, named", "errors, all"]
    table[shares] = table[shares].map(lambda value: f"{value:.1%}")
    print(table.round(1).to_string(index=False))


if __name__ == "__main__":
    main()
