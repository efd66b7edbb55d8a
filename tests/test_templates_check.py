"""Headers, checks, made-up tasks and the commands: everything about templates that needs no browser."""

import contextlib
import importlib.util
import json
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from gandt import resources, templates
from gandt.answers.content import answer_labels, chosen
from gandt.cli import app
from gandt.cli import template as _commands  # noqa: F401  (registers them)
from gandt.errors import ContractError, InputError
from gandt.templates.header import INPUT_TYPES, OUTPUT_TYPES

LIBRARY = '<script src="https://assets.crowd.aws/crowd-html-elements.js"></script>'


def whole(body, *, head="", declared='[outputs]\na = {type = "text"}'):
    """Return a template that has nothing wrong but what ``body`` and ``head`` bring."""
    return (
        f'<!DOCTYPE html>\n<!--gandt\n{declared}\n-->\n<html lang="en"><head><title>t</title>'
        f'<meta name="viewport" content="width=device-width">{head}</head>\n'
        f'<body><crowd-form>\n<input type="hidden" name="a">\n{body}\n</crowd-form>{LIBRARY}</body></html>'
    )


def found(template, **options):
    return [(problem.level, problem.rule) for problem in templates.check(template, **options)]


# --- gandt's own ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", templates.names())
def test_each_of_gandts_own_is_without_fault_and_tells_what_it_takes_and_gives(name):
    text = templates.read(name)
    assert templates.check(text) == []
    told = templates.header(text)
    assert told.title
    assert told.about
    assert all(each.about for each in (*told.inputs, *told.outputs))
    assert templates.render(text, templates.sample_input(told)).count('class="tile"') >= 1


def test_the_issue_s_tasks_are_all_there():
    wanted = "boxes cluster free-text image-grid image-single pair-better pair-same sound table-row text yes-no"
    assert templates.names() == wanted.split()


def test_the_documents_name_every_template_rule_and_type():
    documents = Path(__file__).parents[1] / "docs" / "templates.md"
    if not documents.is_file():
        pytest.skip("no documents beside the tests")
    text = documents.read_text()
    folder = Path(templates.__file__).parent
    code = (folder / "check.py").read_text() + (folder / "page.py").read_text()
    rules = set(re.findall(r'(?:Problem|say)\(\s*(?:level|"error"|"warning"), "([\w-]+)"', code))
    assert len(rules) > 15
    types = (*INPUT_TYPES, *OUTPUT_TYPES)
    assert [word for word in (*templates.names(), *rules, *types) if f"`{word}`" not in text] == []
    common = {"items", "header", "instructions", "positive_examples", "negative_examples"}
    for name in templates.names():
        told = templates.header(templates.read(name))
        row = next(line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
        documented = set(re.findall(r"`([\w<>-]+)`", row)) & {each.name for each in (*told.inputs, *told.outputs)}
        assert documented >= {each.name for each in (*told.inputs, *told.outputs)} - common, row


def test_shared_parts_are_the_same_in_all():
    folder = resources.folder("templates")
    if not (folder / "shared").is_dir():
        pytest.skip("a wheel has no shared parts")
    spec = importlib.util.spec_from_file_location("sync", folder / "shared" / "sync.py")
    sync = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sync)
    for path in folder.glob("*.liquid.html"):
        text = path.read_text()
        assert "shared/page.js" in text
        assert sync.synced(text) == text, f"{path.name} differs; run: python templates/shared/sync.py"


# --- the header -----------------------------------------------------------------------------------------------------


def test_the_header_reads_answers():
    told = templates.header(templates.read("image-grid"))
    answer = {
        "labels-3": '["cat", "cat", "dog"]',
        "labels-11": "[]",
        "labels-x": '["?"]',
        "other": "x",
        "labels-4": "{",
    }
    assert told.labels(answer) == {3: ["cat", "dog"], 11: [], 4: ["{"]}
    boxes = templates.header(templates.read("boxes"))
    drawn = {"boundingBoxes": [{"label": "a", "left": 1}], "inputImageProperties": {"width": 2, "height": 3}}
    read = boxes.labels({"boxes-0": json.dumps(drawn)})[0]
    assert json.loads(read[0]) == drawn
    # the reader of answers, which doesn't know the template, sees the same
    assert read == answer_labels({"boxes-0": json.dumps(drawn)})


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(max_size=8), max_size=4))
def test_the_header_and_the_reader_of_answers_agree_about_labels(labels):
    told = templates.header(templates.read("image-grid"))
    assert told.labels({"labels-0": json.dumps(labels)})[0] == chosen(json.dumps(labels))


