"""The labeling service: leases, durable answers, jobs that survive their service."""

import json
import sqlite3
import time
from typing import Any

import pytest

from gandt import storage
from gandt.errors import ContractError, FunctionError, InputError
from gandt.jobs import build_request
from gandt.service.engine import LabelingJob
from gandt.service.labeling import LabelingService
from gandt.service.store import open_store

TEAM = "arn:aws:sagemaker:us-east-1:000000000000:workteam/private-crowd/me"
POST = "arn:aws:lambda:us-east-1:000000000000:function:LabelingFunction-post"


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Counting:
    """A post-annotation Lambda whose label is how many answers there were."""

    def __init__(self, s3: Any) -> None:
        self.s3, self.events = s3, []

    def invoke(self, event: Any) -> Any:
        self.events.append(event)
        return [
            {
                "datasetObjectId": entry["datasetObjectId"],
                "consolidatedAnnotation": {"content": {event["labelAttributeName"]: len(entry["annotations"])}},
            }
            for entry in json.loads(storage.read_text(event["payload"]["s3Uri"], s3=self.s3))
        ]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_service(s3, clock, tmp_path):
    """Opens the service on the same state as often as it is called, ending the one before."""
    opened: list[LabelingService] = []

    def close() -> None:
        if opened:
            opened[-1].end()
            opened[-1].store.close()

    def open_() -> LabelingService:
        close()
        service = LabelingService(
            open_store(str(tmp_path / "state")), {"LabelingFunction-post": Counting(s3)}, s3, clock=clock
        )
        service.start()
        opened.append(service)
        return service

    yield open_
    close()


def request(s3, lines: int, workers: int = 2, **options: Any) -> dict[str, Any]:
    text = "".join(json.dumps({"source": f"text {n}"}) + "\n" for n in range(lines))
    storage.write_text("s3://bucket/in.manifest", text, s3=s3)
    storage.write_text("s3://bucket/t.liquid.html", "<crowd-form>{{ task.input.source }}</crowd-form>", s3=s3)
    return build_request(
        "My-Job",
        manifest="s3://bucket/in.manifest",
        template="s3://bucket/t.liquid.html",
        output="s3://bucket/out",
        workteam=TEAM,
        role="arn:aws:iam::000000000000:role/r",
        label_attribute="animal",
        workers_per_object=workers,
        **options,
    )


def create(service: LabelingService, asked: dict[str, Any], names: str = "ab") -> list[str]:
    """Create the job, wait until its first tasks are there, and return the ids of its workers."""
    service.store.put_workteam({"WorkteamName": "me"}, 0)
    assert service.create(asked)
    until(lambda: service.store.states("my-job").get("open") or service.store.job("my-job").ended)
    return [service.store.add_worker(name, "me") for name in names]


def until(condition) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def work(service: LabelingService, workers: list[str], most: int = 1000) -> int:
    """Let the workers answer in turn until nobody gets anything; return how many answers were kept."""
    kept = 0
    while kept < most:
        leases = [lease for lease in (service.next(worker, "My-Job") for worker in workers) if lease]
        for lease in leases:
            kept += service.submit(lease.id, lease.worker, {"answer": lease.number}, 1.0) == "kept"
        job = service.store.job("my-job")
        if not leases and (job.ended or service.store.states("my-job").get("open")):
            return kept
        time.sleep(0 if leases else 0.01)
    return kept


def output(s3) -> list[dict[str, Any]]:
    text = storage.read_text("s3://bucket/out/My-Job/manifests/output/output.manifest", s3=s3)
    return [json.loads(line) for line in text.splitlines()]


def ended(service: LabelingService) -> str:
    until(lambda: service.store.job("my-job").ended)
    return service.store.job("my-job").status


def test_a_job_goes_through_its_iterations_to_the_output_manifest(s3, open_service) -> None:
    service = open_service()
    workers = create(service, request(s3, 23, post_lambda=POST, MaxConcurrentTaskCount=8), "abc")
    assert work(service, workers) == 46
    assert ended(service) == "Completed"
    assert [line["animal"] for line in output(s3)] == [2] * 23
    assert service.store.iteration("my-job")[0] == 3  # ten, eight, five
    answered = [
        (number, answer.worker)
        for iteration in (1, 2, 3)
        for number, given in service.store.answers("my-job", iteration).items()
        for answer in given
    ]
    assert len(answered) == len(set(answered)) == 46


