"""Tables mean the same as CSV, Parquet and JSON lines, and what a column can't hold is refused by row and column."""

import io
import json
import unicodedata
import warnings
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gandt.categories import tidy
from gandt.errors import GandtWarning, InputError, StorageError
from gandt.names import item_labels, matched, spelled_as
from gandt.tables import ANSWERS, CANDIDATES, GOLD, ITEMS, LABELS, WORKERS, Schema, read_table, write_table

FORMS = ("csv", "tsv", "parquet", "jsonl")
# what spreadsheets, shells and parsers trip over, beside any text
TEXTS = st.one_of(
    st.sampled_from(["01", "1e5", "NA", "nan", "true", "-1", "+1", "=1+1", "@x", "-x", "'=x", "''", '"', "a,b;c"]),
    st.sampled_from(["é", "e\u0301", "null", "None", "-", "1,5", "½", "ש\u202eא"]),
    st.sampled_from(["x\ry", "p\nq", "\tq", "p\u2028q", "n\0m", "\ufeffa"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.integers(1, 6))

    def column(values: st.SearchStrategy[object]) -> list[object]:
        return draw(st.lists(values, min_size=rows, max_size=rows))

    share = st.one_of(st.just(float("nan")), st.floats(0, 1))
    number = st.one_of(st.just(float("nan")), st.floats(0, allow_infinity=False))
    moments = st.one_of(st.none(), st.datetimes(datetime(1678, 1, 1), datetime(2262, 1, 1)).map(str))
    table = pd.DataFrame(
        {
            "item": pd.array(column(TEXTS.map(lambda text: text.strip() or "item")), dtype="str"),
            "label": pd.array(column(st.one_of(st.none(), TEXTS)), dtype="str"),
            "confidence": np.array(column(share), np.float64),
            "seconds": np.array(column(number), np.float64),
            "votes": np.array(column(st.integers(0, 2**53)), np.int64),
            "own": pd.array(column(st.one_of(st.none(), TEXTS)), dtype="str"),
        }
    )
    table["submitted_at"] = pd.to_datetime(pd.Series(column(moments), dtype=object), utc=True, format="ISO8601")
    return table


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=frames())
def test_a_table_reads_back_the_same_from_every_form(table: pd.DataFrame, tmp_path: Path) -> None:
    read = []
    for form in FORMS:
        write_table(table, str(tmp_path / f"t.{form}"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GandtWarning)
            read.append(read_table(str(tmp_path / f"t.{form}"), LABELS))
    for other in read[1:]:
        pd.testing.assert_frame_equal(read[0], other, check_exact=True)
    for name in ("label", "own"):  # and it is what was written, by the stated rule
        wanted = [tidy(text) if isinstance(text, str) and tidy(text) else None for text in table[name]]
        assert [text if isinstance(text, str) else None for text in read[0][name]] == wanted
    np.testing.assert_array_equal(read[0]["confidence"], table["confidence"])
    np.testing.assert_array_equal(read[0]["seconds"], table["seconds"])
    np.testing.assert_array_equal(read[0]["votes"], table["votes"])
    pd.testing.assert_series_equal(read[0]["submitted_at"], table["submitted_at"].astype("datetime64[ns, UTC]"))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=frames())
def test_other_writers_tables_mean_the_same(table: pd.DataFrame, tmp_path: Path) -> None:
    """Written by pandas, which writes no apostrophes and other times, read by gandt."""
    table = table[~table["label"].fillna("").str.startswith("'") & ~table["own"].fillna("").str.startswith("'")]
    table = table[~table["item"].str.startswith("'")].reset_index(drop=True)
    # a lone carriage return ends a row of what pandas writes
    table = table[~table[["item", "label", "own"]].fillna("").apply(lambda c: c.str.contains("\r")).any(axis=1)]
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_csv(tmp_path / "u.csv", index=False, sep=";", decimal=",", encoding="utf-16")
    table.reset_index(drop=True).to_parquet(tmp_path / "t.parquet")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GandtWarning)
        read = [read_table(str(tmp_path / name), LABELS) for name in ("t.parquet", "t.csv", "u.csv")]
    for other in read[1:]:
        pd.testing.assert_frame_equal(read[0], other, check_exact=True)


