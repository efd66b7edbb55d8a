"""A simulated crowd, honest about being simulated: it stands where people would, and nobody else sees its truth.

Its workers read the rendered page and fill in the form that is on it. How they err follows Dawid and Skene (1979),
a confusion matrix per worker, with one thing added: on a hard image everybody is drawn to the label that the image
looks like, so errors agree with each other, as they do among people.
"""

import json
import random
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import numpy as np

from gandt.errors import ContractError
from gandt.service.outputs import WorkerAnswer

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)  # a simulated Monday, so that the same seed gives the same files


@dataclass(frozen=True)
class Nature:
    """What a kind of worker is like: the chance to be right on an easy image, seconds per image, and a habit."""

    kind: str
    skill: float
    seconds: float
    habit: str = "tries"  # "tries" | "guesses" | "always the same"


CAREFUL = Nature("careful", 0.985, 3.2)
AVERAGE = Nature("average", 0.94, 2.4)
HASTY = Nature("hasty", 0.86, 1.7)
LAZY = Nature("lazy", 0.94, 1.5, "always the same")
SPAMMER = Nature("spammer", 0.0, 1.5, "guesses")

# Two workteams: the second sees only what the first left in doubt.
FIRST_TEAM = (CAREFUL, CAREFUL, CAREFUL, AVERAGE, AVERAGE, AVERAGE, AVERAGE, HASTY, HASTY, LAZY, SPAMMER)
SECOND_TEAM = (CAREFUL, CAREFUL, AVERAGE, AVERAGE, HASTY)


@dataclass(frozen=True)
class Scene:
    """What the crowd, and only the crowd, knows of the images, by ``s3://`` address.

    ``truth`` is the right label, ``lookalike`` the wrong label that the image resembles most, ``difficulty`` from 0
    (easiest) to 1 (hardest).
    """

    truth: Mapping[str, str]
    lookalike: Mapping[str, str]
    difficulty: Mapping[str, float]


@dataclass
class SimulatedWorker:
    """One worker: a nature, a confusion matrix drawn for him, and a time at which he is free."""

    id: str
    nature: Nature
    confusion: Mapping[str, Sequence[float]]  # true label → chance of each label, in the order of `labels`
    labels: Sequence[str]
    rng: np.random.Generator
    free_at: datetime = START

    def choose(self, truth: str, lookalike: str, difficulty: float) -> str:
        """Return the label that this worker gives to an image."""
        if self.nature.habit == "guesses":
            return str(self.rng.choice(self.labels))
        if self.nature.habit == "always the same" and self.rng.random() < 0.7:
            return self.labels[-1]
        chances = np.array(self.confusion[truth])
        drawn = 0.7 * difficulty**16  # the hardest twentieth of the pool draws many an answer to what it looks like
        pull = np.zeros(len(self.labels))
        pull[self.labels.index(lookalike)] = 0.7
        pull[self.labels.index(truth)] += 0.3
        return str(self.rng.choice(self.labels, p=(1 - drawn) * chances + drawn * pull))


