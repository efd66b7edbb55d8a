"""docs/leaving-ground-truth.md, step by step: other people's Lambdas and template, boto3 told by variables alone."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from typing import Any

import boto3
import pytest
from service import until

from gandt import read_answers
from gandt.service.past import import_jobs

# in the shape of AWS's samples: the older spelling of the flag, strings for booleans
PRE = """
import os

def lambda_handler(event, context):
    print("topic", os.environ["TOPIC"])
    data = event["dataObject"]
    source = data["source"] if "source" in data else data["source-ref"]
    if source is None:
        return {}
    return {"taskInput": {"taskObject": source, "hint": data.get("hint", "")}, "humanAnnotationRequired": "true"}
"""
# and the consolidation that assumes the job's role, reads the payload, and catches each object's errors
POST = """
import json
from urllib.parse import urlparse
import boto3

class Reader:
    def __init__(self, role):
        taken = boto3.client("sts").assume_role(RoleArn=role, RoleSessionName="consolidation")["Credentials"]
        session = boto3.Session(taken["AccessKeyId"], taken["SecretAccessKey"], taken["SessionToken"])
        self.s3 = session.resource("s3")

    def read(self, uri):
        place = urlparse(uri)
        return self.s3.Object(place.netloc, place.path.lstrip("/")).get()["Body"].read().decode("utf-8")

def lambda_handler(event, context):
    consolidated = []
    for entry in json.loads(Reader(event["roleArn"]).read(event["payload"]["s3Uri"])):
        try:
            counts = {}
            for annotation in entry["annotations"]:
                choice = json.loads(annotation["annotationData"]["content"])["bird"]["label"]
                counts[choice] = counts.get(choice, 0) + 1
            best = max(counts, key=counts.get)
            label = {"label": best, "votes": counts[best]}
            content = {event["labelAttributeName"]: label}
            consolidated.append({"datasetObjectId": entry["datasetObjectId"],
                                 "consolidatedAnnotation": {"content": content}})
        except KeyError as error:
            print("left out", entry["datasetObjectId"], error)
    return consolidated
"""
TEMPLATE = """<script src="https://assets.crowd.aws/crowd-html-elements.js"></script>
<crowd-form>
  <crowd-image-classifier name="bird" src="{{ task.input.taskObject | grant_read_access }}"
    header="{{ task.input.hint }}" categories="['heron', 'stork']"></crowd-image-classifier>
