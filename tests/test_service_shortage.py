"""Jobs that can't end with the workers there are: said at creation, in status and wait, to owner and workers."""

import json
import logging
import random
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from service import MEMBERS, SHOWN, create, invite, running, until
from typer.testing import CliRunner

from gandt import jobs, storage
from gandt.cli import app
from gandt.cli import job as _commands  # noqa: F401  (registers them)
from gandt.jobs.status import read_status, shortage
from gandt.service.invitations import owner_link
from gandt.service.progress import Progress, standing, to_come
from gandt.service.store import Job, open_store

TEMPLATE = """<script src="https://assets.crowd.aws/crowd-html-elements.js"></script>
<crowd-form><p>{{ task.input.source }}</p><crowd-input name="word" label="Word"></crowd-input></crowd-form>"""


@pytest.fixture
def live(tmp_path: Path, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with running(str(tmp_path / "state")) as served:
        served.team = served.sagemaker.create_workteam(
            WorkteamName="Friends", MemberDefinitions=MEMBERS, Description="those we know"
        )["WorkteamArn"]
        served.worker, served.state = served.store.add_worker("Ann", "Friends"), tmp_path / "state"
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", served.s3.meta.endpoint_url)
        storage.default_s3.cache_clear()
        yield served
        storage.use(storage.Access())
        storage.default_s3.cache_clear()


def make(live, name: str, pages: int = 46, workers: int = 3) -> None:
    create(live, name, TEMPLATE, [{"source": f"text {n}"} for n in range(pages)], workers_per_object=workers)
    until(lambda: live.store.states(name).get("open") == min(pages, 10))  # the probe


def answer(live, worker: str, name: str, count: int) -> None:
    for _ in range(count):
        lease = live.service.next(worker, name)
        assert live.service.submit(lease.id, worker, {"word": "x"}, 1.0) == "kept"


def test_a_single_worker_of_three_is_said_wherever_the_job_is_looked_at(live, caplog, tmp_path: Path) -> None:
    words = "10 pages wait for 2 more workers: each wants 3 answers, and the workteam has 1"
    (tmp_path / "in.manifest").write_text("".join(f'{{"source": "text {n}"}}\n' for n in range(46)))
    (tmp_path / "t.liquid.html").write_text(TEMPLATE)
    asked = ["--manifest", tmp_path / "in.manifest", "--template", tmp_path / "t.liquid.html", "--output"]
    where = ["--endpoint", live.address]

    def job(*told: object) -> tuple[str, str]:
        done = CliRunner().invoke(app, ["job", *map(str, told), *where])
        return done.stdout, done.stderr

    with caplog.at_level(logging.WARNING):
        _, said = job("create", "alone", *asked, "s3://bucket/jobs", "--attribute", "word", "--workers", "3")
    assert "2 more workers: each wants 3 answers, and the workteam has 1" in said
    assert "gandt workers invite" in said
    assert any("labeling job alone: " in each and "2 more workers" in each for each in caplog.messages)
    until(lambda: live.store.states("alone").get("open") == 10)

    shown, said = job("status", "alone")
    assert words in said and "0 of 138" in shown
    answer(live, live.worker, "alone", 10)
    assert live.service.next(live.worker, "alone") is None
    shown, said = job("status", "alone")
    assert words in said
    assert "10 of 138 answers, 0 of 46 pages closed" in " ".join(shown.split())
    found = json.loads(job("status", "alone", "--json")[0])
    assert (found["answers"], found["answers_wanted"], found["workers"]) == (10, 138, 1)
    assert (found["objects_short"], found["workers_lacking"], found["shortage"]) == (10, 2, words)
    assert (found["share"], found["labeled"], found["unlabeled"]) == (0.0, 0, 46)  # the contract's own counters

    done = CliRunner().invoke(app, ["job", "wait", "alone", *where, "--poll", "0.1", "--timeout", "0.3"])
    assert done.stderr.count(words) == 1  # once, though it looks more often
    assert "10 of 138 answers" in done.stderr

    progress = Progress(live.store)
    figures = progress.figures(live.store.job("alone"), 0.0)
    assert (figures["answers"], figures["answers_wanted"], figures["missing"]) == (10, 138, 128)
    assert figures["shortage"] == progress.brief(live.store.job("alone"))["shortage"] == words

    for name in ("Ben", "Cem"):  # and with workers enough there is nothing to say
        answer(live, live.store.add_worker(name, "Friends"), "alone", 10)
    until(lambda: live.store.states("alone").get("open") == 36)  # the rest, since the probe is closed
    shown, said = job("status", "alone")
    assert "wait" not in said and "30 of 138 answers, 10 of 46 pages closed" in " ".join(shown.split())
    live.service.stop("alone")
    until(lambda: live.store.job("alone").ended)
    shown, said = job("status", "alone")
    assert "wait" not in said and "22% (10 of 46)" in shown


def test_a_page_that_somebody_left_to_others_who_have_all_done_it_is_said(live) -> None:
    ben = live.store.add_worker("Ben", "Friends")
    make(live, "left", pages=2, workers=2)
    lease = live.service.next(ben, "left")
    assert live.store.decline(lease.id, ben, live.service.clock())
    status = jobs.describe("left", sagemaker=live.sagemaker)
    told = "1 page waits for 1 more worker: each wants 2 answers, and the others had them already, or left them"
    assert status.shortage == told
    live.store.add_worker("Cem", "Friends")
    assert jobs.describe("left", sagemaker=live.sagemaker).shortage == ""


def test_the_contracts_shape_stays(live) -> None:
    """A client that knows nothing of gandt sees what SageMaker's model has, and no more."""
    make(live, "shape", pages=3, workers=2)
    described = boto3.client("sagemaker", endpoint_url=live.address).describe_labeling_job(LabelingJobName="shape")
    assert not {"Answers", "FailedObjects"} & described.keys()
    counters = ("TotalLabeled", "HumanLabeled", "MachineLabeled", "FailedNonRetryableError")
    assert described["LabelCounters"] == {**dict.fromkeys(counters, 0), "Unlabeled": 3}


def test_what_sagemaker_does_not_tell_stays_unsaid(live) -> None:
    make(live, "told", pages=3, workers=2)
    found = boto3.client("sagemaker", endpoint_url=live.address).describe_labeling_job(LabelingJobName="told")
    status = read_status(found)
    assert (status.answers, status.answers_wanted, status.workers, status.shortage) == (None, None, None, "")
    assert status.bar().endswith("0% (0 of 3)")


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ((0, 0, 3, 3), ""),
        ((0, 0, 9, 3), ""),
        ((0, 0, 1, 3), "every page waits for 2 more workers: each wants 3 answers, and the workteam has 1"),
        ((0, 0, 0, 1), "every page waits for 1 more worker: each wants 1 answer, and the workteam has 0"),
        ((1, 1, 2, 3), "1 page waits for 1 more worker: each wants 3 answers, and the workteam has 2"),
        ((1200, 2, 1, 3), "1,200 pages wait for 2 more workers: each wants 3 answers, and the workteam has 1"),
        (
            (4, 2, 3, 3),
            "4 pages wait for up to 2 more workers: each wants 3 answers, and the others had them already, or left "
            "them",
        ),
    ],
)
def test_the_sentence(counts, words) -> None:
    assert shortage(*counts) == words


