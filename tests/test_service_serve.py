"""``gandt serve``: one service a state, invitations, what it refuses. That it can be killed: test_service_soak.py."""

import pytest

from gandt.errors import InputError
from gandt.service.invitations import invite, revoke
from gandt.service.serve import serving
from gandt.service.setting import parse_function


def test_one_state_has_one_service(tmp_path) -> None:
    with serving(str(tmp_path / "state")) as (address, _, _):
        assert address.startswith("http://127.0.0.1:")
        with pytest.raises(InputError, match="another gandt serve runs"), serving(str(tmp_path / "state")):
            pass
    with serving(str(tmp_path / "state")):
        pass


def test_invitations(tmp_path) -> None:
    from gandt.service.store import open_store

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
