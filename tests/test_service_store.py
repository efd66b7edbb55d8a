"""The store's promises that no page shows: places given back, what may be changed and when, another version's state."""

import sqlite3

import pytest

from gandt.errors import InputError
from gandt.service.progress import Progress
from gandt.service.store import open_store

LIMIT = 600


@pytest.fixture
def store(tmp_path):
    """A store with a running job of three objects for two workers, and the ids of Ann, Ben and Cem."""
    opened = open_store(str(tmp_path / "state"))
    task = {"WorkteamArn": "x/team", "NumberOfHumanWorkersPerDataObject": 2, "TaskTimeLimitInSeconds": LIMIT}
    task["TaskTitle"] = "t"
    opened.put_workteam({"WorkteamName": "team"}, 0)
    opened.add_job({"LabelingJobName": "job", "HumanTaskConfig": task}, 0, 0)
    opened.begin("job", "t", [{"source": str(number)} for number in range(3)], ["0", "1", "2"], 0)
    opened.set_status("job", "InProgress", 0)
    opened.open_iteration("job", 1, ["2", "0", "1"], 0)
    opened.set_tasks("job", {number: {} for number in "012"})
    yield opened
    opened.close()


def people(store) -> list[str]:
    return [store.add_worker(name, "team") for name in ("Ann", "Ben", "Cem")]


def test_what_is_reserved_counts_and_comes_next(store) -> None:
    ann, ben, cem = people(store)
    assert store.reserve("job", ann, 0) is None  # nothing in hand, so nothing comes after it
    held, after = store.lease("job", ann, 0), store.reserve("job", ann, 0)
    assert (held.number, after.number) == ("2", "0")
    assert store.reserve("job", ann, 1) == after
    assert store.left("job", ann, 1) == 3
    for worker in (ben, cem):
        store.lease("job", worker, 1)
    assert store.lease("job", cem, 1).number == "0"  # Ann and Ben have the first
    assert store.submit(after.id, ann, {}, 1, 2) == "over"  # it isn't hers to answer yet
    assert store.submit(held.id, ann, {}, 1, 100) == "kept"
    begun = store.lease("job", ann, 100)
    assert (begun.id, begun.accepted, begun.expires) == (after.id, 100, 100 + LIMIT)


def test_places_come_back_when_time_is_over(store) -> None:
    ann, ben, cem = people(store)
    for worker in (ann, ben):
        assert store.lease("job", worker, 0).number == "2"
        store.reserve("job", worker, 0)
    assert store.lease("job", cem, 1).number == "1"
    store.decline(store.lease("job", cem, 1).id, cem, 1)
    later = 3 * LIMIT
    assert [store.lease("job", cem, later).number, store.reserve("job", cem, later).number] == ["2", "0"]
    assert [event.what for event in store.events("job", number="2")][:3] == ["handed out", "ran out", "ran out"]
    assert store.left("job", ann, later) == 3


def test_an_answer_can_be_changed_until_its_iteration_is_frozen(store) -> None:
    ann, ben, _ = people(store)
    lease = store.lease("job", ann, 0)
    assert store.submit(lease.id, ann, {"n": 0}, 1, 1, revision=1) == "over"  # nothing to change yet
    assert store.submit(lease.id, ann, {"n": 0}, 1, 1) == "kept"
    assert store.submit(lease.id, ben, {"n": 9}, 1, 1, revision=1) == "unknown"
    assert store.submit(lease.id, ann, {"n": 1}, 5, 10, revision=1) == "kept"
    assert store.submit(lease.id, ann, {"n": 7}, 5, 10, revision=1) == "kept before"
    assert store.submit(lease.id, ann, {"n": 7}, 5, 10, revision=3) == "over"
    assert store.last_answer(lease.id, ann) == ({"n": 1}, 5, 1)
    assert store.changeable(lease.id, LIMIT - 1)
    assert not store.changeable(lease.id, LIMIT)
    store.freeze("job", 1)
    assert not store.changeable(lease.id, 11)
    assert store.submit(lease.id, ann, {"n": 2}, 5, 11, revision=2) == "over"
    ((answer,),) = store.answers("job", 1).values()
    assert answer.content == {"n": 1}


def test_an_answer_can_be_withdrawn_until_its_iteration_is_frozen(store) -> None:
    ann, ben, cem = people(store)
    first, second = store.lease("job", ann, 0), store.lease("job", ben, 0)
    assert store.submit(first.id, ann, {"a": 1}, 1, 1) == "kept"
    assert store.submit(second.id, ben, {"b": 1}, 1, 1) == "kept"
    assert store.drawn("job")["2"] == "answered"
    assert not store.withdraw(first.id, ben, 2)  # it isn't his
    progress = Progress(store)
    assert progress.figures(store.job("job"), 2)["answers"] == 2
    assert store.withdraw(first.id, ann, 2)
    figures = progress.figures(store.job("job"), 2)
    assert figures == Progress(store).figures(store.job("job"), 2)
    assert (figures["answers"], [row["worker"] for row in figures["workers"]]) == (1, [ben])
    assert not store.withdraw(first.id, ann, 2)
    assert store.drawn("job")["2"] == "open"
    assert [answer.worker for answer in store.answers("job", 1)["2"]] == [ben]
    assert [store.submit(first.id, ann, {"a": 1}, 1, 3, revision=number) for number in range(3)] == ["over"] * 3
    assert store.lease("job", ann, 3).number == "0"  # she doesn't see it again
    third = store.lease("job", cem, 3)
    assert (third.number, store.submit(third.id, cem, {"c": 1}, 1, 4)) == ("2", "kept")
    assert store.drawn("job")["2"] == "answered"
    store.freeze("job", 1)
    assert not store.withdraw(third.id, cem, 5)
    assert not store.withdraw(second.id, ben, LIMIT)
    told = [(event.what, event.content) for event in store.events("job", number="2")]
    assert told[2:4] == [("withdrawn", None), ("submitted", {"b": 1})]  # and it stays in the history
    assert [answer.content for answer in store.answers_after("job", 0)] == [{"a": 1}, {"b": 1}, None, {"c": 1}]


def test_a_draft_is_the_holders_own(store) -> None:
    ann, ben, _ = people(store)
    lease = store.lease("job", ann, 0)
    assert not store.set_draft(lease.id, ben, {"n": 1}, 1, 1)
    assert not store.set_draft(lease.id, ann, {"n": 1}, 1, LIMIT)
    assert store.set_draft(lease.id, ann, {"n": 1}, 3, 2)
    assert store.draft(lease.id).content == {"n": 1}
    store.submit(lease.id, ann, {}, 1, 3)
    assert store.draft(lease.id) is None
    assert not store.set_draft(lease.id, ann, {"n": 1}, 1, 4)


def test_another_versions_state_is_refused(tmp_path) -> None:
    open_store(str(tmp_path)).close()
    open_store(str(tmp_path)).close()
    with sqlite3.connect(tmp_path / "gandt.sqlite") as db:
        db.execute("PRAGMA user_version = 1")
    db.close()
    with pytest.raises(InputError, match="another version"):
        open_store(str(tmp_path))
