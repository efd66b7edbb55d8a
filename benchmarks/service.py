"""The labeling service under many workers: what it loses when it is killed (nothing), and how long people wait.

    python benchmarks/service.py soak                      200 workers, 5,000 objects x 3 answers, ten kill -9
    python benchmarks/service.py latency                   100 workers who take 2 seconds for a page of 12 images

Both start `gandt serve` as a process of its own, with an S3 in another, and speak HTTP to it as the portal does:
hand-out, page, answer. Every wait is measured at the client, so it includes the client's own turn at the processor.
Workers repeat what wasn't acknowledged, and now and then what was. Exit code 1 when a check fails.
"""

import argparse
import asyncio
import collections
import contextlib
import json
import os
import random
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from gandt import build_manifest, resources, storage
from gandt.jobs import build_request
from gandt.service.store import open_store

BUCKET, JOB, TEAM = "bucket", "soak", "crowd"
# a post-annotation Lambda that returns everything it was given
CONSOLIDATE = """
import json, boto3
def lambda_handler(event, context):
    bucket, _, key = event["payload"]["s3Uri"].removeprefix("s3://").partition("/")
    payload = json.loads(boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())
    return [{"datasetObjectId": entry["datasetObjectId"], "consolidatedAnnotation": {"content": {
        event["labelAttributeName"]: sorted([a["workerId"], json.loads(a["annotationData"]["content"])["word"]]
                                            for a in entry["annotations"])}}} for entry in payload]
"""
S3 = """
import json, sys
from gandt.demo.embedded_s3 import embedded_s3
with embedded_s3(sys.argv[1]) as (_, environment):
    print(json.dumps(environment), flush=True)
    sys.stdin.read()
"""


class Served:
    """A ``gandt serve`` on one port, to be killed and started again."""

    def __init__(self, folder: Path, environment: dict[str, str], functions: dict[str, str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.state = str(folder / "state")
        self._command = [sys.executable, "-c", "from gandt.cli import main; main()", "serve", "--json"]
        self._command += ["--port", str(self.port), "--state", self.state, "--s3", environment["AWS_ENDPOINT_URL_S3"]]
        for name, path in functions.items():
            self._command += ["--function", f"{name}={path}:lambda_handler"]
        self._environment = {**os.environ, **environment}
        self.cpu = 0.0

    def start(self) -> None:
        """Start it, and wait until it says that it serves."""
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, env=self._environment, text=True, start_new_session=True
        )
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise SystemExit("gandt serve didn't start")

    def seconds(self) -> float:
        """Return the processor's seconds that it has used, since its last start."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self, how: int = signal.SIGKILL) -> None:
        """End it, without a word of warning by default."""
        self._process.send_signal(how)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


class Connection:
    """A worker's browser: one connection that is made again when it breaks."""

    def __init__(self, port: int) -> None:
        self._port, self._cookie = port, ""
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, path: str, content: Any = None) -> tuple[int, bytes]:
        """Return status and body of a response."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        try:
            sent = b"" if content is None else json.dumps(content).encode()
            head = f"{'GET' if content is None else 'POST'} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n"
            head += f"X-Gandt: portal\r\nContent-Type: application/json\r\nContent-Length: {len(sent)}\r\n"
            writer.write(f"{head}Cookie: {self._cookie}\r\n\r\n".encode() + sent)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            body = await reader.readexactly(int(headers["content-length"]))
        except BaseException:
            self.close()
            raise
        if "set-cookie" in headers:
            self._cookie = headers["set-cookie"].partition(";")[0]
        return int(lines[0].split()[1]), body

    def close(self) -> None:
        """Forget the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class Crowd:
    """Workers over HTTP, what was acknowledged to them, and how long they waited."""

    def __init__(self, served: Served, links: list[str], think: float, seed: int) -> None:
        self.served, self.links, self.think = served, links, think
        self.acknowledged: dict[str, str] = {}  # lease → word
        self.waits: dict[str, list[float]] = collections.defaultdict(list)
        self.refused: collections.Counter[str] = collections.Counter()
        self.measuring = True
        self.done = False
        self._rng = random.Random(seed)

    async def work(self, number: int, content: Any) -> None:
        """Sign in, and work until the job is done; ``content`` makes an answer out of a word."""
        connection = Connection(self.served.port)
        await asyncio.sleep(self._rng.random() * min(2.0, 2 * self.think))
        await self._persist(connection, "sign in", "/portal-api/session", {"token": self.links[number]})
        task = None
        while not self.done:
            if task is None:
                _, given = await self._persist(connection, "hand-out", f"/portal-api/jobs/{JOB}/next", {})
                task = given.get("task")
                if task is None:
                    await asyncio.sleep(0.2 + self._rng.random() * 0.3)
                    continue
            lease = task["lease"]
            await self._persist(connection, "page", f"/task/{lease}")
            await asyncio.sleep(self._rng.expovariate(1 / self.think) if self.think else 0)
            word = f"{number}:{lease}"
            path, answer = f"/portal-api/leases/{lease}/answer", {"answer": content(word), "seconds": self.think}
            status, given = await self._persist(connection, "submit and hand-out", path, answer)
            if status == 200:
                self.acknowledged[lease] = word
                if self._rng.random() < 0.02:
                    await self._persist(connection, "again", path, {"answer": content("another"), "seconds": 1})
            else:
                self.refused[f"{status} {given.get('reason')}"] += 1
            task = given.get("task")
        connection.close()

    async def _persist(self, connection: Connection, what: str, path: str, content: Any = None) -> tuple[int, Any]:
        """Ask until there is an answer; only what is answered at once counts as a wait."""
        broken = False
        while True:
            begun = time.perf_counter()
            try:
                status, body = await connection.call(path, content)
            except (OSError, EOFError):
                broken = True
                if self.done:
                    return 0, {}
                await asyncio.sleep(0.05)
                continue
            if self.measuring and not broken:
                self.waits[what].append(time.perf_counter() - begun)
            return status, {} if content is None else json.loads(body)


