"""crowd-form and the form elements in a real browser: what they collect, check, fire and hand over."""

import json

import pytest


def test_collects_plain_inputs_as_the_contract_says(crowd_pages):
    page = crowd_pages.open("""<crowd-form>
      <input type=radio name=q value=a id=a><input type=radio name=q value=b>
      <input type=checkbox name=n value=v checked><input type=checkbox name=default>
      <input name=text><input type=number name=count value=3><input type=date name=day value=2026-01-02>
      <textarea name=area></textarea>
      <select name=choice><option value=x>X<option value=y selected>Y</select>
      <select name=several multiple><option selected>1<option>2<option selected>3</select>
      <input type=hidden name=labels-0 value='["cat"]'>
      <input value=nameless><input name=barred value=x disabled><input type=submit name=s value=Go>
    </crowd-form>""")
    page.check("#a")
    page.fill("[name=text]", "hello")
    page.fill("[name=area]", "one\ntwo")
    assert page.locator("crowd-form > form").count() == 1
    answer = crowd_pages.submit(page)
    assert answer == {
        "q": {"a": True, "b": False},
        "n": {"v": True},
        "default": {"on": False},
        "text": "hello",
        "count": "3",
        "day": "2026-01-02",
        "area": "one\ntwo",
        "choice": "y",
        "several": ["1", "3"],
        "labels-0": '["cat"]',
    }


def test_collects_crowd_elements_by_mouse_and_keyboard(crowd_pages):
    page = crowd_pages.open("""<crowd-form>
      <crowd-input name=tag1 label="Word 1"></crowd-input>
      <crowd-input name=empty label="Word 2"></crowd-input>
      <crowd-checkbox name=image value=blurry>Blurry</crowd-checkbox>
      <crowd-checkbox name=image value=dim>Dim</crowd-checkbox>
      <crowd-checkbox name=image value=exposed>Exposed</crowd-checkbox>
      <crowd-checkbox name=alone checked>Alone</crowd-checkbox>
      <crowd-radio-group>
        <crowd-radio-button name=tech value=tech>Technology</crowd-radio-button>
        <crowd-radio-button name=politics value=politics>Politics</crowd-radio-button>
        <crowd-radio-button name=sport>Sport</crowd-radio-button>
      </crowd-radio-group>
    </crowd-form>""")
    page.get_by_label("Word 1").click()
    page.keyboard.type("blue")
    page.get_by_role("checkbox", name="Blurry").click()
    page.get_by_text("Dim").click()
    page.get_by_role("radio", name="Technology").click()
    page.keyboard.press("ArrowDown")
    assert crowd_pages.submit(page) == {
        "tag1": "blue",
        "image": {"blurry": True, "dim": True, "exposed": False},
        "alone": {"on": True},
        "tech": {"tech": False},
        "politics": {"politics": True},
        "sport": {"on": False},
    }


def test_submit_can_be_prevented_and_handlers_set_values_first(crowd_pages):
    page = crowd_pages.open("""<crowd-form><input type=hidden name=h></crowd-form>
      <script>
        let tries = 0;
        document.querySelector("crowd-form").onsubmit = (event) => {
          tries += 1;
          if (tries === 1) event.preventDefault();
          document.querySelector("[name=h]").value = JSON.stringify([tries]);
        };
      </script>""")
    assert crowd_pages.submit(page) is None
    assert crowd_pages.submit(page) == {"h": "[2]"}


def test_enter_in_a_field_and_plain_buttons_take_the_same_road(crowd_pages):
    page = crowd_pages.open("""<crowd-form>
      <input name=a required><button name=go>Go</button>
      <crowd-button form-action=submit>Submit</crowd-button></crowd-form>
      <script>
        window.seen = 0;
        document.querySelector("crowd-form").addEventListener("submit", () => seen += 1);
      </script>""")
    assert page.locator("crowd-button").count() == 1  # none is appended beside the template's own
    page.get_by_role("button", name="Go").click()
    assert page.evaluate("window.seen") == 0  # required
    page.fill("[name=a]", "x")
    page.press("[name=a]", "Enter")
    assert page.evaluate("[window.seen, window.answer]") == [1, {"a": "x"}]


