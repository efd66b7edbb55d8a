"""Worker text is hostile: nothing that a worker, file, label or job is called acts on a terminal or a page."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hostile import HOSTILE, checked, texts, unsafe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pooled import make_store
from service import TEAM, arn, create, until
from test_answers import answer, put, response
from test_rounds_page import metrics
from typer.testing import CliRunner

from gandt import consolidate, storage, templates
from gandt.candidates.duplicates import threshold_page
from gandt.cli import answers as _answers  # noqa: F401  (registers the command)
from gandt.cli import app, main, note, show_json, show_table
from gandt.cli import consensus as _consensus  # noqa: F401  (registers the commands)
from gandt.errors import GandtError
from gandt.progress import Meter
from gandt.report import write_report
from gandt.report.measure import RunFiles
from gandt.report.workers import write_worker_pages
from gandt.rounds.loop import RunResult
from gandt.rounds.page import write_page
from gandt.rounds.stop import Reason
from gandt.service.invitations import owner_link

# ---------------------------------------------------------------------- terminals


def terminal(monkeypatch: pytest.MonkeyPatch, wanted: bool) -> None:
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: wanted, raising=False)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("tty", [False, True])
def test_tables_notes_and_progress(text: str, tty: bool, monkeypatch, capsys) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "200")
    terminal(monkeypatch, tty)
    show_table(text, [{"label": text, text or "x": 1, "answers": 12}])
    note(f"set aside: {text}: it can't be read")
    meter = Meter(text, total=2)
    meter._next = 0.0
    meter.step()
    said = capsys.readouterr()
    err = said.err.replace("\r\x1b[K", "") if tty else said.err  # gandt itself redraws a line
    assert not unsafe(said.out)
    assert not unsafe(err)
    assert len(err.splitlines()) == 2
    if "[red]" in text:
        assert "[red]rich[/red] [link=http://evil]here[/link] [/]" in said.out, "markup is text"


def test_on_a_terminal_right_to_left_text_keeps_its_neighbours_in_place(monkeypatch, capsys) -> None:
    terminal(monkeypatch, True)
    monkeypatch.setenv("NO_COLOR", "1")
    show_table("Labels given", [{"label": "\u05d0\u05d1", "answers": 12}, {"label": "cat", "answers": 3}])
    note("set aside: \u05d0\u05d1: 3 times")
    said = capsys.readouterr()
    assert "\u2068\u05d0\u05d1\u2069" in said.out
    assert said.err == "set aside: \u2068\u05d0\u05d1\u2069: 3 times\n"


@pytest.mark.parametrize("text", HOSTILE)
def test_json_is_printable_and_reads_back(text: str, capsys) -> None:
    show_json({"label": text, text: [text]})
    out = capsys.readouterr().out
    assert out.rstrip("\n").isascii() and out.rstrip("\n").isprintable()
    assert json.loads(out) == {"label": text, text: [text]}


FILES = ("\x1b[2J\u202egnp.csv", "a\ngandt: all is well.csv", "\udcff\x9b.csv", "[red]x[/red].csv")


@pytest.mark.parametrize("name", FILES)
def test_errors_that_name_a_file(name: str, tmp_path: Path, monkeypatch, capsys) -> None:
    for arguments in (["consensus", name, "--out", "l.csv"], ["answers", name], ["report", name]):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["gandt", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert ended.value.code == 1
        assert not unsafe(said.out + said.err)
        assert said.err.startswith("gandt: ") and said.err.count("\n") == 1


@pytest.mark.parametrize("name", FILES)
def test_wrong_use_that_names_a_file(name: str, monkeypatch, capsys) -> None:
    """As by ``gandt consensus *.csv``, where the shell puts in what lies there."""
    monkeypatch.setattr(sys, "argv", ["gandt", "consensus", "a.csv", name, "--out", "l.csv"])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert "extra argument" in said.err
    assert not unsafe(said.out + said.err)


def test_a_traceback_and_a_log_record_of_the_command_are_safe() -> None:
    code = (
        "import logging, typer, gandt.cli\n"
        "def fail(self):\n"
        "    logging.getLogger('gandt.service').warning('job %s', 'x\\nERROR: \\x1b[2J\\u202e')\n"
        "    raise ValueError('x\\r\\n\\x1b[2J\\u202e')\n"
        "typer.Typer.__call__ = fail\n"
        "gandt.cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8")
    assert done.returncode == 1
    assert not unsafe(done.stderr)
    first, *rest = done.stderr.splitlines()
    assert first == "WARNING: job x␊ERROR: ␛[2J⟨U+202E⟩"
    assert rest[0] == "Traceback (most recent call last):"


def test_output_that_the_terminals_encoding_lacks_is_no_failure() -> None:
    code = "import typer, gandt.cli\ntyper.Typer.__call__ = lambda self: print('\\u2603 \\u241b')\ngandt.cli.main()"
    environment = {"PYTHONIOENCODING": "latin-1", "PATH": "", "PYTHONPATH": ":".join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert (done.returncode, done.stdout) == (0, b"\\u2603 \\u241b\n"), done.stderr


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> str:
    """The page about workers with nothing hostile in it."""
    return pages_of_workers(tmp_path_factory.mktemp("plain"), "dog")


NAMES = texts(min_size=1, max_size=12)
ANSWERS = st.lists(st.tuples(NAMES, NAMES, NAMES, NAMES), min_size=1, max_size=6)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(told=ANSWERS)
def test_from_any_answers_to_labels_nothing_acts(told: list[tuple[str, ...]], plain, tmp_path_factory) -> None:
    """Items, workers, labels and comments of any text, through answers, consensus and workers, to screen and page."""
    base = tmp_path_factory.mktemp("any")
    job = base / "job"
    lines = [{"source": item} for item, *_ in told]
    put(job / "manifests/output/output.manifest", "".join(json.dumps(line) + "\n" for line in lines))
    for number, (_, worker, label, comment) in enumerate(told):
        content = {"crowd-classifier": {"label": label}, "worker-comment": comment}
        response(job, number, answer(worker, content), answer("w2", {"crowd-classifier": {"label": "cat"}}))
    table, page = str(base / "a.parquet"), base / "workers.html"
    for arguments in (
        ["answers", str(job), "--out", table],
        ["answers", str(job), "--json"],
        ["consensus", table, "--out", str(base / "l.parquet")],
        ["consensus", table, "--out", str(base / "l.parquet"), "--json"],
        ["workers", "show", table, "--html", str(page)],
    ):
        done = CliRunner().invoke(app, arguments)
        assert done.exception is None or isinstance(done.exception, GandtError), done.exception
        assert not unsafe(done.output)
        if "--json" in arguments and done.exit_code == 0:
            json.loads(done.stdout)
    if page.exists():
        checked(page.read_text("utf-8"), plain)


# ---------------------------------------------------------------------- pages


def crowd(name: str) -> pd.DataFrame:
    """Answers of six workers, of whom two copy; one is called ``name``, and so are a label and what he copies."""
    rows = []
    for item in range(60):
        truth = name if item % 2 else "cat"
        for number in range(6):
            wrong = (number == 0 and item % 5 == 0) or (number in (4, 5) and item % 3 == 0)
            label = ("cat" if truth == name else name) if wrong else truth
            rows.append({"item": f"{name}{item}", "worker": f"{name}{number}" if number else name, "label": label})
    return pd.DataFrame(rows)


def pages_of_workers(folder: Path, name: str) -> str:
    answers = crowd(name)
    gold = {f"{name}{item}": name if item % 2 else "cat" for item in range(0, 60, 3)}
    write_worker_pages(answers, consolidate(answers, gold=gold), str(folder / "workers.html"))
    return (folder / "workers.html").read_text("utf-8")


def report(finished: Any, folder: Path, name: str, others: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the page of a demo's run in which a label and the run are called so, workers and cells as all of these."""
    files = RunFiles.read(finished.out)
    label = min(files.labels["label"].dropna())

    known = sorted(set(files.workers["worker"]) | set(files.answers["worker"]))
    called = {worker: f"{others[number % len(others)]}{number}" for number, worker in enumerate(known)}

    def renamed(table: pd.DataFrame) -> pd.DataFrame:
        table = table.replace({label: name})
        if "worker" in table:
            table = table.assign(worker=table["worker"].map(called))
        return table.assign(simulated_as=name) if "reliability" in table else table

    run = {**files.run, "run": name, "stages": [{"title": "S", "rows": [{text: text, "b": 1.5} for text in others]}]}
    (folder / "pages").mkdir()
    shown = "<p title='{}'>as it was</p><script>window.ran=1</script>"
    (folder / "pages" / "page.html").write_text(shown.format(name.encode("utf-8", "replace").decode()), "utf-8")
    frames = ("answers", "labels", "workers", "gold", "truth", "candidates")
    made = dataclasses.replace(
        files, folder=str(folder), run=run, **{each: renamed(getattr(files, each)) for each in frames}
    )
    monkeypatch.setattr(RunFiles, "read", lambda folder: made)
    return Path(write_report(str(folder))).read_text("utf-8")


