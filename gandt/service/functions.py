"""Lambda functions: from a local file, each in a process and an environment of its own, or AWS's real ones.

The same handler file that is deployed to AWS is called with the same event and a true context object; its prints
are kept for the owner of the job. A process stays warm between events, as Lambda's do, and is started afresh after
a time-out or a crash.
"""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Protocol

from gandt import storage
from gandt.errors import FunctionError, InputError

# Lambda's synchronous limit on an event and on a response.
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
PAYLOAD_LIMIT = 6 * 1024 * 1024

LOG_LIMIT = 20_000_000  # bytes after which a log is put aside, in place of the one before
_BOOTSTRAP = Path(__file__).with_name("_bootstrap.py")


class Function(Protocol):
    """Whatever can be invoked like a Lambda: a local file, or the real thing."""

    def invoke(self, event: Any) -> Any:
        """Return the handler's result for ``event``; raise FunctionError when there is none."""
        ...


def function_name(arn: str) -> str:
    """Return NAME of ``arn:aws:lambda:REGION:ACCOUNT:function:NAME[:VERSION]``."""
    parts = arn.split(":")
    return parts[6] if len(parts) > 6 else arn


class LocalFunction:
    """A Lambda handler in a local file.

    Parameters
    ----------
    name : str
        The function's name, as in its ARN.
    path : str
        The Python file; or the folder or .zip that is deployed.
    handler : str
        The function in the file; in a folder or .zip as AWS writes it, ``module.function``.
    environment : mapping of str to str
        The handler's environment variables; nothing but ``PATH`` is taken over from this process.
    seconds : float
        Time limit of one call, start included on the first.
    memory : int
        Limit of the process's address space in MiB, libraries included; beyond it the handler meets a MemoryError.
    log : str, optional
        File that what is printed is added to; by default a temporary one.

    Raises
    ------
    InputError
        When there is no such file, or it isn't Python's.
    """

    def __init__(
        self,
        name: str,
        path: str,
        handler: str = "lambda_handler",
        *,
        environment: Mapping[str, str] | None = None,
        seconds: float = 30.0,
        memory: int = 3008,
        log: str | None = None,
    ) -> None:
        self._unpacked: tempfile.TemporaryDirectory[str] | None = None
        self.name, self.path, self.handler, self.seconds = name, self._code(path, handler), handler, seconds
        self.memory = memory
        folder = Path(self.path) if Path(self.path).is_dir() else Path(self.path).parent
        self._folder = str(folder)
        self.arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
        given = environment or {}
        region = given.get("AWS_REGION") or given.get("AWS_DEFAULT_REGION") or "us-east-1"
        self._environment = {
            "PATH": os.environ.get("PATH", ""),
            "PYTHONUNBUFFERED": "1",
            "TZ": "UTC",
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory),
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": "local",
            "LAMBDA_TASK_ROOT": self._folder,
            # who sees that variable takes AWS's tracing for granted, which isn't there
            "AWS_XRAY_SDK_ENABLED": "false",
            "POWERTOOLS_TRACE_DISABLED": "true",
            "_HANDLER": handler if folder == Path(self.path) else f"{Path(path).stem}.{handler}",
            "AWS_EC2_METADATA_DISABLED": "true",
            **given,
        }
        self._process: subprocess.Popen[str] | None = None
        self._results: IO[bytes] | None = None
        self._log = Path(log) if log is not None else None
        self._console: IO[bytes] = _log_file(self._log)
        self._unread = b""
        self._one = threading.Lock()  # as one instance of a Lambda, it takes one event at a time

    def __enter__(self) -> "LocalFunction":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def invoke(self, event: Any) -> Any:
        """Call the handler with ``event`` (any JSON value) and return what it returns.

        Raises
        ------
        FunctionError
            When the handler raises, takes longer than ``seconds``, dies, or breaks Lambda's payload limit; its
            ``traceback`` holds the handler's own.
        """
        request_id = str(uuid.uuid4())
        call = json.dumps({"event": event, "arn": self.arn, "request_id": request_id, "seconds": self.seconds})
        if len(call) > PAYLOAD_LIMIT:
            raise FunctionError(
                f"Lambda {self.name}: the event exceeds Lambda's limit of 6 MB; send a reference instead"
            )
        with self._one:
            answer = self._call(call)
            self._tidy()
        if "error" in answer:
            raise self._raised(answer["error"])
        if len(json.dumps(answer["result"])) > PAYLOAD_LIMIT:
            raise FunctionError(
                f"Lambda {self.name}: the response exceeds Lambda's limit of 6 MB; return an S3 reference"
            )
        return answer["result"]

    def console(self, most: int = 100_000) -> str:
        """Return what the handler has printed, of more than ``most`` bytes the end."""
        number = self._console.fileno()
        size = os.fstat(number).st_size
        return os.pread(number, most, max(0, size - most)).decode("utf-8", "replace")

    def interrupt(self) -> None:
        """End the process in the middle of a call, which then fails."""
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """End the process; a later call starts it again."""
        self._stop()
        self._console.close()
        if self._unpacked is not None:
            self._unpacked.cleanup()

    def _code(self, path: str, handler: str) -> str:
        """Return the place of the code; what is zipped is unpacked."""
        if not Path(path).exists():
            raise InputError(f"there is no Lambda at {path}; give the path of its Python file, folder or .zip")
        if Path(path).is_file() and Path(path).suffix not in (".py", ".zip"):
            raise InputError(f"the Lambda at {path} isn't Python; leave --function out, and AWS's own is called")
        if Path(path).suffix == ".py":
            return str(Path(path).resolve())
        if "." not in handler:
            raise InputError(f"{path} needs its handler as AWS has it, module.function; not {handler!r}")
        if Path(path).is_dir():
            return str(Path(path).resolve())
        self._unpacked = tempfile.TemporaryDirectory(prefix="gandt-lambda-", ignore_cleanup_errors=True)
        try:
            with zipfile.ZipFile(path) as packed:
                packed.extractall(self._unpacked.name)
        except (zipfile.BadZipFile, OSError) as error:
            self._unpacked.cleanup()
            raise InputError(f"the Lambda at {path} can't be unpacked: {error}") from error
        return self._unpacked.name

    def _tidy(self) -> None:
        """Put what was printed aside when it has grown large; the process goes on in the emptied file."""
        if self._log is not None and os.fstat(self._console.fileno()).st_size > LOG_LIMIT:
            shutil.copyfile(self._log, self._log.with_suffix(".old.log"))
            os.ftruncate(self._console.fileno(), 0)

    def _call(self, call: str) -> dict[str, Any]:
        if self._process is None:
            self._start()
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(call + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._died() from error
        return self._read()

    def _start(self) -> None:
        read, write = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, str(_BOOTSTRAP), self.path, self.handler, str(write), str(self.memory)],
                stdin=subprocess.PIPE,
                stdout=self._console,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self._folder,
                pass_fds=[write],
                text=True,
                start_new_session=True,  # Ctrl-C in the terminal is ours to handle
            )
        finally:
            os.close(write)
        self._results, self._unread = os.fdopen(read, "rb", buffering=0), b""
        ready = self._read()
        if "error" in ready:
            self._stop()
            raise self._raised(ready["error"])

    def _read(self) -> dict[str, Any]:
        """Return the next message of the process, within the time limit."""
        assert self._results is not None
        deadline = time.monotonic() + self.seconds
        while b"\n" not in self._unread:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._results], [], [], left)[0]:
                self._stop()
                raise FunctionError(f"Lambda {self.name}: task timed out after {self.seconds:.2f} seconds")
            chunk = self._results.read(1 << 16)
            if not chunk:
                raise self._died()
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def _raised(self, error: Mapping[str, Any]) -> FunctionError:
        message = f"Lambda {self.name} raised {error['errorType']}: {error['errorMessage']}"
        if error["errorType"] == "MemoryError":
            message += f" (it has {self.memory} MiB; give it more with --memory)"
        return FunctionError(message, "".join(error["stackTrace"]))

    def _died(self) -> FunctionError:
        code = self._process.wait() if self._process else 0
        self._stop()
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return FunctionError(f"Lambda {self.name}: its process {how} before it answered; its console is in the log")

    def _stop(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.kill()
            self._process.wait()
            self._process.stdin.close()
            self._process = None
        if self._results is not None:
            self._results.close()
            self._results = None


class RemoteFunction:
    """A Lambda function in AWS, invoked through boto3.

    Parameters
    ----------
    arn : str
        Its ARN, with or without a version or alias.
    client : optional
        boto3 Lambda client; by default one for the ARN's region, with the environment's credentials.
    """

    def __init__(self, arn: str, client: Any = None) -> None:
        self.arn, self._client, self._tail = arn, client, ""
        self._one = threading.Lock()

    def invoke(self, event: Any) -> Any:
        """Call the function with ``event`` (any JSON value) and return what it returns.

        Raises
        ------
        FunctionError
            When it raises (``traceback`` holds its own), or can't be called.
        """
        with self._one:
            if self._client is None:
                config = storage.client_config(read_timeout=900)
                self._client = storage.session().client("lambda", region_name=self.arn.split(":")[3], config=config)
        try:
            answer = self._client.invoke(FunctionName=self.arn, Payload=json.dumps(event), LogType="Tail")
            payload = json.loads(answer["Payload"].read() or b"null")
        except Exception as error:
            if not isinstance(error, ValueError) and not type(error).__module__.startswith(("botocore", "boto3")):
                raise
            raise FunctionError(
                f"Lambda {self.arn} can't be called ({error}); check that it is there and may be invoked, "
                "or run it from its file with --function"
            ) from error
        self._tail = base64.b64decode(answer.get("LogResult", "")).decode("utf-8", "replace")
        if "FunctionError" in answer:
            described = payload if isinstance(payload, dict) else {"errorMessage": str(payload)}
            trace = described.get("stackTrace") or []
            raise FunctionError(
                f"Lambda {self.arn} raised {described.get('errorType', 'an error')}: {described.get('errorMessage')}",
                "".join(map(str, trace)) + ("\n" + self._tail if self._tail else ""),
            )
        return payload

    def console(self) -> str:
        """Return the end of the last call's log, as far as AWS tells it (4 kB)."""
        return self._tail


def _log_file(path: Path | None) -> IO[bytes]:
    """Open a log to add to, a temporary one for None."""
    if path is None:
        return tempfile.TemporaryFile()
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab+")
