"""Build a manifest: one item in each data object, or pages of items, with gold mixed in.

The grouped form is g-and-t's: a page's items stand as a JSON *string* under ``source``, because Ground Truth takes
only strings there; items are dealt round-robin, so that pages differ by one item at most, and the first item of a
page carries what holds for the whole page.
"""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from gandt import categories as rules
from gandt import storage
from gandt.arguments import checked, require_columns
from gandt.errors import ContractError, InputError
from gandt.manifest.lines import NAMES, named
from gandt.manifest.questions import check_examples, check_gold, gold_labels

# https://docs.aws.amazon.com/sagemaker/latest/dg/sms-input-data-input-manifest.html, in characters of JSON
MAX_LINE = 100_000
MAX_ATTRIBUTE = 20_000

GOLD_COLUMNS = ["data_object", "item", "label"]


@dataclass(frozen=True)
class Manifest:
    """A manifest's lines and, apart from them, which of its items are gold.

    Attributes
    ----------
    lines : list of dict
        One data object each, as it is written; nothing in them tells gold from the rest.
    gold : pandas.DataFrame
        ``data_object`` (the line's zero-based number, str), ``item``, ``label``: a row for each place of a gold item.
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
        text = "".join(dumps(line) + "\n" for line in self.lines)
        storage.write_text(uri, text, s3=s3, content_type="application/jsonlines")


@checked
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
    shared: Mapping[str, Any] | None = None,
    where: Mapping[str, str] | None = None,
) -> Manifest:
    """Turn items into a manifest.

    Parameters
    ----------
    items : sequence of str
        What to ask about, each an address (or the text itself with ``text=True``). Repeats are asked once; an item
        that is also gold is asked as gold only.
    per_page : int
        1 gives a line for each item, ``{"source-ref": item, ...}``; more gives pages of up to that many items.
    categories, other, positive_examples, negative_examples
        What the worker chooses from and sees as examples. With ``per_page=1`` they stand on the line (``labels``,
        ``other``, …), otherwise on the first item of each page (``event_names``, ``other_category_label``, …).
        Categories are written trimmed and in Unicode's form NFC; an example is an address, or a path to a file.
    gold : mapping of str to str, optional
        Items whose label is known, mixed in to measure workers; a label is one of the categories, or ``other``.
    gold_rate : float
        Share of all shown tiles that are gold, 0 to below 1; at least one tile if it isn't 0. Gold is spread over the
        pages as evenly as it goes, never the same twice on a page, at places drawn by ``seed``.
    seed : int
        The same seed gives the same manifest.
    text : bool
        The items are texts, not addresses: they go under ``source``.
    extra : mapping of str to mapping, optional
        Further keys for single items: on their line, or on their entry of a page.
    shared : mapping, optional
        Further keys for all, such as ``header`` or ``multi_select``: on every line.
    where : mapping of str to str, optional
        What is shown for an item (or an example) whose address is another than its name, such as an uploaded image's.
        The line then brings the items' names beside (``gandt-items``), which the job's answers go by. Several items
        may lie at one address.

    Returns
    -------
    Manifest

    Raises
    ------
    InputError
        When there are no items, options contradict each other, there is too little gold for the pages, or nobody could
        answer: categories that are empty, given twice or equal to ``other``, gold outside of them, examples not there.
    ContractError
        When a line would be longer than Ground Truth takes, or a key is not allowed.
    """
    categories, other = rules.checked(categories, other)
    extra, shared, where = extra or {}, dict(shared or {}), where or {}
    if not text:
        check_examples([where.get(each, each) for each in (*positive_examples, *negative_examples)])
    gold = check_gold(gold or {}, categories, other)
    both = set(positive_examples) & set(negative_examples)
    if both:
        raise InputError(f"the example {min(both)!r} shows what is meant and what is not meant; keep one of the two")
    _check_options(per_page, gold, gold_rate, shared, extra)
    asked = [item for item in dict.fromkeys(items) if item not in gold]
    if not asked:
        raise InputError("there is nothing to ask: no items were given" + (" that aren't gold" if gold else ""))
    for item in [*asked, *gold]:
        if not isinstance(item, str) or not item.strip():
            raise InputError(f"an item is {item!r}; each is an address (or a text) to be shown: leave empty ones out")
    tiles, places, pages = _deal(asked, list(gold), per_page, gold_rate, random.Random(seed))

    key = "source" if text else "source-ref"
    positive, negative = ([where.get(each, each) for each in part] for part in (positive_examples, negative_examples))
    lines: list[dict[str, Any]] = []
    for page in range(pages):
        if per_page == 1:
            head: dict[str, Any] = {"labels": list(categories), "other": other}
            head |= {"positive_examples": positive, "negative_examples": negative}
            given = {name: value for name, value in head.items() if value}
            items = [tiles[page]]
            twice = next((name for name in (*shared, *extra.get(items[0], {})) if name in given), None)
            if twice is not None:
                raise InputError(f"the key {twice!r} is set twice: by its own option and as a further key; keep one")
            line = {key: where.get(items[0], items[0]), **given, **shared, **extra.get(items[0], {})}
        else:
            # the index is global: a tile's number over all pages, gold included
            places_ = range(page, len(tiles), pages)
            items = [tiles[i] for i in places_]
            entries = [
                {key: where.get(item, item), "index": i, **extra.get(item, {})}
                for i, item in zip(places_, items, strict=True)
            ]
            entries[0] |= {
                "event_names": list(categories),
                "positive_examples": positive,
                "negative_examples": negative,
                "other_category_label": other,
            }
            line = {"source": dumps(entries), **shared}
        line = named(line, items)
        _check_length(line, page)
        lines.append(line)
    record = [(str(i % pages), tiles[i], gold[tiles[i]]) for i in sorted(places, key=lambda i: (i % pages, i))]
    return Manifest(lines, pd.DataFrame(record, columns=GOLD_COLUMNS, dtype=str))


@checked
def build_pairs(
    pairs: pd.DataFrame, *, gold: pd.DataFrame | None = None, where: Mapping[str, str] | None = None, **options: Any
) -> Manifest:
    """Turn pairs of images into a manifest of one data object each, for the templates pair-same and pair-better.

    A pair's item, by which its label is found later, is both addresses with a space between.

    Parameters
    ----------
    pairs : pandas.DataFrame
        ``left, right``: addresses.
    gold : pandas.DataFrame, optional
        ``left, right, label`` of pairs whose label is known.
    where : mapping of str to str, optional
        Where images lie, by what the tables call them; as in :func:`build_manifest`.
    **options
        ``categories, other, positive_examples, negative_examples, gold_rate, seed, shared`` of :func:`build_manifest`.

    Raises
    ------
    InputError, ContractError
        As :func:`build_manifest` does.
    """
    known = pd.DataFrame(columns=["left", "right", "label"], dtype=str) if gold is None else gold
    require_columns(pairs, "pairs", "left", "right")
    require_columns(known, "gold pairs", "left", "right", "label")
    asked = list(zip(pairs["left"], pairs["right"], strict=True))
    golden = list(zip(known["left"], known["right"], strict=True))
    lies = where or {}
    shown = {f"{left} {right}": (lies.get(left, left), lies.get(right, right)) for left, right in [*asked, *golden]}
    examples = [*options.get("positive_examples", ()), *options.get("negative_examples", ())]
    check_examples([lies.get(each, each) for each in examples])
    return build_manifest(
        [f"{left} {right}" for left, right in asked],
        gold=gold_labels(known, ["left", "right"], where="the gold pairs"),
        text=True,
        extra={item: {"left": left, "right": right} for item, (left, right) in shown.items()},
        where={**lies, **{item: " ".join(pair) for item, pair in shown.items()}},
        **options,
    )


def dumps(value: Any) -> str:
    """Write JSON as manifests hold it: on one line, readable, and always possible to encode as UTF-8."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError) as error:  # a circle, or something that JSON has no form for
        raise InputError(f"a manifest is JSON, and holds no such value: {error}; give texts and numbers") from error
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return json.dumps(value)
    return text


