"""A labeling job's life, as Ground Truth lives it: manifest → tasks → answers → consolidation → output manifest.

The engine knows nothing of who answers, nor when. ``run`` takes a job through all its iterations with a
:class:`Workforce`; gandt/service/labeling.py takes the same steps (``batch``, ``task_input``, ``page``, ``close``) one
by one, with people's answers in between and its state on disk. Either way the job's Lambdas get the events that Ground
Truth sends, and the files are those that Ground Truth writes (gandt/service/outputs.py).
"""

import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from gandt import storage, templates
from gandt.errors import ContractError, FunctionError
from gandt.jobs import check_request
from gandt.manifest.lines import NAMES
from gandt.manifest.questions import read_category_file
from gandt.progress import track
from gandt.service import builtin
from gandt.service.functions import Function
from gandt.service.inputs import check_choices, chooses, read_manifest, writable
from gandt.service.outputs import JobFolder, WorkerAnswer, annotation_content, metadata

# Ground Truth starts with a probe of ten random objects, then takes batches of up to MaxConcurrentTaskCount.
# https://docs.aws.amazon.com/sagemaker/latest/dg/sms-batching.html
PROBE = 10
# Objects in one call of the post-annotation Lambda.
CONSOLIDATION_BATCH = 250
GRANT_SECONDS = 3600
# AWS's own functions that change nothing: a job that names them runs as one without Lambdas
_OF_BUILT_IN = ("human-annotated", "creation-date")
PASS_THROUGH = (":PRE-PassThrough", ":ACS-PassThrough")


class Workforce(Protocol):
    """Where rendered pages go to be answered."""

    def label(self, pages: Mapping[str, str], workers_per_object: int) -> Iterator[tuple[str, WorkerAnswer]]:
        """Yield answers, each with the id of its data object.

        ``pages`` maps the id of a data object to the HTML that a worker sees. Every object should get
        ``workers_per_object`` answers by distinct workers; fewer is allowed, none leaves the object failed.
        """
        ...