@contextlib.contextmanager
def an_s3() -> Iterator[tuple[Any, dict[str, str]]]:
    """Start an S3 in a process of its own."""
    command = [sys.executable, "-c", S3, BUCKET]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdin is not None
    try:
        environment = json.loads(process.stdout.readline())
        os.environ.update(environment)
        yield storage.s3_client(environment["AWS_ENDPOINT_URL_S3"]), environment
    finally:
        process.stdin.close()
        process.wait()


def create(served: Served, s3: Any, options: argparse.Namespace, pages: bool) -> list[str]:
    """Create the job over the API and return a personal link's token for each worker."""
    import boto3

    base = f"s3://{BUCKET}"
    if pages:
        items = [f"{base}/images/{number}.jpg" for number in range(12 * options.objects)]
        manifest = build_manifest(items, per_page=12, categories=["cat", "dog"], other="None of these")
        manifest.write(f"{base}/m", s3=s3)
        template = (resources.folder("templates") / "image-grid.liquid.html").read_text(encoding="utf-8")
    else:
        storage.write_text(f"{base}/m", "".join(f'{{"source": "text {n}"}}\n' for n in range(options.objects)), s3=s3)
        template = "<crowd-form><p>{{ task.input.source }}</p><crowd-input name='word'></crowd-input></crowd-form>"
    storage.write_text(f"{base}/t.html", template, s3=s3)
    store = open_store(served.state)
    store.put_workteam({"WorkteamName": TEAM, "MemberDefinitions": [], "Description": TEAM}, time.time())
    lambdas = "arn:aws:lambda:us-east-1:000000000000:function:"
    client = boto3.client("sagemaker", endpoint_url=f"http://127.0.0.1:{served.port}", region_name="us-east-1")
    client.create_labeling_job(
        **build_request(
            JOB,
            manifest=f"{base}/m",
            template=f"{base}/t.html",
            output=f"{base}/out",
            workteam=f"arn:aws:sagemaker:us-east-1:000000000000:workteam/private-crowd/{TEAM}",
            role="arn:aws:iam::000000000000:role/r",
            pre_lambda=lambdas + "pre" if pages else None,
            post_lambda=lambdas + "post",
            workers_per_object=options.answers,
            **({"MaxConcurrentTaskCount": 5000} if pages else {}),
        )
    )
    ids = [store.add_worker(f"worker {number}", TEAM) for number in range(options.workers)]
    links = [store.issue(worker, "link", time.time() + 86_400) for worker in ids]
    store.close()
    return links


def status(served: Served) -> tuple[str, dict[str, int]]:
    """Return the job's status and how many objects are in each state, read beside the service."""
    with contextlib.closing(sqlite3.connect(f"{served.state}/gandt.sqlite")) as db:
        (name,) = db.execute("SELECT status FROM jobs").fetchone()
        return name, dict(db.execute("SELECT state, COUNT(*) FROM objects GROUP BY state").fetchall())


