"""How well the evidence finds simulated spammers of six kinds, and groups of workers who err alike.

Run: python benchmarks/spammers.py [--jobs 20]
"""

import argparse
from collections import Counter

import numpy as np
import pandas as pd

from gandt.consensus import consolidate
from gandt.consensus.workers import evidence

KINDS = ("random", "constant", "position", "copier", "too fast", "contrary")
CATEGORIES = ("cat", "dog", "bird", "None of these")
HONEST, PAGE, EACH = 20, 20, 5
GROUP = ("w0", "w1", "w2")  # who err alike


def job(seed: int, items: int = 600) -> tuple[pd.DataFrame, dict[str, str], dict[str, str], str]:
    """Simulate one job of 20 honest workers (accuracy .65 to .95) and one spammer of each kind.

    Returns
    -------
    answers, gold (a tenth of the items), what each worker is ("honest" or the kind), and whom the copier copies
    """
    random = np.random.default_rng(seed)
    names = [f"w{number:02}" for number in range(HONEST)] + list(KINDS)
    kind = {name: name if name in KINDS else "honest" for name in names}
    skill = random.uniform(0.65, 0.95, size=len(names))
    truth = random.choice(4, size=items, p=[0.3, 0.25, 0.2, 0.25])
    master = f"w{random.integers(HONEST):02}"
    rows = []
    for page in range(items // PAGE):
        chosen = list(random.choice([name for name in names if name != "copier"], size=EACH, replace=False))
        if master in chosen:  # a copier answers where his master did
            chosen = [name for name in chosen if name == master or random.random() < 0.75] + ["copier"]
        said: dict[tuple[str, int], int] = {}
        for name in sorted(chosen, key=lambda name: name == "copier"):
            usual = 1.0 if kind[name] == "too fast" else 6.0
            seconds = PAGE * float(random.lognormal(np.log(usual), 0.4))
            for place in range(PAGE):
                item = page * PAGE + place
                right = random.random() < skill[names.index(name)]
                label = int(truth[item]) if right else int((truth[item] + random.integers(1, 4)) % 4)
                if kind[name] in ("random", "too fast"):
                    label = int(random.integers(4))
                elif kind[name] == "constant":
                    label = 3 if random.random() < 0.95 else label
                elif kind[name] == "position":
                    label = place * 4 // PAGE if random.random() < 0.9 else label
                elif kind[name] == "contrary":
                    label = int((truth[item] + random.integers(1, 4)) % 4) if right else int(truth[item])
                elif kind[name] == "copier" and random.random() < 0.95:
                    label = said.get((master, item), label)
                said[name, item] = label
                rows.append((f"i{item}", name, CATEGORIES[label], f"page{page}", seconds))
    answers = pd.DataFrame(rows, columns=["item", "worker", "label", "data_object", "seconds"])
    gold = {f"i{item}": CATEGORIES[truth[item]] for item in random.choice(items, size=items // 10, replace=False)}
    return answers, gold, kind, master


def alike(jobs: int) -> None:
    """Print how often a group of workers who err alike is found, and whether anybody else is named."""
    from gandt.consensus.encode import encode
    from gandt.consensus.shared_errors import find_shared_errors

    print("\n| group of three among twelve | items | answers each | found | crowds with somebody else named |")
    print("|---|---|---|---|---|")
    for kind in ("copied", "lenient", "none"):
        for items, each in ((600, 5), (600, 8), (1500, 5)):
            found, others = 0, 0
            for job in range(jobs):
                answers, _ = group(kind, np.random.default_rng(job), items, each)
                pairs = find_shared_errors(encode(answers)).pairs
                found += len(pairs) > 0
                others += not {*pairs["worker"], *pairs["other"]} <= set(GROUP)
            print(f"| {kind} | {items:,} | {each} | {found} of {jobs} | {others} |", flush=True)


def group(
    kind: str, random: np.random.Generator, items: int, each: int, workers: int = 12
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Simulate a crowd whose first three workers copy (80 %), or say yes to the same 40 % of the no, or do neither.

    Returns
    -------
    answers, truth
    """
    truth = random.random(items) < 0.4
    skill = np.clip(random.normal(0.78, 0.05, size=workers), 0.65, 0.9)
    tempting = ~truth & (random.random(items) < 0.4)
    rows = []
    for item in range(items):
        said: dict[int, bool] = {}
        for worker in sorted(random.choice(workers, size=each, replace=False)):
            said[worker] = bool(truth[item] == (random.random() < skill[worker]))
            earlier = [other for other in said if other < min(worker, 3)]
            if kind == "copied" and worker < 3 and earlier and random.random() < 0.8:
                said[worker] = said[earlier[0]]
            if kind == "lenient" and worker < 3 and tempting[item]:
                said[worker] = random.random() < 0.9
        rows += [(f"i{item}", f"w{worker}", "yes" if answer else "no") for worker, answer in said.items()]
    answers = pd.DataFrame(rows, columns=["item", "worker", "label"])
    return answers, {f"i{item}": "yes" if yes else "no" for item, yes in enumerate(truth)}


def main() -> None:
    """Print how often each kind was found, and how often honest workers were suspected."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=20)
    jobs = parser.parse_args().jobs
    for with_gold in (False, True):
        found, seen = Counter[str](), Counter[str]()
        for seed in range(jobs):
            answers, gold, kind, master = job(seed)
            result = consolidate(answers, categories=CATEGORIES, gold=gold if with_gold else None)
            for row in evidence(answers, result).to_dict("records"):
                seen[kind[row["worker"]]] += 1
                # who copied whom can't be told, so it's no fault to name the one who was copied along with his copier
                pair = row["worker"] == master and row["evidence"] == "agrees with copier beyond what both know"
                found["copied"] += pair
                found[kind[row["worker"]]] += bool(row["evidence"]) and not pair
        right = sum(found[name] for name in KINDS)
        precision = right / max(right + found["honest"], 1)
        recall = right / sum(seen[name] for name in KINDS)
        print(f"{'with' if with_gold else 'without'} gold, {jobs} jobs: precision {precision:.3f}, recall {recall:.3f}")
        for name in (*KINDS, "honest"):
            print(f"  {name:10} {found[name]:4} of {seen[name]:4} marked")
        print(f"  besides, in {found['copied']} jobs the one who was copied is named with his copier")
    alike(jobs)


if __name__ == "__main__":
    main()
