"""The soak of benchmarks/service.py in small: a dozen workers over HTTP, two sudden deaths, every check."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "service.py"


@pytest.mark.slow
def test_nothing_is_lost_when_the_service_is_killed_while_many_work() -> None:
    options = {"workers": 12, "objects": 30, "answers": 3, "kills": 2, "think": 0.02, "seconds": 90}
    command = [sys.executable, str(BENCHMARK), "soak"]
    command += [f"--{name}={value}" for name, value in options.items()]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=150, env=dict(os.environ), check=False)
    result = json.loads(ran.stdout)
    assert all(result["checks"].values()), result
    assert (result["acknowledged"], result["refused"], ran.returncode) == (90, {}, 0)
    assert ran.stderr.count("killed at") == 2
