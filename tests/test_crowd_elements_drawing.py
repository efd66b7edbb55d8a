"""The drawing tools in a real browser: mouse, touch and keyboard, and exactly the answers of the contract."""

import base64
import io
import json

import pytest
from test_crowd_elements_more import png

SIZE = {"height": 300, "width": 400}


class Tool:
    """A page with one drawing tool over an image of 400 x 300 pixels, shown at another size."""

    def __init__(self, pages, element, attributes="", labels="['Cat', 'Dog']", **context):
        pages.files["/image.png"] = png(400, 300)
        self.pages = pages
        self.page = pages.open(
            f"""<crowd-form><crowd-{element} name=r src=/image.png header="Draw" labels="{labels}" {attributes}>
            <short-instructions>Draw!</short-instructions></crowd-{element}></crowd-form>""",
            **context,
        )
        self.element = f"document.querySelector('crowd-{element}')"
        self.page.wait_for_function(f"{self.element}.stage.width")

    @property
    def box(self):
        return self.page.locator("canvas.upper-canvas").bounding_box()

    def at(self, x, y):
        self.page.evaluate("window.scrollTo(0, 0)")
        box = self.box
        return box["x"] + x * box["width"] / 400, box["y"] + y * box["height"] / 300

    def click(self, x, y, **options):
        self.page.mouse.click(*self.at(x, y), **options)

    def drag(self, *points):
        self.page.mouse.move(*self.at(*points[0]))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.at(*point))
        self.page.mouse.up()

    def keys(self, *keys):
        for key in keys:
            key, _, times = key.partition("*")
            for _ in range(int(times or 1)):
                self.page.keyboard.press(key)

    def go(self, x, y):
        """Move the keyboard's cross to a pixel, by setting it where the arrows would bring it."""
        self.page.evaluate(f"{self.element}.stage.setCursor({{x: {x}, y: {y}}})")

    def answer(self):
        answer = self.pages.submit(self.page)
        return answer and answer["r"]

    def touch(self, kind, *points):
        fingers = [dict(zip("xy", self.at(*point), strict=True), id=i) for i, point in enumerate(points)]
        self.session = getattr(self, "session", None) or self.page.context.new_cdp_session(self.page)
        self.session.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": fingers})


def box(label, left, top, width, height):
    return {"height": height, "label": label, "left": left, "top": top, "width": width}


def test_bounding_boxes_by_mouse(crowd_pages):
    tool = Tool(crowd_pages, "bounding-box")
    assert tool.box["width"] != 400
    assert tool.answer() == {"boundingBoxes": [], "inputImageProperties": SIZE}
    tool.drag((20, 30), (60, 50), (120, 90))
    tool.keys("2")  # the next one, not the one just drawn
    tool.drag((300, 250), (200, 150))
    expected = [box("Cat", 20, 30, 100, 60), box("Dog", 200, 150, 100, 100)]
    assert tool.answer() == {"boundingBoxes": expected, "inputImageProperties": SIZE}
    tool.drag((200, 150), (180, 140))  # its corner
    tool.drag((20, 60), (40, 70))  # the handle at the left edge
    tool.drag((80, 90), (80, 100))  # the handle at the lower edge
    tool.drag((100, 30), (130, 40))  # the upper edge, off its handles: moves the box
    tool.drag((350, 20), (500, 100))  # beyond the border: ends at it
    assert tool.answer()["boundingBoxes"] == [
        box("Cat", 70, 40, 80, 70), box("Dog", 180, 140, 120, 110), box("Cat", 350, 20, 50, 80)
    ]  # fmt: skip
    tool.keys("Delete")
    tool.click(250, 200)  # within a box: selects it
    tool.keys("1")  # and relabels it
    assert tool.answer()["boundingBoxes"] == [box("Cat", 70, 40, 80, 70), box("Cat", 180, 140, 120, 110)]
    tool.keys("Control+z", "Control+z", "Control+Shift+Z")
    assert [b["label"] for b in tool.answer()["boundingBoxes"]] == ["Cat", "Dog"]
    tool.page.get_by_role("button", name="Delete Cat 1").click()
    assert tool.answer()["boundingBoxes"] == [box("Dog", 180, 140, 120, 110)]


