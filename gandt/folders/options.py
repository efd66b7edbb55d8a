"""The options of a labels folder: QuickLabel's names and defaults, kept beside the folders."""

import dataclasses
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from gandt import storage
from gandt.errors import InputError
from gandt.rounds.head import make_classifier


@dataclass(frozen=True)
class Options:
    """What can be set.

    Attributes
    ----------
    suffix : str
        ``<label><suffix>/`` takes what is predicted to be of a label.
    dataset : str
        The folder of images without a label.
    needhelp : str
        The folder that takes what the classifier isn't sure of.
    needhelp_prob : float
        Below this probability of the likeliest label an image goes to ``needhelp``.
    new_sample : int
        How many images a step looks at.
    model : str
        The network, see ``gandt embed``. (QuickLabel's ResNet50 is ``timm:resnet50`` here.)
    classifier : str
        Any of scikit-learn, by its name with or without "Classifier", or its full name.
    force_diversity : bool
        A step goes on until it has seen an image for ``needhelp``, or one of every label.
    seed : int
        Of the order in which images are looked at, and of the classifier.
    copy : bool
        Copy files; else they are hard links, which take no space.
    """

    suffix: str = "_potential"
    dataset: str = "dataset"
    needhelp: str = "needhelp"
    needhelp_prob: float = 0.6
    new_sample: int = 50
    model: str = "lite0"
    classifier: str = "RandomForest"
    force_diversity: bool = True
    seed: int = 0
    copy: bool = False

    def with_(self, name: str, text: str) -> "Options":
        """Return the options with one of them set from text.

        Raises
        ------
        InputError
            When there is no such option, or it can't have that value.
        """
        kinds = {field.name: field.type for field in dataclasses.fields(self)}
        if name not in kinds:
            raise InputError(f"there is no option {name!r}; there are {', '.join(kinds)}")
        return _checked(dataclasses.replace(self, **{name: _parsed(name, text, type(getattr(self, name)))}))


def read_options(path: Path) -> Options:
    """Read options; the defaults where there is no file.

    Raises
    ------
    InputError
        When the file is damaged.
    """
    if not path.is_file():
        return Options()
    try:
        given = json.loads(path.read_text("utf-8"))
        options = Options()
        for name, value in given.items():
            options = options.with_(name, str(value))
    except (ValueError, AttributeError, InputError) as error:
        raise InputError(f"the options in {path} can't be used ({error}); mend the file or remove it") from error
    return options


def write_options(options: Options, path: Path) -> None:
    """Write options."""
    storage.write_text(str(path), json.dumps(dataclasses.asdict(options), indent=2) + "\n")


@lru_cache(maxsize=16)
def classifier_named(name: str) -> str:
    """Return the full name of a classifier of scikit-learn, from ``RandomForest`` or ``RandomForestClassifier``.

    Raises
    ------
    InputError
        When there is none that gives probabilities.
    """
    if name == "logistic" or "." in name:
        make_classifier(name)
        return name
    from gandt.errors import extra

    with extra("local", "gandt folders"):
        from sklearn.utils import all_estimators
    known = dict(all_estimators("classifier"))
    found = known.get(name) or known.get(f"{name}Classifier")
    if found is None:
        raise InputError(
            f"scikit-learn has no classifier {name!r}; take for instance RandomForest, LogisticRegression or KNeighbors"
        )
    # the public name of the module: private parts, as in sklearn.ensemble._forest, are left out
    full = ".".join([*(part for part in found.__module__.split(".") if part[0] != "_"), found.__name__])
    make_classifier(full)
    return full


def _parsed(name: str, text: str, kind: type) -> Any:
    if kind is bool:
        word = text.strip().lower()
        if word not in ("true", "false", "yes", "no", "1", "0"):
            raise InputError(f"{name} is true or false, not {text!r}")
        return word in ("true", "yes", "1")
    try:
        return kind(text.strip())
    except ValueError as error:
        raise InputError(f"{name} is {'a whole number' if kind is int else 'a number'}, not {text!r}") from error


def _checked(options: Options) -> Options:
    for name in ("suffix", "dataset", "needhelp"):
        value = getattr(options, name)
        if not value or "/" in value or "\\" in value or "\0" in value or value.startswith("."):
            raise InputError(f"{name} is a part of a folder's name, without / and not hidden; {value!r} is none")
    if options.dataset == options.needhelp:
        raise InputError(f"dataset and needhelp can't both be {options.dataset!r}; give them different names")
    if not 0 < options.needhelp_prob <= 1:
        raise InputError(f"needhelp_prob is a probability above 0 and at most 1, not {options.needhelp_prob}")
    if options.new_sample < 1:
        raise InputError(f"new_sample is 1 or more images a step, not {options.new_sample}")
    classifier_named(options.classifier)
    return options
