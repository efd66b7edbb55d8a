"""The workers' portal in a browser: a job made by boto3 on our own template and Lambdas, labeled by two people."""

import json
import socket
import sqlite3
from io import BytesIO
from pathlib import Path
from typing import Any

import axe_playwright_python
from PIL import Image
from service import SHOWN, TEAM, arn, create, inside, until

from gandt import build_manifest, read_answers, resources, storage

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()


def image_job(live) -> list[str]:
    """Make a job of two pages of three pictures each, red and blue in turn, for two workers."""
    uris = []
    for number in range(6):
        picture = BytesIO()
        Image.new("RGB", (90, 70), ("firebrick", "royalblue")[number % 2]).save(picture, "PNG")
        uris.append(f"s3://bucket/images/bild {number} ü.png")
        storage.write_bytes(uris[-1], picture.getvalue(), s3=live.s3, content_type="image/png")
    manifest = build_manifest(uris, per_page=3, categories=["red", "blue"], other="None of these")
    manifest.write("s3://bucket/colours.manifest", s3=live.s3)
    template = (resources.folder("templates") / "image-grid.liquid.html").read_text(encoding="utf-8")
    pre, post = arn("LabelingFunction-pre"), arn("LabelingFunction-post")
    title = "Which colour is it?"
    create(live, "colours", template, pre_lambda=pre, post_lambda=post, workers_per_object=2, title=title)
    return uris


def label_page(page: Any) -> str:
    """Give every tile of the page in the frame its right label, submit, and return the page's address."""
    frame = page.frame_locator(SHOWN)
    frame.locator(".tile").first.wait_for()
    inner = inside(page)
    url = inner.url
    inner.evaluate("Promise.all([...document.images].map((image) => image.decode()))")  # all are shown
    names = inner.evaluate("[...document.querySelectorAll('.tile input[type=hidden]')].map((field) => field.name)")
    for position, name in enumerate(names):
        label = ("red", "blue")[int(name.removeprefix("labels-")) % 2]
        frame.locator(".tile").nth(position).get_by_role("button", name=label, exact=True).click()
    frame.get_by_role("button", name="Submit").click()
    until(lambda: page.evaluate("(url) => document.querySelector('iframe:not(.ahead)')?.src !== url", url))
    return url


def test_two_people_label_a_job_to_its_end(live, enter, tmp_path) -> None:
    uris = image_job(live)
    ann = enter("Ann")
    ben = enter("Ben", viewport={"width": 390, "height": 780}, has_touch=True, is_mobile=True, color_scheme="dark")
    for page in (ann, ben):
        assert page.url == live.address + "/"  # the secret has left the address
        page.get_by_role("heading", name="Which colour is it?").wait_for()
        assert "2 left for you" in page.locator("main").inner_text()
        keep(page, tmp_path, f"jobs-{page.viewport_size['width']}")
        page.get_by_role("button", name="Start Which colour is it?").click()
        inside(page)
        keep(page, tmp_path, f"task-{page.viewport_size['width']}")
    shown = [label_page(page) for page in (ann, ben, ann, ben)]
    assert len(set(shown)) == 4
    for page in (ann, ben):
        page.get_by_text("Nothing").first.wait_for()
        keep(page, tmp_path, f"done-{page.viewport_size['width']}")

    def described() -> Any:
        return live.sagemaker.describe_labeling_job(LabelingJobName="colours")

    until(lambda: described()["LabelingJobStatus"] == "Completed")
    assert described()["LabelCounters"]["HumanLabeled"] == 2
    output = described()["LabelingJobOutput"]["OutputDatasetS3Uri"]
    lines = [json.loads(line) for line in storage.read_text(output, s3=live.s3).splitlines()]
    assert [line["label-metadata"]["type"] for line in lines] == ["groundtruth/custom"] * 2
    answers = read_answers("s3://bucket/out/colours/", s3=live.s3)
    assert len(answers) == 12
    assert answers.worker.nunique() == 2
    truth = {uri: ("red", "blue")[number % 2] for number, uri in enumerate(uris)}
    assert all(row.label == truth[row.item] for row in answers.itertuples())
    assert (answers.seconds > 0).all()


def keep(page: Any, folder: Any, name: str) -> None:
    """Keep a screenshot, to be looked at, and let axe look at the portal's own part of the page."""
    page.screenshot(path=folder / f"{name}.png")
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, { iframes: false }).then((result) => result.violations)")
    assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


