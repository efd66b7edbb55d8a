"""What all crowd elements owe: they are accessible, run no code from data, and say what they don't know."""

import re
from pathlib import Path

import axe_playwright_python
import pytest
from test_crowd_elements_more import png

from gandt.service import crowd_elements

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
CHECK = "axe.run().then((result) => result.violations.map(({ id, impact, nodes }) => [id, impact, nodes[0].html]))"

FORM = """<crowd-form>
  <crowd-instructions link-text="View instructions" link-type=button><short-summary>S</short-summary>
  </crowd-instructions>
  <crowd-input name=a label="Word 1" required></crowd-input>
  <label>Outside <crowd-input name=b></crowd-input></label>
  <crowd-text-area name=t label=Essay rows=3 char-counter max-length=100></crowd-text-area>
  <crowd-checkbox name=c value=v checked>Blurry</crowd-checkbox>
  <crowd-checkbox name=c value=w disabled>Off</crowd-checkbox>
  <crowd-radio-group><crowd-radio-button name=x checked>One</crowd-radio-button>
    <crowd-radio-button name=y>Two</crowd-radio-button></crowd-radio-group>
  <crowd-toggle-button name=tb checked>Sure</crowd-toggle-button>
  <crowd-toggle-button name=u invalid></crowd-toggle-button>
  <crowd-slider name=s min=1 max=5 pin></crowd-slider><crowd-slider name=s2 editable label=Other></crowd-slider>
  <crowd-alert dismissible>Info</crowd-alert><crowd-alert type=success>OK</crowd-alert>
  <crowd-alert type=warning>Beware</crowd-alert><crowd-alert type=error>Wrong</crowd-alert>
  <crowd-card heading=Card id=card>Text</crowd-card><crowd-badge for=card label=3></crowd-badge>
  <crowd-modal link-text=More>M</crowd-modal><crowd-fab icon=star title=Star></crowd-fab>
  <crowd-icon-button icon=help></crowd-icon-button><crowd-fab label=A disabled></crowd-fab>
  <crowd-tabs><crowd-tab header=One>1</crowd-tab><crowd-tab header=Two>2</crowd-tab></crowd-tabs>
  <crowd-button>Normal</crowd-button><crowd-button variant=primary>Primary</crowd-button>
  <crowd-button variant=link>Link</crowd-button><crowd-button disabled>Off</crowd-button>
  <crowd-button variant=icon icon=delete></crowd-button><crowd-button loading>Loading</crowd-button>
  <crowd-toast opened duration=0 text=Hello></crowd-toast></crowd-form>"""


def widget(element: str) -> str:
    lists = """labels='["Cat", "Dog"]' categories='["Cat", "Dog"]' text="Some words" exclusion-category="{text: 'no'}"
        responses='["a", "b"]' ordinal-ranking-dimensions='[{"name": "Tone"}]' question-tags='["Who"]'
        allow-custom-question-tags=true """
    return f"""<crowd-form><{element} name=r src=/image.png header="Do it" {lists}>
      <short-instructions>In short</short-instructions><full-instructions>At length</full-instructions>
      <classification-target>Some text</classification-target><worker-comment>Why?</worker-comment>
      </{element}></crowd-form>"""


WIDGETS = ["crowd-image-classifier", "crowd-classifier-multi-select", "crowd-bounding-box", "crowd-polygon",
           "crowd-instance-segmentation", "crowd-entity-annotation", "crowd-text-ranking",
           "crowd-question-answer-generation"]  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(crowd_pages, scheme):
    crowd_pages.files["/image.png"] = png(200, 150)
    page = crowd_pages.open(FORM + "".join(map(widget, WIDGETS)), color_scheme=scheme)
    page.evaluate("document.querySelector('crowd-form').requestSubmit()")  # with its complaints
    page.wait_for_function("document.querySelector('crowd-polygon').stage.width")
    box = page.locator("crowd-bounding-box canvas.upper-canvas").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 80, box["y"] + 80)
    page.mouse.up()
    page.evaluate(AXE)
    serious = [violation for violation in page.evaluate(CHECK) if violation[1] in ("serious", "critical")]
    assert not serious
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 25, 31)")


