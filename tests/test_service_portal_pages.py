"""The portal's pages one after another: loaded ahead, taken back, gone on with elsewhere; codes; the keyboard."""

import time
from pathlib import Path
from typing import Any

import axe_playwright_python
from service import SHOWN, TEAM, create, held, inside, until

WORD = """<script src="https://assets.crowd.aws/crowd-html-elements.js"></script>
<crowd-form><p>{{ task.input.source }}</p><crowd-input name="word" label="Word" required></crowd-input></crowd-form>"""
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()


def words(live: Any, count: int, **options: Any) -> None:
    create(live, "words", WORD, [{"source": f"text {n}"} for n in range(count)], title="Words", **options)


def begin(page: Any) -> Any:
    page.get_by_role("button", name="Start").click()
    return inside(page)


def text_of(page: Any) -> str:
    return str(page.frame_locator(SHOWN).locator("p").first.inner_text())


def submit(page: Any, word: str) -> None:
    """Fill the page in, submit it, and wait until it is taken away."""
    shown = page.locator(SHOWN).get_attribute("src")
    inside(page)
    page.frame_locator(SHOWN).get_by_label("Word").fill(word)
    page.frame_locator(SHOWN).get_by_role("button", name="Submit").click()
    until(lambda: page.evaluate("document.querySelector('iframe:not(.ahead)')?.getAttribute('src')") != shown)


def ahead(page: Any) -> None:
    """Wait until the page after the one in hand is loaded."""
    until(lambda: page.evaluate("Boolean(ahead && ahead.ready && ahead.loaded)") or page.wait_for_timeout(10))


def test_the_next_page_is_the_one_loaded_ahead(live, enter) -> None:
    words(live, 8, workers_per_object=1)
    page = enter("Ann")
    begin(page)
    for number in range(5):
        ahead(page)
        waiting = page.locator("iframe.ahead")
        assert waiting.get_attribute("inert") is not None  # neither seen, nor reached by the keyboard
        coming = waiting.get_attribute("src")
        submit(page, f"word {number}")
        assert page.locator(SHOWN).get_attribute("src") == coming
    assert live.store.states("words")["answered"] == 5


GREEDY = """<script src="https://assets.crowd.aws/crowd-html-elements.js"></script>
<crowd-form><p>{{ task.input.source }}</p><input name="key" id="key" readonly></crowd-form>
<script>
  const key = document.getElementById("key");
  key.focus();
  setTimeout(() => key.focus(), 50);
  document.addEventListener("keydown", (event) => {
    key.value += event.key;
    if (event.key === "y") document.querySelector("crowd-form").submit();
  });
</script>"""


def test_a_page_loaded_ahead_leaves_the_keyboard_alone(live, enter) -> None:
    create(live, "keys", GREEDY, [{"source": f"text {n}"} for n in range(4)], title="Keys", workers_per_object=1)
    page = enter("Ann")
    begin(page)
    for left in (3, 2, 1, 0):
        if left:
            ahead(page)
            page.wait_for_timeout(150)
        inner = inside(page)
        until(lambda inner=inner: inner.evaluate("document.hasFocus()"))
        shown = page.locator(SHOWN).get_attribute("src")
        page.keyboard.press("x")
        with held(page, "y"):
            page.wait_for_function(
                "(src) => document.querySelector('iframe:not(.ahead)')?.getAttribute('src') !== src", arg=shown
            )
    until(lambda: live.store.states("keys").get("answered") == 4)


