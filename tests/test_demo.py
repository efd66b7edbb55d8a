"""The main job: its numbers are true to its files, the same seed gives the same, and misuse is one sentence."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from scipy.stats import binomtest

from gandt.demo import DemoResult, run_demo
from gandt.errors import GandtError

GANDT = [sys.executable, "-c", "from gandt.cli import main; main()"]


def table(result: DemoResult, name: str) -> pd.DataFrame:
    return pd.read_csv(Path(result.out) / name, keep_default_na=False)


def test_the_numbers_are_true_to_the_files(finished: DemoResult) -> None:
    labels, truth, candidates = (table(finished, f"{name}.csv") for name in ("labels", "truth", "candidates"))
    status = Counter(labels["status"])
    assert finished.items == len(candidates) == 4 * 24 - 2 * 8
    assert finished.candidates == len(labels) == (candidates["decision"] != "discard").sum()
    assert (finished.confident, finished.relabel, finished.unanswered) == (
        status["confident"], status["relabel"], status["unanswered"],
    )  # fmt: skip
    assert finished.confident + finished.relabel + finished.unanswered == finished.candidates
    assert finished.judgements_all == 3 * finished.items

    confident = labels[labels["status"] == "confident"].merge(truth, on="image", suffixes=("", "_true"))
    right = int((confident["label"] == confident["label_true"]).sum())
    interval = binomtest(right, len(confident)).proportion_ci(method="wilson")
    assert len(confident) == finished.confident
    assert finished.accuracy == pytest.approx(right / len(confident))
    assert (finished.accuracy_low, finished.accuracy_high) == pytest.approx((interval.low, interval.high))


def test_judgements_are_what_the_worker_response_files_hold(finished: DemoResult) -> None:
    paid = 0
    for path in (Path(finished.out) / "s3").rglob("worker-response/**/*.json"):
        for answer in json.loads(path.read_text())["answers"]:
            paid += len(answer["answerContent"])
    assert finished.judgements == paid == len(table(finished, "answers.csv"))


def test_a_good_crowd_gives_good_labels_for_less(finished: DemoResult) -> None:
    assert finished.accuracy is not None
    assert finished.accuracy > 0.85
    assert finished.confident > finished.relabel
    assert finished.wanted is not None and finished.wanted_kept is not None
    assert finished.wanted_kept > 0.8 * finished.wanted


def test_bad_images_are_set_aside_by_name(finished: DemoResult) -> None:
    aside = table(finished, "set-aside.csv")
    assert {Path(item).name for item in aside["item"]} == {"broken ü.png", "empty.jpg"}
    assert (aside["reason"] != "").all()
    (stage,) = [stage for stage in finished.stages if "Set aside" in stage.title]
    assert {row["item"] for row in stage.rows} == set(aside["item"])
    assert finished.set_aside == 2


def test_workers_see_neither_truth_nor_gold(finished: DemoResult) -> None:
    """No address, manifest or page tells a class folder; gold is nowhere in what workers get."""
    bucket = Path(finished.out) / "s3" / "gandt-demo"
    for manifest in (bucket / "manifests").glob("*.manifest"):
        text = manifest.read_text()
        assert "gold" not in text
        for line in map(json.loads, text.splitlines()):
            for item in json.loads(line["source"]):
                assert "digit" not in item["source-ref"]
    gold = table(finished, "gold.csv")
    assert not set(gold["item"]) & set(table(finished, "labels.csv")["item"])


def test_the_consolidation_gets_nothing_but_answers(finished: DemoResult) -> None:
    """Consolidating the exported files again gives the very labels, with the truth out of reach."""
    import gandt

    jobs = Path(finished.out) / "s3" / "gandt-demo" / "jobs"
    answers = pd.concat([gandt.read_answers(str(job)) for job in sorted(jobs.iterdir())], ignore_index=True)
    gold = table(finished, "gold.csv")
    expected = table(finished, "labels.csv")
    again = gandt.consolidate(
        answers,
        categories=("digit 0", "digit 2", "None of these"),
        items=expected["item"].tolist(),
        gold=dict(zip(gold["item"], gold["label"], strict=True)),
        target=0.95,
    )
    assert again.labels["label"].tolist() == expected["label"].tolist()
    assert again.labels["status"].tolist() == expected["status"].tolist()


def test_the_report_is_one_self_contained_page(finished: DemoResult) -> None:
    page = Path(finished.report).read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") > 20
    assert "simulated" in page
    for outside in ("<script", 'src="http', "url(http", "<link"):
        assert outside not in page
    assert f"{finished.accuracy * 100:.1f}" in page


def test_the_report_in_a_browser(finished: DemoResult, browser) -> None:
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(Path(finished.report).as_uri())
    for number in range(page.locator("iframe").count()):
        frame = page.frame_locator("iframe").nth(number)
        frame.locator(".tile").first.wait_for()
    broken = page.evaluate("[...document.images].filter(i => !i.complete || !i.naturalWidth).length")
    wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
    page.close()
    assert broken == 0
    assert not wide
    assert {url.split(":")[0] for url in asked} <= {"file", "data", "about"}


@pytest.mark.slow
def test_the_same_seed_gives_the_same_result_and_a_second_run_takes_up_the_first(
    finished: DemoResult, digits: Path, tmp_path: Path
) -> None:
    again = run_demo(str(tmp_path / "again"), seed=3, images=str(digits), labels=["digit 0", "digit 2"])
    for name in ("labels.csv", "answers.csv", "candidates.csv", "workers.csv"):
        assert (Path(again.out) / name).read_bytes() == (Path(finished.out) / name).read_bytes()
    before = {path: path.stat().st_mtime_ns for path in Path(again.out, "store").iterdir()}
    run_demo(again.out, seed=3, images=str(digits), labels=["digit 0", "digit 2"])
    assert before.items() <= {path: path.stat().st_mtime_ns for path in Path(again.out, "store").iterdir()}.items()
    moved = shutil.copytree(digits, tmp_path / "elsewhere" / "pool")
    same = run_demo(str(tmp_path / "moved"), seed=3, images=str(moved), labels=["digit 0", "digit 2"])
    for name in ("answers.csv", "workers.csv"):
        assert (Path(same.out) / name).read_bytes() == (Path(finished.out) / name).read_bytes()
    other = run_demo(str(tmp_path / "other"), seed=4, images=str(digits), labels=["digit 0", "digit 2"])
    assert Path(other.out, "answers.csv").read_bytes() != Path(again.out, "answers.csv").read_bytes()


def test_seeds_of_one_s_own_and_no_truth(digits: Path, tmp_path: Path) -> None:
    """Flat pictures and a folder of seeds: labels come out, and no accuracy is claimed."""
    pool, seeds = tmp_path / "pool", tmp_path / "seeds"
    pool.mkdir()
    for path in digits.rglob("*.png"):
        shutil.copy(path, pool / f"{path.parent.name[-1]}{path.name}")
    for digit in (0, 1):
        (seeds / f"number {digit}").mkdir(parents=True)
        for path in sorted((digits / f"digit {digit}").glob("[0-9]*.png"))[:5]:
            shutil.copy(path, seeds / f"number {digit}")
    result = run_demo(str(tmp_path / "out"), images=str(pool), seeds=str(seeds))
    assert result.accuracy is None and result.wanted is None
    assert result.items == 4 * 24 - 10  # a copy of a seed is no image to ask about
    assert set(table(result, "labels.csv")["label"]) <= {"number 0", "number 1", "None of these"}
    assert "isn't known" in Path(result.report).read_text()


def test_seeds_of_one_s_own_with_class_folders_as_truth(digits: Path, tmp_path: Path) -> None:
    seeds = tmp_path / "seeds"
    for digit in (2, 3):
        (seeds / f"digit {digit}").mkdir(parents=True)
        for path in sorted((digits / f"digit {digit}").glob("*.png"))[:6]:
            shutil.copy(path, seeds / f"digit {digit}")
    result = run_demo(str(tmp_path / "out"), images=str(digits), seeds=str(seeds))
    truth = table(result, "truth.csv")["label"].value_counts()
    assert result.wanted == truth["digit 2"] + truth["digit 3"] == 36
    assert result.accuracy is not None


# ---------------------------------------------------------------- misuse: one sentence each


def refused(arguments: Sequence[str], cwd: Path, code: int = 1) -> str:
    done = subprocess.run([*GANDT, "demo", *arguments], cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("gandt: ")]
    return sentence


def pictures(folder: Path, count: int) -> None:
    from PIL import Image

    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (40, 40), (number * 20 % 255, 90, 160)).save(folder / f"{number}.png")


def test_a_label_without_seeds(tmp_path: Path) -> None:
    pictures(tmp_path / "pool", 6)
    pictures(tmp_path / "seeds" / "cat", 2)
    (tmp_path / "seeds" / "dog").mkdir()
    sentence = refused(["--images", "pool", "--seeds", "seeds"], tmp_path)
    assert "'dog' has no seeds" in sentence
    assert not (tmp_path / "gandt-demo" / "labels.csv").exists()


def test_a_pool_smaller_than_the_seeds(tmp_path: Path) -> None:
    pictures(tmp_path / "pool", 2)
    pictures(tmp_path / "seeds" / "cat", 4)
    assert "smaller than the seeds" in refused(["--images", "pool", "--seeds", "seeds"], tmp_path)


def test_folders_that_hold_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    pictures(tmp_path / "flat", 5)
    assert "holds no image" in refused(["--images", "empty"], tmp_path)
    assert "there is no such file or folder" in refused(["--images", "absent"], tmp_path)
    assert "no class folders to take seeds from" in refused(["--images", "flat"], tmp_path)
    assert "no class folder 'bird'" in refused(["--images", ".", "--labels", "bird"], tmp_path)


def test_seeds_that_are_all_unreadable(tmp_path: Path) -> None:
    pictures(tmp_path / "pool", 6)
    (tmp_path / "seeds" / "cat").mkdir(parents=True)
    (tmp_path / "seeds" / "cat" / "a.png").write_bytes(b"")
    assert "none of its 1 examples is a readable image" in refused(["--images", "pool", "--seeds", "seeds"], tmp_path)


def test_an_output_folder_that_holds_something_else(finished: DemoResult, digits: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    assert "holds other files" in refused(["--out", "mine"], tmp_path)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    assert "holds another run" in refused(["--out", finished.out, "--images", str(digits), "--seed", "9"], tmp_path)
    assert "is a file" in refused(["--out", str(digits / "digit 1" / "empty.jpg")], tmp_path)


def test_wrong_use_exits_with_2(tmp_path: Path) -> None:
    done = subprocess.run([*GANDT, "demo", "--seed", "many"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2


def test_no_free_port(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(socket.socket):
        def bind(self, address: object) -> None:
            raise OSError(98, "Address already in use")

    monkeypatch.setattr(socket, "socket", Full)
    with pytest.raises(GandtError, match=r"no free port on 127\.0\.0\.1"):
        run_demo(str(tmp_path / "out"), images=str(digits))


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_half_written_and_the_run_goes_on(digits: Path, tmp_path: Path) -> None:
    arguments = ["demo", "--images", str(digits), "--out", "out", "--json"]
    running = subprocess.Popen(
        [*GANDT, *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while (
        not (tmp_path / "out" / "store" / "store.json").exists()
        and running.poll() is None
        and time.monotonic() < deadline
    ):
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    stdout, stderr = running.communicate(timeout=60)
    assert running.returncode == 130, stderr
    assert stdout == ""
    assert "Traceback" not in stderr
    assert stderr.count("gandt: interrupted") == 1
    out = tmp_path / "out"
    assert not [path for path in out.rglob("*") if path.name.endswith(".part")]
    assert not (out / "report.html").exists()

    done = subprocess.run([*GANDT, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    wanted = (
        "items candidates judgements judgements_all confident relabel unanswered accuracy accuracy_low accuracy_high"
    )
    assert set(wanted.split()) | {"seconds", "report"} <= set(printed)
    assert Path(printed["report"]).is_file()