HOSTILE = """<script src="https://assets.crowd.aws/crowd-html-elements.js"></script>
<script>
window.told = {};
const tried = (name, what) => { try { window.told[name] = what(); } catch (error) { window.told[name] = error.name; } };
tried("cookie", () => document.cookie);
tried("parent", () => parent.document.title);
tried("storage", () => localStorage.length);
const asked = (name, url, options) => fetch(url, options).then(() => "reached", () => "barred").then((end) => {
  window.told[name] = end;
});
window.done = Promise.all([
  asked("jobs", "/portal-api/jobs", { credentials: "include" }),
  asked("api", "/", { method: "POST", headers: { "X-Amz-Target": "SageMaker.ListWorkteams" }, body: "{}" }),
  asked("world", "http://localhost:9/x"),
  new Promise((end) => { const image = new Image(); image.src = "http://localhost:9/leak.png";
    image.onload = image.onerror = () => end(); }),
]);
parent.postMessage({ type: "crowd-form-submit", answer: "no object" }, "*");
</script>
<crowd-form><crowd-input name="word" label="Word"></crowd-input></crowd-form>"""


def heard(listener: socket.socket) -> bytes:
    """Return what was sent to a socket; a browser may connect before it looks at the policy, and then say nothing."""
    try:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(0.5)
            return connection.recv(1000)
    except TimeoutError:
        return b""


def test_a_hostile_template_reaches_nothing(live, enter, tmp_path) -> None:
    create(live, "hostile", HOSTILE, [{"source": "a"}], workers_per_object=1)
    page = enter("Ann")
    page.get_by_role("button", name="Start").click()
    inner = inside(page)
    inner.evaluate("window.done")
    assert inner.evaluate("window.told") == {
        "cookie": "SecurityError", "parent": "SecurityError", "storage": "SecurityError",
        "jobs": "barred", "api": "barred", "world": "barred",
    }  # fmt: skip
    page.get_by_role("alert").filter(has_text="JSON object").wait_for()  # what it sent wasn't kept, and is said
    assert page.context.cookies()[0]["httpOnly"]
    # in a tab of its own it has no more
    tab = page.context.new_page()
    tab.goto(inner.url)
    assert tab.evaluate("window.told").get("cookie") == "SecurityError"
    tab.close()
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(0.5)
        port = elsewhere.getsockname()[1]
        inner.evaluate(f"void (location.href = 'http://127.0.0.1:{port}/?leak')")
        page.wait_for_timeout(300)
        assert heard(elsewhere) == b""  # the portal lets its frame go nowhere else
    page.reload()  # comes back to the task
    inner = inside(page)
    inner.get_by_label("Word").fill("good")
    page.frame_locator(SHOWN).get_by_role("button", name="Submit").click()
    until(lambda: live.store.job("hostile").ended or page.wait_for_timeout(20))
    with sqlite3.connect(live.state / "gandt.sqlite") as db:
        ((content,),) = db.execute("SELECT content FROM answers").fetchall()
    db.close()
    assert json.loads(content) == {"word": "good"}


def test_skipped_tasks_go_to_others_and_a_lost_server_loses_nothing(live, enter) -> None:
    text = "<script src='https://assets.crowd.aws/crowd-html-elements.js'></script>"
    text += (
        "<crowd-form><p>{{ task.input.source }}</p><crowd-input name='word' label='Word'></crowd-input></crowd-form>"
    )
    create(live, "words", text, [{"source": "one"}], workers_per_object=1)
    ann, ben = enter("Ann"), enter("Ben")
    ann.get_by_role("button", name="Start").click()
    inside(ann)
    ann.get_by_role("button", name="Skip").click()
    ann.get_by_role("heading", name="Nothing left for you here").wait_for()
    ben.reload()
    ben.get_by_role("button", name="Start").click()
    frame = ben.frame_locator(SHOWN)
    frame.get_by_label("Word").fill("kept")
    ben.route("**/answer", lambda route: route.abort())
    frame.get_by_role("button", name="Submit").click()
    ben.get_by_role("alert").filter(has_text="can't be reached").wait_for()
    ben.unroute("**/answer")
    assert frame.get_by_label("Word").input_value() == "kept"
    frame.get_by_role("button", name="Submit").click()
    until(lambda: live.store.job("words").status == "Completed" or ben.wait_for_timeout(20))


def test_a_link_that_isnt_good_and_a_session_that_was_ended(live, enter) -> None:
    page = enter("Ann")
    page.get_by_role("heading", name="Nothing to do right now").wait_for()
    (worker,) = [live.store.add_worker("Ann", TEAM)]
    live.store.revoke(worker, 0)
    page.reload()
    page.get_by_role("heading", name="You aren't signed in").wait_for()
    page.goto("about:blank")
    page.goto(live.address + "/enter#nonsense")
    page.get_by_text("This link doesn't work").wait_for()