def test_the_last_page_can_be_changed(live, enter) -> None:
    words(live, 3, workers_per_object=2)
    page = enter("Ann")
    begin(page)
    assert page.get_by_role("button", name="Last page").is_hidden()
    first = text_of(page)
    submit(page, "wrong")
    second = text_of(page)
    page.frame_locator(SHOWN).get_by_label("Word").fill("begun")
    page.get_by_role("button", name="Last page").click()
    until(lambda: text_of(page) == first)
    field = page.frame_locator(SHOWN).get_by_label("Word")
    until(lambda: field.input_value() == "wrong")
    size = page.viewport_size
    for width in (320, 375, 640):  # with all its buttons, and the clock
        page.set_viewport_size({"width": width, "height": 700})
        page.evaluate("document.getElementById('clock').hidden = false")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
    page.set_viewport_size(size)
    page.get_by_role("button", name="Go on without a change").click()
    until(lambda: text_of(page) == second)
    page.get_by_role("button", name="Last page").click()
    until(lambda: text_of(page) == first and field.input_value() == "wrong")
    submit(page, "right")
    until(lambda: text_of(page) == second)
    assert page.frame_locator(SHOWN).get_by_label("Word").input_value() == "begun"  # as it was left
    (given,) = live.store.answers("words", 1).values()
    assert [answer.content for answer in given] == [{"word": "right"}]
    history = live.store.events("words")
    assert [(event.what, event.content) for event in history if event.content] == [
        ("changed", {"word": "right"}), ("submitted", {"word": "wrong"}),
    ]  # fmt: skip


def test_the_last_page_can_be_withdrawn(live, enter) -> None:
    words(live, 2, workers_per_object=2)
    page = enter("Ann")
    begin(page)
    first = text_of(page)
    submit(page, "wrong")
    second = text_of(page)
    page.get_by_role("button", name="Last page").click()
    until(lambda: text_of(page) == first)
    page.get_by_role("button", name="Withdraw").click()
    until(lambda: text_of(page) == second)
    assert page.get_by_role("button", name="Last page").is_hidden()
    assert page.get_by_role("button", name="Skip").is_visible()
    assert live.store.answers("words", 1) == {}
    submit(page, "right")
    page.get_by_text("Nothing left for you here").wait_for()  # what she withdrew doesn't come again


def test_what_was_begun_comes_back_on_another_device(live, enter) -> None:
    words(live, 1, workers_per_object=1)
    desk = enter("Ann")
    begin(desk)
    desk.frame_locator(SHOWN).get_by_label("Word").press_sequentially("half")
    lease = desk.locator(SHOWN).get_attribute("src").rpartition("/")[2]
    until(lambda: live.store.draft(lease) or desk.wait_for_timeout(50))
    phone = enter("Ann", viewport={"width": 390, "height": 780}, has_touch=True, is_mobile=True)
    begin(phone)
    field = phone.frame_locator(SHOWN).get_by_label("Word")
    until(lambda: field.input_value() == "half")
    assert phone.evaluate("page.spent") > 0  # the time goes on, too
    submit(phone, "whole")
    until(lambda: live.store.job("words").ended)
    assert live.store.draft(lease) is None


def test_time_spent_counts_no_pause(live, enter) -> None:
    words(live, 1, workers_per_object=1)
    page = enter("Ann")
    page.clock.install(time=time.time())
    begin(page)
    inner = inside(page)
    page.evaluate(
        "heard = 0; addEventListener('message', (event) => { heard += event.data?.type === 'crowd-activity' })"
    )
    for pause in (20_000, 20_000, 20_000, 500_000):  # the last: to the door, and back
        page.clock.run_for(pause)
        before = page.evaluate("heard")
        inner.evaluate("parent.postMessage({ type: 'crowd-activity' }, '*')")
        until(lambda before=before: page.evaluate("heard") > before)
    spent = page.evaluate("page.spent")
    assert 85 < spent < 100  # a minute of work, and half a minute that counts of nearly nine


def test_a_code_signs_somebody_in_once(live, enter, browser) -> None:
    words(live, 1, workers_per_object=1)
    code = live.store.issue_code(TEAM, time.time() + 600)
    context = browser.new_context()
    page = context.new_page()
    page.goto(live.address)
    page.get_by_role("heading", name="You aren't signed in").wait_for()
    page.evaluate(AXE)
    assert page.evaluate("axe.run(document).then((result) => result.violations.map((each) => each.id))") == []
    page.get_by_label("Code").fill(code.lower().replace("-", " "))
    page.get_by_label("Your name").fill("Cem")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Start Words").wait_for()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Code").fill(code)
    page.get_by_label("Your name").fill("Dua")
    page.keyboard.press("Enter")
    page.get_by_role("alert").filter(has_text="was used already").wait_for()
    assert [worker.name for worker in live.store.workers(TEAM)] == ["Cem"]
    context.close()