@dataclass
class SimulatedCrowd:
    """A workteam of simulated workers; a :class:`gandt.service.engine.Workforce`.

    Parameters
    ----------
    natures : sequence of Nature
        One worker each.
    labels : sequence of str
        Every label a worker can choose; the lazy worker's favourite is the last.
    scene : Scene
        The truth about the images.
    seed : int
        The same seed gives the same workers and answers.
    name : str
        Of the workteam; part of the workers' ids.
    """

    natures: Sequence[Nature]
    labels: Sequence[str]
    scene: Scene
    seed: int
    name: str = "team"
    workers: list[SimulatedWorker] = field(init=False)

    def __post_init__(self) -> None:
        order = list(self.natures)
        random.Random(f"{self.seed} {self.name}").shuffle(order)  # a worker's number tells nothing of him
        self.workers = []
        for number, nature in enumerate(order, start=1):
            rng = np.random.default_rng([self.seed, number, *self.name.encode()])
            worker_id = f"private.us-east-1.{self.name}{number:02}"
            confusion = {label: confusion_row(label, nature.skill, self.labels, rng) for label in self.labels}
            self.workers.append(SimulatedWorker(worker_id, nature, confusion, list(self.labels), rng))

    def begin_at(self, moment: datetime) -> None:
        """Let nobody work before ``moment``."""
        for worker in self.workers:
            worker.free_at = max(worker.free_at, moment)

    def label(self, pages: Mapping[str, str], workers_per_object: int) -> Iterator[tuple[str, WorkerAnswer]]:
        """Answer every page by the workers who are free first, as people take tasks from a list.

        Raises
        ------
        ContractError
            When a page shows no tile, or fewer workers exist than answers are wanted.
        """
        if workers_per_object > len(self.workers):
            raise ContractError(
                f"{workers_per_object} answers per object are wanted, and the workteam has {len(self.workers)} workers"
            )
        for number, html in pages.items():
            tiles = read_tiles(html)
            for worker in sorted(self.workers, key=lambda worker: worker.free_at)[:workers_per_object]:
                accepted = worker.free_at
                seconds = float(worker.rng.lognormal(np.log(worker.nature.seconds), 0.35)) * len(tiles)
                submitted = accepted + timedelta(seconds=seconds)
                worker.free_at = submitted + timedelta(seconds=2)
                yield number, WorkerAnswer(worker.id, self.fill(worker, tiles), accepted, submitted, seconds)

    def fill(self, worker: SimulatedWorker, tiles: Sequence["Tile"]) -> dict[str, str]:
        """Return a worker's form for a page of these tiles."""
        return {f"labels-{tile.index}": json.dumps([self._choose(worker, tile)]) for tile in tiles}

    def _choose(self, worker: SimulatedWorker, tile: "Tile") -> str:
        choice = worker.choose(
            self.scene.truth[tile.image], self.scene.lookalike[tile.image], self.scene.difficulty[tile.image]
        )
        if choice not in tile.choices:
            raise ContractError(f"the page has no button {choice!r} for {tile.image}; it has {', '.join(tile.choices)}")
        return choice


@dataclass
class Tile:
    """One image on a page, as a worker meets it: the index in its form field, its address, its buttons."""

    index: str = ""
    image: str = ""
    choices: list[str] = field(default_factory=list)


def read_tiles(html: str) -> list[Tile]:
    """Read the tiles of a rendered image-grid page.

    Raises
    ------
    ContractError
        When there is none, or one lacks its image, form field or buttons.
    """
    reader = _TileReader()
    reader.feed(html)
    broken = [tile for tile in reader.tiles if not (tile.index and tile.image and tile.choices)]
    if not reader.tiles or broken:
        raise ContractError("the rendered page shows no complete tile; check the template with: gandt template check")
    return reader.tiles


class _TileReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tiles: list[Tile] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given: dict[str, Any] = dict(attrs)
        classes = (given.get("class") or "").split()
        if "tile" in classes:
            self.tiles.append(Tile())
        if not self.tiles:
            return
        tile = self.tiles[-1]
        if tag == "img" and not tile.image and given.get("src"):
            tile.image = address_of(given["src"])
        elif "choice" in classes and given.get("data-label"):
            tile.choices.append(given["data-label"])
        elif tag == "input" and (given.get("name") or "").startswith("labels-"):
            tile.index = given["name"].removeprefix("labels-")


def address_of(url: str) -> str:
    """Return the ``s3://`` address behind a granted (path-style, presigned) URL."""
    path = urllib.parse.unquote(urllib.parse.urlsplit(url).path)
    return f"s3:/{path}"


def confusion_row(label: str, skill: float, labels: Sequence[str], rng: np.random.Generator) -> list[float]:
    """Draw the chances of each answer when ``label`` is right: ``skill`` on average, the errors with favourites."""
    right = float(np.clip(rng.normal(skill, 0.25 * (1 - skill)), 0, 1))
    wrong = rng.dirichlet([0.7] * (len(labels) - 1)) if len(labels) > 1 else np.zeros(0)
    shares = iter((1 - right) * wrong)
    row = [right if other == label else float(next(shares)) for other in labels]
    return [chance / sum(row) for chance in row] if sum(row) else [1 / len(row)] * len(row)
