"""Send images to S3: in parallel, and never the same content twice.

An object's key is a hash of what is sent, so a second run finds what is there already, an interrupted one goes on
where it stopped, and neither a folder's name (often the answer!) nor a hostile file name reaches a worker.
"""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pandas as pd

from gandt import storage
from gandt.arguments import checked
from gandt.errors import InputError, StorageError
from gandt.images import BadImageError
from gandt.manifest.copies import CONTENT_TYPES, VERSION, carry_out, plan
from gandt.manifest.online import allows_get, cors_rules
from gandt.progress import track

# https://docs.aws.amazon.com/sagemaker/latest/dg/sms-cors-update.html
CORS_RULE = {
    "AllowedHeaders": [],
    "AllowedMethods": ["GET"],
    "AllowedOrigins": ["*"],
    "ExposeHeaders": ["Access-Control-Allow-Origin"],
}


@dataclass(frozen=True)
class Upload:
    """What became of the items.

    Attributes
    ----------
    uris : dict of str to str
        Item → ``s3://`` address; items of the same content share one.
    set_aside : pandas.DataFrame
        ``item, reason`` of items that can't be shown, and so weren't sent.
    sent, already : int
        Objects sent now, and objects that were there.
    size : int
        Bytes sent now.
    """

    uris: dict[str, str]
    set_aside: pd.DataFrame
    sent: int
    already: int
    size: int


@checked
def upload_images(items: Sequence[str], base: str, *, s3: Any = None, **options: Any) -> dict[str, str]:
    """Upload local images under ``base`` and return where each item lies; see :func:`upload` for the options.

    Raises
    ------
    InputError
        When an item can't be shown to workers: all others are sent, and this names the first.
    StorageError
        When S3 refuses.
    """
    done = upload(items, base, s3=s3, **options)
    if len(done.set_aside):
        first = done.set_aside.iloc[0]
        raise InputError(
            f"{len(done.set_aside):,} of {len(items):,} items can't be shown to workers, the first is {first['item']} "
            f"({first['reason']}); leave them out (all others are sent already)"
        )
    return done.uris


@checked
def upload(
    items: Sequence[str],
    base: str,
    *,
    s3: Any = None,
    workers: int = 32,
    max_side: int | None = None,
    strip: bool = False,
    kms_key: str | None = None,
) -> Upload:
    """Send images to S3 in parallel, each content once.

    Files that browsers show rightly are sent as they are. Of turned (EXIF), CMYK, 16-bit, HEIC, TIFF and animated
    pictures an upright 8-bit RGB copy is sent (of animations the first frame, which is what was embedded); what can't
    be read is set aside with the reason. Sounds (.mp3, .wav, .ogg, …) are sent as they are.

    Parameters
    ----------
    items : sequence of str
        Local paths. ``s3://`` addresses stay where they are, unless a copy is wanted (``max_side`` or ``strip``): the
        copy then keeps its source's server-side encryption.
    base : str
        S3 prefix to send to. The bucket's default encryption applies, unless ``kms_key`` says otherwise.
    s3 : optional
        A boto3 S3 client.
    workers : int
        Files on their way at once.
    max_side : int, optional
        Send copies whose longer side is at most this many pixels.
    strip : bool
        Remove EXIF, GPS position and other metadata; JPEG and PNG keep every pixel.
    kms_key : str, optional
        Encrypt what is sent with this KMS key (SSE-KMS).

    Returns
    -------
    Upload

    Raises
    ------
    InputError
        When an option makes no sense.
    StorageError
        When S3 refuses; what was sent stays, and the same call goes on from there.
    """
    if max_side is not None and max_side < 16:
        raise InputError(f"max_side is {max_side}; workers need to see something: give at least 16 pixels")
    client = s3 or storage.default_s3()
    prefix = base.rstrip("/") + "/"
    bucket, _ = storage.split_s3(prefix)
    recipe = json.dumps([VERSION, max_side, strip]).encode() if max_side is not None or strip else b""
    there = set(storage.list_uris(prefix, s3=client))
    sending: dict[str, Future[str]] = {}  # address → why it failed, "" when it lies there
    own = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}

    def send(item: str) -> tuple[str, int | None] | str:
        """Return (address, bytes sent or None), or the reason why the item is set aside."""
        if storage.is_s3(item) and not recipe:
            return item, None
        try:
            content, secret = _read(item, client)
            made = plan(content, item, max_side=max_side, strip=strip)
        except (BadImageError, StorageError) as error:
            return str(error)
        uri = prefix + hashlib.sha256(content + recipe + made.recipe).hexdigest() + made.suffix
        if uri in there:
            return uri, None
        mine: Future[str] = Future()
        first = sending.setdefault(uri, mine)
        if first is not mine:  # the same content is on its way: its fate is this one's too
            reason = first.result()
            return reason or (uri, None)
        reason = "sending it failed"
        try:
            copy = carry_out(made, content, max_side=max_side, strip=strip)
            with storage.explained("write", uri):
                key = uri.removeprefix(f"s3://{bucket}/")
                head = {"ContentType": CONTENT_TYPES[made.suffix], **secret, **own}
                storage.patiently(lambda: client.put_object(Bucket=bucket, Key=key, Body=copy, **head))
            reason = ""
        except BadImageError as error:
            reason = str(error)
        finally:
            mine.set_result(reason)
        return reason or (uri, len(copy))

    unique = list(dict.fromkeys(items))
    uris: dict[str, str] = {}
    aside: list[tuple[str, str]] = []
    sizes: list[int] = []
    pool = ThreadPoolExecutor(workers)
    try:
        for item, result in zip(unique, track(pool.map(send, unique), "uploading", len(unique)), strict=True):
            if isinstance(result, str):
                aside.append((item, result))
            else:
                uris[item], size = result
                sizes += [size] if size is not None else []
    finally:  # after Ctrl-C or a refusal don't go through the queue
        pool.shutdown(cancel_futures=True)
    already = len(set(uris.values())) - len(sizes)
    return Upload(uris, pd.DataFrame(aside, columns=["item", "reason"], dtype=str), len(sizes), already, sum(sizes))


def _read(item: str, s3: Any) -> tuple[bytes, dict[str, str]]:
    """Return an item's content and, for an object of S3, the encryption that its copy shall keep."""
    if not storage.is_s3(item):
        return storage.read_bytes(item), {}
    with storage.explained("read", item):
        content, found = storage.get(item, s3=s3)
    kept = {name: found[name] for name in ("ServerSideEncryption", "SSEKMSKeyId") if found.get(name)}
    return content, kept


@checked
def set_cors(uri: str, *, s3: Any = None) -> bool:
    """Let pages of any origin read the bucket of ``uri``, as Ground Truth's worker pages need; other rules stay.

    Returns
    -------
    bool
        Whether a rule was added; False where one was there already.

    Raises
    ------
    StorageError
        When S3 refuses.
    """
    client = s3 or storage.default_s3()
    bucket, _ = storage.split_s3(uri)
    with storage.explained("set the CORS rules of", f"s3://{bucket}"):
        rules = cors_rules(bucket, client)
        if allows_get(rules):
            return False
        client.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [*rules, CORS_RULE]})
    return True
