"""Post-annotation (consolidation) Lambda of a Ground Truth labeling job: workers' answers in, one label per object out.

It needs boto3 (which every Lambda runtime has) and imports nothing of gandt: zip this folder alone. It is stateless,
and gives the same response when it is called twice with the same payload. The label of a one-item object is

    {"label": "cat", "labels": ["cat"], "confidence": 0.97, "votes": {"cat": 2, "dog": 1}, "workers": 3,
     "answers": [{"workerId": "private...", "labels": ["cat"]}, ...]}

and that of a page is ``{"items": [{"source-ref": ..., "index": 0, <the same keys>}, ...]}``. An object that can't be
consolidated is left out of the response, which Ground Truth counts as failed, and logged with the reason.

Environment (all optional):

``WORKER_QUALITY``   s3:// address, or path in the package, of workers' reliabilities (what gold has shown): a JSON
                     object ``{"<workerId>": 0.93}``, or JSON lines with ``worker`` and ``reliability``,
                     as ``gandt workers --out workers.jsonl`` writes them
``MULTI_SELECT``     "true": every category is a question of its own; by default found from the object's answers
``ANSWER_FIELD``     name of the form field that holds the answer, where a form has several
``ASSUME_ROLE``      "true": read and write S3 with the event's roleArn instead of the Lambda's own role
``MAX_RESPONSE``     bytes above which labels go to S3 and the response refers to them; 5,000,000 by default
``LOG_LEVEL``        INFO by default
"""

import json
import logging
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
from botocore.config import Config
from consolidation import consolidate_objects, held_uris

logger = logging.getLogger("gandt.post_annotation")
logger.setLevel(getattr(logging, os.environ.get("LOG_LEVEL", "INFO").upper(), logging.INFO))

# One client for the life of the Lambda's process. AWS_ENDPOINT_URL_S3 and the like are boto3's own.
_CONFIG = Config(retries={"mode": "standard", "max_attempts": 6}, max_pool_connections=16)
S3 = boto3.client("s3", config=_CONFIG)


class PayloadError(ValueError):
    """The event or its payload breaks the contract as a whole; the message says where."""


def lambda_handler(event, context):
    """Return the list of consolidated annotations, one for each object that could be consolidated."""
    attribute = event.get("labelAttributeName") if isinstance(event, dict) else None
    if not isinstance(attribute, str) or not attribute:
        raise PayloadError("the event has no labelAttributeName; is this Lambda the job's post-annotation Lambda?")
    job = _job(event)
    s3 = _client(event)
    objects = _payload(event, s3)
    categories = event.get("labelCategories")
    response, set_aside, unread = consolidate_objects(
        objects,
        attribute,
        quality=_quality(os.environ.get("WORKER_QUALITY"), s3),
        categories=[name for name in categories if isinstance(name, str)] if isinstance(categories, list) else [],
        multi=_flag("MULTI_SELECT"),
        field=os.environ.get("ANSWER_FIELD") or None,
        held=_held(objects, s3),
    )
    for object_id, reason in set_aside:
        _log(logging.WARNING, "object set aside", job=job, object=object_id, reason=reason)
    for object_id, reason in unread:
        _log(logging.WARNING, "annotation unread", job=job, object=object_id, reason=reason)
    referred = _refer(response, attribute, event, s3, _limit())
    counts = {"objects": len(objects), "labelled": len(response), "set_aside": len(set_aside), "by_reference": referred}
    _log(logging.INFO, "batch consolidated", job=job, **counts)
    return response


def _payload(event, s3):
    """Return the payload's list of objects, from S3 or (as g-and-t's test events have it) from the event itself."""
    payload = event.get("payload")
    uri = payload.get("s3Uri") if isinstance(payload, dict) else None
    objects = event.get("test_payload")
    if isinstance(uri, str):
        try:
            objects = json.loads(_read(uri, s3))
        except PayloadError:
            raise
        except (ValueError, RecursionError):
            raise PayloadError(f"the payload {uri} isn't JSON") from None
        except Exception as error:
            raise PayloadError(f"the payload {uri} can't be read: {error}; check the right s3:GetObject") from error
    if not isinstance(objects, list):
        raise PayloadError(f"the payload {uri or 'of the event'} isn't a list of objects")
    return objects


def _held(objects, s3):
    """Read the annotations that are held in S3: {address: text, or the exception}."""
    uris = held_uris(objects)
    if not uris:
        return {}

    def read(uri):
        try:
            return _read(uri, s3)
        except Exception as error:  # one unreadable annotation must not lose the batch
            return error

    with ThreadPoolExecutor(16) as pool:
        return dict(zip(uris, pool.map(read, uris), strict=True))


