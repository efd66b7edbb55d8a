"""``gandt serve`` as a process of its own: killed and started again, invitations, what it refuses."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from typing import Any

import boto3
import pytest
from service import MEMBERS, until

from gandt import storage
from gandt.demo.embedded_s3 import embedded_s3
from gandt.errors import InputError
from gandt.jobs import build_request
from gandt.service.invitations import invite, revoke
from gandt.service.setting import parse_function

FUNCTION = """
import json, boto3, os
def handler(event, context):
    bucket, _, key = event["payload"]["s3Uri"].removeprefix("s3://").partition("/")
    payload = json.loads(boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())
    return [{"datasetObjectId": entry["datasetObjectId"], "consolidatedAnnotation": {"content": {
        event["labelAttributeName"]: sorted(json.loads(a["annotationData"]["content"])["n"]
                                            for a in entry["annotations"])}}} for entry in payload]
"""


class Served:
    """A ``gandt serve`` that can be killed."""

    def __init__(self, state: str, s3: str, function: str, environment: dict[str, str]) -> None:
        self.command = [sys.executable, "-c", "from gandt.cli import main; main()", "serve", "--json", "--port", "0"]
        self.command += ["--state", state, "--s3", s3]
        self.command += ["--function", f"consolidate={function}:handler"]
        self.environment = {**os.environ, **environment}

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, env=self.environment, text=True)
        self.address = json.loads(self.process.stdout.readline())["address"]

    def kill(self, with_: int = signal.SIGKILL) -> int:
        self.process.send_signal(with_)
        code = self.process.wait(30)
        self.process.stdout.close()
        return code

    def post(self, path: str, content: Any, cookie: str = "") -> tuple[Any, str]:
        headers = {"Content-Type": "application/json", "X-Gandt": "portal", "Cookie": cookie}
        asked = urllib.request.Request(f"{self.address}/portal-api/{path}", json.dumps(content).encode(), headers)
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.load(answer), (answer.headers["Set-Cookie"] or "").partition(";")[0]


def test_a_killed_service_goes_on_and_no_acknowledged_answer_is_lost(tmp_path) -> None:
    """Killed with -9 while three people work; every answer that was acknowledged is in the output, once."""
    (tmp_path / "consolidate.py").write_text(FUNCTION)
    state = str(tmp_path / "state")
    with embedded_s3("bucket") as (s3, environment):
        storage.write_text("s3://bucket/t.html", "<crowd-form>{{ task.input.source }}</crowd-form>", s3=s3)
        storage.write_text("s3://bucket/m", "".join(f'{{"source": "{n}"}}\n' for n in range(14)), s3=s3)
        endpoint = environment["AWS_ENDPOINT_URL_S3"]
        served = Served(state, endpoint, str(tmp_path / "consolidate.py"), environment)
        served.start()
        try:
            client = boto3.client("sagemaker", endpoint_url=served.address, region_name="us-east-1")
            team = client.create_workteam(WorkteamName="t", MemberDefinitions=MEMBERS, Description="d")["WorkteamArn"]
            post = "arn:aws:lambda:us-east-1:000000000000:function:consolidate"
            client.create_labeling_job(
                **build_request(
                    "killed",
                    manifest="s3://bucket/m",
                    template="s3://bucket/t.html",
                    output="s3://bucket/out",
                    workteam=team,
                    role="arn:aws:iam::000000000000:role/r",
                    post_lambda=post,
                    workers_per_object=2,
                )
            )
            links = [invite(name, "t", state) for name in ("Ann", "Ben", "Cem")]
            cookies = [served.post("session", {"token": link.partition("#")[2]})[1] for link in links]
            acknowledged: list[str] = []

            def work(cookie: str) -> None:
                """Ask and answer; where the service is away, send the same again until it is back."""
                while len(acknowledged) < 28:
                    task = persist("jobs/killed/next", {}, cookie)["task"]
                    while task:
                        name = f"{cookie[-4:]} {task['lease']}"
                        following = persist(f"leases/{task['lease']}/answer", {"answer": {"n": name}}, cookie)
                        acknowledged.append(name)
                        task = following["task"]
                    time.sleep(0.02)

            def persist(path: str, content: Any, cookie: str) -> Any:
                while True:
                    try:
                        return served.post(path, content, cookie)[0]
                    except (OSError, http.client.HTTPException):
                        time.sleep(0.05)

            threads = [threading.Thread(target=work, args=(cookie,), daemon=True) for cookie in cookies]
            for thread in threads:
                thread.start()
            for moment in (3, 14, 24):
                until(lambda moment=moment: len(acknowledged) >= moment)
                served.kill()  # whatever they are at
                served.start()
            for thread in threads:
                thread.join(60)
            client = boto3.client("sagemaker", endpoint_url=served.address, region_name="us-east-1")
            until(lambda: client.describe_labeling_job(LabelingJobName="killed")["LabelingJobStatus"] == "Completed")
            lines = storage.read_text("s3://bucket/out/killed/manifests/output/output.manifest", s3=s3).splitlines()
            labels = [json.loads(line)["killed"] for line in lines]
            assert [len(label) for label in labels] == [2] * 14
            assert sorted(name for label in labels for name in label) == sorted(acknowledged)
            assert all(len({name.split()[0] for name in label}) == 2 for label in labels)  # by two workers
            busy = subprocess.run(served.command, capture_output=True, text=True, env=served.environment)
            assert (busy.returncode, "another gandt serve runs" in busy.stderr) == (1, True)
        finally:
            code = served.kill(signal.SIGTERM)
        assert code in (0, -signal.SIGTERM)


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
