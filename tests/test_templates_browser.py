"""Every template in a real browser: rendered from a manifest's line, filled in, submitted, read by gandt's reader."""

import io
import json
import re
from pathlib import Path

import axe_playwright_python
import pytest
from PIL import Image

from gandt import templates
from gandt.answers import read_answers
from gandt.service import crowd_elements
from gandt.templates.page import LIBRARY

ELEMENTS = crowd_elements.bundle()
IMAGES = [f"https://images.test/{name}.png" for name in "abcdef"]
PAGE = [{"source-ref": uri, "index": 10 + number} for number, uri in enumerate(IMAGES[:4])]
LABELS = {"labels": ["cat", "dog", 'it\'s a "bird" <b>&amp;'], "other_category_label": "None of these"}
BIRD = LABELS["labels"][2]


def page_of(*items, **more):
    return {"source": json.dumps(list(items)), **more}


LINES = {
    "image-grid": page_of(*PAGE, **LABELS),
    "image-single": {"source-ref": IMAGES[0], **LABELS},
    "yes-no": page_of(*PAGE[:2], header="Is it a cat?", other="I cannot tell"),
    "pair-same": {"source": "pair 1", "left": IMAGES[0], "right": IMAGES[1]},
    "pair-better": {"source": "pair 1", "left": IMAGES[0], "right": IMAGES[1], "header": "Which?", "other": "Neither"},
    "boxes": {"source-ref": IMAGES[0], **LABELS},
    "free-text": page_of(*PAGE[:2]),
    "cluster": page_of(*PAGE),
    "table-row": {"source": "row 1", "row": {"name": "Kestrel", "wingspan": 76}, **LABELS},
    "sound": {"source-ref": "https://images.test/a.wav", **LABELS},
    "text": {"source": "[not] a <b>page</b>", **LABELS},
}
# keys pressed after the page has opened, and what each item's labels then are, in the page's order
KEYS = {
    "image-grid": ("1 Enter 2 2 3 Enter 0 Enter Numpad1 Enter Enter", [["cat"], [BIRD], ["None of these"], ["cat"]]),
    "image-single": ("2 Enter", [["dog"]]),
    "yes-no": ("n Enter 1 Enter Enter", [["No"], ["Yes"]]),
    "pair-same": ("2 Enter", [["Not the same"]]),
    "pair-better": ("ArrowRight Enter", [["right"]]),
    "free-text": ("t w o Shift+Enter l i n e s Enter [ 1 ] Enter Enter", [["two\nlines"], ["[1]"]]),
    "cluster": ("c a t s Enter ArrowRight x Enter Enter", [["cats"], ["Outlier"], ["cats"], ["cats"]]),
    "table-row": ("0 Enter", [["None of these"]]),
    "sound": ("1 Enter", [["cat"]]),
    "text": ("3 Control+Enter", [[BIRD]]),
}


class Worker:
    """A browser page with a task in it."""

    def __init__(self, page, template, line, answers):
        self.page, self.template, self.line, self.answers = page, template, line, answers

    def keys(self, keys):
        for key in keys.split():
            self.page.keyboard.press(key)

    def tile(self, number):
        return self.page.locator(".tile").nth(number)

    def choose(self, number, label):
        self.tile(number).get_by_role("button", name=label, exact=True).click()

    def submit(self):
        self.page.get_by_role("button", name="Submit", exact=True).click()

    def submitted(self):
        self.page.wait_for_function("window.submitted")
        return self.page.evaluate("window.submitted")

    def refused(self):
        self.page.wait_for_timeout(50)
        assert self.page.evaluate("window.submitted") is None
        return self.page.locator(".message").inner_text()

    def labels(self):
        """Read the answer back with gandt's own reader, as labels of each item in the page's order."""
        answer = {
            "answerContent": self.submitted(),
            "workerId": "private.us-east-1.A",
            "submissionTime": "2026-01-01T00:00:00Z",
        }
        response = self.answers / "annotations/worker-response/iteration-1/0/2026-01-01_00:00:00.json"
        response.parent.mkdir(parents=True)
        response.write_text(json.dumps({"answers": [answer]}))
        manifest = self.answers / "manifests/output/output.manifest"
        manifest.parent.mkdir(parents=True)
        manifest.write_text(json.dumps(self.line) + "\n")
        table = read_answers(str(self.answers))
        assert table.equals(read_answers(str(self.answers), template=self.template))  # by the template's header
        return [list(labels) for _, labels in table.groupby("item", sort=False)["label"]]