def _quality(where, s3):
    """Return the workers' reliabilities, {worker: reliability}."""
    if not where:
        return {}
    try:
        text = _read(where, s3) if where.startswith("s3://") else Path(where).read_text("utf-8-sig")
        try:
            rows = json.loads(text)
        except ValueError:
            rows = [json.loads(line) for line in text.split("\n") if line.strip()]
    except PayloadError as error:
        raise PayloadError(f"WORKER_QUALITY: {error}") from None
    except (ValueError, RecursionError):
        raise PayloadError(f"WORKER_QUALITY {where} is neither JSON nor JSON lines") from None
    except Exception as error:
        raise PayloadError(f"WORKER_QUALITY {where} can't be read: {error}") from error
    if isinstance(rows, dict) and "worker" not in rows:
        return rows
    rows = rows if isinstance(rows, list) else [rows]
    if not all(isinstance(row, dict) and "worker" in row and "reliability" in row for row in rows):
        raise PayloadError(f"WORKER_QUALITY {where} lacks 'worker' or 'reliability' in a row")
    return {str(row["worker"]): 0.0 if row.get("excluded") is True else row["reliability"] for row in rows}


def _read(uri, s3):
    bucket, key = _split(uri)
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode("utf-8-sig")


def _split(uri):
    match = re.fullmatch(r"s3://([^/]+)/(.+)", uri, re.DOTALL)
    if match is None:
        raise PayloadError(f"{uri[:200]!r} is not an S3 address")
    return match.groups()


def _refer(response, attribute, event, s3, limit):
    """Move the largest labels to S3, leaving a reference, until the response fits Lambda's 6 MB; return how many."""
    sizes = [len(json.dumps(entry)) + 2 for entry in response]
    total, moved = sum(sizes) + 2, 0
    for place in sorted(range(len(response)), key=lambda place: -sizes[place]):
        if total <= limit:
            break
        base = event.get("outputConfig")
        if not isinstance(base, str) or not base.startswith("s3://"):
            raise PayloadError(
                f"the response has {total:,} bytes, and the event names no outputConfig to put labels into"
            )
        entry = response[place]
        content = entry["consolidatedAnnotation"]["content"]
        name = re.sub(r"[^\w.-]", "_", entry["datasetObjectId"])
        uri = f"{base.rstrip('/')}/consolidated-annotation/output/{name}/{attribute}.json"
        bucket, key = _split(uri)
        key_id = event.get("kmsKeyId")
        secret = (
            {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key_id} if isinstance(key_id, str) and key_id else {}
        )
        body = json.dumps(content[attribute]).encode()
        try:
            s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json", **secret)
        except Exception as error:
            raise PayloadError(f"the label {uri} can't be written: {error}; check the right s3:PutObject") from error
        kept = {name: content[attribute][name] for name in ("label", "confidence") if name in content[attribute]}
        content[attribute] = {**kept, "s3Uri": uri}
        total += len(json.dumps(entry)) + 2 - sizes[place]
        moved += 1
    return moved


def _limit():
    text = os.environ.get("MAX_RESPONSE") or "5000000"
    if not text.isdigit():
        raise PayloadError(f"MAX_RESPONSE is {text!r}; it is a number of bytes")
    return int(text)


def _client(event):
    """Return the S3 client to use: the Lambda's own, or one with the event's role."""
    role = event.get("roleArn")
    if not _flag("ASSUME_ROLE"):
        return S3
    if not isinstance(role, str):
        raise PayloadError("ASSUME_ROLE is set, and the event has no roleArn")
    try:
        given = boto3.client("sts").assume_role(RoleArn=role, RoleSessionName="gandt-post-annotation")["Credentials"]
    except Exception as error:
        raise PayloadError(
            f"the role {role} can't be assumed: {error}; its trust policy must name this Lambda's"
        ) from error
    names = {
        "aws_access_key_id": "AccessKeyId",
        "aws_secret_access_key": "SecretAccessKey",
        "aws_session_token": "SessionToken",
    }
    return boto3.client("s3", config=_CONFIG, **{name: given[key] for name, key in names.items()})


def _flag(name):
    value = os.environ.get(name, "").lower()
    return None if not value else value in ("1", "true", "yes")


def _job(event):
    arn = event.get("labelingJobArn")
    return arn.rsplit("/", 1)[-1] if isinstance(arn, str) else None


def _log(level, message, **fields):
    logger.log(level, json.dumps({"level": logging.getLevelName(level), "message": message, **fields}))
