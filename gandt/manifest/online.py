"""What only S3 can tell about a manifest: objects, regions, CORS."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gandt import storage
from gandt.errors import StorageError
from gandt.progress import Meter

MAX_IMAGE = 40_000_000  # bytes, of built-in image tasks
_LISTED = 1_000  # keys in one answer of ListObjectsV2

Row = tuple[int, str, str, str]  # line, severity, rule, sentence


def check_objects(manifest: str, addresses: Mapping[str, int], *, s3: Any, region: str | None = None) -> list[Row]:
    """Ask S3 about the objects that a manifest shows.

    Parameters
    ----------
    manifest : str
        The manifest's own address (its bucket must be in the region too).
    addresses : mapping of str to int
        S3 address → line.
    s3
        A boto3 S3 client.
    region : str, optional
        The job's region; without it, all buckets must be in the same one.

    Returns
    -------
    list of (line, severity, rule, problem)
    """
    by_bucket: dict[str, dict[str, int]] = defaultdict(dict)
    for uri, line in addresses.items():
        bucket, key = storage.split_s3(uri)
        by_bucket[bucket][key] = line
    rows: list[Row] = []
    homes: dict[str, str] = {}
    for bucket in [*by_bucket, *([storage.split_s3(manifest)[0]] if storage.is_s3(manifest) else [])]:
        if bucket in homes:
            continue
        line = min(by_bucket.get(bucket, {"": 0}).values())
        try:
            homes[bucket] = _region(bucket, s3)
        except StorageError as error:
            rows.append((line, "error", "bucket", str(error)))
            by_bucket.pop(bucket, None)
            continue
        if bucket in by_bucket:
            rows += [(line, *problem) for problem in check_cors(bucket, s3=s3)]
    for bucket, home in homes.items():
        if region is not None and home != region:
            rows.append((0, "error", "region", f"bucket {bucket} is in {home}; the job's region is {region}"))
    if region is None and len(set(homes.values())) > 1:
        where = ", ".join(f"{bucket} in {home}" for bucket, home in sorted(homes.items()))
        rows.append((0, "error", "region", f"the buckets are in several regions, and a job takes one: {where}"))
    with Meter("asking S3", len(addresses)) as meter:
        for bucket, keys in by_bucket.items():
            rows += _objects(bucket, keys, s3, meter)
    return rows


def find_objects(addresses: Mapping[str, int], *, s3: Any) -> list[Row]:
    """Ask S3 about a few objects: an error for each that isn't there, a warning where S3 doesn't let us look."""
    rows: list[Row] = []
    for uri, line in addresses.items():
        bucket, key = storage.split_s3(uri)
        try:
            size = s3.head_object(Bucket=bucket, Key=key)["ContentLength"]
        except Exception as error:
            code = storage.error_code(error)
            if code is None and not type(error).__module__.startswith("botocore"):
                raise
            if code in ("404", "NoSuchKey", "NoSuchBucket", "NotFound"):
                rows.append((line, "error", "object", f"can't read {uri}: there is no such object"))
            else:
                rows.append((line, "warning", "object", f"can't look at {uri}: {storage.reason(error)}"))
            continue
        rows += _judged(bucket, key, line, size)
    return rows


def check_cors(bucket: str, *, s3: Any) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with a bucket's CORS; without it browsers can't show the images rightly turned."""
    try:
        with storage.explained("read the CORS rules of", f"s3://{bucket}"):
            rules = cors_rules(bucket, s3)
    except StorageError as error:
        yield "warning", "CORS", f"{error}; see for yourself that GET is allowed from every origin"
        return
    if not allows_get(rules):
        yield (
            "error",
            "CORS",
            f"bucket {bucket} doesn't allow GET from every origin; gandt manifest upload --cors sets it",
        )


def cors_rules(bucket: str, s3: Any) -> list[dict[str, Any]]:
    """Return a bucket's CORS rules, none where none are set."""
    try:
        rules: list[dict[str, Any]] = s3.get_bucket_cors(Bucket=bucket)["CORSRules"]
    except Exception as error:
        if _code(error) == "NoSuchCORSConfiguration":
            return []
        raise
    return rules


def allows_get(rules: list[dict[str, Any]]) -> bool:
    """Tell whether CORS rules let a page of any origin read objects."""
    return any("GET" in rule.get("AllowedMethods", []) and "*" in rule.get("AllowedOrigins", []) for rule in rules)


def _region(bucket: str, s3: Any) -> str:
    with storage.explained("reach the bucket", f"s3://{bucket}"):
        head = s3.head_bucket(Bucket=bucket)
        home = head.get("BucketRegion") or s3.get_bucket_location(Bucket=bucket).get("LocationConstraint")
    return home or "us-east-1"


def _objects(bucket: str, keys: dict[str, int], s3: Any, meter: Meter) -> list[Row]:
    """Find what is absent, unreadable, empty or large: by listing where many lie together, else one by one."""
    folders: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        folders[key.rpartition("/")[0]].append(key)
    alone: list[str] = []
    rows: list[Row] = []
    for folder, members in folders.items():
        members.sort()
        sizes = _listed(bucket, folder, members, s3) if len(members) > 50 else None
        if sizes is None:
            alone += members
            continue
        alone.append(members[0])  # a listing doesn't tell whether objects may be read: ask for one
        for key in members[1:]:
            rows += _judged(bucket, key, keys[key], sizes.get(key))
        meter.step(len(members) - 1)

    def head(key: str) -> list[Row]:
        uri = f"s3://{bucket}/{key}"
        try:
            with storage.explained("read", uri):
                size = s3.head_object(Bucket=bucket, Key=key)["ContentLength"]
        except StorageError as error:
            return [(keys[key], "error", "object", str(error))]
        return _judged(bucket, key, keys[key], size)

    with ThreadPoolExecutor(32) as pool:
        for found in pool.map(head, alone):
            rows += found
            meter.step()
    return rows


def _listed(bucket: str, folder: str, members: list[str], s3: Any) -> dict[str, int] | None:
    """Return the sizes of the objects from the first to the last of ``members``; None where that is the longer way."""
    sizes: dict[str, int] = {}
    asked = {"Bucket": bucket, "Prefix": f"{folder}/" if folder else "", "StartAfter": members[0][:-1]}
    try:
        pages = s3.get_paginator("list_objects_v2").paginate(**asked)
        for number, page in enumerate(pages):
            sizes |= {entry["Key"]: entry["Size"] for entry in page.get("Contents", [])}
            if not page.get("Contents") or page["Contents"][-1]["Key"] >= members[-1]:
                return sizes
            if number * 2 > len(members):  # a crowded folder: the listing costs more than it saves
                return None
    except Exception as error:
        if _code(error) is None:
            raise
        return None  # no right to list
    return sizes


def _judged(bucket: str, key: str, line: int, size: int | None) -> list[Row]:
    uri = f"s3://{bucket}/{key}"
    if size is None:
        return [(line, "error", "object", f"can't read {uri}: there is no such object")]
    if size == 0:
        return [(line, "error", "object", f"{uri} is empty (0 bytes)")]
    if size > MAX_IMAGE:
        return [(line, "warning", "object", f"{uri} has {size:,} bytes; built-in image tasks take {MAX_IMAGE:,}")]
    return []


def _code(error: Exception) -> str | None:
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else None
