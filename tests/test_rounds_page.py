"""A run's report: every number of it, and pages for runs that are young or of an older gandt."""

from pathlib import Path
from typing import Any

import pytest

from gandt.rounds.loop import RunResult
from gandt.rounds.page import _step, write_page
from gandt.rounds.stop import EFFICIENT, Reason


def metrics(number: int, **more: Any) -> dict[str, Any]:
    return {
        "round": number,
        "session": 1,
        "asked": 40,
        "asked_again": 3,
        "answers": 40 * (number + 1),
        "gold_answers": 2 * (number + 1),
        "spent": 0.5 * (number + 1),
        "price_per_answer": 0.012,
        "currency": "EUR",
        "labelled": 38 * (number + 1),
        "confident": 10,
        "pool": 500,
        "gold": 60,
        "target": 0.9,
        "accuracy": 0.6 + 0.1 * number,
        "accuracy_low": 0.5 + 0.1 * number,
        "accuracy_high": 0.7 + 0.1 * number,
        "auc": 0.95,
        "contradictions": 0.4 if number else None,
        "halting": EFFICIENT,
        "halting_counts": [60, 300, 124],
        **more,
    }


def test_the_report_shows_how_it_stands_and_why_it_stopped(tmp_path: Path) -> None:
    reasons = [Reason("gain", False, "100 more are < dear."), Reason("rounds", True, "All 3 rounds are done.")]
    folder = tmp_path / "<run>"
    folder.mkdir()
    page = Path(write_page(RunResult(str(folder), [metrics(number) for number in range(3)], reasons)))
    text = page.read_text("utf-8")
    assert page == folder / "report.html"
    assert "<run>" not in text
    assert "< dear" not in text
    for said in ("Stopped: All 3 rounds are done.", "80.0%<small>70.0% to 90.0%, 60 gold items", "and 6 about gold"):
        assert said in text, said
    for said in ("1.50 EUR", "target 90%", "efficient: 60", "no better than random: 300", "not efficient: 124"):
        assert said in text, said
    assert text.count('<circle class="dot"') == 3 + 2, "accuracy of three rounds, contradictions of two"
    assert "href='round-002/labels.csv'" in text
    assert text.count("<script") == 0
    assert "http" not in text, "nothing is loaded from anywhere"


def test_the_report_of_a_young_run_and_of_an_older_gandt(tmp_path: Path) -> None:
    nothing = write_page(RunResult(str(tmp_path), [], []))
    assert "Nothing yet." in Path(nothing).read_text("utf-8")
    old = metrics(0, accuracy=None, halting=None)
    for name in ("halting_counts", "gold_answers", "target", "auc"):
        del old[name]
    text = Path(write_page(RunResult(str(tmp_path), [old], []))).read_text("utf-8")
    for said in (
        "No gold was given, so nobody knows.",
        "Known once two models were 20 labels apart.",
        "Not stopped yet",
    ):
        assert said in text, said


@pytest.mark.parametrize("most", [1, 7, 40, 320, 99_999])
def test_a_chart_has_a_few_round_ticks(most: int) -> None:
    assert 1 <= most // _step(most) <= 5
