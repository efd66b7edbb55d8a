"""``gandt demo --me``: the job runs on gandt's own service, and you are one of its workers, in your browser."""

import shutil
import threading
import time
import urllib.parse
import webbrowser
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from gandt.demo.crowd import AVERAGE, CAREFUL, Nature, SimulatedCrowd, SimulatedWorker, read_tiles
from gandt.demo.desk import Desk
from gandt.errors import extra
from gandt.service.labeling import LabelingService
from gandt.service.store import Lease, Store, open_store

YOU = "you"
_LINK_SECONDS = 7 * 86_400
_PACE = 0.3  # seconds that a simulated worker takes for a page here; nobody waits for him


@dataclass(frozen=True)
class Me:
    """How you take part.

    Attributes
    ----------
    alone : bool
        Nobody else answers; otherwise two simulated workers answer each page, too.
    browser : bool
        Whether to open a browser.
    tell : callable
        Gets what you should know: your link, and how far it is.
    """

    alone: bool = False
    browser: bool = True
    tell: Callable[[str], None] = print


@dataclass
class MyDesk(Desk):
    """A desk whose job is worked on through the portal; its state is in the folder ``state``, and survives Ctrl-C."""

    me: Me = field(default_factory=Me)
    state: str = ""

    def _round(self, name: str) -> tuple[int, str, Sequence[Nature]]:
        others = () if self.me.alone else (CAREFUL, AVERAGE)
        return 1 + len(others), "you", others or (AVERAGE,)

    def _run(self, request: Mapping[str, Any], crowd: SimulatedCrowd) -> tuple[dict[str, Any], dict[str, str]]:
        name = request["LabelingJobName"]
        functions = {arn.rpartition(":")[2]: function for arn, function in self._functions.items()}
        with closing(_opened(self.state, name)) as store:
            service = LabelingService(store, functions, self.s3)
            ending = threading.Event()
            with _served(service) as address, ExitStack() as stack:
                team = request["HumanTaskConfig"]["WorkteamArn"].rpartition("/")[2]
                store.put_workteam({"WorkteamName": team, "MemberDefinitions": [], "Description": team}, time.time())
                if store.job(name) is None:
                    service.create(request)
                you = store.add_worker(YOU, team)
                if self.me.alone:
                    crowd.workers.clear()
                for number, worker in enumerate(crowd.workers, start=1):
                    worker.id = store.add_worker(f"simulated {number}", team)
                    thread = threading.Thread(target=_work, args=(service, name, crowd, worker, ending), daemon=True)
                    thread.start()
                    stack.callback(thread.join)
                stack.callback(ending.set)
                link = f"{address}/enter#{store.issue(you, 'link', time.time() + _LINK_SECONDS)}"
                self.me.tell(f"Your turn. Label the pages here:\n\n  {link}\n")
                if self.me.browser:
                    webbrowser.open(link)
                pages = self._watch(service, name, you)
                crowd.workers.append(SimulatedWorker(you, Nature(YOU, 1, 1), {}, self.labels, None, self._now))  # type: ignore[arg-type]
            states = store.states(name)
            job = store.job(name)
            assert job is not None
            counters = {"FailedNonRetryableError": states.get("failed", 0)}
            return {"LabelingJobStatus": job.status, "LabelCounters": counters}, pages

    def _watch(self, service: LabelingService, name: str, you: str) -> dict[str, str]:
        """Say how far it is until the job has ended; return one of its pages."""
        told, pages = -1, dict[str, str]()
        while True:
            job = service.store.job(name)
            assert job is not None
            done = len({answer.number for answer in service.store.answers_after(name, 0) if answer.worker == you})
            states = service.store.states(name)
            if done != told and states.get("open"):
                self.me.tell(f"{done} of {sum(states.values())} pages done")
                told = done
            if not pages and states.get("open"):
                first = Lease("", name, "0", you, 0, 0, "held")
                pages = {"0": service.page(first, _address)}
            if job.ended:
                return pages
            time.sleep(0.2)


def _opened(state: str, name: str) -> Store:
    """Open the state of an interrupted run to go on with it, but not of one that had ended: its files went with S3."""
    store = open_store(state)
    job = store.job(name)
    if job is None or not job.ended:
        return store
    store.close()
    shutil.rmtree(state)
    return open_store(state)


def _work(
    service: LabelingService, name: str, crowd: SimulatedCrowd, worker: SimulatedWorker, ending: threading.Event
) -> None:
    """Let a simulated worker answer every page of the job, through the service like everybody."""
    while not ending.wait(_PACE):
        lease = service.next(worker.id, name)
        if lease is not None:
            content = crowd.fill(worker, read_tiles(service.page(lease, _address)))
            service.submit(lease.id, worker.id, content, _PACE)


def _address(uri: str) -> str:
    """Return an address out of which :func:`gandt.demo.crowd.address_of` makes the ``s3://`` one again."""
    return f"http://s3/{urllib.parse.quote(uri.removeprefix('s3://'))}"


@contextmanager
def _served(service: LabelingService) -> Iterator[str]:
    with extra("local", "gandt demo --me"):
        from gandt.service.server import listen, make_server
    with closing(listen(0)) as listener:
        server = make_server(service)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        service.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            service.end()
            server.should_exit = True
            thread.join()
