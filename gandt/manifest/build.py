"""Build a manifest: one item per data object, or pages of items, with gold mixed in.

The grouped form is g-and-t's: the page's items stand as a JSON *string* under ``source``, because Ground Truth takes
only strings there; items are dealt round-robin, so that pages differ by one item at most, and the first item of a
page carries what holds for the whole page.
"""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from gandt import storage
from gandt.errors import ContractError, InputError

MAX_LINE = 100_000  # characters of one line, sms-input-data-input-manifest
MAX_ATTRIBUTE = 20_000  # characters of one attribute
MAX_OBJECTS = 100_000  # lines of one job

GOLD_COLUMNS = ["data_object", "item", "label"]


@dataclass(frozen=True)
class Manifest:
    """A manifest's lines and, apart from them, which of its items are gold.

    Attributes
    ----------
    lines : list of dict
        One data object each, as it is written; nothing in them tells gold from the rest.
    gold : pandas.DataFrame
        ``data_object`` (the line's zero-based number, str), ``item``, ``label``: one row for each place of a gold item.
    """

    lines: list[dict[str, Any]]
    gold: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=GOLD_COLUMNS, dtype=str))

    def write(self, uri: str, s3: Any = None) -> None:
        """Write the lines (not the gold) as JSON lines to a local path or S3 address.

        Raises
        ------
        StorageError
            When it can't be written.
        """
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self.lines)
        storage.write_text(uri, text, s3=s3, content_type="application/jsonlines")


def build_manifest(
    items: Sequence[str],
    *,
    per_page: int = 1,
    categories: Sequence[str] = (),
    other: str | None = None,
    positive_examples: Sequence[str] = (),
    negative_examples: Sequence[str] = (),
    gold: Mapping[str, str] | None = None,
    gold_rate: float = 0.0,
    seed: int = 0,
    text: bool = False,
    extra: Mapping[str, Mapping[str, Any]] | None = None,
) -> Manifest:
    """Turn items into a manifest.

    Parameters
    ----------
    items : sequence of str
        What to ask about, each an ``s3://`` address (or the text itself with ``text=True``). Repeats are asked once;
        an item that is also gold is asked as gold only.
    per_page : int
        1 gives a line for each item, ``{"source-ref": item, ...}``; more gives pages of up to that many items.
    categories, other, positive_examples, negative_examples
        What the worker chooses from and sees as examples. On the line itself with ``per_page=1`` (``labels``,
        ``other``, …), on the first item of each page otherwise (``event_names``, ``other_category_label``, …).
    gold : mapping of str to str, optional
        Items whose label is known, mixed in to measure workers.
    gold_rate : float
        Share of all shown tiles that are gold, 0 to below 1. Gold is spread over the pages as evenly as it goes, never
        twice the same on a page, at places drawn by ``seed``.
    seed : int
        Draws gold's places; the same seed gives the same manifest.
    text : bool
        The items are texts, not addresses: they go under ``source``.
    extra : mapping of str to mapping, optional
        Further keys for an item's line (or its entry on a page).

    Raises
    ------
    InputError
        When options contradict each other, or there is too little gold for the pages.
    ContractError
        When a line would be longer than Ground Truth takes.
    """
    gold = dict(gold or {})
    if per_page < 1:
        raise InputError(f"per_page is {per_page}; a page shows at least 1 item")
    if not 0 <= gold_rate < 1:
        raise InputError(f"gold_rate is {gold_rate}; it is a share, from 0 to below 1")
    if bool(gold) != (gold_rate > 0):
        missing = (
            "gold_rate is 0; give the share of tiles to be gold, such as 0.1" if gold else "no gold items were given"
        )
        raise InputError(f"gold can't be mixed in: {missing}")
    asked = [item for item in dict.fromkeys(items) if item not in gold]
    for item in [*asked, *gold]:
        if not isinstance(item, str) or not item.strip():
            raise InputError(
                f"an item is {item!r}; each is the address (or the text) to be shown, so leave empty ones out"
            )
    tiles, is_gold, pages = _deal(asked, list(gold), per_page, gold_rate, random.Random(seed))

    head = {
        "categories": list(categories),
        "other": other,
        "positive": list(positive_examples),
        "negative": list(negative_examples),
    }
    key = "source" if text else "source-ref"
    lines: list[dict[str, Any]] = []
    for page in range(pages):
        members = range(page, len(tiles), pages)
        if per_page == 1:
            line = {key: tiles[page], **_single_head(head), **(extra or {}).get(tiles[page], {})}
        else:
            entries = [{key: tiles[i], "index": i, **(extra or {}).get(tiles[i], {})} for i in members]
            entries[0] |= _page_head(head)
            line = {"source": json.dumps(entries, ensure_ascii=False)}
        _fits(line, page)
        lines.append(line)
    record = [(str(i % pages), tiles[i], gold[tiles[i]]) for i in sorted(is_gold, key=lambda i: (i % pages, i))]
    return Manifest(lines, pd.DataFrame(record, columns=GOLD_COLUMNS, dtype=str))


