"""What a reader decides about clusters: a journal of decisions, the state they lead to, and the labels.

The journal (``journal.jsonl`` in the clusters' folder) is only ever appended to, one line of JSON for each decision,
on disk before it is acknowledged; the state is what one gets by playing it from the start. So nothing is lost when
the reader's machine stops, and it stays known who decided what and when. Undoing is a line of the journal, too.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gandt import storage, tables
from gandt.candidates.clusters.checked import read_checks, with_confidence
from gandt.candidates.clusters.clustering import Clustering
from gandt.candidates.clusters.journal import append_lines, read_journal
from gandt.candidates.clusters.labels import NAMED, OUTCOMES, STRUCK, clean, labels_table
from gandt.candidates.clusters.space import Array
from gandt.candidates.clusters.state import Cluster, State
from gandt.errors import InputError

# a way to cut a cluster in two, given its points: False for the first part, True for the second
Halves = Callable[[Array], Array]


class Naming:
    """A reader's work on a clustering.

    Parameters
    ----------
    clustering : Clustering
    folder : str
        Where the journal is; a local folder.
    worker : str
        Who decides from now on.
    halves : callable, optional
        How a cluster is split; without it splitting is refused.
    clock : callable
        The time, UTC.

    Raises
    ------
    InputError
        When the journal is damaged, or belongs to other clusters.
    """

    def __init__(
        self,
        clustering: Clustering,
        folder: str,
        *,
        worker: str = "",
        halves: Halves | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.clustering, self.worker = clustering, worker
        self._halves, self._clock = halves, clock
        self._path = Path(folder) / "journal.jsonl"
        self._items = clustering.items
        self._start = {"do": "start", "clusters": identity(clustering)}
        self.events = read_journal(self._path)
        if self.events and self.events[0].get("clusters") != self._start["clusters"]:
            raise InputError(
                f"{self._path} holds {len(self.events) - 1} decisions about other clusters than those in {folder}; "
                "give another --out, or the old pool and options"
            )
        self._play()
        self._checks_file = storage.join(folder, "checked.csv")
        self.checks: dict[str, str] = {}
        if Path(self._checks_file).is_file():
            self.check(self._checks_file)

    def check(self, uri: str) -> None:
        """Take a table of item and label as a check of what is named, instead of any earlier one, and keep it.

        Raises
        ------
        InputError
            See :func:`gandt.candidates.clusters.checked.read_checks`.
        """
        self.checks = read_checks(uri, self.labels())
        if uri != self._checks_file:
            table = pd.DataFrame({"item": list(self.checks), "label": list(self.checks.values())})
            tables.write_table(table, self._checks_file)

    # ------------------------------------------------------------------ deciding

    def choose(self, k: int, seconds: float = 0.0) -> None:
        """Cut all that isn't named or deleted into at most ``k`` clusters.

        Raises
        ------
        InputError
            When there is no such k, or nothing is left.
        """
        self.clustering.cut(k)
        if not len(self.left()):
            raise InputError("everything is named or deleted; there is nothing left to cut into clusters")
        self._decide({"do": "k", "k": k}, seconds)

    def sort(self, groups: Sequence[tuple[str, Array]], seconds: float = 0.0) -> None:
        """Put all that isn't named or deleted into groups instead of clusters, each with a guessed name.

        Parameters
        ----------
        groups : sequence of (str, int64 array)
            A name that was given before, or an empty one, and points; together all that is left.

        Raises
        ------
        InputError
            When fewer than two names were given, nothing is left, or the groups are others.
        """
        if len(self.names()) < 2:
            raise InputError("the rest can be sorted by name once two names were given")
        points = np.sort(np.concatenate([np.empty(0, np.int64), *(members for _, members in groups)]))
        if not len(points) or not np.array_equal(points, self.left()):
            raise InputError("the groups are not what is left to name; nothing was changed")
        content = [{"guess": guess, "points": members.tolist()} for guess, members in groups]
        self._decide({"do": "sort", "groups": content}, seconds)

    def strike(self, cluster: str, points: list[int], on: bool = True) -> None:
        """Strike points out of an open cluster (OK and KO of the recipe), or take that back.

        Raises
        ------
        InputError
            When the cluster isn't open, or a point isn't in it.
        """
        members = set(self._opened(cluster).members.tolist())
        strangers = [point for point in points if point not in members]
        if strangers or not points:
            raise InputError(f"{strangers[0] if strangers else 'nothing'} can't be struck out of cluster {cluster}")
        self._decide({"do": "strike", "cluster": cluster, "points": points, "on": on})

    def name(self, cluster: str, label: str, seconds: float = 0.0) -> str:
        """Give all of an open cluster but what is struck out one label; return the label as it is kept.

        A name that differs from a known one in case or spaces only is taken as that one.

        Raises
        ------
        InputError
            When the label is empty, too long, or everything is struck out.
        """
        opened = self._opened(cluster)
        text = clean(label)
        text = {known.casefold(): known for known in self.names()}.get(text.casefold(), text)
        if (self._now.outcome[opened.members] == STRUCK).all():
            raise InputError(f"everything in cluster {cluster} is struck out; send it back instead of naming it")
        self._decide({"do": "name", "cluster": cluster, "label": text}, seconds)
        return text

    def send_back(self, cluster: str, seconds: float = 0.0) -> None:
        """Leave an open cluster as it is: its items stay without a label, to be cut anew or asked otherwise."""
        self._opened(cluster)
        self._decide({"do": "back", "cluster": cluster}, seconds)

    def delete(self, cluster: str, seconds: float = 0.0) -> None:
        """Take an open cluster, but for what is struck out, out of the pool: nobody wants it labeled."""
        self._opened(cluster)
        self._decide({"do": "delete", "cluster": cluster}, seconds)

    def split(self, cluster: str, seconds: float = 0.0) -> list[str]:
        """Cut an open cluster into the two that it was merged from; return their names.

        Raises
        ------
        InputError
            When it has a single point, or can't be split here.
        """
        opened = self._opened(cluster)
        if len(opened.members) < 2:
            raise InputError(f"cluster {cluster} is a single image, and can't be split")
        if self._halves is None:
            raise InputError(f"cluster {cluster} can't be split without the vectors of its images")
        second = opened.members[np.asarray(self._halves(opened.members), bool)]
        if not 0 < len(second) < len(opened.members):
            raise InputError(f"the images of cluster {cluster} are all alike, so it can't be split")
        self._decide({"do": "split", "cluster": cluster, "second": second.tolist()}, seconds)
        return [f"{cluster}a", f"{cluster}b"]

    def reopen(self, cluster: str) -> None:
        """Take back what was decided about a cluster; what was struck out stays so.

        Raises
        ------
        InputError
            When there is no such cluster, or nothing was decided about it.
        """
        if self._cluster(cluster).outcome == "open":
            raise InputError(f"nothing is decided about cluster {cluster} yet")
        self._decide({"do": "reopen", "cluster": cluster})

    def undo(self) -> dict[str, Any]:
        """Take the last decision back; return it.

        Raises
        ------
        InputError
            When there is none.
        """
        done = self._effective()
        if not done:
            raise InputError("there is nothing to undo")
        self._append({"do": "undo"})
        self._play()
        return done[-1]

    # ------------------------------------------------------------------ looking

    @property
    def k(self) -> int | None:
        """The number of clusters chosen last."""
        return self._now.k

    @property
    def seconds(self) -> float:
        """How long the reader took, as the page measured it."""
        return self._now.seconds

    @property
    def undoable(self) -> bool:
        """Whether there is a decision to take back."""
        return bool(self._effective())

    def clusters(self) -> list[Cluster]:
        """Return the clusters of the last cut, in its order."""
        return list(self._now.clusters.values())

    def struck(self, cluster: str) -> Array:
        """Return which of a cluster's members are struck out, bool (members,)."""
        mask: Array = self._now.outcome[self._cluster(cluster).members] == STRUCK
        return mask

    def names(self) -> dict[str, int]:
        """Return the names given so far, and how many items have each; in the order in which they were first given."""
        counts = Counter(self._now.label[self._of_items()])
        given = dict.fromkeys(event["label"] for event in self._effective() if event["do"] == "name")
        return {name: counts[name] for name in given if counts[name]}

    def given(self) -> Array:
        """Return each point's name, object (points,), empty without."""
        return np.where(self._now.outcome == NAMED, self._now.label, "")

    def left(self) -> Array:
        """Return the points that a new cut would take: neither named nor deleted."""
        return self._now.left()

    def cut(self, k: int) -> list[Array]:
        """Return what choosing ``k`` would give: the members of each cluster; what hdbscan calls noise comes last."""
        return self._now.cut(k)

    def counts(self) -> dict[str, int]:
        """Return how many items have each outcome."""
        found = np.bincount(self._now.outcome[self._of_items()], minlength=len(OUTCOMES))
        return {name: int(found[number]) for number, name in enumerate(OUTCOMES)}

    def labels(self) -> pd.DataFrame:
        """Return the labels so far.

        Returns
        -------
        DataFrame
            A row for each item of the pool. ``item``, ``label`` (None without), ``confidence`` (NaN until
            some of what is named was checked), ``status`` ("confident" when named, "relabel" when struck or sent back,
            "unanswered" when not decided, "set aside" when deleted), ``votes``, ``workers``, ``method`` (such as
            "clusters/ward"), ``k``, ``cluster``, ``named_by``, ``named_at``, ``struck``, ``outcome`` and
            ``carried_from`` (the item with the same content that was looked at), ``checked`` ("right", "wrong", None).
        """
        now, of = self._now, self._of_items()
        shown = np.array(self._items, object)[of]
        decided = (now.outcome[of], now.label[of], now.cluster[of], now.by[of], now.at[of])
        items = self.clustering.pool["item"].to_numpy(object)
        return with_confidence(labels_table(items, shown, self.clustering.method, *decided), self.checks)

    # ------------------------------------------------------------------ pieces

    def _of_items(self) -> Array:
        points: Array = self.clustering.pool["point"].to_numpy(np.int64)
        return points

    def _cluster(self, name: str) -> Cluster:
        if name not in self._now.clusters:
            raise InputError(f"there is no cluster {name!r}; the page may be older than the last cut: load it again")
        return self._now.clusters[name]

    def _opened(self, name: str) -> Cluster:
        found = self._cluster(name)
        if found.outcome != "open":
            raise InputError(f"cluster {name} is {found.outcome} already; open it again first")
        return found

    def _effective(self) -> list[dict[str, Any]]:
        """Return the decisions that no later undo took back."""
        done: list[dict[str, Any]] = []
        for event in self.events:
            if event["do"] == "undo":
                if done:
                    done.pop()
            elif event["do"] != "start":
                done.append(event)
        return done

    def _decide(self, event: dict[str, Any], seconds: float = 0.0) -> None:
        spent = min(max(float(seconds), 0.0), 86_400.0)
        event |= {"at": self._clock().isoformat(timespec="seconds"), "by": self.worker}
        if spent:
            event["seconds"] = round(spent, 2)
        self._append(event)
        self._now.apply(event)

    def _append(self, event: dict[str, Any]) -> None:
        new = [event] if self.events else [self._start, event]
        append_lines(self._path, new)
        self.events += new

    def _play(self) -> None:
        self._now = State(self.clustering)
        for number, event in enumerate(self._effective(), 1):
            try:
                self._now.apply(event)
            except (KeyError, TypeError, ValueError, IndexError, InputError) as error:
                raise InputError(
                    f"decision {number} in {self._path} can't be understood ({error}); move the file away to begin anew"
                ) from error


def identity(clustering: Clustering) -> str:
    """Return a text that is equal for equal clusterings of one pool."""
    facts = clustering.facts
    return f"{facts['fingerprint']}/{clustering.method}/{clustering.ks[0]}-{clustering.ks[-1]}/{facts['seed']}"
