"""Exports say the truth: every form by every case, read back by the form's usual reader or refused with a reason."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from exporting import BASE, CASES, READERS, Case, run, same, wanted

from gandt.errors import InputError, MissingExtraError
from gandt.export import FORMS

DOCS = Path(__file__).resolve().parents[1] / "docs/exports.md"

#: a case is of a kind that a form can't hold: what the refusal says
KIND = {"one label": "one", "several labels": "several", "boxes": "box", "polygons": "polygon", "masks": "mask"}


#: what the cells came to that this process has tried, so that the docs' table needn't try them again
TRIED: dict[tuple[str, str], tuple[str, str]] = {}


def cell(form: str, name: str, place: Path, reader: Any) -> tuple[str, str]:
    """Try a case in a form; return the word that the table of docs/exports.md has for what happened, and a refusal."""
    case = CASES[name](place / "in", BASE.get(form, "one"))
    out = str(place / "out" / reader[1])
    if name in KIND and KIND[name] not in FORMS[form].kinds:
        with pytest.raises(InputError, match=f"the form {form} is for .*, and these labels are ") as refusal:
            run(form, out, case)
        assert not Path(out).exists()
        return "refused", str(refusal.value)
    if form == "table":
        _checked(form, out, case, reader, case.options if "attribute" in case.options else {}, {})
        return "all rows", ""
    if "statuses" in case.options:
        few = Case(case.labels, wanted(case.labels[case.labels["status"] == "confident"]))
        _checked(form, str(place / "few" / reader[1]), few, reader, {}, case.left_out)
        _checked(form, out, case, reader, case.options, {})
        return "left out; same with `--status`", ""
    if "skip_missing" in case.options and form in ("manifest", "coco"):
        _checked(form, out, case, reader, {}, {})
        return "same: an address", ""
    if case.options:
        with pytest.raises(InputError, match=r"label attributes animal, colour|there is no file ") as refusal:
            run(form, out, case)
        assert not Path(out).exists()
        case.want = {item: read for item, read in case.want.items() if Path(item).is_file()}
        _checked(form, out, case, reader, case.options, case.left_out)
        if "attribute" in case.options:
            return "refused; same with `--attribute`", ""
        return "refused; left out with `--skip-missing`", ""
    _checked(form, out, case, reader, {}, case.left_out)
    return ("left out" if case.left_out else "same"), ""


def _checked(form: str, out: str, case: Case, reader: Any, options: Any, left_out: dict[str, int]) -> None:
    done = run(form, out, case, **options)
    same(form, reader[2](out), case.want)
    assert done.left_out == left_out
    assert done.items == len(case.want) or form == "table"


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    ("form", "reader"),
    [pytest.param(form, reader, id=f"{form}-{reader[0]}") for form, readers in READERS.items() for reader in readers],
)
def test_every_form_by_every_case(form: str, reader: Any, name: str, tmp_path: Path) -> None:
    if name == "masks" and form == "coco":
        pytest.importorskip("pycocotools")
    found = cell(form, name, tmp_path, reader)
    if reader is READERS[form][0]:
        TRIED[form, name] = found


def test_the_table_in_the_docs_is_what_happens(tmp_path: Path) -> None:
    """GANDT_WRITE_DOCS=1 writes the table anew."""
    rows = ["| | " + " | ".join(f"`{form}`" for form in FORMS) + " |", "|---|" + "---|" * len(FORMS)]
    refusals: dict[str, str] = {}
    for number, name in enumerate(CASES):
        words = []
        for form in FORMS:
            try:
                word, refusal = TRIED.get((form, name)) or cell(
                    form, name, tmp_path / f"{number}-{form}", READERS[form][0]
                )
            except MissingExtraError:  # the test above tries it where pycocotools is
                word, refusal = "same", ""
            words.append(word)
            if refusal and form not in refusals:
                holds, _, instead = re.sub(" and these labels are [^;]*", "", refusal).partition(",; ")
                refusals[form] = f"* {holds.replace(form, f'`{form}`')}; with other labels {instead}."
        rows.append(f"| {name} | " + " | ".join(words) + " |")
    rows += ["", *refusals.values()]
    text = DOCS.read_text(encoding="utf-8")
    begin, end = "<!-- written by tests/test_export.py -->\n", "\n<!-- end -->"
    new = re.sub(f"(?<={begin}).*(?={end})", lambda _: "\n".join(rows), text, flags=re.DOTALL)
    if os.environ.get("GANDT_WRITE_DOCS"):
        DOCS.write_text(new, encoding="utf-8")
        text = new
    assert begin in text and new == text, "docs/exports.md isn't what happens; GANDT_WRITE_DOCS=1 writes its table anew"