def test_a_job_is_done_with_the_keyboard_alone(live, enter) -> None:
    words(live, 2, workers_per_object=1)
    page = enter("Ann")
    page.get_by_role("button", name="Start").focus()
    page.keyboard.press("Enter")
    for word in ("one", "two"):
        inner = inside(page)
        shown = page.locator(SHOWN).get_attribute("src")
        until(lambda inner=inner: inner.evaluate("document.hasFocus()"))  # the frame's own word: it is another process
        page.keyboard.press("Tab")
        page.keyboard.type(word)
        with held(page, "Control+Enter"):
            until(lambda shown=shown: page.evaluate("page?.frame.getAttribute('src')") != shown)
    page.get_by_role("heading", name="Nothing").first.wait_for()
    assert [answer.content for answer in live.store.answers_after("words", 0)] == [{"word": "one"}, {"word": "two"}]


def test_help_says_how_it_goes(live, enter, tmp_path) -> None:
    words(live, 1, workers_per_object=1, description="Type a word that fits.")
    page = enter("Ann")
    begin(page)
    page.get_by_role("button", name="Help").click()
    page.get_by_role("dialog").get_by_text("Type a word that fits.").wait_for()
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, { iframes: false }).then((result) => result.violations)")
    assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
    page.screenshot(path=tmp_path / "help.png")
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0


def test_reloading_and_the_browsers_back(live, enter) -> None:
    words(live, 1, workers_per_object=1)
    page = enter("Ann")
    begin(page)
    field = page.frame_locator(SHOWN).get_by_label("Word")
    field.fill("half")
    lease = page.locator(SHOWN).get_attribute("src").rpartition("/")[2]
    until(lambda: live.store.draft(lease) or page.wait_for_timeout(50))
    page.reload()
    until(lambda: field.input_value() == "half")  # in the task again, not in the list
    page.go_back()
    page.get_by_role("button", name="Start Words").wait_for()
    page.go_forward()
    until(lambda: field.input_value() == "half")
    submit(page, "whole")
    page.get_by_role("heading", name="Nothing").first.wait_for()
    assert [answer.content for answer in live.store.answers_after("words", 0)] == [{"word": "whole"}]


def test_a_task_whose_time_ends_while_somebody_writes(live, enter) -> None:
    words(live, 2, workers_per_object=1)
    page = enter("Ann")
    page.clock.install(time=time.time())
    begin(page)
    first = text_of(page)
    seconds = page.evaluate("(page.ends - performance.now()) / 1000")
    page.clock.run_for((seconds - 30) * 1000)
    assert page.locator("#clock.short").inner_text().startswith("0:")
    live.service.clock = lambda: time.time() + seconds + 60
    asked = []
    page.on("request", lambda request: "/next" in request.url and asked.append(request.url))
    page.route("**/next", lambda route: route.abort())
    page.clock.run_for(35_000)
    page.get_by_role("alert").filter(has_text="can't be reached").wait_for()
    assert len(asked) == 1  # not once a second
    page.unroute("**/next")
    page.clock.run_for(15_000)
    page.get_by_role("alert").filter(has_text="The time for the last task was over").wait_for()
    assert text_of(page) != first


def test_a_forgotten_tab_changes_no_answer_in_silence(live, enter) -> None:
    words(live, 2, workers_per_object=1)
    page = enter("Ann")
    begin(page)
    tab = page.context.new_page()
    tab.goto(f"{live.address}/#words")
    inside(tab)
    assert text_of(tab) == text_of(page)
    submit(page, "kept")
    tab.get_by_role("button", name="Skip").click()
    until(lambda: text_of(tab) == text_of(page))  # both go on
    assert [answer.content for answer in live.store.answers_after("words", 0)] == [{"word": "kept"}]
    submit(page, "first")
    tab.frame_locator(SHOWN).get_by_label("Word").fill("second")
    tab.frame_locator(SHOWN).get_by_role("button", name="Submit").click()
    tab.get_by_role("alert").filter(has_text="was kept before, and it stands").wait_for()
    assert [answer.content for answer in live.store.answers_after("words", 0)] == [{"word": "kept"}, {"word": "first"}]
