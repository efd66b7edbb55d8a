"""Learning from the images in labels' folders, and saying where others belong."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gandt.candidates.rules import unit
from gandt.embedding import EmbeddingStore
from gandt.errors import InputError
from gandt.folders.options import Options, classifier_named
from gandt.rounds.head import Model, learn

Array = np.ndarray[Any, np.dtype[Any]]


class Reader:
    """What was learned from the labels' folders, and predictions.

    Parameters
    ----------
    labels : mapping of str to list of Path
        The images of each label.
    embed : callable
        Gives a store in which the files are.
    options : Options

    Attributes
    ----------
    learned : dict of str to int
        How many images of each label were learned from.
    set_aside : list of (str, str)
        Files that can't be used, and why.

    Raises
    ------
    InputError
        When fewer than two labels have an image.
    """

    def __init__(
        self, labels: Mapping[str, Sequence[Path]], embed: Callable[[Sequence[Path]], EmbeddingStore], options: Options
    ) -> None:
        self._embed = embed
        files = {path: label for label, paths in labels.items() for path in paths}
        full = [label for label, paths in labels.items() if paths]
        if len(full) < 2:
            have = f"only {full[0]!r} has images" if full else "none has images"
            raise InputError(
                f"two labels with an image each are needed, and {have}; "
                "make a folder for each label and move a few images there"
            )
        self.set_aside: list[tuple[str, str]] = []
        self._told: set[str] = set()
        store = embed(list(files))
        rows: list[int] = []
        names: list[tuple[str, str]] = []
        by_content: dict[str, str] = {}
        twice: set[str] = set()
        for path, row, sha256 in self._usable(store, list(files)):
            label = files[path]
            if by_content.setdefault(sha256, label) != label:
                twice.add(sha256)
                reason = f"it lies in the folders of {by_content[sha256]!r} and {label!r}; leave it in one"
                self._aside(str(path), reason)
            else:
                rows.append(row)
                names.append((sha256, label))
        keep = [place for place, (sha256, _) in enumerate(names) if sha256 not in twice]
        self._known = {sha256: label for sha256, label in by_content.items() if sha256 not in twice}
        self._twice = twice
        given = [names[place][1] for place in keep]
        self.learned = {label: given.count(label) for label in sorted(set(given))}
        vectors = store.vectors[np.array([rows[place] for place in keep], np.int64)].astype(np.float32)
        self._centre = vectors.mean(axis=0) if len(vectors) else np.zeros(store.dim, np.float32)
        self._model: Model = learn(
            self._points(vectors), given, classifier=classifier_named(options.classifier), seed=options.seed
        )
        self._seen: set[str] = set()

    def read(self, paths: Sequence[Path], *, all_copies: bool = False) -> Iterator[tuple[Path, str, str, float]]:
        """Yield path, sha256, likeliest label and its probability of the images that have no label.

        Of several with the same content the first comes; ``all_copies`` yields the others too, with an empty sha256.
        """
        store = self._embed(list(paths))
        found = [
            each for each in self._usable(store, paths) if each[2] not in self._known and each[2] not in self._twice
        ]
        for first in range(0, len(found), 4096):
            part = found[first : first + 4096]
            vectors = store.vectors[np.array([row for _, row, _ in part], np.int64)].astype(np.float32)
            probabilities = self._model.probabilities(self._points(vectors))
            best = probabilities.argmax(axis=1)
            for (path, _, sha256), label, row in zip(part, best, probabilities, strict=True):
                new = sha256 not in self._seen
                self._seen.add(sha256)
                if new or all_copies:
                    yield path, sha256 if new else "", self._model.classes[label], float(row[label])

    def known(self, paths: Sequence[Path]) -> list[tuple[Path, str]]:
        """Return the images of the dataset that lie in a label's folder, too."""
        store = self._embed(list(paths))
        return [(path, self._known[sha]) for path, _, sha in self._usable(store, paths) if sha in self._known]

    def _points(self, vectors: Array) -> Array:
        return unit(vectors - self._centre)

    def _usable(self, store: EmbeddingStore, paths: Sequence[Path]) -> Iterator[tuple[Path, int, str]]:
        items = store.items.set_index("item")
        wanted = items.reindex([str(path) for path in paths])
        for path, row, sha256, reason in zip(paths, wanted["row"], wanted["sha256"], wanted["reason"], strict=True):
            if row != row or row < 0:
                self._aside(str(path), str(reason) if row == row else "it is gone, or its name can't be used")
            else:
                yield path, int(row), str(sha256)

    def _aside(self, item: str, reason: str) -> None:
        if item not in self._told:
            self._told.add(item)
            self.set_aside.append((item, reason))
