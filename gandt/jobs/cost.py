"""What a labeling job took, beside its plan."""

from typing import Any

from gandt import cost, storage, tables
from gandt.answers import read_output
from gandt.consensus import consolidate
from gandt.errors import InputError
from gandt.jobs.client import describe
from gandt.names import item_labels, matched


def job_cost(
    job: str,
    *,
    prices: cost.Prices = cost.GROUND_TRUTH,
    plan: cost.Plan | None = None,
    labels: str | None = None,
    gold: str | None = None,
    target: float = 0.95,
    sagemaker: Any = None,
    s3: Any = None,
) -> dict[str, Any]:
    """Say what a job took so far: pages, tasks, hours, cost, cost per confident label; next to its plan.

    Parameters
    ----------
    job : str
        Its name, or the folder of its output (local or ``s3://``).
    prices : Prices
        What a page, a task, an hour cost.
    plan : Plan, optional
        Made before by :func:`gandt.cost.plan`.
    labels : str, optional
        A labels table of these answers; by default they are consolidated here.
    gold : str, optional
        Table of item and label, of items that are known and so aren't counted among the labels.
    target : float
        Confidence that makes a label count, where they are consolidated here.
    sagemaker, s3
        boto3 clients.

    Returns
    -------
    dict
        ``job``, ``status`` (None for a folder), and all of :func:`gandt.cost.actual`.

    Raises
    ------
    InputError
        When there is no such job, or it has no answers yet.
    ServiceError, StorageError
        When SageMaker or S3 refuses.
    """
    status = None
    if storage.is_s3(job) or "/" in job:
        output = job
    else:
        found = describe(job, sagemaker=sagemaker)
        output, status = found.output, found.status
    read = read_output(output, s3=s3)
    if not len(read.answers):
        raise InputError(f"labeling job {job} has no answers yet; ask again when workers have submitted some")
    if labels is not None:
        made = tables.read_table(labels, tables.LABELS, required=["status"], s3=s3)
    else:
        items = list(dict.fromkeys(read.items["item"]))
        truth = _truth(gold, items, s3) if gold else None
        answers = read.answers.drop_duplicates(["item", "worker"])  # of several labels by one worker the first
        made = consolidate(answers, items=items, gold=truth, target=target).labels
    return {"job": job, "status": status, **cost.actual(made, read.answers, prices, plan)}


def _truth(gold: str, items: list[str], s3: Any) -> dict[str, str]:
    known = item_labels(tables.read_table(gold, tables.GOLD, s3=s3), gold)
    names = matched(list(known), set(items), what=gold, among="the job's items")
    return dict(zip(names, known.values(), strict=True))
