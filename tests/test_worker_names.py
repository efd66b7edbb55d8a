"""Workers have names where the owner looks, and ids everywhere else: at gandt serve, and in Cognito's user pools."""

import importlib
import json
from pathlib import Path
from typing import Any

import boto3
import pandas as pd
import pytest
from moto import mock_aws
from service import TEAM, create, until
from typer.testing import CliRunner

from gandt import tables
from gandt.answers import read_answers
from gandt.cli import app
from gandt.errors import InputError, ServiceError
from gandt.service.invitations import invite
from gandt.service.progress import Progress
from gandt.service.worker_names import names_of, worker_names

for room in ("consensus", "workers"):
    importlib.import_module(f"gandt.cli.{room}")  # registers its commands

TEMPLATE = "<crowd-form><crowd-input name='label' label='Which?'></crowd-input></crowd-form>"


def command(*words: str) -> Any:
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(done.stdout)


def test_those_who_were_invited_to_a_service_are_shown_by_name(live, tmp_path, monkeypatch) -> None:
    live.store.set("address", live.address)
    for name in ("Ann", "Zoë <b>", "Never worked"):
        invite(name, TEAM, str(live.state))
    create(live, "named", TEMPLATE, [{"source": f"text {n}"} for n in range(24)], workers_per_object=2)
    ids = {worker.name: worker.id for worker in live.store.workers(TEAM)}

    def work() -> bool:
        for name in ("Ann", "Zoë <b>"):
            while (lease := live.service.next(ids[name], "named")) is not None:
                live.service.submit(lease.id, ids[name], {"label": "cat" if int(lease.number) % 2 else "dog"}, 2.0)
        return bool(live.store.job("named").ended)

    until(work)
    answers = read_answers("s3://bucket/out/named", s3=live.s3)
    assert set(answers["worker"]) == {ids["Ann"], ids["Zoë <b>"]}  # a pseudonym, in every table
    table = str(tmp_path / "answers.csv")
    tables.write_table(answers, table)
    assert {row["name"]: row["worker"] for row in command("workers", "names", str(live.state))} == ids
    command("workers", "names", str(live.state), "--out", str(tmp_path / "names.csv"))
    for source in (str(live.state), str(tmp_path / "names.csv")):
        page = tmp_path / "workers.html"
        out = tmp_path / "workers.csv"
        rows = command("workers", table, "--names", source, "--html", str(page), "--out", str(out))
        assert {row["name"]: row["worker"] for row in rows} == {name: ids[name] for name in ("Ann", "Zoë <b>")}
        assert list(tables.read_table(str(out)).columns)[:2] == ["worker", "name"]
        html = page.read_text()
        assert f"Ann ({ids['Ann']})" in html and ">Ann</text>" in html and "Zoë &lt;b&gt;" in html and "<b>" not in html
    pairs = command("workers", table, "--names", str(live.state), "--copying")
    assert {pairs[0]["name"], pairs[0]["other_name"]} == {"Ann", "Zoë <b>"}
    assert command("workers", table, "--names", str(live.state), "--confusion", "Ann") == command(
        "workers", table, "--confusion", ids["Ann"]
    )
    plain = command("workers", table)
    assert all("name" not in row for row in plain)
    owners = Progress(live.store).figures(live.store.job("named"), 0.0)["workers"]
    assert {row["name"] for row in owners} == {"Ann", "Zoë <b>"}
    with pytest.raises(InputError, match="are a gandt serve's own; give its state folder"):
        worker_names("s3://bucket/out/named", s3=live.s3)


def test_names_in_the_words_of_evidence_are_exact() -> None:
    from gandt.consensus.workers import named

    words = "agrees with w1 beyond what both know; 1 of 10 too fast"
    table = pd.DataFrame({"worker": ["w10", "w1"], "evidence": [words, ""]})
    told = named(table, {"w1": "Ann; Ben", "1": "nobody"})
    assert told["name"].tolist() == ["", "Ann; Ben"]
    assert told["evidence"][0] == "agrees with Ann; Ben beyond what both know; 1 of 10 too fast"


