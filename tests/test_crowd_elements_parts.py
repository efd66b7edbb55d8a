"""The parts of the crowd elements that can be right or wrong by themselves: relaxed JSON, geometry, colours."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gandt.service.crowd_elements import FOLDER, bundle, elements, files


@pytest.fixture(scope="module")
def run(browser):
    """Runs JavaScript beside the elements' own files; what it returns comes back through JSON."""
    page = browser.new_page()
    page.evaluate(bundle())

    def run(code, argument=None):
        return json.loads(page.evaluate(f"(argument) => JSON.stringify(({code})(argument))", argument))

    yield run
    page.close()


PARSE = """(text) => {
  try { return {value: crowdElements.parse(text)}; } catch (error) { return {error: String(error)}; } }"""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("['Cat', \"Dog\",]", ["Cat", "Dog"]),
        ("{ text: 'None of the above' }", {"text": "None of the above"}),
        (
            '[{label: "a\\u0041", left: -1.5e2, ok: true, no: null}, // said\n /* and */ ]',
            [{"label": "aA", "left": -150, "ok": True, "no": None}],
        ),
        ("['it\\'s', 'a, b', 'ü😀']", ["it's", "a, b", "ü😀"]),
        ("[1,,2]", [1, 2]),
        ('{"__proto__": {"x": 1},}', {"__proto__": {"x": 1}}),
        ("{lines: [{label: 'sideline', // label of this line\n vertices:[ {\nx: 84,\ny: 110\n}\n ] }]}",
         {"lines": [{"label": "sideline", "vertices": [{"x": 84, "y": 110}]}]}),
    ],
)  # fmt: skip
def test_relaxed_json_reads_what_templates_write(run, text, value):
    assert run(PARSE, text) == {"value": value}


@pytest.mark.parametrize(
    "text", ["['a'", "['a']x", "alert(1)", "{a}", "'open", "[" * 500, "[a-b]", "", "{'a' 1}", "'\\u00'"]
)
def test_relaxed_json_refuses_with_a_place(run, text):
    assert re.match(r"SyntaxError: .+ at character \d+ of ", run(PARSE, text)["error"])


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def relaxed(value, draw):
    """``value`` as a sloppy template would write it."""
    if isinstance(value, str):
        quote = draw(st.sampled_from("'\""))
        escaped = value.replace("\\", "\\\\").replace(quote, "\\" + quote).replace("\n", "\\n").replace("\r", "\\r")
        return quote + escaped + quote
    comma = draw(st.sampled_from([",", " ,\n", ", // so\n", "/* , */,"]))
    end = draw(st.sampled_from(["", ",", " , "]))
    if isinstance(value, list):
        return "[" + comma.join(relaxed(item, draw) for item in value) + (end if value else "") + "]"
    if isinstance(value, dict):
        pairs = [
            (key if re.fullmatch(r"[a-zA-Z_]\w*", key, re.ASCII) else relaxed(key, draw)) + " : " + relaxed(item, draw)
            for key, item in value.items()
        ]
        return "{" + comma.join(pairs) + (end if value else "") + "}"
    return json.dumps(value)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_relaxed_json_reads_every_value_however_written(run, data):
    value = data.draw(VALUES)
    assert run(PARSE, relaxed(value, data.draw)) == {"value": value}


@settings(max_examples=40, deadline=None)
@given(st.text(st.sampled_from("[]{}'\":,\\/*ab1-. \n"), max_size=30) | st.text(max_size=20))
def test_relaxed_json_survives_anything(run, text):
    result = run(PARSE, text)
    assert "error" not in result or result["error"].startswith("SyntaxError")


POINTS = st.tuples(st.floats(-5, 25, width=32), st.floats(-5, 25, width=32)).map(lambda p: {"x": p[0], "y": p[1]})


