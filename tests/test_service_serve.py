"""``gandt serve``: one service a state, invitations, what it refuses. That it can be killed: test_service_soak.py."""

import json
import os
import signal
import subprocess
import sys
import time

import boto3
import pytest
from service import until

from gandt.errors import InputError
from gandt.jobs import build_request
from gandt.service.invitations import invite, revoke
from gandt.service.serve import Door, serving
from gandt.service.server import listen
from gandt.service.setting import Setting, parse_function, service_in
from gandt.service.store import open_store


def test_one_state_has_one_service(tmp_path) -> None:
    with serving(str(tmp_path / "state")) as (address, s3, _):
        assert address.startswith("http://127.0.0.1:")
        assert open_store(str(tmp_path / "state")).setting("s3") == s3  # what gandt job is told
        with pytest.raises(InputError, match="another gandt serve runs"), serving(str(tmp_path / "state")):
            pass
    with serving(str(tmp_path / "state")):
        pass


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_state_that_cant_be_kept_is_refused(tmp_path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="give another folder with --state"), serving(str(tmp_path / place)):
        pass


def test_a_port_that_is_taken_is_named(tmp_path) -> None:
    with listen(0) as listener:
        port = listener.getsockname()[1]
        said = rf"^port {port} of 127.0.0.1 can't be had \(Address already in use\); "
        with pytest.raises(InputError, match=said), serving(str(tmp_path / "state"), door=Door(port=port)):
            pass


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once_and_in_order(tmp_path, name: int) -> None:
    """Also while a Lambda is being called: its job isn't failed by that, and goes on."""
    lambda_ = tmp_path / "slow.py"
    lambda_.write_text("import time\ndef lambda_handler(event, context):\n    time.sleep(60)\n")
    state, own = str(tmp_path / "state"), {n: v for n, v in os.environ.items() if not n.startswith("AWS_")}
    command = [sys.executable, "-c", "from gandt.cli import main; main()", "serve", "--json", "--port", "0"]
    command += ["--state", state, "--function", f"slow={lambda_}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=own) as process:
        assert process.stdout is not None
        text = ""
        while not text.endswith("}\n") and (line := process.stdout.readline()):
            text += line
        said = json.loads(text)
        keys = {"region_name": "us-east-1", "aws_access_key_id": "a", "aws_secret_access_key": "b"}
        s3 = boto3.client("s3", endpoint_url=said["s3"], **keys)
        s3.create_bucket(Bucket="bucket")
        s3.put_object(Bucket="bucket", Key="m", Body=b'{"source": "a"}')
        s3.put_object(Bucket="bucket", Key="t", Body=b"<crowd-form></crowd-form>")
        invite("Ann", "friends", state, new_team=True)
        asked = build_request(
            "j",
            manifest="s3://bucket/m",
            template="s3://bucket/t",
            output="s3://bucket/out",
            workteam="arn:aws:sagemaker:us-east-1:000000000000:workteam/private-crowd/friends",
            role="arn:aws:iam::000000000000:role/r",
            pre_lambda="arn:aws:lambda:us-east-1:000000000000:function:slow",
        )
        boto3.client("sagemaker", endpoint_url=said["address"], **keys).create_labeling_job(**asked)
        store = open_store(state)
        until(lambda: store.job("j").status == "InProgress" and (tmp_path / "state/logs/slow.log").exists())
        time.sleep(0.2)  # into the call
        process.send_signal(name)
        assert process.wait(120) == (0 if name == signal.SIGTERM else 130)
    assert store.job("j").status == "InProgress"
    store.close()


def test_variables_are_given_to_lambdas(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SET", "1")
    (tmp_path / "f.py").write_text("import os\ndef lambda_handler(event, context):\n    return dict(os.environ)\n")
    store = open_store(str(tmp_path))
    wanted = ("SET", "OTHER=a=b", "EMPTY=")
    with service_in(str(tmp_path), store, Setting(functions=[f"f={tmp_path}/f.py"], env=wanted)) as (service, _):
        seen = service.functions["f"].invoke({})
    assert [seen[name] for name in ("SET", "OTHER", "EMPTY")] == ["1", "a=b", ""]
    for wrong in ("UNSET", "=x"):
        with (
            pytest.raises(InputError, match="no such variable"),
            service_in(str(tmp_path), store, Setting(env=[wrong])),
        ):
            pass
    store.close()


@pytest.mark.parametrize("name", ["", " ", "a\x1b[31m", "x" * 61])
def test_a_name_can_be_read(tmp_path, name: str) -> None:
    open_store(str(tmp_path)).close()
    with pytest.raises(InputError, match="give a name"):
        invite(name, "t", str(tmp_path), new_team=True)


@pytest.mark.parametrize("team", ["", "a team", "x" * 64, "é"])
def test_a_workteam_is_named_as_in_sagemaker(tmp_path, team: str) -> None:
    open_store(str(tmp_path)).close()
    with pytest.raises(InputError, match="can't be a workteam's name"):
        invite("Ann", team, str(tmp_path), new_team=True)


def test_invitations(tmp_path) -> None:
    state = str(tmp_path / "state")
    with pytest.raises(InputError, match="no service's state"):
        invite("Ann", "t", state)
    open_store(state).close()
    with pytest.raises(InputError, match="--new-team"):
        invite("Ann", "t", state)
    link = invite("Ann", "t", state, new_team=True)
    assert link.partition("#")[2] != invite("Ann", "t", state).partition("#")[2]
    with pytest.raises(InputError, match="no worker called 'Ben'"):
        revoke("Ben", state)
    assert revoke("Ann", state, workteam="T") == 2
    store = open_store(state)
    assert store.bearer(link.partition("#")[2], "link", 0) is None
    store.close()


@pytest.mark.parametrize("text", ["", "name", "=x.py:h", "name=:h", "name=x.py:"])
def test_a_function_needs_name_file_and_handler(text: str) -> None:
    with pytest.raises(InputError, match="NAME=FILE"):
        parse_function(text)


def test_a_function_is_read_as_it_is_written() -> None:
    assert parse_function("pre=a/b.py:run") == ("pre", "a/b.py", "run")
    assert parse_function("pre=a/b.py") == ("pre", "a/b.py", "lambda_handler")
    assert parse_function("pre=code.zip:src/post.run") == ("pre", "code.zip", "src/post.run")
    assert parse_function("pre=folder") == ("pre", "folder", "lambda_function.lambda_handler")
