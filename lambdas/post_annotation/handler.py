"""Post-annotation (consolidation) Lambda of a Ground Truth labeling job: all workers' answers in, one label per object out.

It needs boto3 (in every Lambda runtime) and imports nothing of gandt: zip this file alone. It is stateless and
gives the same response when called twice with the same payload.

The label of a one-item object is

    {"label": "cat", "labels": ["cat"], "confidence": 0.97, "votes": {"cat": 2, "dog": 1}, "workers": 3,
     "answers": [{"workerId": "private...", "labels": ["cat"]}, ...]}

and that of a page is ``{"items": [{"source-ref": ..., "index": 0, <the same keys>}, ...]}``.

Environment (all optional):

``WORKER_QUALITY``   s3:// address (or a path in the package) of a JSON file ``{"<workerId>": <reliability 0..1>, ...}``
``MULTI_SELECT``     "true": every category is a question of its own; by default found from the answers
``ANSWER_FIELD``     name of the form field that holds the answer, where a form has several
``ASSUME_ROLE``      "true": read S3 with the event's roleArn instead of the Lambda's own role
``MAX_RESPONSE``     bytes above which labels go to S3 and the response refers to them; 5,000,000 by default
``LOG_LEVEL``        INFO by default
"""

import json
import logging
import math
import os
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config

logger = logging.getLogger("gandt.post_annotation")
logger.setLevel(
    os.environ.get("LOG_LEVEL", "INFO").upper() if os.environ.get("LOG_LEVEL", "INFO").isalpha() else "INFO"
)

# One client for the life of the Lambda's process. AWS_ENDPOINT_URL_S3 and the like are boto3's own.
S3 = boto3.client("s3", config=Config(retries={"mode": "standard", "max_attempts": 6}, max_pool_connections=16))

# What is taken as a worker's reliability while nothing is known of him, and the bounds within which it is believed.
USUAL_RELIABILITY = 0.8
LEAST, MOST = 0.05, 0.99


class PayloadError(ValueError):
    """The event or its payload breaks the contract as a whole; the message says where."""


class ObjectError(ValueError):
    """One object can't be consolidated; it is set aside, and the rest is returned."""


def lambda_handler(event, context):
    """Return the list of consolidated annotations, one for each object that could be consolidated."""
    if not isinstance(event, dict) or not isinstance(event.get("labelAttributeName"), str):
        raise PayloadError("the event has no labelAttributeName; is this Lambda the job's post-annotation Lambda?")
    job = _job(event)
    s3 = _client(event)
    objects = _payload(event, s3)
    quality = _quality(os.environ.get("WORKER_QUALITY"), s3)
    read = _read_held(objects, s3)
    response, set_aside = consolidate_objects(
        objects,
        event["labelAttributeName"],
        quality=quality,
        categories=_categories(event.get("labelCategories")),
        multi=_flag("MULTI_SELECT"),
        field=os.environ.get("ANSWER_FIELD") or None,
        held=read,
    )
    for object_id, reason in set_aside:
        _log(logging.WARNING, "object set aside", job, object=object_id, reason=reason)
    _shrink(response, event, s3, int(os.environ.get("MAX_RESPONSE") or 5_000_000))
    _log(
        logging.INFO, "batch consolidated", job, objects=len(objects), labelled=len(response), set_aside=len(set_aside)
    )
    return response


# --- the pure part -----------------------------------------------------------------------------------------------


def consolidate_objects(objects, attribute, *, quality=None, categories=(), multi=None, field=None, held=None):
    """Consolidate a payload; return (response, [(object id, reason set aside)])."""
    response, set_aside, done = [], [], set()
    for position, entry in enumerate(objects):
        object_id = (
            str(entry.get("datasetObjectId"))
            if isinstance(entry, dict) and entry.get("datasetObjectId") is not None
            else None
        )
        try:
            if object_id is None:
                raise ObjectError(f"entry {position} of the payload has no datasetObjectId")
            if object_id in done:
                raise ObjectError("it comes twice in the payload; the first is kept")
            label = consolidate_object(
                entry, quality=quality or {}, categories=categories, multi=multi, field=field, held=held or {}
            )
        except ObjectError as error:
            set_aside.append((object_id, str(error)))
            continue
        except RecursionError:
            set_aside.append((object_id, "its answers are nested too deeply"))
            continue
        done.add(object_id)
        response.append({"datasetObjectId": object_id, "consolidatedAnnotation": {"content": {attribute: label}}})
    return response, set_aside


