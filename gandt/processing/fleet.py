"""One machine's part of embedding a pool: its shard, a checkpoint that survives it, and the merge by the last one.

Machines don't talk to each other. Each knows how many they are and which it is, takes its share of the listing by a
stable hash, keeps its finished parts in ``STORE.shards/3of16/`` and says there when it is done. Whoever sees that all
are done merges; should two see it at once, both write the same bytes.
"""

import json
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gandt import storage, tables
from gandt.arguments import checked
from gandt.candidates import filter_by_similarity
from gandt.candidates.seeds import read_seeds, with_seeds
from gandt.embedding import EmbeddingStore, embed, merge
from gandt.embedding.store import EMBEDDED
from gandt.errors import InputError

# seconds between two looks for finished parts
SYNC = 20.0
RESOURCES = "config/resourceconfig.json"
REQUEST = "config/processingjobconfig.json"


@dataclass(frozen=True)
class Member:
    """Which machine of how many this is, and of which run.

    Attributes
    ----------
    number, of : int
        ``number`` counts from 1.
    run : str
        The same for all machines of one job and another for the next job, so that nobody takes an earlier job's word
        that a machine is done.
    """

    number: int = 1
    of: int = 1
    run: str = "run"

    @classmethod
    def find(cls, ml: str = "/opt/ml", environment: Mapping[str, str] = os.environ) -> "Member":
        """Read it from a SageMaker processing job's ``resourceconfig.json`` or an AWS Batch array job's variables.

        https://docs.aws.amazon.com/sagemaker/latest/dg/build-your-own-processing-container.html,
        https://docs.aws.amazon.com/batch/latest/userguide/array_jobs.html

        Raises
        ------
        InputError
            When what is there makes no sense.
        """
        config = Path(ml) / RESOURCES
        if config.is_file():
            try:
                content = json.loads(config.read_text(encoding="utf-8"))
                hosts = sorted(set(content["hosts"]))
                return cls(hosts.index(content["current_host"]) + 1, len(hosts), _job(Path(ml)))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise InputError(f"{config} doesn't say which host of which this is: {error!r}") from error
        index = environment.get("AWS_BATCH_JOB_ARRAY_INDEX")
        if index is None:
            return cls()
        size = environment.get("AWS_BATCH_JOB_ARRAY_SIZE", environment.get("GANDT_SHARDS", ""))
        if not (index.isdigit() and size.isdigit() and int(index) < int(size)):
            raise InputError(
                f"array job {index!r} of {size!r} makes no sense; set GANDT_SHARDS to the array's size where Batch "
                "doesn't set AWS_BATCH_JOB_ARRAY_SIZE"
            )
        return cls(int(index) + 1, int(size), environment.get("AWS_BATCH_JOB_ID", "run").partition(":")[0])

    def __str__(self) -> str:
        return f"{self.number}of{self.of}"


def _job(ml: Path) -> str:
    """Return the processing job's name, from the echo of its request."""
    try:
        content = json.loads((ml / REQUEST).read_text(encoding="utf-8"))
        return str(content["ProcessingJobArn"]).rpartition("/")[2] or "run"
    except (OSError, ValueError, KeyError, TypeError):
        return "run"


@dataclass(frozen=True)
class Work:
    """What all machines do together.

    Attributes
    ----------
    source : str
        As for :func:`gandt.embed`.
    store : str
        Where the merged store comes to lie, local (a folder that all machines share) or on S3.
    seeds : tuple of str
        With ``candidates``: the filter's seeds, see :func:`gandt.candidates.seeds.read_seeds`.
    candidates : str
        Table of candidates that the last machine writes; empty for none.
    options : dict
        Of :func:`gandt.embed`: model, precision, device, dtype, threads, column.
    filtering : dict
        Of :func:`gandt.filter_by_similarity`: rule, recall, keep, explore, seed.
    """

    source: str
    store: str
    seeds: tuple[str, ...] = ()
    candidates: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    filtering: dict[str, Any] = field(default_factory=dict)

    def shards(self) -> str:
        """Return where the machines keep their parts."""
        return f"{self.store.rstrip('/')}.shards"

    def shard(self, member: Member) -> str:
        """Return where one machine keeps its parts."""
        return storage.join(self.shards(), str(member))


@checked
def work(task: Work, member: Member, *, s3: Any = None, scratch: str | None = None) -> dict[str, Any]:
    """Do one machine's part, and, as the last one, merge and filter.

    Parameters
    ----------
    task : Work
    member : Member
    s3 : boto3 S3 client, optional
    scratch : str, optional
        Folder for temporary files, by default the system's.

    Returns
    -------
    dict
        ``shard``, ``items``, ``known``, ``embedded``, ``linked``, ``set_aside``, ``seconds``, ``merged`` (bool) and,
        where it merged, ``total`` and ``kept``.

    Raises
    ------
    GandtError
        What is finished is safe; the same call goes on from there.
    """
    if bool(task.seeds) != bool(task.candidates):
        raise InputError("seeds and a place for the candidates go together; give both or none")
    remote = storage.is_s3(task.store)
    with tempfile.TemporaryDirectory(dir=scratch) as temporary:
        folder = str(Path(temporary) / "shard") if remote else task.shard(member)
        if remote:
            storage.copy_tree(task.shard(member), folder, s3=s3)
        facts = _embed(task, member, folder, remote, s3)
        storage.write_text(_marker(task, member), json.dumps(facts), s3=s3)
        missing = unfinished(task, member, s3=s3)
        if missing:
            return {**facts, "merged": False}
        return {**facts, "merged": True, **_finish(task, member.of, temporary, s3)}


