"""Objects per second of `gandt manifest upload`, against a plain boto3 loop and the same server.

    python benchmarks/upload.py [--objects 600] [--latency-ms 0 30 100]

The server is a process of its own that speaks as much of S3's protocol as uploading needs, keeps what it is sent, and
answers after a fixed latency, as a distant S3 does (AWS speaks of 100 to 200 ms for small objects:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html). Afterwards every object is compared.
"""

import argparse
import asyncio
import io
import multiprocessing
import os
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from PIL import Image


async def serve(ready: Any, latency: float) -> None:
    stored: dict[str, bytes] = {}

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                method, target, _ = line.decode().split()
                headers = {}
                while (header := await reader.readline()) not in (b"\r\n", b""):
                    name, _, value = header.decode().partition(":")
                    headers[name.lower()] = value.strip()
                if headers.get("expect", "").lower() == "100-continue":
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                await asyncio.sleep(latency)
                url = urlsplit(target)
                path = unquote(url.path)
                answer = b""
                if method == "PUT":
                    stored[path] = body
                elif "list-type" in parse_qs(url.query):
                    answer = listing(stored, path, parse_qs(url.query))
                else:
                    answer = stored.get(path, b"")
                writer.write(f'HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: {len(answer)}\r\n\r\n'.encode() + answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, limit=1 << 22)
    ready.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def listing(stored: dict[str, bytes], path: str, query: dict[str, list[str]]) -> bytes:
    root = path.rstrip("/") + "/"
    keys = sorted(key.removeprefix(root) for key in stored if key.startswith(root + query.get("prefix", [""])[0]))
    after = query.get("continuation-token", [""])[0]
    keys = [key for key in keys if key > after]
    page, more = keys[:1000], len(keys) > 1000
    entries = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in page)
    token = f"<NextContinuationToken>{page[-1]}</NextContinuationToken>" if more else ""
    text = f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}"
    return f"<ListBucketResult>{text}</ListBucketResult>".encode()


def server_process(ready: Any, latency: float) -> None:
    asyncio.run(serve(ready, latency))


def pictures(folder: Path, count: int) -> list[str]:
    rng = np.random.default_rng(0)
    base = np.add.outer(np.arange(256), np.arange(256))[..., None] // 2 + np.zeros(3)
    paths = []
    for number in range(count):
        noisy = np.clip(base + rng.normal(0, 12, base.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{number:05}.jpg", quality=85)
        paths.append(str(folder / f"{number:05}.jpg"))
    return paths


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--objects", type=int, default=600)
    options.add_argument("--latency-ms", type=float, nargs="+", default=[0.0, 30.0, 100.0])
    given = options.parse_args()
    os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    from gandt.manifest import upload
    from gandt.storage import s3_client

    with tempfile.TemporaryDirectory() as folder:
        paths = pictures(Path(folder), given.objects)
        size = sum(Path(path).stat().st_size for path in paths) / len(paths)
        print(f"{len(paths):,} JPEGs of {size / 1000:.0f} kB, {os.cpu_count()} cores; objects per second")
        print(f"{'latency':>10} {'plain loop':>12} {'gandt':>8} {'times':>7} {'run again':>10}")
        for latency in given.latency_ms:
            ours, theirs = multiprocessing.Pipe()
            process = multiprocessing.Process(target=server_process, args=(theirs, latency / 1000), daemon=True)
            process.start()
            s3 = s3_client(f"http://127.0.0.1:{ours.recv()}")
            s3.put_object(Bucket="bucket", Key="warm", Body=b"")

            few = paths if latency < 50 else paths[: max(len(paths) // 4, 50)]  # the loop is slow enough to measure
            start = time.perf_counter()
            for path in few:
                s3.put_object(Bucket="bucket", Key=f"plain/{Path(path).name}", Body=Path(path).read_bytes())
            plain = len(few) / (time.perf_counter() - start)

            start = time.perf_counter()
            done = upload(paths, "s3://bucket/pool", s3=s3)
            quick = len(paths) / (time.perf_counter() - start)
            start = time.perf_counter()
            again = upload(paths, "s3://bucket/pool", s3=s3)
            rerun = len(paths) / (time.perf_counter() - start)
            assert (done.sent, again.sent, again.already) == (len(paths), 0, len(paths))
            for path, uri in done.uris.items():
                held = io.BytesIO(s3.get_object(Bucket="bucket", Key=uri.removeprefix("s3://bucket/"))["Body"].read())
                assert held.getvalue() == Path(path).read_bytes()
            print(f"{latency:>7.0f} ms {plain:>12,.0f} {quick:>8,.0f} {quick / plain:>6.1f}x {rerun:>10,.0f}")
            process.terminate()
            process.join()


if __name__ == "__main__":
    main()
