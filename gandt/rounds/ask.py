"""Who answers a round's questions: a simulated crowd, a table that people fill in, or a labeling job."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from gandt import storage, templates
from gandt.demo.crowd import AVERAGE, CAREFUL, HASTY, Nature, SimulatedWorker, confusion_row
from gandt.embedding import EmbeddingStore
from gandt.errors import InputError, ServiceError
from gandt.progress import Ticker
from gandt.rounds.config import Config
from gandt.tables import read_table, write_table

if TYPE_CHECKING:
    from gandt.jobs import JobStatus

ANSWERS = ["item", "worker", "label"]


class Waiting(Exception):  # noqa: N818  (no error: the round goes on when the answers are there)
    """The answers aren't there yet; the text says what to do until then."""


@runtime_checkable
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


def asker(
    config: Config,
    items: Sequence[str],
    store: EmbeddingStore,
    *,
    said: Callable[[str], None] = lambda sentence: None,
    s3: Any = None,
) -> Asker:
    """Return the asker of a configuration, once all that it needs in any round is there: nothing is paid before.

    Parameters
    ----------
    config : Config
    items : sequence of str
        Every item that may ever be asked.
    store : EmbeddingStore
        By which items in tables are named.
    said : callable
        Gets what people may want to know while they wait, a sentence each.
    s3 : optional
        A boto3 S3 client.

    Raises
    ------
    InputError
        When ``ask.truth`` or ``ask.table`` lacks an item, has one twice or a label that isn't one; when an item's file
        is gone, or the template has no place for ``ask.other``.
    """
    how = config["ask"]["with"]
    if how == "simulated":
        return SimulatedAsker.read(config, items, store, s3=s3)
    if how == "table":
        return TableAsker(config.labels)
    return JobAsker(config, items, store, said=said, s3=s3)


def _lacks(config: Config, name: str, missing: Sequence[str], of: int) -> None:
    """Refuse a table that lacks items that may be asked."""
    if missing:
        raise config.error(
            name,
            f"lacks {len(missing):,} of the {of:,} items that may be asked, such as {missing[0]!r}; add "
            f"{'it' if len(missing) == 1 else 'them'}, or take a pool without",
        )


