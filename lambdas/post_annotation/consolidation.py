"""From workers' answers to labels: pure functions of the post-annotation Lambda.

What a form field means is the same as in gandt/answers/content.py; a test holds the two together.
"""

import contextlib
import json
import math
import unicodedata

# What is taken as a worker's reliability while nothing is known of him, and the bounds within which it is believed.
USUAL_RELIABILITY = 0.8
LEAST, MOST = 0.05, 0.99
# Workers' errors on an item depend on each other: the log odds of n answers are divided by √(1 + DEPENDENCE n), as in
# gandt/consensus/calibration.py; a test holds the two together.
DEPENDENCE = 2.0

TILE_FIELDS = ("labels-0", "boxes-0")


class ObjectError(ValueError):
    """One object can't be consolidated; it is set aside, and the rest is returned."""


def consolidate_objects(objects, attribute, *, quality=None, categories=(), multi=None, field=None, held=None):
    """Consolidate a payload; return (response, objects set aside, annotations unread)."""
    response, set_aside, unread, done = [], [], [], set()
    for position, entry in enumerate(objects):
        object_id = entry.get("datasetObjectId") if isinstance(entry, dict) else None
        if object_id is None or not isinstance(object_id, (str, int)):
            set_aside.append((f"(entry {position})", "it has no datasetObjectId"))
            continue
        object_id = str(object_id)
        if object_id in done:
            set_aside.append((object_id, "it comes again in the payload; the first is kept"))
            continue
        try:
            label, problems = consolidate_object(entry, quality or {}, categories, multi, field, held or {})
        except ObjectError as error:
            set_aside.append((object_id, str(error)))
            continue
        except RecursionError:
            set_aside.append((object_id, "its answers are nested too deeply"))
            continue
        done.add(object_id)
        unread += [(object_id, problem) for problem in problems]
        response.append({"datasetObjectId": object_id, "consolidatedAnnotation": {"content": {attribute: label}}})
    return response, set_aside, unread


def consolidate_object(entry, quality, categories, multi, field, held):
    """Return the label of one object and what is wrong with single annotations; raise `ObjectError` where all are."""
    data_object = entry.get("dataObject")
    page = page_items(data_object.get("content")) if isinstance(data_object, dict) else []
    annotations = entry.get("annotations")
    if not isinstance(annotations, list) or not annotations:
        raise ObjectError("it has no annotations")
    forms, problems = {}, []  # worker → form; a worker's first answer counts
    for number, annotation in enumerate(annotations):
        try:
            worker, form = decode(annotation, held)
        except ObjectError as error:
            problems.append(f"annotation {number}: {error}")
        else:
            forms.setdefault(worker, form)
    if not forms:
        raise ObjectError("; ".join(problems))

    if page:
        choices = [{worker: tile_labels(form, item["index"]) for worker, form in forms.items()} for item in page]
    else:
        choices = [{worker: answer_labels(form, field) for worker, form in forms.items()}]
    given = [labels for item in choices for labels in item.values()]
    if not any(given):
        raise ObjectError("all its answers are empty")
    if multi is None:
        multi = any(len(labels) > 1 for labels in given)
    names = list(categories) or (page_categories(page) if page else [])
    labels = [vote(item, quality, names, multi) for item in choices]
    if not page:
        return labels[0], problems
    shown = [{key: item[key] for key in ("source-ref", "source", "index") if key in item} for item in page]
    return {"items": [{**item, **label} for item, label in zip(shown, labels, strict=True)]}, problems


def held_uris(objects):
    """Return the addresses of annotations that are held in S3 instead of in the payload."""
    uris = {}
    for entry in objects:
        annotations = entry.get("annotations") if isinstance(entry, dict) else None
        for annotation in annotations if isinstance(annotations, list) else []:
            data = annotation.get("annotationData") if isinstance(annotation, dict) else None
            if isinstance(data, dict) and data.get("content") is None:
                uri = data.get("s3Uri") or data.get("s3uri")  # documented, and as AWS's own code reads it
                if isinstance(uri, str):
                    uris[uri] = None
    return list(uris)


def decode(annotation, held):
    """Return (worker, form) of one annotation; the form is JSON in a string, inline or held in S3."""
    if (
        not isinstance(annotation, dict)
        or not isinstance(annotation.get("workerId"), str)
        or not annotation["workerId"]
    ):
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


def page_items(source):
    """Return the items of a page from the JSON list in its ``source``, each with its index; [] for any other text."""
    if not isinstance(source, str) or not source.lstrip().startswith("["):
        return []
    try:
        page = json.loads(source)
    except (ValueError, RecursionError):
        return []
    if not isinstance(page, list) or not page or not all(isinstance(item, dict) for item in page):
        return []
    return [{**item, "index": item.get("index", position)} for position, item in enumerate(page)]


def page_categories(page):
    """Return the categories that the first item of a page carries."""
    names = page[0].get("event_names") or page[0].get("labels")
    names = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    other = page[0].get("other_category_label")
    return [*names, other] if names and isinstance(other, str) and other else names


