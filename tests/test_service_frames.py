"""Tasks of AWS's later samples, and what a template may load from elsewhere when the owner says so."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from service import SHOWN, TEAM, create, inside, invite, until

from gandt.errors import InputError
from gandt.service.frames import allowable
from gandt.service.server import listen, make_server


@pytest.fixture
def elsewhere():
    """A server of scripts, as a CDN is one."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/javascript")
            self.end_headers()
            self.wfile.write(b"window.loaded = (window.loaded || '') + document.currentScript.id;")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_templates_load_from_where_the_owner_says_only(live, elsewhere, browser):
    template = f"""<script src="https://assets.crowd.aws/crowd-html-elements.js"></script>
      <script id=a src="{elsewhere}/lib/a.js"></script><script id=b src="{elsewhere}/b.js"></script>
      <crowd-form><iframe id=page src="{{{{ task.input.source-ref | grant_read_access }}}}"></iframe>
      <crowd-input name=w></crowd-input></crowd-form>"""
    live.s3.put_object(Bucket="bucket", Key="page.html", Body=b"<p>to be read</p>", ContentType="text/html")
    create(live, "job", template, [{"source-ref": "s3://bucket/page.html"}], workers_per_object=1)
    server, listener = make_server(live.service, allowed=(allowable(elsewhere + "/lib/"),)), listen(0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(invite(live, "Ann", TEAM).replace(live.address, f"http://127.0.0.1:{listener.getsockname()[1]}"))
        page.get_by_role("button", name="Start").click()
        assert inside(page).evaluate("window.loaded") == "a"
        page.frame_locator(SHOWN).frame_locator("#page").get_by_text("to be read").wait_for()
    finally:
        context.close()
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.mark.parametrize(
    "address", ["https://cdn.example.com", "https://c.example:8443/npm/d3@7/", "http://localhost:9"]
)
def test_what_may_be_allowed(address):
    assert allowable(address) == address


@pytest.mark.parametrize("address", ["http://cdn.example.com", "*", "https://*", "https://a.b; script-src *", "data:"])
def test_what_may_not(address):
    with pytest.raises(InputError, match="--allow"):
        allowable(address)


def test_the_elements_second_version(live, enter):
    template = """<html><head><link rel="stylesheet" href="https://assets.crowd.aws/css/crowd-html-elements-v2.css" />
      <script src="https://assets.crowd.aws/gen-ai-components.js"></script></head><body><crowd-form>
      <crowd-text-ranking name="r" ordinal-ranking-dimensions='[{"name": "Clarity", "allowTie": true}]'
        responses='{{ task.input.responses | to_json }}' text='{{ task.input.source }}'></crowd-text-ranking>
      </crowd-form></body></html>"""
    create(live, "rank", template, [{"source": "It's?", "responses": ["It's so", 'no "way"']}], workers_per_object=1)
    page = enter("Ann")
    refused = []
    page.on("console", lambda message: message.type in ("error", "warning") and refused.append(message.text))
    page.get_by_role("button", name="Start").click()
    assert inside(page).evaluate("typeof RTCPeerConnection") == "undefined"
    task = page.frame_locator(SHOWN)
    for response, rank in ((1, "2"), (2, "1")):
        task.get_by_role("radiogroup", name=f"Response {response}").get_by_text(rank).click()
    task.get_by_role("button", name="Submit").click()
    until(lambda: live.store.answers_after("rank", 0))
    (answer,) = live.store.answers_after("rank", 0)
    # as AWS's own notebooks read it
    assert answer.content["ordinalRankingDimensions"][0]["responseRankings"].index(1) == 1
    assert not refused
