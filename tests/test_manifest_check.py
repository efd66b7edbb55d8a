import json
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gandt.errors import InputError, StorageError
from gandt.manifest import build_manifest, check_manifest
from gandt.manifest.lines import LONGEST, raw_lines

GOOD = {"source-ref": "s3://bucket/1.jpg"}


def check(tmp_path, *lines, **options):
    """Check a manifest of these lines (dicts, text or bytes)."""
    raw = [
        line if isinstance(line, bytes) else (line if isinstance(line, str) else json.dumps(line)).encode()
        for line in lines
    ]
    path = tmp_path / "x.manifest"
    path.write_bytes(b"\n".join(raw) + b"\n" * bool(raw))
    return check_manifest(str(path), **options)


def only(table):
    assert len(table) == 1, table.to_string()
    row = table.iloc[0]
    return int(row["line"]), row["severity"], row["rule"], row["problem"]


@pytest.mark.parametrize(
    "line",
    [
        GOOD,
        {"source": "free text", "labels": ["a", "b"], "header": "Which?"},
        {**GOOD, "record-id": 17, "camera": {"lens": [1, 2]}, "note": None},
        {**GOOD, "sky": 0, "sky-metadata": {"type": "groundtruth/image-classification"}},
        {**GOOD, "dataset-objectid-attribute-name": "my-key", "my-key": "one"},
        '{"source": "with \\u2028 and \\n inside"}\r',
        build_manifest(["s3://bucket/1.jpg", "s3://bucket/2.jpg"], per_page=2, categories=["a"]).lines[0],
    ],
)
def test_what_ground_truth_takes_passes(tmp_path, line) -> None:
    assert check(tmp_path, line).empty


@pytest.mark.parametrize(
    ("line", "severity", "rule", "words"),
    [
        (b'{"source": "\xff"}', "error", "encoding", "byte 13 isn't UTF-8"),
        ('\ufeff{"source": "x"}', "warning", "encoding", "byte-order mark"),
        ("", "warning", "empty line", "remove it"),
        ("{", "error", "JSON", "isn't one complete JSON object"),
        ('{"source": "a\tb"}', "error", "JSON", "Invalid control character"),
        ('{"source": NaN}', "error", "JSON", "NaN is no JSON"),
        ("[" * 100_000, "error", "JSON", "nested too deeply"),
        ("[1]", "error", "JSON", "JSON list, not an object"),
        ('{"source": "a", "x": {"b": 1, "b": 2}}', "warning", "keys", "'b' stands twice"),
        ({**GOOD, **{f"k{n}": "x" * 19_000 for n in range(6)}}, "error", "line length", "114,"),
        ({**GOOD, "k": "x" * 20_001}, "error", "attribute length", "'k' has 20,001"),
        ({**GOOD, "$x": 1}, "error", "keys", "begins with $"),
        ({**GOOD, "$label-attribute-name-object-id": "1"}, "warning", "keys", "streaming job's output"),
        ({"image": "s3://b/k"}, "error", "source", "neither"),
        ({**GOOD, "source": "x"}, "warning", "source", "both"),
        ({"source-ref": 7}, "error", "source", "is int"),
        ({"source": [GOOD]}, "error", "source", "is a list"),
        ({"source": " "}, "error", "source", "is empty"),
        ({"source-ref": "https://x/y.jpg"}, "error", "address", "isn't an s3:// address"),
        ({"source-ref": "/home/x.jpg"}, "error", "address", "isn't an s3:// address"),
        ({"source-ref": "s3://bucket"}, "error", "address", "names no bucket and object"),
        ({"source-ref": "s3://Bucket_/k"}, "error", "address", "names no bucket and object"),
        ({"source-ref": "s3://bucket/x.heic"}, "warning", "file kind", "browsers don't show .heic"),
        ({"source": '[{"source-ref": 1'}, "warning", "page", "looks like a page"),
        ({"source": '[{"source-ref": "s3://bucket/1"}]'}, "warning", "page", "no event_names"),
        ({"source": '[{"index": 0}]', "labels": ["a"]}, "error", "page", "item 0 of the page has neither"),
        ({"source": '[{"source-ref": "1.jpg"}]', "labels": ["a"]}, "error", "address", "item 0 of the page is '1.jpg'"),
        ({"source": '[{"source": "a"}, {"source": "b", "index": 0}]', "labels": "a"}, "error", "page", "index '0'"),
        ({"source": '[{"source": "a"}, {"source": "a"}]', "labels": ["a"]}, "warning", "duplicate", "on the page"),
        ({**GOOD, "sky-metadata": {}}, "warning", "chained", "without its label 'sky'"),
        ({**GOOD, "sky": 1, "sky-metadata": "x"}, "warning", "chained", "isn't an object"),
        ({**GOOD, "dataset-objectid-attribute-name": "k" * 141}, "error", "streaming id", "140"),
        ({**GOOD, "dataset-objectid-attribute-name": "k", "k": "x" * 1_025}, "error", "streaming id", "1,024"),
    ],
)  # fmt: skip
def test_each_rule(tmp_path, line, severity, rule, words) -> None:
    rows = check(tmp_path, line)
    rows = rows[rows["rule"] != "count"]
    number, found_severity, found_rule, problem = only(rows)
    assert (number, found_severity, found_rule) == (1, severity, rule)
    assert words in problem


