"""A running labeling service with an S3 beside it, for tests (``running``)."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import boto3

from gandt import resources, storage
from gandt.demo.embedded_s3 import embedded_s3
from gandt.jobs import build_request
from gandt.service.functions import LocalFunction
from gandt.service.labeling import LabelingService
from gandt.service.server import listen, make_server
from gandt.service.store import open_store

TEAM = "friends"
SHOWN = "iframe:not(.ahead)"  # the portal's frame; the page after it waits in another
MEMBERS = [{"CognitoMemberDefinition": {"UserPool": "us-east-1_x", "UserGroup": "g", "ClientId": "c"}}]


def arn(name: str) -> str:
    return f"arn:aws:lambda:us-east-1:000000000000:function:{name}"


@contextmanager
def running(state: str) -> Iterator[Any]:
    """Serve our own Lambdas, named [gandt-]LabelingFunction-pre and -post, on an S3 with the bucket ``bucket``."""
    with embedded_s3("bucket") as (s3, environment):
        functions: Mapping[str, LocalFunction] = {
            name: LocalFunction(name, path, environment=environment)
            for own, path in resources.lambda_files().items()
            for name in (own, own.removeprefix("gandt-"))
        }
        store = open_store(state)
        service = LabelingService(store, functions, s3)
        service.start()
        server = make_server(service)
        listener = listen(0)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        sagemaker = boto3.client("sagemaker", endpoint_url=address, region_name="us-east-1")
        try:
            yield SimpleNamespace(address=address, sagemaker=sagemaker, s3=s3, service=service, store=store)
        finally:
            server.should_exit = True
            thread.join()
            listener.close()
            service.end()
            store.close()
            for function in functions.values():
                function.close()


def invite(running: Any, name: str, team: str) -> str:
    """Return a worker's personal link."""
    worker = running.store.add_worker(name, team)
    return f"{running.address}/enter#{running.store.issue(worker, 'link', time.time() + 600)}"


def until(condition: Any, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def create(
    live, name: str, template: str, lines: list[dict[str, Any]] | None = None, wait: bool = True, **options: Any
) -> None:
    storage.write_text(f"s3://bucket/{name}.liquid.html", template, s3=live.s3)
    if lines is not None:
        storage.write_text(
            f"s3://bucket/{name}.manifest", "".join(json.dumps(line) + "\n" for line in lines), s3=live.s3
        )
    live.sagemaker.create_labeling_job(
        **build_request(
            name,
            manifest=f"s3://bucket/{name}.manifest",
            template=f"s3://bucket/{name}.liquid.html",
            output="s3://bucket/out",
            workteam=live.team,
            role="arn:aws:iam::000000000000:role/r",
            label_attribute="label",
            **options,
        )
    )
    until(lambda: not wait or live.store.states(name).get("open"))


def inside(page: Any) -> Any:
    """Return the task's frame, once its elements are ready."""
    page.locator(SHOWN).wait_for()
    path = page.locator(SHOWN).evaluate("(frame) => frame.src")
    until(lambda: any(frame.url == path for frame in page.frames) or page.wait_for_timeout(10))
    inner = next(frame for frame in page.frames if frame.url == path)
    # not wait_for_function: the page's policy forbids the eval that it needs
    until(lambda: inner.evaluate("Boolean(window.crowdElements) && document.readyState === 'complete'"))
    return inner


@contextmanager
def held(page: Any, key: str) -> Iterator[None]:
    """Hold a key, or several such as Control+Enter, that ends the page in the frame, and let go after the block.

    A frame that goes between a key's way down and up never says that it took the latter, and ``keyboard.press`` waits
    for that word without end. So the block waits for the next page.
    """
    keys = key.split("+")
    for each in keys:
        page.keyboard.down(each)
    yield
    for each in reversed(keys):
        page.keyboard.up(each)