def test_plain_buttons_and_enter_submit_in_a_frame_without_allow_forms(crowd_pages):
    crowd_pages.pages["/button.html"] = b"""<script src=/crowd-html-elements.js></script><crowd-form>
      <input name=a value=1><textarea name=b></textarea><button>Go</button></crowd-form>"""
    crowd_pages.pages["/enter.html"] = b"""<script src=/crowd-html-elements.js></script><crowd-form>
      <input name=a value=2><input type=hidden name=h><input type=checkbox name=c></crowd-form>"""
    page = crowd_pages.open("""<iframe src=/button.html sandbox=allow-scripts></iframe>
      <iframe src=/enter.html sandbox=allow-scripts></iframe><script>
      window.answers = []; window.ready = 0;
      window.addEventListener("message", ({data}) => {
        if (data.type === "crowd-form-submit") answers.push(data.answer); else ready += 1;
      });</script>""")
    page.wait_for_function("ready === 2")
    button, enter = page.frame_locator("iframe").nth(0), page.frame_locator("iframe").nth(1)
    button.get_by_role("textbox").last.press("Enter")  # a new line, no more
    button.get_by_role("textbox").first.press("Enter")
    page.wait_for_function("answers.length === 1")
    enter.get_by_role("textbox").press("Enter")
    page.wait_for_function("answers.length === 2")
    assert page.evaluate("answers") == [{"a": "1", "b": "\n"}, {"a": "2", "h": "", "c": {"on": False}}]


def test_submit_method_asks_but_does_not_check(crowd_pages):
    """As AWS's sample of a custom workflow needs it: its own button, and a hidden field that onsubmit sets."""
    page = crowd_pages.open("""<crowd-form><input type=hidden name=made id=made>
      <crowd-input name=a required></crowd-input><crowd-button form-action=submit style="display: none"></crowd-button>
      </crowd-form><button id=own>Own</button><script>
        const form = document.querySelector("crowd-form");
        window.ready = false;
        form.onsubmit = () => { if (!window.ready) return false; made.value = "by onsubmit"; };
        own.onclick = () => form.submit();
      </script>""")
    page.get_by_role("button", name="Own").click()
    assert page.evaluate("window.answer") is None
    page.evaluate("window.ready = true")
    page.get_by_role("button", name="Own").click()
    assert page.evaluate("window.answer") == {"made": "by onsubmit"}


@pytest.mark.parametrize("when", ["form.submit()", "setTimeout(() => form.submit(), 20)"])
def test_a_handler_that_cancels_and_submits_itself_is_asked_once(crowd_pages, when):
    page = crowd_pages.open(f"""<crowd-form><crowd-input name=a value=1></crowd-input></crowd-form><script>
        const form = document.querySelector("crowd-form");
        window.asked = 0;
        form.onsubmit = (event) => {{ event.preventDefault(); window.asked++; {when}; }};
      </script>""")
    page.get_by_role("button", name="Submit").click()
    page.wait_for_function("window.answer")
    page.wait_for_timeout(50)
    assert page.evaluate("[window.answer, window.asked]") == [{"a": "1"}, 1]


@pytest.mark.parametrize("script", ["/crowd-html-elements.js", "/static/crowd-html-elements.js"])
def test_bundle_and_single_files_behave_alike(crowd_pages, script):
    page = crowd_pages.open(
        """<script src="/crowd-html-elements.js"></script>
        <crowd-form><crowd-input name=a value=1></crowd-input></crowd-form>""",
        script=script,
    )
    assert crowd_pages.submit(page) == {"a": "1"}


def test_posts_the_answer_once_and_says_when_it_fails(crowd_pages):
    page = crowd_pages.open("""<crowd-form data-submit-url="/answers"><input name=a value=1></crowd-form>""")
    crowd_pages.status = 503
    crowd_pages.submit(page)
    page.get_by_role("alert").get_by_text("not accepted (503)").wait_for()
    crowd_pages.status = 200
    crowd_pages.submit(page)
    page.get_by_text("saved").wait_for()
    assert page.get_by_role("button", name="Submit").is_disabled()
    page.evaluate("document.querySelector('crowd-form').submit()")
    assert crowd_pages.posted == [{"a": "1"}, {"a": "1"}]
    crowd_pages.errors = [error for error in crowd_pages.errors if "503" not in error]  # the browser's own line