def attribute_length(value: Any) -> int:
    """Return an attribute's length in characters as it stands in the file, a string's quotes not counted.

    Whether Ground Truth counts before or after JSON's escapes is not documented; this is the longer of the two.
    """
    return len(dumps(value)) - 2 * isinstance(value, str)


def _check_options(
    per_page: int,
    gold: Mapping[str, str],
    gold_rate: float,
    shared: Mapping[str, Any],
    extra: Mapping[str, Mapping[str, Any]],
) -> None:
    if per_page < 1:
        raise InputError(f"per_page is {per_page}; a page shows at least 1 item")
    if not 0 <= gold_rate < 1:
        raise InputError(f"gold_rate is {gold_rate}; it is a share, from 0 to below 1")
    if bool(gold) != (gold_rate > 0):
        lacking = (
            "gold_rate is 0; give the share of tiles to be gold, such as 0.1" if gold else "no gold items were given"
        )
        raise InputError(f"gold can't be mixed in: {lacking}")
    for name in [*shared, *(name for keys in extra.values() for name in keys)]:
        if not name or name.startswith("$") or name in ("source", "source-ref", "index", NAMES):
            raise ContractError(
                f"{name!r} can't be an extra key of a manifest line: it is reserved; choose another name"
            )


def _deal(
    asked: list[str], gold: list[str], per_page: int, rate: float, rng: random.Random
) -> tuple[list[str], set[int], int]:
    """Lay items and gold out in dealing order, where tile i lies on page i modulo the number of pages.

    Returns the tiles, the places of the gold among them, and the number of pages.
    """
    count = max(round(len(asked) * rate / (1 - rate)), 1) if rate > 0 else 0
    total = len(asked) + count
    pages = -(-total // per_page)
    most = -(-count // pages)  # gold on a page
    if most > len(gold):
        raise InputError(
            f"a gold_rate of {rate} puts {most} gold items on a page of {per_page}, and only {len(gold)} are there, "
            "which would show one twice; give more gold, or a lower rate"
        )
    # every page in turn, in a new random order each turn, so that no page gets two more than another
    size = [len(range(page, total, pages)) for page in range(pages)]
    share = [0] * pages
    left = count
    while left:
        turn = [page for page in rng.sample(range(pages), pages) if share[page] < size[page]][:left]
        for page in turn:
            share[page] += 1
        left -= len(turn)
    # on each page the gold that was shown least often; the dictionary's random order breaks ties
    used = dict.fromkeys(rng.sample(gold, len(gold)), 0)
    places: dict[int, str] = {}
    for page in rng.sample(range(pages), pages):
        slots = rng.sample(range(page, total, pages), share[page])
        for place, item in zip(slots, sorted(used, key=used.__getitem__), strict=False):
            places[place] = item
            used[item] += 1
    rest = iter(asked)
    return [places[i] if i in places else next(rest) for i in range(total)], set(places), pages


def _check_length(line: dict[str, Any], number: int) -> None:
    for name, value in line.items():
        length = attribute_length(value)
        if length > MAX_ATTRIBUTE:
            raise ContractError(
                f"data object {number}: its {name!r} has {length:,} characters, and Ground Truth takes "
                f"{MAX_ATTRIBUTE:,}; put fewer items on a page, or shorten addresses and examples"
            )
    length = len(dumps(line))
    if length > MAX_LINE:
        raise ContractError(f"data object {number}: it has {length:,} characters, and Ground Truth takes {MAX_LINE:,}")
