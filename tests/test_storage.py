"""S3 through a proxy that misbehaves: nothing lost, nothing twice, and one sentence where it can't go on."""

import io
import json
import random
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.exceptions import ConnectionClosedError
from faults import Faults, faulty
from PIL import Image
from test_embedding_models import tiny_onnx
from typer.testing import CliRunner

from gandt import storage
from gandt.answers import read_output
from gandt.cli import app
from gandt.cli import manifest as _commands  # noqa: F401  (registers them)
from gandt.demo.embedded_s3 import embedded_s3
from gandt.embedding import embed
from gandt.errors import StorageError
from gandt.manifest import read_lines, upload


@pytest.fixture(scope="module")
def served() -> Iterator[Any]:
    with embedded_s3("bucket") as (s3, environment):
        yield s3, environment["AWS_ENDPOINT_URL_S3"]


@pytest.fixture
def s3(served, monkeypatch) -> Any:
    """The embedded S3 itself, empty; pauses are remembered, not kept."""
    client, _ = served
    for page in client.get_paginator("list_objects_v2").paginate(Bucket="bucket"):
        for entry in page.get("Contents", []):
            client.delete_object(Bucket="bucket", Key=entry["Key"])
    monkeypatch.setattr(storage, "_PAUSE", 0.001)
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)
    return client


@pytest.fixture
def net(served, s3) -> Iterator[Any]:
    """A proxy of it, with the client that goes through."""
    with faulty(served[1]) as network:
        yield network, storage.s3_client(network.address)
    storage.use(storage.Access())


STORM = ("slow down", "reset", "lost", "cut", "torn", "flip")


def storm(seed: int, share: float = 0.3, kinds: tuple[str, ...] = STORM) -> Any:
    """Most things go wrong at first, and right at the third attempt."""
    draw, lock = random.Random(seed), threading.Lock()

    def fault(method: str, path: str, count: int) -> str | None:
        with lock:
            kind = draw.choice(kinds) if draw.random() < share else None
        if count >= 2 or (kind in ("cut", "torn", "flip") and (method != "GET" or path == "/bucket")):
            return None
        return kind

    return fault


def content(s3: Any, prefix: str = "") -> dict[str, bytes]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix=prefix)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return {key: s3.get_object(Bucket="bucket", Key=key)["Body"].read() for key in keys}


def picture(number: int) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def pictures(folder: Path, count: int) -> list[str]:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:02}.png").write_bytes(picture(number))
    return sorted(map(str, folder.iterdir()))


def stored(network: Faults) -> Counter[str]:
    return Counter(path for method, path, status in network.done if method == "PUT" and status == 200)


@pytest.mark.parametrize("kind", STORM)
def test_each_fault_alone_is_got_over(net, s3, kind: str) -> None:
    network, client = net
    wanted = ("GET",) if kind in ("cut", "torn", "flip") else ("GET", "PUT")
    network.fault = lambda method, path, count: kind if count < 3 and method in wanted else None
    data = random.Random(1).randbytes(300_000)
    storage.write_bytes("s3://bucket/a/b.bin", data, s3=client)
    assert storage.read_bytes("s3://bucket/a/b.bin", s3=client) == data
    assert network.asked["GET", "/bucket/a/b.bin"] == 4
    assert content(s3) == {"a/b.bin": data}


def test_a_long_slow_down_outlasts_boto3_and_not_gandt(net, s3) -> None:
    network, client = net
    network.fault = lambda method, path, count: "slow down" if count < 20 else None
    storage.write_bytes("s3://bucket/slow", b"content", s3=client)
    assert storage.read_bytes("s3://bucket/slow", s3=client) == b"content"
    assert network.asked["PUT", "/bucket/slow"] == 21


@pytest.mark.parametrize(
    ("kind", "words"), [("slow down", "later"), ("cut", "can't read"), ("forbidden", "access is denied")]
)
def test_what_does_not_pass_ends_in_one_sentence(net, s3, kind: str, words: str) -> None:
    network, client = net
    s3.put_object(Bucket="bucket", Key="x", Body=b"content" * 1000)
    network.fault = lambda method, path, count: kind
    with pytest.raises(StorageError, match=r"can't read s3://bucket/x") as caught:
        storage.read_bytes("s3://bucket/x", s3=client)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert 1 <= network.asked["GET", "/bucket/x"] <= 54  # nine by boto3, six times