def test_bounding_boxes_by_keyboard_alone(crowd_pages):
    tool = Tool(crowd_pages, "bounding-box")
    tool.page.get_by_role("application").focus()
    tool.keys("2", "Shift+ArrowLeft*2", " ", "Shift+ArrowDown*3", "Shift+ArrowRight*5", " ")
    assert tool.answer()["boundingBoxes"] == [box("Dog", 198, 150, 5, 3)]
    tool.page.get_by_role("application").focus()
    tool.keys("]", "Shift+ArrowUp", "v*5", "Shift+ArrowRight")  # the fifth handle: the lower right corner
    assert tool.answer()["boundingBoxes"] == [box("Dog", 198, 149, 6, 3)]
    tool.page.get_by_role("application").focus()
    tool.keys("Delete")
    assert tool.answer()["boundingBoxes"] == []


def test_bounding_boxes_by_touch_and_pinch(crowd_pages):
    tool = Tool(crowd_pages, "bounding-box", has_touch=True, is_mobile=True, viewport={"width": 390, "height": 780})
    tool.touch("Start", (40, 40))
    tool.touch("Move", (140, 100))
    tool.touch("End")
    expected = [box("Cat", 40, 40, 100, 60)]
    assert tool.answer()["boundingBoxes"] == expected
    tool.touch("Start", (100, 200))
    tool.touch("Start", (100, 200), (200, 200))
    tool.touch("Move", (50, 200), (250, 200))  # two fingers zoom, and draw nothing
    tool.touch("End")
    assert tool.page.evaluate(f"{tool.element}.stage.zoom") == pytest.approx(2, abs=0.05)
    assert tool.answer()["boundingBoxes"] == expected


def test_initial_boxes_are_kept_apart_from_changed_ones(crowd_pages):
    emu = "{height: 1, label: 'Emu', left: 1, top: 1, width: 1}"
    value = f"[{{height: 50, label: 'Dog', left: 10, top: 20, width: 30,}}, {emu},]"
    tool = Tool(crowd_pages, "bounding-box", f'initial-value="{value}"')
    first = [box("Dog", 10, 20, 30, 50)]
    assert tool.answer() == {"boundingBoxes": first, "inputImageProperties": SIZE, "initialValueModified": False}
    tool.drag((100, 100), (150, 150))
    assert tool.answer()["initialValueModified"] is True
    tool.keys("Control+z")
    assert tool.answer() == {"boundingBoxes": first, "inputImageProperties": SIZE, "initialValueModified": False}
    assert [e for e in crowd_pages.errors if "Emu" in e]
    crowd_pages.errors.clear()


def points(*pairs):
    return [{"x": x, "y": y} for x, y in pairs]


def test_polygons(crowd_pages):
    tool = Tool(crowd_pages, "polygon")
    corners = [(50, 50), (150, 60), (100, 150)]
    for corner in corners:
        tool.click(*corner)
    assert crowd_pages.submit(tool.page) is None  # unfinished
    tool.page.get_by_text("Finish the polygon that you began").first.wait_for()
    tool.click(51, 51)  # its first point again
    tool.keys("2")
    tool.click(200, 200)
    tool.click(300, 200)
    tool.click(10, 10)
    tool.keys("Control+z")  # the last point
    tool.click(300, 280)
    tool.page.get_by_role("button", name="Finish this polygon").click()
    expected = [
        {"label": "Cat", "vertices": points(*corners)},
        {"label": "Dog", "vertices": points((200, 200), (300, 200), (300, 280))},
    ]
    assert tool.answer() == {"polygons": expected, "inputImageProperties": SIZE}
    tool.page.mouse.dblclick(*tool.at(250, 200))  # a new point on an edge, then moved
    tool.drag((250, 200), (250, 180))
    tool.page.get_by_role("button", name="Cat 1", exact=False).first.click()
    tool.keys("v*2", "Shift+ArrowRight")
    expected[0]["vertices"][1]["x"] = 151
    expected[1]["vertices"].insert(1, {"x": 250, "y": 180})
    assert tool.answer()["polygons"] == expected


