"""How quick embedding is, from file to vector, beside a plain torch DataLoader; and what sudden deaths cost.

::

    python benchmarks/embed.py rate ../shared/data/clothing               # as the files are
    python benchmarks/embed.py rate ../shared/data/clothing --megapixels 12 --images 150
    python benchmarks/embed.py kill --images 50000                        # three kill -9, and the memory used
    python benchmarks/embed.py gpu ../shared/data/clothing                # on a CUDA device

``rate`` measures each part alone in one thread (seconds of CPU, so that a busy machine disturbs it less) and on all
cores at once, computes from it what the cores could do if reading, decoding and the model overlapped perfectly, and
compares.
"""

import argparse
import importlib.util
import io
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gandt import EmbeddingStore, embed
from gandt.embedding import check, fingerprint, lite, models, runtimes
from gandt.images import decode

CORES = len(os.sched_getaffinity(0))


def enlarged(source: Path, target: Path, megapixels: float, count: int) -> Path:
    """Write ``count`` of the photographs at ``megapixels``, as cameras do."""
    target.mkdir()
    for number, path in enumerate(sorted(source.rglob("*.jpg"))[:count]):
        image = Image.open(path).convert("RGB")
        factor = (megapixels * 1e6 / (image.width * image.height)) ** 0.5
        image = image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC)
        image.save(target / f"{number:05}.jpg", quality=88)
    return target


def cpu_seconds(work: Callable[[Any], Any], things: list[Any]) -> float:
    """CPU seconds per thing in this thread, the better of two runs over all of them."""
    best = float("inf")
    for _ in range(2):
        start = time.thread_time()
        for thing in things:
            work(thing)
        best = min(best, (time.thread_time() - start) / len(things))
    return best


def crowded(work: Callable[[Any], Any], things: list[Any]) -> float:
    """Seconds per thing in a thread while every core does the same: they share memory, caches and heat."""

    def once(_: int) -> float:
        start = time.perf_counter()
        for thing in things:
            work(thing)
        return (time.perf_counter() - start) / len(things)

    with ThreadPoolExecutor(CORES) as pool:
        return min(max(pool.map(once, range(CORES))) for _ in range(2))