def test_an_upload_in_a_storm_and_again_sends_each_content_once(net, s3, tmp_path: Path) -> None:
    network, client = net
    items = pictures(tmp_path / "in", 24)
    network.fault = storm(3)
    sent = upload(items, "s3://bucket/pool", s3=client, workers=8)
    there = content(s3)
    assert len(there) == 24 == sent.sent and sent.set_aside.empty
    for item, uri in sent.uris.items():
        assert there[uri.removeprefix("s3://bucket/")] == Path(item).read_bytes()
    assert sum(network.asked.values()) > 26  # it did storm

    network.done.clear()
    again = upload(items, "s3://bucket/pool", s3=client, workers=8)
    assert (again.sent, again.already, again.uris) == (0, 24, sent.uris) and not stored(network)


def test_a_right_that_ends_in_the_middle_of_an_upload(net, s3, tmp_path: Path) -> None:
    network, client = net
    items = pictures(tmp_path / "in", 12)
    network.fault = lambda method, path, count: "forbidden" if method == "PUT" and len(stored(network)) >= 5 else None
    with pytest.raises(StorageError, match="access is denied"):
        upload(items, "s3://bucket/pool", s3=client, workers=1)
    assert 5 <= len(content(s3)) <= 7
    network.fault = lambda method, path, count: None
    there = len(content(s3))
    assert upload(items, "s3://bucket/pool", s3=client).sent == 12 - there
    assert set(stored(network).values()) == {1} and len(content(s3)) == 12


def test_embedding_in_a_storm_gives_the_store_of_a_calm_day(net, s3, tmp_path: Path) -> None:
    tiny = tiny_onnx(tmp_path / "tiny.onnx")
    network, client = net
    for number in range(20):
        s3.put_object(Bucket="bucket", Key=f"pool/{number:02}.png", Body=picture(number))
    calm = embed("s3://bucket/pool/", str(tmp_path / "calm"), model=tiny, s3=s3)
    gone = "/bucket/pool/07.png"

    rest = storm(5)

    def fault(method: str, path: str, count: int) -> str | None:
        return "gone" if path == gone else rest(method, path, count)  # it vanishes after it was listed

    network.fault = fault
    stormy = embed("s3://bucket/pool/", str(tmp_path / "store"), model=tiny, s3=client)
    assert stormy.run.set_aside == 1 and stormy.run.embedded == 19
    bad = stormy.items[stormy.items["status"] == "set aside"]
    assert list(bad["item"]) == ["s3://bucket/pool/07.png"] and "not there" in bad["reason"].iloc[0]
    network.fault = storm(6)
    whole = embed("s3://bucket/pool/", str(tmp_path / "store"), model=tiny, s3=client)
    assert whole.run.embedded == 1 and not whole.items["item"].duplicated().any()
    items = list(calm.items["item"])
    assert sorted(whole.items["item"]) == sorted(items)
    np.testing.assert_array_equal(whole.vectors[whole.rows(items)], calm.vectors[calm.rows(items)])


def test_answers_in_a_storm_are_those_of_a_calm_day(net, s3) -> None:
    network, client = net
    base = "out/job/annotations/worker-response/iteration-1"
    for number in range(15):
        answers = [
            {
                "workerId": f"private.us-east-1.{worker}",
                "answerContent": {"label": "cat"},
                "submissionTime": "2026-11-22T10:00:00.000Z",
            }
            for worker in "ab"
        ]
        body = json.dumps({"answers": answers}).encode()
        s3.put_object(Bucket="bucket", Key=f"{base}/{number}/2026-11-22_10:00:00.json", Body=body)
    lines = "".join(json.dumps({"source": f"text {number}"}) + "\n" for number in range(15))
    s3.put_object(Bucket="bucket", Key="out/job/manifests/output/output.manifest", Body=lines.encode())
    calm = read_output("s3://bucket/out/job", s3=s3)
    assert len(calm.answers) == 30
    network.fault = storm(8, share=0.6)
    stormy = read_output("s3://bucket/out/job", s3=client)
    assert stormy.answers.equals(calm.answers) and stormy.set_aside.empty

    vanished = f"/bucket/{base}/4/2026-11-22_10:00:00.json"
    network.fault = lambda method, path, count: "gone" if path.replace("%3A", ":") == vanished else None
    some = read_output("s3://bucket/out/job", s3=client)
    assert len(some.answers) == 28
    assert some.set_aside["file"].str.endswith("/4/2026-11-22_10:00:00.json").any()
    assert some.set_aside["reason"].str.contains("no such object").any()
    assert "text 4" in set(some.items["item"])  # asked, and nobody's answer to it is known

    network.fault = lambda method, path, count: "forbidden" if "/iteration-1/1" in path else None
    with pytest.raises(StorageError, match="access is denied"):  # half of the answers would be no answer
        read_output("s3://bucket/out/job", s3=client)


def manifest_lines() -> tuple[list[dict[str, str]], bytes]:
    """Return a manifest of 4 MB, of which readers take 1 MiB at a time: its data objects and its content."""
    lines = [{"source": f"text {number} " + "x" * 1000} for number in range(4000)]
    return lines, "".join(json.dumps(line) + "\n" for line in lines).encode()


