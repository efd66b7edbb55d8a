"""What ``gandt serve`` does: a state folder opened, a port taken, functions started."""

import fcntl
import signal
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gandt.errors import InputError
from gandt.service.setting import Setting, service_in
from gandt.service.store import open_store

LOOPBACK = ("127.0.0.1", "localhost", "::1")
WITHOUT_TLS = (
    "warning: without TLS everybody on the way can read links, answers and tokens; give --tls-cert and --tls-key, "
    "or put a proxy with HTTPS before it and name it by --address"
)


@dataclass(frozen=True)
class Door:
    """Where the service can be reached, and by whom.

    Attributes
    ----------
    host : str
        The interface; beyond the loopback interface SageMaker's API asks for tokens, whatever ``tokens`` says.
    port : int
        0 takes any free one.
    address : str, optional
        ``http(s)://HOST[:PORT]`` as browsers know it, where that isn't the interface itself.
    certificate : tuple of str, optional
        The files of a TLS certificate and of its key.
    tokens : bool
        Whether SageMaker's API asks for tokens on the loopback interface, too.
    allowed : tuple of str
        Addresses that templates may load scripts, styles, fonts, pictures and frames from.
    """

    host: str = "127.0.0.1"
    port: int = 0
    address: str | None = None
    certificate: tuple[str, str] | None = None
    tokens: bool = False
    allowed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.address is not None:
            parts = urllib.parse.urlsplit(self.address)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
                raise InputError(f"--address {self.address} isn't https://HOST or http://HOST:PORT")
        elif self.host in ("0.0.0.0", "::"):
            raise InputError(f"--host {self.host} is every interface; say by --address how browsers call it")

    @property
    def local(self) -> bool:
        """Whether only this machine reaches it."""
        return self.host in LOOPBACK

    @property
    def readable(self) -> bool:
        """Whether others could read what goes through."""
        return not self.local and not self.certificate and not (self.address or "").startswith("https:")

    def url(self, port: int) -> str:
        """Return the address that links have."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (self.address or f"{'https' if self.certificate else 'http'}://{host}:{port}").rstrip("/")

    def hosts(self) -> tuple[str, ...]:
        """Return the names that a Host header may have."""
        named = urllib.parse.urlsplit(self.address or "").hostname
        return tuple(dict.fromkeys(filter(None, ("127.0.0.1", "localhost", self.host, named))))


@contextmanager
def serving(
    state: str, *, door: Door | None = None, setting: Setting | None = None
) -> Iterator[tuple[str, str, Callable[[], None]]]:
    """Open the service and go on with its jobs.

    Parameters
    ----------
    state : str
        Folder of the state.
    door : Door, optional
        Where it listens; by default on any free port of 127.0.0.1.
    setting : Setting, optional
        Its S3, Lambdas and so on; by default an embedded S3 and no Lambda.

    Yields
    ------
    address : str
        As in ``http://127.0.0.1:PORT``.
    s3 : str
        Endpoint of its S3, empty for AWS's own.
    wait : callable
        Serves until the process is interrupted or terminated.

    Raises
    ------
    InputError
        When a function, certificate or allowed address can't be used, the port is taken, or another process serves
        this state.
    """
    from gandt.service.frames import allowable
    from gandt.service.server import listen, make_server

    door = door or Door()
    allowed = tuple(allowable(address) for address in door.allowed)
    with ExitStack() as stack:
        store = stack.enter_context(closing(open_store(state)))
        stack.enter_context(_alone(state))
        service, s3 = stack.enter_context(service_in(state, store, setting or Setting()))
        listener = stack.enter_context(listen(door.port, door.host))
        address = door.url(listener.getsockname()[1])
        store.set("address", address)
        store.set("s3", s3)
        server = make_server(
            service,
            hosts=door.hosts(),
            address=door.address,
            tokens=door.tokens or not door.local,
            allowed=allowed,
            certificate=door.certificate,
        )
        stack.callback(service.end)
        service.start()
        yield address, s3, lambda: _run(server, listener)


def _run(server: Any, listener: Any) -> None:
    """Serve until a signal comes; SIGTERM then ends the process as what it asks for: in order, and with success."""

    def leave(*_: object) -> None:
        raise SystemExit(0)

    # the server raises the signal again when it has come to its end, for whoever listened before
    earlier = signal.signal(signal.SIGTERM, leave)
    try:
        server.run(sockets=[listener])
    finally:
        signal.signal(signal.SIGTERM, earlier)


@contextmanager
def _alone(state: str) -> Iterator[None]:
    """Hold the state's lock: two services on one state would both run its jobs."""
    with (Path(state) / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"another gandt serve runs on {state}; end it, or give another --state") from error
        yield