def test_a_service_that_comes_back_goes_on_from_its_state(s3, open_service) -> None:
    service = open_service()
    workers = create(service, request(s3, 14, post_lambda=POST))
    work(service, workers, most=7)
    storage.write_text("s3://bucket/in.manifest", "gone", s3=s3)  # what was read stays read
    storage.write_text("s3://bucket/t.liquid.html", "gone", s3=s3)
    service = open_service()
    held = service.next(workers[0], "My-Job")
    service = open_service()
    assert service.next(workers[0], "My-Job") == held  # a lease survives, too
    work(service, workers)
    assert ended(service) == "Completed"
    assert [line["animal"] for line in output(s3)] == [2] * 14
    service = open_service()
    assert ended(service) == "Completed"


def test_an_iteration_that_was_answered_but_not_closed_is_closed_after_a_restart(s3, open_service) -> None:
    service = open_service()
    asked = request(s3, 3, workers=1, post_lambda=POST)
    (worker,) = create(service, asked, "a")
    service.end()  # nobody is there to close it
    assert work_offline(service, worker) == 3
    service = open_service()
    assert ended(service) == "Completed"
    assert len(output(s3)) == 3


def work_offline(service: LabelingService, worker: str) -> int:
    count = 0
    while lease := service.next(worker, "My-Job"):
        count += service.submit(lease.id, worker, {}, 0) == "kept"
    return count


def test_a_lease_is_one_workers_own_until_its_time_is_over(s3, open_service, clock) -> None:
    service = open_service()
    a, b = create(service, request(s3, 1, workers=1))
    lease = service.next(a, "My-Job")
    assert lease.expires == clock.now + 3600
    assert service.next(a, "My-Job") == lease  # the same on another device
    assert service.next(b, "My-Job") is None
    assert service.jobs(b)[0][1] == 0
    assert service.submit(lease.id, b, {}, 1) == "unknown"  # somebody else's lease
    assert service.submit("forged", b, {}, 1) == "unknown"
    clock.now += 3600
    assert service.submit(lease.id, a, {}, 1) == "over"
    other = service.next(b, "My-Job")
    assert other.number == lease.number
    assert service.submit(other.id, b, {}, 1) == "kept"


def test_a_declined_object_goes_to_somebody_else(s3, open_service) -> None:
    service = open_service()
    a, b = create(service, request(s3, 1, workers=1))
    lease = service.next(a, "My-Job")
    assert not service.store.decline(lease.id, b, 0)
    assert service.store.decline(lease.id, a, 0)
    assert service.next(a, "My-Job") is None
    assert service.submit(lease.id, a, {}, 1) == "over"
    assert service.next(b, "My-Job").number == lease.number


def test_a_submit_that_comes_again_changes_nothing(s3, open_service, clock) -> None:
    service = open_service()
    a, b = create(service, request(s3, 1, workers=2))
    lease = service.next(a, "My-Job")
    clock.now += 10
    assert service.submit(lease.id, a, {"x": 1}, 99) == "kept"
    assert service.submit(lease.id, a, {"x": 2}, 1) == "kept before"
    (answers,) = service.store.answers("my-job", 1).values()
    assert [answer.content for answer in answers] == [{"x": 1}]
    assert answers[0].seconds == 10  # nobody works longer than he held the task
    assert service.next(a, "My-Job") is None  # never the same object twice
    assert service.next(b, "My-Job") is not None


def test_answers_cant_be_changed_in_the_file_either(s3, open_service, tmp_path) -> None:
    service = open_service()
    (a,) = create(service, request(s3, 1), "a")
    lease = service.next(a, "My-Job")
    service.submit(lease.id, a, {}, 1)
    db = sqlite3.connect(tmp_path / "state" / "gandt.sqlite")
    for sql in ("DELETE FROM answers", "UPDATE answers SET content = 'x'"):
        with pytest.raises(sqlite3.IntegrityError, match="answers stay"):
            db.execute(sql)
    db.close()


def test_a_task_expires_with_the_answers_it_has(s3, open_service, clock) -> None:
    service = open_service()
    a, _ = create(service, request(s3, 2, post_lambda=POST))
    lease = service.next(a, "My-Job")
    service.submit(lease.id, a, {}, 1)
    clock.now += 864_000
    assert ended(service) == "Completed"
    lines = output(s3)
    assert lines[int(lease.number)]["animal"] == 1
    assert "animal" not in lines[1 - int(lease.number)]
    assert service.store.states("my-job") == {"labeled": 1, "failed": 1}