@pytest.mark.parametrize(
    "header",
    [
        "= 1",
        "[inputs]\na = 1",
        '[inputs]\na = {type = "nope"}',
        "[outputs]\na = {}",
        '[outputs]\na = {type="text", x=1}',
    ],
)
def test_a_broken_header_is_one_sentence(header):
    with pytest.raises(ContractError, match="header") as caught:
        templates.header(f"<!--gandt\n{header}\n-->")
    assert "\n" not in str(caught.value)
    assert ("error", "header") in found(whole("", declared=header))


# --- the rules of check ---------------------------------------------------------------------------------------------


def test_a_good_template_has_no_problem():
    assert templates.check(whole("")) == []


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("{% if a %}", ("error", "liquid")),
        ("{{ task.input.a | nope }}", ("error", "filter")),
        ("{{ 'a' | squish }}", ("warning", "filter")),
        ("{% include 'x' %}", ("error", "tag")),
        ("{% liquid assign a = 1 %}", ("warning", "tag")),
        ("{{ labels }}", ("error", "variable")),
        ("{{ task.inputs.labels }}", ("error", "variable")),
        ("{{ task.input.labels }}", ("error", "variable")),
        ('<input type="text" aria-label="b">', ("error", "name")),
        ('<crowd-input label="b"></crowd-input>', ("error", "name")),
        ('<input name="a" type="hidden">', ("warning", "name")),
        ('{% for i in (1..2) %}<input type="hidden" name="b">{% endfor %}', ("error", "name")),
        ('<crowd-bounding-box name="a" header="h" src="data:,"></crowd-bounding-box>', ("error", "attribute")),
        ('<crowd-classifier name="a" categories="[]"></crowd-classifier>', ("warning", "attribute")),
        ('<input type="hidden" name="b">', ("warning", "output")),
        ("<form></form>", ("warning", "form")),
        ('</crowd-form><input type="hidden" name="b"><crowd-form>', ("error", "form")),
        ('<script src="https://cdn.test/x.js"></script>', ("warning", "remote")),
        ('<script src="http://cdn.test/x.js"></script>', ("error", "remote")),
        ('<script src="x.js"></script>', ("error", "remote")),
        ('<link rel="stylesheet" href="//cdn.test/x.css">', ("warning", "remote")),
        ("<style>@import url(https://cdn.test/x.css);</style>", ("warning", "remote")),
        ('<img alt="" src="{{ task.input.x }}">', ("warning", "grant")),
        ("<script>const x = {{ task.input.x }};</script>", ("warning", "script-output")),
        ('<p title="{{ task.input.x | skip_autoescape }}"></p>', ("warning", "escaping")),
        ('<img src="data:,">', ("warning", "accessibility")),
        ('<button type="button"><i></i></button>', ("warning", "accessibility")),
        ("<button>b</button>", ("warning", "button")),
        ('<textarea name="a"></textarea>', ("warning", "accessibility")),
        ('<audio src="data:,"></audio>', ("warning", "accessibility")),
        ('<p tabindex="3"></p>', ("warning", "accessibility")),
        ('<meta name="viewport" content="user-scalable=no">', ("warning", "accessibility")),
        ("<![ a", ("error", "html")),
        ("x" * 128_000, ("error", "size")),
    ],
)
def test_each_rule_finds_its_fault(body, problem):
    assert problem in found(whole(body))


@pytest.mark.parametrize(
    "body",
    [
        '<input type="radio" name="a" value="1" aria-label="1"><input type="radio" name="a" value="2" aria-label="2">',
        '<label>b <input data-not-submitted></label>',
        '<label for="c">b</label><input id="c" data-not-submitted>',
        '<button type="button"><img alt="zoom" src="data:,"></button>',
        "{% comment %}<input><script src='x.js'></script>{% endcomment %}",
        '<script>const x = {{ task.input | to_json }};</script>',
        '{% for i in task.input %}<img alt="" src="{{ i | grant_read_access }}">{% break %}{% endfor %}',
    ],
)  # fmt: skip
def test_what_is_right_is_left_in_peace(body):
    problems = templates.check(whole(body))
    assert [problem for problem in problems if problem.rule != "render"] == []