def _by_item(config: Config, name: str, store: EmbeddingStore | None, s3: Any, *columns: str) -> pd.DataFrame:
    """Read a table that says one thing of each item; its index are items as the store names them.

    Raises
    ------
    InputError
        When a column is missing, or an item has two rows that differ.
    """
    table = read_table(config["ask"][name], required=["item", *columns], s3=s3).dropna(subset=["item", *columns])
    table = table.astype({"item": str})
    table["item"] = store.names(table["item"].tolist()) if store else table["item"]
    table = table.drop_duplicates()
    twice = table.loc[table["item"].duplicated(), "item"]
    if len(twice):
        raise config.error(f"ask.{name}", f"says two different things of the item {twice.iloc[0]!r}; keep one row")
    return table.set_index("item")


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
    def read(
        cls, config: Config, items: Sequence[str], store: EmbeddingStore | None = None, *, s3: Any = None
    ) -> "SimulatedAsker":
        """Make it from a configuration, whose truth must know all ``items``; see :func:`asker`."""
        labels = _by_item(config, "truth", store, s3, "label")["label"].astype(str)
        unknown = labels[~labels.isin(config.labels)]
        if len(unknown):
            hint = "" if config["ask"]["other"] else ", or name the label for what is none of them as ask.other"
            raise config.error(
                "ask.truth",
                f"has {len(unknown):,} labels outside the run's labels, such as {unknown.iloc[0]!r} of "
                f"{unknown.index[0]!r}; there are {', '.join(config.labels)}: mend the table{hint}",
            )
        _lacks(config, "ask.truth", [item for item in items if item not in labels.index], len(items))
        some = {name: config["ask"][name] for name in ("crowd", "skill", "workers")}
        return cls(dict(zip(labels.index, labels, strict=True)), config.labels, seed=config[""]["seed"], **some)

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
    """A labeling job at SageMaker Ground Truth, or at ``gandt serve`` where ``ask.endpoint`` names one.

    Parameters are those of :func:`asker`, and so are errors.
    """

    def __init__(
        self,
        config: Config,
        items: Sequence[str],
        store: EmbeddingStore | None = None,
        *,
        said: Callable[[str], None] = lambda sentence: None,
        s3: Any = None,
    ) -> None:
        self.config, self.ask_, self.said, self.s3 = config, config["ask"], said, s3
        self._place_for_other()
        self.rows = self._rows(items, store)
        self.files = self._files(items)

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
        manifest = build_manifest(
            items,
            per_page=per_page,
            categories=classes,
            other=ask["other"],
            text=text,
            extra=extra,
            where=address,
        )
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
        created, _ = jobs.create(prepared.request, sagemaker=sagemaker)
        where = self._where(prepared.request["HumanTaskConfig"]["WorkteamArn"], sagemaker)
        self.said(
            f"labeling job {name}: {len(items):,} items on {len(manifest.lines):,} pages, {workers} "
            f"answer{'s'[: workers != 1]} a page; people answer at {where}"
        )
        status = self._ended(created, workers)
        if status.status == "Failed":
            raise InputError(f"labeling job {name} failed; look at it with gandt job status {name}, and mend the cause")
        answers = read_answers(storage.join(output, "jobs", name), s3=self.s3)
        write_table(answers, str(folder / f"{name}.parquet"))
        # a job that was made before manifests brought their items' names speaks of addresses
        back = {**{address[item]: item for item in reversed(items)}, **dict(zip(items, items, strict=True))}
        answers = answers[answers["item"].isin(back)]
        return answers.assign(item=answers["item"].map(back))[ANSWERS]

    def _where(self, workteam: str, sagemaker: Any) -> str:
        """Return where people answer, or why nobody knows; that is no reason not to ask them."""
        from gandt import jobs

        try:
            found = jobs.portal(workteam, endpoint=self.ask_["endpoint"], sagemaker=sagemaker)
        except ServiceError as error:
            return f"their worker portal ({error})"
        if self.ask_["endpoint"]:
            return f"{found}, and their owner sees how it goes at {found.rstrip('/')}/owner"
        return found or "their worker portal"

    def _ended(self, job: "JobStatus", workers: int) -> "JobStatus":
        """Wait for a job's end, and say on stderr how it stands meanwhile."""
        from gandt import jobs

        ticker, ask = Ticker(), self.ask_

        def shown(found: "JobStatus") -> None:
            given = workers * found.human if found.answers is None else found.answers
            answers = f", {given:,} answers" if given and (found.answers is None or found.ended) else ""
            ticker.show(f"{found.line()}{answers}", final=found.ended)

        def said(sentence: str) -> None:
            ticker.end()
            self.said(sentence)

        try:
            return jobs.wait(
                job.name,
                connect=lambda: jobs.connect(ask["endpoint"]),
                poll=2.0 if ask["endpoint"] else 20.0,
                timeout=ask["hours"] * 3600,
                shown=shown,
                said=said,
            )
        finally:
            ticker.end()

    def _place_for_other(self) -> None:
        """Refuse a template that says what it takes and has no place for ``ask.other``."""
        if self.ask_["other"] is None:
            return
        told = templates.header(templates.read(self.ask_["template"], s3=self.s3))
        if told is not None and "other" not in [given.name for given in told.inputs]:
            raise self.config.error(
                "ask.other", f"has no place on the template {self.ask_['template']}; take another one, or leave it out"
            )

    def _rows(self, items: Sequence[str], store: EmbeddingStore | None) -> pd.DataFrame | None:
        """Return the rows of ``ask.table`` by item, which has all ``items`` and something to show of each."""
        ask = self.ask_
        if ask["table"] is None:
            return None
        table = _by_item(self.config, "table", store, self.s3)
        _lacks(self.config, "ask.table", [item for item in items if item not in table.index], len(items))
        if ask["show"] is not None and ask["show"] not in table.columns:
            raise self.config.error("ask.show", f"{ask['show']!r} is no column of {ask['table']}")
        table = table.loc[list(items)]
        empty = table.index[table[ask["show"]].isna()] if ask["show"] is not None else []
        if len(empty):
            raise self.config.error(
                "ask.show", f"has {len(empty):,} empty cells in {ask['table']}, such as that of {empty[0]!r}; fill them"
            )
        return table

    def _files(self, items: Sequence[str]) -> bool:
        """Tell whether what is shown are files: all of them then, and none is gone."""
        if self.rows is not None and self.ask_["show"] is None:
            return False
        shown = list(items) if self.rows is None else self.rows[self.ask_["show"]].astype(str).tolist()
        gone = [value for value in shown if not storage.is_s3(value) and not Path(value).is_file()]
        if gone and self.rows is not None and len(gone) == len(shown):
            return False  # texts
        if gone:
            raise self.config.error(
                "ask.with" if self.rows is None else "ask.show",
                f"can't show {len(gone):,} of the {len(shown):,} items that may be asked: there is no file such as "
                f"{gone[0]}; put them back, or take a pool without",
            )
        return True

    def _shown(self, items: list[str]) -> tuple[dict[str, str], bool, dict[str, dict[str, Any]]]:
        """Return what is shown for each item, whether that is text, and further keys by item.

        Without ``ask.table`` items are files (pictures, sounds), uploaded where they aren't on S3 yet. With it they
        are its rows: shown whole, or by the one column ``ask.show``, which holds texts or addresses of files.
        """
        if self.rows is None:
            return self._uploaded(dict(zip(items, items, strict=True))), False, {}
        table = self.rows.loc[items]
        if self.ask_["show"] is None:
            told = table.drop(columns="label", errors="ignore").to_dict("records")
            rows = {
                item: {"row": {str(name): str(value) for name, value in row.items() if value == value}}
                for item, row in zip(items, told, strict=True)
            }
            return {item: item for item in items}, True, rows
        values = dict(zip(items, table[self.ask_["show"]].astype(str), strict=True))
        return (self._uploaded(values), False, {}) if self.files else (values, True, {})

    def _uploaded(self, files: Mapping[str, str]) -> dict[str, str]:
        """Return the ``s3://`` address of each item's file."""
        from gandt.manifest import upload_images

        local = [file for file in files.values() if not storage.is_s3(file)]
        target = storage.join(self.ask_["output"], "items")
        where = upload_images(local, target, s3=self.s3) if local else {}
        return {item: where.get(file, file) for item, file in files.items()}