def test_polylines_lines_and_keypoints(crowd_pages):
    tool = Tool(crowd_pages, "polyline", """label-colors="['#ff0000', 'nonsense']" """)
    for point in [(10, 20), (30, 40), (399, 40)]:
        tool.click(*point)
    tool.keys("Enter", "2")
    tool.click(100, 100)
    tool.page.mouse.dblclick(*tool.at(120, 130))
    assert tool.answer() == {
        "polylines": [
            {"label": "Cat", "vertices": points((10, 20), (30, 40), (399, 40))},
            {"label": "Dog", "vertices": points((100, 100), (120, 130))},
        ],
        "inputImageProperties": SIZE,
    }
    assert tool.page.evaluate(f"[{tool.element}.colorFor('Cat'), {tool.element}.colorFor('Dog')]") == [
        "#ff0000",
        "#ff7f0e",
    ]

    value = "{lines: [{label: 'Dog', vertices: [{x: 1, y: 2}, {x: 3, y: 4}]}]}"
    tool = Tool(crowd_pages, "line", f'initial-value="{value}"')
    tool.drag((50, 60), (150, 160))
    tool.click(200, 10)
    tool.click(210, 30)
    assert tool.answer() == {
        "lines": [
            {"label": "Dog", "vertices": points((1, 2), (3, 4))},
            {"label": "Cat", "vertices": points((50, 60), (150, 160))},
            {"label": "Cat", "vertices": points((200, 10), (210, 30))},
        ],
        "inputImageProperties": SIZE,
        "initialValueModified": True,
    }

    tool = Tool(crowd_pages, "keypoint")
    tool.click(10, 20)
    tool.keys("2")
    tool.click(399.7, 299.7)  # the last pixel
    tool.go(70, 80)
    tool.keys(" ", "ArrowUp", "Shift+ArrowDown")
    assert 70 < tool.page.evaluate(f"{tool.element}.stage.cursor.y") < 80
    tool.drag((10, 20), (15, 25))
    assert tool.answer() == {
        "keypoints": [
            {"label": "Cat", "x": 15, "y": 25},
            {"label": "Dog", "x": 399, "y": 299},
            {"label": "Dog", "x": 70, "y": 80},
        ],
        "inputImageProperties": SIZE,
    }


def picture(answer):
    from PIL import Image

    return Image.open(io.BytesIO(base64.b64decode(answer["labeledImage"]["pngImageData"]))).convert("RGBA")


def test_semantic_segmentation(crowd_pages):
    tool = Tool(crowd_pages, "semantic-segmentation", labels="['Cat', 'Dog', 'Bird']")
    tool.page.get_by_role("slider", name="Size of the brush").fill("20")
    tool.drag((50, 50), (150, 50))
    tool.keys("3", "p")
    for point in [(200, 100), (300, 100), (300, 200), (200, 200)]:
        tool.click(*point)
    tool.keys("Enter", "e")
    tool.drag((250, 150), (251, 150))
    answer = tool.answer()
    image = picture(answer)
    assert {key: value for key, value in answer.items() if key != "labeledImage"} == {
        "labelMappings": {"Cat": {"color": "#1f77b4"}, "Bird": {"color": "#2ca02c"}},
        "inputImageProperties": SIZE,
    }
    assert image.size == (400, 300)
    cat, bird, nothing = (0x1F, 0x77, 0xB4, 255), (0x2C, 0xA0, 0x2C, 255), (0, 0, 0, 0)
    assert {color for _, color in image.getcolors()} == {cat, bird, nothing}  # no shade between the colours
    assert [image.getpixel(p) for p in [(100, 45), (100, 65), (210, 110), (250, 150), (299, 199), (300, 200)]] == [
        cat, nothing, bird, nothing, bird, nothing
    ]  # fmt: skip
    tool.keys("Control+z", "Control+z", "Control+z")
    assert "labelMappings" in tool.answer()
    assert tool.answer()["labelMappings"] == {}
    tool.keys("Control+Shift+Z", "Control+Shift+Z", "Control+Shift+Z")
    assert picture(tool.answer()).tobytes() == image.tobytes()
    tool.page.evaluate("answer => document.querySelector('crowd-form').restore({r: answer})", answer)
    tool.page.wait_for_function(f"!{tool.element}.loading")
    again = tool.answer()
    assert again["labelMappings"] == answer["labelMappings"]
    assert picture(again).tobytes() == image.tobytes()


def test_semantic_segmentation_by_keyboard_on_an_earlier_one(crowd_pages):
    from PIL import Image

    earlier = Image.new("RGBA", (400, 300), (0, 0, 0, 0))
    earlier.paste((0xAB, 0xCD, 0xEF, 255), (0, 0, 100, 100))
    file = io.BytesIO()
    earlier.save(file, "PNG")
    crowd_pages.files["/earlier.png"] = file.getvalue()
    value = json.dumps({"labelMappings": {"Dog": {"color": "#ABCDEF"}}, "src": "/earlier.png"})
    tool = Tool(crowd_pages, "semantic-segmentation", f"initial-value='{value}'")
    tool.page.wait_for_function(f"!{tool.element}.loading")
    answer = tool.answer()
    assert answer["initialValueModified"] is False
    assert answer["labelMappings"] == {"Dog": {"color": "#abcdef"}}
    assert picture(answer).tobytes() == earlier.tobytes()
    tool.page.get_by_role("application").focus()
    tool.go(200, 200)
    tool.keys("1", ",*12", " ", "Shift+ArrowRight*9", " ")
    answer = tool.answer()
    assert answer["initialValueModified"] is True
    assert answer["labelMappings"] == {"Cat": {"color": "#1f77b4"}, "Dog": {"color": "#abcdef"}}
    assert picture(answer).getpixel((205, 200)) == (0x1F, 0x77, 0xB4, 255)