# ------------------------------------------------------------------ the counts, against counting by hand


@dataclass
class Model:
    """What the store should know: by object, who answered, left or holds it."""

    answered: dict[str, set[str]] = field(default_factory=dict)
    seen: dict[str, set[str]] = field(default_factory=dict)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6), pages=st.integers(1, 5), wanted=st.integers(1, 4), people=st.integers(0, 5),
    steps=st.integers(0, 40),
)  # fmt: skip
def test_counts_are_those_of_the_answers(tmp_path_factory, seed, pages, wanted, people, steps) -> None:
    rng, model = random.Random(seed), Model()
    store = open_store(str(tmp_path_factory.mktemp("state")))
    task = {"WorkteamArn": "x/team", "NumberOfHumanWorkersPerDataObject": wanted, "TaskTimeLimitInSeconds": 600}
    store.put_workteam({"WorkteamName": "team"}, 0)
    store.put_workteam({"WorkteamName": "others"}, 0)
    store.add_worker("Eve", "others")  # who can't help
    store.add_job({"LabelingJobName": "job", "HumanTaskConfig": task | {"TaskTitle": "t"}}, 0, 0)
    store.begin("job", "t", [{"source": str(n)} for n in range(pages + 2)], [str(n) for n in range(pages + 2)], 0)
    store.set_status("job", "InProgress", 0)
    store.open_iteration("job", 1, [str(n) for n in range(pages)], 0)  # two more come later
    store.set_tasks("job", {str(n): {} for n in range(pages)})
    workers = [store.add_worker(f"w{n}", "Team") for n in range(people)]
    done: list[tuple[str, str, str]] = []
    for _ in range(steps if workers else 0):
        worker = rng.choice(workers)
        what = rng.random()
        if what < 0.2 and done:
            lease, who, number = done.pop(rng.randrange(len(done)))
            if store.withdraw(lease, who, 1):
                model.answered[number].discard(who)
            continue
        held = store.lease("job", worker, 1)
        if held is None:
            continue
        model.seen.setdefault(held.number, set()).add(worker)
        if what < 0.4:
            store.decline(held.id, worker, 1)
        elif what < 0.9 and store.submit(held.id, worker, {"a": 1}, 1, 1) == "kept":
            model.answered.setdefault(held.number, set()).add(worker)
            done.append((held.id, worker, held.number))
            if rng.random() < 0.3:
                assert store.submit(held.id, worker, {"a": 2}, 1, 1, revision=1) == "kept"
    counts = store.counts("job")
    state = store.drawn("job", 1)
    answers = {number: len(model.answered.get(number, ())) for number in state}
    open_ = [number for number in state if state[number] == "open"]
    assert counts.answers == sum(answers.values())
    assert counts.on_open == sum(answers[number] for number in open_)
    assert counts.workers == people
    lacks = []
    for number in open_:
        had, gave = model.seen.get(number, set()), model.answered.get(number, set())
        can = [who for who in workers if who not in had or holding(store, who) == number]
        lacks.append(wanted - len(gave) - len(can))
    lacks = [lack for lack in lacks if lack > 0]
    assert (counts.short, counts.lacking) == (len(lacks), max(lacks, default=0))
    stands = standing(store, store.job("job"))
    assert stands.later == 2
    assert stands.wanted == counts.answers + sum(wanted - answers[number] for number in open_) + 2 * wanted
    assert bool(stands.shortage) == (bool(lacks) or people < wanted)
    store.close()


