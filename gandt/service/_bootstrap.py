"""The program inside a local Lambda's process: events come on stdin, results leave on a pipe of their own.

It imports nothing of gandt, so that the function finds the same bare Python that AWS would give it. What the
function prints stays on stdout and stderr, where the owner of the job can read it.
"""

import importlib
import importlib.util
import json
import logging
import math
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any


class Context:
    """The context object of AWS Lambda's Python runtime."""

    def __init__(self, call: dict[str, Any]) -> None:
        name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_name = name
        self.function_version = "$LATEST"
        self.invoked_function_arn = call["arn"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.aws_request_id = call["request_id"]
        self.log_group_name = f"/aws/lambda/{name}"
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.identity = None
        self.client_context = None
        self._deadline = time.monotonic() + call["seconds"]

    def __repr__(self) -> str:
        return f"LambdaContext([{', '.join(f'{name}={value}' for name, value in vars(self).items())}])"

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds left before the time limit."""
        return max(0, int((self._deadline - time.monotonic()) * 1000))


class Log(logging.StreamHandler[Any]):
    """The handler that Lambda's runtime gives the root logger: functions count on it, and only set levels."""

    request_id = ""

    def __init__(self) -> None:
        super().__init__(sys.stdout)
        formatter = logging.Formatter(
            "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(request)s\t%(message)s", "%Y-%m-%dT%H:%M:%S"
        )
        formatter.converter = time.gmtime
        self.setFormatter(formatter)

    def format(self, record: logging.LogRecord) -> str:
        """Write a record as Lambda does, with the request's id."""
        record.request = self.request_id
        return super().format(record)


class MarshalError(Exception):
    """What the handler returned is no JSON."""


def failure(error: BaseException) -> dict[str, Any]:
    """Describe an exception as Lambda does: errorMessage, errorType, stackTrace (lines, from the function's own on)."""
    trace = error.__traceback__
    while trace and trace.tb_frame.f_code.co_filename.startswith((__file__, "<frozen importlib")):
        trace = trace.tb_next
    # on the console, too, as Lambda does: what clients are shown of it is short
    traceback.print_exception(type(error), error, trace)
    kind = {SystemExit: "Runtime.ExitError", MarshalError: "Runtime.MarshalError"}.get(type(error))
    return {
        "errorMessage": f"sys.exit({error})" if isinstance(error, SystemExit) else str(error),
        "errorType": kind or type(error).__name__,
        "stackTrace": traceback.format_exception(type(error), error, trace),
    }


def plain(value: Any) -> Any:
    """Turn what JSON doesn't know, and Lambda's runtime takes, into what it knows: decimals."""
    if isinstance(value, Decimal):
        return math.nan if value.is_nan() else float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def marshal(result: Any) -> str:
    """Return the line that takes a result out, as Lambda's runtime would."""
    try:
        return json.dumps({"result": result}, default=plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise MarshalError(f"Unable to marshal response: {error}") from error


def load(path: str, handler: str) -> Callable[[Any, Context], Any]:
    """Return the handler of a file, with its folder on the path, or of a folder, as ``module.function``."""
    if Path(path).is_dir():
        sys.path.insert(0, path)
        name, _, attribute = handler.rpartition(".")
        found: Callable[[Any, Context], Any] = getattr(importlib.import_module(name.replace("/", ".")), attribute)
        return found
    sys.path.insert(0, str(Path(path).parent))
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[Path(path).stem] = module
    spec.loader.exec_module(module)
    function: Callable[[Any, Context], Any] = getattr(module, handler)
    return function


def main(path: str, handler: str, channel: int, memory: int) -> None:
    """Answer one event a line until stdin closes; the first line out says whether the file could be loaded.

    ``memory`` is the limit of the address space in MiB.
    """
    resource.setrlimit(resource.RLIMIT_AS, (memory << 20, memory << 20))
    calls = os.fdopen(os.dup(0), "r", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # the function can't swallow events by reading stdin
    with os.fdopen(channel, "w", encoding="utf-8") as results:

        def reply(line: str) -> None:
            results.write(line + "\n")
            results.flush()

        log = Log()
        logging.getLogger().addHandler(log)
        try:
            function = load(path, handler)
        except BaseException as error:
            reply(json.dumps({"error": failure(error)}))
            return
        reply(json.dumps({"ready": True}))
        for line in calls:
            call = json.loads(line)
            log.request_id = call["request_id"]
            try:
                answer = marshal(function(call["event"], Context(call)))
            except BaseException as error:  # sys.exit, too
                answer = json.dumps({"error": failure(error)})
            sys.stdout.flush()
            sys.stderr.flush()
            reply(answer)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
