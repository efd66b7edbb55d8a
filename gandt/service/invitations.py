"""Who may come in: workers' links and codes, the owner's link and API tokens; given out beside a running service.

All of them are shown once and kept as hashes, end by themselves, and can be ended before.
"""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from gandt.errors import InputError
from gandt.jobs.request import model_problems
from gandt.service.store import Store, open_store

OWNER = "owner"  # whose tokens the owner's are
NAME_LIMIT = 60  # characters of a worker's name
_DAY, _HOUR = 86_400, 3600


def invite(name: str, workteam: str, state: str, *, days: int = 30, new_team: bool = False) -> str:
    """Return a worker's personal link, a new one each time; the worker is made if need be.

    Raises
    ------
    InputError
        When there is no such workteam, the name is none, or no service has ever run on this state.
    """
    now, name = time.time(), checked_name(name)
    with opened(state) as store:
        _team(store, workteam, new_team, now)
        token = store.issue(store.add_worker(name, workteam), "link", now + days * _DAY)
        return f"{store.setting('address')}/enter#{token}"


def checked_name(name: str) -> str:
    """Return a worker's name without needless spaces.

    Raises
    ------
    InputError
        When it is empty, long, or holds what nobody can see.
    """
    name = " ".join(name.split())
    if not name or len(name) > NAME_LIMIT or not name.isprintable():
        raise InputError(f"give a name, in up to {NAME_LIMIT} characters")
    return name


def revoke(name: str, state: str, *, workteam: str | None = None) -> int:
    """End all links and sessions of the workers of that name; return how many there were.

    Raises
    ------
    InputError
        When nobody is called so, or no service has ever run on this state.
    """
    with opened(state) as store:
        workers = [worker for worker in store.workers(workteam) if worker.name == name]
        if not workers:
            raise InputError(f"there is no worker called {name!r}; check the name, as it was invited")
        return sum(store.revoke(worker.id, time.time()) for worker in workers)


def codes(
    workteam: str, state: str, *, count: int = 1, hours: int = 24, new_team: bool = False
) -> tuple[str, list[str]]:
    """Return the service's address and one-time codes, each of which makes one person a worker of the workteam.

    Raises
    ------
    InputError
        When there is no such workteam, or no service has ever run on this state.
    """
    now = time.time()
    with opened(state) as store:
        _team(store, workteam, new_team, now)
        return str(store.setting("address")), [store.issue_code(workteam, now + hours * _HOUR) for _ in range(count)]


def owner_link(state: str, *, days: int = 30) -> str:
    """Return a link to the owner's page, a new one each time.

    Raises
    ------
    InputError
        When no service has ever run on this state.
    """
    with opened(state) as store:
        return f"{store.setting('address')}/owner#key={store.issue(OWNER, 'owner-link', time.time() + days * _DAY)}"


def api_token(state: str, *, days: int = 30) -> str:
    """Return a token for SageMaker's API, to be given as the AWS access key id.

    Raises
    ------
    InputError
        When no service has ever run on this state.
    """
    with opened(state) as store:
        return store.issue(OWNER, "api", time.time() + days * _DAY)


def revoke_owner(state: str) -> int:
    """End all links, sessions and API tokens of the owner; return how many there were.

    Raises
    ------
    InputError
        When no service has ever run on this state.
    """
    with opened(state) as store:
        return store.revoke(OWNER, time.time())


@contextmanager
def opened(state: str) -> Iterator[Store]:
    """Open the store in a service's state folder, beside the running service.

    Raises
    ------
    InputError
        When no service has ever run on this state.
    """
    if not (Path(state) / "gandt.sqlite").exists():
        raise InputError(f"there is no service's state in {state}; run gandt serve first, or give its --state")
    with closing(open_store(state)) as store:
        yield store


def _team(store: Store, workteam: str, new: bool, now: float) -> None:
    if store.workteams(workteam):
        return
    if not new:
        raise InputError(f"there is no workteam {workteam!r}; check its name, or make it with --new-team")
    problems = model_problems({"WorkteamName": workteam}, "DescribeWorkteam")
    if problems:
        raise InputError(f"{workteam!r} can't be a workteam's name: {'; '.join(problems)}")
    store.put_workteam({"WorkteamName": workteam, "MemberDefinitions": [], "Description": workteam}, now)
