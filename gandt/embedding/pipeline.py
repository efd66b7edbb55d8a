"""Images to vectors: read, decode, run the model, write; overlapped, in order, and in bounded memory.

On a CPU each thread takes a few images all the way from bytes to vector, so that the cores never wait for one another.
A model that wants batches (a GPU) gets them from threads that decode ahead.
"""

import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from gandt import storage
from gandt.arguments import checked
from gandt.embedding import models, sources
from gandt.embedding.blocks import Blocks
from gandt.embedding.models import Features, Model
from gandt.embedding.store import EMBEDDED, SET_ASIDE, EmbeddingStore, Record
from gandt.embedding.writer import Writer
from gandt.errors import InputError, StorageError
from gandt.images import BadImageError, Picture, decode
from gandt.progress import Meter
from gandt.walk import LeftOut

PART = 1024  # items per part: what a kill can cost
_GROUP = 16  # images that a thread decodes, then runs: each step finds its own code and data in the cache
_REFUSALS = 20
_S3_READERS = 32  # S3 answers slowly, but to many at once

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass
class Run:
    """What one call of :func:`embed` did.

    Attributes
    ----------
    listed, known, embedded, linked, set_aside : int
        Items of the source; unchanged since an earlier run; embedded now; with the content of an item embedded
        before; set aside now.
    seconds : float
        On the clock, from the first item to the last.
    cpu_seconds : float
        Of the process, over that time; far less than seconds × threads means that it waited, or shared the machine.
    stages : dict of str to float
        Seconds of work per stage, summed over threads: read, decode, model, write.
    threads : int
        That decoded.
    """

    listed: int = 0
    known: int = 0
    embedded: int = 0
    linked: int = 0
    set_aside: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("read", "decode", "model", "write"), 0.0))
    threads: int = 1

    def nothing_usable(self) -> str:
        """Return the sentence of an error, where every item of the source was set aside; else nothing."""
        if not self.listed or self.set_aside < self.listed:
            return ""
        items = "the only item was" if self.listed == 1 else f"all {self.listed:,} items were"
        return f"{items} set aside, so there is nothing to go on with; the reasons are in the store"

    def bottleneck(self) -> str:
        """Say in one sentence where the time went."""
        whole = sum(self.stages.values())
        if not self.seconds or not whole:
            return "nothing had to be computed"
        shares = ", ".join(f"{stage} {seconds / whole:.0%}" for stage, seconds in self.stages.items())
        slowest = max(self.stages, key=lambda stage: self.stages[stage])
        return f"{self.seconds:.1f} s; of the work: {shares}; the {slowest} stage limits"


@dataclass
class _Work:
    """One item on its way."""

    listed: sources.Listed
    content: bytes = b""
    sha256: str = ""
    picture: Picture | None = None
    vector: Features | None = None
    width: int = 0
    height: int = 0
    reason: str = ""
    forbidden: bool = False


class _Clock:
    """Seconds per stage, summed over threads."""

    def __init__(self, stages: dict[str, float]) -> None:
        self._stages, self._lock = stages, threading.Lock()

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self._stages[stage] += time.perf_counter() - start


def ordered_map(work: Callable[[In], Out], things: Iterable[In], threads: int, ahead: int) -> Iterator[Out]:
    """Yield ``work(thing)`` in order, computed by ``threads`` threads at most ``ahead`` things ahead of the reader."""
    waiting: deque[Future[Out]] = deque()
    source = iter(things)
    with ThreadPoolExecutor(threads) as pool:
        try:
            waiting.extend(pool.submit(work, thing) for thing in islice(source, ahead))
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(work, thing) for thing in islice(source, 1))
                yield result
        finally:
            for future in waiting:
                future.cancel()