@pytest.fixture(scope="module")
def picture():
    buffer = io.BytesIO()
    Image.new("RGB", (400, 200), (180, 60, 60)).save(buffer, "PNG")
    return buffer.getvalue()


class Desk:
    """A browser page of one kind (wide, a phone, …); it serves many tests, because making one takes its time."""

    def __init__(self, browser, picture, options):
        self.picture, self.html, self.elements, self.errors = picture, "", True, []
        context = browser.new_context(**options)
        context.set_default_timeout(5000)
        self.page = context.new_page()
        self.page.route("**/*", self.serve)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.add_init_script(
            "window.submitted = null; localStorage.clear();"
            "addEventListener('crowd-form-submitted', (event) => (window.submitted = event.detail));"
        )

    def serve(self, route):
        url = route.request.url
        if url == "https://worker.test/":
            route.fulfill(body=self.html, content_type="text/html; charset=utf-8")
        elif url == LIBRARY and self.elements:
            route.fulfill(body=ELEMENTS, content_type="application/javascript; charset=utf-8")
        elif url in IMAGES:
            route.fulfill(body=self.picture, content_type="image/png")
        else:
            route.abort()


@pytest.fixture(scope="module")
def desks(browser, picture):
    made = {}

    def get(phone, **options):
        key = json.dumps([phone, options])
        if key not in made:
            size = {"width": 390, "height": 780} if phone else {"width": 1280, "height": 800}
            made[key] = Desk(browser, picture, {"viewport": size, "has_touch": phone, "is_mobile": phone, **options})
        return made[key]

    yield get
    for desk in made.values():
        desk.page.context.close()


@pytest.fixture
def work(desks, tmp_path):
    """Open a manifest's line in a template: ``work("text", line, phone=True)``."""
    used = []

    def open_(template, line=None, *, phone=False, elements=True, **options):
        line = LINES[template] if line is None else line
        manifest = tmp_path / "in.manifest"
        manifest.write_text(json.dumps(line) + "\n")
        ((_, task_input),) = templates.manifest_inputs(str(manifest))
        desk = desks(phone, **options)
        used.append(desk)
        desk.html, desk.elements = templates.render(templates.read(template), task_input), elements
        desk.page.goto("https://worker.test/")
        if elements:
            desk.page.wait_for_function("customElements.get('crowd-form') && window.crowdElements.ready")
        return Worker(desk.page, template, line, tmp_path / "out" / "job")

    yield open_
    errors = [error for desk in used for error in desk.errors]
    for desk in used:
        desk.errors.clear()
    assert errors == []


