"""The page of ``gandt cluster``: its port's safety, and a reader's session in a real browser."""

import http.client
import io
import json
import re
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hostile import unsafe
from PIL import Image
from pooled import make_store

from gandt.candidates.clusters.naming import Naming
from gandt.candidates.clusters.pictures import Pictures
from gandt.candidates.clusters.server import Page, listen, make_server, secret
from gandt.candidates.clusters.work import Work, open_work
from gandt.errors import InputError, StorageError

COLORS = {"0": "crimson", "1": "seagreen", "2": "royalblue"}


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """A store of 36 pictures in three colours, whose names try to be HTML."""
    base = tmp_path / "<img src=x onerror=alert(1)>"
    base.mkdir()
    _, kinds = make_store(tmp_path / "store", kinds=3, each=12, base=str(base))
    for item, kind in kinds.items():
        Image.new("RGB", (60, 40), COLORS[kind]).save(item)
    return tmp_path


class Client:
    """Asks a port; keeps the cookie it is given."""

    def __init__(self, port: int) -> None:
        self.port, self.base, self._cookie = port, f"http://127.0.0.1:{port}", ""

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        cookie = {"Cookie": self._cookie} if self._cookie else {}
        connection.request(method, path, body, {**cookie, **headers})
        answer = connection.getresponse()
        answer.content = answer.read()  # type: ignore[attr-defined]
        connection.close()
        self._cookie = answer.getheader("Set-Cookie", self._cookie).partition(";")[0]
        return answer


@pytest.fixture
def client(pool: Path) -> Iterator[tuple[Client, Work]]:
    with open_work(str(pool / "store"), str(pool / "out"), worker="Ann") as work, served(work) as address:
        yield Client(int(address.split(":")[2].split("/")[0])), work


def get(client: Client, path: str, **headers: str) -> Any:
    return client.ask("GET", path, **headers)


def post(client: Client, path: str, content: Any, **headers: str) -> Any:
    return client.ask("POST", path, json.dumps(content).encode(), **{"X-Gandt": "clusters", **headers})


def sign_in(client: Client, work: Work) -> None:
    assert post(client, "/session", {"token": secret(work.folder)}).status == 200


def test_without_the_link_only_the_empty_page_is_served(client: tuple[Client, Work]) -> None:
    page, work = client
    shell = get(page, "/")
    assert shell.status == 200 and "script-src 'self'" in shell.headers["Content-Security-Policy"]
    assert get(page, "/static/clusters.js").status == 200
    assert get(page, "/static/..%2Fserver.py").status == 404
    for path in ("/api/start", "/api/cut/3", "/api/cluster/3.1", "/image/small/0"):
        assert get(page, path).status == 401
    assert post(page, "/api/decide", {"do": "k", "k": 3}).status == 401
    assert post(page, "/session", {"token": "guess"}).status == 401
    assert work.naming.k is None
    token = Path(work.folder) / ".token"
    assert token.stat().st_mode & 0o077 == 0 and secret(work.folder) == token.read_text()


def test_no_other_site_can_decide(client: tuple[Client, Work]) -> None:
    page, work = client
    sign_in(page, work)
    assert post(page, "/api/decide", {"do": "k", "k": 3}, Origin="https://evil.example").status == 403
    assert page.ask("POST", "/api/decide", b'{"do": "k", "k": 3}').status == 403  # a form can't send the header
    assert get(page, "/api/start", Host="evil.example").status == 400
    assert work.naming.k is None
    assert post(page, "/api/decide", {"do": "k", "k": 3}, Origin=page.base).status == 200
    assert work.naming.k == 3


WRONG: list[tuple[Any, int]] = [
    ([], 400),
    ({}, 400),
    ({"do": "k", "k": "many"}, 400),
    ({"do": "k", "k": 99}, 409),
    ({"do": "name", "cluster": "3.1", "label": {"a": 1}}, 400),
    ({"do": "name", "cluster": 31, "label": "x"}, 400),
    ({"do": "name", "cluster": "3.9", "label": "x"}, 409),
    ({"do": "name", "cluster": "3.1", "label": "  "}, 409),
    ({"do": "name", "cluster": "3.1", "label": "x", "seconds": float("nan")}, 400),
    ({"do": "strike", "cluster": "3.1", "points": [10**30], "on": True}, 409),
    ({"do": "strike", "cluster": "3.1", "points": "all", "on": True}, 400),
    ({"do": "explode", "cluster": "3.1"}, 400),
]


