"""Ground Truth's dialect of Liquid, as docs/groundtruth-contract.md tells it."""

import pytest

from gandt import templates
from gandt.errors import ContractError

INPUT = {
    "taskObject": "s3://bucket/a.jpg",
    "items": [
        {"source-ref": "s3://bucket/a.jpg", "index": 7},
        {"source-ref": "https://host/b.jpg?x=1&y=2", "index": 8},
    ],
    "labels": ["cat", "James & the 'Giant' <Peach>"],
    "other": "None of these",
    "nested": {"birds-metadata": {"class-map": {"3": "heron"}}, "id": "3"},
}


def out(text, **options):
    return templates.render(text, INPUT, **options)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ task.input.labels[1] }}", "James &amp; the &#39;Giant&#39; &lt;Peach&gt;"),
        ("{{ task.input.labels[1] | escape }}", "James &amp; the &#39;Giant&#39; &lt;Peach&gt;"),
        ("{{ '&lt; <' | escape_once }}", "&lt; &lt;"),
        ("{{ task.input.labels[1] | skip_autoescape }}", "James & the 'Giant' <Peach>"),
        ("{{ task.input.items.first.source-ref }}", "s3://bucket/a.jpg"),
        ("{{ task.input.nested.birds-metadata.class-map[task.input.nested.id] }}", "heron"),
        ("{% for label in task.input.labels %}{{ forloop.index }}{% endfor %}", "12"),
        ("{% assign a = 'x' | upcase %}{% capture b %}[{{ a }}]{% endcapture %}{{ b }}", "[X]"),
        ("{% if task.input.absent %}yes{% else %}no{{ task.input.absent }}{% endif %}", "no"),
        ("{{ task.input.absent | to_json }}", "null"),
        ("{{ task.input.labels | to_json | escape }}", "[&#34;cat&#34;, &#34;James \\u0026 the \\u0027Giant\\u0027 "
         "\\u003cPeach\\u003e&#34;]"),
    ],
)  # fmt: skip
def test_the_dialect(text, expected):
    assert out(text) == expected


def test_json_stays_json_and_can_end_neither_a_script_nor_an_attribute():
    import json

    text = out("{{ task.input.labels | to_json }}")
    assert json.loads(text) == INPUT["labels"]
    assert not set("<>&'") & set(text)


def test_grant_turns_s3_addresses_alone_and_its_url_is_escaped():
    def grant(uri):
        return f"https://signed/{uri.removeprefix('s3://')}?a=1&b=2"

    page = out("{% for item in task.input.items %}{{ item.source-ref | grant_read_access }} {% endfor %}", grant=grant)
    assert page.split() == ["https://signed/bucket/a.jpg?a=1&amp;b=2", "https://host/b.jpg?x=1&amp;y=2"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\n{% if task %}", "expected tag endif"),
        ("a\n{{ task | shout }}", "line 2: unknown filter 'shout'"),
        ("{{ task.input.absent | grant_read_access }}", "given nothing"),
        ("{{ task.input.labels | grant_read_access }}", "given a list"),
        ("{{ task", "expected '}}'"),
        ("{% for i in (1..3000000) %}{% endfor %}", "loop iteration limit"),
        ("{% include 'other' %}", "no other files"),
        ("{{ 5 | divided_by: 0 }}", "divide by 0"),
    ],
)
def test_errors_are_one_sentence_that_names_the_place(text, said):
    with pytest.raises(ContractError, match="can't be rendered") as caught:
        out(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_hostile_label_stays_text_in_the_grid():
    hostile = '"><script>alert(1)</script>'
    page = templates.render(
        templates.read("image-grid"), INPUT | {"labels": [hostile], "header": hostile, "instructions": hostile}
    )
    assert "alert(1)" in page
    assert "<script>alert" not in page