@checked
def embed(
    source: str,
    store: str,
    *,
    model: str = "lite0",
    precision: str = "fp32",
    device: str = "auto",
    dtype: str = "float32",
    threads: int | None = None,
    strict: bool = False,
    shard: str | None = None,
    column: str | None = None,
    s3: Any = None,
    left_out: LeftOut | None = None,
) -> EmbeddingStore:
    """Embed the images of ``source`` into the store at ``store``; what it already holds is not computed again.

    Parameters
    ----------
    source : str
        A folder, ``s3://`` prefix, manifest, list, table or tar shards; see :mod:`gandt.embedding.sources`.
    store : str
        A local folder, made when absent.
    model : str
        See :func:`gandt.embedding.models.load`.
    precision : {"fp32", "int8", "bf16"}
        The network's arithmetic.
    device : {"auto", "cpu", "cuda"}
        Where the network runs.
    dtype : {"float32", "float16"}
        Of the vectors on disk.
    threads : int, optional
        That decode (and, on a CPU, run the network); by default one per core.
    strict : bool
        Raise after the run when an item was set aside.
    shard : str, optional
        ``"i/n"``: embed only this machine's share of the listing. Several shards may share one folder, or have one
        each, to be put together with :func:`gandt.embedding.merge`.
    column : str, optional
        Of a table: the column with the addresses.
    s3 : boto3 S3 client, optional
        By default one made from the environment.
    left_out : LeftOut, optional
        Gets what was left out of the source (hidden files, other kinds, …). Without it, a folder that can't be read
        is an error before anything is embedded; with it, the rest is embedded.

    Returns
    -------
    EmbeddingStore
        Opened after the run; its attribute ``run`` (:class:`Run`) says what was done and how long it took.

    Raises
    ------
    InputError
        When the source holds no image, the store was made otherwise, or, with ``strict``, items were set aside.
    StorageError
        When the source can't be listed or the store can't be written; finished parts are kept.
    """
    if dtype not in ("float32", "float16"):
        raise InputError(f"there is no dtype {dtype!r} for vectors; choose float32 or float16")
    if threads is not None and threads < 1:
        raise InputError(f"threads is {threads}; at least 1 thread is needed")
    prefix = ""
    listed = sources.list_source(source, column=column, s3=s3, left_out=left_out)
    if shard is not None:
        number, of = sources.parse_shard(shard)
        listed = sources.part_of(listed, number, of)
        prefix = f"{number}of{of}-"
    network = models.load(model, precision=precision, device=device)
    description = {
        "model": network.name,
        "weights": network.weights,
        "precision": network.precision,
        "preprocessing": {
            **asdict(network.preprocessing),
            "mean": list(network.preprocessing.mean),
            "std": list(network.preprocessing.std),
        },
        "dim": network.dim,
        "dtype": dtype,
        "licence": network.licence,
    }
    with Writer(store, description, prefix) as writer:
        run = _embed(listed, EmbeddingStore.open(store), network, writer, threads or os.cpu_count() or 1, s3)
    result = EmbeddingStore.open(store)
    result.run = run
    if strict and run.set_aside:
        bad = result.items[result.items["status"] == SET_ASIDE].iloc[-1]
        raise InputError(
            f"{run.set_aside} of {run.listed} items were set aside, such as {bad['item']} ({bad['reason']}); "
            f"the rest is in {store}"
        )
    return result


