"""What ``gandt serve`` and ``gandt invite`` do: a state folder opened, a port taken, functions started."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from gandt import storage
from gandt.errors import InputError
from gandt.service.functions import LocalFunction
from gandt.service.labeling import LabelingService
from gandt.service.store import open_store

# what a Lambda is given of this process's environment, as AWS gives it its role's credentials and region
_PASSED = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    *("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ENDPOINT_URL_S3"),
)
_DAY = 86_400


@contextmanager
def serving(
    state: str, *, port: int = 0, s3_endpoint: str | None = None, functions: Sequence[str] = ()
) -> Iterator[tuple[str, Callable[[], None]]]:
    """Open the service on 127.0.0.1 and go on with its jobs.

    Parameters
    ----------
    state : str
        Folder of the state.
    port : int
        0 takes any free one.
    s3_endpoint : str, optional
        Another S3 than the environment's.
    functions : sequence of str
        Lambdas, each ``NAME=FILE.py:HANDLER``; ``:HANDLER`` may be left out for ``lambda_handler``.

    Yields
    ------
    address : str
        ``http://127.0.0.1:PORT``.
    wait : callable
        Serves until the process is interrupted or terminated.

    Raises
    ------
    InputError
        When a function can't be found, the port is taken, or another process serves this state.
    """
    from gandt.service.server import listen, make_server

    with ExitStack() as stack:
        store = stack.enter_context(closing(open_store(state)))
        stack.enter_context(_alone(state))
        environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
        if s3_endpoint:
            environment["AWS_ENDPOINT_URL_S3"] = s3_endpoint
        known = {}
        for text in functions:
            name, path, handler = parse_function(text)
            known[name] = stack.enter_context(LocalFunction(name, path, handler, environment=environment))
        listener = stack.enter_context(listen(port))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        store.set("address", address)
        service = LabelingService(store, known, storage.s3_client(s3_endpoint))
        server = make_server(service)
        stack.callback(service.end)
        service.start()
        yield address, lambda: server.run(sockets=[listener])


def invite(
    name: str, workteam: str, state: str, *, days: int = 30, new_team: bool = False, revoke: bool = False
) -> str | None:
    """Return a worker's personal link, a new one each time; with ``revoke`` end all that he has and return None.

    Raises
    ------
    InputError
        When there is no such workteam or the service has never run on this state.
    """
    if not (Path(state) / "gandt.sqlite").exists():
        raise InputError(f"there is no service's state in {state}; run gandt serve first, or give its --state")
    now = time.time()
    with closing(open_store(state)) as store:
        if not store.workteams(workteam):
            if not new_team:
                raise InputError(f"there is no workteam {workteam!r}; check its name, or make it with --new-team")
            store.put_workteam({"WorkteamName": workteam, "MemberDefinitions": [], "Description": workteam}, now)
        worker = store.add_worker(name, workteam)
        if revoke:
            store.revoke(worker, now)
            return None
        return f"{store.setting('address')}/enter#{store.issue(worker, 'link', now + days * _DAY)}"


def parse_function(text: str) -> tuple[str, str, str]:
    """Split ``NAME=FILE.py:HANDLER``.

    Raises
    ------
    InputError
        When it has another form.
    """
    name, _, place = text.partition("=")
    path, _, handler = place.rpartition(":") if ":" in place else (place, "", "lambda_handler")
    if not name or not path or not handler:
        raise InputError(f"--function {text!r} isn't NAME=FILE.py:HANDLER, for instance pre=handler.py:lambda_handler")
    return name, path, handler


@contextmanager
def _alone(state: str) -> Iterator[None]:
    """Hold the state's lock: two services on one state would both run its jobs."""
    with (Path(state) / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"another gandt serve runs on {state}; end it, or give another --state") from error
        yield
