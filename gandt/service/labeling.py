"""The labeling service: jobs that people work on, each a thread that takes the engine's steps on what the store holds.

Whatever a step needs is in the store before the next one begins, so that a service that was killed goes on where it
was: tasks that are missing are made, an iteration that isn't closed is closed (its Lambda may be called again).
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from gandt import templates
from gandt.errors import ContractError, FunctionError, GandtError
from gandt.jobs import check_request
from gandt.service import builtin, streaming
from gandt.service.clock import SteadyClock
from gandt.service.engine import PASS_THROUGH, LabelingJob
from gandt.service.functions import Function, LocalFunction, function_name
from gandt.service.inputs import check_questions
from gandt.service.notices import Notices
from gandt.service.store import Job, Lease, Store

_log = logging.getLogger(__name__)
# How long a task may stand open when the request doesn't say: AWS's default for private workteams.
LIFETIME = 2_592_000
# Tasks that are made before they are kept, together.
CHUNK = 20
# Seconds that the jobs' threads have to come to their next step when the service ends.
ENDING = 10.0
REASON_LIMIT = 1024  # characters of DescribeLabelingJob's FailureReason


class LabelingService:
    """Runs labeling jobs for people.

    Parameters
    ----------
    store : Store
        What is known so far, and where everything is kept.
    functions : mapping of str to Function
        The Lambdas by name, as in ``arn:aws:lambda:…:function:NAME``.
    s3
        boto3 S3 client for manifests, templates, objects and output.
    clock : callable, optional
        Seconds since 1970; by default a :class:`~gandt.service.clock.SteadyClock`, which never goes back.
    lambdas : callable, optional
        Makes the function for an ARN that ``functions`` doesn't have; None where it can't.
    notices : Notices, optional
        Tells others what happens; without, nobody is told.
    """

    def __init__(
        self,
        store: Store,
        functions: Mapping[str, Function],
        s3: Any,
        *,
        clock: Callable[[], float] | None = None,
        lambdas: Callable[[str], Function | None] | None = None,
        notices: Notices | None = None,
    ) -> None:
        self.store, self.functions, self.s3, self.clock = store, functions, s3, clock or SteadyClock()
        self._lambdas, self._notices = lambdas, notices
        self.ending = False
        self._threads: dict[str, threading.Thread] = {}
        self._changed: dict[str, threading.Event] = {}

    def start(self) -> None:
        """Go on with every job that hasn't ended."""
        if self._notices is not None:
            self._notices.start()
        for job in self.store.jobs():
            if not job.ended:
                self._begin(job.name)

    def end(self) -> None:
        """Let every job's thread come to its next step and stop there; the jobs go on with the next ``start``.

        Lambdas that are being called are ended, and called again then.
        """
        self.ending = True
        for event in self._changed.values():
            event.set()
        for function in self.functions.values():
            if isinstance(function, LocalFunction):
                function.interrupt()
        deadline = time.monotonic() + ENDING
        for thread in self._threads.values():
            thread.join(max(0.0, deadline - time.monotonic()))  # one that waits for AWS is left behind
        if self._notices is not None:
            self._notices.end()

    # ------------------------------------------------------------------ for the owner

    def create(self, request: Mapping[str, Any]) -> bool:
        """Begin a job; False when there is one of that name.

        Raises
        ------
        ContractError
            When the request breaks the contract, or asks for what this service doesn't do, or what nobody can answer.
        """
        check_request(request)
        problems = [*self._missing(request)]
        if problems:
            raise ContractError(f"labeling job {request['LabelingJobName']}: {'; '.join(problems)}")
        if self.store.job(request["LabelingJobName"]) is None:
            check_questions(request, self.s3)
        if not self.store.add_job(request, random.randrange(2**31), self.clock()):
            return False
        self._begin(request["LabelingJobName"])
        return True

    def stop(self, name: str) -> bool:
        """Stop a job: no more tasks, and what was answered is consolidated; False when it has ended."""
        stopping = self.store.set_status(name, "Stopping", self.clock(), only=("Initializing", "InProgress"))
        if name.lower() in self._changed:
            self._changed[name.lower()].set()
        return stopping

    def human_task_ui(self, arn: str) -> str:
        """Return the template that is kept under a human task UI's ARN, of which only the name counts.

        Raises
        ------
        ContractError
            When there is none.
        """
        name = arn.rpartition("/")[2]
        record = self.store.record("human-task-ui", name)
        if record is None and name == "NamedEntityRecognition":  # AWS's own
            return builtin.NER_TEMPLATE
        if record is None:
            raise ContractError(f"there is no human task UI {name!r}; create it first, or use UiTemplateS3Uri")
        return str(record.content)

    def _missing(self, request: Mapping[str, Any]) -> list[str]:
        """Say what a valid request asks for and doesn't get here."""
        task = request["HumanTaskConfig"]
        team = task["WorkteamArn"].rpartition("/")[2]
        problems = []
        if not self.store.workteams(team):
            problems.append(f"there is no workteam {team!r}; create it first")
        topic = streaming.topic_of(request)
        if topic and topic.split(":")[4] == streaming.OURS and self.store.record("topic", topic) is None:
            problems.append(f"there is no topic {topic}; create it first, at this service's address with /sns")
        if "HumanTaskUiArn" in task["UiConfig"]:
            try:
                self.human_task_ui(task["UiConfig"]["HumanTaskUiArn"])
            except ContractError as error:
                problems.append(str(error))
        if "LabelingJobAlgorithmsConfig" in request:
            problems.append("automated labeling isn't there; leave LabelingJobAlgorithmsConfig out")
        consolidation = task.get("AnnotationConsolidationConfig", {}).get("AnnotationConsolidationLambdaArn")
        for arn in filter(None, (task.get("PreHumanTaskLambdaArn"), consolidation)):
            own = builtin.parse(arn)
            if own and own[1] in builtin.TASKS and "LabelCategoryConfigS3Uri" not in request:
                problems.append(f"AWS's {function_name(arn)} needs label categories; give LabelCategoryConfigS3Uri")
            if arn.endswith(PASS_THROUGH) or self._function(arn) is not None or (own and own[1] in builtin.TASKS):
                continue
            name = function_name(arn)
            if own:
                problems.append(f"AWS's {name} isn't there; use {own[0]}-PassThrough or a Lambda of your own")
            else:
                problems.append(
                    f"no Lambda is known as {name!r}; start the service with --function {name}=FILE.py:HANDLER"
                )
        return problems

    # ------------------------------------------------------------------ for the workers

    def jobs(self, worker: str) -> list[tuple[Job, int]]:
        """Return the jobs of the worker's workteam that are in progress, with how many objects he could do now."""
        _, team = self.store.worker(worker)
        now = self.clock()
        jobs = [job for job in self.store.jobs(team) if job.status == "InProgress"]
        return [(job, self.store.left(job.name, worker, now)) for job in jobs]

    def next(self, worker: str, name: str) -> Lease | None:
        """Give the worker a task of the job, None when there is none for him now or the job isn't his workteam's."""
        return self.store.lease(name, worker, self.clock())

    def page(self, lease: Lease, grant: Callable[[str], str]) -> str:
        """Return the HTML of a leased task."""
        job = self.store.job(lease.job)
        assert job is not None
        return templates.render(job.template, self.store.task(lease), grant=grant)

    def submit(self, lease_id: str, worker: str, content: Mapping[str, Any], seconds: float, revision: int = 0) -> str:
        """Keep an answer, or with a ``revision`` a change of it; see :meth:`Store.submit` for what is returned."""
        outcome = self.store.submit(lease_id, worker, content, seconds, self.clock(), revision=revision)
        lease = self.store.held(lease_id, worker)
        if lease is not None and lease.job in self._changed:
            self._changed[lease.job].set()
        return outcome

    # ------------------------------------------------------------------ a job's life

    def _begin(self, name: str) -> None:
        key = name.lower()
        self._changed[key] = threading.Event()
        self._threads[key] = threading.Thread(target=self._live, args=(name,), name=f"labeling job {name}", daemon=True)
        self._threads[key].start()

    def _live(self, name: str) -> None:
        job = None
        try:
            job = self._open(name)
            topic = streaming.topic_of(job.request)
            if topic is not None:
                if topic.split(":")[4] != streaming.OURS:
                    streaming.Subscription(self, name, topic).start()
                if streaming.live(self, job):
                    job.write_output()
                    self._end(name, "Stopped")
                return
            while not self.ending:
                if self._iterate(job):
                    continue
                if not self.ending:
                    job.write_output()
                    whole = len(self.store.drawn(name)) == len(job.order)
                    self._end(name, "Completed" if whole and not self.stopping(name) else "Stopped")
                return
        except Exception as error:
            if self.ending:
                return  # a Lambda was interrupted, or the store is closed: no failure of the job, which goes on
            if not isinstance(error, GandtError):
                _log.exception("labeling job %s failed", name)
            try:
                if job is not None:
                    job.write_output()  # before, since who sees that it failed may read it
            except Exception as further:  # whatever it is, the job must not seem to go on
                _log.warning("labeling job %s: %s", name, further)
            self._end(name, "Failed", _reason(error))

    def _function(self, arn: str) -> Function | None:
        """Return the Lambda that an ARN names: a local one of that name, else AWS's; None for those built in."""
        if function_name(arn) in self.functions:
            return self.functions[function_name(arn)]
        if self._lambdas is None or arn.endswith(PASS_THROUGH) or builtin.parse(arn):
            return None
        return self._lambdas(arn)

    def _open(self, name: str) -> LabelingJob:
        kept = self.store.job(name)
        assert kept is not None
        task = kept.request["HumanTaskConfig"]
        consolidation = task.get("AnnotationConsolidationConfig", {}).get("AnnotationConsolidationLambdaArn")
        arns = [arn for arn in (task.get("PreHumanTaskLambdaArn"), consolidation) if arn]
        functions = {arn: function for arn in arns if (function := self._function(arn)) is not None}
        labels, failed = self.store.results(name)
        lines = self.store.lines(name)
        template = kept.template
        if not template and "HumanTaskUiArn" in task["UiConfig"]:
            template = self.human_task_ui(task["UiConfig"]["HumanTaskUiArn"])
        job = LabelingJob(
            kept.request,
            functions,
            self.s3,
            kept.seed,
            labels=labels,
            failed=failed,
            lines=lines,
            template=template,
        )
        if kept.status == "Initializing":
            job.write_output()  # a bucket that can't be written is known before anybody works
        if not lines:
            self.store.begin(name, job.template, job.lines, job.order, self.clock())
        if self.store.set_status(name, "InProgress", self.clock(), only=("Initializing",)):
            self._tell_workers(job)
        return job

    def _end(self, name: str, status: str, reason: str = "") -> None:
        self.store.set_status(name, status, self.clock(), reason=reason)
        if self._notices is not None:
            arn = f"arn:aws:sagemaker:us-east-1:000000000000:labeling-job/{name.lower()}"
            self._notices.state_changed(arn, status, self.clock())

    def _tell_workers(self, job: LabelingJob) -> None:
        """Tell the workteam's topic that there is work."""
        task = job.request["HumanTaskConfig"]
        teams = self.store.workteams(task["WorkteamArn"].rpartition("/")[2])
        topic = teams[0].request.get("NotificationConfiguration", {}).get("NotificationTopicArn") if teams else None
        if topic and self._notices is not None:
            message = {
                "labelingJobArn": job.arn, "workteamArn": task["WorkteamArn"], "taskTitle": task["TaskTitle"],
                "portal": self.store.setting("address"),
            }  # fmt: skip
            self._notices.published(topic, "New labeling job", message, self.clock())

    def _iterate(self, job: LabelingJob) -> bool:
        """Take the job through one iteration, or the rest of it; False when there is none, or the service ends."""
        iteration, opened, closed = self.store.iteration(job.name)
        if closed:
            objects = [] if self.stopping(job.name) else job.batch(self.store.drawn(job.name))
            if not objects:
                return False
            iteration, opened = iteration + 1, self.clock()
            self.store.open_iteration(job.name, iteration, objects, opened)
        self.prepare(job, iteration)
        if not self._wait(job, opened):
            return False
        self.close(job, iteration)
        job.write_output()
        return True

    def close(self, job: LabelingJob, iteration: int) -> None:
        """Consolidate an iteration as far as it was answered, and write what came of it."""
        self.store.freeze(job.name, iteration)
        given = self.store.answers(job.name, iteration)
        drawn = self.store.drawn(job.name, iteration)
        shown = [number for number, state in drawn.items() if state == "answered"]
        if self.stopping(job.name):
            shown = [number for number in shown if number in given]  # who wasn't asked hasn't failed
        job.close(iteration, list(drawn), {number: given.get(number, []) for number in shown})
        labels = {number: job.labels[number] for number in shown if number in job.labels}
        failed = {number: job.failed[number] for number in shown if number in job.failed}
        self.store.close_iteration(job.name, iteration, labels, failed, self.clock())
        topic = job.request["OutputConfig"].get("SnsTopicArn")
        if topic and self._notices is not None:
            for number in labels:
                self._notices.published(topic, "Labeled", job.output_line(number), self.clock())

    def prepare(self, job: LabelingJob, iteration: int) -> None:
        """Make the tasks of an iteration that aren't there yet."""
        todo = [number for number, state in self.store.drawn(job.name, iteration).items() if state == "drawn"]
        for start in range(0, len(todo), CHUNK):
            if self.ending or self.stopping(job.name):
                return
            tasks = {number: job.task_input(number) for number in todo[start : start + CHUNK]}
            for task_input in tasks.values():
                if task_input is not None:
                    job.page(task_input, grant=lambda uri: uri)  # a page that can't be rendered fails the job here
            self.store.set_tasks(job.name, tasks)

    def lifetime(self, job: LabelingJob) -> float:
        """Return for how many seconds the tasks of an iteration stand open."""
        return float(job.request["HumanTaskConfig"].get("TaskAvailabilityLifetimeInSeconds", LIFETIME))

    def wake(self, name: str) -> None:
        """Let a job's thread look at what has changed."""
        if name.lower() in self._changed:
            self._changed[name.lower()].set()

    def sleep(self, name: str, seconds: float = 0.5) -> None:
        """Wait until something changes about a job, at most so long."""
        changed = self._changed[name.lower()]
        changed.wait(seconds)
        changed.clear()

    def problems(self, name: str) -> dict[str, Any] | None:
        """Return why a job and its objects failed, and what its Lambdas printed; None when there is no such job."""
        job = self.store.job(name)
        if job is None:
            return None
        task = job.request["HumanTaskConfig"]
        consolidation = task.get("AnnotationConsolidationConfig", {}).get("AnnotationConsolidationLambdaArn")
        arns = [arn for arn in (task.get("PreHumanTaskLambdaArn"), consolidation) if arn]
        functions = {function_name(arn): self._function(arn) for arn in arns}
        failed = self.store.results(name)[1]
        return {
            "LabelingJobName": job.name,
            "LabelingJobStatus": job.status,
            "FailureReason": job.reason,
            "FailedObjects": [{"DataObject": number, "Reason": reason} for number, reason in failed.items()],
            "RefusedMessages": [record.content for record in self.store.records(f"refused {job.name.lower()}")],
            "Consoles": {
                key: console() for key, made in functions.items() if (console := getattr(made, "console", None))
            },
        }

    def _wait(self, job: LabelingJob, opened: float) -> bool:
        """Wait until an iteration is answered, expired or stopped; False when the service ends before."""
        lifetime = self.lifetime(job)
        changed = self._changed[job.name.lower()]
        while not self.ending:
            changed.clear()
            if self.stopping(job.name) or self.clock() >= opened + lifetime or not self.store.pending(job.name):
                return True
            changed.wait(0.5)
        return False

    def stopping(self, name: str) -> bool:
        """Tell whether somebody has stopped a job that goes on."""
        job = self.store.job(name)
        return job is not None and job.status == "Stopping"


def _reason(error: Exception) -> str:
    """Say why a job failed; of a Lambda's traceback the end, where the fault is."""
    text = str(error) or repr(error)
    if isinstance(error, FunctionError) and error.traceback:
        text += "\n" + error.traceback[-max(0, REASON_LIMIT - len(text) - 1) :]
    # what a handler says may hold halves of surrogate pairs, which no file takes
    return text[:REASON_LIMIT].encode(errors="backslashreplace").decode()[:REASON_LIMIT]
