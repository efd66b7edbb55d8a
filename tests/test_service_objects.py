"""Embedded storage: the same answers as moto's S3 gives, in a folder that survives; hostile requests get nothing."""

import hashlib
import http.client
import io
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from gandt import storage
from gandt.demo.embedded_s3 import embedded_s3
from gandt.service.objects import ObjectFolder, embedded
from gandt.service.objects.signed import refusal


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        with embedded(str(tmp_path_factory.mktemp("objects"))) as (s3, environment):
            s3.create_bucket(Bucket="bucket")
            yield s3, environment["AWS_ENDPOINT_URL_S3"]


def told(call: Callable[..., Any], *members: str, **options: Any) -> Any:
    """Return what a call answers, only these members of it, or the error's code and status."""
    try:
        answer = call(**options)
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    if "Body" in answer:
        answer["Body"] = answer["Body"].read()
    return {name: answer.get(name) for name in members}


def script(s3: Any) -> list[Any]:
    """Take a client through what labeling asks of an S3, and more; return all that it says."""
    every = ["a/b.txt", "a/c/d.txt", "a-1", "é/ü +&<%.png", "z//y", "z/../x", "plain", "a/c/e", "\U0001f40d"]
    said = [told(s3.head_bucket, Bucket="none"), told(s3.get_object, Bucket="none", Key="k")]
    s3.create_bucket(Bucket="script")
    for number, key in enumerate(every):
        said.append(told(s3.put_object, "ETag", Bucket="script", Key=key, Body=f"content {number}".encode()))
    for options in (
        {}, {"Prefix": "a"}, {"Delimiter": "/"}, {"Prefix": "a/", "Delimiter": "/"}, {"MaxKeys": 2}, {"Prefix": "none"},
        {"StartAfter": "a/b.txt"}, {"Prefix": "z/", "Delimiter": "/"}, {"MaxKeys": 1, "Delimiter": "/"},
    ):  # fmt: skip
        found = s3.list_objects_v2(Bucket="script", **options)
        rows = [(row["Key"], row["Size"], row["ETag"]) for row in found.get("Contents", [])]
        said.append([rows, found.get("CommonPrefixes"), found["KeyCount"], found["IsTruncated"]])
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket="script", **options)
        said.append(sorted(row["Key"] for page in pages for row in page.get("Contents", [])))
    shown = ("Body", "ContentLength", "ContentType", "ContentRange", "Metadata", "ETag", "CacheControl")
    put = {"ContentType": "image/png", "Metadata": {"who": "me"}, "CacheControl": "no-cache"}
    s3.put_object(Bucket="script", Key="r", Body=b"0123456789", **put)
    get = {"Bucket": "script", "Key": "r"}
    said.append(told(s3.head_object, *shown[1:], **get))
    for part in ("bytes=2-4", "bytes=7-", "bytes=-3", "bytes=5-100", "bytes=10-12"):
        said.append(told(s3.get_object, *shown, Range=part, **get))
    etag = s3.head_object(**get)["ETag"]
    said.append(told(s3.get_object, "Body", IfMatch=etag, **get))
    said.append(told(s3.get_object, "Body", IfMatch='"other"', **get))
    said.append(told(s3.get_object, "Body", IfNoneMatch=etag, **get))
    said.append(told(s3.put_object, "ETag", IfNoneMatch="*", Body=b"x", **get))
    said.append(told(s3.get_object, Bucket="script", Key="none"))
    said.append(told(s3.head_object, Bucket="script", Key="none"))
    s3.copy_object(Bucket="script", Key="copy é", CopySource={"Bucket": "script", "Key": "é/ü +&<%.png"})
    said.append(told(s3.get_object, "Body", "ETag", Bucket="script", Key="copy é"))
    s3.copy_object(CopySource="script/r", MetadataDirective="REPLACE", Metadata={"new": "1"}, Bucket="script", Key="r")
    said.append(told(s3.get_object, "Body", "Metadata", **get))
    upload = s3.create_multipart_upload(Bucket="script", Key="big", ContentType="text/plain")["UploadId"]
    many = {"Bucket": "script", "Key": "big", "UploadId": upload}
    parts = [
        {"PartNumber": number, "ETag": s3.upload_part(PartNumber=number, Body=body, **many)["ETag"]}
        for number, body in ((2, b"end"), (1, b"x" * 5_242_880))
    ][::-1]
    said.append([part["ETag"] for part in s3.list_parts(**many)["Parts"]])
    wrong = [{**parts[0], "ETag": '"x"'}]
    said.append(told(s3.complete_multipart_upload, MultipartUpload={"Parts": wrong}, **many))
    said.append(told(s3.complete_multipart_upload, "ETag", MultipartUpload={"Parts": parts}, **many))
    said.append(told(s3.head_object, "ContentLength", "ContentType", "ETag", Bucket="script", Key="big"))
    gone = s3.create_multipart_upload(Bucket="script", Key="gone")["UploadId"]
    s3.abort_multipart_upload(Bucket="script", Key="gone", UploadId=gone)
    said.append(told(s3.get_bucket_cors, Bucket="script"))
    rule = {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"], "ExposeHeaders": ["ETag"]}
    s3.put_bucket_cors(Bucket="script", CORSConfiguration={"CORSRules": [rule]})
    said.append(s3.get_bucket_cors(Bucket="script")["CORSRules"])
    said.append(told(s3.delete_bucket, Bucket="script"))
    s3.delete_object(Bucket="script", Key="none")
    keys = [{"Key": row["Key"]} for row in s3.list_objects_v2(Bucket="script")["Contents"]]
    said.append(len(s3.delete_objects(Bucket="script", Delete={"Objects": keys})["Deleted"]))
    said.append(told(s3.delete_bucket, Bucket="script"))
    said.append([bucket["Name"] for bucket in s3.list_buckets()["Buckets"]])
    return said


def test_it_says_what_moto_says(served) -> None:
    ours = script(served[0])
    with embedded_s3("bucket") as (s3, _):
        theirs = script(s3)
    assert ours == theirs


def test_it_survives_a_kill_and_a_restart(tmp_path) -> None:
    """A process that is killed with -9 after each acknowledged write leaves everything, and nothing else."""
    program = """
import os, signal, sys
from gandt.service.objects import embedded
with embedded(sys.argv[1]) as (s3, _):
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="kept", Body=b"old")
    s3.put_object(Bucket="bucket", Key="kept", Body=b"new")
    s3.upload_part(UploadId=s3.create_multipart_upload(Bucket="bucket", Key="m")["UploadId"], Bucket="bucket", Key="m",
                   PartNumber=1, Body=b"part")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    folder = tmp_path / "objects"
    assert subprocess.run([sys.executable, "-c", program, str(folder)]).returncode == -9
    (folder / "contents" / "ab").mkdir(exist_ok=True)
    (folder / "contents" / "ab" / "half-written").write_bytes(b"x")
    with embedded(str(folder)) as (s3, environment):
        assert s3.get_object(Bucket="bucket", Key="kept")["Body"].read() == b"new"
        assert len(s3.list_multipart_uploads(Bucket="bucket")["Uploads"]) == 1
        assert environment["AWS_ACCESS_KEY_ID"] == os.environ["AWS_ACCESS_KEY_ID"]
    assert sorted(path.read_bytes() for path in folder.glob("contents/*/*")) == [b"new", b"part"]


def test_contents_travel_as_gandts_own_storage_sends_them(served, tmp_path) -> None:
    s3, _ = served
    big = os.urandom(9 * 2**20)
    s3.upload_fileobj(io.BytesIO(big), "bucket", "folder/big.bin")  # in parts
    kept = tmp_path / "big.bin"
    s3.download_file("bucket", "folder/big.bin", str(kept))
    assert kept.read_bytes() == big
    storage.write_text("s3://bucket/folder/text.json", "{}", s3=s3, content_type="application/json", kms_key="alias/k")
    assert storage.read_text("s3://bucket/folder/text.json", s3=s3) == "{}"
    assert sorted(storage.list_uris("s3://bucket/folder/", s3=s3)) == [
        "s3://bucket/folder/big.bin",
        "s3://bucket/folder/text.json",
    ]


@pytest.mark.parametrize("version", ["s3", "s3v4"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_presigned_addresses_are_held_against_their_signature(served, version: str, host: str) -> None:
    s3, endpoint = served
    s3.put_object(Bucket="bucket", Key="a b/é.png", Body=b"seen")
    config = Config(signature_version=version, s3={"addressing_style": "path"})
    client = boto3.client("s3", endpoint_url=endpoint.replace("127.0.0.1", host), config=config)
    params = {"Bucket": "bucket", "Key": "a b/é.png"}
    url = client.generate_presigned_url("get_object", Params={**params, "ResponseContentType": "image/png"})
    with urllib.request.urlopen(url, timeout=20) as answer:
        assert (answer.read(), answer.headers["Content-Type"]) == (b"seen", "image/png")
    put = client.generate_presigned_url("put_object", Params={**params, "ContentType": "a/b"})
    with urllib.request.urlopen(
        urllib.request.Request(put, b"changed", {"Content-Type": "a/b"}, method="PUT"), timeout=20
    ) as answer:
        assert answer.status == 200
    assert s3.get_object(**params)["Body"].read() == b"changed"
    over = client.generate_presigned_url("get_object", Params=params, ExpiresIn=-5)
    other = boto3.client(
        "s3", endpoint_url=endpoint, config=config, aws_access_key_id="testing", aws_secret_access_key="no"
    )
    for bad in (url.replace("a%20b", "b"), over, other.generate_presigned_url("get_object", Params=params), put + "x"):
        assert status(bad) == 403
    assert status(url.partition("?")[0]) == 403


def status(url: str, method: str = "GET", body: bytes | None = None, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, named, method=method), timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_pages_of_other_sites_reach_nothing_but_what_cors_rules_allow(served) -> None:
    s3, endpoint = served
    s3.put_object(Bucket="bucket", Key="page.html", Body=b"<script>1</script>", ContentType="text/html")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "page.html"})
    origin = {"Origin": "https://a.example"}
    ask = urllib.request.Request(url, headers=origin)
    with urllib.request.urlopen(ask, timeout=20) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] is None
        assert "sandbox" in answer.headers["Content-Security-Policy"]
    rule = {"AllowedMethods": ["GET", "PUT"], "AllowedOrigins": ["https://*.example"], "AllowedHeaders": ["*"]}
    s3.put_bucket_cors(Bucket="bucket", CORSConfiguration={"CORSRules": [rule]})
    with urllib.request.urlopen(ask, timeout=20) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == "https://a.example"

    def preflight(headers: str) -> int:
        asked = {"Access_Control_Request_Method": "PUT", "Access_Control_Request_Headers": headers}
        return status(f"{endpoint}/bucket/x", "OPTIONS", Origin="https://a.example", **asked)

    assert preflight("content-type") == 200
    assert preflight("content-type, authorization") == 403
    assert status(f"{endpoint}/bucket?delete", "POST", b"<Delete/>", Content_Type="text/plain") == 403
    assert status(f"{endpoint}/bucket/x", Authorization="AWS4-HMAC-SHA256 x", Host="evil.example") == 400
    s3.delete_bucket_cors(Bucket="bucket")


SIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=x"}


def test_no_name_leaves_the_folder_and_no_body_breaks_it(served, tmp_path) -> None:
    s3, endpoint = served
    host = urlsplit(endpoint).netloc

    def send(method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(host, timeout=20)
        connection.request(method, path, body, {**SIGNED, **headers})
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
        connection.close()
        return answer.status, (re.findall("<Code>(.*?)</Code>", text) or [""])[0]

    for path in (
        "/bucket/../../etc/passwd",
        "/bucket/%2e%2e%2f%2e%2e%2fetc/passwd",
        "/../index.sqlite",
        "/bucket//../key",
    ):
        assert send("GET", path)[0] == 404
    assert send("PUT", "/bucket/..%2f..%2f..%2fowned", b"x") == (200, "")
    assert [*tmp_path.parent.rglob("owned")] == []
    assert s3.get_object(Bucket="bucket", Key="../../../owned")["Body"].read() == b"x"
    assert send("PUT", "/..")[1] == "InvalidBucketName"
    assert send("GET", "/bucket/%ff")[1] == "InvalidURI"
    assert send("PUT", "/bucket/" + "k" * 1025, b"")[1] == "KeyTooLongError"
    for query in ("acl", "tagging", "versioning", "policy", "__init__", "x&y"):
        assert send("PUT", f"/bucket/owned?{query}", b"x")[0] in (400, 501)
    assert send("PUT", "/bucket?policy", b"x")[1] == "NotImplemented"
    for body in (b"", b"<a", b'<!DOCTYPE a [<!ENTITY b "c">]><Delete>&b;</Delete>', b"<a>" * 2_000_000):
        assert send("POST", "/bucket?delete", body)[1] == "MalformedXML"
    md5 = {"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}
    assert send("PUT", "/bucket/torn", b"x", **md5)[1] == "BadDigest"
    assert send("PUT", "/bucket/torn", b"x", **{"x-amz-checksum-crc32": "AAAAAA=="})[1] == "BadDigest"
    chunked = {"Content-Encoding": "aws-chunked", "x-amz-decoded-content-length": "5"}
    for body in (b"5\r\nhel", b"zz\r\nhello\r\n0\r\n\r\n", b"-5\r\nhello", b"4\r\nhell\r\n0\r\n\r\n", b"5" * 20_000):
        assert send("PUT", "/bucket/torn", body, **chunked)[0] == 400
    assert send("GET", "/bucket/torn") == (404, "NoSuchKey")
    trailer = b"5;chunk-signature=x\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
    trailed = {**chunked, "x-amz-trailer": "x-amz-checksum-crc32"}
    assert send("PUT", "/bucket/whole", trailer, **trailed) == (200, "")
    assert send("PUT", "/bucket/whole", trailer.replace(b"hello", b"hullo"), **trailed)[1] == "BadDigest"
    assert s3.get_object(Bucket="bucket", Key="whole")["Body"].read() == b"hello"
    assert "ContentEncoding" not in s3.head_object(Bucket="bucket", Key="whole")
    assert send("GET", "/bucket", X="y")[0] == 200


def test_a_read_goes_on_while_the_object_is_replaced_and_deleted(tmp_path) -> None:
    with embedded(str(tmp_path / "o")) as (s3, _):
        s3.create_bucket(Bucket="bucket")
        old = os.urandom(4 * 2**20)
        s3.put_object(Bucket="bucket", Key="k", Body=old)
        body = s3.get_object(Bucket="bucket", Key="k")["Body"]
        begun = body.read(1000)
        s3.put_object(Bucket="bucket", Key="k", Body=b"new")
        s3.delete_object(Bucket="bucket", Key="k")
        assert hashlib.sha256(begun + body.read()).digest() == hashlib.sha256(old).digest()


def test_a_forged_presigned_address_is_refused_whatever_it_lacks() -> None:
    for query in ("Signature=x", "X-Amz-Signature=x", "X-Amz-Signature=x&X-Amz-Credential=a/b/c/d/e&X-Amz-Date=now"):
        pairs = [tuple(part.split("=")) for part in query.split("&")]
        assert refusal({"a": "s"}, "GET", "/b/k", pairs, {}, 0) == "AuthorizationQueryParametersError"
    pairs = [("AWSAccessKeyId", "unknown"), ("Expires", "9"), ("Signature", "x")]
    assert refusal({"a": "s"}, "GET", "/b/k", pairs, {}, 0) == "InvalidAccessKeyId"


def test_many_small_objects_list_in_pages(tmp_path, served) -> None:
    served[0].create_bucket(Bucket="paged")
    for key in ("a/1", "a/2", "b/1", "c"):
        served[0].put_object(Bucket="paged", Key=key)
    pages = (
        served[0]
        .get_paginator("list_objects")
        .paginate(Bucket="paged", Delimiter="/", PaginationConfig={"PageSize": 1})
    )
    said = [[*page.get("CommonPrefixes", []), *page.get("Contents", [])] for page in pages]
    assert [row.get("Prefix") or row["Key"] for (row,) in said] == ["a/", "b/", "c"]
    folder = ObjectFolder(str(tmp_path))
    folder.add_bucket("b", 0)
    from gandt.service.objects.folder import Content

    for number in range(25):
        folder.put("b", f"p/{number:02}/x", Content(json.dumps(number), 1, "e"), {}, 0)
    seen, place = [], ""
    while True:
        _, common, place = folder.listing("b", "p/", "/", place, 10)
        seen += common
        if not place:
            break
    assert seen == [f"p/{number:02}/" for number in range(25)]
    folder.close()


def test_a_role_can_be_taken_as_awss_sample_lambdas_do(served) -> None:
    s3, endpoint = served
    sts = boto3.client("sts", endpoint_url=endpoint)
    assert sts.get_caller_identity()["Account"] == "000000000000"
    taken = sts.assume_role(RoleArn="arn:aws:iam::111122223333:role/r", RoleSessionName="se")["Credentials"]
    own = {"aws_access_key_id": taken["AccessKeyId"], "aws_secret_access_key": taken["SecretAccessKey"]}
    client = boto3.client("s3", endpoint_url=endpoint, aws_session_token=taken["SessionToken"], **own)
    s3.put_object(Bucket="bucket", Key="role", Body=b"1")
    assert client.get_object(Bucket="bucket", Key="role")["Body"].read() == b"1"
    url = boto3.client("s3", endpoint_url=endpoint, **own).generate_presigned_url(
        "get_object", Params={"Bucket": "bucket", "Key": "role"}
    )
    assert status(url) == 200
    with pytest.raises(ClientError, match="GetSessionToken"):
        sts.get_session_token()
