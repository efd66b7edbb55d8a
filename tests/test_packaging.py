"""The package as strangers get it: a wheel that runs anywhere, a quick command line, a curated public surface."""

import importlib
import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

import gandt

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of what git tracks, so that no leftover of a build gets in."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is no git checkout, so what belongs into the wheel can't be told")
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return next(target.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_runs_the_demo_in_an_empty_environment_from_any_folder(wheel: Path, tmp_path: Path) -> None:
    """In CI everything comes from the registry; elsewhere the dependencies are borrowed, so that the test is quick."""
    home, anywhere = tmp_path / "venv", tmp_path / "any folder"
    anywhere.mkdir()
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    if os.environ.get("CI"):
        what = [f"{wheel}[local]", "-c", str(ROOT / "constraints.txt")]
    else:
        what = ["--no-deps", str(wheel)]
        site = sysconfig.get_paths(vars={"base": str(home), "platbase": str(home)})["purelib"]
        # a plain path: pip's own .pth files in there, such as gandt's checkout, stay unread
        Path(site, "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *what], check=True, capture_output=True)

    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "AWS"))}
    where = subprocess.run(
        [python, "-c", "import gandt; print(gandt.__file__)"],
        cwd=anywhere,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert str(home) in where.stdout
    command = [home / "bin" / "gandt", "demo", "--json"]
    done = subprocess.run(command, cwd=anywhere, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed["items"] == 1797 - 36
    assert printed["accuracy"] > 0.9
    assert printed["judgements"] < 0.75 * printed["judgements_all"]
    assert Path(printed["report"]).parent == anywhere / "gandt-demo"


def test_the_public_surface_is_what_is_meant() -> None:
    assert set(gandt.__all__) == {*gandt._PUBLIC, "__version__"}
    for name in gandt.__all__:
        assert getattr(gandt, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = gandt.nonsense
    for name, module in gandt._PUBLIC.items():
        assert getattr(importlib.import_module(module), name).__doc__


def test_importing_gandt_and_its_command_line_loads_nothing_heavy() -> None:
    heavy = ["PIL", "boto3", "botocore", "liquid", "moto", "numpy", "onnx", "onnxruntime", "pandas", "pyarrow", "scipy"]
    heavy += ["sklearn", "torch"]
    code = (
        "import sys, gandt, gandt.cli; sys.argv = ['gandt', '--help']\n"
        "try: gandt.cli.main()\n"
        "except SystemExit: pass\n"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "[]"
    for command in (
        "demo",
        "report",
        "embed",
        "filter",
        "manifest",
        "template",
        "answers",
        "consensus",
        "workers",
        "serve",
    ):
        assert command in done.stdout


def test_every_command_has_help_with_an_example_and_json(tmp_path: Path) -> None:
    import typer
    from typer.main import get_command

    from gandt.cli import (  # noqa: F401
        answers,
        app,
        aws,
        cluster,
        consensus,
        demo,
        deploy,
        embedding,
        folders,
        job,
        manifest,
        past,
        processing,
        rounds,
        select,
        serve,
        template,
    )

    def walk(command, name):
        if hasattr(command, "commands"):
            for each, child in command.commands.items():
                yield from walk(child, f"{name} {each}")
        else:
            yield name, command

    root = get_command(app)
    assert isinstance(app, typer.Typer)
    for name, command in walk(root, "gandt"):
        assert "Example" in (command.help or ""), f"{name} has no example in its help"
        options = {option for parameter in command.params for option in parameter.opts}
        assert "--json" in options, f"{name} has no --json"


def test_rooms_only_look_down() -> None:
    """No module imports from a floor above its own; see docs/architecture.md."""
    floors = [
        ["text"],
        ["errors", "resources", "progress"],
        ["arguments"],
        ["aws", "categories", "walk"],
        ["names"],
        ["storage"],
        ["tables"],
        ["images", "templates"],
        ["embedding"],
        ["manifest"],
        ["answers"],
        ["candidates", "consensus"],
        ["export"],
        ["cost"],
        ["jobs"],
        ["processing"],
        ["deploy"],
        ["service"],
        ["report"],
        ["demo"],
        ["rounds"],
        ["folders"],
        ["cli"],
    ]
    level = {room: number for number, floor in enumerate(floors) for room in floor}
    package = ROOT / "gandt"
    for path in package.rglob("*.py"):
        room = path.relative_to(package).parts[0].removesuffix(".py")
        if room in ("__init__", "shipped"):
            continue
        assert room in level, (
            f"{path.relative_to(ROOT)} stands on no floor; add its room here and to docs/architecture.md"
        )
        for line in path.read_text().splitlines():
            words = line.split()
            if words[:1] not in (["from"], ["import"]) or len(words) < 2 or not words[1].startswith("gandt"):
                continue
            names = [words[1].split(".")[1]] if "." in words[1] else [word.strip(",()") for word in words[3:]]
            for name in names:
                other = name.split(".")[0]
                if other in level and other != room:
                    assert level[other] < level[room], f"{path.relative_to(ROOT)}: {line.strip()} looks up or sideways"
