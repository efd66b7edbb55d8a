"""``gandt demo --me``, with a real browser in the place of the newcomer."""

import contextlib
import re
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from service import SHOWN, inside, until

from gandt.demo import DemoResult, Me, run_demo


@pytest.mark.slow
@pytest.mark.parametrize("alone", [True, False])
def test_somebody_labels_the_demo_in_the_browser(digits: Path, tmp_path, browser, alone: bool) -> None:
    told: list[str] = []
    results: list[DemoResult] = []

    def interrupt(text: str) -> None:
        raise KeyboardInterrupt

    def run() -> None:
        wanted = ["digit 0", "digit 2"]
        # after Ctrl-C the same command goes on
        for tell in (interrupt, told.append) if alone else (told.append,):
            me = Me(alone, browser=False, tell=tell)
            with contextlib.suppress(KeyboardInterrupt):
                results.append(run_demo(str(tmp_path / "out"), seed=3, images=str(digits), labels=wanted, me=me))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    until(lambda: told or not thread.is_alive(), 60)
    page = browser.new_page()
    page.goto(re.search(r"http\S+", told[0])[0])
    page.get_by_role("button", name="Start").click()
    pages = 0
    while results == [] and pages < 10:
        label_page(page, quickly=not alone)
        pages += 1
        until(lambda: page.locator(SHOWN).count() or not thread.is_alive() or page.wait_for_timeout(50))
        if not page.locator(SHOWN).count():
            break
    thread.join(60)
    page.close()
    (result,) = results
    assert result.confident + result.relabel + result.unanswered == result.candidates
    assert result.unanswered == 0
    labels = pd.read_csv(tmp_path / "out" / "labels.csv")
    assert (labels["workers"] == (1 if alone else 3)).all()  # with two simulated ones beside
    assert set(labels["label"]) <= {"digit 0", "digit 2", "None of these"}
    assert Path(result.report).is_file()
    assert told[-1].endswith("pages done")


def label_page(page: Any, quickly: bool) -> None:
    """Give every tile its first label, submit, and wait until the page is taken away."""
    frame = page.frame_locator(SHOWN)
    inner = inside(page)
    shown = inner.url
    if quickly:
        inner.evaluate("document.querySelectorAll('.tile').forEach((tile) => tile.querySelector('.choice').click())")
    for position in range(0 if quickly else inner.evaluate("document.querySelectorAll('.tile').length")):
        frame.locator(".tile").nth(position).locator(".choice").first.click()
    frame.get_by_role("button", name="Submit").click()
    until(lambda: page.evaluate("document.querySelector('iframe:not(.ahead)')?.src") != shown)
