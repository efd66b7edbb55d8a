"""The commands `gandt manifest ...`, from files to files."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from gandt import tables, templates
from gandt.cli import app
from gandt.cli import manifest as _commands  # noqa: F401  (registers them)
from gandt.manifest import read_lines
from gandt.manifest.lines import NAMES

AUGMENTED = str(Path(__file__).parent / "fixtures" / "ground-truth" / "augmented.manifest")


def run(*arguments, code: int = 0):
    result = CliRunner().invoke(app, ["manifest", *map(str, arguments)])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def facts(*arguments, code: int = 0):
    return json.loads(run(*arguments, "--json", code=code).stdout)


@pytest.fixture
def pool(tmp_path):
    folder = tmp_path / "pool"
    folder.mkdir()
    for number in range(6):
        Image.fromarray(np.full((16, 16, 3), number * 40, np.uint8)).save(folder / f"{number}.png")
    return folder


def test_from_a_folder_of_images_to_a_checked_manifest(tmp_path, pool, s3) -> None:
    gold = tmp_path / "gold.csv"
    gold.write_text(f"item,label\n{pool / '5.png'},cat\n")
    (pool / "torn.jpg").write_bytes(b"not a picture")
    record = tmp_path / "record.csv"
    made = run(
        *("build", pool, "s3://bucket/job.manifest", "--per-page", 3, "--category", "cat", "--category", "dog"),
        *("--other", "neither", "--gold", gold, "--gold-rate", 0.2, "--gold-record", record),
        *("--upload", "s3://bucket/pool", "--set", "header=Which?", "--positive", pool / "0.png"),
    )
    assert "torn.jpg" in made.stderr
    first = next(read_lines("s3://bucket/job.manifest", s3=s3))
    head = json.loads(first["source"])[0]
    assert first["header"] == "Which?" and head["event_names"] == ["cat", "dog"]
    assert head["positive_examples"][0].startswith("s3://bucket/pool/")
    table = tables.read_table(str(record))
    assert table["label"].tolist() == ["cat"] and table["item"].tolist() == [str(pool / "5.png")]
    lines = list(read_lines("s3://bucket/job.manifest", s3=s3))
    assert {name for line in lines for name in line[NAMES]} == {str(pool / f"{n}.png") for n in range(6)}
    problems = facts("check", "s3://bucket/job.manifest", "--label-attribute", "animal", "--online", code=1)
    assert [problem["rule"] for problem in problems] == ["CORS"]
    sent = facts("upload", pool, "s3://bucket/pool", "--cors", "--out", tmp_path / "where.csv")
    assert (sent["sent"], sent["there_already"], len(sent["set_aside"])) == (0, 6, 1)
    assert len(tables.read_table(str(tmp_path / "where.csv"))) == 6
    assert facts("check", "s3://bucket/job.manifest", "--online") == []
    assert "nothing is wrong" in run("check", "s3://bucket/job.manifest").stderr


def test_build_carries_columns_along(tmp_path) -> None:
    (tmp_path / "rows.csv").write_text(
        "item,left,right,pages\npair one,s3://b/1.jpg,s3://b/2.jpg,3\npair two,s3://b/3.jpg,,\n"
    )
    facts("build", tmp_path / "rows.csv", tmp_path / "m.manifest", "--text", "--carry", "left", "--carry", "right")
    assert list(read_lines(str(tmp_path / "m.manifest"))) == [
        {"source": "pair one", "left": "s3://b/1.jpg", "right": "s3://b/2.jpg"},
        {"source": "pair two", "left": "s3://b/3.jpg"},
    ]


def test_pairs_are_sent_and_found_again(tmp_path, pool, s3) -> None:
    (tmp_path / "pairs.csv").write_text(f"left,right\n{pool / '0.png'},{pool / '1.png'}\n{pool / '0.png'},gone.png\n")
    (tmp_path / "gold.csv").write_text(f"left,right,label\n{pool / '2.png'},{pool / '3.png'},Same\n")
    made = run(
        *("build", tmp_path / "pairs.csv", "s3://bucket/pairs.manifest", "--pairs", "--upload", "s3://bucket/pool"),
        *("--gold", tmp_path / "gold.csv", "--gold-rate", 0.5, "--gold-record", tmp_path / "record.csv"),
    )
    assert "gone.png" in made.stderr
    lines = list(read_lines("s3://bucket/pairs.manifest", s3=s3))
    assert [set(line) for line in lines] == [{"source", "left", "right", NAMES}] * 2
    assert {name for line in lines for name in line[NAMES]} == {
        f"{pool / '0.png'} {pool / '1.png'}",
        f"{pool / '2.png'} {pool / '3.png'}",
    }
    for line in lines:
        assert line["source"] == f"{line['left']} {line['right']}" and line["left"].startswith("s3://bucket/pool/")
    assert tables.read_table(str(tmp_path / "record.csv"))["item"][0] == f"{pool / '2.png'} {pool / '3.png'}"
    checked = run("check", "s3://bucket/pairs.manifest")
    assert "nothing is wrong" in checked.stderr
    inputs = templates.manifest_inputs("s3://bucket/pairs.manifest", s3=s3)
    assert templates.check(templates.read("pair-same"), inputs=inputs) == []
    (tmp_path / "pairs.csv").write_text("left,right\na.png,\n")
    run("build", tmp_path / "pairs.csv", tmp_path / "x.manifest", "--pairs", code=1)


@pytest.mark.parametrize("wrong", [["--gold", "gold.csv"], ["--set", "header"], ["--pairs", "--per-page", "2"]])
def test_build_refuses_wrong_use(tmp_path, pool, wrong) -> None:
    result = run("build", pool, tmp_path / "x.manifest", *wrong, code=1)
    assert "InputError" in repr(result.exception)


def test_check_shows_all_problems_and_fails(tmp_path) -> None:
    (tmp_path / "x.manifest").write_text("{\n" * 60)
    result = run("check", tmp_path / "x.manifest", "--out", tmp_path / "problems.csv", code=1)
    assert "and 10 more" in result.stderr and "60 errors" in result.stderr
    assert len(tables.read_table(str(tmp_path / "problems.csv"))) == 60


def test_labels(tmp_path) -> None:
    out = tmp_path / "labels.parquet"
    assert facts("labels", AUGMENTED, "--attribute", "sky", "--out", out)["labels"] == 3
    assert tables.read_table(str(out))["label"].tolist()[:2] == ["kite", "balloon"]
    assert "text-span" in run("labels", AUGMENTED).stdout


def test_filter_split_chain_join_merge(tmp_path) -> None:
    sure, unsure, one, two = (tmp_path / f"{name}.manifest" for name in ("sure", "unsure", "one", "two"))
    assert facts("filter", AUGMENTED, one, "--attribute", "sky", "--label", "kite")["kept"] == 1
    assert facts("filter", AUGMENTED, two, "--attribute", "sky", "--machine")["kept"] == 1
    counts = facts("split", AUGMENTED, sure, unsure, "--attribute", "sky", "--min-confidence", 0.9)
    assert counts == {str(sure): 1, str(unsure): 16}
    assert sum(facts("split", AUGMENTED, sure, unsure, "--share", 0.5).values()) == 17
    run("split", AUGMENTED, sure, unsure, code=1)
    again = tmp_path / "again.manifest"
    assert facts("chain", AUGMENTED, again, "--attribute", "sky")["to_be_asked"] == 16
    assert facts("chain", AUGMENTED, again, "--attribute", "sky", "--new-attribute", "sky-2")["lines"] == 17
    assert facts("join", again, one, two)["lines"] == 2
    merged = facts("merge", again, one, two, "--prefer", "confidence", "--conflicts", tmp_path / "c.csv")
    assert (merged["items"], merged["conflicts"]) == (2, 0)