def test_what_is_no_decision_changes_nothing(client: tuple[Client, Work]) -> None:
    page, work = client
    sign_in(page, work)
    work.naming.choose(3)
    before = (Path(work.folder) / "journal.jsonl").read_bytes()
    for content, status in WRONG:
        answer = post(page, "/api/decide", content)
        assert answer.status == status and json.loads(answer.content)["reason"], content
    assert page.ask("POST", "/api/decide", b"{", **{"X-Gandt": "clusters"}).status == 400
    assert page.ask("POST", "/api/decide", b" " * 2_000_001, **{"X-Gandt": "clusters"}).status == 413
    assert (Path(work.folder) / "journal.jsonl").read_bytes() == before


def test_pictures_are_copies_and_what_is_none_says_so(client: tuple[Client, Work]) -> None:
    page, work = client
    sign_in(page, work)
    items = work.clustering.items
    shown = get(page, "/image/small/0")
    assert shown.headers["Content-Type"] == "image/jpeg" and shown.content[:2] == b"\xff\xd8"
    Path(items[1]).write_text("<svg onload='alert(1)'>")
    Path(items[2]).unlink()
    assert get(page, "/image/small/1").status == get(page, "/image/small/2").status == 404
    assert get(page, "/image/original/0").status == get(page, "/image/small/36").status == 404


def test_pictures_out_of_a_tar_shard(tmp_path: Path) -> None:
    Image.new("RGB", (50, 30), "teal").save(tmp_path / "1.png")
    with tarfile.open(tmp_path / "shard.tar", "w") as shard:
        shard.add(tmp_path / "1.png", "1.png")
    pictures = Pictures([f"{tmp_path}/shard.tar#1.png", f"{tmp_path}/shard.tar#2.png"])
    with Image.open(io.BytesIO(pictures.get(0, "small"))) as copy:
        assert copy.size == (50, 30)
    with pytest.raises(StorageError, match="holds it no more"):
        pictures.get(1, "small")


def test_labels_are_written_as_answers_come(client: tuple[Client, Work]) -> None:
    page, work = client
    sign_in(page, work)
    post(page, "/api/decide", {"do": "k", "k": 3})
    told = json.loads(post(page, "/api/decide", {"do": "name", "cluster": "3.1", "label": "red", "seconds": 3}).content)
    assert told["label"] == "red" and told["state"]["counts"]["named"] == 12
    again = Naming(work.clustering, work.folder)
    assert again.names() == {"red": 12}
    assert Path(work.labels).is_file()


def test_a_port_that_is_taken() -> None:
    with listen(0) as taken, pytest.raises(InputError, match=r"can't be had .*; give another with --port"):
        listen(taken.getsockname()[1])


# ---------------------------------------------------------------------- in a browser


@contextmanager
def served(work: Work) -> Iterator[str]:
    page = Page(work.naming, work.points, work.labels, secret(work.folder))
    with listen(0) as listener:
        server = make_server(page)
        thread = threading.Thread(target=lambda: server.run(sockets=[listener]))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/#{secret(work.folder)}"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def opened(browser: Any, address: str, **options: Any) -> Iterator[Any]:
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
    page = context.new_page()
    page.set_default_timeout(60_000)
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.on("dialog", lambda dialog: (broken.append("a dialog"), dialog.dismiss()))
    page.goto(address)
    yield page
    assert not broken
    context.close()


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def waits_for(page: Any, heading: str) -> None:
    page.wait_for_function("text => document.getElementById('heading').textContent.startsWith(text)", arg=heading)


def test_a_session_by_keyboard_alone(browser: Any, pool: Path) -> None:
    store, out = str(pool / "store"), str(pool / "out")
    with (
        open_work(store, out, k_max=9, worker="Ann") as work,
        served(work) as address,
        opened(browser, address) as page,
    ):
        page.wait_for_selector(".strip img")
        while "4 clusters" not in page.inner_text("#k-text"):
            press(page, "ArrowRight" if int(page.inner_text("#k-text").split()[0]) < 4 else "ArrowLeft")
        page.wait_for_function("() => document.querySelectorAll('.strip').length === 4")
        assert page.get_attribute("#tree line", "y1")
        press(page, "Enter")
        page.wait_for_selector(".tile")
        assert page.evaluate("document.activeElement.id") == "label"  # no name yet: type one
        first = page.locator(".tile").count()
        page.keyboard.type("Crimson <b>")
        press(page, "Enter")
        page.wait_for_selector(".chip")
        page.wait_for_function("() => document.activeElement.classList.contains('tile')")
        second = page.locator(".tile").count()
        press(page, "x", "ArrowRight", "ArrowRight", "X", "ArrowRight", "Space")  # a range of three, and one more
        waits_for(page, f"{second} image{'s' if second > 1 else ''}, {min(4, second)} struck out")
        if second > 4:
            press(page, "u")
            waits_for(page, f"{second} images, 3 struck out")
        else:
            press(page, "u", "u")
        page.wait_for_timeout(50)
        press(page, "1")  # the name given before
        page.wait_for_function("() => document.querySelectorAll('#list .named').length === 2")
        press(page, "b")
        page.wait_for_function("() => document.querySelectorAll('#list .back').length === 1")
        press(page, "d")
        page.wait_for_selector("#done:not([hidden])")
        assert "Crimson <b>" in page.inner_text("#done-names")
        counts = work.naming.counts()
        assert first and counts["open"] == 0 and counts["named"] and counts["deleted"] and counts["back"]
        press(page, "u")  # the deletion
        page.wait_for_selector(".tile")
        assert work.naming.counts()["deleted"] == 0
        assert page.evaluate("document.documentElement.scrollWidth") == 1280
    with open_work(store, out, k_max=9) as work:  # and nothing is lost
        assert work.naming.names() == {"Crimson <b>": counts["named"]}
        assert work.naming.seconds > 0
        work.write_labels()
        labels = pd.read_csv(work.labels)
        assert (labels["label"] == "Crimson <b>").sum() == counts["named"]
        assert set(labels["named_by"].dropna()) == {"Ann"}


