"""Text areas, switches, sliders, the elements of layout, and the classifiers, in a real browser."""

import json
import struct
import zlib

import pytest


def png(width: int, height: int) -> bytes:
    """A grey image of the given size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + b"\xa0" * width for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_text_area_toggle_and_slider(crowd_pages):
    page = crowd_pages.open("""<crowd-form>
      <crowd-text-area name=essay label=Essay rows=2 max-rows=3 char-counter max-length=30 required></crowd-text-area>
      <crowd-toggle-button name=sure>Sure</crowd-toggle-button>
      <crowd-toggle-button name=bare value=x invalid></crowd-toggle-button>
      <crowd-slider name=howMuch min=1 max=10 step=1 pin required></crowd-slider>
      <crowd-slider name=preset min=0 max=1 step=0.1 value=0.3 editable></crowd-slider></crowd-form>""")
    assert crowd_pages.submit(page) is None
    assert "Choose a value for “howMuch”" in page.get_by_role("alert").inner_text()
    page.get_by_label("Essay").fill("one\ntwo\nthree\nfour")
    assert page.get_by_text("18 of 30").is_visible()
    assert page.get_by_label("Essay").evaluate("field => field.rows") == 3
    page.get_by_role("switch", name="Sure").press("Space")
    page.get_by_role("slider", name="howMuch").press("ArrowRight")
    page.get_by_role("slider", name="howMuch").press("ArrowRight")
    page.get_by_role("spinbutton").last.fill("0.7")
    assert crowd_pages.submit(page) == {
        "essay": "one\ntwo\nthree\nfour",
        "sure": {"on": True},
        "bare": {"x": False},
        "howMuch": 3,
        "preset": 0.7,
    }


def test_layout_elements(crowd_pages):
    page = crowd_pages.open("""<crowd-form>
      <crowd-alert type=error dismissible id=a>Wrong <b>indeed</b></crowd-alert>
      <crowd-modal link-text="See Examples" link-type=button>Example <i>text</i></crowd-modal>
      <crowd-card heading="<b>Card</b>" image="/none.png">In the card</crowd-card>
      <crowd-tabs><crowd-tab header="Tab 1">First</crowd-tab>
        <crowd-tab header="Tab 2"><crowd-input name=inside label=Inside required></crowd-input></crowd-tab></crowd-tabs>
      <crowd-toast id=t1 duration=0 opened>One</crowd-toast><crowd-toast id=t2 duration=100 text=Two></crowd-toast>
      <div id=host>Host</div><crowd-badge for=host label=3></crowd-badge>
      <crowd-fab id=fab icon=report-problem title=Issue /></crowd-form>
      <script>fab.addEventListener("click", () => document.querySelector("crowd-form").submit());</script>""")
    page.get_by_role("alert").get_by_role("button", name="Dismiss").click()
    assert page.locator("#a").count() == 0
    page.get_by_role("button", name="See Examples").click()
    assert page.get_by_role("dialog", name="See Examples").is_visible()
    assert page.get_by_text("Example text").is_visible()
    page.get_by_role("button", name="Close").click()
    assert page.get_by_role("heading", name="<b>Card</b>").is_visible()  # text, not markup
    page.evaluate("t2.open()")
    assert not page.get_by_text("One").is_visible()
    page.wait_for_function("!t2.opened")
    assert page.get_by_text("First").is_visible()
    assert crowd_pages.submit(page) is None  # what is missing stands on the hidden tab, which comes to the front
    assert page.get_by_label("Inside").is_visible()
    page.get_by_role("tab", name="Tab 2").press("Home")
    assert page.get_by_text("First").is_visible()
    page.wait_for_function("""() => {  // on the corner, once the layout has come to rest
      const [a, b] = [host, document.querySelector("crowd-badge")].map((e) => e.getBoundingClientRect());
      return Math.abs(b.left + b.width / 2 - a.right) < 2 && Math.abs(b.top + b.height / 2 - a.top) < 2;
    }""")
    page.get_by_role("button", name="Issue").click()
    page.wait_for_function("window.answer")
    assert page.evaluate("window.answer") == {}
    crowd_pages.errors.clear()  # the card's picture, which isn't there


@pytest.mark.parametrize("element", ["crowd-classifier", "crowd-image-classifier"])
def test_single_classifiers(crowd_pages, element):
    crowd_pages.files["/image.png"] = png(40, 30)
    page = crowd_pages.open(f"""<crowd-form><{element} name=kind src=/image.png header="Which one?"
      categories="['Cat', 'Dog', 'It\\'s &quot;neither&quot;',]">
      <classification-target>A <b>text</b></classification-target>
      <full-instructions header="All about it">At length</full-instructions>
      <short-instructions>In short</short-instructions></{element}></crowd-form>
      <script>window.seen = [];
      document.querySelector("{element}").onchange = (event) => seen.push(event.target.value);</script>""")
    assert page.get_by_role("heading", name="Which one?").is_visible()
    assert page.get_by_text("In short").is_visible()
    page.get_by_role("button", name="View full instructions").click()
    assert page.get_by_role("dialog", name="All about it").is_visible()
    assert page.get_by_text("At length").is_visible()
    page.keyboard.press("2")  # not while the window is open
    page.keyboard.press("Escape")
    assert crowd_pages.submit(page) is None
    assert page.locator(".error", has_text="Choose a category.").is_visible()
    page.get_by_role("radio", name="Cat").check()
    page.keyboard.press("2")
    assert crowd_pages.submit(page) == {"kind": {"label": "Dog"}}
    page.get_by_role("radio", name="Dog").press("ArrowDown")
    assert crowd_pages.submit(page) == {"kind": {"label": 'It\'s "neither"'}}
    assert page.evaluate("seen") == ["Cat", "Dog", 'It\'s "neither"']
    page.evaluate(f"document.querySelector('{element}').categories = ['Emu', 'Cat']")
    assert page.get_by_role("radio").count() == 2
    page.evaluate("document.querySelector('crowd-form').restore({kind: {label: 'Emu'}})")
    assert crowd_pages.submit(page) == {"kind": {"label": "Emu"}}


@pytest.mark.parametrize("element", ["crowd-classifier-multi-select", "crowd-image-classifier-multi-select"])
def test_multi_select_classifiers(crowd_pages, element):
    crowd_pages.files["/image.png"] = png(40, 30)
    page = crowd_pages.open(f"""<crowd-form><{element} name=kinds src=/image.png header="Which?"
      categories='["a", "b", "c"]' exclusion-category="{{ text: 'None of the above' }}"></{element}></crowd-form>""")
    assert crowd_pages.submit(page) is None
    page.get_by_role("checkbox", name="c").check()
    page.keyboard.press("1")
    assert crowd_pages.submit(page) == {"kinds": {"labels": ["a", "c"]}}
    page.get_by_role("checkbox", name="None of the above").check()
    assert crowd_pages.submit(page) == {"kinds": {"labels": ["None of the above"]}}
    page.keyboard.press("2")
    assert crowd_pages.submit(page) == {"kinds": {"labels": ["b"]}}


def test_image_classifier_takes_a_comment_and_shows_earlier_annotations(crowd_pages):
    crowd_pages.files["/image.png"] = png(400, 300)
    page = crowd_pages.open("""<crowd-form><crowd-image-classifier name=verify src=/image.png header="Good?"
      categories="['good', 'bad']" overlay='{"boundingBox": {labels: ["bird", "cat"],
        value: [{height: 30, label: "bird", left: 20, top: 10, width: 40}]},}'>
      <worker-comment header="Why so?" link-text="Say why" placeholder="e.g. blurred">Tell us</worker-comment>
      </crowd-image-classifier></crowd-form>""")
    page.get_by_role("radio", name="bad").check()
    page.get_by_role("button", name="Say why").click()
    page.get_by_role("dialog", name="Why so?").get_by_role("textbox").fill("Too big")
    page.keyboard.press("Escape")
    assert crowd_pages.submit(page) == {"verify": {"label": "bad", "workerComment": "Too big"}}
    box = page.evaluate("""() => {
      const root = document.querySelector("crowd-image-classifier").shadowRoot;
      const [svg, rect] = [root.querySelector(".frame svg"), root.querySelector("rect")];
      return [svg.getAttribute("viewBox"), ...["x", "y", "width", "height"].map((name) => rect.getAttribute(name))];
    }""")
    assert box == ["0 0 400 300", "20", "10", "40", "30"]


def test_a_broken_image_or_list_is_said_and_breaks_nothing(crowd_pages):
    page = crowd_pages.open("""<crowd-form><crowd-image-classifier name=k src=/none.png header=H categories="['a', 'b'">
      </crowd-image-classifier><input name=t value=1></crowd-form>""")
    page.get_by_text("The image could not be loaded.").wait_for()
    assert crowd_pages.submit(page) == {"t": "1"}
    assert any("its attribute categories isn't JSON" in error for error in crowd_pages.errors)
    crowd_pages.errors.clear()


def test_one_of_very_many_categories_is_found(crowd_pages):
    many = [f"kind {number}" for number in range(300)]
    page = crowd_pages.open(
        f"""<crowd-form><crowd-classifier-multi-select name=c header=H categories='{json.dumps(many)}'>
        </crowd-classifier-multi-select><crowd-classifier name=few categories='["a", "b"]'></crowd-classifier>
        </crowd-form>""",
        viewport={"width": 375, "height": 720},
    )
    assert page.get_by_role("button", name="Submit").bounding_box()["y"] < 1500  # not below all 300
    finder = page.get_by_role("searchbox", name="Find")  # one: two categories need none
    finder.fill("29 kind")
    assert page.get_by_role("checkbox").count() == 13  # 29, 129, 229, 290 to 299
    finder.press("Enter")
    finder.fill("kind 123")
    finder.press("Enter")
    finder.fill("")
    page.get_by_role("radio", name="b").check()
    assert crowd_pages.submit(page) == {"c": {"labels": ["kind 29", "kind 123"]}, "few": {"label": "b"}}
