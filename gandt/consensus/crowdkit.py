"""The methods of crowd-kit under gandt's interface (the extra ``crowd-kit``).

crowd-kit says which class an item has, but not always how its workers err. So that workers can be judged and gold can
calibrate as with every other method, each worker gets the accuracy that crowd-kit's labels give him. crowd-kit 1.4.2's
Wawa and ZeroBasedSkill don't run with scikit-learn 1.9, and are left out; ``weighted`` is of their kind.
"""

import warnings
from typing import Any

import numpy as np
import pandas as pd

from gandt.consensus.crowd import Crowd, Fit, Floats, one_coin_likelihood
from gandt.consensus.em import Limits
from gandt.errors import InputError, extra

_WORKERS = 20_000  # m-msr compares every worker with every other: 3 GiB
AGGREGATORS = {"glad": "GLAD", "mace": "MACE", "m-msr": "MMSR", "kos": "KOS"}  # our name → crowd-kit's class


def crowd_kit(name: str, crowd: Crowd, limits: Limits) -> Fit:
    """Fit crowd-kit's method ``name`` (a key of :data:`AGGREGATORS`).

    Raises
    ------
    MissingExtra
        When crowd-kit isn't installed.
    InputError
        When crowd-kit's method can't take this crowd: KOS takes two classes only, M-MSR no more than 20,000 workers,
        and both fail where nobody can be compared with anybody.
    """
    with extra("crowd-kit", f"the method {name}"):
        from crowdkit import aggregation
    classes = len(crowd.classes)
    if name == "kos" and classes != 2:
        raise InputError(f"the method kos takes two classes; this job has {classes}")
    if name == "m-msr" and len(crowd.workers) > _WORKERS:
        raise InputError(
            f"the method m-msr compares every worker with every other, which is too much for {len(crowd.workers):,} of "
            f"them (at most {_WORKERS:,}); use auto"
        )
    uniform = np.full(classes, -np.log(classes))
    heard = crowd.active[crowd.worker]
    if not heard.any():
        return Fit(crowd.start(), np.zeros((len(crowd.pair_label), classes)), uniform)
    table = pd.DataFrame({"task": crowd.item, "worker": crowd.worker, "label": crowd.label})[heard]
    options: dict[str, Any] = {} if name == "mace" else {"n_iter": min(limits.iterations, 100)}
    if name != "glad":
        options["random_state"] = 0
    model = getattr(aggregation, AGGREGATORS[name])(**options)
    with warnings.catch_warnings():  # of its own use of pandas, which is nothing that a user can mend
        warnings.simplefilter("ignore")
        try:
            probabilities = _probabilities(model, table, crowd)
        except (ArithmeticError, LookupError, ValueError, MemoryError) as error:  # as odd crowds make it
            words = "" if isinstance(error, LookupError) else str(error).strip()
            reason = words.splitlines()[0][:100] if words else type(error).__name__
            raise InputError(
                f"crowd-kit's {AGGREGATORS[name]} can't take these {len(table):,} answers ({reason}); it needs workers "
                "who answered the same items, agree on some and disagree on others: use auto"
            ) from error

    own = np.arange(len(crowd.pair_label)), crowd.pair_label
    answers = crowd.by_worker(crowd.counts(np.ones((len(crowd.items), 1)))[:, 0])
    right = crowd.by_worker(crowd.counts(probabilities)[own])
    pool = (right.sum() + 1) / (answers.sum() + 2)
    accuracy = np.clip((right + 2 * pool) / (answers + 2), 1e-6, 1 - 1e-6)
    gold = np.flatnonzero(crowd.gold)
    probabilities[gold] = np.eye(classes)[crowd.known[gold]]
    return Fit(probabilities, one_coin_likelihood(crowd, accuracy), uniform)


def _probabilities(model: Any, table: pd.DataFrame, crowd: Crowd) -> Floats:
    """Ask for probabilities; where a method gives labels alone, make them as sure as the crowd agrees with them."""
    classes = len(crowd.classes)
    probabilities = np.full((len(crowd.items), classes), 1 / classes)
    try:
        found = model.fit_predict_proba(table)
    except AttributeError:
        labels = model.fit_predict(table)
        agreed = float((table["label"].to_numpy() == labels.reindex(table["task"]).to_numpy()).mean())
        agreed = min(max(agreed, 1 / classes + 0.01), 0.99)
        rows = labels.index.to_numpy(dtype=int)
        probabilities[rows] = (1 - agreed) / (classes - 1)
        probabilities[rows, labels.to_numpy(dtype=int)] = agreed
        return probabilities
    values = np.zeros((len(found), classes))
    values[:, found.columns.to_numpy(dtype=int)] = np.maximum(found.fillna(0).to_numpy(dtype=float), 0)
    values = np.clip(values, 1e-9, None)
    probabilities[found.index.to_numpy(dtype=int)] = values / values.sum(axis=1, keepdims=True)
    return probabilities
