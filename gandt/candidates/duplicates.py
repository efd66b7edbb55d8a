"""Find items that show the same: exactly, by the hash of the file, or nearly, by their vectors."""

import base64
import io
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from scipy import sparse
from scipy.sparse import csgraph

from gandt import storage
from gandt.arguments import checked
from gandt.candidates.devices import CPU, Array, Device, choose
from gandt.candidates.rules import centred, pool_mean
from gandt.embedding import EmbeddingStore
from gandt.errors import InputError, StorageError
from gandt.images import BadImageError, Preprocessing, decode
from gandt.progress import Meter
from gandt.text import escaped

_BLOCK = 2048


@checked
def find_duplicates(store: EmbeddingStore, *, threshold: float | None = 0.9, device: str = "auto") -> pd.DataFrame:
    """Return groups of items that show the same.

    Parameters
    ----------
    store : EmbeddingStore
        All of its embedded items are compared with one another: n² products, about 20 s per 100,000² on two cores.
    threshold : float, optional
        Cosine after centring from which two items count as near duplicates; ``None`` finds exact ones only. At 0.9
        a photograph still finds itself after stronger JPEG compression, brightening or mirroring, mostly not after
        it was halved or cropped by a tenth (docs/embedding.md has the figures).
    device : {"auto", "cpu", "cuda"}
        Where the products run; ``auto`` takes a GPU where torch sees one.

    Returns
    -------
    DataFrame
        group (int), item, kind ("exact": the same bytes as the representative, "near", or "representative"),
        similarity (to the representative). Groups chain: a is near b, b near c. The representative has the most
        pixels; only groups of two or more are listed, biggest first.

    Raises
    ------
    InputError
        When the threshold isn't between 0 and 1, or there is no such device.
    """
    if threshold is not None and not 0 < threshold <= 1:
        raise InputError(f"a threshold for duplicates lies between 0 and 1, not {threshold}")
    items = store.items[store.items["status"] == "embedded"].sort_values("item", ignore_index=True)
    rows = items["row"].to_numpy()
    if threshold is None:
        group = pd.factorize(items["sha256"])[0]
    else:
        pairs = near_pairs(store, threshold, choose(device))
        graph = sparse.coo_array((np.ones(len(pairs)), (pairs["row"], pairs["other"])), shape=(len(store.vectors),) * 2)
        group = csgraph.connected_components(graph, directed=False)[1][rows]  # one row has all exact copies
    items = items.assign(group=group, pixels=items["width"].astype("int64") * items["height"])
    items = items[items.groupby("group")["item"].transform("size") > 1]
    if not len(items):
        return pd.DataFrame({"group": np.empty(0, np.int64), "item": [], "kind": [], "similarity": np.empty(0)})
    items = items.sort_values(["pixels", "item"], ascending=[False, True])
    first = items.groupby("group").transform("first")
    centre = pool_mean(store.vectors)
    vectors, others = (centred(store.vectors[table["row"].to_numpy()], centre) for table in (items, first))
    exact = items["sha256"] == first["sha256"]
    kind = np.where(items["item"] == first["item"], "representative", np.where(exact, "exact", "near"))
    table = items[["group", "item"]].assign(
        kind=kind,
        similarity=np.where(exact, 1.0, (vectors * others).sum(axis=1)),
        size=items.groupby("group")["item"].transform("size"),
    )
    table["first"] = first["item"]
    table["is_other"] = table["kind"] != "representative"
    table = table.sort_values(
        ["size", "first", "is_other", "similarity", "item"], ascending=[False, True, True, False, True]
    )
    table["group"] = pd.factorize(table["group"])[0]
    return table[["group", "item", "kind", "similarity"]].reset_index(drop=True)


def near_pairs(store: EmbeddingStore, threshold: float, device: Device = CPU) -> pd.DataFrame:
    """Return the pairs whose cosine after centring reaches ``threshold``: row, other (row < other), similarity."""
    vectors, rows = store.vectors, store.items["row"].to_numpy()
    used = np.zeros(len(vectors), bool)  # the vectors of files that are gone, or were changed, resemble nothing
    used[rows[rows >= 0]] = True
    centre = pool_mean(vectors)
    found: list[tuple[Array, Array, Array]] = []
    with Meter("comparing vectors", len(vectors)) as meter:
        for first in range(0, len(vectors), _BLOCK):
            block = centred(vectors[first : first + _BLOCK], centre)
            left_block = device.put(block)
            for second in range(first, len(vectors), _BLOCK):
                other = block if second == first else centred(vectors[second : second + _BLOCK], centre)
                left, right, similar = device.reaching(left_block @ device.put(other).T, threshold)
                keep = (left + first < right + second) & used[left + first] & used[right + second]
                found.append((left[keep] + first, right[keep] + second, similar[keep]))
            meter.step(len(block))
    columns = [np.concatenate(column) for column in zip(*found, strict=True)] if found else [np.empty(0)] * 3
    table = pd.DataFrame(dict(zip(("row", "other", "similarity"), columns, strict=True)))
    return table.sort_values(["similarity", "row", "other"], ascending=[False, True, True], ignore_index=True)


def threshold_page(
    store: EmbeddingStore, path: str, *, lowest: float = 0.7, per_level: int = 5, s3: Any = None
) -> None:
    """Write an HTML page that shows pairs of pictures by similarity, for choosing a threshold by eye.

    Parameters
    ----------
    store : EmbeddingStore
        Its pictures are read again where they lie.
    path : str
        Of the page; local or ``s3://``.
    lowest : float
        Similarity at which the page ends.
    per_level : int
        Pairs per step of 0.05.
    s3 : boto3 S3 client, optional
        By default one made from the environment.
    """
    pairs = near_pairs(store, lowest)
    level = (pairs["similarity"] * 20).astype(int) / 20
    names = store.items[store.items["row"] >= 0].drop_duplicates("row").set_index("row")["item"]
    parts = []
    for bound, some in sorted(pairs.groupby(level), reverse=True):
        chosen = some.iloc[np.unique(np.linspace(0, len(some) - 1, min(per_level, len(some))).astype(int))]
        parts.append(f"<h2>from {float(bound):.2f} ({len(some):,} pair{'s'[: len(some) != 1]})</h2>")
        for row, other, similarity in chosen.itertuples(index=False):
            pictures = "".join(_thumbnail(str(names[int(each)]), s3) for each in (row, other))
            parts.append(f"<figure>{pictures}<figcaption>{similarity:.3f}</figcaption></figure>")
    text = (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Which pairs show the same?</title>"
        "<style>body{font:16px sans-serif;margin:2rem}figure{display:inline-block;margin:.5rem;text-align:center}"
        "img{height:128px;margin:2px}</style><h1>Which pairs show the same?</h1>"
        "<p>Choose the lowest similarity at which the pairs are still duplicates, and pass it as --threshold.</p>"
        + ("".join(parts) or f"<p>No two pictures are as similar as {lowest}.</p>")
    )
    storage.write_text(path, text, s3=s3, content_type="text/html; charset=utf-8")


def _thumbnail(item: str, s3: Any) -> str:
    name = escaped(item)
    try:
        pixels = decode(storage.read_bytes(item, s3=s3), Preprocessing(128, 1.0)).pixels
    except (BadImageError, StorageError):
        return f"<span title='{name}'>(the picture is gone)</span>"
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=80)
    return (
        f"<img title='{name}' alt='{name}' src='data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}'>"
    )
