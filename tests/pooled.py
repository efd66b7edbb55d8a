"""A store of made-up vectors in well separated kinds, without any picture."""

from pathlib import Path

import numpy as np

from gandt.embedding import EmbeddingStore
from gandt.embedding.store import EMBEDDED, Record
from gandt.embedding.writer import Writer


def make_store(
    folder: Path, *, kinds: int, each: int, copies: int = 0, seed: int = 0, base: str = "/pool"
) -> tuple[EmbeddingStore, dict[str, str]]:
    """Write a store of ``kinds`` × ``each`` items, and ``copies`` of the first; return it and each item's kind."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(kinds, 16))
    names = [f"{base}/{kind}-{number:03}.png" for number in range(each) for kind in range(kinds)]
    vectors = np.array([centres[place % kinds] + 0.3 * rng.normal(size=16) for place in range(len(names))])
    vectors = (vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)).reshape(-1, 16)
    records = [Record(name, f"{place:064x}", 10, 10, EMBEDDED, "", place, "1") for place, name in enumerate(names)]
    records += [
        Record(f"{name}.copy", f"{place:064x}", 10, 10, EMBEDDED, "", -1, "1")
        for place, name in enumerate(names[:copies])
    ]
    description = {
        "model": "made up",
        "weights": "",
        "precision": "fp32",
        "preprocessing": {},
        "dim": 16,
        "dtype": "float32",
    }
    with Writer(str(folder), description) as writer:
        writer.write(records, vectors)
    kind_of = {record.item: Path(record.item).name.split("-")[0] for record in records}
    return EmbeddingStore.open(str(folder)), kind_of
