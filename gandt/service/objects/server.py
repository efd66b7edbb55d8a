"""The port of embedded storage, of its own: what is in a bucket shares no origin with the portal."""

import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from gandt import storage
from gandt.errors import extra
from gandt.service.objects.folder import ObjectFolder

with extra("local", "gandt serve"):
    import uvicorn

    from gandt.service.objects.protocol import Protocol


@contextmanager
def embedded(path: str, port: int = 0) -> Iterator[tuple[Any, dict[str, str]]]:
    """Serve the folder ``path`` as S3 on 127.0.0.1 while the block runs.

    Parameters
    ----------
    path : str
        The folder; made if need be.
    port : int
        0 takes any free one.

    Yields
    ------
    s3
        A boto3 client for it.
    environment : dict of str to str
        What another process needs to reach it: endpoints (that of STS too, for AssumeRole), region and keys. The keys
        are those of this process's environment where it has some, else the folder's own.

    Raises
    ------
    InputError
        When the port is taken, or the folder holds something else.
    """
    from gandt.service.server import listen

    with closing(ObjectFolder(path)) as folder, listen(port) as listener:
        keys = _keys(Path(path) / "key")
        protocol = Protocol(folder, {keys["AWS_ACCESS_KEY_ID"]: keys["AWS_SECRET_ACCESS_KEY"]})
        config = uvicorn.Config(
            protocol, log_level="warning", access_log=False, server_header=False, lifespan="off",
            timeout_graceful_shutdown=5,
        )  # fmt: skip
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="embedded S3", daemon=True)
        thread.start()
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        try:
            s3 = storage.s3_client(
                endpoint,
                aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
                region_name=region,
            )
            yield (
                s3,
                {
                    **keys,
                    "AWS_REGION": region,
                    "AWS_DEFAULT_REGION": region,
                    "AWS_ENDPOINT_URL_S3": endpoint,
                    "AWS_ENDPOINT_URL_STS": endpoint,
                },
            )
        finally:
            server.should_exit = True
            thread.join()


def _keys(file: Path) -> dict[str, str]:
    """Return the keys of the environment, else the ones in ``file``, made if need be."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    if all(os.environ.get(name) for name in names):
        return {name: os.environ[name] for name in names}
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(32))
    return dict(zip(names, ("gandt", file.read_text()), strict=True))
