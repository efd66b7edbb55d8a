"""A labeling job's life, as Ground Truth lives it: manifest → tasks → answers → consolidation → output manifest.

The engine knows nothing of who answers: a :class:`Workforce` gets rendered pages and gives answers back, be it a
simulated crowd or people in a browser. It calls the job's Lambdas with the events that Ground Truth sends and writes
the files that Ground Truth writes (gandt/service/outputs.py).
"""

import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gandt import storage, templates
from gandt.errors import ContractError, FunctionError
from gandt.jobs import check_request
from gandt.progress import track
from gandt.service.functions import Function
from gandt.service.outputs import JobFolder, WorkerAnswer, annotation_content, metadata

# Ground Truth starts with a probe of ten random objects, then takes batches of up to MaxConcurrentTaskCount.
# https://docs.aws.amazon.com/sagemaker/latest/dg/sms-batching.html
PROBE = 10
# Objects in one call of the post-annotation Lambda.
CONSOLIDATION_BATCH = 250
GRANT_SECONDS = 3600


class Workforce(Protocol):
    """Where rendered pages go to be answered."""

    def label(self, pages: Mapping[str, str], workers_per_object: int) -> Iterator[tuple[str, WorkerAnswer]]:
        """Yield answers, each with the id of its data object.

        ``pages`` maps the id of a data object to the HTML that a worker sees. Every object should get
        ``workers_per_object`` answers by distinct workers; fewer is allowed, none leaves the object failed.
        """
        ...