</crowd-form>"""
ACCOUNT = "us-west-2:111122223333"
REQUEST = {
    "LabelingJobName": "birds-2",
    "LabelAttributeName": "bird",
    "InputConfig": {"DataSource": {"S3DataSource": {"ManifestS3Uri": "s3://your-bucket/birds.manifest"}}},
    "OutputConfig": {"S3OutputPath": "s3://your-bucket/output/"},
    "RoleArn": "arn:aws:iam::111122223333:role/GroundTruth",
    "HumanTaskConfig": {
        "WorkteamArn": f"arn:aws:sagemaker:{ACCOUNT}:workteam/private-crowd/birders",
        "UiConfig": {"UiTemplateS3Uri": "s3://your-bucket/birds.liquid.html"},
        "PreHumanTaskLambdaArn": f"arn:aws:lambda:{ACCOUNT}:function:LabelingFunction-pre",
        "AnnotationConsolidationConfig": {
            "AnnotationConsolidationLambdaArn": f"arn:aws:lambda:{ACCOUNT}:function:LabelingFunction-post"
        },
        "TaskTitle": "Which bird?",
        "TaskDescription": "Look closely.",
        "NumberOfHumanWorkersPerDataObject": 2,
        "TaskTimeLimitInSeconds": 600,
    },
}


class Served:
    """``gandt serve`` as a process, with embedded storage."""

    def __init__(self, folder: Any) -> None:
        self.gandt = [sys.executable, "-c", "from gandt.cli import main; main()"]
        self.state = str(folder / "labeling")
        functions = [
            f"--function=LabelingFunction-{kind}={folder}/{kind}.py:lambda_handler" for kind in ("pre", "post")
        ]
        self.command = [
            *self.gandt,
            "serve",
            "--state",
            self.state,
            "--port",
            "0",
            "--json",
            "--env",
            "TOPIC",
            *functions,
        ]
        keep = {name: value for name, value in os.environ.items() if not name.startswith("AWS")}
        self.environment = {**keep, "TOPIC": "birds", "AWS_EC2_METADATA_DISABLED": "true"}  # no keys of AWS's at all

    def __enter__(self) -> "Served":
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, env=self.environment, text=True)
        self.told = json.loads(self.process.stdout.readline())
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        self.process.stdout.close()

    def post(self, path: str, content: Any, cookie: str = "") -> tuple[Any, str]:
        headers = {"Content-Type": "application/json", "X-Gandt": "portal", "Cookie": cookie}
        asked = urllib.request.Request(
            f"{self.told['address']}/portal-api/{path}", json.dumps(content).encode(), headers
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.load(answer), (answer.headers["Set-Cookie"] or "").partition(";")[0]


def test_a_team_with_a_job_moves_in(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pre.py").write_text(PRE)
    (tmp_path / "post.py").write_text(POST)
    with Served(tmp_path) as served:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", served.told["address"])
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", served.told["s3"])
        s3, sagemaker = boto3.client("s3"), boto3.client("sagemaker")
        s3.create_bucket(Bucket="your-bucket")
        lines = [{"source-ref": f"s3://your-bucket/photos/{n}.jpg", "hint": f"bird {n}"} for n in range(3)]
        for line in lines:
            s3.put_object(Bucket="your-bucket", Key=line["source-ref"].removeprefix("s3://your-bucket/"), Body=b"jpeg")
        manifest = "".join(json.dumps(line) + "\n" for line in lines)
        s3.put_object(Bucket="your-bucket", Key="birds.manifest", Body=manifest.encode())
        s3.put_object(Bucket="your-bucket", Key="birds.liquid.html", Body=TEMPLATE.encode())
        cookies = []
        for name in ("Ann", "Ben"):
            invite = [
                "workers",
                "invite",
                name,
                "--workteam",
                "birders",
                "--new-team",
                "--state",
                served.state,
                "--json",
            ]
            done = subprocess.run([*served.gandt, *invite], capture_output=True, text=True, check=True)
            token = json.loads(done.stdout)["link"].partition("#")[2]
            cookies.append(served.post("session", {"token": token})[1])
        sagemaker.create_labeling_job(**REQUEST)
        job = {"LabelingJobName": "birds-2"}
        until(lambda: sagemaker.describe_labeling_job(**job)["LabelingJobStatus"] == "InProgress")
        for cookie, label in zip(cookies, ("heron", "stork"), strict=True):
            task: Any = None

            def handed_out(cookie: str = cookie) -> Any:
                nonlocal task
                task = served.post("jobs/birds-2/next", {}, cookie)[0]["task"]
                return task

            until(handed_out)
            while task:
                page = urllib.request.Request(
                    f"{served.told['address']}/task/{task['lease']}", headers={"Cookie": cookie}
                )
                with urllib.request.urlopen(page, timeout=30) as shown:
                    html = shown.read().decode()
                content = {"bird": {"label": label}} if "bird 1" not in html else {"other": 1}
                task = served.post(f"leases/{task['lease']}/answer", {"answer": content}, cookie)[0]["task"]
        until(lambda: sagemaker.describe_labeling_job(**job)["LabelingJobStatus"] == "Completed")
        counters = sagemaker.describe_labeling_job(**job)["LabelCounters"]
        assert (counters["HumanLabeled"], counters["FailedNonRetryableError"]) == (2, 1)
        with urllib.request.urlopen(f"{served.told['address']}/jobs/birds-2/problems", timeout=30) as found:
            problems = json.load(found)
        assert [each["DataObject"] for each in problems["FailedObjects"]] == ["1"]
        assert "returned no 'bird'" in problems["FailedObjects"][0]["Reason"]
        assert "left out 1 'bird'" in problems["Consoles"]["LabelingFunction-post"]
        assert "topic birds" in problems["Consoles"]["LabelingFunction-pre"]
    with Served(tmp_path) as served:  # another day: all is still there
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", served.told["s3"])
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", served.told["address"])
        s3 = boto3.client("s3")
        where = boto3.client("sagemaker").describe_labeling_job(**job)["LabelingJobOutput"]["OutputDatasetS3Uri"]
        body = s3.get_object(Bucket="your-bucket", Key=where.removeprefix("s3://your-bucket/"))["Body"].read()
        written = [json.loads(line) for line in body.splitlines()]
        assert written[0]["bird"] == {"label": "heron", "votes": 1}
        assert [("bird" in line, line["hint"]) for line in written] == [
            (True, "bird 0"),
            (False, "bird 1"),
            (True, "bird 2"),
        ]
        answers = read_answers("s3://your-bucket/output/birds-2/", s3=s3)
        assert sorted(answers.label[answers.data_object == "0"]) == ["heron", "stork"]
        # its output read again, as a past job
        (there,) = import_jobs("s3://your-bucket/output/birds-2/", served.state, s3=s3)
        assert there == {
            "job": "birds-2", "status": "Stopped", "objects": 3, "labeled": 2, "answers": 6, "imported": False,
        }  # fmt: skip
