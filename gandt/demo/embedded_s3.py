"""S3 without AWS: moto's server in this process, on a free port of the loopback interface."""

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gandt import storage
from gandt.errors import StorageError, extra

# moto takes any key; these make sure that no real one is used
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "embedded", "AWS_SECRET_ACCESS_KEY": "embedded", "AWS_DEFAULT_REGION": "us-east-1"}


@contextmanager
def embedded_s3(bucket: str) -> Iterator[tuple[Any, dict[str, str]]]:
    """Serve an empty S3 with one bucket while the block runs.

    Yields
    ------
    s3
        A boto3 client for it.
    environment : dict of str to str
        What another process needs to reach it: endpoint, region and keys.

    Raises
    ------
    MissingExtraError
        When moto isn't installed.
    StorageError
        When no port of the loopback interface is free.
    """
    with extra("local", "gandt demo"):
        from moto.backends import get_backend
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", 0))
            listener.listen(64)
        except OSError as error:
            reason = error.strerror or str(error)
            raise StorageError(
                f"no free port on 127.0.0.1 for the embedded S3 ({reason}); close other programs"
            ) from error
        port = listener.getsockname()[1]
        get_backend("s3").reset()  # moto keeps one state for the whole process
        app = DomainDispatcherApplication(create_backend_app)
        server = make_server("127.0.0.1", port, app, threaded=True, fd=listener.fileno())
        thread = threading.Thread(target=server.serve_forever, name="embedded S3", daemon=True)
        thread.start()
        endpoint = f"http://127.0.0.1:{port}"
        try:
            s3 = storage.s3_client(
                endpoint,
                aws_access_key_id=ENVIRONMENT["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
                region_name=ENVIRONMENT["AWS_DEFAULT_REGION"],
            )
            s3.create_bucket(Bucket=bucket)
            yield s3, {**ENVIRONMENT, "AWS_ENDPOINT_URL_S3": endpoint}
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
