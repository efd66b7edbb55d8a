"""When to stop."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gandt.report.measure import Share
from gandt.rounds.stop import (
    EFFICIENT,
    RANDOM,
    WASTE,
    contradictions,
    gold_needed,
    halting_bar,
    judge,
    next_gain,
    stalled,
    target_problem,
)


def test_contradictions_are_the_share_of_changed_predictions() -> None:
    assert contradictions(np.array(["a", "b", "a", "a"]), np.array(["a", "a", "a", "b"])) == 0.5
    assert contradictions(np.array([]), np.array([])) == 0


def test_stalled_means_three_small_steps_in_a_row() -> None:
    assert stalled([0.5, 0.8, 0.805, 0.803, 0.81])
    assert not stalled([0.5, 0.8, 0.82, 0.821, 0.822])
    assert not stalled([0.8, 0.8, 0.8]), "three values have only two differences"
    assert stalled([None, 0.8, 0.8, None, 0.8, 0.8])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0, 1), max_size=60), st.integers(1, 20))
def test_the_halting_bar_counts_every_item_once(values: list[float], batch: int) -> None:
    bar = halting_bar(np.array(values), batch)
    assert bar.efficient + bar.no_better_than_random + bar.not_efficient == len(values)
    assert min(bar.efficient, bar.no_better_than_random, bar.not_efficient) >= 0


def test_the_halting_bar_goes_from_green_to_orange_to_red() -> None:
    spread = np.linspace(0, 1, 200)
    assert halting_bar(spread, 20).state == EFFICIENT
    assert halting_bar(spread, 150).state == RANDOM
    assert halting_bar(np.full(200, 0.6), 20).state == RANDOM
    assert halting_bar(np.full(200, 0.02), 20).state == WASTE
    mostly_sure = np.concatenate([np.full(195, 0.01), np.full(5, 0.9)])
    assert halting_bar(mostly_sure, 5).no_better_than_random == 5
    assert halting_bar(mostly_sure, 50).state == WASTE
    assert halting_bar(np.array([]), 5).state == WASTE


@settings(deadline=None, max_examples=30)
@given(st.floats(0.05, 0.9), st.floats(0.05, 0.9))
def test_the_next_gain_is_that_of_the_power_law(scale: float, power: float) -> None:
    answers = [50, 100, 150, 250]
    accuracy = [1 - scale * n**-power for n in answers]
    expected = scale * (250**-power - 350**-power)
    assert next_gain(answers, accuracy) == pytest.approx(expected, rel=1e-6)


def test_the_next_gain_is_never_negative_and_needs_three_rounds() -> None:
    assert next_gain([50, 100, 150], [0.9, 0.8, 0.7]) == 0
    assert next_gain([50, 100], [0.7, 0.8]) is None
    assert next_gain([50, 50, 50], [0.7, 0.8, 0.8]) is None


def rounds(accuracies: list[float], **more: Any) -> list[dict[str, Any]]:
    return [
        {
            "answers": 50 * number,
            "spent": 5.0 * number,
            "accuracy": accuracy,
            "accuracy_low": accuracy - 0.05,
            "accuracy_high": accuracy + 0.05,
            "auc": None,
            "contradictions": None,
            "halting": EFFICIENT,
            "left": 500,
            "pool": 1000,
            "price_per_answer": 0.1,
            "currency": "USD",
            **more,
        }
        for number, accuracy in enumerate(accuracies, 1)
    ]


def said(history: list[dict[str, Any]], **wishes: Any) -> dict[str, tuple[bool, str]]:
    return {reason.name: (reason.stop, reason.sentence) for reason in judge(history, wishes)}


def test_every_reason_is_a_sentence() -> None:
    assert judge([], {"accuracy": 0.9}) == []
    reached = said(rounds([0.7, 0.91]), accuracy=0.9)["target"]
    assert reached == (
        False,
        "The classifier's accuracy on gold is 91.0% (95 % interval 86.0% to 96.0%): the target of 90.0% isn't shown "
        "yet, as the interval begins below it; with so many right, about 3,458 gold items would show it.",
    )
    assert said(rounds([0.7]), accuracy=0.9)["target"][0] is False
    assert said(rounds([0.7, 0.8]), budget=100)["budget"] == (
        True,
        "100 of 100 answers are used, so the budget is at its end.",
    )
    assert said(rounds([0.7]), money=6)["money"] == (False, "5.00 of 6 USD are spent.")
    assert said(rounds([0.7]), rounds=1)["rounds"] == (True, "The one round that was wanted is done.")
    assert said(rounds([0.7], left=0))["pool"] == (True, "Every item of the pool has been asked.")


def test_signs_are_only_said_unless_they_are_to_stop() -> None:
    history = rounds([0.8, 0.801, 0.802, 0.803], halting=WASTE)
    for ends in (False, True):
        found = said(history, when_stalled=ends)
        assert found["accuracy"][0] is ends
        assert "stalled for the past 3 rounds" in found["accuracy"][1]
        assert found["halting bar"] == (
            ends,
            "Asking is no longer efficient: the classifier is sure of what would be asked next.",
        )
    assert "no better than random" in said(rounds([0.7], halting=RANDOM))["halting bar"][1]


def test_the_gain_is_held_against_its_price() -> None:
    history = rounds([0.6, 0.7, 0.75, 0.78])
    cheap, dear = said(history, worth=1.0)["gain"], said(history, worth=0.01)["gain"]
    assert cheap[0] is False
    assert dear[0] is True
    assert "would cost 10.00 USD and put about" in cheap[1]
    assert cheap[1].endswith("no more than the 1.00 one is worth.")


def measured(right: int, gold: int) -> list[dict[str, Any]]:
    share = Share.of(right, gold)
    return rounds([float(share.share or 0)], accuracy_low=share.low, accuracy_high=share.high)


def test_a_lucky_estimate_does_not_reach_the_target() -> None:
    """The field's case: 57 of 60 gold items right after six labels, with a target of 95 %."""
    assert said(measured(57, 60), accuracy=0.95)["target"] == (
        False,
        "The classifier's accuracy on gold is 95.0% (95 % interval 86.3% to 98.3%): the target of 95.0% isn't shown "
        "yet, as the interval begins below it.",
    )
    assert said(measured(58, 60), accuracy=0.95)["target"][1].endswith(
        "begins below it; with so many right, about 657 gold items would show it."
    )
    assert said(measured(197, 200), accuracy=0.95)["target"] == (
        True,
        "The classifier's accuracy on gold is 98.5% (95 % interval 95.7% to 99.5%), and the whole interval reaches the "
        "target of 95.0%.",
    )
    assert said(measured(50, 60), accuracy=0.95)["target"][1].endswith("to 90.7%), below the target of 95.0%.")


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 400), st.floats(0, 1), st.floats(0.01, 0.99))
def test_the_target_is_reached_where_the_interval_is_and_never_before(gold: int, share: float, target: float) -> None:
    right = round(share * gold)
    low = Share.of(right, gold).low
    assert low is not None
    stop, sentence = said(measured(right, gold), accuracy=target)["target"]
    assert stop is (low >= target)
    for figure in (f"{right / gold:.1%}", f"{low:.1%}", f"{target:.1%}"):
        assert figure in sentence


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 300), st.floats(0.01, 0.99))
def test_so_much_gold_is_needed_and_no_less(gold: int, target: float) -> None:
    enough = gold >= (gold_needed(target) or 0)
    low = Share.of(gold, gold).low or 0
    assert enough is (low >= target - 1e-6) or abs(low - target) < 1e-6
    assert (target_problem(target, gold) is None) is enough
    assert target_problem(None, gold) is None


def test_a_target_that_the_gold_cannot_show_is_said() -> None:
    assert target_problem(0.95, 60) == (
        "of 95.0% can't be shown by 60 gold items, even if all are right; give 73 or more, or a target of 93.9% or less"
    )
    assert gold_needed(0.9, 0.9) is None
    assert gold_needed(0.9, 0.8) is None
