"""Ward's agglomerative clustering: one tree, cut for every number of clusters.

At each merge the two clusters go together whose union raises the sum of squares within clusters least (Ward,
"Hierarchical grouping to optimize an objective function", 1963). The order is found by chains of nearest neighbours
(Murtagh, "A survey of recent advances in hierarchical clustering algorithms", 1983), which gives the same tree.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gandt.progress import Meter

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Tree:
    """A dendrogram over leaves 0 … n−1.

    Attributes
    ----------
    merges : float64 array, shape (n − 1, 4)
        As scipy's linkage: the two nodes merged (leaf i, or n + j for merge j), the height, the number of points.
    """

    merges: Array

    @property
    def leaves(self) -> int:
        """The number of leaves."""
        return len(self.merges) + 1

    @cached_property
    def _spans(self) -> tuple[Array, Array, Array]:
        """Return an order of the leaves in which every node is a run, and each node's start and length there."""
        n = self.leaves
        children = self.merges[:, :2].astype(np.int64)
        length = np.ones(2 * n - 1, np.int64)
        for merge, (left, right) in enumerate(children):
            length[n + merge] = length[left] + length[right]
        start = np.zeros(2 * n - 1, np.int64)
        for merge in range(n - 2, -1, -1):
            left, right = children[merge]
            start[left], start[right] = start[n + merge], start[n + merge] + length[left]
        order = np.empty(n, np.int64)
        order[start[:n]] = np.arange(n)
        return order, start, length

    def nodes(self, k: int) -> list[int]:
        """Return the ``k`` nodes that the tree falls into when it is cut, in the order of the dendrogram."""
        n = self.leaves
        k = min(k, n)
        last = 2 * n - 2
        above = set(range(last, last - (k - 1), -1))
        below = {int(child) for node in above for child in self.merges[node - n, :2]} - above if above else {last}
        start = self._spans[1]
        return sorted(below, key=lambda node: int(start[node]))

    def cut(self, k: int) -> Array:
        """Return the cluster (0 … k−1, in the order of the dendrogram) of every leaf."""
        order, start, length = self._spans
        clusters = np.empty(self.leaves, np.int64)
        for number, node in enumerate(self.nodes(k)):
            clusters[order[start[node] : start[node] + length[node]]] = number
        return clusters


def ward(points: Array, weights: Array | None = None) -> Tree:
    """Build the whole tree.

    Parameters
    ----------
    points : float array, shape (n, dim)
        At least one; takes 4 n² bytes.
    weights : array, shape (n,), optional
        How many points each stands for (it is their mean), 1 by default.

    Returns
    -------
    Tree
        Heights as scipy's: √(2ab / (a + b)) times the distance of the centres, for clusters of a and b points.
    """
    n = len(points)
    sizes = np.ones(n, np.float32) if weights is None else np.array(weights, np.float32)
    costs = _costs(np.asarray(points, np.float32), sizes)
    pairs, heights = np.empty((n - 1, 2), np.int64), np.empty(n - 1)
    alive = np.ones(n, bool)
    chain: list[int] = []
    with Meter("building the tree", n - 1) as meter:
        for merge in range(n - 1):
            if not chain:
                chain.append(int(alive.argmax()))
            while True:
                tip = chain[-1]
                nearest = int(costs[tip].argmin())
                # ties go to where the chain came from, and rounding must not lead it in a circle
                if len(chain) > 1 and (costs[tip, chain[-2]] <= costs[tip, nearest] or nearest in chain):
                    nearest = chain[-2]
                    break
                chain.append(nearest)
            chain = chain[:-2]
            pairs[merge], heights[merge] = (tip, nearest), np.sqrt(costs[tip, nearest])
            # Lance and Williams' formula: the costs of the union from those of its parts
            one, other = sizes[tip], sizes[nearest]
            row = (one + sizes) * costs[tip] + (other + sizes) * costs[nearest] - sizes * costs[tip, nearest]
            row /= one + other + sizes
            row[tip] = np.inf
            costs[tip], costs[:, tip] = row, row
            costs[nearest], costs[:, nearest] = np.inf, np.inf
            sizes[tip], alive[nearest] = one + other, False
            meter.step()
    return Tree(_sorted(pairs, heights, np.ones(n) if weights is None else np.asarray(weights, float)))


def _costs(points: Array, sizes: Array) -> Array:
    """Return what it costs to merge each two points, (n, n) float32; the diagonal is infinite."""
    squares = np.einsum("ij,ij->i", points, points)
    costs: Array = points @ points.T
    for first in range(0, len(points), 1024):
        rows = slice(first, first + 1024)
        block = np.maximum(squares[rows, None] + squares - 2 * costs[rows], 0)
        costs[rows] = block * (2 * sizes[rows, None] * sizes / (sizes[rows, None] + sizes))
    np.fill_diagonal(costs, np.inf)
    return costs


def _sorted(pairs: Array, heights: Array, weights: Array) -> Array:
    """Order the merges by height, and name what is merged by nodes instead of leaves."""
    n = len(weights)
    merges = np.empty((len(pairs), 4))
    parent = np.arange(2 * n - 1)
    size = np.concatenate([weights, np.zeros(n - 1)])

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = int(parent[node])
        return node

    for number, merge in enumerate(np.argsort(heights, kind="stable")):
        left, right = sorted(root(int(leaf)) for leaf in pairs[merge])
        parent[left] = parent[right] = n + number
        size[n + number] = size[left] + size[right]
        merges[number] = left, right, heights[merge], size[n + number]
    return merges