@pytest.mark.parametrize("text", HOSTILE)
def test_the_page_about_workers(text: str, plain: str, tmp_path: Path) -> None:
    checked(pages_of_workers(tmp_path, text), plain)


@pytest.mark.parametrize("text", ['"><img src=x onerror=window.ran=1>', "\u2069\u202egnp\x1b\x00\n{{ 1 | plus: 41 }}"])
def test_the_report(text: str, finished, browser, tmp_path: Path, monkeypatch) -> None:
    for name in ("plain", "hostile"):
        (tmp_path / name).mkdir()
    with monkeypatch.context() as patch:
        plain = report(finished, tmp_path / "plain", "dog", ["words"], patch)
    with monkeypatch.context() as patch:
        seen = checked(report(finished, tmp_path / "hostile", text, HOSTILE, patch), plain)
    assert "plus: 41" in "".join(seen.texts), "a template's words are data"
    page = browser.new_page()
    page.goto(f"file://{tmp_path}/hostile/report.html")
    assert page.evaluate("window.ran") is None
    assert page.locator("iframe").get_attribute("sandbox") == "", "no script runs in a page that workers saw"
    page.close()


@pytest.mark.parametrize("text", [text for text in HOSTILE if len(text) < 100])
def test_the_page_of_rounds(text: str, tmp_path: Path) -> None:
    def page(name: str) -> str:
        folder = tmp_path / name.replace("/", "|").replace("\x00", "").encode("utf-8", "replace").decode()
        folder.mkdir()
        rounds = [metrics(number, currency=name, halting=name, session=name) for number in range(3)]
        reasons = [Reason("rounds", stop, f"The label {name} is done.") for stop in (True, False)]
        return Path(write_page(RunResult(str(folder), rounds, reasons))).read_text("utf-8")

    checked(page(text), page("plain"))


