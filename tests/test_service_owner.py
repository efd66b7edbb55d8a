"""The owner's page: figures against counting by hand, history that stays, gold, failures; looked at in a browser."""

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from service import TEAM, create, until

from gandt import build_manifest, storage
from gandt.errors import InputError
from gandt.service.invitations import api_token, owner_link, revoke_owner
from gandt.service.progress import Progress

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
GRID = "<crowd-form>{% for item in task.input.items %}<p>{{ item.index }}</p>{% endfor %}</crowd-form>"


def labeled(live: Any) -> Any:
    """Make a job of three pages of two items, one of each gold, and let three people answer; return the manifest."""
    items = [f"s3://bucket/{number}.jpg" for number in range(5)]
    manifest = build_manifest(
        items, per_page=3, categories=["cat", "dog"], gold={"s3://bucket/gold.jpg": "cat"}, gold_rate=0.2
    )
    manifest.write("s3://bucket/pets.manifest", s3=live.s3)
    pre = "arn:aws:lambda:us-east-1:000000000000:function:LabelingFunction-pre"
    create(live, "pets", GRID, pre_lambda=pre, workers_per_object=3, title="Pets")
    until(lambda: live.store.states("pets").get("open") == len(manifest.lines))
    for name, favourite, seconds in (("Ann", "cat", 10), ("Ben", "cat", 20), ("Cem", "dog", 60)):
        worker = live.store.add_worker(name, TEAM)
        while lease := live.service.next(worker, "pets"):
            if name == "Cem" and live.store.answers_after("pets", 0)[-1].worker == worker:
                break  # he holds his second still
            live.service.clock = lambda seconds=seconds: time.time() + seconds
            indexes = [entry["index"] for entry in live.store.task(lease)["items"]]
            answer = {f"labels-{index}": json.dumps([favourite]) for index in indexes}
            assert live.service.submit(lease.id, worker, answer, seconds) == "kept"
            live.service.clock = time.time
    return manifest


def test_the_figures_are_those_of_the_answers(live) -> None:
    manifest = labeled(live)
    progress = Progress(live.store)
    job = live.store.job("pets")
    figures = progress.figures(job, time.time() + 60)
    with sqlite3.connect(live.state / "gandt.sqlite") as db:
        rows = db.execute("SELECT number, worker, content, seconds FROM answers").fetchall()
    db.close()
    assert figures["answers"] == len(rows)
    assert figures["missing"] == 3 * len(manifest.lines) - len(rows)
    assert sum(figures["throughput"]["answers"]) == len(rows)
    said = [(n, w, key, value) for n, w, content, _ in rows for key, value in json.loads(content).items()]
    pairs = [(a[3] == b[3]) for a in said for b in said if a[0] == b[0] and a[2] == b[2] and a[1] < b[1]]
    assert figures["agreement"] == pytest.approx(sum(pairs) / len(pairs))
    assert {row["name"]: row["seconds"] for row in figures["workers"]} == {"Ann": 10, "Ben": 20, "Cem": 60}
    assert figures["seconds_spent"] == sum(row[3] for row in rows)
    gold = [{str(k): v for k, v in row.items()} for row in manifest.gold.to_dict("records")]
    assert progress.set_gold(job, gold, 0) == len(gold)
    by_name = {row["name"]: row for row in progress.figures(job, time.time())["workers"]}
    assert (by_name["Ann"]["gold_right"], by_name["Ann"]["gold_answers"]) == (len(gold), len(gold))
    assert by_name["Cem"]["gold_right"] in (0, None)  # None: his only page had no gold
    for wrong in (None, [{}], [{"data_object": "99", "item": "x", "label": "cat"}], [{**gold[0], "item": "no such"}]):
        with pytest.raises(InputError, match="row 1"):
            progress.set_gold(job, wrong, 0)


def test_a_changed_answer_counts_once_and_its_history_stays(live) -> None:
    labeled(live)
    progress = Progress(live.store)
    before = progress.figures(live.store.job("pets"), time.time())
    event = next(event for event in reversed(live.store.events("pets")) if event.what == "submitted")
    with sqlite3.connect(live.state / "gandt.sqlite") as db:
        sql = "SELECT lease FROM answers WHERE number = ? AND worker = ?"
        (lease,) = db.execute(sql, (int(event.number), event.worker)).fetchone()
        for table in ("events", "answers"):
            for change in (f"DELETE FROM {table}", f"UPDATE {table} SET worker = 'x'"):
                with pytest.raises(sqlite3.IntegrityError, match="stay"):
                    db.execute(change)
    db.close()
    other = dict.fromkeys(event.content, '["dog"]')
    assert live.service.submit(lease, event.worker, other, 11, 1) == "kept"
    assert live.service.submit(lease, event.worker, {}, 11, 1) == "kept before"
    after = progress.figures(live.store.job("pets"), time.time())
    assert after["answers"] == before["answers"]
    assert after["agreement"] == Progress(live.store).figures(live.store.job("pets"), time.time())["agreement"]
    of_it = [each.content for each in live.store.events("pets", number=event.number) if each.worker == event.worker]
    assert [content for content in of_it if content] == [other, event.content]


def test_the_owners_page(live, browser, tmp_path) -> None:
    manifest = labeled(live)
    storage.write_text("s3://bucket/broken.manifest", "{", s3=live.s3)
    create(live, "broken", GRID, wait=False, workers_per_object=1)
    live.store.set("address", live.address)
    link = owner_link(str(live.state))
    gold = tmp_path / "gold.csv"
    gold.write_text(manifest.gold.to_csv(index=False))
    errors: list[str] = []
    for width, scheme in ((1280, "light"), (390, "dark")):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(live.address + "/owner")
        page.get_by_role("heading", name="You aren't signed in as the owner").wait_for()
        page.goto("about:blank")
        page.goto(link)
        page.get_by_role("link", name="broken").wait_for()
        assert "key=" not in page.url
        look(page, tmp_path / f"owner-jobs-{width}.png")
        page.get_by_role("link", name="pets").click()
        page.locator(".tile", has_text="Answers").first.wait_for()
        page.get_by_label("Gold record").set_input_files(gold)
        until(lambda page=page: "%" in page.locator(".tile", has_text="Gold right").inner_text() or pause(page))
        page.get_by_label("Wage per hour").fill("18")
        cost = page.get_by_role("region", name="Time and cost", exact=True)
        until(lambda page=page, cost=cost: "–" not in cost.locator("tr").last.inner_text() or pause(page))
        page.get_by_role("region", name="History", exact=True).get_by_text("handed out").first.wait_for()
        look(page, tmp_path / f"owner-job-{width}.png")
        page.goto(live.address + "/owner#broken")
        page.get_by_text("line 1 isn't JSON").wait_for()
        context.close()
    assert not errors


def pause(page: Any) -> bool:
    page.wait_for_timeout(50)
    return False


def look(page: Any, path: Path) -> None:
    page.wait_for_timeout(100)
    page.screenshot(path=path, full_page=True)
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document).then((result) => result.violations)")
    assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_owners_tokens_can_be_ended(live) -> None:
    live.store.set("address", live.address)
    state = str(live.state)
    key, token = owner_link(state).partition("key=")[2], api_token(state)
    assert live.store.bearer(key, "owner-link", time.time())
    assert live.store.bearer(token, "api", time.time())
    assert live.store.bearer(key, "api", time.time()) is None
    assert revoke_owner(state) == 2
    assert live.store.bearer(key, "owner-link", time.time()) is live.store.bearer(token, "api", time.time()) is None
