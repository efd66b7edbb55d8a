"""Lambdas from local files: called as AWS calls them, and their misfortunes told apart."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gandt.errors import FunctionError, InputError
from gandt.service.functions import LocalFunction

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
    function = make("time.sleep(event); return 'done'", seconds=1.5)
    with pytest.raises(FunctionError, match=r"timed out after 1\.50 seconds"):
        function.invoke(30)
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