def _deal(
    asked: list[str], gold: list[str], per_page: int, rate: float, rng: random.Random
) -> tuple[list[str], set[int], int]:
    """Lay items and gold out in dealing order: tile i lies on page i modulo the number of pages."""
    count = round(len(asked) * rate / (1 - rate)) if asked else 0
    count = max(count, 1) if rate > 0 and asked else count
    total = len(asked) + count
    pages = -(-total // per_page)
    most = -(-count // pages) if pages else 0
    if per_page > 1 and most > len(gold):
        raise InputError(
            f"a gold_rate of {rate} needs {most} gold items on a page, but only {len(gold)} are there; give more gold or a lower rate"
        )
    # each page in turn, in random order, until the gold is spent
    order: list[int] = []
    while len(order) < count:
        order += rng.sample(range(pages), pages)
    places: dict[int, str] = {}
    free = {page: list(range(page, total, pages)) for page in set(order[:count])}
    for slots in free.values():
        rng.shuffle(slots)
    # consecutive members of a cycle differ, and a page is met once in each turn: so draw in cycles, and swap on a clash
    bag: list[str] = []
    shown: dict[int, set[str]] = {}
    for page in order[:count]:
        if len(free[page]) == 0:  # a last, shorter page that is all gold already
            page = next(p for p in range(pages) if len(free.setdefault(p, list(range(p, total, pages)))) > 0)
        if not bag:
            bag = rng.sample(gold, len(gold))
        on_page = shown.setdefault(page, set())
        pick = next((g for g in reversed(bag) if g not in on_page), None)
        if pick is None:
            pick = rng.choice([g for g in gold if g not in on_page])
        else:
            bag.remove(pick)
        on_page.add(pick)
        places[free[page].pop()] = pick
    rest = iter(asked)
    tiles = [places[i] if i in places else next(rest) for i in range(total)]
    return tiles, set(places), pages


def _single_head(head: dict[str, Any]) -> dict[str, Any]:
    names = {"categories": "labels", "other": "other", "positive": "positive_examples", "negative": "negative_examples"}
    return {names[key]: value for key, value in head.items() if value}


def _page_head(head: dict[str, Any]) -> dict[str, Any]:
    return {
        "event_names": head["categories"],
        "positive_examples": head["positive"],
        "negative_examples": head["negative"],
        "other_category_label": head["other"],
    }


def _fits(line: dict[str, Any], number: int) -> None:
    for name, value in line.items():
        length = len(value) if isinstance(value, str) else len(json.dumps(value, ensure_ascii=False))
        if length > MAX_ATTRIBUTE:
            raise ContractError(
                f"data object {number}: its {name!r} has {length:,} characters, and Ground Truth takes {MAX_ATTRIBUTE:,}; "
                "put fewer items on a page, or shorten the addresses or examples"
            )
    length = len(json.dumps(line, ensure_ascii=False))
    if length > MAX_LINE:
        raise ContractError(
            f"data object {number}: the line has {length:,} characters, and Ground Truth takes {MAX_LINE:,}; shorten it"
        )
