"""Seeds from what a user has: folders by label, a labels table, an augmented manifest, or the names of a few files."""

import hashlib
import json
import tempfile
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from gandt import storage, tables, walk
from gandt.arguments import checked
from gandt.embedding import EmbeddingStore, embed, models
from gandt.embedding.store import SET_ASIDE
from gandt.errors import GandtWarning, InputError
from gandt.images import list_images
from gandt.manifest.lines import line_names
from gandt.names import refuse_several, spelled_as


@checked
def read_seeds(
    sources: Sequence[str], store: EmbeddingStore, *, s3: Any = None, left_out: storage.LeftOut | None = None
) -> dict[str, list[str]]:
    """Return seeds by label, each as the store names it.

    Parameters
    ----------
    sources : sequence of str
        Each one of: a folder with a folder per label; a table with the columns item and label; an augmented
        manifest; ``label=FILE,FILE,…``. They add up.
    store : EmbeddingStore
        A file that the store knows under another name is found by its content.
    left_out : LeftOut, optional
        Gets what was left out of folders; without it, a folder that can't be read is an error.

    Raises
    ------
    InputError
        When a source names no seeds, or is of no such kind.
    StorageError
        When it isn't there, or can't be read.
    """
    pairs: list[tuple[str, str]] = []
    known = set(store.items["item"])
    for source in sources:
        found = _pairs(source, known, s3, left_out)
        if not found:
            raise InputError(
                f"{source} names no seeds; give a folder per label, a table with item and label, or label=FILE,FILE"
            )
        for _, label in found:
            refuse_several("an item", label, source)
        pairs += found
    by_content: dict[str, str] = {}
    seeds: dict[str, list[str]] = {}
    for item, label in sorted(set(pairs)):  # in an order that doesn't depend on the store
        if item not in known:
            if not by_content:
                embedded = store.items[store.items["status"] == "embedded"].sort_values("item")
                embedded = embedded.drop_duplicates("sha256")
                by_content = dict(zip(embedded["sha256"], embedded["item"], strict=True))
            item = by_content.get(_sha256(item), item)
        seeds.setdefault(label, []).append(item)
    return dict(sorted(seeds.items()))


@checked
def with_seeds(store: EmbeddingStore, seeds: Mapping[str, Sequence[str]], *, s3: Any = None) -> EmbeddingStore:
    """Return the store with the vectors of those seeds added that it lacks, in memory; its files stay as they are.

    They are embedded by the model, precision and weights that the store was made with. A store of vectors that no
    model of gandt made is returned as it is.

    Parameters
    ----------
    store : EmbeddingStore
        The pool.
    seeds : mapping of str to sequence of str
        Items by label, as :func:`read_seeds` gives them.

    Raises
    ------
    InputError
        When such a seed can't be read, or the model can't be loaded or isn't the one any more that made the store.
    """
    known = set(store.items["item"])
    missing = sorted({item for items in seeds.values() for item in store.names(items)} - known)
    made = store.description
    if not missing or not models.is_known(str(made["model"])):
        return store
    with tempfile.TemporaryDirectory(prefix="gandt-seeds-") as work:
        tables.write_table(pd.DataFrame({"item": missing}), f"{work}/seeds.parquet")
        found = embed(
            f"{work}/seeds.parquet",
            f"{work}/store",
            model=str(made["model"]),
            precision=str(made["precision"]),
            dtype=str(made["dtype"]),
            s3=s3,
        )
        bad = found.items[found.items["status"] == SET_ASIDE]
        if len(bad):
            raise InputError(f"the seed {bad['item'].iloc[0]} can't be used: {bad['reason'].iloc[0]}; name another one")
        return store.joined(found)  # vectors stay mapped when the folder goes


def _pairs(source: str, known: Collection[str], s3: Any, left_out: storage.LeftOut | None) -> list[tuple[str, str]]:
    if not storage.is_s3(source) and Path(source).is_dir():
        root = Path(source).absolute()
        files = [Path(path) for path in list_images(str(root), left_out=left_out)]
        loose = [path for path in files if path.parent == root]
        if loose and len(loose) < len(files):
            warnings.warn(
                f"{len(loose):,} images in {source} such as {loose[0].name} stand in no label's folder",
                GandtWarning,
                stacklevel=4,
            )
        return [(str(path), path.relative_to(root).parts[0]) for path in files if path.parent != root]
    if "=" in source and not Path(source).exists() and not storage.is_s3(source):
        label, _, files_ = source.partition("=")
        files_named = _addresses([file.strip() for file in files_.split(",") if file.strip()], known)
        return [(file, label.strip()) for file in files_named]
    if source.endswith(".manifest"):
        return _manifest_pairs(source, known, s3)
    if not storage.is_s3(source) and not Path(source).is_file():
        raise walk.unusable(source, "a folder per label, a table or manifest with labels, or label=FILE,FILE")
    table = tables.read_table(source, s3=s3)
    if "source-ref" in table.columns:
        return _manifest_pairs(source, known, s3)
    tables.check_schema(table, tables.GOLD, source)
    rows = table.dropna(subset=["label"])
    return list(zip(_addresses(rows["item"].tolist(), known), rows["label"].astype(str), strict=True))


def _manifest_pairs(source: str, known: Collection[str], s3: Any) -> list[tuple[str, str]]:
    """Read the label from the line's metadata: ``<attribute>-metadata`` with ``class-name``, or ``class-map``.

    Where the line brings its item's name, that counts if the store knows it, else the address.
    """
    pairs = []
    for number, line in enumerate(storage.read_text(source, s3=s3).split("\n"), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            names = [name for name in map(_address, line_names(entry)) if name in known]
            item = names[0] if names else entry["source-ref"]
            metadata = [value for key, value in entry.items() if key.endswith("-metadata") and isinstance(value, dict)]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"line {number} of {source} is no line of an augmented manifest: {error!r}") from error
        for facts in metadata:
            names = [facts["class-name"]] if "class-name" in facts else list(dict(facts.get("class-map", {})).values())
            pairs += [(_address(str(item)), str(name)) for name in names]
    return pairs


def _addresses(names: list[str], known: Collection[str]) -> list[str]:
    """Return names as the store spells them, the others as addresses."""
    return [name if name in known else _address(name) for name in spelled_as(names, known)]


def _address(name: str) -> str:
    name = name.strip()
    return name if storage.is_s3(name) else str(Path(name).absolute())


def _sha256(item: str) -> str:
    if storage.is_s3(item) or not Path(item).is_file():
        return ""
    return hashlib.sha256(Path(item).read_bytes()).hexdigest()
