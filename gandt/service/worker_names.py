"""What the workers of an answers table are called: at gandt serve by its state, at SageMaker by Cognito.

Answers and labels hold ids alone; whoever owns the job asks for the names apart, where he wants to see them.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from gandt import storage, tables
from gandt.answers.files import Reader
from gandt.errors import InputError, ServiceError
from gandt.service.invitations import opened

COLUMNS = ["worker", "name"]
# https://docs.aws.amazon.com/sagemaker/latest/dg/sms-data-output.html, "Worker Metadata"
_COGNITO = re.compile(r"https://cognito-idp\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([\w-]+_[0-9a-zA-Z]+)")


def worker_names(source: str, *, s3: Any = None, cognito: Any = None) -> pd.DataFrame:
    """Return what workers are called.

    Parameters
    ----------
    source : str
        A service's state folder (the names by which its workers were invited); a labeling job's output, local or
        ``s3://`` (Ground Truth's private workers: their worker responses name the user pool, which is asked); or a
        table with the columns worker and name, such as this function's own result.
    s3, cognito : optional
        boto3 clients of S3 and of cognito-idp; the latter by default one for each user pool's region.

    Returns
    -------
    pandas.DataFrame
        ``worker`` (the id in answers), ``name``; without those whose name isn't known.

    Raises
    ------
    InputError
        When the source is none of these, or tells no name.
    StorageError, ServiceError
        When S3 or Cognito refuses.
    """
    if source.endswith(tuple(tables.FORMATS)):
        read = tables.read_table(source, required=COLUMNS, s3=s3)[COLUMNS].dropna().astype(str)
        pairs = list(read.itertuples(index=False, name=None))
    elif not storage.is_s3(source) and (Path(source) / "gandt.sqlite").exists():
        with opened(source) as store:
            pairs = [(worker.id, worker.name) for worker in store.workers() if worker.name != worker.id]
    else:
        pairs = _of_output(source, s3, cognito)
    named = pd.DataFrame(pairs, columns=COLUMNS, dtype=str)
    named = named[named["name"].str.strip() != ""].drop_duplicates("worker", ignore_index=True)
    if not len(named):
        raise InputError(f"{source} tells no worker's name; give a service's state folder, or a table of worker, name")
    return named


def names_of(workers: Iterable[str], source: str, **clients: Any) -> dict[str, str]:
    """Return the names of these workers, as far as ``source`` tells them; see :func:`worker_names`.

    Raises
    ------
    InputError
        When it tells none of them.
    StorageError, ServiceError
        As :func:`worker_names` does.
    """
    table = worker_names(source, **clients)
    known = dict(zip(table["worker"], table["name"], strict=True))
    wanted = sorted(set(workers))
    found = {worker: known[worker] for worker in wanted if worker in known}
    if wanted and not found:
        raise InputError(
            f"{source} names none of the workers: the answers have {wanted[0]}, it has {next(iter(known))}; "
            "give the state, the output or the table of the job that was answered"
        )
    return found


def _of_output(output: str, s3: Any, cognito: Any) -> list[tuple[str, str]]:
    reader = Reader(output, s3)
    reader.read()
    pools: dict[str, dict[str, str]] = {}  # issuer → sub → worker
    for worker, (issuer, sub) in reader.identities.items():
        pools.setdefault(issuer, {})[sub] = worker
    if not pools:
        raise InputError(
            f"{output} is no service's state and no table of worker, name, and no worker response in it says who "
            "answered; only private workforces' do"
        )
    if set(pools) == {"gandt"}:
        raise InputError(f"the workers of {output} are a gandt serve's own; give its state folder (gandt-state)")
    return [pair for issuer, subs in pools.items() for pair in _of_pool(issuer, subs, cognito)]


def _of_pool(issuer: str, workers: Mapping[str, str], cognito: Any) -> list[tuple[str, str]]:
    """Ask a Cognito user pool what its users are called; the users of other issuers can't be asked for."""
    match = _COGNITO.fullmatch(issuer)
    if match is None:
        return []
    region, pool = match.groups()
    client = cognito or storage.session().client("cognito-idp", region_name=region, config=storage.client_config())
    found = []
    try:
        for page in client.get_paginator("list_users").paginate(UserPoolId=pool):
            for user in page["Users"]:
                told = {each["Name"]: each.get("Value", "") for each in user.get("Attributes", [])}
                if told.get("sub") in workers:
                    found.append((workers[told["sub"]], _called(user, told)))
    except Exception as error:
        if not type(error).__module__.startswith("botocore"):
            raise
        raise ServiceError(
            f"the user pool {pool} can't be asked for names: {error}; it needs the right cognito-idp:ListUsers"
        ) from error
    return found


def _called(user: Mapping[str, Any], told: Mapping[str, str]) -> str:
    whole = " ".join(filter(None, (told.get("given_name"), told.get("family_name"))))
    return told.get("name") or whole or told.get("preferred_username") or told.get("email") or str(user["Username"])