@pytest.mark.parametrize(
    "text",
    [
        # the forms of AWS's own sample pages, in our own words
        f"""{LIBRARY}<crowd-form><crowd-image-classifier name="c"
        src="{{{{ task.input.taskObject | grant_read_access }}}}" header="Which?"
        categories="{{{{ task.input.labels | to_json | escape }}}}"><full-instructions header="How">
        Look.</full-instructions></crowd-image-classifier></crowd-form>""",
        f"""{LIBRARY}<crowd-entity-annotation name="e" header="Mark" labels="[]" text="{{{{ task.input.source }}}}">
        <crowd-radio-group><crowd-radio-button name="tech" value="tech">T</crowd-radio-button></crowd-radio-group>
        </crowd-entity-annotation>""",
        """<script src="https://assets.crowd.aws/crowd-html-elements-v2.js"></script>
        <crowd-form><crowd-text-ranking name="r" text='{{ task.input.source }}' ordinal-ranking-dimensions="[]"
        responses='{{ task.input.responses | to_json }}'></crowd-text-ranking></crowd-form>""",
    ],
)
def test_pages_of_the_kind_that_aws_shows_have_no_error(text):
    problems = templates.check(text)
    assert {problem.rule for problem in problems} <= {"accessibility", "header"}
    assert all(problem.level == "warning" for problem in problems)


def test_what_is_missing_altogether():
    rules = {problem.rule for problem in templates.check("<p>Hello</p>")}
    assert {"form", "library", "header", "accessibility"} <= rules


def test_a_problem_names_its_line():
    (problem,) = templates.check(whole("{{ task.input\n}}\n<img\nsrc='x.png' alt=''>"))
    assert problem.line == 11
    assert "x.png" in problem.message


PIECES = """
    {{ }} {% %} task.input.a task.input.b | : , [ ] ( ) .. 1 -1 0 1e400 'x' nil for i in (1..3) endfor if endif
    assign x = capture endcapture case when raw endraw comment tablerow endtablerow cycle include liquid sum date:
    divided_by: times: slice: map: where: sort join truncate: round grant_read_access to_json skip_autoescape
    escape_once url_decode < > <crowd-form> </crowd-form> <script> </script> <input name= <img src= <!--gandt --> " ="
    <button> <label> -- <![ <? <a
"""


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from([*PIECES.split(), "\n"]), max_size=14).map(" ".join))
def test_any_text_is_checked_and_rendered_or_refused_in_a_sentence(text):
    for whole_text in (text, f"{{{{ task.input.a | {text} }}}}"):
        assert all(problem.level in ("error", "warning") for problem in templates.check(whole_text))
        try:
            templates.render(whole_text, {"a": ["x", {"b": 1}, None], "b": "\u2028<"})
        except ContractError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("piece", ["{{", "{%", "{{ ", "{% comment %}", "{% raw %}", "<!--gandt", "<", "<a ", "{"])
def test_nothing_takes_long(piece):
    text = (piece * 100_000)[:100_000] + "}}"
    began = time.process_time()
    templates.check(text)
    with contextlib.suppress(ContractError):
        templates.render(text, {})
    assert time.process_time() - began < 20  # a scanner that goes back and forth takes minutes


# --- with a manifest ------------------------------------------------------------------------------------------------


@pytest.fixture
def manifest(tmp_path):
    def write(*lines):
        path = tmp_path / "in.manifest"
        path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
        return str(path)

    return write


def test_inputs_that_the_manifest_lacks_are_told_once_with_their_lines(manifest):
    lines = [{"source-ref": "s3://b/a.jpg", "labels": ["a"]}, *[{"source-ref": f"s3://b/{n}.jpg"} for n in range(3)]]
    (problem,) = templates.check(templates.read("image-grid"), inputs=templates.manifest_inputs(manifest(*lines)))
    assert problem.rule == "input"
    assert "3 lines of the manifest (the first is 2) bring no task.input.labels" in problem.message
    given_by_lambda = templates.manifest_inputs(manifest(*lines), labels="a,b", other="None")
    assert templates.check(templates.read("image-grid"), inputs=given_by_lambda) == []