ROWS = "item,label,confidence\na.jpg,cat,0.97\nb.jpg,dog,0.5\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_what_spreadsheets_save_reads_alike(tmp_path: Path, encoding: str, delimiter: str, ends: str) -> None:
    text = ROWS.replace(",", delimiter).replace("\n", ends)
    if delimiter != ",":
        text = text.replace("0.97", "0,97")
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    table = read_table(str(tmp_path / "t.csv"), LABELS)
    assert table.to_dict("list") == {"item": ["a.jpg", "b.jpg"], "label": ["cat", "dog"], "confidence": [0.97, 0.5]}


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\nitem;label\na.jpg;cat\n",
        "\n\nitem,label\n\na.jpg,cat\n\n",
        "item , label\na.jpg, cat \n",
        "item,label,\na.jpg,cat,\n",  # a trailing comma all the way
        "item,label\na.jpg,cat,\n",  # and in the row alone
        "item,label\na.jpg,cat,,, \n",
        ",item,label\n0,a.jpg,cat\n",  # an index that pandas wrote
        '"item","label"\n"a.jpg","cat"',
    ],
)
@pytest.mark.filterwarnings("ignore::gandt.errors.GandtWarning")
def test_odd_but_clear_csv_is_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    assert read_table(str(tmp_path / "t.csv"), GOLD).to_dict("list") == {"item": ["a.jpg"], "label": ["cat"]}


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("t.csv", "item,label,confidence\ns3://b/a.jpg,cat,0.97,x\n", "line 2 .* has 4 cells, the header 3"),
        ("t.csv", "item,label,confidence\na,cat,1\nb,dog\n", "line 3 .* has 2 cells"),
        ("t.csv", 'item,label\na,"cat\nb,dog\n', "isn't readable as CSV"),
        ("t.csv", "item,worker,label,label\na,w,x,y\n", "two columns 'label'"),
        ("t.jsonl", '{"item": "a", "label": "x", "label": "y"}\n', "line 1 .* key 'label' twice"),
        ("t.jsonl", '{"item": "a"}\n["item"]\n', "line 2 .* isn't a JSON object"),
        ("t.jsonl", '{"item": "a"\n', "line 1 .* isn't a JSON object"),
        ("t.jsonl", "[" * 100_000, "nested too deeply"),
        ("t.csv", "item,label,\na,cat,filled\n", "column 3 .* has no name"),
        ("t.csv", "", "is empty"),
        ("t.csv", "label,confidence\ncat,1\n", "lacks the column item; it has label, confidence"),
        ("t.csv", "item,label\na,cat\n,dog\n", "row 2 .* has no item"),
        ("t.csv", "item,label\na,cat\n  ,dog\n", "row 2 .* has no item"),
        ("t.jsonl", '{"item": null, "label": "x"}\n', "row 1 .* has no item"),
        ("t.csv", "item,label,confidence\na,cat,70%\n", "row 1 .*, column confidence: '70%' is no number; write 0.7"),
        ("t.csv", 'item,label,confidence\na,cat,"0,97"\n', "column confidence: '0,97' is no number"),
        ("t.csv", "item,label,confidence\na,cat,97\n", "'97' lies outside 0 to 1"),
        ("t.jsonl", '{"item": "a", "label": "x", "confidence": true}\n', "column confidence: True is no number"),
        ("t.jsonl", '{"item": "a", "label": "x", "confidence": Infinity}\n', "column confidence: inf is no number"),
        ("t.csv", "item,label,votes\na,cat,2.5\n", "column votes: '2.5' is no count"),
        ("t.csv", "item,label,votes\na,cat,-1\n", "column votes: '-1' is no count"),
        ("t.csv", "item,label,submitted_at\na,cat,yesterday\n", "'yesterday' is no time"),
        ("t.csv", "item,label,submitted_at\na,cat,9999-01-01\n", "column submitted_at: .* lies outside 1677 to 2262"),
        ("t.csv", "item,decision,label\na,keep,cat\n", "holds candidates"),
        ("t.csv", "item,worker,label\na,w,cat\n", "holds answers"),
        ("t.csv", "item,label\na,\"['cat', 'dog']\"\n", "is a list as Python prints it; write several labels as"),
        ("t.csv", "item,Label,label\na,x,y\n", "has two columns 'label', but for capitals"),
        ("t.csv", "item,workerId,label\na,w,x\n", "holds answers, one a worker"),
        ("t.csv", "item,category,label,confidence,status\na,cat,yes,1,confident\n", "holds labels of each category"),
        ("t.csv", "item;label;confidence\na;x;0,5\nb;y;1.000\n", "column confidence: '1.000' is no number"),
        ("t.csv", '"item","label"\n"a","cat\ndog\nb,do"g\n', "isn't readable as CSV"),
        ("t.csv", "image,decision\na,keep\n", "lacks the columns item, label"),
        ("t.xlsx", "", "is a file of a kind that can't be used here; a table that ends in .csv"),
    ],
)
def test_what_a_table_cannot_be_is_refused_by_place(tmp_path: Path, name: str, content: str, told: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=told):
        read_table(str(tmp_path / name), LABELS)


