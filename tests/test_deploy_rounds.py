"""The rounds that run in AWS, in moto: launched, waited for, consolidated; one stack for all tests of this file.

A file of their own, because moto's account is there as long as the stack is, and others want an empty one.
"""

import json
import os
import re
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import aws
import boto3
import pandas as pd
import pytest
from aws import DATA, stack

import gandt
from gandt import jobs, storage, tables
from gandt.deploy import steps
from gandt.errors import InputError

TEAM = "arn:aws:sagemaker:us-east-1:123456789012:workteam/private-crowd/team"


class Cloud:
    """The stack, deployed in moto with its rounds, a Ground Truth with a crowd, and a pool of digits in its bucket."""

    def __init__(self, digits: Path) -> None:
        from gandt.demo.crowd import Nature, Scene, SimulatedCrowd

        self.truth: dict[str, str] = {}
        self.scene = Scene({}, {}, {})
        careful = Nature("careful", 0.97, 3.0)
        self.crowd = SimulatedCrowd([careful] * 6, ("digit 0", "digit 2", "None of these"), self.scene, 3, "team")
        self.ground_truth = aws.GroundTruth(self.crowd)
        self.ticket_first: list[bool] = []
        self._digits = digits

    def invoke(self, name: str, event: Any) -> Any:
        """Run the stack's Lambdas in this process."""
        if name == "gandt-LabelingFunction-aggregation":
            if event["step"] == "create":
                self.ticket_first.append(event["run"]["job"] not in self.ground_truth.jobs)
            return self.steps.take(event["step"], event["run"], event.get("ticket", ""))
        assert name == "gandt-LabelingFunction-ended"
        function = boto3.client("lambda").get_function_configuration(FunctionName=name)
        with patch.dict(os.environ, function["Environment"]["Variables"]):
            return aws.load("job_ended").lambda_handler(event, None)

    def put(self) -> None:
        """Deploy, and upload the pool."""
        outputs = stack().act(stack().plan({"AggregationImage": aws.IMAGE}))
        self.outputs = outputs
        self.s3 = boto3.client("s3")
        self.steps = steps.Steps(
            outputs["Bucket"],
            outputs["RoleArn"],
            outputs["PreHumanTaskLambdaArn"],
            outputs["AnnotationConsolidationLambdaArn"],
            s3=self.s3,
        )
        rows = []
        for folder in sorted(self._digits.iterdir()):
            label = folder.name if folder.name in ("digit 0", "digit 2") else "None of these"
            for path in sorted(folder.glob("*.png"))[:12]:
                if "broken" in path.name:
                    continue
                key = f"images/{folder.name.replace(' ', '')}-{path.name}"
                self.s3.put_object(Bucket=DATA, Key=key, Body=path.read_bytes())
                uri = f"s3://{DATA}/{key}"
                self.truth[uri] = label
                seen = f"s3://{key}"  # the crowd reads addresses with the bucket in the host's name
                self.scene.truth[seen], self.scene.lookalike[seen], self.scene.difficulty[seen] = label, label, 0.1
                rows.append({"item": uri, "label": label})
        self.gold = pd.DataFrame(rows[::8])
        tables.write_table(self.gold, f"s3://{DATA}/gold.csv", s3=self.s3)
        tables.write_table(pd.DataFrame(rows)[["item"]], f"s3://{DATA}/pool.csv", s3=self.s3)

    def start(self, **settings: Any) -> str:
        run = {
            "name": "kites",
            "workteam": TEAM,
            "categories": ["digit 0", "digit 2"],
            "budget": 400,
            "items": f"s3://{DATA}/pool.csv",
            "gold": f"s3://{DATA}/gold.csv",
            **settings,
        }
        states = boto3.client("stepfunctions")
        started = states.start_execution(
            stateMachineArn=self.outputs["RoundsArn"], name=run["name"], input=json.dumps(run)
        )
        return started["executionArn"]

    def ended(self, execution: str, end_job: Any) -> dict[str, Any]:
        """Wait for the machine, ending each job that it creates by ``end_job(name)``."""
        done = {name for name, job in self.ground_truth.jobs.items() if job["LabelingJobStatus"] != "InProgress"}
        deadline = time.monotonic() + 120
        while True:
            found = boto3.client("stepfunctions").describe_execution(executionArn=execution)
            if found["status"] != "RUNNING":
                return found
            for name in set(self.ground_truth.jobs) - done:
                time.sleep(0.05)
                done.add(name)
                end_job(name)
            assert time.monotonic() < deadline, "the machine never ended"
            time.sleep(0.02)

    def news(self) -> list[str]:
        """What was published to the topic."""
        from moto.core import DEFAULT_ACCOUNT_ID
        from moto.sns.models import sns_backends

        topic = sns_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].topics[self.outputs["TopicArn"]]
        return [entry[1] for entry in topic.sent_notifications]