def test_the_page_of_pairs(tmp_path: Path) -> None:
    pages = []
    for name in ("plain", *(text[:60].replace("/", "|").replace("\x00", "") for text in HOSTILE)):
        safe = name.encode("utf-8", "replace").decode()
        store, _ = make_store(tmp_path / f"store {len(pages)}", kinds=2, each=3, base=safe)
        threshold_page(store, str(tmp_path / "pairs.html"), lowest=0.1)
        pages.append((tmp_path / "pairs.html").read_text("utf-8"))
    for page in pages[1:]:
        checked(page, pages[0])


@pytest.mark.parametrize("name", templates.names())
def test_what_one_worker_wrote_shown_to_another(name: str) -> None:
    """A task input made of hostile text builds the page that one of plain text builds; Ground Truth's contract."""
    from hostile import Page

    text, told = templates.read(name), templates.header(templates.read(name))

    def page(said: str) -> Page:
        def filled(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: filled(each) for key, each in value.items()}
            if isinstance(value, list):
                return [filled(each) for each in value]
            return said if isinstance(value, str) and not storage.is_s3(value) else value

        return Page(templates.render(text, filled(templates.sample_input(told))))

    for hostile in HOSTILE:
        assert page(hostile).elements <= page("plain").elements


# ---------------------------------------------------------------------- in a browser

