"""The aggregation Lambda: one step of the rounds a call, as infra/rounds.asl.json orders them.

``filter`` → (``ask`` → ``create`` → ``consolidate``)… → ``report``. Everything lies in ``s3://BUCKET/rounds/NAME/``, a
table for each thing, so that a step that is called twice writes the same again and people can look at any moment.
What the machine passes on is the run's settings and a few counts.
"""

import json
import os
import random
import re
import tempfile
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import pandas as pd

from gandt import categories, jobs, storage, tables
from gandt.answers import read_answers
from gandt.candidates import filter_by_similarity
from gandt.candidates.seeds import read_seeds, with_seeds
from gandt.consensus import consolidate
from gandt.embedding import EmbeddingStore
from gandt.errors import InputError, ServiceError
from gandt.manifest import build_manifest, items_of, where_of
from gandt.manifest.questions import gold_labels

STEPS = ("filter", "ask", "create", "consolidate", "report")


@dataclass
class Round:
    """A run of the rounds: its settings, and how far it has come.

    Attributes
    ----------
    name : str
        Of the run; its jobs are called ``NAME-r1``, ``NAME-r2``, …
    workteam : str
        ARN.
    categories : list of str
        What workers choose from, beside ``other``.
    budget : int
        Answers that may be paid for, all rounds together, gold included.
    store, seeds : str, list of str
        S3 folder of an embedding store, and what :func:`gandt.candidates.seeds.read_seeds` takes: the filter's.
    items : str, optional
        Instead of both: a list, table or manifest of what to ask, all of it.
    gold : str, optional
        Table (item, label) of known items, mixed in to measure workers.
    template, title, description, workers, per_page, settings
        Of the labeling jobs; see :func:`gandt.jobs.build_request`.
    other : str
        The answer "none of these".
    rule, recall, explore
        Of the filter.
    target, method
        Of the consensus.
    rounds : int
        Most rounds.
    seed : int
        Of every draw.
    round, spent, asked, uncertain, job, subject, message
        How far the run has come; written by the steps.
    """

    name: str
    workteam: str
    categories: list[str]
    budget: int
    store: str = ""
    seeds: list[str] = field(default_factory=list)
    items: str = ""
    gold: str = ""
    gold_rate: float = 0.08
    template: str = "image-grid"
    title: str = "Label images"
    description: str = "Look at each picture and choose the label that fits."
    workers: int = 2
    per_page: int = 12
    settings: dict[str, Any] = field(default_factory=dict)
    other: str = "None of these"
    rule: str = "spread"
    recall: float = 0.95
    explore: float = 0.05
    target: float = 0.95
    method: str = "auto"
    rounds: int = 5
    seed: int = 0
    round: int = 0
    spent: int = 0
    asked: int = 0
    uncertain: int = 0
    job: str = ""
    subject: str = ""
    message: str = ""

    @classmethod
    def read(cls, given: Any) -> "Round":
        """Read a run's settings, as an execution of the machine gets them.

        Raises
        ------
        InputError
            When one is missing, unknown or makes no sense.
        """
        known = {each.name for each in fields(cls)}
        missing = {"name", "workteam", "categories", "budget"} - set(given or {})
        if not isinstance(given, dict) or missing:
            raise InputError(f"a run needs {', '.join(sorted(missing)) or 'settings by name'}; docs/aws.md shows one")
        unknown = sorted(set(given) - known)
        if unknown:
            raise InputError(f"a run has no setting {unknown[0]!r}; it knows {', '.join(sorted(known))}")
        run = cls(**given)
        if not isinstance(run.categories, list):
            raise InputError(f"run {run.name}: categories is a list of names, not {run.categories!r}")
        categories.checked(run.categories, run.other, where=f"run {run.name}: ")
        if not isinstance(run.name, str) or not re.fullmatch(r"[A-Za-z0-9](-?[A-Za-z0-9]){0,49}", run.name):
            raise InputError(f"a run's name has up to 50 letters, digits and single hyphens, unlike {run.name!r}")
        if not run.items and not (run.store and run.seeds):
            raise InputError(f"run {run.name} names nothing to ask: give store and seeds, or items")
        for name in ("budget", "workers", "per_page", "rounds"):
            value = getattr(run, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InputError(f"run {run.name}: {name} is a whole number from 1, not {value!r}")
        return run


class Steps:
    """The steps, on one bucket.

    Parameters
    ----------
    bucket : str
        Its name.
    role, pre_lambda, post_lambda : str
        ARNs of the labeling jobs' role and Lambdas.
    s3, sagemaker, states : optional
        boto3 clients; by default made from the environment.
    """

    def __init__(
        self,
        bucket: str,
        role: str,
        pre_lambda: str | None = None,
        post_lambda: str | None = None,
        *,
        s3: Any = None,
        sagemaker: Any = None,
        states: Any = None,
    ) -> None:
        self.bucket, self.role, self.pre_lambda, self.post_lambda = bucket, role, pre_lambda, post_lambda
        self.s3 = s3 or storage.default_s3()
        self._sagemaker, self._states = sagemaker, states

    def place(self, run: Round, *parts: str) -> str:
        """Return the address of something of a run."""
        return storage.join(f"s3://{self.bucket}", "rounds", run.name, *parts)

    def take(self, step: str, given: Any, ticket: str = "") -> dict[str, Any]:
        """Take one step; return the run as it stands afterwards.

        Raises
        ------
        GandtError
            One sentence: the step can't be taken.
        """
        if step not in STEPS:
            raise InputError(f"there is no step {step!r}; there are {', '.join(STEPS)}")
        run = Round.read(given)
        if step == "create":
            self.create(run, ticket)
        else:
            getattr(self, step)(run)
        return asdict(run)

    def filter(self, run: Round) -> None:
        """Write candidates.parquet: whom to ask about, the most similar first."""
        if run.items:
            names, where = items_of(run.items, s3=self.s3), where_of(run.items, s3=self.s3)
            found = pd.DataFrame({"item": names, "address": [where.get(name, name) for name in names]})
            found["decision"] = "keep"
        else:
            with tempfile.TemporaryDirectory() as folder:
                storage.copy_tree(run.store, folder, s3=self.s3)
                store = EmbeddingStore.open(folder)
                seeds = read_seeds(run.seeds, store, s3=self.s3)
                options: dict[str, Any] = {"recall": run.recall, "explore": run.explore, "seed": run.seed}
                pool = with_seeds(store, seeds, s3=self.s3)
                found = filter_by_similarity(pool, seeds, rule=run.rule, other=run.other, **options)
        shown = found["address" if "address" in found else "item"]
        local = next((item for item in shown if not storage.is_s3(item)), None)
        if local is not None:
            raise InputError(f"run {run.name}: {local} isn't on S3, where workers could see it; embed the S3 folder")
        self._write(run, "candidates.parquet", found)

    def ask(self, run: Round) -> None:
        """Write the next round's manifest and request, as many tiles as the budget allows."""
        wanted = self._wanted(run)
        run.asked = 0
        tiles = (run.budget - run.spent) // run.workers
        if run.round >= run.rounds or tiles < 1 or not wanted:
            return
        known, where = self._gold(run), self._addresses(run)
        wanted = wanted[: max(1, int(tiles * (1 - (run.gold_rate if known else 0.0))))]
        manifest = None
        # best first, a tile's place on the page would tell its likely label
        random.Random(run.seed + run.round).shuffle(wanted)
        while wanted:
            manifest = build_manifest(
                wanted,
                per_page=run.per_page,
                categories=run.categories,
                other=run.other,
                gold=known,
                gold_rate=run.gold_rate if known else 0.0,
                seed=run.seed + run.round,
                where=where,
            )
            over = len(wanted) + len(manifest.gold) - tiles
            if over <= 0:
                break
            wanted = wanted[:-over]
        if not wanted or manifest is None:
            return
        run.round += 1
        run.asked = len(wanted)
        run.job = f"{run.name}-r{run.round}"
        folder = f"round-{run.round}"
        address = self.place(run, folder, "job.manifest")
        manifest.write(address, self.s3)
        self._write(run, f"{folder}/gold.csv", manifest.gold)
        prepared = jobs.prepare(
            run.job,
            manifest=address,
            template=run.template,
            output=self.place(run, "jobs"),
            workteam=run.workteam,
            role=self.role,
            pre_lambda=self.pre_lambda,
            post_lambda=self.post_lambda,
            title=run.title,
            description=run.description,
            workers_per_object=run.workers,
            settings=run.settings,
            sagemaker=self.sagemaker,
            s3=self.s3,
        )
        prepared.send(s3=self.s3)
        storage.write_text(self.place(run, folder, "request.json"), json.dumps(prepared.request), s3=self.s3)

    def create(self, run: Round, ticket: str) -> None:
        """Keep the ticket, then create the job, once; where it has ended already, wake the machine at once."""
        place = storage.join(f"s3://{self.bucket}", "rounds", "tickets", f"{run.job.lower()}.json")
        storage.write_text(place, json.dumps({"job": run.job, "ticket": ticket}), s3=self.s3)
        request = json.loads(storage.read_text(self.place(run, f"round-{run.round}", "request.json"), s3=self.s3))
        status, _ = jobs.create(request, sagemaker=self.sagemaker)
        if status.ended:
            self.states.send_task_success(
                taskToken=ticket, output=json.dumps({"job": run.job, "status": status.status})
            )

    def consolidate(self, run: Round) -> None:
        """Write answers.parquet, labels.parquet and workers.parquet from all rounds' jobs."""
        status = jobs.describe(run.job, sagemaker=self.sagemaker)
        if status.status == "Failed":
            raise ServiceError(f"labeling job {run.job} failed: {status.reason}; its log and gandt doctor say more")
        names = [f"{run.name}-r{number}" for number in range(1, run.round + 1)]
        answers = pd.concat(
            [read_answers(self.place(run, "jobs", name) + "/", s3=self.s3) for name in names], ignore_index=True
        )
        known = self._gold(run)
        asked = [self._items(run, number) for number in range(1, run.round + 1)]
        items = [item for item in dict.fromkeys(item for each in asked for item in each) if item not in known]
        result = consolidate(
            answers,
            method=run.method,
            categories=(*run.categories, run.other),
            items=items,
            gold=known or None,
            target=run.target,
        )
        self._write(run, "answers.parquet", answers)
        self._write(run, "labels.parquet", result.labels)
        self._write(run, "workers.parquet", result.workers)
        run.spent = len(answers.drop_duplicates(["job", "data_object", "item", "worker"]))
        run.uncertain = len(self._wanted(run))
        if status.status == "Stopped":  # by a person, who wants no further round
            run.rounds = run.round

    def report(self, run: Round) -> None:
        """Write report.json and say in one message how the run ended."""
        uri = self.place(run, "labels.parquet")
        if run.round:
            counts = {str(key): int(value) for key, value in self._read(uri)["status"].value_counts().items()}
        else:
            counts = {}
        facts = {
            "run": run.name,
            "rounds": run.round,
            "confident": counts.get("confident", 0),
            "relabel": counts.get("relabel", 0),
            "unanswered": counts.get("unanswered", 0),
            "never_asked": max(run.uncertain - counts.get("relabel", 0) - counts.get("unanswered", 0), 0),
            "judgements": run.spent,
            "budget": run.budget,
            "labels": uri,
        }
        storage.write_text(self.place(run, "report.json"), json.dumps(facts, indent=1), s3=self.s3)
        run.subject = f"gandt: run {run.name} has ended"[:100]
        run.message = (
            f"{facts['confident']:,} items are labeled for sure, {facts['relabel']:,} stay uncertain, "
            f"{facts['unanswered']:,} got no answer, {facts['never_asked']:,} were never asked, after {run.round} "
            f"rounds and {run.spent:,} of {run.budget:,} judgements. Labels: {uri}"
        )

    @property
    def sagemaker(self) -> Any:
        """The boto3 client of SageMaker, or of a gandt serve (GANDT_ENDPOINT)."""
        self._sagemaker = self._sagemaker or jobs.connect(os.environ.get("GANDT_ENDPOINT"))
        return self._sagemaker

    @property
    def states(self) -> Any:
        """The boto3 client of Step Functions."""
        if self._states is None:
            self._states = storage.session().client("stepfunctions", config=storage.client_config())
        return self._states

    def _wanted(self, run: Round) -> list[str]:
        """Return what isn't sure yet: what nobody was asked in the candidates' order, then the least sure first."""
        candidates = self._read(self.place(run, "candidates.parquet"))
        chosen: list[str] = candidates.loc[candidates["decision"] != "discard", "item"].tolist()
        known = self._gold(run)
        if not run.round:
            return [item for item in chosen if item not in known]
        labels = self._read(self.place(run, "labels.parquet")).set_index("item")
        open_ = labels[labels["status"] != "confident"].sort_values("confidence", na_position="first", kind="stable")
        return [*(item for item in chosen if item not in labels.index and item not in known), *open_.index]

    def _addresses(self, run: Round) -> dict[str, str]:
        """Return where the candidates lie, by name, if that isn't the same."""
        table = self._read(self.place(run, "candidates.parquet"))
        return dict(zip(table["item"], table["address"], strict=True)) if "address" in table.columns else {}

    def _gold(self, run: Round) -> dict[str, str]:
        if not run.gold:
            return {}
        return gold_labels(tables.read_table(run.gold, tables.GOLD, s3=self.s3), where=run.gold)

    def _items(self, run: Round, number: int) -> list[str]:
        return items_of(self.place(run, f"round-{number}", "job.manifest"), s3=self.s3)

    def _read(self, uri: str) -> pd.DataFrame:
        return tables.read_table(uri, s3=self.s3)

    def _write(self, run: Round, name: str, table: pd.DataFrame) -> None:
        tables.write_table(table, self.place(run, name), s3=self.s3)


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Take the step that the machine asks for; the entry point of the Lambda's image (infra/Dockerfile)."""
    environment = os.environ
    steps = Steps(
        environment["GANDT_BUCKET"],
        environment["GANDT_ROLE"],
        environment.get("GANDT_PRE_LAMBDA"),
        environment.get("GANDT_POST_LAMBDA"),
    )
    return steps.take(event.get("step", ""), event.get("run"), event.get("ticket", ""))
