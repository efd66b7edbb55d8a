"""The main job, stage by stage: images → vectors → candidates → manifest → labeling job → answers → labels.

Every stage is the function that a user would call; the demo only passes things on. What it does itself is to stand
in for the world around gandt: images, an S3, a crowd.
"""

import json
import random
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

import gandt
from gandt import storage, tables
from gandt.arguments import checked
from gandt.demo.crowd import address_of
from gandt.demo.desk import Desk
from gandt.demo.embedded_s3 import embedded_s3
from gandt.demo.me import Me, MyDesk
from gandt.demo.pool import OTHER, Pool, digits_pool, folder_pool
from gandt.demo.scene import imagine_scene
from gandt.errors import InputError
from gandt.manifest import upload_images
from gandt.report import measure, standalone, write_report

BUCKET = "gandt-demo"
EXPLORE = 0.05
TARGET = 0.95
# what the bill is compared with: so many answers about every image of the pool, Ground Truth's own default
USUAL_ANSWERS = 3
SET_ASIDE_SHOWN = 10
MY_IMAGES = 44  # candidates for one person: four pages, with some gold
DECISIONS = ("keep", "explore", "discard")


@dataclass(frozen=True)
class Stage:
    """What one stage did, as rows for a table."""

    title: str
    rows: list[dict[str, Any]]


@dataclass
class DemoResult:
    """The demo's numbers; every one can be computed again from the files in ``out``.

    ``items`` are the images to label (seeds not counted), ``candidates`` those shown to workers, ``judgements`` the
    answers paid for (gold included), ``judgements_all`` what three workers on every item would have cost.
    ``confident``, ``relabel`` and ``unanswered`` add up to ``candidates``. ``accuracy`` is that of the confident
    labels, with its 95 % Wilson interval; None where the truth isn't known.
    """

    out: str
    items: int
    candidates: int
    judgements: int
    judgements_all: int
    confident: int
    relabel: int
    unanswered: int
    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    set_aside: int
    wanted: int | None
    wanted_kept: int | None
    seconds: float
    report: str
    stages: list[Stage] = field(default_factory=list)


@checked
def run_demo(
    out: str = "gandt-demo",
    *,
    seed: int = 0,
    images: str | None = None,
    seeds: str | None = None,
    labels: Sequence[str] = (),
    on_stage: Callable[[Stage], None] = lambda stage: None,
    me: Me | None = None,
) -> DemoResult:
    """Run the whole main job on embedded parts and write everything under ``out``.

    Parameters
    ----------
    out : str
        A new folder, or one of the same run that was interrupted or is to be seen again.
    seed : int
        Of every draw: seeds, pages, crowd. The same seed gives the same result.
    images : str, optional
        A folder of pictures, or of class folders; by default scikit-learn's handwritten digits.
    seeds : str, optional
        A folder with one folder of examples per label.
    labels : sequence of str
        Which class folders to look for, where ``seeds`` isn't given.
    on_stage : callable
        Gets each stage's table as soon as it is done.
    me : Me, optional
        Lets you do the labeling in a browser, of a smaller part of the pool and in one round.

    Raises
    ------
    InputError
        When the images, seeds or ``out`` can't be used; the sentence says why.
    """
    begun = time.monotonic()
    parameters = {"seed": seed, "images": _absolute(images), "seeds": _absolute(seeds), "labels": list(labels)}
    if me is not None:
        parameters["me"] = "alone" if me.alone else "with others"
    folder = _check_out(Path(out), parameters)
    pool = folder_pool(images, seeds, labels, seed) if images else None
    _write_state(folder, parameters, finished=False)
    stages: list[Stage] = []

    def done(title: str, *rows: Mapping[str, Any]) -> None:
        stages.append(Stage(f"{len(stages) + 1}  {title}", [dict(row) for row in rows]))
        on_stage(stages[-1])

    pool = pool or digits_pool(folder / "pool", seed)
    store = _embed(pool, folder)
    pool = _readable(pool, store.items)
    set_aside = store.items.loc[store.items["status"] != "embedded", ["item", "reason"]]
    done("Pool and vectors", _about_pool(pool, store, len(set_aside)))
    if len(set_aside):
        named = set_aside.head(SET_ASIDE_SHOWN)
        left = len(set_aside) - len(named)
        done(f"Set aside, and the run goes on{f' ({left} more in set-aside.csv)' if left else ''}", *_rows(named))
    if pool.notes:
        done("To know", *({"note": note} for note in pool.notes))

    candidates = gandt.filter_by_similarity(store, pool.seeds, explore=EXPLORE, seed=seed)
    if me is not None:
        pool = _smaller(pool, candidates, seed)
    candidates = candidates[candidates["item"].isin(set(pool.images))].reset_index(drop=True)
    done(
        "Candidates: what resembles the seeds, and a random share of the rest to check the filter by",
        *({"decision": name, "images": int((candidates["decision"] == name).sum())} for name in DECISIONS),
    )

    outcome = _ask(pool, store, candidates, folder, seed, done, me)
    _write_tables(folder, pool, candidates, set_aside, outcome)
    done("Workers, by what gold and agreement say of them", *_worker_rows(outcome.workers))
    numbers = measure(str(folder))
    done("The bill and the result", *numbers.rows())
    _write_state(folder, parameters, finished=True, stages=[asdict(stage) for stage in stages])
    report = write_report(str(folder))
    return DemoResult(
        out=str(folder),
        **numbers.counts(),
        set_aside=len(set_aside),
        seconds=round(time.monotonic() - begun, 1),
        report=report,
        stages=stages,
    )