def test_instance_segmentation(crowd_pages):
    tool = Tool(crowd_pages, "instance-segmentation")
    tool.drag((20, 20), (60, 20))
    tool.keys("a")
    tool.drag((20, 80), (60, 80))
    tool.keys("2")
    tool.drag((20, 140), (60, 140))
    tool.keys("1", "[")  # back to the first cat
    tool.drag((20, 200), (60, 200))
    answer = tool.answer()
    image = picture(answer)
    colors = ["#1f77b4", "#ff7f0e", "#2ca02c"]
    assert answer["instances"] == [
        {"color": color, "label": label} for color, label in zip(colors, ["Cat", "Cat", "Dog"], strict=True)
    ]
    assert answer["inputImageProperties"] == SIZE
    assert ["#" + bytes(image.getpixel((40, y))[:3]).hex() for y in (20, 80, 140, 200)] == [*colors, colors[0]]
    tool.page.get_by_role("button", name="Delete Cat 2").click()
    assert [i["color"] for i in tool.answer()["instances"]] == [colors[0], colors[2]]
    tool.page.get_by_role("button", name="Undo").click()
    assert tool.answer() == answer
    tool.page.evaluate("answer => document.querySelector('crowd-form').restore({r: answer})", answer)
    tool.page.wait_for_function(f"!{tool.element}.loading")
    assert tool.answer()["instances"] == answer["instances"]


def test_scripts_reach_labels_value_and_shadow_root(crowd_pages):
    tool = Tool(crowd_pages, "keypoint", labels="['placeholder']")
    page = tool.page
    page.evaluate(f"""() => {{
      window.tool = {tool.element};
      window.changes = 0;
      tool.addEventListener("change", () => changes += 1);
      tool.labels = [];
    }}""")
    tool.click(5, 5)
    page.get_by_text("There is no label yet.").first.wait_for()
    page.evaluate("tool.labels = tool.labels.concat(['Left Eye'])")
    tool.click(5, 6)
    assert page.evaluate("[tool.value.keypoints, tool._submittableValue.keypoints, changes]") == [
        [{"label": "Left Eye", "x": 5, "y": 6}]] * 2 + [1]  # fmt: skip
    assert page.evaluate("tool.shadowRoot.querySelector('canvas.upper-canvas').getBoundingClientRect().width > 100")
    for name in (".awsui-app-layout__navigation", ".awsui-modal-dialog", ".annotation-area .category-picker-wrapper"):
        assert page.evaluate("name => tool.shadowRoot.querySelector(name) !== null", name)


def test_a_missing_image_cannot_be_annotated(crowd_pages):
    page = crowd_pages.open(
        "<crowd-form><crowd-polygon name=r src=/none.png header=H labels='[1]'></crowd-polygon></crowd-form>"
    )
    page.get_by_text("The image could not be loaded.").wait_for()
    assert crowd_pages.submit(page) is None
    crowd_pages.errors.clear()


ENTITIES = """<crowd-entity-annotation name=e header="Highlight" text="Ünï 😀 Ada Lovelace met Charles in 1833."
  labels="[{'label': 'person', 'shortDisplayName': 'per', 'fullDisplayName': 'Person'}, 'date']"
  initial-value="[{label: 'date', startOffset: 34, endOffset: 38}, {label: 'place', startOffset: 0, endOffset: 3}]">
  <short-instructions>Mark!</short-instructions>
  <div id=more><crowd-checkbox name=sure value=yes checked>Sure</crowd-checkbox></div></crowd-entity-annotation>
  <script>document.addEventListener("all-crowd-elements-ready", () => {
    document.querySelector("crowd-entity-annotation").shadowRoot.querySelector("crowd-form").form.appendChild(more);
  });</script>"""


def entity(label, start, end):
    return {"endOffset": end, "label": label, "startOffset": start}


