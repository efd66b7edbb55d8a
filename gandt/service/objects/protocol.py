"""S3's REST protocol over an :class:`ObjectFolder`: what boto3, the AWS CLI and Lambdas send, answered as S3 does.

A request must be signed. Of a signature in headers only the form is looked at: whoever reaches this port of the
loopback interface is trusted, save pages of other sites in a browser, which can't send that header. A presigned address
must be right, since any page can show one. What isn't there is refused by name (``NotImplemented``), never ignored.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
"""

import re
import secrets
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from gandt.service.objects.answers import (
    Sent,
    byte_range,
    check_conditions,
    copy_result,
    cors,
    iso,
    own_headers,
    preflight,
    read_xml,
    text,
    xml,
)
from gandt.service.objects.body import S3Error, copied, join, receive
from gandt.service.objects.folder import Content, Object, ObjectFolder
from gandt.service.objects.signed import refusal
from gandt.service.objects.sts import answer as sts
from gandt.service.objects.sts import temporary_key

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
# parts of the query that say how a plain operation is done, beside X-Amz-*
_OPTIONS = re.compile(
    r"x-id|content-.*|x-amz-.*|prefix|delimiter|marker|max-keys|list-type|start-after|continuation-token|encoding-type|"
    r"fetch-owner|response-.*|awsaccesskeyid|signature|expires|uploadid|partnumber|max-uploads|key-marker|"
    r"upload-id-marker|part-number-marker|max-parts|max-buckets"
)
_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",  # no content becomes a page of ours
}