def response(worker: str, issuer: str, sub: str) -> dict[str, Any]:
    identity = {"identityProviderType": "Cognito", "issuer": issuer, "sub": sub}
    return {
        "acceptanceTime": "2026-03-01T12:00:00.000Z", "submissionTime": "2026-03-01T12:01:00.000Z",
        "timeSpentInSeconds": 20.0, "answerContent": {"label": "cat"}, "workerId": worker,
        "workerMetadata": {"identityData": identity},
    }  # fmt: skip


def write_output(root: Path, answers: list[dict[str, Any]]) -> str:
    folder = root / "job" / "annotations" / "worker-response" / "iteration-1" / "0"
    folder.mkdir(parents=True)
    (folder / "2026-03-01_12:01:00.json").write_text(json.dumps({"answers": answers}))
    return str(root / "job")


def test_ground_truths_private_workers_are_called_as_their_user_pool_says(tmp_path) -> None:
    with mock_aws():
        cognito = boto3.client("cognito-idp", region_name="eu-west-1")
        pool = cognito.create_user_pool(PoolName="workforce")["UserPool"]["Id"]
        issuer = f"https://cognito-idp.eu-west-1.amazonaws.com/{pool}"
        people = [
            ("a@example.org", {"name": "Ann Example", "email": "a@example.org"}, "Ann Example"),
            ("b", {"given_name": "Ben", "family_name": "Example"}, "Ben Example"),
            ("c", {"email": "c@example.org"}, "c@example.org"),
            ("dora", {}, "dora"),
        ]
        # more than a page of others
        people += [(f"other-{number}", {}, "") for number in range(70)]
        answers, wanted = [], {}
        for number, (user, attributes, name) in enumerate(people):
            given = [{"Name": key, "Value": value} for key, value in attributes.items()]
            made = cognito.admin_create_user(UserPoolId=pool, Username=user, UserAttributes=given)["User"]
            sub = next(each["Value"] for each in made["Attributes"] if each["Name"] == "sub")
            if name:
                worker = f"private.eu-west-1.{number:016x}"
                answers.append(response(worker, issuer, sub))
                wanted[worker] = name
        answers.append(response("private.eu-west-1.gone", issuer, "no-such-sub"))
        answers.append(response("private.eu-west-1.oidc", "https://login.example.org", "17"))
        output = write_output(tmp_path, answers)
        table = worker_names(output)
        assert dict(zip(table["worker"], table["name"], strict=True)) == wanted
        assert names_of(["private.eu-west-1.gone", *wanted], output) == wanted
        tables.write_table(read_answers(output), str(tmp_path / "answers.csv"))
        rows = command("workers", str(tmp_path / "answers.csv"), "--names", output)
        assert {row["worker"]: row["name"] for row in rows if row["name"]} == wanted and len(rows) == len(answers)
        asked = ["workers", str(tmp_path / "answers.csv"), "--names", output]
        assert "2 of 6 workers have no name" in CliRunner().invoke(app, asked).stderr
        cognito.delete_user_pool(UserPoolId=pool)
        with pytest.raises(ServiceError, match=f"the user pool {pool} can't be asked for names.*cognito-idp:ListUsers"):
            worker_names(output)


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        (None, "no worker response in it says who answered"),
        ({"identityData": "x"}, "no worker response in it says who answered"),
        ({"identityData": {"issuer": 1, "sub": "s"}}, "no worker response in it says who answered"),
        ({"identityData": {"issuer": "https://cognito-idp.evil.org/x_1", "sub": "s"}}, "tells no worker's name"),
        ({"identityData": {"issuer": "https://cognito-idp.a@evil.org/us_1", "sub": "s"}}, "tells no worker's name"),
    ],
)
def test_an_output_that_tells_no_identity_is_refused(tmp_path, metadata, sentence) -> None:
    answer = {**response("public.us-east-1.A", "", ""), "workerMetadata": metadata}
    with pytest.raises(InputError, match=sentence):
        worker_names(write_output(tmp_path, [answer]))


def test_names_that_meet_no_worker_are_refused_with_one_of_each(tmp_path) -> None:
    (tmp_path / "names.csv").write_text("worker,name\nw1,Ann\n")
    with pytest.raises(InputError, match=r"names none of the workers: the answers have v7, it has w1"):
        names_of(["v8", "v7"], str(tmp_path / "names.csv"))
    (tmp_path / "empty.csv").write_text("worker,name\n")
    with pytest.raises(InputError, match="tells no worker's name"):
        worker_names(str(tmp_path / "empty.csv"))