def test_entities_by_keyboard_in_its_own_form(crowd_pages):
    page = crowd_pages.open(ENTITIES)
    paper = page.get_by_role("application")
    paper.focus()
    for key in [
        "Control+ArrowRight",
        "Control+ArrowRight",
        "ArrowRight",
        "Control+Shift+ArrowRight",
        "Control+Shift+ArrowRight",
    ]:
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    assert crowd_pages.submit(page) == {
        "e": {"entities": [entity("person", 6, 18), entity("date", 34, 38)]},
        "sure": {"yes": True},
    }
    assert "Ünï 😀 Ada Lovelace"[6:18] == "Ada Lovelace"  # offsets as Python counts them
    paper.focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")  # choose the mark
    page.keyboard.press("1")  # and change it
    assert crowd_pages.submit(page)["e"]["entities"] == [entity("person", 6, 18), entity("person", 34, 38)]
    page.get_by_role("button", name="Remove “Ada Lovelace”").click()
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Undo").click()
    assert crowd_pages.submit(page)["e"]["entities"] == [entity("person", 6, 18), entity("date", 34, 38)]
    assert any("does not fit" in error for error in crowd_pages.errors)  # the place, which is no label
    crowd_pages.errors.clear()


def test_entities_by_mouse_and_touch(crowd_pages):
    page = crowd_pages.open(
        f"<crowd-form>{ENTITIES.split('<div')[0]}</crowd-entity-annotation></crowd-form>", has_touch=True
    )
    crowd_pages.errors.clear()
    where = page.evaluate_handle("""() => (offset) => {
      const widget = document.querySelector("crowd-entity-annotation");
      const [node, at] = widget.place(offset);
      const range = document.createRange();
      range.setStart(node, at);
      range.setEnd(node, at + 1);
      const box = range.getBoundingClientRect();
      return [box.left + 1, box.top + box.height / 2];
    }""")

    def at(offset):  # in UTF-16 units: one more than Python's after the emoji
        return page.evaluate("([where, offset]) => where(offset)", [where, offset])

    page.mouse.move(*at(7))
    page.mouse.down()
    page.mouse.move(*at(12))
    page.mouse.move(*at(20))  # with the blank after it, which is left out
    page.mouse.up()
    page.touchscreen.tap(*at(26))
    assert crowd_pages.submit(page) == {
        "e": {"entities": [entity("person", 6, 18), entity("person", 23, 30), entity("date", 34, 38)]}
    }
    page.mouse.move(*at(2))
    page.mouse.down()
    page.mouse.move(*at(10))  # a part of a mark
    page.mouse.up()
    page.get_by_role("button", name="Remove the mark from “Charles”").click()
    page.mouse.dblclick(*at(21))
    assert crowd_pages.submit(page)["e"]["entities"] == [
        entity("person", 6, 18),
        entity("person", 19, 22),
        entity("date", 34, 38),
    ]


def test_coordinates_follow_the_rotation_of_the_image(crowd_pages):
    from PIL import Image

    turned = Image.Exif()
    turned[0x0112] = 6  # to be shown turned by 90 degrees
    file = io.BytesIO()
    Image.new("RGB", (300, 400), "grey").save(file, "JPEG", exif=turned)
    crowd_pages.files["/turned.jpg"] = file.getvalue()
    tool = Tool(crowd_pages, "keypoint")
    tool.page.evaluate(f"{tool.element}.src = '/turned.jpg'")
    tool.page.wait_for_function(f"{tool.element}.stage.image.src.endsWith('turned.jpg') && {tool.element}.src")
    tool.page.wait_for_function(f"{tool.element}.stage.image.complete")
    tool.click(390, 10)
    assert tool.answer() == {"keypoints": [{"label": "Cat", "x": 390, "y": 10}], "inputImageProperties": SIZE}