def test_splitting_a_mixed_cluster_and_changing_ones_mind(browser: Any, pool: Path) -> None:
    with (
        open_work(str(pool / "store"), str(pool / "out"), worker="Ann") as work,
        served(work) as address,
        opened(browser, address, color_scheme="dark") as page,
    ):
        work.naming.choose(2)
        page.reload()  # the token is gone from the address, the cookie stays
        page.wait_for_selector(".tile")
        assert "#" not in page.url
        while page.locator(".tile").count() != 24:
            press(page, "Escape", ".")
            page.wait_for_timeout(100)
        press(page, "Escape", "s")  # out of the name field first
        page.wait_for_function("() => document.querySelectorAll('#list button').length === 3")
        page.wait_for_function("() => document.querySelectorAll('.tile').length === 12")
        page.fill("#label", "one")
        page.click("#give")
        page.wait_for_selector("#list .named")
        page.click("#list .named")
        page.wait_for_selector("#reopen:not([hidden])")
        assert page.is_disabled("#label")
        page.click("#reopen")
        page.wait_for_selector("#reopen", state="hidden")
        page.click(".tile >> nth=0")
        page.click(".tile >> nth=3", modifiers=["Shift"])
        waits_for(page, "12 images, 4 struck out")
        press(page, "z")
        page.wait_for_function("() => document.getElementById('large-image').naturalWidth > 0")
        page.click("#large-strike")
        press(page, "z")
        page.wait_for_selector("#large", state="hidden")
        waits_for(page, "12 images, 3 struck out")
        assert work.naming.counts()["struck"] == 3


def test_on_a_phone_with_fingers(browser: Any, pool: Path) -> None:
    phone = {"viewport": {"width": 375, "height": 720}, "has_touch": True, "is_mobile": True}
    with (
        open_work(str(pool / "store"), str(pool / "out"), worker="Ann") as work,
        served(work) as address,
        opened(browser, address, **phone) as page,
    ):
        page.wait_for_selector(".strip img")
        for _ in range(9):
            if page.inner_text("#k-text") == "3 clusters":
                break
            page.tap("#fewer" if int(page.inner_text("#k-text").split()[0]) > 3 else "#more")
        page.tap("#go")
        page.wait_for_selector(".tile")
        page.tap(".tile >> nth=1")
        waits_for(page, "12 images, 1 struck out")
        page.fill("#label", "red")
        page.tap("#give")
        for named in (1, 2):
            page.wait_for_function("n => document.querySelectorAll('#list .named').length === n", arg=named)
            page.wait_for_function("() => document.getElementById('heading').textContent === '12 images'")
            assert page.evaluate("document.documentElement.scrollWidth") == 375
            sizes = page.evaluate("[...document.querySelectorAll('#naming button')].map((b) => b.offsetHeight)")
            assert min(size for size in sizes if size) >= 40
            page.tap(".chip >> nth=0")
        page.wait_for_selector("#done:not([hidden])")
        page.tap("#again")
        page.wait_for_function("() => document.getElementById('go').innerText === 'Name the rest in 1 cluster'")