def consolidate_object(entry, *, quality, categories, multi, field, held):
    """Return the label of one object; raise `ObjectError` where no answer can be used."""
    data_object = entry.get("dataObject") if isinstance(entry.get("dataObject"), dict) else {}
    page = page_items(data_object)
    annotations = entry.get("annotations")
    if not isinstance(annotations, list) or not annotations:
        raise ObjectError("it has no annotations")
    answers, problems = {}, []  # worker → decoded content; the first answer of a worker counts
    for number, annotation in enumerate(annotations):
        try:
            worker, content = decode(annotation, held)
        except ObjectError as error:
            problems.append(f"annotation {number}: {error}")
            continue
        answers.setdefault(worker, content)
    if not answers:
        raise ObjectError("; ".join(problems))

    choices = {}  # item's position → {worker: labels}
    for worker, content in answers.items():
        if page:
            for position, item in enumerate(page):
                choices.setdefault(position, {})[worker] = chosen(content.get(f"labels-{item['index']}"))
        else:
            choices.setdefault(0, {})[worker] = answer_labels(content, field)
    if all(not labels for item in choices.values() for labels in item.values()):
        raise ObjectError("all its answers are empty")
    several = (
        multi if multi is not None else any(len(labels) > 1 for item in choices.values() for labels in item.values())
    )
    names = list(categories) or page_categories(data_object)
    labels = [vote(choices[position], quality, names, several) for position in sorted(choices)]
    if not page:
        return labels[0]
    return {
        "items": [
            {**{key: item[key] for key in ("source-ref", "source", "index") if key in item}, **label}
            for item, label in zip(page, labels)
        ]
    }


def decode(annotation, held):
    """Return (worker, decoded answer) of one annotation."""
    if not isinstance(annotation, dict) or not isinstance(annotation.get("workerId"), str):
        raise ObjectError("it has no workerId")
    data = annotation.get("annotationData")
    data = data if isinstance(data, dict) else {}
    content = data.get("content")
    if content is None:
        uri = data.get("s3Uri") or data.get("s3uri")
        content = held.get(uri) if isinstance(uri, str) else None
        if isinstance(content, Exception):
            raise ObjectError(f"{uri} can't be read: {content}")
    if isinstance(content, str):
        try:
            content = json.loads(content)
        except (ValueError, RecursionError):
            raise ObjectError("its content isn't JSON") from None
    if isinstance(content, dict) and isinstance(content.get("annotatedResult"), dict):
        content = content["annotatedResult"]
    if not isinstance(content, dict):
        raise ObjectError("its content isn't a JSON object")
    return annotation["workerId"], content


def page_items(data_object):
    """Return the items of a page (each with its index), or [] for an object of one item."""
    content = data_object.get("content")
    if not isinstance(content, str) or not content.lstrip().startswith("["):
        return []
    try:
        page = json.loads(content)
    except (ValueError, RecursionError):
        return []
    if not isinstance(page, list) or not page or not all(isinstance(item, dict) for item in page):
        return []
    return [{**item, "index": item.get("index", position)} for position, item in enumerate(page)]


def page_categories(data_object):
    """Return the categories that the first item of a page carries."""
    page = page_items(data_object)
    names = page[0].get("event_names") or page[0].get("labels") if page else None
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def answer_labels(content, field):
    """Return the labels a worker chose for an object of one item, from the form's content."""
    if field is not None:
        return chosen(content.get(field))
    fields = {key: value for key, value in content.items() if key != "workerComment"}
    for value in fields.values():  # a classifier's own output before all else
        if isinstance(value, dict) and ("label" in value or "labels" in value) and "boundingBoxes" not in value:
            return chosen(value)
    for value in fields.values():  # then radio buttons and boxes
        if isinstance(value, dict) and value and all(isinstance(flag, bool) for flag in value.values()):
            return chosen(value)
    for key in ("label", "labels", "labels-0", *fields):
        if chosen(fields.get(key)):
            return chosen(fields[key])
    return []