def test_all_problems_at_once_with_line_numbers(tmp_path) -> None:
    table = check(tmp_path, GOOD, "{", GOOD, {"x": 1, "$y": 2})
    assert table[["line", "rule"]].to_numpy().tolist() == [[2, "JSON"], [3, "duplicate"], [4, "keys"], [4, "source"]]
    assert "line 1 shows the same" in table["problem"][1]


@pytest.mark.parametrize(
    ("name", "task_type", "severity"),
    [
        ("animal-2", "custom", None),
        ("source-ref", "custom", "error"),
        ("an_imal", "custom", "error"),
        ("-animal", "custom", "error"),
        ("a" * 128, "custom", "error"),
        ("sky-metadata", "custom", "error"),
        ("mask", "semantic-segmentation", "error"),
        ("mask-ref", "semantic-segmentation", None),
        ("mask-ref", "custom", "warning"),
    ],
)
def test_the_label_attributes_name(tmp_path, name, task_type, severity) -> None:
    table = check(tmp_path, GOOD, label_attribute=name, task_type=task_type)
    assert table[table["rule"] == "attribute name"]["severity"].tolist() == ([severity] if severity else [])


def test_chained_lines_under_the_attribute_are_counted(tmp_path) -> None:
    labelled = {"source-ref": "s3://bucket/2.jpg", "sky": 0}
    table = check(tmp_path, GOOD, labelled, label_attribute="sky")
    assert table["severity"].tolist() == ["note", "warning"]
    assert "1 of 2 lines carry 'sky' already" in table["problem"][0]


def test_built_in_tasks_take_fewer_files(tmp_path) -> None:
    line = {"source-ref": "s3://bucket/1.gif"}
    assert check(tmp_path, line).empty
    assert only(check(tmp_path, line, task_type="object-detection"))[1:3] == ("error", "file kind")
    with pytest.raises(InputError, match="no task type"):
        check(tmp_path, line, task_type="guessing")


def test_counts(tmp_path) -> None:
    assert only(check(tmp_path))[:3] == (0, "error", "count")
    lines = [{"source": str(n)} for n in range(20_001)]
    assert check(tmp_path, *lines).empty
    assert "20,001" in only(check(tmp_path, *lines, label_attribute="m-ref", task_type="semantic-segmentation"))[3]


def test_a_hundred_thousand_lines_take_seconds_and_little_memory(tmp_path) -> None:
    path = tmp_path / "big.manifest"
    with path.open("w") as file:
        for number in range(100_001):
            file.write(json.dumps({"source-ref": f"s3://bucket/images/{number:08}.jpg", "record": number}) + "\n")
    start = time.process_time()  # not the clock: others may be at work on this machine
    table = check_manifest(str(path))
    seconds = time.process_time() - start
    assert only(table)[3].startswith("the manifest holds 100,001 data objects")
    assert seconds < 20  # about 1.5 s on a quiet machine


