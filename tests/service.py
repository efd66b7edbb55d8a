"""A running labeling service with an S3 beside it, for tests (``running``)."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import boto3

from gandt import resources
from gandt.demo.embedded_s3 import embedded_s3
from gandt.service.functions import LocalFunction
from gandt.service.labeling import LabelingService
from gandt.service.server import listen, make_server
from gandt.service.store import open_store

MEMBERS = [{"CognitoMemberDefinition": {"UserPool": "us-east-1_x", "UserGroup": "g", "ClientId": "c"}}]


def arn(name: str) -> str:
    return f"arn:aws:lambda:us-east-1:000000000000:function:{name}"


@contextmanager
def running(state: str) -> Iterator[Any]:
    """Serve our own Lambdas, named LabelingFunction-pre and -post, on an S3 with the bucket ``bucket``."""
    with embedded_s3("bucket") as (s3, environment):
        functions: Mapping[str, LocalFunction] = {
            f"LabelingFunction-{kind}": LocalFunction(
                f"LabelingFunction-{kind}",
                str(resources.folder("lambdas") / f"{kind}_annotation" / "handler.py"),
                environment=environment,
            )
            for kind in ("pre", "post")
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


def until(condition: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)
