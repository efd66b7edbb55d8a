"""The YAML of ``gandt run``."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gandt.errors import InputError
from gandt.rounds.config import parse_config

GOOD = """\
store: photos.store
run: run
classes: [cat, dog]
gold: gold.csv
choose:
  n: 20
ask:
  with: simulated
  truth: truth.csv
stop:
  accuracy: 0.9
"""


def test_what_is_not_said_has_its_default() -> None:
    config = parse_config(GOOD, "run.yaml")
    assert config["choose"] == {"strategy": "default", "n": 20, "relabel": True, "neighbours": 0}
    assert config["learn"]["classifier"] == "logistic"
    assert config[""]["gold"] == ["gold.csv"]
    assert config[""]["seeds"] == []
    assert config.lines["stop.accuracy"] == 11
    assert str(config.error("choose.n", "is too much")) == "run.yaml line 6: choose.n is too much"


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("n: 20", "n: many", "run.yaml line 6: choose.n must be a whole number of 1 or more, not 'many'"),
        ("n: 20", "n: true", "line 6: choose.n must be a whole number"),
        ("n: 20", "strategy: magic", "line 6: choose.strategy names none: there is no strategy 'magic'"),
        ("n: 20", "number: 3", "line 6: choose has no option 'number'; it has strategy, n, relabel, neighbours"),
        ("n: 20", "n: 20\n  n: 30", "line 7: choose.n is given twice; the first is in line 6"),
        ("run: run\n", "run: run\nrun: other\n", "line 3: run is given twice; the first is in line 2"),
        ("run: run", "walk: run", "line 2: there is no option 'walk'; there are store, images"),
        ("run: run\n", "", "run.yaml: run is missing; see docs/rounds.md"),
        ("[cat, dog]", "[cat]", "line 3: classes must be a list of two or more different texts, not ['cat']"),
        ("[cat, dog]", "[cat, cat]", "line 3: classes must be"),
        ("[cat, dog]", "[cat, dog", "this isn't YAML: expected"),
        ("store: photos.store", "images: 7", "line 1: images must be a text, not 7"),
        ("store: photos.store\n", "", "give one of store"),
        ("  truth: truth.csv\n", "", "line 8: ask.with simulated needs ask.truth"),
        ("with: simulated", "with: job", "line 8: ask.with job needs ask.output"),
        ("with: simulated", "with: magic", "line 8: ask.with must be one of simulated, table, job, not 'magic'"),
        ("gold: gold.csv\n", "", "line 10: stop.accuracy needs gold"),
        (
            "truth: truth.csv",
            "truth: truth.csv\n  gold_rate: 2",
            "line 10: ask.gold_rate must be a number between 0 and",
        ),
        ("accuracy: 0.9", "accuracy: 90", "line 11: stop.accuracy must be a number between 0.01 and 1, not 90"),
        ("choose:\n  n: 20", "choose: 20", "line 5: choose must be a list of NAME: VALUE"),
        ("choose:", "learn:\n  classifier: sklearn.svm.LinearSVC\nchoose:", "line 6: learn.classifier can't be used"),
        ("choose:", "learn:\n  classifier: os.system\nchoose:", "line 6: learn.classifier can't be used"),
    ],
)
def test_messages_name_the_line(old: str, new: str, sentence: str) -> None:
    assert old in GOOD
    with pytest.raises(InputError) as error:
        parse_config(GOOD.replace(old, new), "run.yaml")
    assert sentence in str(error.value)


@settings(deadline=None, max_examples=150)
@given(st.one_of(st.text(max_size=60), st.text(st.sampled_from("abc:-[]{}!&*'\"\n #0"), max_size=60)))
def test_any_text_gives_a_configuration_or_a_sentence(text: str) -> None:
    with pytest.raises(InputError):
        parse_config(text)
    with pytest.raises(InputError):
        parse_config(GOOD + text + "\n- x: !!python/object:os.system\n")


def test_nothing_is_built_from_hostile_yaml() -> None:
    for text in ("run: !!python/object/apply:os.system ['false']", "[" * 1500, "a: &a [*a]", "run: 2026-99-99"):
        with pytest.raises(InputError):
            parse_config(text)


def test_a_gold_rate_needs_gold() -> None:
    text = GOOD.replace("gold: gold.csv\n", "").replace("accuracy: 0.9", "rounds: 1")
    with pytest.raises(InputError, match=r"run.yaml line 9: ask.gold_rate mixes gold into the questions, and there is"):
        parse_config(text.replace("truth: truth.csv", "truth: truth.csv\n  gold_rate: 0.1"), "run.yaml")