async def soak(served: Served, crowd: Crowd, options: argparse.Namespace) -> None:
    """Let the crowd work to the job's end, and kill the service on the way."""
    total = options.objects * options.answers
    moments = [total * (turn + 1) // (options.kills + 1) for turn in range(options.kills)]
    tasks = [asyncio.create_task(crowd.work(n, lambda word: {"word": word})) for n in range(options.workers)]
    deadline = time.monotonic() + options.seconds
    while time.monotonic() < deadline:
        if moments and len(crowd.acknowledged) >= moments[0]:
            moments.pop(0)
            served.kill()
            await asyncio.to_thread(served.start)
            print(f"killed at {len(crowd.acknowledged):,} of {total:,} answers", file=sys.stderr)
        if status(served)[0] in ("Completed", "Failed"):
            break
        for task in tasks:
            if task.done():
                task.result()
        await asyncio.sleep(0.05 if total < 1000 else 0.5)
    crowd.done = True
    await asyncio.gather(*tasks)


def checks(served: Served, crowd: Crowd, s3: Any, options: argparse.Namespace) -> dict[str, bool]:
    """Hold what was acknowledged, the state, and the files against each other."""
    with contextlib.closing(sqlite3.connect(f"{served.state}/gandt.sqlite")) as db:
        rows = db.execute("SELECT lease, number, worker, content FROM answers").fetchall()
    kept = {lease: json.loads(content)["word"] for lease, _, _, content in rows}
    by_object: dict[str, list[list[str]]] = collections.defaultdict(list)
    for _, number, worker, content in rows:
        by_object[str(number)].append([worker, json.loads(content)["word"]])
    root = f"s3://{BUCKET}/out/{JOB}"
    lines = storage.read_text(f"{root}/manifests/output/output.manifest", s3=s3).splitlines()
    labels = {str(number): json.loads(line).get(JOB) for number, line in enumerate(lines)}
    files = list(storage.list_uris(f"{root}/annotations/worker-response/", s3=s3))
    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(lambda uri: storage.read_text(uri, s3=s3), files))
    responses = {
        uri.split("/")[-2]: sorted(
            [each["workerId"], each["answerContent"]["word"]] for each in json.loads(text)["answers"]
        )
        for uri, text in zip(files, texts, strict=True)
    }
    state = {number: sorted(given) for number, given in by_object.items()}
    return {
        "the job is completed": status(served)[0] == "Completed",
        "no acknowledged answer is lost, none changed": all(kept.get(k) == v for k, v in crowd.acknowledged.items()),
        "none is there twice, or unasked": len(rows) == len(kept) == options.objects * options.answers,
        "every object has answers of so many distinct workers": len(by_object) == options.objects
        and all(len({worker for worker, _ in given}) == len(given) == options.answers for given in by_object.values()),
        "the output manifest equals the state": labels == state,
        "the worker responses equal the state": responses == state and len(files) == options.objects,
    }


async def measure(served: Served, crowd: Crowd, options: argparse.Namespace) -> dict[str, float]:
    """Let the crowd work for a while on a job that is fully prepared; return the service's own use of the processor."""
    crowd.measuring = False
    answer = {f"labels-{index}": '["cat"]' for index in range(12)}
    tasks = [asyncio.create_task(crowd.work(n, lambda word: {**answer, "word": word})) for n in range(options.workers)]
    while status(served)[1].get("drawn", 0) or status(served)[1].get("waiting", 0):
        await asyncio.sleep(0.5)
    await asyncio.sleep(3)
    before, cpu, crowd.measuring = len(crowd.acknowledged), served.seconds(), True
    begun = time.monotonic()
    await asyncio.sleep(options.seconds)
    crowd.measuring = False
    used, span = served.seconds() - cpu, time.monotonic() - begun
    count = len(crowd.acknowledged) - before
    crowd.done = True
    await asyncio.gather(*tasks)
    return {
        "answers per second": round(count / span, 1),
        "CPU ms per answer (hand-out, page, submit)": round(1000 * used / max(1, count), 2),
        "share of one core": round(used / span, 3),
    }


def main() -> int:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("soak", "latency"))
    parser.add_argument("--workers", type=int)
    parser.add_argument("--objects", type=int)
    parser.add_argument("--answers", type=int, default=3, help="per object")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--think", type=float, help="seconds that a worker takes for a page, on average")
    parser.add_argument("--seconds", type=float, help="how long to measure, or the soak's most")
    options = parser.parse_args()
    soaking = options.what == "soak"
    defaults = (200, 5000, 0.5, 1800.0) if soaking else (100, 1500, 2.0, 40.0)
    for name, value in zip(("workers", "objects", "think", "seconds"), defaults, strict=True):
        if getattr(options, name) is None:
            setattr(options, name, value)
    result: dict[str, Any] = {"run": options.what, **vars(options)}
    with tempfile.TemporaryDirectory() as folder, an_s3() as (s3, environment):
        post = Path(folder) / "consolidate.py"
        post.write_text(CONSOLIDATE)
        functions = {"post": str(post), "pre": str(resources.folder("lambdas") / "pre_annotation" / "handler.py")}
        served = Served(Path(folder), environment, functions)
        served.start()
        begun = time.monotonic()
        try:
            crowd = Crowd(served, create(served, s3, options, pages=not soaking), options.think, seed=0)
            if soaking:
                asyncio.run(soak(served, crowd, options))
                result["checks"] = checks(served, crowd, s3, options)
            else:
                result.update(asyncio.run(measure(served, crowd, options)))
        finally:
            served.kill(signal.SIGTERM)
        result["seconds taken"] = round(time.monotonic() - begun, 1)
        result["acknowledged"], result["refused"] = len(crowd.acknowledged), dict(crowd.refused)
    result["load"] = round(os.getloadavg()[0], 1)
    result["waits in ms"] = {
        what: {
            "count": len(waits), "median": round(1000 * statistics.median(waits), 1),
            "p99": round(1000 * sorted(waits)[int(len(waits) * 0.99)], 1),
        }
        for what, waits in crowd.waits.items()
        if waits
    }  # fmt: skip
    print(json.dumps(result, indent=1))
    return 0 if all(result.get("checks", {}).values()) else 1


if __name__ == "__main__":
    sys.exit(main())