@pytest.fixture(scope="module")
def cloud(digits: Path) -> Iterator[Cloud]:
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    environment = {**dict.fromkeys(keys, "testing"), "AWS_DEFAULT_REGION": "us-east-1"}
    storage.use(storage.Access())
    cloud = Cloud(digits)
    with patch.dict(os.environ, environment), aws.account(cloud.invoke), cloud.ground_truth.open():
        cloud.put()
        yield cloud
        with warnings.catch_warnings():  # moto's, of types that it doesn't know
            warnings.simplefilter("ignore")
            assert stack().delete()["kept"] == [DATA]
    storage.use(storage.Access())


def test_the_machine_runs_the_rounds_until_all_is_sure(cloud: Cloud) -> None:
    before = len(cloud.ticket_first)
    execution = cloud.start()
    found = cloud.ended(execution, cloud.ground_truth.finish)
    assert found["status"] == "SUCCEEDED", found
    run = json.loads(found["output"])["run"]
    labels = tables.read_table(f"s3://{DATA}/rounds/kites/labels.parquet", s3=cloud.s3)
    gold = set(cloud.gold["item"])
    assert set(labels["item"]) == set(cloud.truth) - gold  # every item once, gold apart
    assert run["round"] >= 1 and cloud.ticket_first[before:] == [True] * run["round"]
    assert run["spent"] <= 400
    right = [cloud.truth[item] == label for item, label in zip(labels["item"], labels["label"], strict=True)]
    assert sum(right) > 0.85 * len(right)
    report = json.loads(storage.read_text(f"s3://{DATA}/rounds/kites/report.json", s3=cloud.s3))
    assert report["confident"] + report["relabel"] + report["unanswered"] == len(labels)
    assert cloud.news()[-1] == run["message"]
    assert f"{report['confident']:,} items are labeled for sure" in run["message"]
    assert len(cloud.ground_truth.rules_met) == run["round"]  # each of EventBridge's words woke the machine once


def test_launched_waited_for_and_consolidated_by_people(cloud: Cloud) -> None:
    """What `gandt job create --stack gandt`, `wait`, `answers` and `consensus` do, upon the deployed stack."""
    manifest = gandt.build_manifest(
        sorted(cloud.truth)[:12], per_page=6, categories=["digit 0", "digit 2"], other="None of these"
    )
    manifest.write(f"s3://{DATA}/people.manifest", cloud.s3)
    sagemaker = boto3.client("sagemaker")
    prepared = jobs.prepare(
        "people-1",
        manifest=f"s3://{DATA}/people.manifest",
        template="image-grid",
        output=f"s3://{DATA}/jobs",
        workteam=TEAM,
        stack="gandt",
        sagemaker=sagemaker,
        s3=cloud.s3,
    )
    assert prepared.request["RoleArn"] == cloud.outputs["RoleArn"]
    prepared.send(s3=cloud.s3)
    status, made = jobs.create(prepared.request, sagemaker=sagemaker)
    assert made and status.status == "InProgress"
    cloud.ground_truth.finish("people-1")
    status = jobs.wait("people-1", connect=lambda: sagemaker, poll=0.01)
    answers = gandt.read_answers(f"s3://{DATA}/jobs/people-1/", s3=cloud.s3)
    labels = gandt.consolidate(answers).labels
    assert (status.status, len(labels), len(answers)) == ("Completed", 12, 36)


def test_the_budget_is_never_exceeded(cloud: Cloud) -> None:
    found = cloud.ended(cloud.start(budget=30, name="poor"), cloud.ground_truth.finish)
    run = json.loads(found["output"])["run"]
    assert 0 < run["spent"] <= 30
    assert run["uncertain"] > 0 and "were never asked" in run["message"]
    report = json.loads(storage.read_text(f"s3://{DATA}/rounds/poor/report.json", s3=cloud.s3))
    assert report["never_asked"] > 0


