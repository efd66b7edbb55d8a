"""Who answers a round's questions: a simulated crowd, a table that people fill in, or a labeling job."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from gandt import storage
from gandt.demo.crowd import AVERAGE, CAREFUL, HASTY, Nature, SimulatedWorker, confusion_row
from gandt.errors import InputError
from gandt.rounds.config import Config
from gandt.tables import read_table, write_table

ANSWERS = ["item", "worker", "label"]


class Waiting(Exception):  # noqa: N818  (no error: the round goes on when the answers are there)
    """The answers aren't there yet; the text says what to do until then."""


class Asker(Protocol):
    """Gets answers about items."""

    def ask(self, number: int, questions: pd.DataFrame, folder: Path) -> pd.DataFrame:
        """Return answers (item, worker, label) to questions (item, ask, answers so far) of a round.

        Asked again after a crash, with the same number and questions, it gives the same answers, or goes on waiting
        for those that it asked for; it never pays twice.

        Raises
        ------
        Waiting
            When people haven't answered yet.
        """
        ...


def asker(config: Config, *, s3: Any = None) -> Asker:
    """Return the asker of a configuration.

    Raises
    ------
    InputError
        When its files can't be used.
    """
    how = config["ask"]["with"]
    if how == "simulated":
        return SimulatedAsker.read(config, s3=s3)
    return TableAsker(config[""]["classes"]) if how == "table" else JobAsker(config, s3=s3)


class SimulatedAsker:
    """A crowd drawn from a skill, for trying out; it alone knows the truth.

    Parameters
    ----------
    truth : mapping of item to label
    classes : sequence of str
    crowd : int
        Workers.
    skill : float
        Their mean accuracy; they differ, and mix some classes up more than others.
    workers : int
        Answers per question.
    seed : int
        The same seed and round give the same answers.
    """

    def __init__(
        self, truth: Mapping[str, str], classes: Sequence[str], *, crowd: int, skill: float, workers: int, seed: int
    ) -> None:
        self.truth, self.classes, self.workers, self.seed = truth, list(classes), workers, seed
        self.crowd: list[SimulatedWorker] = []
        natures = (CAREFUL, AVERAGE, HASTY)
        for number in range(crowd):
            rng = np.random.default_rng([seed, number])
            nature = Nature(natures[number % 3].kind, skill, 2.5)
            confusion = {label: confusion_row(label, skill, self.classes, rng) for label in self.classes}
            self.crowd.append(SimulatedWorker(f"simulated-{number + 1:02}", nature, confusion, self.classes, rng))

    @classmethod
    def read(cls, config: Config, *, s3: Any = None) -> "SimulatedAsker":
        """Make it from a configuration."""
        ask, classes = config["ask"], config[""]["classes"]
        table = read_table(ask["truth"], required=["item", "label"], s3=s3).dropna(subset=["item", "label"])
        unknown = sorted(set(table["label"].astype(str)) - set(classes))
        if unknown:
            raise config.error("ask.truth", f"has the label {unknown[0]!r}, which is none of the classes")
        truth = dict(zip(table["item"].astype(str), table["label"].astype(str), strict=True))
        some = {name: ask[name] for name in ("crowd", "skill", "workers")}
        return cls(truth, classes, seed=config[""]["seed"], **some)

    def ask(self, number: int, questions: pd.DataFrame, folder: Path) -> pd.DataFrame:
        """Answer by workers who haven't seen the item yet, as long as there are any; see :class:`Asker`."""
        for worker in self.crowd:
            worker.rng = np.random.default_rng([self.seed, number, *worker.id.encode()])
        rows = []
        for item, so_far in zip(questions["item"], questions["answers"].astype(int), strict=True):
            if item not in self.truth:
                raise InputError(f"the truth that the simulated crowd knows lacks {item}; add it to ask.truth")
            order = np.random.default_rng([self.seed, *item.encode()]).permutation(len(self.crowd))
            for who in order[so_far : so_far + (1 if so_far else self.workers)]:
                worker = self.crowd[who]
                truth = self.truth[item]
                rows.append((item, worker.id, worker.choose(truth, truth, 0.0)))
        return pd.DataFrame(rows, columns=ANSWERS)


