"""What was decided about each point of a clustering, and the clusters that are on the page now.

A point is *open* (not decided), *named*, *struck* out of a named or deleted cluster, sent *back* with its whole
cluster, or *deleted*. Choosing a k cuts what is not named or deleted into clusters, and opens it all again.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gandt.candidates.clusters.clustering import NOISE, Clustering
from gandt.candidates.clusters.labels import BACK, DELETED, NAMED, OPEN, STRUCK
from gandt.candidates.clusters.space import Array
from gandt.errors import InputError


@dataclass
class Cluster:
    """A cluster as the reader sees it.

    Attributes
    ----------
    name : str
        Which one: ``12.3`` is the third of a cut into 12, ``12.3a`` the first half of that.
    members : int64 array
        Points.
    outcome : str
        open, named, back or deleted.
    label : str
        The name given, empty without.
    guess : str
        The name that what is named already foretells, after the rest was sorted by it.
    """

    name: str
    members: Array
    outcome: str = "open"
    label: str = ""
    guess: str = ""


class State:
    """What decisions have led to; they are applied one after another.

    Parameters
    ----------
    clustering : Clustering

    Attributes
    ----------
    outcome : int8 array, shape (points,)
        OPEN, NAMED, STRUCK, BACK or DELETED.
    label, cluster, by, at : object array, shape (points,)
        Name given, cluster, who decided and when; empty without.
    k : int or None
        The number of clusters chosen last.
    clusters : dict of str to Cluster
        Those of the last cut, in its order.
    seconds : float
        How long the reader took.
    sorts : int
        How often the rest was sorted by name.
    """

    def __init__(self, clustering: Clustering) -> None:
        self._clustering = clustering
        self.outcome = np.full(clustering.points, OPEN, np.int8)
        self.label, self.cluster, self.by, self.at = (np.full(clustering.points, "", object) for _ in range(4))
        self.k: int | None = None
        self.clusters: dict[str, Cluster] = {}
        self.seconds, self.sorts = 0.0, 0

    def left(self) -> Array:
        """Return the points that a new cut would take: neither named nor deleted."""
        return np.flatnonzero(~np.isin(self.outcome, (NAMED, DELETED)))

    def cut(self, k: int) -> list[Array]:
        """Return what choosing ``k`` would give: the members of each cluster; what hdbscan calls noise comes last."""
        clusters, left = self._clustering.cut(k), self.left()
        numbers = np.unique(clusters[left])
        ordered = [*numbers[numbers != NOISE], *numbers[numbers == NOISE]]
        return [left[clusters[left] == number] for number in ordered]

    def apply(self, event: dict[str, Any]) -> None:
        """Apply a decision, a line of the journal.

        Raises
        ------
        InputError, KeyError, TypeError, ValueError, IndexError
            When it is no decision about these clusters.
        """
        do = event["do"]
        self.seconds += float(event.get("seconds", 0.0))
        if do in ("k", "sort"):
            left = self.left()
            if do == "k":
                self.k, head = int(event["k"]), str(event["k"])
                parts = [("", members) for members in self.cut(self.k)]
            else:
                self.sorts, head = self.sorts + 1, f"sorted-{self.sorts + 1}"
                parts = [(group["guess"], np.asarray(group["points"], np.int64)) for group in event["groups"]]
            self.outcome[left], self.by[left], self.at[left] = OPEN, "", ""
            new_clusters = [
                Cluster(f"{head}.{number}", members, guess=guess) for number, (guess, members) in enumerate(parts, 1)
            ]
            self.clusters = {each.name: each for each in new_clusters}
            for each in new_clusters:
                self.cluster[each.members] = each.name
            return
        found = self.clusters[event["cluster"]]
        standing = found.members[self.outcome[found.members] != STRUCK]
        changed = standing
        if do == "strike":
            changed = np.asarray(event["points"], np.int64)
            self.outcome[changed] = STRUCK if event["on"] else OPEN
        elif do == "name":
            self.outcome[standing], self.label[standing] = NAMED, event["label"]
            found.outcome, found.label = "named", event["label"]
        elif do == "back":
            self.outcome[standing], found.outcome = BACK, "back"
        elif do == "delete":
            self.outcome[standing], found.outcome = DELETED, "deleted"
        elif do == "reopen":
            self.outcome[standing], self.label[standing] = OPEN, ""
            found.outcome, found.label = "open", ""
        elif do == "split":
            second = np.isin(found.members, event["second"])
            halves = {f"{found.name}{letter}": found.members[mask] for letter, mask in (("a", ~second), ("b", second))}
            new: dict[str, Cluster] = {}
            for name, each in self.clusters.items():
                new |= {half: Cluster(half, some) for half, some in halves.items()} if each is found else {name: each}
            self.clusters = new
            for half, members in halves.items():
                self.cluster[members] = half
        else:
            raise InputError(f"{do!r} is no decision")
        self.by[changed], self.at[changed] = event["by"], event["at"]