def chosen(value):
    """Return the chosen labels in a form field's value, without repeats; [] for an empty answer."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):  # JSON in a hidden input stays a string
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            pass
    if isinstance(value, dict):
        if "labels" in value or "label" in value:
            return chosen(value["labels"] if "labels" in value else value["label"])
        if value and all(isinstance(flag, bool) for flag in value.values()):
            return [str(name) for name, flag in value.items() if flag]
        return [json.dumps(value, sort_keys=True, ensure_ascii=False)] if value else []
    if isinstance(value, list):
        names = [
            entry if isinstance(entry, str) else json.dumps(entry, sort_keys=True, ensure_ascii=False)
            for entry in value
        ]
        return list(dict.fromkeys(name.strip() for name in names if name.strip()))
    if value is None or (isinstance(value, str) and not value.strip()):
        return []
    return [value.strip() if isinstance(value, str) else json.dumps(value)]


def vote(choices, quality, categories, multi):
    """Return label, confidence, votes and answers of one item from ``{worker: labels}``.

    Each answer is weighed by Bayes' rule with the worker's reliability (one-coin model, uniform prior over the categories);
    a worker no better than chance weighs nothing. With ``multi`` each category is a yes-or-no question of its own.
    """
    given = {worker: labels for worker, labels in choices.items() if labels}
    votes = {}
    for labels in given.values():
        for name in labels:
            votes[name] = votes.get(name, 0) + 1
    order = [*(name for name in categories if name in votes), *sorted(name for name in votes if name not in categories)]
    votes = {name: votes[name] for name in order}
    answers = [{"workerId": worker, "labels": labels} for worker, labels in choices.items()]
    result = {
        "label": None,
        "labels": [],
        "confidence": None,
        "votes": votes,
        "workers": len(given),
        "answers": answers,
    }
    if not given:
        return result
    if multi:
        weight = {worker: _weight(quality.get(worker), 2) for worker in given}
        sure = {}
        for name in order:
            odds = sum(weight[worker] if name in labels else -weight[worker] for worker, labels in given.items())
            sure[name] = 1 / (1 + math.exp(-odds))
        picked = [name for name in order if sure[name] > 0.5] or [max(order, key=lambda name: sure[name])]
        picked.sort(key=lambda name: -sure[name])
        right = math.prod(sure[name] if name in picked else 1 - sure[name] for name in order)
        result |= {"confidence-map": {name: round(sure[name], 4) for name in order}}
    else:
        classes = max(len(set(categories) | set(votes)), 2)
        score = dict.fromkeys(order, 0.0)
        for worker, labels in given.items():
            for name in labels:
                score[name] += _weight(quality.get(worker), classes) / len(labels)
        best = max(order, key=lambda name: (score[name], votes[name]))
        rest = sum(math.exp(score[name] - score[best]) for name in order) + (classes - len(order)) * math.exp(
            -score[best]
        )
        picked, right = [best], 1 / rest
    return result | {"label": picked[0], "labels": picked, "confidence": round(right, 4)}


def _weight(reliability, classes):
    """Return the logarithm of an answer's odds, 0 for a worker no better than chance."""
    known = isinstance(reliability, (int, float)) and not isinstance(reliability, bool) and math.isfinite(reliability)
    right = min(max(reliability if known else USUAL_RELIABILITY, LEAST), MOST)
    return max(math.log(right * (classes - 1) / (1 - right)), 0.0)


# --- what touches the world --------------------------------------------------------------------------------------