def test_a_huge_line_without_an_end_stays_small_in_memory(tmp_path) -> None:
    path = tmp_path / "x.manifest"
    with path.open("wb") as file:
        for _ in range(64):
            file.write(b"x" * (1 << 20))
        file.write(b'\n{"source": "a"}')
    tracemalloc.start()
    table = check_manifest(str(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert only(table)[:3] == (1, "error", "line length")
    assert peak < 6 * LONGEST
    assert [line.number for line in raw_lines(str(path))] == [1, 2]


@settings(max_examples=100, deadline=None)
@given(
    content=st.binary(max_size=80)
    | st.text(max_size=40).map(lambda text: json.dumps({"source": text, text: [text]}).encode())
)
def test_any_bytes_are_survived(tmp_path_factory, content) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.manifest"
    path.write_bytes(content)
    table = check_manifest(str(path), label_attribute="sky")
    assert table["severity"].isin(["error", "warning", "note"]).all()
    assert b"\n".join(line.content for line in raw_lines(str(path))) == content.replace(b"\r\n", b"\n").removesuffix(
        b"\n"
    ).removesuffix(b"\r" if content.endswith(b"\r") else b"")


# --- online -------------------------------------------------------------------------------------------------------

CORS = {"CORSRules": [{"AllowedHeaders": [], "AllowedMethods": ["GET"], "AllowedOrigins": ["*"], "ExposeHeaders": []}]}


def test_online_finds_missing_and_empty_objects(tmp_path, s3) -> None:
    s3.put_bucket_cors(Bucket="bucket", CORSConfiguration=CORS)
    for number in range(70):  # so many in a folder are listed
        s3.put_object(Bucket="bucket", Key=f"many/{number:03}.jpg", Body=b"x" * (number != 5))
    s3.put_object(Bucket="bucket", Key="few/1.jpg", Body=b"x")
    lines = [{"source-ref": f"s3://bucket/many/{number:03}.jpg"} for number in range(72)]
    lines += [{"source-ref": "s3://bucket/few/1.jpg"}, {"source-ref": "s3://bucket/few/2.jpg"}]
    lines.append(
        build_manifest(["s3://bucket/few/1.jpg", "s3://bucket/few/3.jpg"], per_page=2, categories=["a"]).lines[0]
    )
    table = check(tmp_path, *lines, online=True, s3=s3)
    assert table["line"].tolist() == [6, 71, 72, 74, 75]
    assert table["severity"].eq("error").all()
    assert "is empty" in table["problem"][0] and "no such object" in table["problem"][4]


def test_online_finds_cors_regions_and_buckets(tmp_path, s3) -> None:
    s3.create_bucket(Bucket="far-away", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_bucket_cors(Bucket="far-away", CORSConfiguration=CORS)
    for bucket in ("bucket", "far-away"):
        s3.put_object(Bucket=bucket, Key="1.jpg", Body=b"x")
    lines = [{"source-ref": f"s3://{bucket}/1.jpg"} for bucket in ("bucket", "far-away", "absent-bucket")]
    table = check(tmp_path, *lines, online=True, s3=s3)
    assert table[["line", "rule"]].to_numpy().tolist() == [[0, "region"], [1, "CORS"], [3, "bucket"]]
    table = check(tmp_path, lines[1], online=True, s3=s3, region="eu-west-1")
    assert table.empty
    assert only(check(tmp_path, lines[1], online=True, s3=s3, region="us-east-1"))[2] == "region"


def test_the_manifests_own_bucket_must_be_in_the_region_too(s3) -> None:
    s3.put_object(Bucket="bucket", Key="x.manifest", Body=json.dumps({"source": "text"}))
    assert check_manifest("s3://bucket/x.manifest", s3=s3, online=True, region="us-east-1").empty
    assert only(check_manifest("s3://bucket/x.manifest", s3=s3, online=True, region="eu-west-1"))[2] == "region"
    with pytest.raises(StorageError, match="no such object"):
        check_manifest("s3://bucket/absent.manifest", s3=s3)
