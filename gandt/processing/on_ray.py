"""Embedding on a Ray cluster, for those who have one: every shard is a task, and the last one merges."""

import uuid
from typing import Any

from gandt.errors import InputError, extra
from gandt.processing.fleet import Member, Work, work


def embed_on_ray(task: Work, address: str, *, shards: int | None = None) -> dict[str, Any]:
    """Run all shards of a task as tasks of a Ray cluster.

    Parameters
    ----------
    task : Work
        Its store lies on S3, or in a folder that all nodes share.
    address : str
        Of the cluster, as ``ray.init`` takes it; ``local`` starts one on this machine.
    shards : int, optional
        By default one per node that is alive.

    Returns
    -------
    dict
        ``shards``, ``items``, ``embedded``, ``set_aside``, ``total`` and, where it filtered, ``kept``.

    Raises
    ------
    MissingExtraError
        When ray isn't installed.
    InputError
        When no cluster answers at the address.
    GandtError
        What the first shard that failed says; the others' parts are kept.
    """
    with extra("ray", "gandt embed --ray"):
        import ray
    try:
        ray.init(address=address, ignore_reinit_error=True, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"no Ray cluster answers at {address}: {reason}") from error
    try:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        of = shards or max(len(nodes), 1)
        run = uuid.uuid4().hex
        # a shard uses a whole machine; it has its own threads
        remote = ray.remote(scheduling_strategy="SPREAD", max_retries=2)(work)
        facts = ray.get([remote.remote(task, Member(number, of, run)) for number in range(1, of + 1)])
    except ray.exceptions.RayTaskError as error:
        raise error.as_instanceof_cause() from None
    finally:
        ray.shutdown()
    last = next(each for each in facts if each["merged"])
    sums = {name: sum(each[name] for each in facts) for name in ("items", "embedded", "set_aside")}
    return {"shards": of, **sums, "total": last["total"], **({"kept": last["kept"]} if "kept" in last else {})}
