"""Images to vectors: the pipeline and the store."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gandt import EmbeddingStore, embed
from gandt.errors import InputError


def paint(path: Path, number: int, size: tuple[int, int] = (80, 60)) -> str:
    """Write a picture that differs from all others, and return its item."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST).save(path)
    return str(path)


def test_a_folder_becomes_unit_vectors_and_bad_files_are_set_aside_with_a_reason(tmp_path: Path) -> None:
    good = [paint(tmp_path / "pool" / f"{number}.png", number) for number in range(5)]
    (tmp_path / "pool/empty.jpg").touch()
    (tmp_path / "pool/text.png").write_text("<html>")
    store = embed(str(tmp_path / "pool"), str(tmp_path / "store"))
    items = store.items.set_index("item")
    assert items["status"].to_dict() == {
        **dict.fromkeys(good, "embedded"),
        str(tmp_path / "pool/empty.jpg"): "set aside",
        str(tmp_path / "pool/text.png"): "set aside",
    }
    assert "empty (0 bytes)" in items.at[str(tmp_path / "pool/empty.jpg"), "reason"]
    assert "HTML" in items.at[str(tmp_path / "pool/text.png"), "reason"]
    assert (items.loc[good, ["width", "height"]] == [80, 60]).all(axis=None)
    np.testing.assert_allclose(np.linalg.norm(store.vectors[store.rows(good)], axis=1), 1, atol=1e-6)


def test_what_the_store_holds_is_not_computed_again(tmp_path: Path) -> None:
    for number in range(3):
        paint(tmp_path / "pool" / f"{number}.png", number)
    first = embed(str(tmp_path / "pool"), str(tmp_path / "store"))
    again = embed(str(tmp_path / "pool"), str(tmp_path / "store"))
    assert (first.run.embedded, again.run.embedded, again.run.known) == (3, 0, 3)
    moved = paint(tmp_path / "pool/new name.png", 1)  # the content of 1.png
    changed = paint(tmp_path / "pool/2.png", 99)
    third = embed(str(tmp_path / "pool"), str(tmp_path / "store"))
    assert (third.run.embedded, third.run.linked, third.run.known) == (1, 1, 2)
    rows = third.rows([moved, str(tmp_path / "pool/1.png"), changed])
    assert rows[0] == rows[1]
    assert len(third.items) == 4 and len(third.vectors) == 4
    assert not np.allclose(third.vectors[rows[2]], first.vectors[first.rows([changed])[0]])


def test_an_unknown_item_is_named(tmp_path: Path) -> None:
    paint(tmp_path / "pool/1.png", 1)
    (tmp_path / "pool/bad.png").touch()
    store = embed(str(tmp_path / "pool"), str(tmp_path / "store"))
    with pytest.raises(InputError, match=r"/nowhere\.png is not in the store"):
        store.rows(["/nowhere.png"])
    with pytest.raises(InputError, match=r"bad\.png has no vector .* empty"):
        EmbeddingStore.open(store.path).rows([str(tmp_path / "pool/bad.png")])
