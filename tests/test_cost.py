"""What a job will cost, and what it did cost."""

import json
from pathlib import Path

import pandas as pd
import pytest

from gandt.consensus import consolidate
from gandt.cost import GROUND_TRUTH, Prices, account, plan, read_prices
from gandt.errors import InputError


def test_a_page_is_one_object_and_one_task_per_worker() -> None:
    result = plan(2000, per_page=20, workers=3, prices=Prices(per_object=((0, 0.1),), per_task=0.02))
    assert (result.objects, result.tasks, result.judgements) == (100, 300, 6000)
    assert result.price == pytest.approx(100 * 0.1 + 300 * 0.02)
    assert result.judgements_low == result.judgements_high == 6000


def test_tiers_of_the_price_list() -> None:
    assert GROUND_TRUTH.objects(60_000) == pytest.approx(50_000 * 0.08 + 10_000 * 0.04)
    assert GROUND_TRUTH.objects(0) == 0


def test_asking_until_sure_has_an_interval_and_beats_its_first_round() -> None:
    fixed = plan(1000, workers=2, per_page=1)
    sure = plan(1000, workers=2, per_page=1, until_sure=True)
    assert sure.judgements_low < sure.judgements < sure.judgements_high <= 9000
    assert sure.accuracy > fixed.accuracy + 0.03
    assert sure.price_low < sure.price < sure.price_high
    skilled = plan(1000, workers=2, per_page=1, until_sure=True, skill=0.95, skill_spread=0.01)
    assert skilled.judgements < sure.judgements


def test_gold_is_paid_too() -> None:
    assert plan(900, per_page=10, gold_rate=0.1).gold == 100
    assert plan(900, per_page=10, gold_rate=0.1).objects == 100


def test_actual_next_to_plan() -> None:
    rows = [(f"i{n}", f"w{w}", "cat", "job", f"page{n // 10}", 3.6) for n in range(20) for w in range(4)]
    answers = pd.DataFrame(rows, columns=["item", "worker", "label", "job", "data_object", "seconds"])
    prices = Prices(per_object=((0, 1.0),), per_task=0.5, per_hour=100.0)
    expected = plan(20, per_page=10, workers=4, prices=prices)
    table = account(answers, consolidate(answers, target=0.8), prices=prices, expected=expected).set_index("what")
    assert table.loc["objects", "actual"] == 2 == table.loc["objects", "planned"]
    assert table.loc["tasks", "actual"] == 8
    assert table.loc["hours", "actual"] == pytest.approx(0.08)
    assert table.loc["price", "actual"] == pytest.approx(2 + 4 + 8)
    assert table.loc["confident labels", "actual"] == 20
    assert table.loc["price per confident label", "actual"] == pytest.approx(14 / 20)


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
