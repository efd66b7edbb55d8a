"""A folder of labels: ``dataset/``, a folder for each label, ``<label>_potential/`` and ``needhelp/``.

The user moves or copies images into label folders with any file manager. :meth:`Folders.step` learns from them and
puts some more images where they seem to belong, to be confirmed by moving them on; :meth:`Folders.generalize` does it
for all. Files are told apart by their content, so that they may be renamed and moved at will.
"""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from gandt import storage, tables, walk
from gandt.arguments import checked
from gandt.embedding import EmbeddingStore, embed, merge
from gandt.embedding.sources import list_source
from gandt.errors import InputError, StorageError
from gandt.folders.options import Options, read_options, write_options
from gandt.folders.placing import Ledger, free_name, images_in
from gandt.folders.reading import Reader

BATCH = 64  # images embedded at a time, while a step looks for enough of them


@dataclass
class Outcome:
    """What a step or generalize did.

    Attributes
    ----------
    learned : dict of str to int
        Images of each label that it learned from.
    placed : dict of str to int
        Images put into each folder.
    cleared : int
        Files of the last step that were moved to the trash.
    kept : int
        Files in those folders that gandt didn't put there, or that were changed; they stay.
    left : int
        Images of the dataset that weren't looked at.
    set_aside : list of (str, str)
        Files that can't be used, and why.
    left_out : list of str
        What of the dataset wasn't listed, a sentence each: files of other kinds, hidden ones, links.
    """

    learned: dict[str, int]
    placed: dict[str, int] = field(default_factory=dict)
    cleared: int = 0
    kept: int = 0
    left: int = 0
    set_aside: list[tuple[str, str]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


class Folders:
    """The folders below ``base``.

    Parameters
    ----------
    base : str
        A local folder.

    Raises
    ------
    InputError
        When it is no local folder, or its options are damaged.
    """

    @checked
    def __init__(self, base: str) -> None:
        if storage.is_s3(base) or not Path(base).is_dir():
            if not storage.is_s3(base) and Path(base).exists():
                raise walk.unusable(base, "a folder with the images in its folder dataset")
            raise InputError(f"{base} is not a local folder; make it, with the images in {base}/dataset")
        self.base = Path(base).absolute()
        self._hidden = self.base / ".gandt"
        self._options_file = self._hidden / "options.json"
        self.options = read_options(self._options_file)
        self._ledger = Ledger(self.base)

    # ------------------------------------------------------------------ what is there

    def set(self, name: str, text: str) -> Options:
        """Set an option and keep it.

        Raises
        ------
        InputError
            When there is no such option, or it can't have that value.
        """
        self.options = self.options.with_(name, text)
        write_options(self.options, self._options_file)
        return self.options

    def labels(self) -> dict[str, list[Path]]:
        """Return the images in each label's folder; a label may have none."""
        options = self.options
        found = {}
        for folder in sorted(self.base.iterdir()):
            name = folder.name
            special = name in (options.dataset, options.needhelp) or name.endswith(options.suffix)
            if folder.is_dir() and not special and not name.startswith("."):
                found[name] = images_in(folder)
        return found

    def dataset(self) -> list[Path]:
        """Return the images of the dataset.

        Raises
        ------
        InputError
            When there is no dataset, or no image in it.
        StorageError
            When a folder in it can't be read.
        """
        folder = self.base / self.options.dataset
        if not folder.is_dir():
            raise InputError(
                f"there is no folder {folder}; make it and put the images there, or set the option dataset"
            )
        self._left_out = storage.LeftOut()
        images = images_in(folder, self._left_out)
        if self._left_out.unreadable:
            raise StorageError(self._left_out.problem())
        if not images:
            aside = "".join(f"; {note}" for note in self._left_out.notes())
            raise InputError(f"there are no images in {folder}; put some there{aside}")
        return images

    # ------------------------------------------------------------------ verbs

    def step(self) -> Outcome:
        """Learn, clear the last step away, and put some images where they seem to belong.

        Images are looked at in a random order until ``new_sample`` are seen and, with ``force_diversity``, one of
        them needs help or every label was predicted. One whose likeliest label has a probability below
        ``needhelp_prob`` goes to ``needhelp``, the others to ``<label>_potential``. Probabilities are calibrated on
        labelled images that the classifier had not seen.

        Raises
        ------
        InputError
            When fewer than two labels have an image, or nothing without a label is left.
        """
        dataset = self.dataset()
        reader = Reader(self.labels(), self.embed, self.options)
        order = np.random.default_rng([self.options.seed, self._ledger.number()]).permutation(len(dataset))
        outcome = Outcome(reader.learned, left_out=self._left_out.notes())
        placed: list[tuple[Path, str, str]] = []
        helped, seen_labels = False, set[str]()
        places = {dataset[place]: number for number, place in enumerate(order)}
        for first in range(0, len(order), BATCH):
            batch = [dataset[place] for place in order[first : first + BATCH]]
            for path, sha256, label, probability in reader.read(batch):
                sure = probability >= self.options.needhelp_prob
                placed.append((path, sha256, label + self.options.suffix if sure else self.options.needhelp))
                helped, seen_labels = helped or not sure, seen_labels | ({label} if sure else set())
                diverse = helped or len(seen_labels) == len(reader.learned)
                if len(placed) >= self.options.new_sample and (diverse or not self.options.force_diversity):
                    break
            else:
                continue
            break
        if not placed:
            raise InputError(f"every image of {self.base / self.options.dataset} has a label; there is nothing to ask")
        outcome.left = len(dataset) - 1 - places[placed[-1][0]]
        self._place("step", placed, outcome)
        outcome.set_aside = reader.set_aside
        return outcome

    def generalize(self, out: str | None = None) -> tuple[Outcome, pd.DataFrame]:
        """Put every image without a label where it seems to belong; return also a table of labels.

        Parameters
        ----------
        out : str, optional
            Where the table goes.

        Returns
        -------
        outcome : Outcome
        labels : DataFrame
            item, label, confidence (calibrated probability; NaN for what lies in a label's folder), status
            ("confident", below ``needhelp_prob`` "relabel", or "set aside"), votes, workers, method. An image of the
            dataset that lies in a label's folder, too, has that label.

        Raises
        ------
        InputError
            When fewer than two labels have an image.
        """
        dataset = self.dataset()
        reader = Reader(self.labels(), self.embed, self.options)
        outcome = Outcome(reader.learned, left_out=self._left_out.notes())
        placed, rows = [], []
        for path, sha256, label, probability in reader.read(dataset, all_copies=True):
            sure = probability >= self.options.needhelp_prob
            if sha256:
                placed.append((path, sha256, label + self.options.suffix if sure else self.options.needhelp))
            rows.append([str(path), label, probability, "confident" if sure else "relabel", 0, 0])
        method = f"classifier/{self.options.classifier}"
        table = pd.DataFrame(rows, columns=["item", "label", "confidence", "status", "votes", "workers"])
        table["method"] = method
        known = [[str(path), label, np.nan, "confident", 1, 1, "folders"] for path, label in reader.known(dataset)]
        gone = [[item, None, np.nan, "set aside", 0, 0, reason] for item, reason in reader.set_aside]
        whole = pd.concat(
            [
                some
                for some in (table, *(pd.DataFrame(part, columns=table.columns) for part in (known, gone)))
                if len(some)
            ]
        )
        whole = whole.drop_duplicates("item").sort_values("item", ignore_index=True)
        if out is not None:
            tables.write_table(whole, out)
        self._place("generalize", placed, outcome)
        outcome.set_aside = reader.set_aside
        return outcome, whole

    def confirm(self, label: str) -> int:
        """Move all of ``<label>_potential`` into the label's folder; return how many.

        Raises
        ------
        InputError
            When there is nothing to confirm.
        """
        source = self.base / f"{label}{self.options.suffix}"
        images = images_in(source) if source.is_dir() and source.parent == self.base else []
        if not images:
            raise InputError(f"there are no images in {source}, so there is nothing to confirm; run step first")
        taken: set[Path] = set()
        moved = [(path, free_name(self.base / label, path.name, taken)) for path in images]
        pairs = [(str(old.relative_to(self.base)), str(new.relative_to(self.base))) for old, new in moved]
        self._ledger.change("confirm", moved=pairs)
        return len(pairs)

    def undo(self) -> tuple[str, int]:
        """Take the last step, generalize or confirm back; return its verb, and how many files had changed and stay."""
        event, left = self._ledger.undo()
        return str(event["do"]), left

    def preload(self) -> EmbeddingStore:
        """Embed everything, so that no step waits for the network."""
        return self.embed([*self.dataset(), *(path for paths in self.labels().values() for path in paths)])

    def dump(self, target: str) -> None:
        """Copy the vectors to a new folder.

        Raises
        ------
        InputError
            When there are none, or the folder exists.
        """
        if not (self.store_path / "store.json").is_file():
            raise InputError(f"there are no vectors by {self.options.model} to dump yet; preload first")
        if Path(target).exists():
            raise InputError(f"{target} exists already; name a new folder")
        with storage.explained("write", target):
            shutil.copytree(self.store_path, target, ignore=shutil.ignore_patterns(".*"))

    def load(self, source: str) -> EmbeddingStore:
        """Add vectors that :meth:`dump` or ``gandt embed`` wrote.

        Raises
        ------
        InputError
            When they are of another network.
        """
        found = EmbeddingStore.open(source)
        if found.description["model"] != self.options.model:
            raise InputError(
                f"{source} holds vectors by {found.description['model']}, but the option model is "
                f"{self.options.model}; set it first"
            )
        mine = [str(self.store_path)] if (self.store_path / "store.json").is_file() else []
        self._hidden.mkdir(exist_ok=True)
        return merge([*mine, source], str(self.store_path))

    # ------------------------------------------------------------------ pieces

    @property
    def store_path(self) -> Path:
        """Where the vectors of the chosen network are."""
        return self._hidden / f"vectors-{re.sub(r'[^A-Za-z0-9.]+', '-', self.options.model)}"

    def embed(self, paths: Sequence[Path]) -> EmbeddingStore:
        """Embed files; what is known is not computed again."""
        batch = self._hidden / "batch.parquet"
        tables.write_table(pd.DataFrame({"item": [str(path) for path in paths]}), str(batch))
        if (self.store_path / "store.json").is_file():  # what is known needs no network to be loaded
            store = EmbeddingStore.open(str(self.store_path))
            versions = dict(zip(store.records["item"], store.records["version"], strict=True))
            if all(versions.get(listed.item) == listed.version for listed in list_source(str(batch))):
                return store
        return embed(str(batch), str(self.store_path), model=self.options.model)

    def _place(self, do: str, found: Sequence[tuple[Path, str, str]], outcome: Outcome) -> None:
        """Clear what gandt put into the folders before, then put ``found`` there."""
        mine, number = self._ledger.mine(), self._ledger.number()
        special = [
            folder.name
            for folder in self.base.iterdir()
            if folder.is_dir() and (folder.name == self.options.needhelp or folder.name.endswith(self.options.suffix))
        ]
        old = [path for path in mine if path.split("/")[0] in special]
        there = sum(len(images_in(self.base / name)) for name in special)
        outcome.cleared, outcome.kept = len(old), there - len(old)
        free: set[Path] = set()
        leaving = {self.base / path for path in old}
        placed = []
        for path, sha256, folder in found:
            target = self.base / folder / path.name
            if target not in leaving or target in free:
                target = free_name(self.base / folder, path.name, free)
            free.add(target)
            placed.append({"path": str(target.relative_to(self.base)), "of": str(path), "sha256": sha256})
            outcome.placed[folder] = outcome.placed.get(folder, 0) + 1
        trash = [(path, f".gandt/trash/{number}/{path}") for path in old]
        self._ledger.change(do, placed=placed, moved=trash, copy=self.options.copy)
