"""``python -m gandt.processing SOURCE STORE``: the program inside the container, on every machine of the job.

It takes the machine's number from SageMaker's ``resourceconfig.json`` or AWS Batch's array index, leaves one sentence
at ``/opt/ml/output/message`` (SageMaker shows it as ExitMessage) and exits 0 only when its part is done.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gandt.errors import GandtError
from gandt.text import visible

# SageMaker shows that much, in bytes; several containers' messages share it
MESSAGE = 1024


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line; the options are those of ``gandt embed`` and ``gandt filter``."""
    parser = argparse.ArgumentParser(prog="python -m gandt.processing", description="Embed a pool on many machines.")
    parser.add_argument("source")
    parser.add_argument("store")
    for name in ("model", "precision", "device", "dtype", "column", "rule"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seeds", action="append", default=[])
    parser.add_argument("--candidates", default="")
    for name in ("recall", "keep", "explore"):
        parser.add_argument(f"--{name}", type=float)
    parser.add_argument("--seed", type=int)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one machine's part; return the exit code."""
    ml = os.environ.get("GANDT_ML", "/opt/ml")
    options = parse(sys.argv[1:] if arguments is None else arguments)

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    who = "this machine"
    try:
        from gandt.processing.fleet import Member, Work, work

        member = Member.find(ml)
        who = f"shard {member.number}/{member.of}"
        given = vars(options)

        def some(*names: str) -> dict[str, Any]:
            return {name: given[name] for name in names if given[name] is not None}

        task = Work(
            options.source,
            options.store,
            tuple(options.seeds),
            options.candidates,
            some("model", "precision", "device", "dtype", "threads", "column"),
            some("rule", "recall", "keep", "explore", "seed"),
        )
        scratch = Path(ml) / "processing"
        facts = work(task, member, scratch=str(scratch) if scratch.is_dir() else None)
    except KeyboardInterrupt:
        return _end(ml, f"{who} was stopped; its finished parts are kept, and the same job goes on from them", 130)
    except GandtError as error:
        return _end(ml, f"{who} failed: {error}", 1)
    except MemoryError:
        return _end(ml, f"{who} ran out of memory; take a larger instance, and the same job goes on", 1)
    except Exception as error:
        _end(ml, f"{who} failed: {type(error).__name__}: {error} (a mistake in gandt; its log has the traceback)", 1)
        raise
    print(json.dumps(facts), flush=True)
    done = f"{who}: {facts['items']:,} items, {facts['embedded']:,} embedded, {facts['set_aside']:,} set aside"
    return _end(ml, f"{done}; merged {facts['total']:,}" if facts["merged"] else done, 0)


def _end(ml: str, message: str, code: int) -> int:
    print(visible(message), file=sys.stderr, flush=True)
    place = Path(ml) / "output" / "message"
    text = message.encode("utf-8", "replace")[:MESSAGE].decode("utf-8", "ignore")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    except OSError:  # outside SageMaker nobody reads it
        pass
    return code


if __name__ == "__main__":
    sys.exit(main())