@dataclass(frozen=True)
class _Outcome:
    """What the labeling jobs brought; ``images`` has the local path of every item."""

    answers: pd.DataFrame
    labels: pd.DataFrame
    workers: pd.DataFrame
    gold: Mapping[str, str]
    images: Mapping[str, str]
    pages: Mapping[str, str]


def _ask(
    pool: Pool,
    store: gandt.EmbeddingStore,
    candidates: pd.DataFrame,
    folder: Path,
    seed: int,
    done: Callable[..., None],
    me: Me | None,
) -> _Outcome:
    """Ask a crowd about the candidates, and another one about what it leaves in doubt; or you, once."""
    shown = candidates.loc[candidates["decision"] != "discard", "item"].tolist()
    if not shown:
        raise InputError("no image of the pool resembles the seeds; give more seeds, or others")
    examples = [item for items in pool.seeds.values() for item in items]
    bucket = f"s3://{BUCKET}"
    with embedded_s3(BUCKET) as (s3, environment):
        where = upload_images([*shown, *examples], f"{bucket}/images", s3=s3)
        asked = list(dict.fromkeys(where[item] for item in shown))
        random.Random(seed).shuffle(asked)  # best first, a tile's place on the page would tell its likely label
        gold = {where[item]: label for label, items in pool.seeds.items() for item in items}

        def consolidate(answers: pd.DataFrame) -> gandt.Consensus:
            categories = (*pool.labels, OTHER)
            return gandt.consolidate(answers, categories=categories, items=asked, gold=gold, target=TARGET)

        scene = imagine_scene(pool, store, candidates, where)
        parts = (bucket, s3, environment, pool.labels, scene, gold, seed)
        with Desk(*parts) if me is None else MyDesk(*parts, me=me, state=str(folder / "service")) as desk:
            answers = desk.ask("round-1", asked)
            done("Labeling job, round 1", desk.summaries["round-1"])
            consensus = consolidate(answers)
            done("Labels after round 1", _counts(consensus.labels))
            doubtful = consensus.labels.loc[consensus.labels["status"] != "confident", "item"].tolist()
            if doubtful and me is None:
                answers = pd.concat([answers, desk.ask("round-2", doubtful)], ignore_index=True)
                done("Labeling job, round 2: only what is in doubt, by another workteam", desk.summaries["round-2"])
                consensus = consolidate(answers)
                done("Labels after round 2", _counts(consensus.labels))
        _export(s3, folder / "s3")
    images: dict[str, str] = {}
    for image, item in where.items():
        images.setdefault(item, image)
    natures = {worker.id: worker.nature.kind for worker in desk.workers}
    return _Outcome(
        answers=answers,
        labels=consensus.labels.assign(image=consensus.labels["item"].map(images)),
        workers=consensus.workers.assign(simulated_as=consensus.workers["worker"].map(natures)),
        gold=gold,
        images=images,
        pages=desk.pages,
    )


def _embed(pool: Pool, folder: Path) -> gandt.EmbeddingStore:
    for source in pool.folders:
        store = gandt.embed(source, str(folder / "store"))
    return store


def _readable(pool: Pool, items: pd.DataFrame) -> Pool:
    """Return the pool without what has no vector; an image with a seed's very content is no image to ask about."""
    good = items[items["status"] == "embedded"].set_index("item")["sha256"]
    seeds = {label: [item for item in paths if item in good.index] for label, paths in pool.seeds.items()}
    for label, paths in seeds.items():
        if not paths:
            count = len(pool.seeds[label])
            raise InputError(f"the label {label!r} has no seeds: none of its {count} examples is a readable image")
    known = {good[item] for paths in seeds.values() for item in paths}
    images = tuple(item for item in pool.images if item in good.index and good[item] not in known)
    return replace(pool, images=images, seeds=seeds)


