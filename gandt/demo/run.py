"""The main job, stage by stage: images → vectors → candidates → manifest → labeling job → answers → labels.

Every stage is the function that a user would call; the demo only passes things on. What it does itself is to stand
in for the world around gandt: images, an S3, a crowd.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

import gandt
from gandt import resources, storage, tables
from gandt.demo.crowd import FIRST_TEAM, SECOND_TEAM, START, Scene, SimulatedCrowd, address_of
from gandt.demo.embedded_s3 import embedded_s3
from gandt.demo.pool import OTHER, Pool, digits_pool, folder_pool
from gandt.demo.scene import imagine_scene
from gandt.errors import InputError
from gandt.jobs import build_request
from gandt.manifest import upload_images
from gandt.report import measure, standalone, write_report
from gandt.service.engine import LabelingJob
from gandt.service.functions import LocalFunction
from gandt.service.outputs import WorkerAnswer

BUCKET = "gandt-demo"
PER_PAGE = 12
GOLD_RATE = 0.08
EXPLORE = 0.05
TARGET = 0.95
# answers per data object in each round, and who gives them
ROUNDS = {"round-1": (2, "first", FIRST_TEAM), "round-2": (2, "second", SECOND_TEAM)}
# what the bill is compared with: so many answers about every image of the pool, Ground Truth's own default
USUAL_ANSWERS = 3
ROLE = "arn:aws:iam::000000000000:role/gandt-demo-ground-truth"
WORKTEAM = "arn:aws:sagemaker:us-east-1:000000000000:workteam/private-crowd/{}"
PRE, POST = ("arn:aws:lambda:us-east-1:000000000000:function:LabelingFunction-" + kind for kind in ("pre", "post"))


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


def run_demo(
    out: str = "gandt-demo",
    *,
    seed: int = 0,
    images: str | None = None,
    seeds: str | None = None,
    labels: Sequence[str] = (),
    on_stage: Callable[[Stage], None] = lambda stage: None,
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

    Raises
    ------
    InputError
        When the images, seeds or ``out`` can't be used; the sentence says why.
    """
    begun = time.monotonic()
    parameters = {"seed": seed, "images": _absolute(images), "seeds": _absolute(seeds), "labels": list(labels)}
    folder = _check_out(Path(out), parameters)
    pool = folder_pool(images, seeds, labels, seed) if images else None
    storage.write_text(str(folder / "run.json"), json.dumps({**_identity(parameters), "finished": False}, indent=1))
    stages: list[Stage] = []

    def done(title: str, *rows: dict[str, Any]) -> None:
        stages.append(Stage(title, list(rows)))
        on_stage(stages[-1])

    pool = pool or digits_pool(folder / "pool", seed)
    for text in pool.notes:
        done("Note", {"note": text})
    store = _embed(pool, folder)
    bad = store.items[store.items["status"] != "embedded"]
    tables.write_table(bad[["item", "reason"]], str(folder / "set-aside.csv"))
    pool_items, seed_items = _usable(pool, store.items)
    done(
        "1  Pool and vectors",
        {
            "images to label": len(pool_items),
            "seeds": sum(map(len, seed_items.values())),
            "labels wanted": ", ".join(pool.labels),
            "set aside": len(bad),
            "model": store.description["model"],
            "vector": f"{store.vectors.shape[1]} numbers",
        },
    )

    candidates = gandt.filter_by_similarity(store, seed_items, explore=EXPLORE, seed=seed)
    candidates = candidates[candidates["item"].isin(set(pool_items))].reset_index(drop=True)
    tables.write_table(candidates, str(folder / "candidates.csv"))
    shown = candidates.loc[candidates["decision"] != "discard", "item"].tolist()
    counts = candidates["decision"].value_counts()
    done(
        "2  Candidates: what resembles the seeds, and a random share of the rest to check the filter by",
        *({"decision": name, "images": int(counts.get(name, 0))} for name in ("keep", "explore", "discard")),
    )
    if not shown:
        raise InputError("no image resembles the seeds; give more or other seeds")

    s3_folder = folder / "s3" / BUCKET
    with embedded_s3(BUCKET) as (s3, environment):
        where = upload_images(
            [*shown, *(item for items in seed_items.values() for item in items)], f"s3://{BUCKET}/images", s3=s3
        )
        template = f"s3://{BUCKET}/templates/image-grid.liquid.html"
        storage.write_text(
            template, (resources.folder("templates") / "image-grid.liquid.html").read_text(encoding="utf-8"), s3=s3
        )
        gold = {where[item]: label for label, items in seed_items.items() for item in items}
        scene = imagine_scene(pool, store, candidates, seed_items, where)
        desk = Desk(s3, environment, pool.labels, scene, gold, template, seed)
        asked = list(dict.fromkeys(where[item] for item in shown))

        with desk:
            first = desk.ask("round-1", asked)
            done("3  Labeling job, round 1", desk.summary("round-1"))
            consensus = _consolidate(first, asked, pool.labels, gold)
            done("4  Labels after round 1", _counts(consensus.labels))
            doubtful = consensus.labels.loc[consensus.labels["status"] != "confident", "item"].tolist()
            answers = first
            if doubtful:
                second = desk.ask("round-2", doubtful)
                done("5  Labeling job, round 2: only what is in doubt, by another workteam", desk.summary("round-2"))
                answers = pd.concat([first, second], ignore_index=True)
                consensus = _consolidate(answers, asked, pool.labels, gold)
            done("6  Labels after round 2", _counts(consensus.labels))
        _export(s3, s3_folder)

    image_of = pd.DataFrame({"item": list(where.values()), "image": list(where)}).drop_duplicates("item")
    labels_table = consensus.labels.merge(image_of, on="item", how="left")
    natures = {worker.id: worker.nature.kind for worker in desk.workers}
    workers = consensus.workers.assign(simulated_as=consensus.workers["worker"].map(natures))
    relabel = labels_table.loc[labels_table["status"] == "relabel", ["item", "image", "label", "confidence"]]
    _write(
        folder,
        {
            "answers.csv": answers,
            "labels.csv": labels_table,
            "workers.csv": workers,
            "relabel.csv": relabel,
            "gold.csv": pd.DataFrame({"item": list(gold), "label": list(gold.values())}),
        },
    )
    path_of = dict(zip(image_of["item"], image_of["image"], strict=True))
    for name, html in desk.pages.items():
        page = standalone(html, lambda url: path_of.get(address_of(url)))
        storage.write_text(str(folder / "pages" / f"{name}.html"), page)
    if pool.truth is not None:
        known = pd.DataFrame({"image": pool_items, "label": [pool.truth[item] for item in pool_items]})
        tables.write_table(known, str(folder / "truth.csv"))
    done("7  Workers, by what gold and agreement say of them", *_worker_rows(workers))

    numbers = measure(str(folder))
    done("8  The bill and the result", *numbers.rows())
    state = {**_identity(parameters), "finished": True, "stages": [asdict(stage) for stage in stages]}
    storage.write_text(str(folder / "run.json"), json.dumps(state, indent=1))
    report = write_report(str(folder))
    return DemoResult(
        out=str(folder),
        **numbers.counts(),
        set_aside=len(bad),
        seconds=round(time.monotonic() - begun, 1),
        report=report,
        stages=stages,
    )