@pytest.mark.parametrize("kind", ["cut", "torn", "slow down"])
def test_a_stream_goes_on_at_the_same_byte(net, s3, kind: str) -> None:
    network, client = net
    lines, body = manifest_lines()
    s3.put_object(Bucket="bucket", Key="m.manifest", Body=body)
    # the first answer is cut in any case, the further ones as the kind has it (boto3 itself asks nine times)
    times = 20 if kind == "slow down" else 4
    network.fault = lambda method, path, count: ("cut" if count == 0 else kind) if count < times else None
    assert list(read_lines("s3://bucket/m.manifest", s3=client)) == lines
    assert network.asked["GET", "/bucket/m.manifest"] == times + 1


def replacing(s3: Any, body: bytes, kind: str, then: str | None = None) -> Any:
    """The first answer breaks, and before the second one the object is replaced."""

    def fault(method: str, path: str, count: int) -> str | None:
        if count == 1:
            s3.put_object(Bucket="bucket", Key="m.manifest", Body=body)
        return (kind, then)[count] if count < 2 else None

    return fault


@pytest.mark.parametrize("then", [None, "no version"], ids=["S3", "a store without If-Match"])
def test_a_stream_never_goes_on_in_another_version(net, s3, then: str | None) -> None:
    network, client = net
    _, body = manifest_lines()
    s3.put_object(Bucket="bucket", Key="m.manifest", Body=body)
    network.fault = replacing(s3, body.upper(), "cut", then)
    with pytest.raises(StorageError, match="was changed while it was being read"):
        list(read_lines("s3://bucket/m.manifest", s3=client))


def test_a_stream_of_which_nothing_came_yet_begins_again_with_the_new_version(net, s3) -> None:
    network, client = net
    s3.put_object(Bucket="bucket", Key="m.manifest", Body=b"old" * 1000)  # less than a reader takes at a time
    network.fault = replacing(s3, b"new" * 1000, "torn")
    with storage.stream("s3://bucket/m.manifest", s3=client) as content:
        assert content.read() == b"new" * 1000


def test_a_store_that_sends_all_instead_of_the_rest_is_refused(net, s3) -> None:
    network, client = net
    s3.put_object(Bucket="bucket", Key="m.manifest", Body=manifest_lines()[1])
    network.fault = lambda method, path, count: ("cut", "no range")[count]
    with pytest.raises(StorageError, match="gives no part of an object"):
        list(read_lines("s3://bucket/m.manifest", s3=client))


def test_a_stream_whose_content_came_wrong_ends_in_an_error(net, s3) -> None:
    network, client = net
    s3.put_object(Bucket="bucket", Key="m.manifest", Body=manifest_lines()[1])
    network.fault = lambda method, path, count: "flip" if count == 0 else None
    with pytest.raises(StorageError, match="checksum"):
        list(read_lines("s3://bucket/m.manifest", s3=client))
    assert network.asked["GET", "/bucket/m.manifest"] == 1