def holding(store, worker: str) -> str | None:
    rows = store._read("SELECT number FROM leases WHERE worker = ? AND state = 'held'", worker)
    return str(rows[0]["number"]) if rows else None


@pytest.mark.parametrize(
    ("conditions", "later"),
    [
        ({}, 80),
        ({"MaxHumanLabeledObjectCount": 30}, 10),
        ({"MaxHumanLabeledObjectCount": 20}, 0),
        ({"MaxPercentageOfInputDatasetLabeled": 50}, 30),
        ({"MaxPercentageOfInputDatasetLabeled": 10}, 0),
        ({"MaxHumanLabeledObjectCount": 25, "MaxPercentageOfInputDatasetLabeled": 50}, 5),
    ],
)
def test_what_is_to_come_heeds_the_stopping_conditions(conditions, later) -> None:
    request = {"StoppingConditions": conditions} if conditions else {}
    job = Job("j", request, "InProgress", "", "", 0, 0.0, 0.0)
    assert to_come(job, {"waiting": 80, "labeled": 10, "open": 6, "answered": 4}) == later


# ------------------------------------------------------------------ what people see


def test_the_portal_says_why_only_some_pages_are_open(live, browser) -> None:
    """Ground Truth's probe: ten of 46 pages, the others when these have everybody's answers."""
    make(live, "probe", workers=2)
    page = browser.new_page()
    page.goto(invite(live, "Zoe", "Friends"))
    page.get_by_text("10 left for you now. 36 more pages will come, when those that are open now have").wait_for()
    page.get_by_role("button", name="Start").click()
    page.locator(SHOWN).wait_for()
    assert "10 left" in page.locator("#left").inner_text()
    page.get_by_role("button", name="Help").click()
    assert "36 more pages will come" in page.locator("#about-later").inner_text()
    page.get_by_role("button", name="Close").click()
    zoe = next(worker.id for worker in live.store.workers() if worker.name == "Zoe")
    answer(live, zoe, "probe", 10)
    page.reload()
    page.get_by_text("Nothing to do right now").wait_for()
    assert "36 more pages will come" in page.locator("main").inner_text()
    page.close()


def test_the_owners_page_counts_answers_and_says_who_is_lacking(live, browser) -> None:
    make(live, "alone")
    answer(live, live.worker, "alone", 4)
    live.store.set("address", live.address)
    page = browser.new_page()
    page.goto(owner_link(str(live.state)))
    page.get_by_text("4 of 138 answers, 0 of 46 labeled").wait_for()
    told = "10 pages wait for 2 more workers: each wants 3 answers, and the workteam has 1."
    assert told in page.locator("main").inner_text()
    page.get_by_role("link", name="alone").click()
    page.locator(".tile", has_text="Answers").get_by_text("4 / 138").wait_for()
    assert told in page.locator("main").inner_text()
    page.close()
