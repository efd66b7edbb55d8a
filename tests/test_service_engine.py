"""A labeling job's life: events, files and counters are Ground Truth's."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gandt import storage
from gandt.errors import ContractError, FunctionError
from gandt.jobs import build_request
from gandt.service.engine import LabelingJob
from gandt.service.outputs import WorkerAnswer

PRE, POST = ("arn:aws:lambda:us-east-1:111122223333:function:LabelingFunction-" + kind for kind in ("pre", "post"))
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TEMPLATE = "<crowd-form><p>{{ task.input.text }}</p><input name='answer'></crowd-form>"


class Recorded:
    """A function that keeps its events and answers by rule."""

    def __init__(self, rule) -> None:
        self.rule, self.events = rule, []

    def invoke(self, event: Any) -> Any:
        self.events.append(event)
        return self.rule(event)


class Workers:
    """Everybody answers with the number of the object; objects in ``silent`` get no answer."""

    def __init__(self, silent: tuple[str, ...] = ()) -> None:
        self.silent, self.pages = silent, {}

    def label(self, pages: Mapping[str, str], workers_per_object: int) -> Iterator[tuple[str, WorkerAnswer]]:
        self.pages.update(pages)
        for number in pages:
            for worker in range(0 if number in self.silent else workers_per_object):
                accepted = NOON + timedelta(seconds=worker)
                content = {"answer": f"of {number}"}
                yield number, WorkerAnswer(f"worker-{worker}", content, accepted, accepted + timedelta(seconds=5), 4.5)


def launch(s3, lines, pre=None, post=None, **options: Any) -> LabelingJob:
    storage.write_text("s3://bucket/in.manifest", "".join(json.dumps(line) + "\n" for line in lines), s3=s3)
    storage.write_text("s3://bucket/t.liquid.html", TEMPLATE, s3=s3)
    request = build_request(
        "My-Job",
        manifest="s3://bucket/in.manifest",
        template="s3://bucket/t.liquid.html",
        output="s3://bucket/out",
        workteam="arn:aws:sagemaker:us-east-1:111122223333:workteam/private-crowd/me",
        role="arn:aws:iam::111122223333:role/ground-truth",
        pre_lambda=PRE if pre else None,
        post_lambda=POST if post else None,
        label_attribute="animal",
        workers_per_object=2,
        **options,
    )
    return LabelingJob(request, {PRE: pre, POST: post}, s3)


def consolidate(s3):
    def rule(event: Any) -> list[Any]:
        payload = json.loads(storage.read_text(event["payload"]["s3Uri"], s3=s3))
        return [
            {
                "datasetObjectId": entry["datasetObjectId"],
                "consolidatedAnnotation": {"content": {event["labelAttributeName"]: len(entry["annotations"])}},
            }
            for entry in payload
        ]

    return rule


def output(s3) -> list[Any]:
    return [
        json.loads(line)
        for line in storage.read_text("s3://bucket/out/My-Job/manifests/output/output.manifest", s3=s3).splitlines()
    ]


def test_both_lambdas_get_ground_truth_s_own_events(s3) -> None:
    pre = Recorded(
        lambda event: {"taskInput": {"text": event["dataObject"]["source"]}, "isHumanAnnotationRequired": "true"}
    )
    post = Recorded(consolidate(s3))
    job = launch(s3, [{"source": f"text {n}", "record": n} for n in range(13)], pre, post)
    workers = Workers()
    described = job.run(workers)

    assert sorted(pre.events, key=lambda event: event["dataObject"]["record"])[3] == {
        "version": "2018-10-06",
        "labelingJobArn": "arn:aws:sagemaker:us-east-1:000000000000:labeling-job/my-job",
        "dataObject": {"source": "text 3", "record": 3},
    }
    assert "<p>text 7</p>" in workers.pages["7"]
    assert len(post.events) == 2  # a probe of ten, then the rest
    keys = "version labelingJobArn payload labelAttributeName roleArn outputConfig maxHumanWorkersPerDataObject"
    assert set(post.events[0]) == set(keys.split())
    assert post.events[0]["outputConfig"] == "s3://bucket/out/My-Job/annotations"
    assert post.events[0]["payload"]["s3Uri"].startswith(
        "s3://bucket/out/My-Job/annotations/consolidated-annotation/consolidation-request/iteration-1/2026-03-01_12:00:"
    )
    assert described["LabelingJobStatus"] == "Completed"
    assert described["LabelCounters"] == {
        "TotalLabeled": 13, "HumanLabeled": 13, "MachineLabeled": 0, "FailedNonRetryableError": 0, "Unlabeled": 0,
    }  # fmt: skip


def test_the_files_have_ground_truths_layout_and_spellings(s3) -> None:
    job = launch(s3, [{"source-ref": "s3://bucket/1.png", "keep": [1]}], post=Recorded(consolidate(s3)))
    job.run(Workers())
    root = "s3://bucket/out/My-Job"
    folders = {uri.removeprefix(root + "/").rpartition("/")[0] for uri in storage.list_uris(root, s3=s3)}
    assert folders == {
        "annotations/worker-response/iteration-1/0",
        "annotations/consolidated-annotation/consolidation-request/iteration-1",
        "annotations/consolidated-annotation/consolidation-response/iteration-1",
        "annotations/intermediate/1",
        "manifests/output",
    }
    response = json.loads(storage.read_text(job.folder.worker_responses["0"], s3=s3))
    first = response["answers"][0]
    assert first["answerContent"] == {"answer": "of 0"}  # an object here, a string in the request below
    assert first["acceptanceTime"] == "2026-03-01T12:00:00.000Z"
    assert first["submissionTime"] == "2026-03-01T12:00:05.000Z"
    assert first["timeSpentInSeconds"] == 4.5
    request = next(uri for uri in storage.list_uris(root, s3=s3) if "consolidation-request" in uri)
    entry = json.loads(storage.read_text(request, s3=s3))[0]
    assert entry["dataObject"] == {"s3Uri": "s3://bucket/1.png"}
    assert json.loads(entry["annotations"][1]["annotationData"]["content"]) == {"answer": "of 0"}
    assert output(s3) == [
        {
            "source-ref": "s3://bucket/1.png",
            "keep": [1],
            "animal": 2,
            "animal-metadata": {
                "type": "groundtruth/custom",
                "job-name": "My-Job",
                "human-annotated": "yes",
                "creation-date": "2026-03-01T12:00:06.000000",
            },
        }
    ]


@pytest.mark.parametrize("key", ["arn:aws:kms:us-east-1:111122223333:key/k", ""])
def test_the_jobs_key_encrypts_what_is_written(s3, key: str) -> None:
    first = launch(s3, [{"source": "a"}], post=Recorded(consolidate(s3)))
    request = {**first.request, "OutputConfig": {**first.request["OutputConfig"], "KmsKeyId": key}}
    LabelingJob(request, first.functions, s3).run(Workers())
    written = [*storage.list_uris("s3://bucket/out/My-Job", s3=s3)]
    assert len(written) == 5
    for uri in written:
        bucket, name = storage.split_s3(uri)
        head = s3.head_object(Bucket=bucket, Key=name)
        assert (head.get("ServerSideEncryption") == "aws:kms", head.get("SSEKMSKeyId", "")) == (bool(key), key)


def test_readers_that_split_lines_find_whole_lines(s3) -> None:
    line = {"source": "one\u2028two\u2029three\u0085four – é"}
    job = launch(s3, [line])
    job.write_output()
    text = storage.read_text(job.folder.output_manifest, s3=s3)
    assert [json.loads(each) for each in text.splitlines()] == [line]
    assert "– é" in text


def test_a_job_without_lambdas_runs_on_the_manifest_line(s3) -> None:
    job = launch(s3, [{"source": "a", "text": "<b>hello</b>"}])
    workers = Workers()
    job.run(workers)
    assert "&lt;b&gt;hello&lt;/b&gt;" in workers.pages["0"]
    (line,) = output(s3)
    assert line["animal"] == {}
    assert line["animal-metadata"]["worker-response-ref"] == job.folder.worker_responses["0"]


def test_a_chained_job_labels_only_what_has_no_label_yet(s3) -> None:
    done = {"source": "a", "animal": 1, "animal-metadata": {"type": "groundtruth/custom"}}
    job = launch(s3, [done, {"source": "b"}], post=Recorded(consolidate(s3)))
    workers = Workers()
    counters = job.run(workers)["LabelCounters"]
    assert list(workers.pages) == ["1"]
    assert output(s3)[0] == done
    assert (counters["TotalLabeled"], counters["HumanLabeled"]) == (2, 1)


def test_unanswered_and_left_out_objects_fail_and_keep_their_line(s3) -> None:
    rule = consolidate(s3)
    post = Recorded(lambda event: [entry for entry in rule(event) if entry["datasetObjectId"] != "2"] + ["nonsense"])
    job = launch(s3, [{"source": str(n)} for n in range(4)], post=post)
    counters = job.run(Workers(silent=("1",)))["LabelCounters"]
    assert sorted(job.failed) == ["1", "2"]
    assert (counters["TotalLabeled"], counters["FailedNonRetryableError"]) == (2, 2)
    assert output(s3)[1] == {"source": "1"}
    assert "animal" not in output(s3)[2]


@pytest.mark.parametrize("value", [False, "false", "False"])
@pytest.mark.parametrize("key", ["isHumanAnnotationRequired", "humanAnnotationRequired"])
def test_objects_that_need_no_worker_are_left_alone(s3, key: str, value: object) -> None:
    pre = Recorded(lambda event: {"taskInput": {"text": "x"}, key: value})
    job = launch(s3, [{"source": "a"}], pre)
    workers = Workers()
    assert job.run(workers)["LabelCounters"]["Unlabeled"] == 1
    assert not workers.pages


def test_batches_follow_max_concurrent_task_count(s3) -> None:
    post = Recorded(consolidate(s3))
    job = launch(s3, [{"source": str(n)} for n in range(35)], post=post, MaxConcurrentTaskCount=10)
    job.run(Workers())
    keys = {uri.split("/worker-response/")[1].split("/")[0] for uri in job.folder.worker_responses.values()}
    assert keys == {"iteration-1", "iteration-2", "iteration-3", "iteration-4"}
    names = [event["payload"]["s3Uri"] for event in post.events]
    assert len(set(names)) == len(names)


def test_a_worker_who_answers_twice_is_refused(s3) -> None:
    class Greedy(Workers):
        def label(self, pages, workers_per_object):
            for number, answer in super().label(pages, workers_per_object):
                yield number, answer
                yield number, answer

    with pytest.raises(ContractError, match="twice"):
        launch(s3, [{"source": "a"}]).run(Greedy())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no data object"),
        ("{}\n", "neither source nor source-ref"),
        ('{"source": 1\n', "line 1 isn't JSON"),
        ('{"source-ref": ["a"]}\n', "line 1 has a source-ref that is no address"),
        ('{"source": "a", "share": NaN}\n', "line 1 isn't JSON"),
        ('{"source": "\\ud800"}\n', "line 1 isn't JSON"),
        ('{"source": ' + "[" * 100_000, "line 1 isn't JSON"),
    ],
)
def test_a_broken_manifest_is_refused_by_its_line(s3, text: str, message: str) -> None:
    launch(s3, [{"source": "a"}])
    storage.write_text("s3://bucket/in.manifest", text, s3=s3)
    with pytest.raises(ContractError, match=message):
        LabelingJob(_request(), {}, s3)


def _request() -> dict[str, Any]:
    return build_request(
        "j",
        manifest="s3://bucket/in.manifest",
        template="s3://bucket/t.liquid.html",
        output="s3://bucket/out",
        workteam="arn:aws:sagemaker:us-east-1:111122223333:workteam/private-crowd/me",
        role="arn:aws:iam::111122223333:role/ground-truth",
    )


def test_an_unknown_lambda_is_named(s3) -> None:
    launch(s3, [{"source": "a"}])
    request = _request()
    request["HumanTaskConfig"]["PreHumanTaskLambdaArn"] = PRE
    with pytest.raises(FunctionError, match="LabelingFunction-pre"):
        LabelingJob(request, {}, s3)


def test_a_request_is_refused_with_every_reason(s3) -> None:
    with pytest.raises(ContractError) as caught:
        build_request(
            "under_score",
            manifest="s3://b/m",
            template="s3://b/t",
            output="s3://b/o",
            workteam="arn:aws:sagemaker:us-east-1:111122223333:workteam/private-crowd/me",
            role="arn:aws:iam::111122223333:role/ground-truth",
            label_attribute="animal-metadata",
            workers_per_object=10,
            title="t" * 129,
        )
    for part in ("LabelingJobName", "NumberOfHumanWorkersPerDataObject", "TaskTitle", "-metadata"):
        assert part in str(caught.value)
