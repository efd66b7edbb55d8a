"""A clock that is set back makes no time of less than nothing: in the service, over a restart, in files of others."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gandt.answers.read import read_output
from gandt.service.clock import SteadyClock
from gandt.service.labeling import LabelingService
from gandt.service.progress import Progress
from gandt.service.store import open_store

DAY = 86_400


@given(st.lists(st.tuples(st.floats(-3 * DAY, 3 * DAY), st.floats(0, DAY)), max_size=30))
def test_time_never_goes_back_and_passes_at_least_as_the_monotonic_clock(steps) -> None:
    """Each step sets the machine's clock somewhere, after some seconds of work."""
    wall, monotonic = [1e9], [50.0]
    clock = SteadyClock(lambda: wall[0], lambda: monotonic[0])
    before = clock()
    for shift, passed in steps:
        wall[0] += passed + shift
        monotonic[0] += passed
        now = clock()
        assert now >= before + passed - 1e-3
        assert now >= wall[0]
        before = now


def test_it_follows_the_machine_over_sleep_and_forward(monkeypatch) -> None:
    wall, monotonic = [1e9], [50.0]
    clock = SteadyClock(lambda: wall[0], lambda: monotonic[0])
    wall[0] += DAY  # asleep: the monotonic clock stood still
    assert clock() == wall[0]
    wall[0] -= 7200
    assert clock() == 1e9 + DAY
    monotonic[0] += 30
    assert clock() == 1e9 + DAY + 30
    wall[0] += 10_000
    assert clock() == wall[0]  # overtaken


@pytest.fixture
def opened(tmp_path: Path):
    store = open_store(str(tmp_path / "state"))
    task = {"WorkteamArn": "x/team", "NumberOfHumanWorkersPerDataObject": 1, "TaskTimeLimitInSeconds": 600}
    store.put_workteam({"WorkteamName": "team"}, 0)
    store.add_job({"LabelingJobName": "job", "HumanTaskConfig": task | {"TaskTitle": "t"}}, 0, 0)
    store.begin("job", "t", [{"source": "a"}, {"source": "b"}], ["0", "1"], 0)
    store.set_status("job", "InProgress", 0)
    store.open_iteration("job", 1, ["0", "1"], 0)
    store.set_tasks("job", {"0": {}, "1": {}})
    yield store
    store.close()


def test_the_service_measures_with_a_clock_that_is_not_set_back(opened, monkeypatch) -> None:
    wall, monotonic = [1e9], [50.0]
    monkeypatch.setattr("time.time", lambda: wall[0])
    service = LabelingService(opened, {}, None, clock=SteadyClock(lambda: wall[0], lambda: monotonic[0]))
    assert isinstance(LabelingService(opened, {}, None).clock, SteadyClock)  # as it is by default
    ann = opened.add_worker("Ann", "team")
    lease = service.next(ann, "job")
    wall[0] -= 7200  # as the field's case: seconds = -7199
    monotonic[0] += 40
    assert service.submit(lease.id, ann, {"label": "cat"}, 31.5) == "kept"
    ((answer,),) = opened.answers("job", 1).values()
    assert answer.seconds == 31.5
    assert (answer.submitted_at - answer.accepted_at).total_seconds() == pytest.approx(40)


@pytest.mark.parametrize("seconds", [0.0, 12.0, -5.0, 1e9])
def test_over_a_restart_with_another_clock_nothing_is_below_zero(opened, seconds) -> None:
    ann = opened.add_worker("Ann", "team")
    lease = opened.lease("job", ann, 10_000.0)
    assert opened.submit(lease.id, ann, {"label": "cat"}, seconds, 2_801.0) == "kept"  # 7,199 s before
    assert opened.submit(lease.id, ann, {"label": "dog"}, seconds, 2_900.0, revision=1) == "kept"
    ((answer,),) = opened.answers("job", 1).values()
    assert 0 <= answer.seconds < 0.01
    assert answer.submitted_at >= answer.accepted_at
    (event, *_) = [each for each in opened.events("job") if each.what == "changed"]
    assert (event.seconds, event.content) == (answer.seconds, {"label": "dog"})
    assert Progress(opened).figures(opened.job("job"), 2_900.0)["seconds_spent"] == answer.seconds


@pytest.mark.parametrize("kept", [-7199, -0.001, "-7199", float("-inf"), float("inf"), 1e400])
def test_a_time_in_a_file_that_cannot_be_is_unknown_and_said(tmp_path: Path, kept) -> None:
    folder = tmp_path / "job" / "annotations" / "worker-response" / "iteration-1" / "0"
    folder.mkdir(parents=True)
    answers = [
        {
            "acceptanceTime": "2026-11-27T10:00:00Z", "submissionTime": "2026-11-27T08:00:01Z",
            "answerContent": {"label": "cat"}, "timeSpentInSeconds": seconds, "workerId": worker,
        }
        for worker, seconds in (("ann", kept), ("ben", 4.5), ("cem", 0))
    ]  # fmt: skip
    (folder / "2026-11-27_08_00_01.json").write_text(json.dumps({"answers": answers}))
    read = read_output(str(tmp_path / "job"))
    seconds = dict(zip(read.answers["worker"], read.answers["seconds"], strict=True))
    assert math.isnan(seconds["ann"]) and (seconds["ben"], seconds["cem"]) == (4.5, 0.0)
    told = read.set_aside[read.set_aside["worker"] == "ann"]["reason"].tolist()
    assert len(told) == 1 and "which can't be; it counts as unknown" in told[0]
    assert set(read.set_aside["worker"]) == {"ann"}
    assert len(read.answers) == 3  # the answer itself counts