def test_a_path_that_is_not_there_is_told_from_one_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="there is no such file or folder"):
        read_table(str(tmp_path / "gold.csv"), GOLD)
    with pytest.raises(StorageError, match="there is no such file or folder"):
        read_table(str(tmp_path / "exmples"), GOLD)
    with pytest.raises(InputError, match="is a folder of a kind that can't be used here"):
        read_table(str(tmp_path), GOLD)
    with pytest.raises(InputError, match="can't tell the table format"):
        write_table(pd.DataFrame({"item": ["a"]}), str(tmp_path / "t.xlsx"))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("item,label\na,é\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"neither UTF-8 nor UTF-16 .line 2, byte 0xe9.; save it as UTF-8"):
        read_table(str(tmp_path / "t.csv"), GOLD)
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match="isn't a readable parquet table"):
        read_table(str(tmp_path / "t.parquet"), GOLD)


def test_gaps_are_gaps_whatever_they_are_called_and_words_stay_words(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("item,label,confidence\na,NA,NaN\nb,nan,\nc,None,nan\n")
    table = read_table(str(tmp_path / "t.csv"), LABELS)
    assert table["label"].tolist() == ["NA", "nan", "None"] and table["confidence"].isna().all()


def test_capitals_in_the_header_are_a_persons(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("Item,LABEL,Confidence,Status,Own\na,cat,0.4,relabel,Kept\n")
    table = read_table(str(tmp_path / "t.csv"), LABELS)
    assert table.to_dict("records") == [
        {"item": "a", "label": "cat", "confidence": 0.4, "status": "relabel", "Own": "Kept"}
    ]


def test_seconds_below_zero_are_gaps_and_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("item,worker,label,seconds\na,w,cat,-7199\nb,w,cat,3\n")
    with pytest.warns(GandtWarning, match="1 times below 0 seconds were read as gaps"):
        table = read_table(str(tmp_path / "t.csv"), ANSWERS)
    assert np.isnan(table["seconds"][0]) and table["seconds"][1] == 3


def test_text_is_read_by_one_rule_and_that_is_said_once(tmp_path: Path) -> None:
    cafe = unicodedata.normalize("NFD", "café")
    (tmp_path / "t.csv").write_text(f"item,label\na.jpg,cat\nb.jpg, cat\nc.jpg,{cafe}\n")
    with pytest.warns(GandtWarning, match="the column label was read without blanks .* ' cat'") as said:
        table = read_table(str(tmp_path / "t.csv"), GOLD)
    assert table["label"].tolist() == ["cat", "cat", "café"] and len(said) == 1


@pytest.mark.parametrize(
    "labels", [[7, 8, 9], [7.0, None, 8.5], [1e20, 1e-7, None], ["2026-01-01", None, "2026-02-03"]]
)
def test_other_types_as_labels_are_the_text_that_other_writers_give_them(tmp_path: Path, labels: list[object]) -> None:
    """Integers, floats (integers beside a gap), days: as pandas writes them into CSV."""
    table = pd.DataFrame({"item": [1, 2, 3], "label": labels})
    if isinstance(labels[0], str):
        table["label"] = pd.to_datetime(table["label"])
    table.to_parquet(tmp_path / "t.parquet")
    table.to_csv(tmp_path / "t.csv", index=False)
    read = [read_table(str(tmp_path / f"t.{form}"), GOLD) for form in ("parquet", "csv")]
    if not isinstance(labels[0], str):  # days are numbers in pandas' JSON
        table.to_json(tmp_path / "t.jsonl", orient="records", lines=True, double_precision=15)
        read.append(read_table(str(tmp_path / "t.jsonl"), GOLD))
    for other in read[1:]:
        pd.testing.assert_frame_equal(read[0], other)
    assert read[0]["item"].tolist() == ["1", "2", "3"]


def test_lists_as_labels_are_json(tmp_path: Path) -> None:
    table = pd.DataFrame({"item": ["a"], "label": [["cat", "dög"]]})
    table.to_parquet(tmp_path / "t.parquet")
    (tmp_path / "t.jsonl").write_text('{"item": "a", "label": ["cat", "dög"]}\n')
    read = [read_table(str(tmp_path / f"t.{form}"), LABELS)["label"][0] for form in ("parquet", "jsonl")]
    assert read == ['["cat", "dög"]'] * 2


def test_a_table_without_rows_is_one_in_every_form(tmp_path: Path) -> None:
    table = pd.DataFrame({"item": [], "worker": [], "label": []}, dtype=str)
    for form in FORMS:
        write_table(table, str(tmp_path / f"t.{form}"))
        read = read_table(str(tmp_path / f"t.{form}"), ANSWERS)
        assert not len(read) and list(read.columns) == ["item", "worker", "label"]


def test_half_characters_become_escapes(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"item": "a", "label": "\\ud800"}\n')
    assert read_table(str(tmp_path / "t.jsonl"), GOLD)["label"].tolist() == ["\\ud800"]


def test_no_cell_is_run_by_a_spreadsheet(tmp_path: Path) -> None:
    hostile = ['=HYPERLINK("http://x")', "@SUM(A1)", "+1+1", "-2+3", "\t=1", "\r=1", "=1", "'=1"]
    table = pd.DataFrame({"item": [str(n) for n in range(len(hostile))], "label": hostile})
    write_table(table, str(tmp_path / "t.csv"))
    for cell in pd.read_csv(tmp_path / "t.csv", dtype=str, keep_default_na=False)["label"]:
        assert cell[0] not in "=+-@\t\r"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GandtWarning)
        assert read_table(str(tmp_path / "t.csv"), GOLD)["label"].tolist() == [tidy(text) for text in hostile]
    numbers = pd.DataFrame({"item": ["a", "b"], "label": ["-1", "+2.5e3"]})  # of which nothing is run
    write_table(numbers, str(tmp_path / "n.csv"))
    assert pd.read_csv(tmp_path / "n.csv", dtype=str)["label"].tolist() == ["-1", "+2.5e3"]


def test_codes_are_read_as_text_is(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("task,performer,label\na,w,cat\nb,v, cat\nc,w,'=x\nd,w,\n")
    with pytest.warns(GandtWarning, match="label"):
        coded = read_table(str(tmp_path / "t.csv"), ANSWERS, codes=("worker", "performer", "label"))
    with pytest.warns(GandtWarning, match="label"):
        plain = read_table(str(tmp_path / "t.csv"), ANSWERS)
    assert list(coded.columns) == list(plain.columns) == ["item", "worker", "label"]
    assert (
        coded["label"].astype("str").fillna("-").tolist()
        == plain["label"].fillna("-").tolist()
        == [
            "cat",
            "cat",
            "=x",
            "-",
        ]
    )
    assert isinstance(coded["label"].dtype, pd.CategoricalDtype)


def test_features_are_numbers_by_column_whatever_they_are_called(tmp_path: Path) -> None:
    schema = Schema("vectors", (), features=True, texts=("item",))
    (tmp_path / "t.csv").write_text("item;votes;kind;image\n007;1,5;red;2\n008;NaN;blue;3\n")
    table = read_table(str(tmp_path / "t.csv"), schema)
    assert table["item"].tolist() == ["007", "008"] and table["kind"].tolist() == ["red", "blue"]
    assert table["votes"].tolist()[0] == 1.5 and np.isnan(table["votes"][1]) and table["image"].tolist() == [2, 3]


def test_a_million_answers_are_read_without_a_row_of_python(tmp_path: Path) -> None:
    """The quick way is taken for clean files: no list of cells is built."""
    rows = 200_000
    table = pd.DataFrame({"item": np.arange(rows).astype(str), "worker": "w", "label": "cat"})
    table.to_csv(tmp_path / "t.csv", index=False)
    read = read_table(str(tmp_path / "t.csv"), ANSWERS, codes=("worker", "label"))
    assert len(read) == rows and read["item"].tolist() == table["item"].tolist()


# ---------------------------------------------------------------- names


def test_names_meet_in_any_unicode_form() -> None:
    composed, apart = "fotos/é.jpg", unicodedata.normalize("NFD", "fotos/é.jpg")
    assert spelled_as([composed], [apart, "b"]) == [apart]
    assert spelled_as([apart, composed], {apart, composed}) == [apart, composed]  # two files: each is itself
    assert spelled_as(["c"], [apart]) == ["c"]


def test_a_join_that_matches_nothing_shows_both_sides() -> None:
    with pytest.raises(InputError, match=r"no item of gold.csv, such as 'x', is among the answers, such as 'a'"):
        matched(["x", "y"], {"a", "b"}, what="gold.csv", among="the answers")
    with pytest.warns(GandtWarning, match="1 of 2 items of gold.csv aren't among the answers, such as 'y'"):
        assert matched(["a", "y"], {"a", "b"}, what="gold.csv", among="the answers") == ["a", "y"]
    assert matched([], {"a"}, what="gold.csv", among="the answers") == []
    assert matched(["a"], set(), what="gold.csv", among="the answers") == ["a"]


def test_two_labels_of_one_item_are_refused() -> None:
    table = pd.DataFrame({"item": ["a", "a", "b"], "label": ["cat", "dog", None]})
    with pytest.raises(InputError, match=r"gold.csv gives a two labels, 'cat' and 'dog'"):
        item_labels(table, "gold.csv")
    assert item_labels(table.head(1), "gold.csv") == {"a": "cat"}


def test_the_kinds_refuse_each_other(tmp_path: Path) -> None:
    rows = {
        "candidates": {"item": "a", "decision": "keep", "label": "cat"},
        "answers": {"item": "a", "worker": "w", "label": "cat"},
        "labels": {"item": "a", "label": "cat", "confidence": 0.5},
        "workers": {"worker": "w", "reliability": 0.9, "reliability_low": 0.8, "reliability_high": 0.95},
    }
    takes = {"candidates": (CANDIDATES, ITEMS), "answers": (ANSWERS, ITEMS), "labels": (LABELS, GOLD, ITEMS)}
    takes["workers"] = (WORKERS,)
    for kind, row in rows.items():
        (tmp_path / "t.jsonl").write_text(json.dumps(row) + "\n")
        for schema in (CANDIDATES, ANSWERS, LABELS, GOLD, ITEMS, WORKERS):
            if schema in takes[kind]:
                assert len(read_table(str(tmp_path / "t.jsonl"), schema)) == 1
            else:
                with pytest.raises(InputError):
                    read_table(str(tmp_path / "t.jsonl"), schema)


def test_times_keep_their_nanoseconds(tmp_path: Path) -> None:
    moment = pd.Timestamp("2026-01-02T03:04:05.123456789Z")
    table = pd.DataFrame({"item": ["a", "b"], "label": ["x", "y"], "submitted_at": [moment, pd.NaT]})
    for form in FORMS:
        write_table(table, str(tmp_path / f"t.{form}"))
        assert read_table(str(tmp_path / f"t.{form}"), GOLD)["submitted_at"][0] == moment
    assert "2026-01-02T03:04:05.123456789+00:00" in (tmp_path / "t.csv").read_text()
    assert io.StringIO((tmp_path / "t.jsonl").read_text()).readline().count("null") == 0