def test_lines_that_cant_be_shown_are_all_named(manifest):
    path = manifest({"a": 1}, "{\n", "\n", {"source-ref": "s3://b/a.jpg", "labels": ["a"]}, "[1]\n")
    problems = templates.check(templates.read("image-grid"), inputs=templates.manifest_inputs(path))
    assert [problem.rule for problem in problems] == ["manifest"] * 3
    assert [number for number in (1, 2, 5) if any(f"line {number}" in p.message for p in problems)] == [1, 2, 5]


def test_an_input_of_another_kind_is_found(manifest):
    path = manifest({"source": "pair", "left": ["s3://b/a.jpg"], "right": "s3://b/b.jpg"})
    problems = templates.check(templates.read("pair-same"), inputs=templates.manifest_inputs(path))
    assert ("error", "input") in [(problem.level, problem.rule) for problem in problems]
    # and Ground Truth's own words about it, from the very render
    assert any(problem.rule == "render" and "given a list" in problem.message for problem in problems)


def test_a_template_without_header_is_held_against_the_line_as_it_is(manifest):
    reads = "{{ task.input.animal }} {{ task.input.name }}"
    text = f'<crowd-form><input type="hidden" name="a">{reads}</crowd-form>{LIBRARY}'
    path = manifest({"source-ref": "s3://b/a.jpg", "animal": "horse"})
    problems = templates.check(text, inputs=templates.manifest_inputs(path, as_it_is=True))
    assert [problem.message for problem in problems if problem.rule == "input"] == [
        "line 1 of the manifest brings no task.input.name, and the template needs it"
    ]


def test_a_task_too_large_for_ground_truth_is_found():
    big = {"items": [{"source": "x", "index": 0}], "labels": ["y" * 130_000]}
    assert ("error", "size") in found(templates.read("text"), inputs=[(1, big)])


# --- the commands ---------------------------------------------------------------------------------------------------


def run(*arguments):
    return CliRunner().invoke(app, ["template", *arguments])


def test_list_shows_all():
    listed = json.loads(run("list", "--json").stdout)
    assert [each["template"] for each in listed] == templates.names()
    assert {"name", "type", "about", "optional", "sample"} == set(listed[0]["inputs"][0])
    assert "cluster" in run("list").stdout


def test_check_exits_1_for_errors_alone(tmp_path):
    assert run("check", "image-grid").exit_code == 0
    warned = tmp_path / "warned.liquid.html"
    warned.write_text(whole("<button>b</button>"))
    assert run("check", str(warned)).exit_code == 0
    assert run("check", str(warned), "--strict").exit_code == 1
    warned.write_text("nothing")
    result = run("check", str(warned), "--json")
    assert result.exit_code == 1
    assert {"form", "library"} <= {problem["rule"] for problem in json.loads(result.stdout)}


def test_render_writes_a_page_from_a_line_a_task_or_nothing(tmp_path, manifest):
    page = tmp_path / "page.html"
    lines = manifest({"source": "one", "labels": ["a"]}, {"source": "two & three", "labels": ["a"]})
    assert run("render", "text", str(page), "--manifest", lines, "--line", "2").exit_code == 0
    assert "two &amp; three" in page.read_text()
    task = tmp_path / "task.json"
    task.write_text(json.dumps({"taskInput": {"items": [{"source": "four", "index": 0}]}}))
    assert run("render", "text", str(page), "--task", str(task)).exit_code == 0
    assert "four" in page.read_text()
    assert run("render", "text", str(page)).exit_code == 0
    assert "kestrel" in page.read_text()
    missing = run("render", "text", str(page), "--manifest", lines, "--line", "3")
    assert isinstance(missing.exception, InputError)
    assert "has no line 3" in str(missing.exception)


def test_render_signs_s3_addresses(tmp_path, manifest, s3):
    page = tmp_path / "page.html"
    lines = manifest({"source-ref": "s3://bucket/a b.jpg", "labels": ["a"]})
    assert run("render", "image-grid", str(page), "--manifest", lines, "--sign").exit_code == 0
    assert "a%20b.jpg?" in page.read_text()
    assert "s3://" not in page.read_text().partition("<crowd-form>")[2].partition("<script>")[0]


def test_a_name_that_is_none_of_gandts(tmp_path):
    with pytest.raises(InputError, match="has no template 'grid'; its own are boxes"):
        templates.read("grid")
