"""Fixtures that several rooms share."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes: their pools of threads would wait for each other
    for _pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(_pool, "1")  # read by numpy and others when they are first imported

import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from sizes import MEDIUM, function_of

# The same examples every time, however long they take on a busy machine; `--hypothesis-profile default` draws new ones.
settings.register_profile("gandt", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gandt")

NO_BROWSER = "no Chromium on this machine; `make browser` brings Playwright's own, without root"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test can reach an AWS account, whatever the developer's environment holds."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the project; tests that need it skip where it isn't."""
    if not SHARED.is_dir():
        pytest.skip(f"no real data beside the project ({SHARED} is absent)")
    return SHARED


@pytest.fixture
def s3() -> Iterator[object]:
    """A boto3 S3 client on moto, with the empty bucket ``bucket``."""
    import boto3
    from moto import mock_aws

    from gandt import storage

    storage.default_s3.cache_clear()
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="bucket")
        yield client
    storage.default_s3.cache_clear()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as ``browser`` what asks for the fixture of that name, itself or by way of another, and as ``medium``."""
    medium = set(MEDIUM.read_text(encoding="utf-8").split("\n"))
    for item in items:
        if function_of(item) in medium:
            item.add_marker("medium")
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Give all tests that a missing browser skips one place, so that the summary counts them in one line."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple) and NO_BROWSER in report.longrepr[2]:
        report.longrepr = ("tests that need a browser", 0, report.longrepr[2])
    return report


def chromium(playwright: Any) -> str | None:
    """Return the path of Playwright's own Chromium, or else of the system's, or none."""
    own = playwright.chromium.executable_path
    if Path(own).is_file():
        return str(own)
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """A headless Chromium (a Playwright browser); skips where there is none, but never in CI."""
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic", "--no-first-run"]
    flags += ["--disable-component-update", "--disable-sync"]
    with sync_playwright() as playwright:
        path = chromium(playwright)
        if path is None:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(NO_BROWSER)
        started = playwright.chromium.launch(executable_path=path, headless=True, args=flags)
        yield started
        started.close()


@pytest.fixture(scope="session")
def crowd_server(browser: object) -> Iterator[object]:
    """What ``crowd_pages`` shares between tests: a local server, and pages that are slow to open."""
    from crowd import CrowdPages

    pages = CrowdPages(browser)
    yield pages
    pages.close()


@pytest.fixture
def crowd_pages(crowd_server: object) -> Iterator[object]:
    """Opens templates with gandt's own crowd-* elements in the browser; see tests/crowd.py."""
    yield from crowd_server.fresh()  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of handwritten digits: 24 of each of four, drawn from scikit-learn's own."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("digits")
    data = load_digits()
    for digit in range(4):
        (folder / f"digit {digit}").mkdir()
        for number in np.flatnonzero(data.target == digit)[:24]:
            ink = np.pad(data.images[number] / 16, 1)
            image = Image.fromarray(np.uint8(255 * (1 - ink))).resize((120, 120), Image.Resampling.BICUBIC)
            image.save(folder / f"digit {digit}" / f"{number}.png")
    (folder / "digit 1" / "broken ü.png").write_bytes(b"no image at all")
    (folder / "digit 1" / "empty.jpg").write_bytes(b"")
    return folder


@pytest.fixture(scope="session")
def finished(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> object:
    """A demo that ran through, on the class folders above."""
    out = tmp_path_factory.mktemp("run") / "out"
    from gandt.demo import run_demo

    return run_demo(str(out), seed=3, images=str(digits), labels=["digit 0", "digit 2"])


@pytest.fixture
def live(tmp_path: Path) -> Iterator[object]:
    """A running labeling service with a workteam; see tests/service.py."""
    from service import MEMBERS, TEAM, running

    with running(str(tmp_path / "state")) as served:
        served.team = served.sagemaker.create_workteam(
            WorkteamName=TEAM, MemberDefinitions=MEMBERS, Description="those we know"
        )["WorkteamArn"]
        served.state = tmp_path / "state"
        yield served


@pytest.fixture
def enter(browser: object, live: object) -> Iterator[object]:
    """Opens the portal by a new personal link, in a browser profile of its own."""
    from service import TEAM, invite

    contexts: list[Any] = []
    errors: list[str] = []

    def open_(name: str, **options: Any) -> Any:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(invite(live, name, TEAM))
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not errors
