"""The files of a labeling job on S3, in Ground Truth's layout and spellings.

::

    <job>/annotations/worker-response/iteration-<n>/<object>/<time>.json
          annotations/consolidated-annotation/consolidation-request/iteration-<n>/<time>.json
          annotations/consolidated-annotation/consolidation-response/iteration-<n>/<time>.json
          annotations/intermediate/<n>/annotations.manifest
          manifests/output/output.manifest

https://docs.aws.amazon.com/sagemaker/latest/dg/sms-data-output.html
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gandt import storage

# Unicode's further line breaks, where Python's splitlines would cut a line of a manifest that a reader was given
_BREAKS = {ord(mark): f"\\u{ord(mark):04x}" for mark in "\u0085\u2028\u2029"}


@dataclass(frozen=True)
class WorkerAnswer:
    """One worker's submitted form for one data object.

    ``content`` is the form's JSON object; ``seconds`` is the time spent without pauses.
    """

    worker: str
    content: Mapping[str, Any]
    accepted_at: datetime
    submitted_at: datetime
    seconds: float


class JobFolder:
    """The output folder of one job, at ``root`` (``s3://.../<job name>``); ``kms_key`` encrypts what is written."""

    def __init__(self, root: str, s3: Any, kms_key: str | None = None) -> None:
        self.root, self._options = root, {"s3": s3, "content_type": "application/json", "kms_key": kms_key}
        self.annotations = storage.join(root, "annotations")
        self.output_manifest = storage.join(root, "manifests/output/output.manifest")
        self.worker_responses: dict[str, str] = {}
        self._taken: set[str] = set()

    def write_worker_response(self, iteration: int, number: str, answers: Sequence[WorkerAnswer]) -> None:
        """Write all answers about the data object ``number`` as one worker-response file."""
        folder = storage.join(self.annotations, f"worker-response/iteration-{iteration}", number)
        uri = self._timed(folder, max(answer.submitted_at for answer in answers))
        self._write(uri, {"answers": [_worker_response(answer) for answer in answers]})
        self.worker_responses[number] = uri

    def write_consolidation_request(
        self, iteration: int, moment: datetime, payload: Sequence[Mapping[str, Any]]
    ) -> str:
        """Write the payload of one call of the post-annotation Lambda; return its address."""
        folder = storage.join(self.annotations, f"consolidated-annotation/consolidation-request/iteration-{iteration}")
        uri = self._timed(folder, moment)
        self._write(uri, payload)
        return uri

    def write_consolidation_response(self, iteration: int, request_uri: str, response: Any) -> None:
        """Write what the Lambda returned for the request at ``request_uri``, under the same file name."""
        self._write(request_uri.replace("/consolidation-request/", "/consolidation-response/"), response)

    def write_intermediate(self, iteration: int, lines: Iterable[Mapping[str, Any]]) -> None:
        """Write the output manifest of one iteration's objects."""
        self._write_lines(storage.join(self.annotations, f"intermediate/{iteration}/annotations.manifest"), lines)

    def write_output_manifest(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Write the augmented manifest of the whole job."""
        self._write_lines(self.output_manifest, lines)

    def _timed(self, folder: str, moment: datetime) -> str:
        """Return a file name of the second ``moment``, or of the first free second after it."""
        while True:
            uri = storage.join(folder, f"{moment:%Y-%m-%d_%H:%M:%S}.json")
            if uri not in self._taken:
                self._taken.add(uri)
                return uri
            moment += timedelta(seconds=1)

    def _write(self, uri: str, value: Any) -> None:
        storage.write_text(uri, json.dumps(value, ensure_ascii=False), **self._options)

    def _write_lines(self, uri: str, lines: Iterable[Mapping[str, Any]]) -> None:
        text = "".join(json.dumps(line, ensure_ascii=False).translate(_BREAKS) + "\n" for line in lines)
        storage.write_text(uri, text, **self._options)


def annotation_content(answer: WorkerAnswer) -> dict[str, Any]:
    """Return one answer as the consolidation request holds it: its content is JSON within JSON."""
    return {"workerId": answer.worker, "annotationData": {"content": json.dumps(answer.content, ensure_ascii=False)}}


def metadata(job: str, moment: datetime) -> dict[str, Any]:
    """Return the ``<label attribute>-metadata`` of a custom job, in the form that real manifests have."""
    return {
        "type": "groundtruth/custom",
        "job-name": job,
        "human-annotated": "yes",
        "creation-date": moment.replace(tzinfo=None).isoformat(timespec="microseconds"),
    }


def _worker_response(answer: WorkerAnswer) -> dict[str, Any]:
    return {
        "acceptanceTime": _iso(answer.accepted_at),
        "answerContent": answer.content,
        "submissionTime": _iso(answer.submitted_at),
        "timeSpentInSeconds": round(answer.seconds, 3),
        "workerId": answer.worker,
        "workerMetadata": {
            "identityData": {"identityProviderType": "Cognito", "issuer": "gandt", "sub": answer.worker}
        },
    }


def _iso(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
