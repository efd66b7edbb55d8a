"""Called by EventBridge when a labeling job has ended: wakes the run of the rounds that waits for it.

It needs boto3 (which every Lambda runtime has) and imports nothing of gandt: zip this folder alone. Called twice with
the same event, it does nothing the second time. A job that no run waits for is passed over.

Environment:

``GANDT_BUCKET``     the bucket where the rounds keep their tickets, ``rounds/tickets/<job>.json``
``LOG_LEVEL``        INFO by default
"""

import json
import logging
import os

import boto3
from botocore.config import Config

logger = logging.getLogger("gandt.job_ended")
logger.setLevel(getattr(logging, os.environ.get("LOG_LEVEL", "INFO").upper(), logging.INFO))

_CONFIG = Config(retries={"mode": "standard", "max_attempts": 6})


def lambda_handler(event, context):
    """Return ``{"job", "status", "woken"}``."""
    resources = event.get("resources") or [""]
    job = str(resources[0]).rpartition(":labeling-job/")[2].lower()
    status = event.get("detail", {}).get("LabelingJobStatus", "")
    if not job:
        raise ValueError(f"the event names no labeling job: {json.dumps(event)[:500]}")
    s3 = boto3.client("s3", config=_CONFIG)
    try:
        found = s3.get_object(Bucket=os.environ["GANDT_BUCKET"], Key=f"rounds/tickets/{job}.json")
        ticket = json.loads(found["Body"].read())["ticket"]
    except s3.exceptions.NoSuchKey:
        return _done(job, status, False, "no run waits for this job")
    states = boto3.client("stepfunctions", config=_CONFIG)
    try:
        states.send_task_success(taskToken=ticket, output=json.dumps({"job": job, "status": status}))
    except (states.exceptions.TaskTimedOut, states.exceptions.TaskDoesNotExist, states.exceptions.InvalidToken):
        return _done(job, status, False, "the run has gone on, or was stopped")
    return _done(job, status, True, "the run goes on")


def _done(job, status, woken, what):
    logger.info(json.dumps({"level": "INFO", "message": what, "job": job, "status": status}))
    return {"job": job, "status": status, "woken": woken}
