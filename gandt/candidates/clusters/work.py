"""What ``gandt cluster`` does: a folder opened or made, decisions read, the page served, the labels written."""

import getpass
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from gandt import storage, tables
from gandt.candidates.clusters.checked import draw
from gandt.candidates.clusters.clustering import Clustering, cluster, pool_fingerprint, pool_of
from gandt.candidates.clusters.journal import alone
from gandt.candidates.clusters.naming import Naming
from gandt.candidates.clusters.space import Space
from gandt.embedding import EmbeddingStore
from gandt.errors import InputError


class Work:
    """A clustering, the reader's decisions, and the page; made by :func:`open_work`."""

    def __init__(
        self, store: EmbeddingStore, clustering: Clustering, folder: str, worker: str, stack: ExitStack
    ) -> None:
        self.clustering, self.folder = clustering, folder
        self.labels = storage.join(folder, "labels.csv")
        self._store, self._worker, self._stack = store, worker, stack
        self._points: Space | None = None
        self.naming = Naming(clustering, folder, worker=worker, halves=self._halves)

    def facts(self) -> dict[str, Any]:
        """Return the numbers that the command prints."""
        counts = self.naming.counts()
        clustering = self.clustering
        return {
            "items": len(clustering.pool),
            "method": clustering.method,
            "k_from": clustering.ks[0],
            "k_to": clustering.ks[-1],
            "best_k": clustering.best,
            "silhouette": clustering.silhouettes.get(clustering.best),
            "named": counts["named"],
            "to_ask": counts["struck"] + counts["back"],
            "deleted": counts["deleted"],
            "open": counts["open"],
            **self._checked(),
        }

    def _checked(self) -> dict[str, Any]:
        """Return how many of the named were checked and right, and the mean confidence; nothing before a check."""
        if not self.naming.checks:
            return {}
        labels = self.naming.labels()
        right, wrong = ((labels["checked"] == each).sum() for each in ("right", "wrong"))
        mean = labels["confidence"].mean()
        return {"checked": int(right + wrong), "right": int(right), "confidence": None if mean != mean else float(mean)}

    def draw_check(self, count: int) -> str:
        """Write ``check.csv``, a sample of what is named, to be labelled by somebody else; return its path."""
        path = storage.join(self.folder, "check.csv")
        tables.write_table(draw(self.naming.labels(), count, self.clustering.facts["seed"]), path)
        return path

    def write_labels(self) -> None:
        """Write labels.csv."""
        tables.write_table(self.naming.labels(), self.labels)

    def serve(self, port: int = 0) -> tuple[str, Callable[[], None]]:
        """Open the page's port; return its link and the function that serves until the process is interrupted.

        Raises
        ------
        InputError
            When the port is taken.
        MissingExtraError
            When starlette or uvicorn is absent.
        """
        from gandt.candidates.clusters.server import Page, listen, make_server, secret

        token = secret(self.folder)
        page = Page(self.naming, self.points, self.labels, token)
        listener = self._stack.enter_context(listen(port))
        server = make_server(page)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/#{token}"
        return address, lambda: server.run(sockets=[listener])

    @property
    def points(self) -> Space:
        """The space in which clusters are compared."""
        if self._points is None:
            self._points = Space(self._store, self.clustering.rows)
        return self._points

    def _halves(self, members: Any) -> Any:
        from gandt.candidates.clusters.space import halves_of

        return halves_of(self.points)(np.asarray(members))


@contextmanager
def open_work(
    store: str,
    folder: str,
    *,
    method: str = "ward",
    k_min: int = 2,
    k_max: int | None = None,
    seed: int = 0,
    worker: str | None = None,
) -> Iterator[Work]:
    """Open the work in a folder: clusters that are there already are taken if they are of this pool and these options.

    Raises
    ------
    InputError
        When the folder holds decisions about other clusters, is on S3, or another process works in it.
    """
    if storage.is_s3(folder):
        raise InputError(f"--out {folder} is not a local folder; decisions are kept on this computer's disk")
    opened = EmbeddingStore.open(store)
    with storage.explained("write", folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(alone(folder))
        options = {"method": method, "k_min": k_min, "seed": seed}
        clustering = _known(opened, folder, {**options, **({} if k_max is None else {"k_max": k_max})})
        if clustering is None:
            clustering = cluster(opened, method=method, k_min=k_min, k_max=k_max, seed=seed)
            clustering.write(folder)
        yield Work(opened, clustering, folder, worker or _user(), stack)


def _known(store: EmbeddingStore, folder: str, options: dict[str, Any]) -> Clustering | None:
    """Return the folder's clustering if it is what is asked for, None if there is none and one may be made."""
    path = Path(folder) / "clusters.json"
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text("utf-8"))
        same = {name: found.get(name) for name in options} == options
        same = same and found["fingerprint"] == pool_fingerprint(pool_of(store))
    except (ValueError, KeyError, TypeError, AttributeError):
        same = False
    if same:
        return Clustering.read(folder)
    if (Path(folder) / "journal.jsonl").is_file():
        raise InputError(
            f"{folder} holds decisions about other clusters (another pool, method, range or seed); "
            "give another --out, or the options of then"
        )
    return None


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