def test_earlier_answers_come_back_before_and_after_the_image(crowd_pages):
    crowd_pages.files["/image.png"] = png(400, 300)
    vertices = points((1, 2), (30, 40), (50, 6))
    answer = {
        "box": {"boundingBoxes": [box("b", 1, 2, 3, 4)], "inputImageProperties": SIZE},
        "gon": {"polygons": [{"label": "a", "vertices": vertices}], "inputImageProperties": SIZE},
        "poly": {"polylines": [{"label": "a", "vertices": vertices}], "inputImageProperties": SIZE},
        "line": {"lines": [{"label": "b", "vertices": vertices[:2]}], "inputImageProperties": SIZE},
        "key": {"keypoints": [{"label": "b", "x": 399, "y": 0}], "inputImageProperties": SIZE},
        "text": {"entities": [entity("b", 0, 3), entity("a", 4, 5)]},
        "kind": {"label": "b", "workerComment": "so"},
        "kinds": {"labels": ["a", "b"]},
        "slide": 7,
        "on": {"on": True},
    }
    elements = ["bounding-box", "polygon", "polyline", "line", "keypoint", "entity-annotation", "image-classifier",
                "classifier-multi-select", "slider", "toggle-button"]  # fmt: skip
    page = crowd_pages.open(
        "<crowd-form>"
        + "".join(
            f"""<crowd-{element} name={name} src=/image.png header=H labels="['a', 'b']"
            categories="['a', 'b']" text="One two"><worker-comment></worker-comment></crowd-{element}>"""
            for element, name in zip(elements, answer, strict=True)
        )
        + "</crowd-form>"
    )
    page.evaluate("answer => document.querySelector('crowd-form').restore(answer)", answer)  # perhaps before its images
    page.wait_for_function("[...document.querySelectorAll('crowd-form *')].every((e) => !e.stage || e.stage.width)")
    assert crowd_pages.submit(page) == answer
    page.evaluate("answer => document.querySelector('crowd-form').restore(answer)", answer)
    assert crowd_pages.submit(page) == answer


def test_zooming_keeps_the_place_and_the_pixels(crowd_pages):
    tool = Tool(crowd_pages, "keypoint")
    tool.page.mouse.move(*tool.at(100, 75))
    tool.page.keyboard.press("Tab")  # anywhere on the page
    tool.keys("+*8")
    zoom, left, top = tool.page.evaluate(
        f"[{tool.element}.stage.zoom, {tool.element}.stage.view.scrollLeft, {tool.element}.stage.view.scrollTop]"
    )
    assert zoom > 20
    assert left > 0
    assert top > 0
    tool.page.mouse.click(*tool.at(100.7, 75.3))
    tool.page.get_by_role("button", name="Show the whole image").click()
    assert tool.page.evaluate(f"{tool.element}.stage.zoom") == 1
    assert tool.answer()["keypoints"] == [{"label": "Cat", "x": 101, "y": 75}]


def test_masks_and_polygons_by_touch(crowd_pages):
    context = {"has_touch": True, "is_mobile": True, "viewport": {"width": 390, "height": 780}}
    tool = Tool(crowd_pages, "semantic-segmentation", **context)
    tool.touch("Start", (50, 50))
    tool.touch("Move", (150, 50))
    tool.touch("End")
    answer = tool.answer()
    assert answer["labelMappings"] == {"Cat": {"color": "#1f77b4"}}
    assert picture(answer).getpixel((100, 50))[3] == 255
    tool = Tool(crowd_pages, "polygon", **context)
    for corner in [(50, 50), (200, 60), (100, 250)]:
        tool.touch("Start", corner)
        tool.touch("End")
    tool.page.get_by_role("button", name="Finish this polygon").tap()
    assert [len(p["vertices"]) for p in tool.answer()["polygons"]] == [3]


def test_finds_letters_without_the_browsers_help(crowd_pages):
    text = "One two 😀 three four. " * 40
    page = crowd_pages.open(
        f"""<crowd-form><crowd-entity-annotation name=e header=H text="{text}" labels="['a']"
        initial-value="[{{label: 'a', startOffset: 4, endOffset: 7}}]"></crowd-entity-annotation></crowd-form>"""
    )
    wrong = page.evaluate("""() => {
      const widget = document.querySelector("crowd-entity-annotation");
      document.caretPositionFromPoint = undefined;  // as in browsers that don't look into shadow roots
      const wrong = [], range = document.createRange();
      for (const {node, start} of widget.pieces) {
        for (let i = 0; i < node.length; i += 7) {
          range.setStart(node, i);
          range.setEnd(node, i + 1);
          const box = range.getBoundingClientRect();
          if (box.width < 3 || /[^ -~]/.test(node.data[i])) continue;  // a line's last blank, half of an emoji
          const at = {clientX: box.left + box.width / 4, clientY: box.top + box.height / 2};
          if (widget.offsetAt(at) !== start + i) wrong.push([start + i, widget.offsetAt(at)]);
        }
      }
      return wrong;
    }""")
    assert wrong == []
    assert page.evaluate("document.querySelector('crowd-entity-annotation').letters.textContent").startswith("One ")