@dataclass
class Desk:
    """Where jobs are launched: an S3, the two Lambdas, a crowd for each round. Use it as a context manager."""

    s3: Any
    environment: Mapping[str, str]
    labels: Sequence[str]
    scene: Scene
    gold: Mapping[str, str]
    template: str
    seed: int
    workers: list[Any] = field(default_factory=list)
    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    pages: dict[str, str] = field(default_factory=dict)  # a few, as they were rendered

    def __post_init__(self) -> None:
        lambdas = resources.folder("lambdas")
        self._functions = {
            arn: LocalFunction(arn.rpartition(":")[2], str(lambdas / name / "handler.py"), environment=self.environment)
            for arn, name in ((PRE, "pre_annotation"), (POST, "post_annotation"))
        }
        self._now = START

    def __enter__(self) -> "Desk":
        return self

    def __exit__(self, *_: object) -> None:
        for function in self._functions.values():
            function.close()

    def ask(self, name: str, items: Sequence[str]) -> pd.DataFrame:
        """Build the manifest, run the labeling job and return its answers, read from the files it wrote."""
        answers_per_page, team, natures = ROUNDS[name]
        manifest = gandt.build_manifest(
            items,
            per_page=PER_PAGE,
            categories=self.labels,
            other=OTHER,
            gold=self.gold,
            gold_rate=GOLD_RATE,
            seed=self.seed,
        )
        uri = f"s3://{BUCKET}/manifests/{name}.manifest"
        manifest.write(uri, s3=self.s3)
        request = build_request(
            name,
            manifest=uri,
            template=self.template,
            output=f"s3://{BUCKET}/jobs/",
            workteam=WORKTEAM.format(team),
            role=ROLE,
            pre_lambda=PRE,
            post_lambda=POST,
            label_attribute="label",
            workers_per_object=answers_per_page,
        )
        crowd = SimulatedCrowd(natures, (*self.labels, OTHER), self.scene, self.seed, team)
        crowd.begin_at(self._now)
        job = LabelingJob(request, self._functions, self.s3, self.seed)
        watched = _Watched(crowd)
        state = job.run(watched)
        self.pages.update((f"{name} page {number}", html) for number, html in watched.pages.items())
        ended = max(worker.free_at for worker in crowd.workers)
        answers = gandt.read_answers(job.folder.root, s3=self.s3)
        self.states[name] = {
            "status": state["LabelingJobStatus"],
            "pages": len(manifest.lines),
            "gold tiles": len(manifest.gold),
            "workers": len(crowd.workers),
            "answers per page": answers_per_page,
            "judgements": len(answers),
            "failed pages": state["LabelCounters"]["FailedNonRetryableError"],
            "simulated minutes": round((ended - self._now).total_seconds() / 60),
        }
        self.workers += crowd.workers
        self._now = ended
        return answers

    def summary(self, name: str) -> dict[str, Any]:
        """Return the row that tells how the job ``name`` went."""
        return self.states[name]