def test_talks_with_the_portal_that_holds_its_sandboxed_frame(crowd_pages):
    crowd_pages.pages["/task.html"] = b"""<script src=/crowd-html-elements.js></script>
      <crowd-form><crowd-input name=a required></crowd-input></crowd-form>"""
    page = crowd_pages.open("""<iframe src=/task.html sandbox="allow-scripts"></iframe><script>
      window.messages = [];
      window.addEventListener("message", (event) => messages.push([event.origin, event.data]));
    </script>""")
    page.wait_for_function("messages.some(([, data]) => data.type === 'crowd-form-ready')")
    frame = page.frame_locator("iframe")
    page.evaluate("frames[0].postMessage({type: 'crowd-form-restore', answer: {a: 'before'}}, '*')")
    page.evaluate("frames[0].postMessage({type: 'crowd-form-request-submit'}, '*')")
    page.wait_for_function("messages.length === 2")
    assert page.evaluate("messages[1]") == ["null", {"type": "crowd-form-submit", "answer": {"a": "before"}}]
    page.evaluate("frames[0].postMessage({type: 'crowd-form-rejected', reason: 'The lease is over.'}, '*')")
    frame.get_by_text("The lease is over.").wait_for()
    frame.get_by_role("button", name="Submit").click()
    page.wait_for_function("messages.length === 3")
    page.evaluate("frames[0].postMessage({type: 'crowd-form-rejected'}, '*')")
    page.evaluate("frames[0].postMessage({type: 'crowd-form-watch'}, '*')")
    frame.get_by_role("textbox").press("End")
    frame.get_by_role("textbox").press("!")
    page.wait_for_function("messages.length === 5")
    seen = [data for _, data in page.evaluate("messages.slice(3)")]
    assert seen == [{"type": "crowd-activity"}, {"type": "crowd-form-draft", "answer": {"a": "before!"}}]


def test_what_was_typed_before_the_portal_watched_is_a_draft_too(crowd_pages):
    crowd_pages.pages["/task.html"] = b"""<script src=/crowd-html-elements.js></script>
      <crowd-form><crowd-input name=a></crowd-input></crowd-form>"""
    page = crowd_pages.open("""<iframe src=/task.html sandbox="allow-scripts"></iframe><script>
      addEventListener("message", ({ data }) => { if (data.type === "crowd-form-draft") window.draft = data.answer; });
    </script>""")
    page.frame_locator("iframe").get_by_role("textbox").fill("early")
    page.evaluate("frames[0].postMessage({type: 'crowd-form-watch'}, '*')")
    page.wait_for_function("window.draft")
    assert page.evaluate("window.draft") == {"a": "early"}


def test_restores_an_earlier_answer(crowd_pages):
    page = crowd_pages.open("""<crowd-form>
      <input name=t><input name=t><input type=radio name=r value=a checked><input type=radio name=r value=b>
      <crowd-checkbox name=c value=v>C</crowd-checkbox><crowd-input name=i value=preset></crowd-input>
      <select name=s multiple><option>1<option>2</select></crowd-form>""")
    answer = {"t": ["1", "2"], "r": {"a": False, "b": True}, "c": {"v": True}, "i": "then", "s": ["2"]}
    page.evaluate("answer => document.querySelector('crowd-form').restore(answer)", answer)
    assert crowd_pages.submit(page) == answer


def test_flattens_when_the_form_asks_for_it(crowd_pages):
    page = crowd_pages.open("""<crowd-form answer-format="flatten-objects">
      <crowd-checkbox name=c value=v checked>C</crowd-checkbox><input name=t value=1></crowd-form>""")
    assert crowd_pages.submit(page) == {"c.v": True, "t": "1"}


def test_names_cannot_reach_prototypes(crowd_pages):
    page = crowd_pages.open("""<crowd-form><input name=__proto__ value=1><input type=checkbox name=x value=__proto__>
      <input name=toString value=2></crowd-form>""")
    page.get_by_role("button", name="Submit").click()
    page.wait_for_function("window.answer")
    assert json.loads(page.evaluate("JSON.stringify(window.answer)")) == {
        "__proto__": "1",
        "x": {"__proto__": False},
        "toString": "2",
    }
    assert page.evaluate("({}).polluted === undefined && Object.prototype.toString.call([]) === '[object Array]'")


def test_required_fields_stop_the_submit_and_take_the_focus(crowd_pages):
    page = crowd_pages.open("""<crowd-form>
      <crowd-input name=a label="First" required></crowd-input>
      <crowd-input name=n label="Number" type=number></crowd-input>
      <crowd-input name=s label="Short" min-length=3 error-message="Too short!"></crowd-input>
      <crowd-checkbox name=c required>Understood</crowd-checkbox></crowd-form>""")
    page.get_by_label("Short").fill("ab")
    assert crowd_pages.submit(page) is None
    assert page.evaluate("document.activeElement.getAttribute('name')") == "a"
    assert page.get_by_role("alert").last.inner_text() == "Fill in “First”. Too short! “Understood” has to be chosen."
    page.keyboard.type("x")
    page.get_by_label("Short").fill("abc")
    page.get_by_role("checkbox", name="Understood").check()
    assert crowd_pages.submit(page) == {"a": "x", "s": "abc", "c": {"on": True}}