class TableAsker:
    """People fill in a table: the questions lie in the round's folder, the answers are put beside them."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = classes

    def ask(self, number: int, questions: pd.DataFrame, folder: Path) -> pd.DataFrame:
        """Read the filled-in table, or say where it is expected; see :class:`Asker`."""
        for name in ("given.csv", "given.parquet", "given.jsonl"):
            if (folder / name).is_file():
                table = read_table(str(folder / name), required=ANSWERS).dropna(subset=["item", "label"])
                table = table[ANSWERS].astype(str)
                foreign = sorted(set(table["item"]) - set(questions["item"]))
                if foreign:
                    raise InputError(f"{folder / name} answers {foreign[0]}, which round {number} didn't ask; mend it")
                return table
        raise Waiting(
            f"round {number} asks about {len(questions)} items: {folder / 'questions.csv'}. Put the answers (item, "
            f"worker, label; the labels are {', '.join(self.classes)}) into {folder / 'given.csv'}, and run this again"
        )


class JobAsker:
    """A labeling job at SageMaker Ground Truth, or at ``gandt serve`` where ``ask.endpoint`` names one."""

    def __init__(self, config: Config, *, s3: Any = None) -> None:
        self.config, self.ask_, self.s3 = config, config["ask"], s3

    def ask(self, number: int, questions: pd.DataFrame, folder: Path) -> pd.DataFrame:
        """Upload the items, create the round's jobs, wait for them and read their answers; see :class:`Asker`.

        Items that are asked again go into a job of their own with one worker per page.
        """
        tables = []
        for kind, some in questions.groupby("ask", sort=True):
            again = kind == "another answer"
            name = f"{self._name()}-round-{number:03}" + ("-again" if again else "")
            workers = 1 if again else self.ask_["workers"]
            tables.append(self._job(name, some["item"].tolist(), workers, folder))
        return pd.concat(tables, ignore_index=True)

    def _name(self) -> str:
        given = self.ask_["name"] or Path(self.config[""]["run"]).name
        return re.sub(r"[^a-zA-Z0-9]+", "-", given).strip("-")[:40] or "gandt"

    def _job(self, name: str, items: list[str], workers: int, folder: Path) -> pd.DataFrame:
        from gandt import jobs
        from gandt.answers import read_answers
        from gandt.manifest import build_manifest

        ask, output = self.ask_, self.ask_["output"]
        address, text, extra = self._shown(items)
        # a page of one item has another form; a grid of one is a page, too
        per_page = max(min(ask["per_page"], len(items)), 2)
        classes = self.config[""]["classes"]
        manifest = build_manifest(items, per_page=per_page, categories=classes, text=text, extra=extra, where=address)
        uri = storage.join(output, "manifests", f"{name}.manifest")
        manifest.write(uri, s3=self.s3)
        sagemaker = jobs.connect(ask["endpoint"])
        given = {key: ask[key] for key in ("workteam", "role", "pre_lambda", "post_lambda", "stack")}
        prepared = jobs.prepare(
            name,
            manifest=uri,
            template=ask["template"],
            output=storage.join(output, "jobs"),
            local=ask["endpoint"] is not None,
            sagemaker=sagemaker,
            s3=self.s3,
            workers_per_object=workers,
            label_attribute="label",
            **given,
        )
        prepared.send(s3=self.s3)
        jobs.create(prepared.request, sagemaker=sagemaker)
        status = jobs.wait(name, connect=lambda: jobs.connect(ask["endpoint"]), timeout=ask["hours"] * 3600)
        if status.status == "Failed":
            raise InputError(f"labeling job {name} failed; look at it with gandt job status {name}, and mend the cause")
        answers = read_answers(storage.join(output, "jobs", name), s3=self.s3)
        write_table(answers, str(folder / f"{name}.parquet"))
        # a job that was made before manifests brought their items' names speaks of addresses
        back = {**{address[item]: item for item in reversed(items)}, **dict(zip(items, items, strict=True))}
        answers = answers[answers["item"].isin(back)]
        return answers.assign(item=answers["item"].map(back))[ANSWERS]

    def _shown(self, items: list[str]) -> tuple[dict[str, str], bool, dict[str, dict[str, Any]]]:
        """Return what is shown for each item, whether that is text, and further keys by item.

        Without ``ask.table`` items are files (pictures, sounds), uploaded where they aren't on S3 yet. With it they
        are its rows: shown whole, or by the one column ``ask.show``, which holds texts or addresses of files.
        """
        ask = self.ask_
        if ask["table"] is None:
            return self._uploaded(dict(zip(items, items, strict=True))), False, {}
        table = read_table(ask["table"], required=["item"], s3=self.s3).astype({"item": str}).drop_duplicates("item")
        missing = sorted(set(items) - set(table["item"]))
        if missing:
            raise self.config.error("ask.table", f"lacks the item {missing[0]!r}; add its row")
        table = table.set_index("item").loc[items]
        if ask["show"] is None:
            rows = {
                item: {"row": {str(name): str(value) for name, value in row.items() if value == value}}
                for item, row in zip(
                    items, table.drop(columns="label", errors="ignore").to_dict("records"), strict=True
                )
            }
            return {item: item for item in items}, True, rows
        if ask["show"] not in table.columns:
            raise self.config.error("ask.show", f"{ask['show']!r} is no column of {ask['table']}")
        values = dict(zip(items, table[ask["show"]].astype(str), strict=True))
        if all(storage.is_s3(value) or Path(value).is_file() for value in values.values()):
            return self._uploaded(values), False, {}
        return values, True, {}

    def _uploaded(self, files: Mapping[str, str]) -> dict[str, str]:
        """Return the ``s3://`` address of each item's file."""
        from gandt.manifest import upload_images

        local = [file for file in files.values() if not storage.is_s3(file)]
        target = storage.join(self.ask_["output"], "items")
        where = upload_images(local, target, s3=self.s3) if local else {}
        return {item: where.get(file, file) for item, file in files.items()}