def plain_torch(files: list[Path], threads: int) -> tuple[float, float]:
    """Images per second, on the clock and of CPU time, of what one writes first: a DataLoader and an eager model."""
    import torch

    class Photographs(torch.utils.data.Dataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return len(files)

        def __getitem__(self, number: int) -> Any:
            image = Image.open(files[number]).convert("RGB")
            scale = 256 / min(image.size)
            image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
            left, top = (image.width - 224) // 2, (image.height - 224) // 2
            pixels = np.array(image.crop((left, top, left + 224, top + 224)), np.float32)
            return torch.from_numpy((pixels / 255 - 0.5) / 0.5).permute(2, 0, 1)

    module = _unfolded(lite.weights_file("lite0").read_bytes())
    torch.set_num_threads(threads)
    start, before = time.perf_counter(), os.times()
    with torch.inference_mode():
        for batch in torch.utils.data.DataLoader(Photographs(), batch_size=32, num_workers=CORES):
            module(batch)
    after = os.times()
    cpu = sum(after[:4]) - sum(before[:4])  # of this process and of the workers that have ended
    return len(files) / (time.perf_counter() - start), len(files) / cpu


def _unfolded(content: bytes) -> Any:
    """Return the network as one defines it for training: batch norm and ReLU6 as modules of their own."""
    import torch
    from torch import nn

    layers: list[Any] = []
    side = 224

    class Skip(nn.Module):  # type: ignore[misc]
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, value: Any) -> Any:
            return value + self.inner(value)

    for block in lite.blocks(content, "lite0"):
        parts: list[Any] = []
        for conv in block.convs:
            out, per_group, kernel, _ = conv.weight.shape
            before, after = conv.padding(side)
            parts.append(nn.ZeroPad2d((before, after, before, after)))
            parts.append(nn.Conv2d(per_group * conv.groups, out, kernel, conv.stride, groups=conv.groups, bias=False))
            parts += [nn.BatchNorm2d(out), *([nn.ReLU6()] if conv.relu else [])]
            side = -(-side // conv.stride)
        layers.append(Skip(nn.Sequential(*parts)) if block.skip else nn.Sequential(*parts))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval().to(torch.float32)


def rate(folder: str, megapixels: float, images: int) -> None:
    with tempfile.TemporaryDirectory() as work:
        source = Path(folder)
        if megapixels:
            source = enlarged(source, Path(work) / "photographs", megapixels, images)
        files = sorted(source.rglob("*.jpg"))
        sizes = [path.stat().st_size for path in files]
        print(
            f"{len(files)} photographs of {np.mean(sizes) / 1e3:,.0f} kB, {CORES} cores, load {os.getloadavg()[0]:.1f}"
        )
        rows: list[dict[str, Any]] = []
        if importlib.util.find_spec("torch"):
            reached = max(plain_torch(files[:300], CORES)[0] for _ in range(2))
            # with one thread nothing spins: what the cores could do at most if all of it overlapped perfectly
            at_most = CORES * max(plain_torch(files[:150], 1)[1] for _ in range(2))
            row = {"what": "torch DataLoader, eager fp32", "images/s": reached}
            rows.append(row | {"cores x images per CPU s": at_most})
        else:
            print("torch isn't installed: no peer to compare with\n")
        some = [path.read_bytes() for path in files[:: max(1, len(files) // 200)]]
        for precision in ("fp32", "int8", "bf16"):
            if precision == "bf16" and not importlib.util.find_spec("openvino"):
                continue
            network = models.load("lite0", precision=precision, device="cpu")
            pixels = [decode(content, network.preprocessing).pixels[None] for content in some]
            network.run(pixels[0])
            decoding = cpu_seconds(lambda content, network=network: decode(content, network.preprocessing), some)
            # OpenVINO runs in threads of its own: its seconds are the process's
            running = _process_seconds(network.run, pixels) if precision == "bf16" else cpu_seconds(network.run, pixels)
            ideal = CORES / (decoding + running)
            together = CORES / (
                crowded(lambda content, network=network: decode(content, network.preprocessing), some)
                + crowded(network.run, pixels)
            )
            runs = []
            for number in range(3):
                run = embed(str(source), f"{work}/{precision}{number}", precision=precision, device="cpu").run
                runs.append(run)
            best = min(runs, key=lambda run: run.seconds)
            reached = best.embedded / best.seconds
            idle = CORES * max(run.embedded / run.cpu_seconds for run in runs)
            row = {"what": f"gandt lite0 {precision}", "images/s": reached, "decode ms": decoding * 1e3}
            row |= {"model ms": running * 1e3, "perfect overlap": ideal, "of it reached": reached / ideal}
            row |= {"perfect overlap, all cores at once": together, "of that reached": reached / together}
            # what a busy machine doesn't disturb: images per CPU second of the whole process
            row |= {"cores x images per CPU s": idle, "of perfect": idle / ideal}
            if rows and rows[0]["what"].startswith("torch"):
                row["times torch"] = reached / rows[0]["images/s"]
                row["times torch, per CPU s"] = idle / rows[0]["cores x images per CPU s"]
            rows.append(row)
            print(f"{precision}: {best.bottleneck()}")
        print()
        show(rows)


def _process_seconds(work: Callable[[Any], Any], things: list[Any]) -> float:
    start = time.process_time()
    for thing in things:
        work(thing)
    return (time.process_time() - start) / len(things)


def show(rows: list[dict[str, Any]]) -> None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for row in rows:
        cells = [row.get(column, "") for column in columns]
        print("| " + " | ".join(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells) + " |")


def generated(folder: Path, count: int) -> None:
    """Write ``count`` different small JPEGs, a hundredth of them damaged."""
    rng = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"{number // 1000:03}" / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        pixels = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((80, 60)).save(buffer, "JPEG", quality=80)
        content = buffer.getvalue()
        path.write_bytes(content[: len(content) // 2] if number % 100 == 50 else content)


def colours(path: Path) -> str:
    """Write a network that costs nothing, the mean colours of a grid, for when only the store is in question."""
    from onnx import TensorProto, helper

    entry = helper.make_tensor_value_info("in", TensorProto.UINT8, ["n", 32, 32, 3])
    nodes = [
        helper.make_node("Cast", ["in"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["grid"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Flatten", ["grid"], ["out"]),
    ]
    result = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 192])
    graph = helper.make_graph(nodes, "colours", [entry], [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return f"onnx:{path}"


def kill(images: int, precision: str, model: str) -> None:
    """Embed a pool undisturbed and again with three kill -9; the stores must be equal, file by file."""
    with tempfile.TemporaryDirectory() as work:
        pool = Path(work) / "pool"
        generated(pool, images)
        model = colours(Path(work) / "colours.onnx") if model == "colours" else model
        precision = "fp32" if model.startswith("onnx:") else precision
        command = [sys.executable, __file__, "one", str(pool), "--precision", precision, "--model", model]
        start = time.perf_counter()
        subprocess.run([*command, "--store", f"{work}/undisturbed"], check=True)
        print(f"undisturbed: {time.perf_counter() - start:.0f} s")
        killed, parts = Path(work) / "killed", -(-images // 1024)
        for share in (0.2, 0.45, 0.8):
            process = subprocess.Popen([*command, "--store", str(killed)])
            while len(list(killed.glob("items-*.parquet"))) < share * parts and process.poll() is None:
                time.sleep(0.01)
            assert process.poll() is None, "the process ended before it could be killed"
            process.send_signal(signal.SIGKILL)
            process.wait()
            items = EmbeddingStore.open(str(killed)).items
            print(f"killed with {len(items):,} items in the store, problems: {check(str(killed)) or 'none'}")
        subprocess.run([*command, "--store", str(killed)], check=True)
        files = [
            {
                path.name: path.read_bytes()
                for path in Path(folder).iterdir()
                if path.suffix in (".npy", ".parquet", ".json")
            }
            for folder in (f"{work}/undisturbed", killed)
        ]
        assert files[0] == files[1], "the stores differ"
        store = EmbeddingStore.open(str(killed))
        assert check(str(killed), source=str(pool)) == []
        bad = int((store.items["status"] == "set aside").sum())
        print(f"identical after three kill -9: {len(files[0])} files, {len(store.items):,} items, {bad:,} set aside")
        print(f"fingerprint {fingerprint(store)}")


def one(folder: str, store: str, precision: str, model: str) -> None:
    run = embed(folder, store, model=model, precision=precision, device="cpu").run
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    rate = run.embedded / run.seconds if run.seconds else 0.0
    print(
        f"embedded {run.embedded:,} of {run.listed:,} ({run.known:,} known) at {rate:.0f}/s, peak memory {peak:.2f} GiB"
    )


def gpu(folder: str, precisions: tuple[str, ...] = ("fp32", "bf16")) -> None:
    """End to end against the model alone on tensors in the GPU's memory."""
    import torch

    rows = []
    for precision in precisions:
        network = lite.torch_module(lite.blocks(lite.weights_file("lite0").read_bytes(), "lite0"), 224)
        module = torch.compile(network.eval().cuda().to(memory_format=torch.channels_last))
        pixels = torch.randint(0, 256, (runtimes.GPU_BATCH, 224, 224, 3), dtype=torch.uint8, device="cuda")
        with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16"):
            for _ in range(5):
                module(pixels)
            torch.cuda.synchronize()
            start = time.perf_counter()
            for _ in range(50):
                module(pixels)
            torch.cuda.synchronize()
        alone = 50 * len(pixels) / (time.perf_counter() - start)
        with tempfile.TemporaryDirectory() as work:
            embed(folder, f"{work}/warm", precision=precision, device="cuda")
            run = embed(folder, f"{work}/store", precision=precision, device="cuda").run
        reached = run.embedded / run.seconds
        rows.append({"what": precision, "images/s": reached, "model alone": alone, "share": reached / alone})
        print(run.bottleneck())
    show(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("rate", "one", "gpu"):
        commands.add_parser(name).add_argument("folder")
    commands.choices["rate"].add_argument("--megapixels", type=float, default=0.0)
    commands.choices["rate"].add_argument("--images", type=int, default=150)
    commands.add_parser("kill").add_argument("--images", type=int, default=50_000)
    commands.choices["one"].add_argument("--store", required=True)
    for name in ("one", "kill"):
        commands.choices[name].add_argument("--precision", default="int8")
        commands.choices[name].add_argument("--model", default="lite0", help="or colours: a network that costs nothing")
    options = vars(parser.parse_args())
    globals()[options.pop("command")](**options)


if __name__ == "__main__":
    main()