@pytest.mark.parametrize("template", KEYS)
def test_by_keyboard_alone(work, template):
    worker = work(template)
    keys, expected = KEYS[template]
    worker.keys(keys)
    assert worker.labels() == expected


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("template", LINES)
def test_axe_finds_nothing_serious(work, template, scheme):
    page = work(template, color_scheme=scheme).page
    page.get_by_role("button", name="Submit", exact=True).click()  # with its complaints
    page.evaluate((Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text())
    violations = page.evaluate("axe.run().then((found) => found.violations)")
    serious = [found for found in violations if found["impact"] in ("serious", "critical")]
    assert [(found["id"], found["nodes"][0]["html"]) for found in serious] == []


CHOICES = ["image-grid", "image-single", "sound", "table-row", "text"]


def choose_all(worker):
    count = worker.page.locator(".tile").count()
    for number in range(count):
        worker.choose(number, BIRD if number == 1 else "dog")
    worker.submit()
    return [["dog"], [BIRD], ["dog"], ["dog"]][:count]


@pytest.mark.parametrize("template", CHOICES)
def test_by_mouse(work, template):
    worker = work(template)
    expected = choose_all(worker)
    assert worker.labels() == expected


@pytest.mark.parametrize("template", sorted(LINES))
def test_on_a_phone_all_fits_and_can_be_hit_with_a_finger(work, template):
    worker = work(template, phone=True)
    assert worker.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    small = worker.page.evaluate(
        "[...document.querySelectorAll('.choice, .plain, crowd-button')].filter(e => e.offsetParent)"
        ".filter(e => e.getBoundingClientRect().height < 40).map(e => e.textContent)"
    )
    assert small == []
    if template in CHOICES:
        expected = choose_all(worker)
        assert worker.labels() == expected


def test_other_templates_by_mouse(work):
    worker = work("yes-no")
    worker.choose(0, "I cannot tell")
    worker.choose(1, "No")
    worker.submit()
    assert worker.labels() == [["I cannot tell"], ["No"]]


@pytest.mark.parametrize(
    ("template", "choice", "label"), [("pair-better", "Left", "left"), ("pair-same", "Same", "Same")]
)
def test_pairs_by_mouse(work, template, choice, label):
    worker = work(template)
    worker.choose(0, choice)
    worker.submit()
    assert worker.labels() == [[label]]


def test_cluster_by_mouse(work):
    worker = work("cluster")
    worker.submit()
    assert "give the images a name" in worker.refused()
    worker.page.get_by_label("One name for all").fill("  birds ")
    worker.page.get_by_label("Strike out image 3").click()
    worker.page.get_by_label("Strike out image 4").click()
    worker.page.get_by_label("Strike out image 4").click()
    assert worker.page.locator(".count").inner_text() == "1 of 4 struck out"
    worker.submit()
    assert worker.labels() == [["birds"], ["birds"], ["Outlier"], ["birds"]]


def test_a_cluster_without_a_common_name(work):
    worker = work("cluster")
    worker.page.get_by_role("button", name="No common name").click()
    worker.submit()
    assert worker.labels() == [["Outlier"]] * 4


def test_free_text_by_mouse(work):
    worker = work("free-text")
    worker.page.locator("textarea").nth(1).fill("only the second")
    worker.submit()
    assert worker.refused() == "Not submitted: item 1 has no answer yet."
    worker.page.locator("textarea").nth(0).fill("the first {}")
    worker.submit()
    assert worker.labels() == [["the first {}"], ["only the second"]]


# --- bounding boxes -------------------------------------------------------------------------------------------------


def boxes(worker):
    ((label,),) = worker.labels()
    return json.loads(label)


def test_boxes_by_keyboard_alone(work):
    worker = work("boxes")
    worker.keys("Enter")
    assert "draw a box" in worker.refused()
    worker.keys("2 b ArrowRight ArrowRight ArrowDown Shift+ArrowRight Shift+ArrowUp b 1 Delete u Enter")
    answer = boxes(worker)
    assert answer["inputImageProperties"] == {"width": 400, "height": 200}
    # 30 % of the image in its middle; a step is 1 % of its width (4) or height (2)
    assert answer["boundingBoxes"][0] == {"label": "dog", "left": 128, "top": 62, "width": 124, "height": 58}
    assert [box["label"] for box in answer["boundingBoxes"]] == ["dog", "cat"]


def test_boxes_by_mouse(work):
    worker = work("boxes")
    frame = worker.page.locator(".canvas img").bounding_box()
    scale = 400 / frame["width"]

    def drag(start, end):
        worker.page.mouse.move(frame["x"] + start[0] / scale, frame["y"] + start[1] / scale)
        worker.page.mouse.down()
        worker.page.mouse.move(frame["x"] + end[0] / scale, frame["y"] + end[1] / scale, steps=3)
        worker.page.mouse.up()

    drag((100, 50), (200, 150))  # drawn
    worker.choose(0, "dog")  # relabelled, because it is chosen
    drag((150, 100), (170, 90))  # moved
    drag((220, 140), (240, 160))  # pulled at its corner
    drag((390, 190), (500, 300))  # drawn beyond the edge: cut there
    answer_boxes = [[60, 30, 20, 20], [120, 40, 120, 120]]
    worker.submit()
    found = boxes(worker)["boundingBoxes"]
    assert [box["label"] for box in found] == ["dog", "dog"]
    for box, expected in zip(found, ((120, 40, 120, 120), (390, 190, 10, 10)), strict=True):
        shown = [box[side] for side in ("left", "top", "width", "height")]
        assert shown == pytest.approx(expected, abs=2), answer_boxes


def test_nothing_to_mark_is_an_answer(work):
    worker = work("boxes")
    worker.keys("b 0 Enter")
    assert boxes(worker)["boundingBoxes"] == []


def test_boxes_to_start_from(work):
    given = [{"label": "dog", "left": 10, "top": 20, "width": 30, "height": 40}]
    worker = work("boxes", {**LINES["boxes"], "boxes": given})
    assert worker.page.get_by_role("button", name=re.compile("^Box 1 of 1: dog")).count() == 1
    worker.submit()
    assert boxes(worker)["boundingBoxes"] == given


# --- what a worker relies on ----------------------------------------------------------------------------------------


def test_unanswered_tiles_are_refused_named_and_gone_to(work):
    worker = work("image-grid")
    worker.keys("1 Enter ArrowRight 1 Control+Enter")
    assert worker.refused() == "Not submitted: 2 images have no answer yet."
    assert worker.page.locator(".missing").count() == 2
    focused = worker.page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert focused == "Image 2 of 4"
    assert worker.tile(1).evaluate("e => document.getElementById(e.getAttribute('aria-describedby')).textContent")
    worker.keys("2 Enter 2")
    assert worker.page.locator(".missing").count() == 0
    assert worker.page.locator(".message").inner_text() == ""
    worker.keys("Enter Enter")
    assert worker.labels() == [["cat"], ["dog"], ["cat"], ["dog"]]


def test_several_labels_and_the_other_one_that_excludes_them(work):
    worker = work("image-grid", {**LINES["image-grid"], "multi_select": True})
    worker.keys("1 2 Enter 1 0 Enter 0 3 Enter 3 1 3 Enter Enter")
    assert worker.labels() == [["cat", "dog"], ["None of these"], [BIRD], ["cat"]]


def test_arrows_move_by_rows(work):
    items = [{"source-ref": IMAGES[number % 6], "index": number} for number in range(12)]
    worker = work("image-grid", page_of(*items, **LABELS))

    def here():
        return worker.page.evaluate("document.activeElement.getAttribute('aria-label')")

    worker.keys("ArrowRight ArrowDown")
    assert here() == "Image 7 of 12"
    worker.keys("ArrowUp ArrowLeft ArrowLeft")
    assert here() == "Image 1 of 12"
    worker.keys("End")
    assert here() == "Image 12 of 12"
    assert worker.tile(11).evaluate(
        "e => e.getBoundingClientRect().bottom <= document.querySelector('.bottom').getBoundingClientRect().top"
    )


def test_enlarged_it_is_answered_and_turned_over(work):
    worker = work("image-grid")
    worker.keys("z 1")
    dialog = worker.page.get_by_role("dialog")
    assert "Image 1 of 4" in dialog.inner_text()
    worker.keys("ArrowRight 2 Enter 0 Enter")
    dialog.get_by_role("button", name="cat", exact=True).click()
    dialog.get_by_role("button", name="Full size").click()
    assert dialog.locator("figure.whole").count() == 1
    worker.keys("Escape")
    assert worker.page.get_by_role("dialog").count() == 0
    worker.submit()
    assert worker.labels() == [["cat"], ["dog"], ["None of these"], ["cat"]]


def test_going_on_by_itself_after_a_key(work):
    worker = work("image-grid")
    worker.page.get_by_role("button", name="Go on after a key").click()
    worker.tile(0).focus()
    worker.keys("1 2 1 2 Enter")
    assert worker.labels() == [["cat"], ["dog"], ["cat"], ["dog"]]


def test_a_screen_reader_hears_names_and_states(work):
    worker = work("image-grid")
    worker.keys("2")
    heard = worker.tile(0).aria_snapshot()
    assert 'group "Image 1 of 4"' in heard
    assert 'button "dog" [pressed]' in heard
    assert re.search(r'button "cat"(?! \[pressed)', heard)
    assert worker.page.get_by_role("progressbar", name="Answered").count() == 1


def test_a_new_page_begins_at_its_top_with_the_instructions_in_sight(work):
    worker = work("image-grid", {**LINES["image-grid"], "positive_examples": IMAGES, "instructions": "Look.\n" * 30})
    worker.page.wait_for_function("document.activeElement.matches('.tile')")
    worker.page.wait_for_timeout(50)
    assert worker.page.evaluate("scrollY") == 0


def test_tab_reaches_the_answers_and_enter_presses_them(work):
    worker = work("image-grid")
    worker.keys("Tab Tab Enter")
    assert worker.tile(0).get_by_role("button", name="dog", exact=True, pressed=True).count() == 1
    worker.keys("Enter")
    assert worker.page.evaluate("document.activeElement.getAttribute('aria-label')") == "Image 2 of 4"
    worker.keys("ArrowLeft Tab 2 3 Enter")  # a digit brings the focus back: Enter goes on, and presses nothing
    assert worker.tile(0).get_by_role("button", pressed=True).all_inner_texts() == [f"3\n{BIRD}"]
    # from the item's answers straight to the bar below, not through all other items' answers
    worker.keys("Tab Tab Tab Tab Tab")
    assert worker.page.evaluate("document.activeElement.textContent") == "Go on after a key"


def test_every_answer_is_told_to_a_portal_that_keeps_drafts(work):
    worker = work("image-grid")
    worker.page.evaluate("window.told = []; document.addEventListener('change', e => told.push(e.target.value))")
    worker.keys("1 1 2")
    assert worker.page.evaluate("told") == ['["cat"]', "[]", '["dog"]']


def test_what_became_of_the_answer_is_said_in_sight(work):
    worker = work("image-grid", page_of(*[{"source-ref": IMAGES[0], "index": n} for n in range(30)], **LABELS))
    worker.keys("1 Enter " * 30 + "Enter")
    worker.submitted()
    status = worker.page.get_by_text("This is a preview")
    box, bar = status.bounding_box(), worker.page.locator(".bottom").bounding_box()
    assert 0 < box["y"] + box["height"] <= bar["y"] + 1


def test_keys_work_in_another_script(work):
    worker = work("yes-no")
    event = "new KeyboardEvent('keydown', {key, code, bubbles: true})"
    press = f"([key, code]) => document.activeElement.dispatchEvent({event})"
    for key, code in (("н", "KeyY"), ("Enter", "Enter"), ("é", "Digit2"), ("Enter", "Enter"), ("Enter", "Enter")):
        worker.page.evaluate(press, [key, code])
    assert worker.labels() == [["Yes"], ["No"]]


BOX = {"height": 20, "label": "dog", "left": 1, "top": 2, "width": 30}
DRAWN, EMPTY = (
    json.dumps({"boundingBoxes": boxes, "inputImageProperties": {"height": 200, "width": 400}}) for boxes in ([BOX], [])
)
CLUSTER = ["Outlier", "birds", "birds", "birds"]


@pytest.mark.parametrize(
    ("template", "answer", "labels", "selector", "count"),
    [
        (
            "image-grid",
            {f"labels-1{n}": '["dog"]' for n in range(4)},
            [["dog"]] * 4,
            "[data-label=dog][aria-pressed=true]",
            4,
        ),
        ("free-text", {"labels-10": '["a"]', "labels-11": '["b"]'}, [["a"], ["b"]], "textarea", 2),
        (
            "cluster",
            {f"labels-1{n}": json.dumps([label]) for n, label in enumerate(CLUSTER)},
            [[label] for label in CLUSTER],
            ".struck",
            1,
        ),
        ("boxes", {"boxes-0": DRAWN}, [[DRAWN]], ".box", 1),
        ("boxes", {"boxes-0": EMPTY}, [[EMPTY]], ".choice[data-other][aria-pressed=true]", 1),
    ],
)
def test_an_answer_taken_up_again_is_shown_and_stays(work, template, answer, labels, selector, count):
    worker = work(template)
    worker.page.evaluate("answer => document.querySelector('crowd-form').restore(answer)", answer)
    worker.page.wait_for_timeout(50)
    assert worker.page.locator(selector).count() == count
    written = worker.page.evaluate("[...document.querySelectorAll('textarea, #cluster-name')].map(each => each.value)")
    assert written == {"free-text": ["a", "b"], "cluster": ["birds"]}.get(template, [])
    worker.submit()
    assert worker.labels() == labels


def test_nothing_jumps_while_answering(work):
    worker = work("image-grid")
    where = (
        "[...document.querySelectorAll('.tile, .choice, .bottom')].map(e => JSON.stringify(e.getBoundingClientRect()))"
    )
    before = worker.page.evaluate(where)
    worker.keys("1 Enter 0 Control+Enter")
    worker.page.evaluate("scrollTo(0, 0)")
    assert worker.page.evaluate(where) == before


def test_a_picture_that_fails_can_be_asked_for_again(work, picture):
    worker = work("image-grid", page_of({"source-ref": "https://images.test/gone.png", "index": 0}, PAGE[0], **LABELS))
    broken = worker.page.locator(".picture.broken")
    broken.wait_for()
    worker.page.route("**/gone.png", lambda route: route.fulfill(body=picture, content_type="image/png"), times=1)
    broken.click()
    worker.page.wait_for_function("document.querySelector('.picture img').naturalWidth > 0")
    assert broken.count() == 0


def test_without_ground_truths_script_the_page_works_and_says_why_it_cant_submit(work):
    worker = work("image-single", elements=False)
    worker.page.locator("crowd-button").click()
    assert worker.refused() == "Not submitted: the image has no answer yet."
    worker.keys("1 Enter")
    assert "script did not load" in worker.refused()


def test_without_any_script_all_is_shown(work):
    worker = work("image-grid", elements=False, java_script_enabled=False)
    assert worker.page.locator(".choice:visible").count() == 16
    assert worker.page.locator("crowd-button:visible").inner_text() == "Submit"