@dataclass
class LabelingJob:
    """One labeling job on S3, run from its CreateLabelingJob request to its output manifest.

    Parameters
    ----------
    request : mapping
        A CreateLabelingJob request.
    functions : mapping of str to Function
        The Lambdas by ARN.
    s3
        boto3 S3 client for the job's bucket.
    seed : int
        Of the random probe and of the order in which pages are handed out.

    Raises
    ------
    ContractError
        When the request or its manifest breaks the contract.
    """

    request: Mapping[str, Any]
    functions: Mapping[str, Function]
    s3: Any
    seed: int = 0
    status: str = "Initializing"
    labels: dict[str, Any] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    excluded: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        check_request(self.request)
        task = self.request["HumanTaskConfig"]
        self.name: str = self.request["LabelingJobName"]
        self.attribute: str = self.request["LabelAttributeName"]
        self.arn = f"arn:aws:sagemaker:us-east-1:000000000000:labeling-job/{self.name.lower()}"
        self.workers_per_object: int = task["NumberOfHumanWorkersPerDataObject"]
        self.folder = JobFolder(storage.join(self.request["OutputConfig"]["S3OutputPath"], self.name), self.s3)
        self._concurrent: int = task.get("MaxConcurrentTaskCount", 1000)
        self._pre = self._function(task.get("PreHumanTaskLambdaArn"))
        consolidation = task.get("AnnotationConsolidationConfig", {})
        self._post = self._function(consolidation.get("AnnotationConsolidationLambdaArn"))
        self._template = storage.read_text(task["UiConfig"]["UiTemplateS3Uri"], s3=self.s3)
        self._lines = self._read_manifest()
        self._answers: dict[str, list[WorkerAnswer]] = {}

    def run(self, workforce: Workforce) -> dict[str, Any]:
        """Run the whole job and return what DescribeLabelingJob would say of it.

        Raises
        ------
        FunctionError
            When a Lambda fails as a whole; objects that it merely leaves out are counted as failed.
        ContractError
            When a Lambda's response or the template breaks the contract.
        """
        self.status = "InProgress"
        try:
            for iteration, objects in enumerate(self._iterations(), start=1):
                self._iterate(iteration, objects, workforce)
        except Exception:
            self.status = "Failed"
            raise
        finally:
            self.folder.write_output_manifest(self._output_lines())
        self.status = "Completed"
        return self.describe()

    def describe(self) -> dict[str, Any]:
        """Return the job's state under the names that DescribeLabelingJob uses.

        https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeLabelingJob.html
        """
        labeled = sum(
            1 for number, line in enumerate(self._lines) if str(number) in self.labels or self.attribute in line
        )
        failed = len(self.failed)
        return {
            "LabelingJobName": self.name,
            "LabelingJobArn": self.arn,
            "LabelingJobStatus": self.status,
            "LabelCounters": {
                "TotalLabeled": labeled,
                "HumanLabeled": len(self.labels),
                "MachineLabeled": 0,
                "FailedNonRetryableError": failed,
                "Unlabeled": len(self._lines) - labeled - failed,
            },
            "LabelingJobOutput": {"OutputDatasetS3Uri": self.folder.output_manifest},
        }

    # ------------------------------------------------------------------ one iteration

    def _iterate(self, iteration: int, objects: Sequence[str], workforce: Workforce) -> None:
        pages = {}
        for number in track(objects, f"{self.name}: preparing pages"):
            task_input = self._task_input(number)
            if task_input is None:
                self.excluded.add(number)
            else:
                pages[number] = templates.render(self._template, task_input, grant=self._grant)
        answers: dict[str, list[WorkerAnswer]] = {number: [] for number in pages}
        for number, answer in workforce.label(pages, self.workers_per_object):
            if any(earlier.worker == answer.worker for earlier in answers[number]):
                raise ContractError(f"worker {answer.worker} answered data object {number} of {self.name} twice")
            answers[number].append(answer)
        for number, given in answers.items():
            if given:
                self.folder.write_worker_response(iteration, number, given)
            else:
                self.failed[number] = "no worker answered before the task expired"
        self._answers.update(answers)
        answered = [number for number in answers if answers[number]]
        for start in range(0, len(answered), CONSOLIDATION_BATCH):
            self._consolidate(iteration, answered[start : start + CONSOLIDATION_BATCH])
        done = [number for number in objects if number in self.labels]
        self.folder.write_intermediate(
            iteration, ({"datasetObjectId": number, **self._output_line(number)} for number in done)
        )

    def _task_input(self, number: str) -> Mapping[str, Any] | None:
        """Return what the template sees as ``task.input``, or None when no worker is needed."""
        line = self._lines[int(number)]
        if self._pre is None:
            return line
        event = {"version": "2018-10-06", "labelingJobArn": self.arn, "dataObject": line}
        response = self._pre.invoke(event)
        if not isinstance(response, dict) or not isinstance(response.get("taskInput"), dict):
            raise ContractError(
                f"the pre-annotation Lambda returned no taskInput for data object {number} of {self.name}"
            )
        needed = response.get("isHumanAnnotationRequired", response.get("humanAnnotationRequired", True))
        return None if str(needed).lower() == "false" else response["taskInput"]

    def _consolidate(self, iteration: int, objects: Sequence[str]) -> None:
        moment = max(answer.submitted_at for number in objects for answer in self._answers[number])
        if self._post is None:
            self.labels.update((number, {}) for number in objects)
            return
        payload = [
            {
                "datasetObjectId": number,
                "dataObject": self._data_object(number),
                "annotations": [annotation_content(answer) for answer in self._answers[number]],
            }
            for number in objects
        ]
        uri = self.folder.write_consolidation_request(iteration, moment, payload)
        response = self._post.invoke(
            {
                "version": "2018-10-06",
                "labelingJobArn": self.arn,
                "payload": {"s3Uri": uri},
                "labelAttributeName": self.attribute,
                "roleArn": self.request["RoleArn"],
                "outputConfig": self.folder.annotations,
                "maxHumanWorkersPerDataObject": self.workers_per_object,
            }
        )
        self.folder.write_consolidation_response(iteration, uri, response)
        if not isinstance(response, list):
            raise ContractError(f"the post-annotation Lambda of {self.name} returned no list")
        for entry in response:
            number, content = _consolidated(entry)
            if number in objects and self.attribute in content:
                self.labels[number] = content[self.attribute]
        for number in objects:
            if number not in self.labels:
                self.failed[number] = f"the post-annotation Lambda returned no {self.attribute!r} for it"

    # ------------------------------------------------------------------ pieces

    def _function(self, arn: str | None) -> Function | None:
        if arn is None:
            return None
        if arn not in self.functions:
            raise FunctionError(f"no Lambda is known as {arn}; name its file when the job is run")
        return self.functions[arn]

    def _read_manifest(self) -> list[dict[str, Any]]:
        uri = self.request["InputConfig"]["DataSource"]["S3DataSource"]["ManifestS3Uri"]
        lines = []
        for position, text in enumerate(storage.read_text(uri, s3=self.s3).split("\n"), start=1):
            if not text.strip():
                continue
            try:
                line = json.loads(text)
            except ValueError as error:
                raise ContractError(f"{uri} line {position} isn't JSON: {error}") from error
            if not isinstance(line, dict) or not ("source" in line or "source-ref" in line):
                raise ContractError(f"{uri} line {position} has neither source nor source-ref")
            lines.append(line)
        if not lines:
            raise ContractError(f"{uri} holds no data object; a job needs at least one")
        return lines

    def _iterations(self) -> Iterator[list[str]]:
        """Yield the ids of each iteration: a random probe, then batches; objects already labeled are left out."""
        todo = [str(number) for number, line in enumerate(self._lines) if self.attribute not in line]
        rng = random.Random(self.seed)
        probe = sorted(rng.sample(todo, min(PROBE, len(todo))), key=int)
        rest = [number for number in todo if number not in set(probe)]
        rng.shuffle(rest)  # workers don't see the manifest's order
        if probe:
            yield probe
        for start in range(0, len(rest), self._concurrent):
            yield rest[start : start + self._concurrent]

    def _data_object(self, number: str) -> dict[str, Any]:
        line = self._lines[int(number)]
        return {"content": line["source"]} if "source" in line else {"s3Uri": line["source-ref"]}

    def _grant(self, uri: str) -> str:
        bucket, key = storage.split_s3(uri)
        params = {"Bucket": bucket, "Key": key}
        url: str = self.s3.generate_presigned_url("get_object", Params=params, ExpiresIn=GRANT_SECONDS)
        return url

    def _output_line(self, number: str) -> dict[str, Any]:
        line = self._lines[int(number)]
        if number not in self.labels:
            return line
        moment = max(answer.submitted_at for answer in self._answers[number])
        described = metadata(self.name, moment)
        if self._post is None:
            described["worker-response-ref"] = self.folder.worker_responses[number]
        return {**line, self.attribute: self.labels[number], f"{self.attribute}-metadata": described}

    def _output_lines(self) -> Iterable[dict[str, Any]]:
        return (self._output_line(str(number)) for number in range(len(self._lines)))


def _consolidated(entry: Any) -> tuple[str, Mapping[str, Any]]:
    """Return object id and content of one entry of the post-Lambda's list; an entry of another shape counts as none."""
    try:
        content = entry["consolidatedAnnotation"]["content"]
        return str(entry["datasetObjectId"]), content if isinstance(content, dict) else {}
    except (KeyError, TypeError):
        return "", {}
