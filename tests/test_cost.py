"""What a job will cost, and what it did cost."""

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from gandt.cli import app
from gandt.cli import consensus as _consensus_cmd  # noqa: F401  (registers the command)
from gandt.consensus import consolidate
from gandt.cost import GROUND_TRUTH, Prices, actual, plan, read_plan, read_prices
from gandt.errors import InputError


def test_a_page_is_one_object_and_one_task_per_worker() -> None:
    result = plan(2000, per_page=20, workers=3, prices=Prices(per_object=((0, 0.1),), per_task=0.02))
    assert (result.pages, result.tasks, result.judgements) == (100, 300, 6000)
    assert result.cost == pytest.approx(100 * 0.1 + 300 * 0.02)
    assert result.judgements_low == result.judgements_high == 6000


def test_tiers_of_the_price_list() -> None:
    assert GROUND_TRUTH.objects(60_000) == pytest.approx(50_000 * 0.08 + 10_000 * 0.04)
    assert GROUND_TRUTH.objects(0) == 0


def test_asking_until_sure_has_an_interval_and_beats_its_first_round() -> None:
    fixed = plan(1000, workers=2, per_page=1)
    sure = plan(1000, workers=2, per_page=1, until_sure=True)
    assert sure.judgements_low < sure.judgements < sure.judgements_high <= 9000
    assert sure.accuracy > fixed.accuracy + 0.03
    assert sure.cost_low < sure.cost < sure.cost_high
    skilled = plan(1000, workers=2, per_page=1, until_sure=True, skill=0.95, skill_spread=0.01)
    assert skilled.judgements < sure.judgements


def test_gold_is_paid_too() -> None:
    assert plan(900, per_page=10, gold_rate=0.1).gold == 100
    assert plan(900, per_page=10, gold_rate=0.1).pages == 100


def test_actual_next_to_plan(tmp_path: Path) -> None:
    # a page of ten tiles took 36 seconds, which each of its rows says
    rows = [(f"i{n}", f"w{w}", "cat", "job", f"page{n // 10}", 36.0) for n in range(20) for w in range(4)]
    answers = pd.DataFrame(rows, columns=["item", "worker", "label", "job", "data_object", "seconds"])
    prices = Prices(per_object=((0, 1.0),), per_task=0.5, per_hour=100.0)
    expected = plan(20, per_page=10, workers=5, prices=prices)
    labels = consolidate(answers, target=0.8).labels
    found = actual(labels, answers, prices, expected)
    assert (found["items"], found["judgements"], found["pages"], found["tasks"]) == (20, 80, 2, 8)
    assert found["hours"] == pytest.approx(0.08)
    assert found["cost"] == pytest.approx(2 + 4 + 8)
    assert found["confident"] == 20 and found["cost_per_confident"] == pytest.approx(14 / 20)
    assert found["plan"]["pages"] == {"planned": 2, "low": None, "high": None, "difference": 0}
    assert found["plan"]["judgements"] == {"planned": 100, "low": 100, "high": 100, "difference": -20}
    place = tmp_path / "plan.json"
    prices_file = tmp_path / "prices.json"
    prices_file.write_text('{"per_object": [[0, 1]], "per_task": 0.5, "per_hour": 100}')
    asked = ["plan", "20", "--per-page", "10", "--workers", "5", "--prices", str(prices_file), "--out", str(place)]
    assert CliRunner().invoke(app, asked).exit_code == 0
    assert read_plan(str(place)) == expected
    assert actual(labels, answers, prices, read_plan(str(place))) == found
    assert actual(labels, answers)["plan"] is None


def test_actual_with_little_known() -> None:
    answers = pd.DataFrame({"item": ["a", "a", "b"], "worker": ["v", "v", "v"], "label": ["x", "y", "x"]})
    labels = pd.DataFrame({"item": ["a", "b"], "status": ["relabel", "relabel"]})
    found = actual(labels, answers)
    assert (found["judgements"], found["pages"], found["tasks"]) == (2, 2, 2)  # two labels are one judgement
    assert found["hours"] is None and found["cost_per_confident"] is None
    with pytest.raises(InputError, match="labels table lacks the column status"):
        actual(labels[["item"]], answers)


@pytest.mark.parametrize("text", ["{", "[]", '{"items": 1}'])
def test_what_is_no_plan_is_explained(tmp_path: Path, text: str) -> None:
    place = tmp_path / "plan.json"
    place.write_text(text)
    with pytest.raises(InputError, match="isn't a plan"):
        read_plan(str(place))


def test_a_price_list_of_ones_own(tmp_path: Path) -> None:
    place = tmp_path / "prices.json"
    place.write_text(json.dumps({"currency": "EUR", "per_object": [[1000, 0.01], [0, 0.02]], "per_task": 1}))
    prices = read_prices(str(place))
    assert prices == Prices("EUR", ((0, 0.02), (1000, 0.01)), 1.0, 0.0)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "isn't JSON"),
        ("[]", "must be a JSON object"),
        ('{"per_judgement": 1}', "some of the fields"),
        ('{"per_task": "much"}', "isn't a price"),
        ('{"per_task": -1}', "below 0"),
        ('{"per_object": [[5, 1]]}', "starts at 0"),
    ],
)
def test_a_bad_price_list_is_explained(tmp_path: Path, text: str, sentence: str) -> None:
    place = tmp_path / "prices.json"
    place.write_text(text)
    with pytest.raises(InputError, match=sentence):
        read_prices(str(place))


@pytest.mark.parametrize("options", [{"items": 0}, {"items": 9, "skill": 0.2}, {"items": 9, "gold_rate": 1.0}])
def test_a_plan_that_makes_no_sense_is_explained(options: dict[str, float]) -> None:
    with pytest.raises(InputError):
        plan(**options)  # type: ignore[arg-type]