def test_a_stopped_job_keeps_what_was_answered(s3, open_service) -> None:
    service = open_service()
    a, _ = create(service, request(s3, 12, post_lambda=POST))
    lease = service.next(a, "My-Job")
    service.submit(lease.id, a, {}, 1)
    held = service.next(a, "My-Job")
    assert service.stop("my-job")
    assert ended(service) == "Stopped"
    assert service.submit(held.id, a, {}, 1) == "over"
    assert [number for number, line in enumerate(output(s3)) if "animal" in line] == [int(lease.number)]
    assert service.store.states("my-job") == {"labeled": 1, "unlabeled": 9, "waiting": 2}
    assert not service.stop("my-job")


def test_a_stopping_condition_ends_the_job(s3, open_service) -> None:
    service = open_service()
    asked = {**request(s3, 30, workers=1), "StoppingConditions": {"MaxHumanLabeledObjectCount": 13}}
    work(service, create(service, asked, "a"))
    assert ended(service) == "Stopped"
    assert service.store.states("my-job") == {"labeled": 13, "waiting": 17}


def test_a_job_that_cant_begin_says_why(s3, open_service) -> None:
    service = open_service()
    asked = request(s3, 1)
    storage.write_text("s3://bucket/in.manifest", "{", s3=s3)
    create(service, asked)
    assert ended(service) == "Failed"
    assert "line 1 isn't JSON" in service.store.job("my-job").reason


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (FunctionError("Lambda f raised ValueError: \ud800", "Traceback: x"), r"ValueError: \ud800"),
        (float("inf"), "returned what JSON can't hold"),
        ("\ud800", "returned what JSON can't hold"),
    ],
)
def test_what_no_file_can_hold_fails_the_job_and_says_so(s3, open_service, result: Any, reason: str) -> None:
    service = open_service()

    class Strange(Counting):
        def invoke(self, event: Any) -> Any:
            if isinstance(result, Exception):
                raise result
            return [
                {**entry, "consolidatedAnnotation": {"content": {event["labelAttributeName"]: result}}}
                for entry in super().invoke(event)
            ]

    service.functions = {"LabelingFunction-post": Strange(s3)}
    work(service, create(service, request(s3, 1, workers=1, post_lambda=POST), "a"))
    assert ended(service) == "Failed"
    assert reason in service.store.job("my-job").reason
    assert output(s3) == [{"source": "text 0"}]  # it was there when the job said that it failed


def test_an_output_that_cant_be_written_is_known_before_anybody_works(s3, open_service) -> None:
    service = open_service()
    asked = request(s3, 1)
    asked["OutputConfig"]["S3OutputPath"] = "s3://no-such-bucket/out"
    create(service, asked)
    assert ended(service) == "Failed"
    assert "s3://no-such-bucket/out/My-Job/manifests" in service.store.job("my-job").reason


def test_a_job_whose_output_cant_be_written_ends_as_failed(s3, open_service, monkeypatch) -> None:
    service = open_service()
    monkeypatch.setattr(LabelingJob, "write_output", lambda job: 1 // 0)
    work(service, create(service, request(s3, 1, workers=1), "a"))
    assert ended(service) == "Failed"
    assert "division" in service.store.job("my-job").reason


def test_what_isnt_there_is_refused_not_ignored(s3, open_service) -> None:
    service = open_service()
    asked = request(s3, 1, post_lambda=POST.replace("post", "other"))
    asked["InputConfig"]["DataSource"] = {"SnsDataSource": {"SnsTopicArn": "arn:aws:sns:us-east-1:000000000000:t"}}
    with pytest.raises(ContractError) as caught:
        service.create(asked)
    for part in ("no workteam 'me'", "no topic", "--function LabelingFunction-other="):
        assert part in str(caught.value)


def test_tokens_are_hashed_expire_and_can_be_revoked(tmp_path) -> None:
    store = open_store(str(tmp_path))
    worker = store.add_worker("Ann", "Me")
    assert store.add_worker("Ann", "me") == worker
    token, other = store.issue(worker, "link", 100), store.issue(worker, "link", 100)
    assert store.bearer(token, "link", 99) == worker
    assert store.bearer(token, "link", 100) is None
    assert store.bearer(token, "session", 1) is None
    store.revoke(worker, 5, token=token)
    assert (store.bearer(token, "link", 1), store.bearer(other, "link", 1)) == (None, worker)
    store.close()
    assert all(token.encode() not in path.read_bytes() for path in tmp_path.iterdir())


def test_a_file_that_is_no_state_is_refused(tmp_path) -> None:
    (tmp_path / "gandt.sqlite").write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(InputError, match="--state"):
        open_store(str(tmp_path))