@dataclass(frozen=True)
class Label:
    """What consolidation made of one data object: the label's value, when, and where its worker responses are."""

    value: Any
    at: datetime
    worker_responses: str


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
    labels : dict of str to Label
        By the id of the data object; what there is already, when a job goes on after a restart.
    failed : dict of str to str
        Why an object has no label, by its id.
    lines : list of dict, optional
        The manifest as it was read at first; by default it is read.
    template : str, optional
        The template as it was read at first; by default it is read.

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
    labels: dict[str, Label] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)
    template: str = ""

    def __post_init__(self) -> None:
        check_request(self.request)
        task = self.request["HumanTaskConfig"]
        self.name: str = self.request["LabelingJobName"]
        self.attribute: str = self.request["LabelAttributeName"]
        self.arn = f"arn:aws:sagemaker:us-east-1:000000000000:labeling-job/{self.name.lower()}"
        self.workers_per_object: int = task["NumberOfHumanWorkersPerDataObject"]
        output = self.request["OutputConfig"]
        self.folder = JobFolder(
            storage.join(output["S3OutputPath"], self.name), self.s3, output.get("KmsKeyId") or None
        )
        self._iteration = 0
        self._concurrent: int = task.get("MaxConcurrentTaskCount", 1000)
        categories = self.request.get("LabelCategoryConfigS3Uri")
        self._labels = read_category_file(categories, s3=self.s3) if categories else []
        self.categories = [str(each["label"]) for each in self._labels]
        self._pre = self._function(task.get("PreHumanTaskLambdaArn"))
        consolidation = task.get("AnnotationConsolidationConfig", {})
        self._post = self._function(consolidation.get("AnnotationConsolidationLambdaArn"))
        self.template = self.template or storage.read_text(task["UiConfig"]["UiTemplateS3Uri"], s3=self.s3)
        self._chooses = chooses(self.template)
        self.lines = self.lines or read_manifest(self.request, self.s3)
        #: the ids of all objects without the label, in the order of work
        self.order = self._shuffled()

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
        opened: set[str] = set()
        try:
            while objects := self.batch(opened):
                opened.update(objects)
                self._iterate(objects, workforce)
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
            1 for number, line in enumerate(self.lines) if str(number) in self.labels or self.attribute in line
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
                "Unlabeled": len(self.lines) - labeled - failed,
            },
            "LabelingJobOutput": {"OutputDatasetS3Uri": self.folder.output_manifest},
        }

    # ------------------------------------------------------------------ the steps of an iteration

    def batch(self, opened: Collection[str]) -> list[str]:
        """Return the ids of the next iteration's objects, none when all are done or a stopping condition is met.

        ``opened`` has the ids of all earlier iterations. The first is a random probe; workers don't see the
        manifest's order. Objects that already have the label are left out.
        """
        waiting = [number for number in self.order if number not in opened]
        size = self._concurrent if opened else PROBE
        return waiting[: max(0, min(size, self.allowed()))]

    def page(self, task_input: Mapping[str, Any], grant: Callable[[str], str] | None = None) -> str:
        """Return the HTML of one task; ``grant`` makes an address for the browser out of an ``s3://`` one."""
        return templates.render(self.template, task_input, grant=grant or self._grant)

    def close(self, iteration: int, objects: Sequence[str], answers: Mapping[str, Sequence[WorkerAnswer]]) -> None:
        """End an iteration: write worker responses, consolidate, write the manifest of the iteration.

        ``answers`` has an entry for each of the ``objects`` that was shown to workers; one without answers fails.
        Taking this step again after a crash gives the same files, and calls the Lambda again.
        """
        for number, given in answers.items():
            if given:
                self.folder.write_worker_response(iteration, number, given)
            else:
                self.failed[number] = "no worker answered before the task expired"
        answered = [number for number in answers if answers[number]]
        for start in range(0, len(answered), CONSOLIDATION_BATCH):
            part = answered[start : start + CONSOLIDATION_BATCH]
            self._consolidate(iteration, {number: answers[number] for number in part})
        done = [number for number in objects if number in self.labels]
        self.folder.write_intermediate(
            iteration, ({"datasetObjectId": number, **self.output_line(number)} for number in done)
        )

    def take(self, lines: Sequence[dict[str, Any]]) -> None:
        """Add lines that came while the job was running, behind the others."""
        new = [str(number) for number, line in enumerate(lines, len(self.lines)) if self.attribute not in line]
        self.lines = [*self.lines, *lines]
        self.order += new

    def write_output(self) -> None:
        """Write the output manifest as far as the labels go."""
        self.folder.write_output_manifest(self._output_lines())

    def _iterate(self, objects: Sequence[str], workforce: Workforce) -> None:
        self._iteration += 1
        pages = {}
        for number in track(objects, f"{self.name}: preparing pages"):
            task_input = self.task_input(number)
            if task_input is not None:
                pages[number] = self.page(task_input)
        answers: dict[str, list[WorkerAnswer]] = {number: [] for number in pages}
        for number, answer in workforce.label(pages, self.workers_per_object):
            if any(earlier.worker == answer.worker for earlier in answers[number]):
                raise ContractError(f"worker {answer.worker} answered data object {number} of {self.name} twice")
            answers[number].append(answer)
        self.close(self._iteration, objects, answers)

    def task_input(self, number: str) -> Mapping[str, Any] | None:
        """Return what the template sees as ``task.input``, or None when no worker is needed.

        Raises
        ------
        FunctionError, ContractError
            When the pre-annotation Lambda fails, or returns no ``taskInput``.
        """
        line = {name: value for name, value in self.lines[int(number)].items() if not name.startswith("$")}
        if self._pre is None:  # the names are for the job's owner, and may be paths of his machine
            return self._check(number, {name: value for name, value in line.items() if name != NAMES})
        event = {"version": "2018-10-06", "labelingJobArn": self.arn, "dataObject": line}
        response = self._answer(self._pre, event, "pre-annotation")
        if not isinstance(response, dict) or not isinstance(response.get("taskInput"), dict):
            raise ContractError(
                f"the pre-annotation Lambda returned no taskInput for data object {number} of {self.name}"
            )
        needed = response.get("isHumanAnnotationRequired", response.get("humanAnnotationRequired", True))
        if str(needed).lower() == "false":
            return None
        return self._check(number, response["taskInput"])

    def _check(self, number: str, task_input: Mapping[str, Any]) -> Mapping[str, Any]:
        if self._chooses:
            check_choices(task_input, f"data object {number} of {self.name}")
        return task_input

    def _consolidate(self, iteration: int, answers: Mapping[str, Sequence[WorkerAnswer]]) -> None:
        responses = self.folder.worker_responses
        at = {number: max(answer.submitted_at for answer in given) for number, given in answers.items()}
        if self._post is None:
            self.labels.update((number, Label({}, at[number], responses[number])) for number in answers)
            return
        payload = [
            {
                "datasetObjectId": number,
                "dataObject": self._data_object(number),
                "annotations": [annotation_content(answer) for answer in given],
            }
            for number, given in answers.items()
        ]
        uri = self.folder.write_consolidation_request(iteration, max(at.values()), payload)
        event: dict[str, Any] = {
            "version": "2018-10-06",
            "labelingJobArn": self.arn,
            "payload": {"s3Uri": uri},
            "labelAttributeName": self.attribute,
            "roleArn": self.request["RoleArn"],
            "outputConfig": self.folder.annotations,
            "maxHumanWorkersPerDataObject": self.workers_per_object,
        }
        if self.request["OutputConfig"].get("KmsKeyId"):
            event["kmsKeyId"] = self.request["OutputConfig"]["KmsKeyId"]
        if self.categories:
            event["labelCategories"] = self.categories
        response = self._answer(self._post, event, "post-annotation")
        self.folder.write_consolidation_response(iteration, uri, response)
        if not isinstance(response, list):
            raise ContractError(f"the post-annotation Lambda of {self.name} returned no list")
        for entry in response:
            number, content = _consolidated(entry)
            if number in answers and self.attribute in content:
                whole = isinstance(self._post, builtin.Consolidation)
                self.labels[number] = Label(
                    content if whole else content[self.attribute], at[number], responses[number]
                )
        for number in answers:
            if number not in self.labels:
                self.failed[number] = f"the post-annotation Lambda returned no {self.attribute!r} for it"

    # ------------------------------------------------------------------ pieces

    def _answer(self, function: Function, event: Mapping[str, Any], kind: str) -> Any:
        """Return what a Lambda answers to an event, if files can hold it."""
        response = function.invoke(event)
        try:
            writable(response)
        except ValueError as error:
            raise ContractError(f"the {kind} Lambda of {self.name} returned what JSON can't hold: {error}") from error
        return response

    def _function(self, arn: str | None) -> Function | None:
        if arn is None or arn.endswith(PASS_THROUGH):
            return None
        own = builtin.parse(arn)
        if own is not None and arn not in self.functions:
            kind, task = own
            if task not in builtin.TASKS:
                raise ContractError(f"AWS's {kind}-{task} isn't there; use {kind}-PassThrough or a Lambda of your own")
            if not self._labels:
                raise ContractError(f"AWS's {kind}-{task} needs label categories; give LabelCategoryConfigS3Uri")
            stand_in = builtin.Consolidation(task, self._labels, self.s3)
            return builtin.PreAnnotation(self._labels) if kind == "PRE" else stand_in
        if arn not in self.functions:
            raise FunctionError(f"no Lambda is known as {arn}; name its file when the job is run")
        return self.functions[arn]

    def _shuffled(self) -> list[str]:
        """Return the ids of all objects without the label, in the order of work: a random probe, then the rest."""
        todo = [str(number) for number, line in enumerate(self.lines) if self.attribute not in line]
        rng = random.Random(self.seed)
        probe = sorted(rng.sample(todo, min(PROBE, len(todo))), key=int)
        rest = [number for number in todo if number not in set(probe)]
        rng.shuffle(rest)
        return probe + rest

    def allowed(self) -> int:
        """Return how many more objects the stopping conditions let people label."""
        conditions = self.request.get("StoppingConditions", {})
        allowed = conditions.get("MaxHumanLabeledObjectCount", len(self.lines)) - len(self.labels)
        share = conditions.get("MaxPercentageOfInputDatasetLabeled", 100)
        labeled = self.describe()["LabelCounters"]["TotalLabeled"]
        return int(min(allowed, -(-len(self.lines) * share // 100) - labeled))

    def _data_object(self, number: str) -> dict[str, Any]:
        line = self.lines[int(number)]
        return {"content": line["source"]} if "source" in line else {"s3Uri": line["source-ref"]}

    def _grant(self, uri: str) -> str:
        bucket, key = storage.split_s3(uri)
        params = {"Bucket": bucket, "Key": key}
        url: str = self.s3.generate_presigned_url("get_object", Params=params, ExpiresIn=GRANT_SECONDS)
        return url

    def output_line(self, number: str) -> dict[str, Any]:
        """Return an object's line of the output manifest as far as its label goes."""
        line = self.lines[int(number)]
        if number not in self.labels:
            return line
        label = self.labels[number]
        described = metadata(self.name, label.at)
        if isinstance(self._post, builtin.Consolidation):  # whose label is the whole content, metadata included
            own = label.value[f"{self.attribute}-metadata"]
            described = {**own, "job-name": f"labeling-job/{self.name}", **{k: described[k] for k in _OF_BUILT_IN}}
            return {**line, self.attribute: label.value[self.attribute], f"{self.attribute}-metadata": described}
        if self._post is None:
            described["worker-response-ref"] = label.worker_responses
        return {**line, self.attribute: label.value, f"{self.attribute}-metadata": described}

    def _output_lines(self) -> Iterable[dict[str, Any]]:
        return (self.output_line(str(number)) for number in range(len(self.lines)))


def _consolidated(entry: Any) -> tuple[str, Mapping[str, Any]]:
    """Return object id and content of one entry of the post-Lambda's list; an entry of another shape counts as none."""
    try:
        content = entry["consolidatedAnnotation"]["content"]
        return str(entry["datasetObjectId"]), content if isinstance(content, dict) else {}
    except (KeyError, TypeError):
        return "", {}