def unfinished(task: Work, member: Member, *, s3: Any = None) -> list[int]:
    """Return the numbers of the machines of ``member``'s run that haven't said yet that they are done."""
    there = set(storage.list_uris(storage.join(task.shards(), "done", member.run) + "/", s3=s3))
    others = [replace(member, number=number) for number in range(1, member.of + 1)]
    return [other.number for other in others if _marker(task, other) not in there]


def _marker(task: Work, member: Member) -> str:
    return storage.join(task.shards(), "done", member.run, f"{member}.json")


def _embed(task: Work, member: Member, folder: str, remote: bool, s3: Any) -> dict[str, Any]:
    shard = f"{member.number}/{member.of}"
    with _checkpointed(folder, task.shard(member), s3) if remote else _nothing():
        run = embed(task.source, folder, shard=shard, s3=s3, **task.options).run
    return {
        "shard": shard,
        "items": run.listed,
        "known": run.known,
        "embedded": run.embedded,
        "linked": run.linked,
        "set_aside": run.set_aside,
        "seconds": round(run.seconds, 1),
    }


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _checkpointed(folder: str, target: str, s3: Any) -> Iterator[None]:
    """Copy finished parts to ``target`` while the block runs, and what is left when it ends, however it ends."""
    sent: set[str] = set()
    if Path(folder).is_dir():
        sent.update(path.name for path in Path(folder).iterdir())
    ended = threading.Event()
    problems: list[BaseException] = []

    def watch() -> None:
        while not ended.wait(SYNC):
            try:
                _send(folder, target, sent, s3)
                problems.clear()
            except Exception as error:  # tried again at the next look, and at the end
                problems.append(error)

    thread = threading.Thread(target=watch, name="checkpoint", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        _send(folder, target, sent, s3)


def _send(folder: str, target: str, sent: set[str], s3: Any) -> None:
    """Upload what is new. A part's items come last: without them it doesn't exist."""
    root = Path(folder)
    if not root.is_dir():
        return
    items = sorted(path for path in root.glob("items-*.parquet") if path.name not in sent)
    names = ["store.json", *(name for path in items for name in _part(path.name))]
    for name in names:
        if name not in sent and (root / name).is_file():
            storage.write_bytes(storage.join(target, name), (root / name).read_bytes(), s3=s3)
            sent.add(name)


def _part(items: str) -> tuple[str, str]:
    return items.replace("items-", "vectors-", 1).replace(".parquet", ".npy"), items


def _finish(task: Work, of: int, temporary: str, s3: Any) -> dict[str, Any]:
    """Merge all shards into the store, and filter."""
    members = [Member(number, of) for number in range(1, of + 1)]
    if storage.is_s3(task.store):
        folders = [str(Path(temporary) / str(member)) for member in members]
        for member, folder in zip(members, folders, strict=True):
            storage.copy_tree(task.shard(member), folder, s3=s3)
        out = str(Path(temporary) / "store")
    else:
        folders, out = [task.shard(member) for member in members], task.store
    store = merge(folders, out, source=task.source, s3=s3)
    if storage.is_s3(task.store):
        _publish(out, task.store, s3)
    if not (store.items["status"] == EMBEDDED).any():
        raise InputError(
            f"all {len(store.items):,} items of {task.source} were set aside; the reasons are in {task.store}"
        )
    facts: dict[str, Any] = {"total": len(store.items)}
    if task.candidates:
        opened = EmbeddingStore.open(out)
        seeds = read_seeds(task.seeds, opened, s3=s3)
        table = filter_by_similarity(with_seeds(opened, seeds, s3=s3), seeds, **task.filtering)
        tables.write_table(table, task.candidates, s3=s3)
        facts["kept"] = int((table["decision"] == "keep").sum())
    return facts


def _publish(folder: str, target: str, s3: Any) -> None:
    """Upload a merged store; a longer one that lies there already isn't mixed with it."""
    root = target.rstrip("/") + "/"
    new = {path.name for path in Path(folder).iterdir() if not path.name.startswith(".")}
    old = {uri.removeprefix(root) for uri in storage.list_uris(root, s3=s3)} - new
    if old:
        raise InputError(
            f"{target} holds {sorted(old)[0]}, which is no part of the merged store; empty it or name another place, "
            "and run the same again: all shards are kept"
        )
    _send(folder, target, set(), s3)