def _payload(event, s3):
    payload = event.get("payload")
    uri = payload.get("s3Uri") if isinstance(payload, dict) else None
    if isinstance(uri, str):
        try:
            objects = json.loads(_read(uri, s3))
        except (ValueError, RecursionError):
            raise PayloadError(f"the payload {uri} isn't JSON") from None
    else:
        uri, objects = "in the event", event.get("test_payload")
    if not isinstance(objects, list):
        raise PayloadError(f"the payload {uri} isn't a list of objects")
    return objects


def _read_held(objects, s3):
    """Read the annotations that are held in S3: {address: bytes or the exception}."""
    uris = set()
    for entry in objects:
        annotations = entry.get("annotations") if isinstance(entry, dict) else None
        for annotation in annotations if isinstance(annotations, list) else []:
            data = annotation.get("annotationData") if isinstance(annotation, dict) else None
            if isinstance(data, dict) and data.get("content") is None:
                uri = data.get("s3Uri") or data.get("s3uri")
                if isinstance(uri, str):
                    uris.add(uri)
    if not uris:
        return {}

    def read(uri):
        try:
            return _read(uri, s3)
        except Exception as error:  # one unreadable annotation sets its object aside, not the batch
            return error

    with ThreadPoolExecutor(16) as pool:
        return dict(zip(uris, pool.map(read, uris)))


def _read(uri, s3):
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket or not key:
        raise PayloadError(f"{uri[:200]!r} is not an S3 address")
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode("utf-8-sig")


def _quality(where, s3):
    if not where:
        return {}
    try:
        if where.startswith("s3://"):
            quality = json.loads(_read(where, s3))
        else:
            with open(where, encoding="utf-8") as file:
                quality = json.load(file)
    except ValueError:
        raise PayloadError(f"WORKER_QUALITY {where} isn't JSON") from None
    if not isinstance(quality, dict):
        raise PayloadError(f"WORKER_QUALITY {where} isn't a JSON object of worker and reliability")
    return quality


def _shrink(response, event, s3, limit):
    """Move the largest labels to S3, leaving a reference, until the response fits Lambda's 6 MB."""
    sizes = [len(json.dumps(entry)) + 2 for entry in response]
    total = sum(sizes)
    if total <= limit:
        return
    base = event.get("outputConfig")
    if not isinstance(base, str) or not base.startswith("s3://"):
        raise PayloadError(f"the response has {total:,} bytes, and the event names no outputConfig to put labels into")
    attribute = event["labelAttributeName"]
    for place in sorted(range(len(response)), key=lambda place: -sizes[place]):
        if total <= limit:
            break
        entry = response[place]
        label = entry["consolidatedAnnotation"]["content"][attribute]
        uri = f"{base.rstrip('/')}/consolidated-annotation/output/{entry['datasetObjectId']}/{attribute}.json"
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        key_id = event.get("kmsKeyId")
        secret = (
            {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key_id} if isinstance(key_id, str) and key_id else {}
        )
        s3.put_object(
            Bucket=bucket,
            Key=key,
            Body=json.dumps(label, ensure_ascii=False).encode(),
            ContentType="application/json",
            **secret,
        )
        kept = {key: label[key] for key in ("label", "labels", "confidence") if key in label}
        entry["consolidatedAnnotation"]["content"][attribute] = {**kept, "s3Uri": uri}
        total += len(json.dumps(entry)) + 2 - sizes[place]


def _client(event):
    role = event.get("roleArn")
    if not _flag("ASSUME_ROLE") or not isinstance(role, str):
        return S3
    given = boto3.client("sts").assume_role(RoleArn=role, RoleSessionName="gandt-post-annotation")["Credentials"]
    return boto3.client(
        "s3",
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )


def _categories(value):
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _flag(name):
    value = os.environ.get(name, "").lower()
    return None if not value else value in ("1", "true", "yes")


def _job(event):
    arn = event.get("labelingJobArn")
    return arn.rsplit("/", 1)[-1] if isinstance(arn, str) else None


def _log(level, message, job, **fields):
    logger.log(level, json.dumps({"message": message, "job": job, **fields}, ensure_ascii=False))