def _embed(
    listed: list[sources.Listed], before: EmbeddingStore, model: Model, writer: Writer, threads: int, s3: Any
) -> Run:
    run = Run(listed=len(listed), threads=threads)
    clock = _Clock(run.stages)
    records = before.records
    embedded = records[records["status"] == EMBEDDED]
    # what was set aside is tried again: it may have come back, or a newer decoder may read it
    versions = dict(zip(embedded["item"], embedded["version"], strict=True))
    todo = [entry for entry in listed if not entry.version or versions.get(entry.item) != entry.version]
    run.known = len(listed) - len(todo)
    bad = records[records["status"] == SET_ASIDE]
    set_aside = set(zip(bad["item"], bad["sha256"], bad["reason"], strict=True))
    owned = {
        sha: (width, height)
        for sha, width, height in zip(embedded["sha256"], embedded["width"], embedded["height"], strict=True)
    }

    blocks = Blocks(s3)

    def read(entry: sources.Listed) -> _Work:
        work = _Work(entry)
        with clock.time("read"):
            try:
                work.content = sources.read(entry, s3=s3, blocks=blocks)
                work.sha256 = hashlib.sha256(work.content).hexdigest()
            except BadImageError as error:
                work.reason, work.forbidden = str(error), isinstance(error, sources.ForbiddenError)
        return work

    def open_picture(work: _Work) -> _Work:
        if not work.reason and work.sha256 not in owned:
            with clock.time("decode"):
                try:
                    work.picture = decode(work.content, model.preprocessing)
                    work.width, work.height = work.picture.width, work.picture.height
                except BadImageError as error:
                    work.reason = str(error)
        work.content = b""
        return work

    def infer(batch: list[_Work]) -> list[_Work]:
        ready = [work for work in batch if work.picture is not None]
        if ready:
            with clock.time("model"):
                features = model.run(np.stack([work.picture.pixels for work in ready if work.picture is not None]))
                for work, vector in zip(ready, models.normalised(features), strict=True):
                    work.vector, work.picture = vector, None
        return batch

    def news(done: Iterable[_Work]) -> Iterator[_Work]:
        """Drop what was set aside before, and again: it must not shift where parts begin."""
        for work in done:
            if work.reason and (work.listed.item, work.sha256, work.reason) in set_aside:
                run.set_aside += 1
            else:
                yield work

    start, start_cpu = time.perf_counter(), time.process_time()
    remote = bool(todo) and storage.is_s3(todo[0].item)
    if model.batch == 1 and not remote:

        def whole_way(entries: list[sources.Listed]) -> list[_Work]:
            opened = [open_picture(read(entry)) for entry in entries]
            return [infer([work])[0] for work in opened]

        size = min(_GROUP, -(-len(todo) // (4 * threads)))
        groups = ordered_map(whole_way, _batches(todo, max(1, size)), threads, 4 * threads)
        done = (work for group in groups for work in group)
    else:
        readers = _S3_READERS if remote else 2
        reads = ordered_map(read, todo, readers, 2 * max(threads, readers))
        decoded = ordered_map(open_picture, reads, threads, 2 * max(threads, model.batch))
        model_threads = model.threads or threads
        batches = ordered_map(infer, _batches(decoded, model.batch), model_threads, 2 * model_threads)
        done = (work for batch in batches for work in batch)
    with Meter("embedding", len(todo)) as meter:
        for part in _batches(news(_permitted(done)), PART, meter):
            with clock.time("write"):
                _write_part(part, owned, writer, run)
    run.seconds, run.cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
    return run


def _write_part(part: list[_Work], owned: dict[str, tuple[int, int]], writer: Writer, run: Run) -> None:
    records: list[Record] = []
    vectors: list[Features] = []
    for work in part:
        entry, row, status = work.listed, -1, EMBEDDED
        if work.reason:
            status = SET_ASIDE
            run.set_aside += 1
        elif work.sha256 in owned:
            work.width, work.height = owned[work.sha256]
            run.linked += 1
        else:
            assert work.vector is not None
            row = len(vectors)
            vectors.append(work.vector)
            owned[work.sha256] = (work.width, work.height)
            run.embedded += 1
        records.append(
            Record(entry.item, work.sha256, work.width, work.height, status, work.reason, row, entry.version)
        )
    writer.write(records, np.asarray(vectors, np.float32))


def _permitted(done: Iterable[_Work]) -> Iterator[_Work]:
    """Pass on what S3 gave; many refusals in a row are not the images' fault but an access that has ended."""
    refused = 0
    for work in done:
        refused = refused + 1 if work.forbidden else 0
        if refused == _REFUSALS:
            raise StorageError(
                f"S3 refused {refused} objects in a row, the last {work.listed.item}; renew the credentials or the "
                "role's rights and run the same command again: the finished parts are kept"
            )
        yield work


def _batches(things: Iterable[In], size: int, meter: Meter | None = None) -> Iterator[list[In]]:
    batch: list[In] = []
    for thing in things:
        batch.append(thing)
        if meter:
            meter.step()
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