def answer_labels(form, field=None):
    """Return the labels that a worker gave to an object of one item; ``field`` is `answer_field`'s by default."""
    name = field if field is not None else answer_field(form)
    return chosen(form.get(name)) if name is not None else []


def answer_field(form):
    """Return the name of the field that holds the answer about an object of one item, None where there is none."""
    fields = {name: value for name, value in form.items() if name != "workerComment" and value is not None}
    for name in TILE_FIELDS:  # gandt's own templates
        if name in fields:
            return name
    for name, value in fields.items():  # a classifier's own output
        if isinstance(value, dict) and ("label" in value or "labels" in value):
            return name
    for name, value in fields.items():  # radio buttons and boxes
        if isinstance(value, dict) and value and all(isinstance(flag, bool) for flag in value.values()):
            return name
    return next((name for name in ("label", "labels", *fields) if chosen(fields.get(name))), None)


def tile_labels(form, index):
    """Return the labels that a worker gave to the item of a page that has this index."""
    value = form.get(f"labels-{index}")
    return chosen(value if value is not None else form.get(f"boxes-{index}"))


def chosen(value):
    """Return the labels chosen in one form field, without repeats; [] for an empty answer."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):  # JSON in a hidden input stays a string
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(value)
    if isinstance(value, dict):
        if "labels" in value or "label" in value:
            return chosen(value["labels"] if "labels" in value else value["label"])
        if value and all(isinstance(flag, bool) for flag in value.values()):
            value = [name for name, flag in value.items() if flag]
        else:
            value = [value] if value else []
    names = value if isinstance(value, list) else [] if value is None else [value]
    names = [name if isinstance(name, str) else json.dumps(name, sort_keys=True) for name in names]
    # a lone surrogate can't be written as UTF-8: it would lose the whole table later
    names = [unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode()).strip() for name in names]
    return list(dict.fromkeys(name for name in names if name))


def vote(choices, quality, categories, multi):
    """Return label, confidence, votes and answers of one item from ``{worker: labels}``.

    Each answer weighs by Bayes' rule with its worker's reliability (one-coin model, uniform prior over categories),
    discounted as ``gandt consensus`` discounts; a worker no better than chance weighs nothing. With ``multi`` each
    category is a yes-or-no question of its own, and the confidence is the probability that the whole set is right.

    The confidence is of what is known when one object is done. ``gandt consensus`` knows the whole job's answers: it
    learns from them how reliable each worker is and how classes are confused, so its confidence is the later one.
    """
    given = {worker: labels for worker, labels in choices.items() if labels}
    counts = {}
    for labels in given.values():
        for name in labels:
            counts[name] = counts.get(name, 0) + 1
    order = [*(name for name in categories if name in counts), *sorted(set(counts) - set(categories))]
    order = list(dict.fromkeys(order))
    result = {"label": None, "labels": [], "confidence": None, "votes": {name: counts[name] for name in order}}
    result["workers"] = len(given)
    result["answers"] = [{"workerId": worker, "labels": labels} for worker, labels in choices.items()]
    if not given:
        return result
    discount = 1 / math.sqrt(1 + DEPENDENCE * len(given))
    if multi:
        weights = {worker: _weight(quality.get(worker), 2) for worker in given}
        odds = {
            name: sum(weights[worker] if name in labels else -weights[worker] for worker, labels in given.items())
            for name in order
        }
        sure = {name: _chance(odds[name] * discount) for name in order}
        # nobody chose nothing: so the likeliest category stands where none reaches one half
        picked = [name for name in order if sure[name] > 0.5] or [max(order, key=lambda name: sure[name])]
        picked.sort(key=lambda name: -sure[name])
        # the whole set's odds are discounted once, not once for each category
        right = math.prod(_chance(odds[name] if name in picked else -odds[name]) for name in order)
        right = _chance(discount * math.log(max(right, 1e-300) / max(1 - right, 1e-12)))
        result["confidence-map"] = {name: round(sure[name], 4) for name in order}
    else:
        classes = max(len(set(categories) | set(counts)), 2)
        score = dict.fromkeys(order, 0.0)
        for worker, labels in given.items():
            for name in labels:
                score[name] += _weight(quality.get(worker), classes) / len(labels)
        best = max(order, key=lambda name: (score[name], counts[name]))
        rest = sum(math.exp(discount * (score[name] - score[best])) for name in order)
        picked, right = [best], 1 / (rest + (classes - len(order)) * math.exp(-discount * score[best]))
    return result | {"label": picked[0], "labels": picked, "confidence": round(right, 4)}


def _chance(odds):
    """Return the probability that has these log odds."""
    return 1 / (1 + math.exp(-min(max(odds, -700.0), 700.0)))


def _weight(reliability, classes):
    """Return the logarithm of an answer's odds, 0 for a worker no better than chance."""
    known = isinstance(reliability, (int, float)) and not isinstance(reliability, bool) and reliability == reliability
    right = min(max(reliability if known else USUAL_RELIABILITY, LEAST), MOST)
    return max(math.log(right * (classes - 1) / (1 - right)), 0.0)