class _Watched:
    """A crowd that lets the report see the first page it gets."""

    def __init__(self, crowd: SimulatedCrowd) -> None:
        self._crowd = crowd
        self.pages: dict[str, str] = {}

    def label(self, pages: Mapping[str, str], workers_per_object: int) -> Iterator[tuple[str, WorkerAnswer]]:
        """Pass on, and keep the first page of the job."""
        if not self.pages:
            self.pages.update(list(pages.items())[:1])
        yield from self._crowd.label(pages, workers_per_object)


def _embed(pool: Pool, folder: Path) -> gandt.EmbeddingStore:
    for source in pool.folders:
        store = gandt.embed(source, str(folder / "store"))
    return store


def _usable(pool: Pool, items: pd.DataFrame) -> tuple[list[str], dict[str, list[str]]]:
    """Return images and seeds that have a vector; an image with a seed's very content is no image to ask about."""
    good = items[items["status"] == "embedded"].set_index("item")["sha256"]
    seeds = {label: [item for item in paths if item in good.index] for label, paths in pool.seeds.items()}
    for label, paths in seeds.items():
        if not paths:
            raise InputError(
                f"the label {label!r} has no seeds: none of its {len(pool.seeds[label])} examples is a readable image"
            )
    known = {good[item] for paths in seeds.values() for item in paths}
    return [item for item in pool.images if item in good.index and good[item] not in known], seeds


def _consolidate(
    answers: pd.DataFrame, asked: Sequence[str], labels: Sequence[str], gold: Mapping[str, str]
) -> gandt.Consensus:
    return gandt.consolidate(answers, categories=(*labels, OTHER), items=asked, gold=gold, target=TARGET)


def _counts(labels: pd.DataFrame) -> dict[str, Any]:
    counts = labels["status"].value_counts()
    return {status: int(counts.get(status, 0)) for status in ("confident", "relabel", "unanswered")}


def _worker_rows(workers: pd.DataFrame) -> list[dict[str, Any]]:
    columns = [
        "worker",
        "answers",
        "reliability",
        "reliability_low",
        "reliability_high",
        "gold_right",
        "gold_answers",
        "simulated_as",
    ]
    rows = workers.sort_values("reliability", ascending=False, kind="stable")[columns].to_dict("records")
    return [
        {**{str(name): value for name, value in row.items()}, "worker": row["worker"].rpartition(".")[2]}
        for row in rows
    ]


def _export(s3: Any, target: Path) -> None:
    """Copy manifests, template and the jobs' S3 trees to disk; the whole tree appears at once or not at all."""
    part = target.parent.with_name(".s3.part")
    shutil.rmtree(part, ignore_errors=True)
    for name in ("manifests", "templates", "jobs"):
        storage.copy_tree(f"s3://{BUCKET}/{name}", str(part / BUCKET / name), s3=s3)
    shutil.rmtree(target.parent, ignore_errors=True)
    part.rename(target.parent)


def _write(folder: Path, files: Mapping[str, pd.DataFrame]) -> None:
    for name, table in files.items():
        tables.write_table(table, str(folder / name))


def _absolute(path: str | None) -> str | None:
    return str(Path(path).resolve()) if path else None


def _identity(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "run": "gandt demo",
        "gandt": gandt.__version__,
        "answers_per_item": USUAL_ANSWERS,
        "parameters": parameters,
    }


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
