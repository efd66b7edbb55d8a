"""Where the demo's labeling jobs are launched: the two Lambdas, an S3, and a simulated workteam for each round."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pandas as pd

import gandt
from gandt import resources, storage
from gandt.demo.crowd import FIRST_TEAM, SECOND_TEAM, START, Nature, Scene, SimulatedCrowd, SimulatedWorker
from gandt.demo.pool import OTHER
from gandt.jobs import build_request
from gandt.service.engine import LabelingJob
from gandt.service.functions import LocalFunction
from gandt.service.outputs import WorkerAnswer

PER_PAGE = 12
GOLD_RATE = 0.08
# answers per data object in each round, and who gives them
ROUNDS = {"round-1": (2, "first", FIRST_TEAM), "round-2": (2, "second", SECOND_TEAM)}
ROLE = "arn:aws:iam::000000000000:role/gandt-demo-ground-truth"
WORKTEAM = "arn:aws:sagemaker:us-east-1:000000000000:workteam/private-crowd/{}"
PRE, POST = ("arn:aws:lambda:us-east-1:000000000000:function:LabelingFunction-" + kind for kind in ("pre", "post"))
TEMPLATE = "image-grid.liquid.html"


@dataclass
class Desk:
    """Launches one labeling job a round and reads its answers from the files it wrote. A context manager.

    Attributes
    ----------
    bucket : str
        ``s3://`` address of the demo's bucket.
    workers : list of SimulatedWorker
        Everybody who was in a workteam.
    summaries : dict of str to dict
        By round, the row that tells how its job went.
    pages : dict of str to str
        One page of each job, as it was rendered.
    """

    bucket: str
    s3: Any
    environment: Mapping[str, str]
    labels: Sequence[str]
    scene: Scene
    gold: Mapping[str, str]
    seed: int
    workers: list[SimulatedWorker] = field(default_factory=list)
    summaries: dict[str, dict[str, Any]] = field(default_factory=dict)
    pages: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lambdas = resources.folder("lambdas")
        self._functions = {
            arn: LocalFunction(arn.rpartition(":")[2], str(lambdas / name / "handler.py"), environment=self.environment)
            for arn, name in ((PRE, "pre_annotation"), (POST, "post_annotation"))
        }
        self._template = storage.join(self.bucket, "templates", TEMPLATE)
        text = (resources.folder("templates") / TEMPLATE).read_text(encoding="utf-8")
        storage.write_text(self._template, text, s3=self.s3, content_type="text/html")
        self._now: datetime = START

    def __enter__(self) -> "Desk":
        return self

    def __exit__(self, *_: object) -> None:
        for function in self._functions.values():
            function.close()

    def ask(self, name: str, items: Sequence[str]) -> pd.DataFrame:
        """Build the manifest, run the labeling job and return its answers, read from the files it wrote."""
        answers_per_page, team, natures = self._round(name)
        manifest = gandt.build_manifest(
            items,
            per_page=PER_PAGE,
            categories=self.labels,
            other=OTHER,
            gold=self.gold,
            gold_rate=GOLD_RATE,
            seed=self.seed,
        )
        uri = storage.join(self.bucket, "manifests", f"{name}.manifest")
        manifest.write(uri, s3=self.s3)
        request = build_request(
            name,
            manifest=uri,
            template=self._template,
            output=storage.join(self.bucket, "jobs"),
            workteam=WORKTEAM.format(team),
            role=ROLE,
            pre_lambda=PRE,
            post_lambda=POST,
            label_attribute="label",
            workers_per_object=answers_per_page,
        )
        crowd = SimulatedCrowd(natures, (*self.labels, OTHER), self.scene, self.seed, team)
        crowd.begin_at(self._now)
        state, pages = self._run(request, crowd)
        self.pages.update((f"{name} page {number}", html) for number, html in pages.items())
        ended = max(worker.free_at for worker in crowd.workers)
        answers = gandt.read_answers(storage.join(self.bucket, "jobs", name), s3=self.s3)
        self.summaries[name] = {
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

    def _round(self, name: str) -> tuple[int, str, Sequence[Nature]]:
        """Return answers per page, the workteam's name, and who is in it."""
        return ROUNDS[name]

    def _run(self, request: Mapping[str, Any], crowd: SimulatedCrowd) -> tuple[dict[str, Any], dict[str, str]]:
        """Run a job; return what DescribeLabelingJob says of it, and a page as it was rendered, by its object."""
        watched = _Watched(crowd)
        return LabelingJob(request, self._functions, self.s3, self.seed).run(watched), watched.pages


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
