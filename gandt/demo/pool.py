"""The demo's images: scikit-learn's handwritten digits, or the user's own folder.

Three things are told apart, and only the report ever puts them together: the images to label, the seeds (a few
labelled examples), and the truth, where it is known.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gandt import walk
from gandt.errors import InputError, extra
from gandt.images import EXTENSIONS, list_images
from gandt.progress import track

OTHER = "None of these"
SEEDS_PER_LABEL = 12

# Spelt out, because workers press digits to choose. Three round ones are wanted: they resemble each other, so that
# the crowd has something to disagree about.
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DIGITS_WANTED = ("zero", "six", "eight")
DIGIT_PIXELS = 160


@dataclass(frozen=True)
class Pool:
    """Images by absolute path.

    ``seeds`` maps each wanted label to its examples; ``truth`` maps an image to its label, :data:`OTHER` where it is
    none of the wanted ones, and is None where nobody knows. ``folders`` are what has to be embedded.
    """

    folders: tuple[str, ...]
    images: tuple[str, ...]
    seeds: Mapping[str, Sequence[str]]
    truth: Mapping[str, str] | None
    notes: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The wanted labels, in a stable order."""
        return tuple(self.seeds)


def digits_pool(folder: Path, seed: int) -> Pool:
    """Write scikit-learn's 1,797 scans of handwritten digits as PNG into ``folder``, and draw seeds.

    The files are numbered, so that no name tells the digit. A folder that is there already is used as it is.

    Raises
    ------
    MissingExtraError
        When scikit-learn isn't installed.
    """
    with extra("local", "gandt demo"):
        from sklearn.datasets import load_digits
    digits = load_digits()
    paths = [folder / f"{number:04}.png" for number in range(len(digits.target))]
    if not folder.is_dir():
        _write_digits(folder, digits.images)
    truth_of = {str(path): DIGITS[digit] for path, digit in zip(paths, digits.target, strict=True)}
    return _pool((str(folder),), truth_of, DIGITS_WANTED, seed)


def folder_pool(images: str, seeds: str | None, labels: Sequence[str], seed: int) -> Pool:
    """Take the user's own pictures: a folder of images, or of class folders, whose names are then the truth.

    Parameters
    ----------
    images : str
        The folder.
    seeds : str, optional
        A folder with one folder of examples per label; by default a few are drawn from the class folders.
    labels : sequence of str
        The class folders to look for when ``seeds`` isn't given; by default the first three.
    seed : int
        Of the draw.

    Raises
    ------
    InputError
        When a folder holds no image, a label has no seed, or there are more seeds than images.
    """
    classes = _class_folders(Path(images), "--images")
    named = {path: name for name, paths in classes.items() for path in paths if name}
    everything = [path for paths in classes.values() for path in paths]
    if not everything:
        raise InputError(
            f"{images} holds no image ({', '.join(sorted(EXTENSIONS))}); give --images a folder of pictures"
        )
    if seeds is None:
        if not named:
            raise InputError(
                f"{images} has no class folders to take seeds from; name a folder of examples per label with --seeds"
            )
        names = sorted(set(named.values()))
        wanted = tuple(labels) or tuple(names[: max(1, min(3, len(names) - 1))])
        unknown = [label for label in wanted if label not in names]
        if unknown:
            raise InputError(f"{images} has no class folder {unknown[0]!r}; it has {', '.join(names)}")
        return _pool((str(Path(images).resolve()),), {path: named.get(path, "") for path in everything}, wanted, seed)

    examples = _class_folders(Path(seeds), "--seeds")
    examples.pop("", None)
    if not examples:
        raise InputError(
            f"{seeds} has no folders of examples; make one folder per label, named after it, with pictures in it"
        )
    for label, paths in examples.items():
        if not paths:
            raise InputError(
                f"the label {label!r} has no seeds: {Path(seeds) / label} holds no image; put a few examples there"
            )
    taken = {path for paths in examples.values() for path in paths}
    rest = [path for path in everything if path not in taken]
    _enough(rest, len(taken), images)
    truth: dict[str, str] | None = None
    notes: tuple[str, ...] = ()
    if set(named.values()) & set(examples):
        truth = {path: name if (name := named.get(path, "")) in examples else OTHER for path in rest}
    elif named:
        notes = (f"the class folders of {images} share no name with the seeds' labels, so they aren't taken as truth",)
    folders = (str(Path(images).resolve()), str(Path(seeds).resolve()))
    return Pool(folders, tuple(rest), examples, truth, notes)


def _pool(folders: tuple[str, ...], class_of: Mapping[str, str], wanted: Sequence[str], seed: int) -> Pool:
    """Draw seeds of every wanted label from images of known class; the rest is to be labelled."""
    rng = random.Random(seed)
    seeds = {}
    for label in wanted:
        members = [path for path, name in class_of.items() if name == label]
        if not members:
            raise InputError(
                f"the label {label!r} has no seeds: there is no image of it; add some or leave the label out"
            )
        # at most a third of a small class may be spent on seeds
        seeds[label] = sorted(rng.sample(members, max(1, min(SEEDS_PER_LABEL, len(members) // 3))))
    taken = {path for paths in seeds.values() for path in paths}
    rest = [path for path in class_of if path not in taken]
    _enough(rest, len(taken), folders[0])
    truth = {path: class_of[path] if class_of[path] in seeds else OTHER for path in rest}
    return Pool(folders, tuple(rest), seeds, truth)


def _enough(rest: Sequence[str], seeds: int, folder: str) -> None:
    if len(rest) < seeds:
        raise InputError(
            f"the pool is smaller than the seeds: {folder} has {len(rest)} images besides {seeds} seeds; "
            "add images or use fewer seeds"
        )


def _class_folders(folder: Path, option: str) -> dict[str, list[str]]:
    """Return the images of each immediate folder by its name, and of ``folder`` itself under the empty name."""
    if not folder.is_dir():
        raise walk.unusable(str(folder), f"a folder of pictures for {option}")
    found: dict[str, list[str]] = {
        entry.name: [] for entry in sorted(folder.iterdir()) if entry.is_dir() and entry.name[0] != "."
    }
    for uri in list_images(str(folder.resolve())):
        parts = Path(uri).relative_to(folder.resolve()).parts
        found.setdefault(parts[0] if len(parts) > 1 else "", []).append(uri)
    return found


def _write_digits(folder: Path, scans: Sequence[object]) -> None:
    import shutil

    import numpy as np
    from PIL import Image

    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for number, scan in enumerate(track(scans, "writing the digits as PNG")):
        ink = np.pad(np.asarray(scan) / 16.0, 1)  # 8 × 8 grey levels, 0 is paper; a margin keeps strokes off the edge
        image = Image.fromarray(np.uint8(255 * (1 - ink)))
        image.resize((DIGIT_PIXELS, DIGIT_PIXELS), Image.Resampling.BICUBIC).save(part / f"{number:04}.png")
    part.rename(folder)