def test_crowd_input_keeps_out_what_its_pattern_forbids(crowd_pages):
    page = crowd_pages.open("""<crowd-form>
      <crowd-input name=d label=Digits allowed-pattern="[0-9]" auto-validate max-length=4></crowd-input></crowd-form>
      <script>const field = document.querySelector("crowd-input"); field.value = "9";</script>""")
    page.get_by_label("Digits").click()
    page.keyboard.press("End")
    page.keyboard.type("1a2b3c4")
    assert page.evaluate("field.value") == "9123"
    page.evaluate("field.value = null")
    assert crowd_pages.submit(page) == {}


def test_scripts_find_properties_and_events(crowd_pages):
    page = crowd_pages.open("""<crowd-form>
      <crowd-radio-group><crowd-radio-button name=y value=yes id=y>Yes</crowd-radio-button>
      <crowd-radio-button name=n value=no id=n checked>No</crowd-radio-button></crowd-radio-group>
      <crowd-checkbox name=more value=1>More</crowd-checkbox><crowd-button id=b>Add</crowd-button>
      <crowd-button id=r form-action=reset>Reset</crowd-button></crowd-form>
      <script>
        document.querySelector("crowd-checkbox").disabled = true;  // before the element is upgraded
        y.addEventListener("change", (event) => {
          document.querySelector("crowd-checkbox").disabled = !event.target.checked;
        });
        window.clicks = 0; b.onclick = () => { clicks += 1; b.disabled = true; };
      </script>""")
    assert page.get_by_role("checkbox", name="More").is_disabled()
    page.get_by_role("radio", name="Yes").check()
    assert page.get_by_role("checkbox", name="More").is_enabled()
    assert page.evaluate("[y.checked, n.checked]") == [True, False]
    page.get_by_role("button", name="Add").click()
    page.evaluate("b.click()")
    assert page.evaluate("clicks") == 1
    page.get_by_role("checkbox", name="More").check()
    page.get_by_role("button", name="Reset").click()
    page.wait_for_function("n.checked && !y.checked && !document.querySelector('crowd-checkbox').checked")


def test_instructions_open_in_a_window_with_tabs(crowd_pages):
    page = crowd_pages.open("""<crowd-form><crowd-instructions link-text="View instructions" link-type=button>
      <short-summary><p>In short</p></short-summary><detailed-instructions>At length</detailed-instructions>
      <positive-example>Do</positive-example><positive-example>Do too</positive-example>
      <negative-example>Don't</negative-example></crowd-instructions></crowd-form>""")
    page.get_by_role("button", name="View instructions").press("Enter")
    page.get_by_text("In short").wait_for()
    page.get_by_role("tab", name="Summary").focus()
    page.keyboard.press("ArrowRight")
    page.get_by_text("At length").wait_for()
    page.keyboard.press("ArrowRight")
    page.get_by_text("Do too").wait_for()
    assert not page.get_by_text("At length").is_visible()
    page.keyboard.press("Escape")
    assert not page.get_by_text("Do too").is_visible()


def test_links_never_run_script(crowd_pages):
    page = crowd_pages.open("""<crowd-form><crowd-button href="javascript:window.hacked=1" id=bad>Bad</crowd-button>
      <crowd-button href="https://example.com/" target=_blank>Good</crowd-button></crowd-form>""")
    page.get_by_text("Bad").click()
    assert page.evaluate("window.hacked") is None
    assert page.get_by_role("link", name="Good").get_attribute("href") == "https://example.com/"


def test_a_disabled_fieldset_bars_what_is_in_it(crowd_pages):
    page = crowd_pages.open("""<crowd-form><fieldset disabled id=set>
      <crowd-input name=a value=1 required label=A></crowd-input><crowd-checkbox name=c disabled id=c>C</crowd-checkbox>
      <crowd-classifier name=k header=K categories="['x']"></crowd-classifier><input name=n></fieldset>
      <input name=out></crowd-form>""")
    assert page.get_by_label("A").is_disabled()
    assert page.get_by_role("radio", name="x").is_disabled()
    assert page.evaluate("document.querySelector('crowd-form').answer") == {"out": ""}
    page.evaluate("c.disabled = false; set.disabled = false")
    page.get_by_role("radio", name="x").check()
    page.get_by_role("checkbox", name="C").check()
    assert crowd_pages.submit(page) == {"a": "1", "c": {"on": True}, "k": {"label": "x"}, "n": "", "out": ""}