PLACES = """(element, names) => names.map((name) => {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const at = node.data.indexOf(name);
    if (at < 0) continue;
    const range = document.createRange();
    range.setStart(node, at);
    range.setEnd(node, at + name.length);
    const box = range.getBoundingClientRect();
    return [box.left, box.right];
  }
  return null;
})"""


def ordered(element: Any, *names: str) -> bool:
    """Tell whether these stand beside each other in an element, from left to right."""
    places = element.evaluate(PLACES, list(names))
    assert None not in places, names
    return all(a[1] <= b[0] + 1 for a, b in pairwise(places))


@pytest.mark.parametrize("name", ["\u202eevil", "\u05d0\u05d1\u05d2", "\u2069\u2069\u202eevil", "\u0627\u0628 5"])
def test_a_name_turns_nothing_beside_it(name: str, browser, tmp_path: Path) -> None:
    pages_of_workers(tmp_path, name)
    page = browser.new_page()
    page.goto(f"file://{tmp_path}/workers.html")
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    summary = page.locator("summary").first
    mine = summary.inner_text().split(":")[0]
    assert not [each for each in mine if each in "\u202e\u2069"]
    assert ordered(summary, mine, ": right", " to ", " answers")
    assert page.evaluate("window.ran") is None
    page.close()


def test_the_owners_page_and_the_portal(live, browser) -> None:
    """Names, answers, reasons and what Lambdas print come from anybody; the page shows each character of them."""
    everything = "".join(HOSTILE[:-4]).replace("\ud83d", "")
    title, live_errors = "\u202egnp <img src=x onerror=window.ran=1>", []
    create(
        live, "pets", "<crowd-form></crowd-form>", [{"source": "a"}, {"source": "b"}],
        pre_lambda=arn("LabelingFunction-pre"), title=title[:60],
    )  # fmt: skip
    name = "\u05d0\u05d1\x1b\u202e<b>"
    worker = live.store.add_worker(name, TEAM)
    lease = live.service.next(worker, "pets")
    assert live.service.submit(lease.id, worker, {everything: everything, "n": json.dumps([everything])}, 3) == "kept"
    live.store.set("address", live.address)
    page = browser.new_page()
    page.on("pageerror", lambda error: live_errors.append(str(error)))
    page.goto(owner_link(str(live.state)))
    page.get_by_role("link", name="pets").wait_for()
    jobs = page.inner_text("main")
    assert "⟨U+202E⟩gnp <img src=x" in jobs
    page.get_by_role("link", name="pets").click()
    page.get_by_text("submitted").first.wait_for()
    text = page.inner_text("body")
    assert "␛[2J␛[31mred" in text and "⟨U+202E⟩" in text and "\u05d0\u05d1␛⟨U+202E⟩<b>" in text
    assert not unsafe(text.replace("\t", " "))
    assert not page.evaluate("window.ran") and not page.locator("main img, main script, main svg:not(.chart)").count()
    row = page.get_by_role("region", name="Table of workers").locator("td")
    left, right = row.nth(0).bounding_box(), row.nth(1).bounding_box()
    assert left["x"] < right["x"], "each cell is by itself"
    page.evaluate("location.hash = '%E0%A4%A'")  # no name at all
    page.get_by_role("link", name="pets").wait_for()
    page.goto(f"{live.address}/enter#{live.store.issue(live.store.add_worker(name, TEAM), 'link', 2e9)}")
    page.get_by_text("1 left for you").wait_for()
    until(lambda: page.inner_text("#worker"))
    assert page.inner_text("#worker") == "\u05d0\u05d1␛⟨U+202E⟩<b>"
    assert "⟨U+202E⟩gnp <img src=x" in page.inner_text("main")
    assert not page.evaluate("window.ran")
    assert not live_errors
    page.close()