def test_a_job_that_fails_ends_the_run_with_the_reason(cloud: Cloud) -> None:
    found = cloud.ended(cloud.start(name="fails"), lambda name: cloud.ground_truth.finish(name, "Failed"))
    assert found["status"] == "FAILED"
    assert "the template could not be read" in found["cause"]
    assert "labeling job fails-r1 failed" in cloud.news()[-1]


def test_wrong_settings_end_the_run_before_anybody_is_asked(cloud: Cloud) -> None:
    before = set(cloud.ground_truth.jobs)
    found = cloud.ended(cloud.start(name="wrong", bugdet=1), cloud.ground_truth.finish)
    assert found["status"] == "FAILED" and "a run has no setting 'bugdet'" in found["cause"]
    assert set(cloud.ground_truth.jobs) == before


def test_an_event_that_nobody_waits_for_or_that_comes_twice_does_nothing(cloud: Cloud) -> None:
    arn = "arn:aws:sagemaker:us-east-1:123456789012:labeling-job/somebody-elses"
    cloud.ground_truth.tell(arn, "Completed")

    def twice(name: str) -> None:
        cloud.ground_truth.finish(name)
        cloud.ground_truth.tell(cloud.ground_truth.jobs[name]["LabelingJobArn"], "Completed")

    assert cloud.ended(cloud.start(name="twice"), twice)["status"] == "SUCCEEDED"
    handler = aws.load("job_ended").lambda_handler
    with pytest.raises(ValueError, match="names no labeling job"):
        handler({"detail": {}}, None)


def test_a_job_whose_event_was_lost_is_found_when_the_machine_looks_again(cloud: Cloud, monkeypatch) -> None:
    """After six hours the step is taken again: the job isn't made twice, and the machine is woken at once."""
    run = {"name": "lost", "workteam": TEAM, "categories": ["digit 0"], "budget": 50, "items": f"s3://{DATA}/pool.csv"}
    woken: list[dict[str, Any]] = []
    monkeypatch.setattr(
        cloud.steps, "_states", type("S", (), {"send_task_success": lambda self, **k: woken.append(k)})()
    )
    run = cloud.steps.take("ask", cloud.steps.take("filter", run))
    cloud.steps.take("create", run, "first ticket")
    assert not woken
    cloud.ground_truth.jobs["lost-r1"]["LabelingJobStatus"] = "Completed"
    cloud.steps.take("create", run, "second ticket")
    assert [each["taskToken"] for each in woken] == ["second ticket"]
    assert [name for name in cloud.ground_truth.jobs if name.startswith("lost")] == ["lost-r1"]


def test_the_filter_step_takes_its_store_from_s3(cloud: Cloud, tmp_path: Path) -> None:
    from gandt.embedding import embed

    embed(f"s3://{DATA}/images/", str(tmp_path / "store"), s3=cloud.s3)
    storage.copy_tree(str(tmp_path / "store"), f"s3://{DATA}/stores/digits", s3=cloud.s3)
    seeds = pd.DataFrame([{"item": item, "label": label} for item, label in cloud.truth.items()]).iloc[::5]
    tables.write_table(seeds, f"s3://{DATA}/seeds.csv", s3=cloud.s3)
    run = {
        "name": "filtered",
        "workteam": TEAM,
        "categories": ["digit 0", "digit 2"],
        "budget": 50,
        "store": f"s3://{DATA}/stores/digits",
        "seeds": [f"s3://{DATA}/seeds.csv"],
    }
    cloud.steps.take("filter", run)
    found = tables.read_table(f"s3://{DATA}/rounds/filtered/candidates.parquet", s3=cloud.s3)
    assert {"keep", "discard"} >= set(found["decision"]) - {"explore"}
    assert set(found["item"]) == set(cloud.truth) - set(seeds["item"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "../other"}, "a run's name has"),
        ({"name": 7}, "a run's name has"),
        ({"budget": 0}, "budget is a whole number from 1, not 0"),
        ({"workers": True}, "workers is a whole number"),
        ({"items": ""}, "names nothing to ask: give store and seeds, or items"),
        ({"nonsense": 1}, "no setting 'nonsense'"),
    ],
)
def test_wrong_settings_are_named(change: dict[str, Any], words: str) -> None:
    good = {"name": "kites-1", "workteam": TEAM, "categories": ["kite"], "budget": 10, "items": "s3://b/pool.csv"}
    assert steps.Round.read(good).name == "kites-1"
    with pytest.raises(InputError, match=re.escape(words)):
        steps.Round.read({**good, **change})
    with pytest.raises(InputError, match="a run needs budget, categories, name, workteam"):
        steps.Round.read(None)
