"""The program inside a local Lambda's process: events come on stdin, results leave on a pipe of their own.

It imports nothing of gandt, so that the function finds the same bare Python that AWS would give it. What the
function prints stays on stdout and stderr, where the owner of the job can read it.
"""

import importlib.util
import json
import logging
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
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
        self.log_stream_name = "local"
        self.identity = None
        self.client_context = None
        self._deadline = time.monotonic() + call["seconds"]

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


def failure(error: BaseException) -> dict[str, Any]:
    """Describe an exception as Lambda does: errorMessage, errorType, stackTrace (lines)."""
    return {
        "errorMessage": str(error),
        "errorType": type(error).__name__,
        "stackTrace": traceback.format_exception(error),
    }


def load(path: str, handler: str) -> Callable[[Any, Context], Any]:
    """Import the file at ``path`` with its folder on the path, as Lambda does, and return its handler."""
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

        def reply(message: dict[str, Any]) -> None:
            results.write(json.dumps(message) + "\n")
            results.flush()

        log = Log()
        logging.getLogger().addHandler(log)
        try:
            function = load(path, handler)
        except BaseException as error:
            reply({"error": failure(error)})
            return
        reply({"ready": True})
        for line in calls:
            call = json.loads(line)
            log.request_id = call["request_id"]
            try:
                result = {"result": function(call["event"], Context(call))}
                json.dumps(result)
            except Exception as error:
                result = {"error": failure(error)}
            sys.stdout.flush()
            sys.stderr.flush()
            reply(result)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
