"""Lambdas from local files: called as AWS calls them, and their misfortunes told apart."""

import base64
import http.server
import json
import shutil
import threading
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from gandt.errors import FunctionError, InputError
from gandt.service.functions import LocalFunction, RemoteFunction

Make = Callable[..., LocalFunction]


@pytest.fixture
def make(tmp_path: Path):
    made = []

    def make(body: str, **options: object) -> LocalFunction:
        path = tmp_path / f"function{len(made)}.py"
        path.write_text(f"import os, sys, time\nprint('cold start')\ndef lambda_handler(event, context):\n    {body}\n")
        made.append(LocalFunction(f"function{len(made)}", str(path), **options))
        return made[-1]

    yield make
    for function in made:
        function.close()


def test_the_handler_gets_event_and_context_and_stays_warm(make: Make) -> None:
    body = "return [event, context.function_name, context.get_remaining_time_in_millis(), context.aws_request_id]"
    function = make(body, seconds=20)
    first, second = function.invoke({"ä": [1, None]}), function.invoke("text")
    assert first[:2] == [{"ä": [1, None]}, "function0"]
    assert 0 < first[2] <= 20_000
    assert second[0] == "text"
    assert second[3] != first[3]
    assert function.console().count("cold start") == 1


def test_its_environment_is_its_own(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_MINE", "1")
    function = make("return [os.environ.get('SECRET_OF_MINE'), os.environ['TOPIC']]", environment={"TOPIC": "birds"})
    assert function.invoke({}) == [None, "birds"]


def test_an_exception_comes_with_its_traceback_and_the_next_call_works(make: Make) -> None:
    function = make("return 1 // event")
    with pytest.raises(FunctionError, match="function0 raised ZeroDivisionError") as caught:
        function.invoke(0)
    assert "return 1 // event" in caught.value.traceback
    assert function.invoke(1) == 1


def test_a_slow_call_is_ended_and_the_next_starts_afresh(make: Make) -> None:
    function = make("time.sleep(event); return 'done'", seconds=60)
    assert function.invoke(0) == "done"  # its process is there
    function.seconds = 0.25
    with pytest.raises(FunctionError, match=r"timed out after 0\.25 seconds"):
        function.invoke(60)
    function.seconds = 60
    assert function.invoke(0) == "done"
    assert function.console().count("cold start") == 2


def test_a_process_that_dies_is_told_from_one_that_raises(make: Make) -> None:
    with pytest.raises(FunctionError, match="exit code 7"):
        make("os._exit(7)").invoke({})


def test_a_result_that_is_no_json_is_the_handlers_error(make: Make) -> None:
    with pytest.raises(FunctionError, match="not JSON serializable"):
        make("return {1, 2}").invoke({})


def test_prints_never_mix_with_results(make: Make) -> None:
    function = make("""print('{"result": "forged"}'); sys.stderr.write('loud'); return 'true result'""")
    assert function.invoke({}) == "true result"
    assert "forged" in function.console()
    assert "loud" in function.console()


def test_what_is_logged_appears_as_in_lambda(make: Make) -> None:
    body = "import logging; log = logging.getLogger(); log.setLevel('INFO'); log.info('two birds'); "
    function = make(body + "logging.getLogger('quiet').debug('a secret'); return context.aws_request_id")
    request = function.invoke({})
    (line,) = (line for line in function.console().splitlines() if "birds" in line)
    level, when, of, message = line.split("\t")
    assert (level, of, message) == ("[INFO]", request, "two birds") and when.endswith("Z")
    assert "secret" not in function.console()


def test_lambdas_payload_limits_hold(make: Make) -> None:
    function = make("return 'x' * event")
    assert len(function.invoke(5_000_000)) == 5_000_000
    with pytest.raises(FunctionError, match="response exceeds"):
        function.invoke(7_000_000)
    with pytest.raises(FunctionError, match="event exceeds"):
        function.invoke("x" * 7_000_000)


def test_a_file_that_can_t_be_loaded_says_why(make: Make, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import no_such_package\n")
    with (
        LocalFunction("broken", str(tmp_path / "broken.py")) as function,
        pytest.raises(FunctionError, match="no_such_package"),
    ):
        function.invoke({})
    with pytest.raises(InputError, match="there is no Lambda at"):
        LocalFunction("absent", str(tmp_path / "absent.py"))


def test_a_process_has_no_more_memory_than_it_is_given(make: Make) -> None:
    function = make("return [len(bytearray(event)), context.memory_limit_in_mb]", memory=400)
    with pytest.raises(FunctionError, match=r"raised MemoryError: .*400 MiB.*--memory") as caught:
        function.invoke(500 << 20)
    assert "bytearray(event)" in caught.value.traceback
    assert function.invoke(10 << 20) == [10 << 20, "400"]


def test_what_is_printed_is_kept_in_a_log(tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text("def lambda_handler(event, context):\n    print(event)\n")
    log = tmp_path / "logs" / "f.log"
    for text in ("first", "second"):
        with LocalFunction("f", str(tmp_path / "f.py"), log=str(log)) as function:
            function.invoke(text)
            assert function.console(6).endswith(text[-5:] + "\n")
    assert log.read_text() == "first\nsecond\n"


def test_what_other_runtimes_give_is_there(make: Make) -> None:
    names = ("AWS_REGION", "AWS_DEFAULT_REGION", "LAMBDA_TASK_ROOT", "_HANDLER", "AWS_LAMBDA_FUNCTION_VERSION", "TZ")
    function = make(f"return [os.environ[name] for name in {names}]", environment={"AWS_DEFAULT_REGION": "eu-west-1"})
    folder = str(Path(function.path).parent)
    assert function.invoke({}) == ["eu-west-1", "eu-west-1", folder, "function0.lambda_handler", "$LATEST", "UTC"]


def test_decimals_are_numbers_as_in_lambda(make: Make) -> None:
    function = make("from decimal import Decimal as D; return {'a': D('1.5'), 'b': [D(2), (3,)]}")
    assert function.invoke({}) == {"a": 1.5, "b": [2.0, [3]]}


def test_an_exit_is_an_error_with_its_place_and_the_next_call_works(make: Make) -> None:
    function = make("return event or sys.exit('no more')")
    with pytest.raises(FunctionError, match=r"raised Runtime.ExitError: sys.exit\(no more\)") as caught:
        function.invoke(0)
    assert "sys.exit('no more')" in caught.value.traceback and "_bootstrap" not in caught.value.traceback
    assert "sys.exit('no more')" in function.console()
    assert function.invoke(1) == 1


def _package(folder: Path) -> Path:
    """Make a deployment package: a handler in a package, that imports its neighbour and a module at the top."""
    (folder / "labels").mkdir(parents=True)
    (folder / "top.py").write_text("WORD = 'bird'\n")
    (folder / "labels" / "__init__.py").touch()
    (folder / "labels" / "one.py").write_text("NUMBER = 2\n")
    text = "from top import WORD\nfrom .one import NUMBER\ndef run(event, context):\n    return [WORD, NUMBER, event]\n"
    (folder / "labels" / "post.py").write_text(text)
    return folder


@pytest.mark.parametrize("handler", ["labels.post.run", "labels/post.run"])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_deployment_package_runs_as_it_is(tmp_path: Path, zipped: bool, handler: str) -> None:
    place = str(_package(tmp_path / "package"))
    if zipped:
        place = shutil.make_archive(str(tmp_path / "code"), "zip", place)
    with LocalFunction("package", place, handler) as function:
        assert function.invoke(1) == ["bird", 2, 1]
        unpacked = Path(function.path)
    assert unpacked.exists() != zipped


def test_what_is_no_package_of_pythons_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.js").touch()
    (tmp_path / "broken.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match="isn't Python"):
        LocalFunction("node", str(tmp_path / "index.js"))
    with pytest.raises(InputError, match=r"module\.function"):
        LocalFunction("folder", str(tmp_path))
    with pytest.raises(InputError, match="can't be unpacked"):
        LocalFunction("broken", str(tmp_path / "broken.zip"), "a.b")


def test_a_function_that_prints_much_fills_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gandt.service.functions.LOG_LIMIT", 1000)
    (tmp_path / "f.py").write_text("def lambda_handler(event, context):\n    print(event * 300)\n")
    log = tmp_path / "f.log"
    with LocalFunction("f", str(tmp_path / "f.py"), log=str(log)) as function:
        for event in "abcdefghij":
            function.invoke(event)
        assert function.console(400) == "i" * 98 + "\n" + "j" * 300 + "\n"
    old = (tmp_path / "f.old.log").read_text()
    assert (old[0], old[-2], len(old)) == ("e", "h", 4 * 301)


class Aws(http.server.BaseHTTPRequestHandler):
    """Answers as AWS Lambda's Invoke does."""

    def do_POST(self) -> None:
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        error = event == "raise"
        trace = {"errorType": "KeyError", "errorMessage": "'x'", "stackTrace": ["  File f.py, line 1\n"]}
        body = json.dumps(trace if error else [self.path, event]).encode()
        self.send_response(200)
        self.send_header("X-Amz-Log-Result", base64.b64encode(b"printed").decode())
        if error:
            self.send_header("X-Amz-Function-Error", "Unhandled")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_a_lambda_in_aws_is_invoked_by_its_arn(monkeypatch: pytest.MonkeyPatch) -> None:
    server = http.server.HTTPServer(("127.0.0.1", 0), Aws)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", f"http://127.0.0.1:{server.server_port}")
    arn = "arn:aws:lambda:eu-west-1:111122223333:function:SageMaker-pre:live"
    function = RemoteFunction(arn)
    path, event = function.invoke({"a": 1})
    assert urllib.parse.unquote(path) == f"/2015-03-31/functions/{arn}/invocations"
    assert (event, function.console()) == ({"a": 1}, "printed")
    with pytest.raises(FunctionError, match="raised KeyError: 'x'") as caught:
        function.invoke("raise")
    assert caught.value.traceback == "  File f.py, line 1\n\nprinted"
    server.shutdown()
    server.server_close()
    with pytest.raises(FunctionError, match=r"can't be called.*--function"):
        RemoteFunction(arn, boto3.client("lambda", config=Config(retries={"total_max_attempts": 1}))).invoke({})
