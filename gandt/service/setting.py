"""What a labeling service works with: an S3, Lambdas, notices; put together for ``gandt serve``."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from gandt import resources, storage
from gandt.errors import InputError
from gandt.service.functions import Function, LocalFunction, RemoteFunction
from gandt.service.labeling import LabelingService
from gandt.service.notices import Notices
from gandt.service.store import Store
from gandt.service.streaming import OURS

# what a Lambda is given of this process's environment, as AWS gives it its role's credentials and region
_PASSED = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    *("AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"),
    *("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_STS"),
)


@dataclass(frozen=True)
class Setting:
    """The surroundings of a service.

    Attributes
    ----------
    s3 : str, optional
        Endpoint of an S3, ``aws`` for AWS's own, or ``embedded`` for one in the state's folder; by default the one
        that ``AWS_ENDPOINT_URL_S3`` names, else embedded.
    s3_port : int
        Port of the embedded one; 0 takes any free one.
    functions : sequence of str
        Lambdas, each ``NAME=FILE.py:HANDLER``, or ``NAME=FOLDER_OR.zip:module.function``; without ``:HANDLER`` it is
        ``lambda_handler``, or ``lambda_function.lambda_handler``. gandt's own are there without being named.
    memory, seconds : int, float
        Limits of each of them: MiB of address space, seconds of one call.
    webhook : str, optional
        Address that hears when a job has ended.
    env : sequence of str
        Environment variables that the Lambdas are given, beside those that reach AWS: ``NAME=VALUE``, or ``NAME`` for
        one of this process's.
    """

    s3: str | None = None
    s3_port: int = 0
    functions: Sequence[str] = ()
    memory: int = 3008
    seconds: float = 60.0
    webhook: str | None = None
    env: Sequence[str] = ()


@contextmanager
def service_in(state: str, store: Store, setting: Setting) -> Iterator[tuple[LabelingService, str]]:
    """Make a service, not started yet, with all that it works with.

    Yields
    ------
    service : LabelingService
    s3 : str
        Endpoint of its S3, empty for AWS's own.

    Raises
    ------
    InputError
        When a function can't be found, or a port is taken.
    """
    with ExitStack() as stack:
        environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
        for text in setting.env:
            name, valued, value = text.partition("=")
            if not name or (not valued and name not in os.environ):
                raise InputError(f"--env {text}: there is no such variable; give it as --env {name or 'NAME'}=...")
            environment[name] = value if valued else os.environ[name]
        endpoint = setting.s3 or environment.get("AWS_ENDPOINT_URL_S3") or "embedded"
        if endpoint == "embedded":
            from gandt.service.objects import embedded

            s3, reached = stack.enter_context(embedded(str(Path(state) / "objects"), setting.s3_port))
            environment = {**environment, **reached}
            endpoint = reached["AWS_ENDPOINT_URL_S3"]
        elif endpoint == "aws":
            if "AWS_ENDPOINT_URL_S3" in environment:
                raise InputError("--s3 aws and AWS_ENDPOINT_URL_S3 contradict each other; unset the variable")
            s3, endpoint = storage.s3_client(), ""
        elif endpoint.startswith(("http://", "https://")):
            environment["AWS_ENDPOINT_URL_S3"] = endpoint
            s3 = storage.s3_client(endpoint)
        else:
            raise InputError(
                f"--s3 {endpoint!r} is none of embedded, aws, or an address such as https://s3.example.org"
            )
        known = {}
        given = {name: (path, "lambda_handler") for name, path in resources.lambda_files().items()}
        given |= {name: (path, handler) for name, path, handler in map(parse_function, setting.functions)}
        for name, (path, handler) in given.items():
            log = str(Path(state) / "logs" / f"{Path(name).name}.log")
            function = LocalFunction(
                name, path, handler, environment=environment, seconds=setting.seconds, memory=setting.memory, log=log
            )
            known[name] = stack.enter_context(function)
        notices = Notices(store, setting.webhook)
        yield LabelingService(store, known, s3, lambdas=lambda_in_aws, notices=notices), endpoint


def lambda_in_aws(arn: str) -> Function | None:
    """Return AWS's own function of that ARN, None where it can't be one or there are no credentials for it."""
    parts = arn.split(":")
    if len(parts) < 7 or parts[4] == OURS or storage.session().get_credentials() is None:
        return None
    return RemoteFunction(arn)


def parse_function(text: str) -> tuple[str, str, str]:
    """Split ``NAME=FILE.py:HANDLER``, or ``NAME=FOLDER:module.function``.

    Raises
    ------
    InputError
        When it has another form.
    """
    name, _, place = text.partition("=")
    path, _, handler = place.rpartition(":") if ":" in place else (place, "", "lambda_handler")
    if ":" not in place and not place.endswith(".py"):
        handler = "lambda_function.lambda_handler"  # as AWS's console names it
    if not name or not path or not handler:
        raise InputError(f"--function {text!r} isn't NAME=FILE.py:HANDLER, for instance pre=handler.py:lambda_handler")
    return name, path, handler