@settings(max_examples=40, deadline=None)
@given(st.lists(POINTS, min_size=3, max_size=7), POINTS, POINTS, st.floats(0.8, 8))
def test_fills_exactly_the_pixels_whose_centres_are_covered(run, polygon, a, b, radius):
    wrong = run(
        """({polygon, a, b, radius}) => {
          const {geometry} = crowdElements;
          const wrong = [];
          const compare = (name, spans, covered) => {
            const cells = new Set();
            for (const [y, from, to] of spans) for (let x = from; x < to; x++) cells.add(`${x},${y}`);
            for (let y = 0; y < 20; y++) for (let x = 0; x < 20; x++) {
              const centre = {x: x + 0.5, y: y + 0.5};
              const close = covered(centre);
              if (close !== null && cells.delete(`${x},${y}`) !== close) wrong.push([name, x, y]);
              cells.delete(`${x},${y}`);
            }
            if (cells.size) wrong.push([name, "outside", ...cells]);
          };
          compare("polygon", geometry.spans(polygon, 20, 20), (p) => {
            const onEdge = geometry.edges(polygon, true).some(([p1, p2]) => geometry.toSegment(p, p1, p2) < 1e-6);
            return onEdge ? null : geometry.inside(p, polygon);
          });
          compare("stroke", geometry.strokeSpans(a, b, radius, 20, 20), (p) => {
            const far = geometry.toSegment(p, a, b) - radius;
            return Math.abs(far) < 1e-6 ? null : far < 0;
          });
          return wrong;
        }""",
        {"polygon": polygon, "a": a, "b": b, "radius": radius},
    )
    assert wrong == []


def test_undoing_masks_step_by_step_gives_back_every_earlier_one(run):
    assert run("""() => {
      const mask = new crowdElements.Mask(600, 520); // more than one tile either way
      mask.setColor(1, "#ff0000");
      mask.setColor(2, "#00ff00");
      const states = [mask.cells.slice()], steps = [];
      const boxes = [[1, 0, 0, 600, 520], [2, 200, 200, 300, 300], [0, 255, 10, 257, 510]];
      for (const [layer, left, top, right, bottom] of boxes) {
        mask.begin();
        mask.fill(Array.from({length: bottom - top}, (_, i) => [top + i, left, right]), layer);
        steps.push(mask.end());
        states.push(mask.cells.slice());
      }
      const same = (a, b) => a.every((cell, i) => cell === b[i]);
      const good = [];
      const back = [...steps].reverse().map((step, i) => [step, states[2 - i]]);
      const forth = steps.map((step, i) => [step, states[i + 1]]);
      for (const [step, state] of [...back, ...forth]) {
        mask.swap(step);
        good.push(same(mask.cells, state));
      }
      return [...good, [...mask.counts()]];
    }""") == [True] * 6 + [[2 * 500, 600 * 520 - 100 * 100 - 2 * 500 + 2 * 100, 100 * 100 - 2 * 100]]  # fmt: skip


def test_colours_are_distinct_and_read_in_any_spelling(run):
    colors = run("() => Array.from({length: 120}, (_, i) => crowdElements.colorOf(i))")
    assert colors[:4] == ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728"]
    assert len(set(colors)) == 120
    assert all(re.fullmatch("#[0-9a-f]{6}", color) for color in colors)
    read = run(
        "() => ['#ABCDEF', '#abc', 'rgb(1, 2, 3)', 'red', '#010203', 'nonsense', 'url(x)', null].map(crowdElements.hex)"
    )
    assert read == ["#abcdef", "#aabbcc", "#010203", "#ff0000", "#010203", None, None, None]


def test_every_file_is_listed_and_defines_the_element_that_it_is_named_after():
    listed = [path.relative_to(FOLDER).as_posix() for path in files()]
    present = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.js")}
    assert set(listed) == present - {"crowd-html-elements.js"}
    assert len(listed) == len(set(listed))
    for name in listed:
        if not name.startswith("lib/"):
            assert f'crowd.define("{name.removesuffix(".js")}"' in (FOLDER / name).read_text()
    assert "crowd-form" in elements()