def test_the_rest_is_sorted_by_name_and_confirmed_by_enter(browser: Any, pool: Path) -> None:
    with open_work(str(pool / "store"), str(pool / "out")) as work:
        work.naming.choose(3)
        kinds = ["red", "green", "blue"]
        for each, name in zip(work.naming.clusters(), kinds, strict=True):
            work.naming.strike(each.name, each.members[6:].tolist())
            work.naming.name(each.name, name)
        with served(work) as address, opened(browser, address) as page:
            page.wait_for_selector("#done:not([hidden])")
            page.click("#sort-rest")
            for count in range(3):
                page.wait_for_function("n => document.querySelectorAll('#list .named').length === n", arg=count)
                page.wait_for_function("() => document.getElementById('label').placeholder.endsWith('?')")
                press(page, "Enter")
            page.wait_for_function("() => document.getElementById('sub').textContent.includes('least sure')")
            press(page, "b")
            page.wait_for_selector("#done:not([hidden])")
        assert work.naming.counts() == {"open": 0, "named": 30, "struck": 0, "back": 6, "deleted": 0}


def test_what_is_no_picture_stands_by_its_name(browser: Any, tmp_path: Path) -> None:
    make_store(tmp_path / "store", kinds=3, each=4, base="wine")
    with (
        open_work(str(tmp_path / "store"), str(tmp_path / "out")) as work,
        served(work) as address,
        opened(browser, address) as page,
    ):
        page.wait_for_selector(".strip span")
        assert re.search(r"\d-\d{3}\.png", page.inner_text("#strips"))
        press(page, "Enter")
        page.wait_for_selector(".tile.gone")
        assert re.search(r"\d-\d{3}\.png", page.inner_text("#grid"))


def test_no_name_of_an_item_acts_on_the_page(browser: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    make_store(store, kinds=2, each=3, base="wine")
    items = next(store.glob("items-*.parquet"))
    table = pd.read_parquet(items)
    hostile = "\u202egnp\x1b\x00<img src=x onerror=window.ran=1>"
    table.assign(item=[f"wine/{place}{hostile}" for place in range(len(table))]).to_parquet(items, index=False)
    with (
        open_work(str(store), str(tmp_path / "<b>\u202eout")) as work,
        served(work) as address,
        opened(browser, address) as page,
    ):
        page.wait_for_selector(".strip span")
        shown = "⟨U+202E⟩gnp␛␀<img src=x onerror=window.ran=1>"
        assert shown in page.inner_text("#strips")
        press(page, "Enter")
        page.wait_for_selector(".tile.gone")
        assert shown in str(page.get_attribute(".tile.gone", "title"))
        for _ in work.naming.clusters():
            page.wait_for_selector(".tile")
            page.fill("#label", "\u05d0\u05d1 <i>")
            open_ = page.locator("#list .named").count()
            press(page, "Enter")
            page.wait_for_function(
                "n => document.querySelectorAll('#list .named').length > n || !document.getElementById('done').hidden",
                arg=open_,
            )
        page.wait_for_selector("#done:not([hidden])")
        assert "\u2068" in page.inner_text("#done-files") and "<b>⟨U+202E⟩out" in page.inner_text("#done-files")
        assert "\u05d0\u05d1 <i>" in page.inner_text("#done-names")
        assert not unsafe(page.inner_text("body"))
        assert page.evaluate("window.ran") is None


def test_a_server_that_is_gone_is_told_and_nothing_is_lost(browser: Any, pool: Path) -> None:
    with open_work(str(pool / "store"), str(pool / "out")) as work:
        work.naming.choose(3)
        with served(work) as address, opened(browser, address) as page:
            page.wait_for_selector(".tile")
            page.route("**/api/**", lambda route: route.abort())
            page.fill("#label", "red")
            press(page, "Enter")
            page.wait_for_selector("#message:not([hidden])")
            assert "All that you decided is kept" in page.inner_text("#message")
            assert page.input_value("#label") == "red"
            page.unroute("**/api/**")
            page.click("#give")
            page.wait_for_selector("#list .named")
            assert page.is_hidden("#message")


def test_axe_finds_nothing(browser: Any, pool: Path) -> None:
    from axe_playwright_python.sync_playwright import Axe

    with (
        open_work(str(pool / "store"), str(pool / "out")) as work,
        served(work) as address,
        opened(browser, address, bypass_csp=True) as page,
    ):

        def clean() -> None:
            found = Axe().run(page).response["violations"]
            assert not found, [(each["id"], [node["html"][:120] for node in each["nodes"][:3]]) for each in found]
            page.emulate_media(color_scheme="dark")
            assert not Axe().run(page).response["violations"]
            page.emulate_media(color_scheme="light")

        page.wait_for_selector(".strip img")
        clean()
        press(page, "Enter")
        page.wait_for_selector(".tile")
        page.fill("#label", "red")
        press(page, "Enter")
        page.wait_for_selector(".chip")
        page.click("#keys-help")
        press(page, "x")
        clean()
        assert re.search(r"struck out", page.inner_text("#heading"))
