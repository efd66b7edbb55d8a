"""Presigned addresses, in both of boto3's forms: the signature must be right, and its time not over.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html and
https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html
"""

import base64
import hashlib
import hmac
from calendar import timegm
from collections.abc import Mapping, Sequence
from time import strptime
from urllib.parse import quote

# what of the query the older form signs, with their values
_SIGNED = {
    *("acl", "cors", "delete", "lifecycle", "location", "logging", "notification", "partNumber", "policy"),
    *("requestPayment", "tagging", "torrent", "uploadId", "uploads", "versionId", "versioning", "versions", "website"),
    *("response-content-type", "response-content-language", "response-expires", "response-cache-control"),
    *("response-content-disposition", "response-content-encoding"),
}
Query = Sequence[tuple[str, str]]


def refusal(
    secrets: Mapping[str, str],
    method: str,
    path: str,
    query: Query,
    headers: Mapping[str, str],
    now: float,
    *,
    bucket: str = "",
) -> str:
    """Say in S3's code why a presigned address isn't good, '' when it is.

    Parameters
    ----------
    secrets : mapping of str to str
        The secret access keys by access key id.
    path : str
        Of the address, percent-encoded as it was sent.
    query : sequence of (str, str)
        Decoded.
    bucket : str
        Where the host's name has it and not the path.
    """
    values = dict(query)
    try:
        if "X-Amz-Signature" in values:
            key, day, region, service, _ = values["X-Amz-Credential"].rsplit("/", 4)
            begins = timegm(strptime(values["X-Amz-Date"], "%Y%m%dT%H%M%SZ"))
            ends, signature = begins + int(values["X-Amz-Expires"]), values["X-Amz-Signature"]
            good = _v4(secrets.get(key, ""), method, path, query, headers, (day, region, service))
        else:
            key, ends, signature = values["AWSAccessKeyId"], int(values["Expires"]), values["Signature"]
            good = _v2(secrets.get(key, ""), method, f"/{bucket}{path}" if bucket else path, query, headers)
    except (KeyError, ValueError):
        return "AuthorizationQueryParametersError"
    if key not in secrets:
        return "InvalidAccessKeyId"
    if not hmac.compare_digest(signature.encode(), good.encode()):
        return "SignatureDoesNotMatch"
    return "AccessDenied" if now > ends else ""


def _v4(
    secret: str, method: str, path: str, query: Query, headers: Mapping[str, str], scope: tuple[str, str, str]
) -> str:
    values = dict(query)
    encoded = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in query)
    canonical = "&".join(f"{name}={value}" for name, value in encoded if name != "X-Amz-Signature")
    names = values["X-Amz-SignedHeaders"]
    lines = [f"{name}:{' '.join(headers.get(name, '').split())}" for name in names.split(";")]
    request = "\n".join([method, path, canonical, *lines, "", names, "UNSIGNED-PAYLOAD"])
    place = f"{'/'.join(scope)}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", values["X-Amz-Date"], place, hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for part in (*scope, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _v2(secret: str, method: str, path: str, query: Query, headers: Mapping[str, str]) -> str:
    own = sorted((name, value) for name, value in query if name in _SIGNED)
    resource = path + "?" * bool(own) + "&".join(f"{name}={value}" if value else name for name, value in own)
    amz = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers) if name.startswith("x-amz-"))
    md5, kind = headers.get("content-md5", ""), headers.get("content-type", "")
    text = f"{method}\n{md5}\n{kind}\n{dict(query)['Expires']}\n{amz}{resource}"
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha1).digest()).decode()