def _smaller(pool: Pool, candidates: pd.DataFrame, seed: int) -> Pool:
    """Return a random part of the pool, with as many candidates as one person labels in a few minutes."""
    mine = candidates[candidates["item"].isin(set(pool.images))]
    share = (mine["decision"] != "discard").mean()
    count = min(len(pool.images), round(MY_IMAGES / share)) if share else len(pool.images)
    return replace(pool, images=tuple(sorted(random.Random(seed).sample(pool.images, count))))


def _about_pool(pool: Pool, store: gandt.EmbeddingStore, set_aside: int) -> dict[str, Any]:
    return {
        "images to label": len(pool.images),
        "seeds": sum(map(len, pool.seeds.values())),
        "labels wanted": ", ".join(pool.labels),
        "set aside": set_aside,
        "model": store.description["model"],
        "vector": f"{store.vectors.shape[1]} numbers",
    }


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _counts(labels: pd.DataFrame) -> dict[str, Any]:
    counts = labels["status"].value_counts()
    return {status: int(counts.get(status, 0)) for status in ("confident", "relabel", "unanswered")}


def _worker_rows(workers: pd.DataFrame) -> list[dict[str, Any]]:
    columns = [
        "answers",
        "reliability",
        "reliability_low",
        "reliability_high",
        "gold_right",
        "gold_answers",
        "simulated_as",
    ]
    best_first = workers.sort_values("reliability", ascending=False, kind="stable")
    return [
        {"worker": row["worker"].rpartition(".")[2], **{name: row[name] for name in columns}}
        for row in best_first.to_dict("records")
    ]


def _export(s3: Any, target: Path) -> None:
    """Copy manifests, template and the jobs' S3 trees to disk; the whole tree appears at once or not at all."""
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        for name in ("manifests", "templates", "jobs"):
            storage.copy_tree(f"s3://{BUCKET}/{name}", str(part / BUCKET / name), s3=s3)
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write_tables(
    folder: Path, pool: Pool, candidates: pd.DataFrame, set_aside: pd.DataFrame, outcome: _Outcome
) -> None:
    labels = outcome.labels
    files = {
        "set-aside.csv": set_aside,
        "candidates.csv": candidates,
        "answers.csv": outcome.answers,
        "labels.csv": labels,
        "relabel.csv": labels.loc[labels["status"] != "confident", ["item", "image", "label", "confidence", "status"]],
        "workers.csv": outcome.workers,
        "gold.csv": pd.DataFrame({"item": list(outcome.gold), "label": list(outcome.gold.values())}),
    }
    if pool.truth is not None:
        files["truth.csv"] = pd.DataFrame({"image": pool.images, "label": [pool.truth[item] for item in pool.images]})
    for name, table in files.items():
        tables.write_table(table, str(folder / name))
    for name, html in outcome.pages.items():
        page = standalone(html, lambda url: outcome.images.get(address_of(url)))
        storage.write_text(str(folder / "pages" / f"{name}.html"), page)


def _absolute(path: str | None) -> str | None:
    return str(Path(path).resolve()) if path else None


def _identity(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "run": "gandt demo",
        "gandt": gandt.__version__,
        "answers_per_item": USUAL_ANSWERS,
        "parameters": parameters,
    }


def _write_state(folder: Path, parameters: Mapping[str, Any], **state: Any) -> None:
    storage.write_text(str(folder / "run.json"), json.dumps({**_identity(parameters), **state}, indent=1))


def _check_out(folder: Path, parameters: Mapping[str, Any]) -> Path:
    """Refuse a folder that belongs to something else; a new one, an empty one and this run's own are fine."""
    marker = folder / "run.json"
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder} is a file; name a folder")
    if marker.is_file():
        try:
            earlier = json.loads(marker.read_text(encoding="utf-8"))
        except ValueError:
            earlier = {}
        if {key: earlier.get(key) for key in _identity(parameters)} != _identity(parameters):
            raise InputError(
                f"--out {folder} holds another run (other images, seed or version); name another folder or remove it"
            )
    elif folder.exists() and any(folder.iterdir()):
        raise InputError(f"--out {folder} holds other files; name a new or an empty folder")
    return folder.resolve()