def test_an_answer_cut_short_is_no_empty_answer(net, s3) -> None:
    """Neither a listing, which is XML, nor a list of jobs, which is JSON; botocore passes the latter on as {}."""
    network, client = net
    s3.put_object(Bucket="bucket", Key="a", Body=b"a")
    network.fault = lambda method, path, count: "cut"
    with pytest.raises(StorageError, match="can't list s3://bucket/"):
        list(storage.list_uris("s3://bucket/", s3=client))
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                asked = b""
                while not asked.endswith(b"{}"):  # to the end of its body; closing earlier would reset the connection
                    asked += connection.recv(10_000)
                connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n{"LabelingJobSummaryList": ')

        threading.Thread(target=answer, daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        sagemaker = storage.session().client("sagemaker", endpoint_url=address)
        with pytest.raises(ConnectionClosedError, match="27 of 40 bytes"):
            sagemaker.list_labeling_jobs()


def test_large_files_go_in_parts_and_leave_none_behind(net, s3, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(storage, "MULTIPART", 20 * 2**20)  # so that parts have S3's least size, 5 MiB
    network, client = net
    data = random.Random(2).randbytes(21 * 2**20)
    network.fault = lambda method, path, count: ("slow down", "reset", "lost", None)[min(count, 3)]
    storage.write_bytes("s3://bucket/big", data, s3=client)
    assert s3.get_object(Bucket="bucket", Key="big")["Body"].read() == data
    assert s3.head_object(Bucket="bucket", Key="big")["ETag"].endswith('-5"')  # five parts

    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "vectors.npy").write_bytes(data)
    assert storage.copy_tree(str(tmp_path / "tree"), "s3://bucket/tree", s3=client) == 1
    network.asked.clear()
    network.fault = lambda method, path, count: "cut" if method == "GET" and count < 2 and "vectors" in path else None
    assert storage.copy_tree("s3://bucket/tree", str(tmp_path / "back"), s3=client) == 1
    assert (tmp_path / "back" / "vectors.npy").read_bytes() == data

    network.fault = lambda method, path, count: "forbidden" if method == "PUT" else None
    with pytest.raises(StorageError, match="can't write s3://bucket/big2"):
        storage.write_bytes("s3://bucket/big2", data, s3=client)
    network.fault = lambda method, path, count: None
    left = s3.list_multipart_uploads(Bucket="bucket").get("Uploads", [])
    assert "big2" not in {upload["Key"] for upload in left}
    assert set(content(s3)) == {"big", "tree/vectors.npy"}


class Recorder:
    """Notes the headers of each request of a client."""

    def __init__(self, client: Any) -> None:
        self.headers: list[dict[str, str]] = []
        client.meta.events.register("before-send.s3", self)

    def __call__(self, request: Any, **_: Any) -> None:
        plain = {k.lower(): v.decode() if isinstance(v, bytes) else str(v) for k, v in request.headers.items()}
        self.headers.append(plain)


def test_requester_pays_and_the_kms_key_go_with_every_request_that_takes_them(served, s3) -> None:
    client = storage.s3_client(served[1], access=storage.Access(requester_pays=True, kms_key="alias/labels"))
    recorder = Recorder(client)
    storage.write_text("s3://bucket/a.txt", "hello", s3=client)
    assert storage.read_text("s3://bucket/a.txt", s3=client) == "hello"
    assert list(storage.list_uris("s3://bucket/", s3=client)) == ["s3://bucket/a.txt"]
    assert len(recorder.headers) == 3
    assert all(headers["x-amz-request-payer"] == "requester" for headers in recorder.headers)
    put, get, _ = recorder.headers
    assert put["x-amz-server-side-encryption"] == "aws:kms"
    assert put["x-amz-server-side-encryption-aws-kms-key-id"] == "alias/labels"
    assert "x-amz-server-side-encryption" not in get
    assert put["x-amz-checksum-crc32"]  # and botocore checks it when it reads
    client.put_object(Bucket="bucket", Key="b", Body=b"", ServerSideEncryption="AES256")  # somebody knows better
    assert recorder.headers[-1]["x-amz-server-side-encryption"] == "AES256"
    assert "x-amz-server-side-encryption-aws-kms-key-id" not in recorder.headers[-1]
    plain = storage.s3_client(served[1])
    recorder = Recorder(plain)
    storage.read_text("s3://bucket/a.txt", s3=plain)
    assert "x-amz-request-payer" not in recorder.headers[0]


def test_options_before_a_command_say_how_aws_is_reached(served, s3, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "config").write_text(
        "[profile work]\nregion = eu-west-1\naws_access_key_id = a\naws_secret_access_key = b\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    s3.put_object(Bucket="bucket", Key="m.manifest", Body=b'{"source": "text"}\n')
    words = ["--profile", "work", "--s3-endpoint", served[1], "--requester-pays"]
    done = CliRunner().invoke(app, [*words, "manifest", "check", "s3://bucket/m.manifest"])
    assert done.exit_code == 0, done.exception
    assert storage.access() == storage.Access("work", None, served[1], True)
    assert storage.session().get_credentials().access_key == "a"
    storage.use(storage.Access(profile="nobody"))
    with pytest.raises(StorageError, match="no AWS profile 'nobody'"):
        storage.read_text("s3://bucket/m.manifest")
    storage.use(storage.Access())
    monkeypatch.setenv("AWS_PROFILE", "nobody-2")
    with pytest.raises(StorageError, match="no AWS profile 'nobody-2'"):
        storage.session()
    monkeypatch.delenv("AWS_PROFILE")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    storage.use(storage.Access(s3_endpoint=served[1]))  # on this machine nobody needs any
    assert storage.read_text("s3://bucket/m.manifest") == '{"source": "text"}\n'
    storage.use(storage.Access(s3_endpoint="http://s3.invalid"))
    with pytest.raises(StorageError, match="no AWS credentials were found"):
        storage.read_text("s3://bucket/m.manifest")
    storage.use(storage.Access())


def test_a_session_shares_aws_models_and_nothing_else() -> None:
    first, second = storage.session(storage.Access(region="eu-west-1")), storage.session()
    assert (first.region_name, second.region_name) == ("eu-west-1", "us-east-1")
    assert isinstance(first, boto3.Session)
    assert first._loader is second._loader