def test_a_template_with_colours_of_its_own_stays_light(crowd_pages):
    page = crowd_pages.open(
        "<style>h1 { color: #333 }</style><crowd-form><h1>Hi</h1></crowd-form>", color_scheme="dark"
    )
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page = crowd_pages.open(
        "<style>:root { color-scheme: light dark } h1 { color: CanvasText }</style><crowd-form></crowd-form>",
        color_scheme="dark",
    )
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 25, 31)"


EVIL = "&lt;img src=x onerror=&quot;window.hacked=1&quot;&gt;"


def test_hostile_values_stay_text(crowd_pages):
    crowd_pages.files["/image.png"] = png(200, 150)
    evil = EVIL.replace("&quot;", "&amp;quot;")
    entity = f"""<crowd-entity-annotation name=e header="{EVIL}" text="{EVIL} word" labels='[&quot;{evil}&quot;]'
      initial-value='[{{"label": "{evil}", "startOffset": 0, "endOffset": 3}}]'></crowd-entity-annotation>"""
    tools = "".join(
        f"""<{name} name="{EVIL}" header="{EVIL}" src=/image.png labels='["{evil}"]' categories='["{evil}"]'
        exclusion-category='{{text: "{evil}"}}' label-colors='["url(javascript:window.hacked=1)"]'>
        <full-instructions header="{EVIL}">x</full-instructions><worker-comment header="{EVIL}" link-text="{EVIL}"
        placeholder="{EVIL}">x</worker-comment></{name}>"""
        for name in [*WIDGETS[:-1], "crowd-polyline", "crowd-semantic-segmentation"]
    )
    simple = "".join(
        f"""<{name} name="{EVIL}" value="{EVIL}" label="{EVIL}" placeholder="{EVIL}" heading="{EVIL}" header="{EVIL}"
        text="{EVIL}" link-text="{EVIL}" title="{EVIL}" icon="{EVIL}" type="{EVIL}" opened></{name}>"""
        for name in sorted(crowd_elements.elements() - {"crowd-form", "crowd-entity-annotation"})
    )
    page = crowd_pages.open(f"<crowd-form novalidate>{simple}{tools}</crowd-form>{entity}")
    page.wait_for_function("[...document.querySelectorAll('crowd-polygon')].at(-1).stage.width")
    crowd_pages.submit(page) if page.get_by_role("button", name="Submit").count() == 1 else page.evaluate(
        "document.querySelector('crowd-form').requestSubmit()"
    )
    assert page.evaluate("window.hacked") is None
    crowd_pages.errors.clear()  # icons that don't exist


def test_the_sources_neither_evaluate_nor_parse_markup():
    for path in crowd_elements.files():
        code = re.sub(r"//.*", "", path.read_text())
        for word in ("eval(", "new Function", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write"):
            assert word not in code, f"{path.name} uses {word}"
        for address in re.findall(r"https?://[^\"'` ]+", code):
            assert address == "http://www.w3.org/2000/svg", f"{path.name} names {address}"


def test_works_under_a_strict_content_security_policy(crowd_pages):
    crowd_pages.files["/image.png"] = png(200, 150)
    policy = (
        "default-src 'none'; script-src 'self' 'nonce-x'; img-src 'self' data:; style-src 'self'; connect-src 'self'"
    )
    head = f'<meta http-equiv=Content-Security-Policy content="{policy}">'
    page = crowd_pages.open(widget("crowd-bounding-box"), head=head)
    page.wait_for_function("document.querySelector('crowd-bounding-box').stage.width")
    box = page.locator("canvas.upper-canvas").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 80, box["y"] + 80)
    page.mouse.up()
    assert len(crowd_pages.submit(page)["r"]["boundingBoxes"]) == 1


def test_an_element_that_is_not_there_is_named(crowd_pages):
    page = crowd_pages.open("<crowd-form><crowd-video-tool name=r></crowd-video-tool></crowd-form>")
    assert page.get_by_text("This page uses <crowd-video-tool>, which is not available here.").is_visible()
    crowd_pages.errors.clear()


def test_every_element_is_in_the_documents():
    documented = (Path(__file__).parents[1] / "docs" / "crowd-elements.md").read_text()
    for name in crowd_elements.elements():
        assert f"`{name}`" in documented, f"docs/crowd-elements.md lacks {name}"
    assert len(crowd_elements.elements()) == 36