class Protocol:
    """The ASGI application of one folder.

    Parameters
    ----------
    folder : ObjectFolder
        What is served.
    keys : mapping of str to str
        Secret access keys by access key id, for presigned addresses.
    clock : callable
        Seconds since 1970.
    """

    def __init__(self, folder: ObjectFolder, keys: Mapping[str, str], clock: Callable[[], float] = time.time) -> None:
        self._folder, self._clock = folder, clock
        self._role = temporary_key()
        self._keys = {**keys, self._role[0]: self._role[1]}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except S3Error as error:
            body = f"<Error><Code>{error.code}</Code><Message>{text(str(error))}</Message></Error>"
            response = xml(body, error.status)
            if request.method in ("PUT", "POST"):  # its body may be unread, or may never come
                response.headers["connection"] = "close"
        except ClientDisconnect:
            return
        response.headers["x-amz-request-id"] = secrets.token_hex(8).upper()
        for name, value in _SAFE.items():
            response.headers[name] = value
        if response.status_code == 304 or (request.method == "HEAD" and response.status_code >= 300):
            response = Response(status_code=response.status_code)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        raw = request.scope.get("raw_path", request.url.path.encode()).decode("latin-1")
        host = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
        if host not in ("127.0.0.1", "localhost", "[::1]") and not host.endswith(".localhost"):
            raise S3Error(400, "InvalidRequest", "this host isn't served here")  # a name pointed at this port
        virtual = host.removesuffix(".localhost") if host.endswith(".localhost") else ""
        try:
            path = unquote(raw, errors="strict")
            query = parse_qsl(request.scope["query_string"].decode("latin-1"), True, errors="strict")
        except (UnicodeError, ValueError) as error:
            raise S3Error(400, "InvalidURI", "the address isn't UTF-8") from error
        bucket, _, key = (virtual + path if virtual else path.removeprefix("/")).partition("/")
        if len(key.encode()) > 1024:
            raise S3Error(400, "KeyTooLongError", "a key has 1,024 bytes at most")
        rules = self._folder.cors(bucket) if "origin" in request.headers else []
        if request.method == "OPTIONS":
            return preflight(request, rules)
        self._check(request, raw, query, virtual)
        values = dict(query)
        options = {name for name in values if not _OPTIONS.fullmatch(name.lower())}
        if len(options) > 1:
            raise S3Error(400, "InvalidArgument", "two operations in one address")
        kind = "service" if not bucket else "object" if key else "bucket"
        what = next(iter(options), "")
        if kind == "object" and not what and "uploadId" in values:
            what = "upload"
        method = getattr(self, f"_{kind}_{request.method.lower()}_{what}".rstrip("_").replace("-", "_"), None)
        if method is None or not (what == "" or what.isalpha()):
            raise S3Error(501, "NotImplemented", f"{request.method} {what or kind} isn't there in embedded storage")
        creating = kind == "bucket" and request.method == "PUT" and not what
        if bucket and not creating and not self._folder.has_bucket(bucket):
            raise S3Error(404, "NoSuchBucket", f"there is no bucket {bucket}")
        response: Response = await method(request, bucket, key, values)
        for name, value in cors(request, rules, request.method).items():
            response.headers[name] = value
        return response

    def _check(self, request: Request, path: str, query: list[tuple[str, str]], bucket: str) -> None:
        if request.headers.get("authorization", "").startswith(("AWS4-HMAC-SHA256 ", "AWS ")):
            return
        names = dict(query)
        if "X-Amz-Signature" not in names and "Signature" not in names:
            raise S3Error(403, "AccessDenied", "the request isn't signed")
        code = refusal(self._keys, request.method, path, query, request.headers, self._clock(), bucket=bucket)
        if code:
            raise S3Error(403, code, "this presigned address isn't good here, or not any more")

    # ------------------------------------------------------------------ buckets

    async def _service_get(self, request: Request, bucket: str, key: str, values: dict[str, str]) -> Response:
        rows = "".join(
            f"<Bucket><Name>{text(name)}</Name><CreationDate>{iso(created)}</CreationDate></Bucket>"
            for name, created in self._folder.buckets()
        )
        owner = "<Owner><ID>gandt</ID><DisplayName>gandt</DisplayName></Owner>"
        return xml(f"<ListAllMyBucketsResult>{owner}<Buckets>{rows}</Buckets></ListAllMyBucketsResult>")

    async def _service_post(self, request: Request, bucket: str, key: str, values: dict[str, str]) -> Response:
        return await sts(request, self._role)

    async def _bucket_put(self, request: Request, bucket: str, key: str, values: dict[str, str]) -> Response:
        if not _BUCKET.fullmatch(bucket):
            raise S3Error(400, "InvalidBucketName", f"{bucket!r} can't be a bucket's name")
        self._folder.add_bucket(bucket, self._clock())  # in us-east-1 making one's own bucket again is no error
        return Response(headers={"Location": f"/{bucket}"})

    async def _bucket_head(self, request: Request, bucket: str, key: str, values: dict[str, str]) -> Response:
        return Response(headers={"x-amz-bucket-region": "us-east-1"})

    async def _bucket_delete(self, request: Request, bucket: str, key: str, values: dict[str, str]) -> Response:
        if not self._folder.delete_bucket(bucket):
            raise S3Error(409, "BucketNotEmpty", f"bucket {bucket} isn't empty")
        return Response(status_code=204)

    async def _bucket_get_location(self, request: Request, bucket: str, key: str, values: dict[str, str]) -> Response:
        return xml("<LocationConstraint/>")

    async def _bucket_get_versioning(self, request: Request, bucket: str, key: str, values: dict[str, str]) -> Response:
        return xml("<VersioningConfiguration/>")

    async def _bucket_get_cors(self, request: Request, bucket: str, key: str, values: dict[str, str]) -> Response:
        rules = self._folder.cors(bucket)
        if not rules:
            raise S3Error(404, "NoSuchCORSConfiguration", "the bucket has no CORS rules")
        rows = "".join(
            "<CORSRule>" + "".join(f"<{n}>{text(v)}</{n}>" for n, vs in rule.items() for v in vs) + "</CORSRule>"
            for rule in rules
        )
        return xml(f"<CORSConfiguration>{rows}</CORSConfiguration>")

    async def _bucket_put_cors(self, request: Request, bucket: str, key: str, values: dict[str, str]) -> Response:
        rules: list[dict[str, list[str]]] = []
        for rule in (await read_xml(request)).iter("CORSRule"):
            rules.append({})
            for member in rule:
                rules[-1].setdefault(member.tag, []).append(member.text or "")
            if not {"AllowedMethod", "AllowedOrigin"} <= set(rules[-1]):
                raise S3Error(400, "MalformedXML", "a CORS rule needs methods and origins")
        self._folder.set_cors(bucket, rules)
        return Response()

    async def _bucket_delete_cors(self, request: Request, bucket: str, key: str, values: dict[str, str]) -> Response:
        self._folder.set_cors(bucket, [])
        return Response(status_code=204)

    async def _bucket_get_uploads(self, request: Request, bucket: str, key: str, values: dict[str, str]) -> Response:
        rows = "".join(
            f"<Upload><Key>{text(name)}</Key><UploadId>{id_}</UploadId><Initiated>{iso(at)}</Initiated></Upload>"
            for id_, name, at in self._folder.uploads(bucket)
        )
        head = f"<Bucket>{bucket}</Bucket><IsTruncated>false</IsTruncated>"
        return xml(f"<ListMultipartUploadsResult>{head}{rows}</ListMultipartUploadsResult>")

    async def _bucket_get(self, request: Request, bucket: str, key: str, values: dict[str, str]) -> Response:
        second = values.get("list-type") == "2"
        prefix, delimiter = values.get("prefix", ""), values.get("delimiter", "")
        most = values.get("max-keys", "1000")
        if not most.isdecimal() or len(most) > 9:
            raise S3Error(400, "InvalidArgument", "max-keys is a number")
        after = (
            values.get("continuation-token") or values.get("start-after", "") if second else values.get("marker", "")
        )
        found, common, place = await run_in_threadpool(
            self._folder.listing, bucket, prefix, delimiter, after, min(1000, int(most))
        )
        encode: Callable[[str], str] = quote if values.get("encoding-type") == "url" else text
        rows = "".join(
            f"<Contents><Key>{encode(each.key)}</Key><LastModified>{iso(each.modified)}</LastModified>"
            f"<ETag>&quot;{each.etag}&quot;</ETag><Size>{each.size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            for each in found
        ) + "".join(f"<CommonPrefixes><Prefix>{encode(each)}</Prefix></CommonPrefixes>" for each in common)
        head = {
            "Name": bucket, "Prefix": encode(prefix), "Delimiter": encode(delimiter), "MaxKeys": most,
            "EncodingType": values.get("encoding-type", ""), "IsTruncated": "true" if place else "false",
        }  # fmt: skip
        if second:
            head |= {"KeyCount": str(len(found) + len(common)), "NextContinuationToken": text(place)}
            head |= {"ContinuationToken": text(values.get("continuation-token", "")), "StartAfter": encode(after)}
        else:
            head |= {"Marker": encode(after), "NextMarker": encode(place)}
        members = "".join(f"<{name}>{value}</{name}>" for name, value in head.items() if value)
        return xml(f"<ListBucketResult>{members}{rows}</ListBucketResult>")

    async def _bucket_post_delete(self, request: Request, bucket: str, key: str, values: dict[str, str]) -> Response:
        root = await read_xml(request)
        keys = [each.findtext("Key") or "" for each in root.iter("Object")]
        await run_in_threadpool(self._folder.delete, bucket, keys)
        quiet = root.findtext("Quiet") == "true"
        rows = "" if quiet else "".join(f"<Deleted><Key>{text(each)}</Key></Deleted>" for each in keys)
        return xml(f"<DeleteResult>{rows}</DeleteResult>")

    # ------------------------------------------------------------------ objects

    async def _object_head(self, request: Request, bucket: str, key: str, values: dict[str, str]) -> Response:
        return self._shown(request, self._object(bucket, key), values)

    async def _object_get(self, request: Request, bucket: str, key: str, values: dict[str, str]) -> Response:
        return self._shown(request, self._object(bucket, key), values)

    async def _object_put(self, request: Request, bucket: str, key: str, values: dict[str, str]) -> Response:
        there = self._folder.get(bucket, key)
        check_conditions(request, there, writing=True)
        if "x-amz-copy-source" in request.headers:
            source, content = await self._copied(request)
            replace = request.headers.get("x-amz-metadata-directive", "COPY") == "REPLACE"
            headers = own_headers(request) if replace else source.headers
            await run_in_threadpool(self._folder.put, bucket, key, content, headers, self._clock())
            return xml(copy_result("CopyObjectResult", content, self._clock()))
        content, checksums = await receive(self._folder, request.stream(), request.headers)
        headers = {**own_headers(request), **checksums}
        await run_in_threadpool(self._folder.put, bucket, key, content, headers, self._clock())
        return Response(headers={"ETag": f'"{content.etag}"', **checksums})

    async def _object_delete(self, request: Request, bucket: str, key: str, values: dict[str, str]) -> Response:
        await run_in_threadpool(self._folder.delete, bucket, [key])
        return Response(status_code=204)

    def _object(self, bucket: str, key: str) -> Object:
        found = self._folder.get(bucket, key)
        if found is None:
            raise S3Error(404, "NoSuchKey", "there is no such object")
        return found

    def _shown(self, request: Request, found: Object, values: dict[str, str]) -> Response:
        check_conditions(request, found, writing=False)
        checksums = (
            request.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED" and "range" not in request.headers
        )
        headers = {
            name: value for name, value in found.headers.items() if checksums or not name.startswith("x-amz-checksum-")
        }
        headers.setdefault("content-type", "binary/octet-stream")
        for name in ("type", "encoding", "disposition", "language"):
            if f"response-content-{name}" in values:
                headers[f"content-{name}"] = values[f"response-content-{name}"]
        headers |= {
            "etag": f'"{found.etag}"', "accept-ranges": "bytes",
            "last-modified": formatdate(found.modified, usegmt=True),
        }  # fmt: skip
        start, end, status = byte_range(request.headers.get("range", ""), found.size)
        if status == 206:
            headers["content-range"] = f"bytes {start}-{end - 1}/{found.size}"
        headers["content-length"] = str(end - start)
        return Sent(self._folder, found, start, end, status, headers)

    async def _copied(self, request: Request) -> tuple[Object, Content]:
        name = unquote(request.headers["x-amz-copy-source"].partition("?")[0]).removeprefix("/")
        bucket, _, key = name.partition("/")
        source = self._object(bucket, key)
        start, end, _ = byte_range(request.headers.get("x-amz-copy-source-range", ""), source.size)
        return source, await run_in_threadpool(copied, self._folder, source.file, start, end - start)

    # ------------------------------------------------------------------ uploads in parts

    async def _object_post_uploads(self, request: Request, bucket: str, key: str, values: dict[str, str]) -> Response:
        upload = self._folder.begin_upload(bucket, key, own_headers(request), self._clock())
        head = f"<Bucket>{bucket}</Bucket><Key>{text(key)}</Key><UploadId>{upload}</UploadId>"
        return xml(f"<InitiateMultipartUploadResult>{head}</InitiateMultipartUploadResult>")

    async def _object_put_upload(self, request: Request, bucket: str, key: str, values: dict[str, str]) -> Response:
        upload = self._upload(bucket, key, values)[0]
        number = values.get("partNumber", "")
        if not number.isdecimal() or not 1 <= int(number[:6]) <= 10_000:
            raise S3Error(400, "InvalidArgument", "a part's number is 1 to 10,000")
        if "x-amz-copy-source" in request.headers:
            _, content = await self._copied(request)
            self._folder.put_part(upload, int(number), content)
            return xml(copy_result("CopyPartResult", content, self._clock()))
        content, checksums = await receive(self._folder, request.stream(), request.headers)
        await run_in_threadpool(self._folder.put_part, upload, int(number), content)
        return Response(headers={"ETag": f'"{content.etag}"', **checksums})

    async def _object_post_upload(self, request: Request, bucket: str, key: str, values: dict[str, str]) -> Response:
        upload, headers = self._upload(bucket, key, values)
        there = self._folder.parts(upload)
        asked = [
            (int(part.findtext("PartNumber") or 0), (part.findtext("ETag") or "").strip('"'))
            for part in (await read_xml(request)).iter("Part")
        ]
        if [number for number, _ in asked] != sorted({number for number, _ in asked}):
            raise S3Error(400, "InvalidPartOrder", "the parts aren't in order")
        if not asked or any(number not in there or there[number].etag != etag for number, etag in asked):
            raise S3Error(400, "InvalidPart", "a part isn't there, or isn't the one that was sent")
        content = await run_in_threadpool(join, self._folder, [there[number] for number, _ in asked])
        await run_in_threadpool(self._folder.put, bucket, key, content, headers, self._clock())
        self._folder.end_upload(upload)
        head = f"<Bucket>{bucket}</Bucket><Key>{text(key)}</Key><ETag>&quot;{content.etag}&quot;</ETag>"
        return xml(f"<CompleteMultipartUploadResult>{head}</CompleteMultipartUploadResult>")

    async def _object_delete_upload(self, request: Request, bucket: str, key: str, values: dict[str, str]) -> Response:
        self._folder.end_upload(self._upload(bucket, key, values)[0])
        return Response(status_code=204)

    async def _object_get_upload(self, request: Request, bucket: str, key: str, values: dict[str, str]) -> Response:
        upload = self._upload(bucket, key, values)[0]
        rows = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{part.etag}&quot;</ETag><Size>{part.size}</Size></Part>"
            for number, part in self._folder.parts(upload).items()
        )
        head = f"<Bucket>{bucket}</Bucket><Key>{text(key)}</Key><IsTruncated>false</IsTruncated>"
        return xml(f"<ListPartsResult>{head}{rows}</ListPartsResult>")

    def _upload(self, bucket: str, key: str, values: dict[str, str]) -> tuple[str, dict[str, str]]:
        headers = self._folder.upload(values["uploadId"], bucket, key)
        if headers is None:
            raise S3Error(404, "NoSuchUpload", "there is no such upload, or it has ended")
        return values["uploadId"], headers
