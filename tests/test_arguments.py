"""A wrong argument from Python is one sentence, whichever function and whichever parameter."""

import importlib
import inspect
import io
import itertools
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import boto3
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from botocore.awsrequest import AWSRequest, AWSResponse
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pooled import make_store

import gandt
from gandt import tables
from gandt.arguments import checked
from gandt.embedding import EmbeddingStore
from gandt.errors import GandtError, InputError

# rooms whose __all__ is public; of these and of gandt itself every function is called with wrong arguments
ROOMS = ("answers", "candidates", "candidates.clusters", "consensus", "embedding", "jobs", "manifest", "processing")
ROOMS += ("report", "templates", "demo")
# named in the documentation, though in no __all__
MORE = {
    "gandt.candidates.seeds": ("read_seeds", "with_seeds"),
    "gandt.consensus.classifier": ("out_of_sample",),
    "gandt.consensus.redundancy": ("next_round", "next_manifest", "replay"),
    "gandt.consensus.workers": ("confusion", "evidence", "to_exclude"),
    "gandt.cost": ("actual", "plan", "read_plan", "read_prices"),
    "gandt.rounds.config": ("parse_config", "read_config"),
    "gandt.rounds.generalize": ("choose_threshold", "generalize"),
    "gandt.rounds.given": ("read_vectors", "store_vectors", "table_vectors"),
    "gandt.rounds.loop": ("run",),
    "gandt.rounds.select": ("select", "select_answers"),
}


class Elsewhere:
    """No boto3 client."""


WRONG: dict[str, Any] = {
    "None": None,
    "int": 7,
    "float": 0.5,
    "bool": True,
    "text": "no such thing",
    "bytes": b"bytes",
    "object": Elsewhere(),
    "function": lambda *_, **__: "x",
    "list of texts": ["x"],
    "list of objects": [Elsewhere()],
    "list of numbers": [1.5],
    "empty list": [],
    "mapping": {"x": "y"},
    "mapping of objects": {"x": Elsewhere()},
    "set": {"x"},
    "table": pd.DataFrame({"x": [1]}),
    "empty table": pd.DataFrame(),
    "column": pd.Series(["x"], index=[5]),
    "array": np.zeros((2, 2)),
    "array of objects": np.array([Elsewhere()], dtype=object),
    "path": Path("no such path"),
}


def public() -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {}
    for room in ("", *ROOMS):
        module = importlib.import_module(f"gandt.{room}".rstrip("."))
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isfunction(value):
                found[f"{value.__module__}.{name}"] = value
    for module_name, names in MORE.items():
        found |= {f"{module_name}.{name}": getattr(importlib.import_module(module_name), name) for name in names}
    return found


PUBLIC = public()


def test_every_public_function_checks_its_arguments() -> None:
    assert {"gandt.embedding.pipeline.embed", "gandt.consensus.consolidate.consolidate"} <= PUBLIC.keys()
    assert len(PUBLIC) > 60
    bare = [
        name for name, function in PUBLIC.items() if not hasattr(function, "__wrapped__") and signature_of(function)
    ]
    assert not bare, f"put @checked (gandt/arguments.py) before {', '.join(bare)}"


def signature_of(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function).parameters)


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Callable[[], dict[str, Any]]]:
    """Return for each public function arguments that it takes, made anew for each call."""
    folder = tmp_path_factory.mktemp("arguments")
    numbers = itertools.count()

    def new(suffix: str = "") -> str:
        return str(folder / f"new-{next(numbers)}{suffix}")

    (folder / "images").mkdir()
    Image.new("RGB", (8, 8), (80, 0, 0)).save(folder / "images" / "0.png")
    store, kind = make_store(folder / "store", kinds=2, each=8)
    items = list(kind)
    seeds = {"0": items[0:4:2], "1": items[1:4:2]}
    answers = pd.DataFrame([(item, who, kind[item]) for item in items for who in ("a", "b", "c")])
    answers.columns = pd.Index(["item", "worker", "label"])
    consensus = gandt.consolidate(answers)
    labels = dict(list(kind.items())[:6])
    known = pd.DataFrame({"item": list(kind), "label": list(kind.values())})
    tables.write_table(known, str(folder / "known.csv"))
    tables.write_table(known.tail(4), str(folder / "gold.csv"))
    tables.write_table(pd.DataFrame({"left": ["a.png"], "right": ["b.png"]}), str(folder / "pairs.csv"))
    manifest = str(folder / "made.manifest")
    gandt.build_manifest(["s3://bucket/a.png"], categories=["cat", "dog"]).write(manifest)
    (folder / "job.manifest").write_text('{"source-ref": "s3://b/a.png", "l": 0, "l-metadata": {"class-name": "x"}}\n')
    (folder / "prices.json").write_text("{}")
    (folder / "task.json").write_text('{"input": {}}')
    cost = importlib.import_module("gandt.cost").plan(10)
    (folder / "plan.json").write_text(json.dumps(cost.as_dict()))
    ask = f"{{with: simulated, truth: {folder}/known.csv, crowd: 3}}"
    text = f"store: {folder}/store\nrun: RUN\nclasses: ['0', '1']\ngold: {folder}/gold.csv\nchoose: {{n: 2}}\n"
    text += f"ask: {ask}\nstop: {{rounds: 1}}\n"
    (folder / "run.yaml").write_text(text.replace("RUN", new()))
    ran = importlib.import_module("gandt.rounds.config").parse_config(text.replace("RUN", new()))
    loop = importlib.import_module("gandt.rounds.loop")
    loop.run(ran)
    aws = {"sagemaker": answering("sagemaker", "ResourceNotFound"), "s3": answering("s3", "NoSuchKey")}
    request = {"name": "job", "manifest": "s3://b/m", "template": "s3://b/t", "output": "s3://b/o", "role": ROLE}
    request |= {"workteam": TEAM, "pre_lambda": LAMBDA, "post_lambda": LAMBDA}
    chances = pd.DataFrame({"item": items, "0": 0.4, "1": 0.6})
    vectors = np.asarray(store.vectors[:])
    near = gandt.candidates.representatives(store)
    page = {"task_input": {"items": []}, "template": "<p>{{ task.input.items }}</p>"}
    found: dict[str, Callable[[], dict[str, Any]]] = {
        "read_answers": lambda: {"output": manifest},
        "read_output": lambda: {"output": manifest},
        "carry_labels": lambda: {"labels": known, "stands_for": near},
        "representatives": lambda: {"store": store},
        "choose": lambda: {
            "how": "default",
            "probabilities": np.full((16, 2), 0.5),
            "embeddings": vectors,
            "n": 2,
            "rng": np.random.default_rng(0),
        },
        "strategy": lambda: {"name": "default"},
        "estimate_recall": lambda: {
            "candidates": known.assign(decision="keep"),
            "labels": kind,
            "wanted": ["0"],
        },
        "filter_by_similarity": lambda: {"store": store, "seeds": seeds},
        "find_duplicates": lambda: {"store": store},
        "rank_answers": lambda: {
            "answers": answers,
            "probabilities": chances,
            "labels": consensus.labels,
            "workers": consensus.workers,
        },
        "cluster": lambda: {"store": store},
        "consolidate": lambda: {"answers": answers},
        "consolidate_sets": lambda: {"answers": answers},
        "consolidate_with_vectors": lambda: {"answers": answers, "items": items, "vectors": vectors},
        "out_of_sample": lambda: {"vectors": vectors, "labels": list(kind.values())},
        "next_round": lambda: {"consensus": consensus},
        "next_manifest": lambda: {"plan": known.assign(decision="ask")},
        "replay": lambda: {"answers": answers, "truth": kind},
        "evidence": lambda: {"answers": answers, "consensus": consensus},
        "confusion": lambda: {"consensus": consensus, "worker": "a"},
        "to_exclude": lambda: {"workers": consensus.workers, "below": 0.5},
        "embed": lambda: {"source": str(folder / "images"), "store": new()},
        "fingerprint": lambda: {"store": store},
        "merge": lambda: {"stores": [str(folder / "store")], "out": new()},
        "gandt.embedding.gone.compare": lambda: {"store": store, "source": str(folder / "images")},
        "gandt.embedding.gone.prune": lambda: {
            "store": make_store(Path(new()), kinds=2, each=2)[0].path,
            "source": str(folder / "images"),
        },
        "gandt.embedding.gone.vanished": lambda: {"items": items},
        "gandt.embedding.gone.vanished_note": lambda: {"items": items, "what": "the items"},
        "gandt.manifest.sources.where_of": lambda: {"source": manifest},
        "gandt.embedding.merge.check": lambda: {"store": str(folder / "store")},
        "connect": lambda: {"endpoint": "http://127.0.0.1:9"},
        "s3_of": lambda: {"endpoint": "http://127.0.0.1:9"},
        "create": lambda: {"request": {}, "sagemaker": aws["sagemaker"]},
        "describe": lambda: {"name": "job", "sagemaker": aws["sagemaker"]},
        "list_jobs": lambda: {"sagemaker": aws["sagemaker"]},
        "portal": lambda: {"workteam": "friends", "sagemaker": aws["sagemaker"]},
        "stop": lambda: {"name": "job", "sagemaker": aws["sagemaker"]},
        "wait": lambda: {"name": "job", "connect": lambda: aws["sagemaker"], "sleep": lambda seconds: None},
        "build_request": lambda: request,
        "check_request": lambda: {"request": {}},
        "read_settings": lambda: {"texts": ["HumanTaskConfig.TaskTitle=x"]},
        "prepare": lambda: {**request, **aws},
        "build_manifest": lambda: {"items": ["s3://bucket/a.png"]},
        "build_pairs": lambda: {"pairs": pd.DataFrame({"left": ["a"], "right": ["b"]})},
        "check_manifest": lambda: {"uri": manifest},
        "extra_of": lambda: {"source": str(folder / "known.csv"), "columns": ["label"]},
        "items_of": lambda: {"source": str(folder / "known.csv")},
        "pairs_of": lambda: {"source": str(folder / "pairs.csv")},
        "read_labels": lambda: {"manifest": str(folder / "job.manifest")},
        "read_lines": lambda: {"uri": manifest},
        "set_cors": lambda: {"uri": "s3://bucket/x", "s3": aws["s3"]},
        "upload": lambda: {"items": [str(folder / "images" / "0.png")], "base": new(), "s3": aws["s3"]},
        "upload_images": lambda: {"items": [str(folder / "images" / "0.png")], "base": new(), "s3": aws["s3"]},
        "measure": lambda: {"folder": new()},
        "standalone": lambda: {"html": "<p>", "image_of": lambda address: None},
        "write_report": lambda: {"folder": new()},
        "gandt.templates.check.check": lambda: {"template": page["template"]},
        "header": lambda: {"template": page["template"]},
        "is_own": lambda: {"template": "image-grid"},
        "manifest_inputs": lambda: {"manifest": manifest},
        "pick_line": lambda: {"inputs": iter([(0, {})]), "line": 0, "manifest": manifest},
        "read": lambda: {"template": "image-grid"},
        "render": lambda: page,
        "sample_input": lambda: {"told": None},
        "signed": lambda: {"uri": str(folder / "images" / "0.png")},
        "task_file": lambda: {"path": str(folder / "task.json")},
        "read_seeds": lambda: {"sources": [str(folder / "known.csv")], "store": store},
        "with_seeds": lambda: {"store": store, "seeds": seeds},
        "actual": lambda: {"labels": consensus.labels, "answers": answers},
        "gandt.cost.plan": lambda: {"items": 10, "draws": 5},
        "read_plan": lambda: {"uri": str(folder / "plan.json")},
        "read_prices": lambda: {"uri": str(folder / "prices.json")},
        "parse_config": lambda: {"text": text},
        "read_config": lambda: {"path": str(folder / "run.yaml")},
        "choose_threshold": lambda: {"probability": np.ones(9), "right": np.ones(9, bool), "wanted": 0.5},
        "generalize": lambda: {"run": loop.Run(ran)},
        "read_vectors": lambda: {"uri": str(folder / "known.csv")},
        "store_vectors": lambda: {"items": ["a", "b"], "vectors": np.eye(2), "path": new()},
        "table_vectors": lambda: {"table": pd.DataFrame({"x": [1, 2]})},
        "run": lambda: {"config": ran},
        "select": lambda: {"store": store, "labels": labels, "n": 2},
        "select_answers": lambda: {"store": store, "answers": answers, "n": 2},
    }
    return found


ROLE, LAMBDA = "arn:aws:iam::000000000000:role/gandt", "arn:aws:lambda:us-east-1:000000000000:function:gandt-x"
TEAM = "arn:aws:sagemaker:us-east-1:000000000000:workteam/private-crowd/friends"


def answering(service: str, code: str) -> Any:
    """Return a boto3 client to which AWS answers every call by an error."""
    client = boto3.client(
        service, region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing"
    )
    body = {"sagemaker": json.dumps({"__type": code, "message": "none"}), "s3": f"<Error><Code>{code}</Code></Error>"}

    class Body(io.BytesIO):
        def stream(self, **_: object) -> Iterator[bytes]:
            yield self.read()

    def answer(request: AWSRequest, **_: object) -> AWSResponse:
        return AWSResponse(request.url, 404, {}, Body(body[service].encode()))

    client.meta.events.register(f"before-send.{service}", answer)
    return client


ELSEWHERE = ("run_demo", "work")  # what they are rightly given takes long; that they are checked is asked above


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in PUBLIC if name.rpartition(".")[2] not in ELSEWHERE])
def test_a_wrong_argument_is_one_sentence(
    name: str, right: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(variable, str(tmp_path / "none"))
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(variable, raising=False)
    function, short = PUBLIC[name], name.rpartition(".")[2]
    make = right.get(name) or right.get(short)
    if not signature_of(function):
        return
    assert make, f"say in this test what {name} is rightly given"
    if short not in NEVER_GOOD:
        take(function, make())
    bad = []
    for parameter, about in signature_of(function).items():
        if about.kind is inspect.Parameter.VAR_KEYWORD:
            continue
        usual = make().get(parameter, about.default)
        for what, value in WRONG.items():
            if what == "function" and callable(usual):
                continue
            given_ = {**make(), parameter: value}
            try:
                take(function, given_)
            except GandtError as error:
                assert str(error).strip(), f"{name}({parameter}={what})"
            except Exception as error:
                bad.append(f"{name}({parameter}: {what}): {type(error).__name__}: {str(error)[:100]}")
    assert not bad, "\n".join(bad)


# what these are given leads to an error, as there is nothing behind the addresses
NEVER_GOOD = ("create", "describe", "list_jobs", "stop", "wait", "check_request", "prepare", "set_cors", "measure")
NEVER_GOOD += (
    "write_report",
    "read_answers",
    "read_output",
    "read_settings",
    "upload",
    "upload_images",
    "task_file",
    "signed",
    "portal",
)


def take(function: Callable[..., Any], arguments: dict[str, Any]) -> None:
    found = function(**arguments)
    if inspect.isgenerator(found):
        list(found)


# ---------------------------------------------------------------------- the sentences


def test_the_sentence_names_parameter_wanted_and_given(tmp_path: Path) -> None:
    store, _ = make_store(tmp_path / "store", kinds=2, each=3)
    answers = pd.DataFrame({"item": ["a"], "worker": ["w"], "label": ["x"]})
    for call, sentence in (
        (lambda: gandt.embed("photos", "s", model=len), "embed: model must be str, not builtin_function_or_method"),
        (lambda: gandt.embed("photos", "s", threads="4"), "embed: threads must be int or None, not str"),
        (lambda: gandt.embed("photos", "s", strict="no"), "embed: strict must be bool, not str"),
        (
            lambda: gandt.filter_by_similarity(7, {}),
            "filter_by_similarity: store must be EmbeddingStore or its path, not int",
        ),
        (
            lambda: gandt.filter_by_similarity(store, {"cat": "a.jpg"}),
            "filter_by_similarity: seeds must be a mapping of str to a sequence of str, not dict with str",
        ),
        (lambda: gandt.consolidate([1, 2]), "consolidate: answers must be DataFrame, not list"),
        (lambda: gandt.consolidate(answers, target="high"), "consolidate: target must be float, not str"),
        (lambda: gandt.consolidate(answers, target=True), "consolidate: target must be float, not bool"),
        (lambda: gandt.build_manifest("a.jpg"), "build_manifest: items must be a sequence of str, not str"),
        (lambda: gandt.build_manifest([None]), "build_manifest: items must be a sequence of str, not list with None"),
        (lambda: gandt.read_answers("out", s3="eu-west-1"), "read_answers: s3 must be a boto3 S3 client or None, not"),
        (lambda: store.rows("a.jpg"), "EmbeddingStore.rows: items must be a sequence of str, not str"),
        (lambda: EmbeddingStore(3), "EmbeddingStore: path must be str, not int"),
        (lambda: gandt.filter_by_similarity("no store", {}), "can't read no store: there is no such file or folder"),
    ):
        with pytest.raises(GandtError) as error:
            call()
        assert sentence in str(error.value)


@pytest.mark.parametrize(("function", "table"), [("consolidate", "answers"), ("consolidate_sets", "answers")])
def test_two_columns_of_one_name_are_refused_by_it(function: str, table: str) -> None:
    answers = pd.DataFrame([["a", "w", "x", "y"]], columns=["item", "worker", "label", "label"])
    with pytest.raises(InputError, match="is a table with several columns 'label'; keep one of them"):
        getattr(importlib.import_module("gandt.consensus"), function)(**{table: answers})


def test_what_is_obviously_meant_is_taken(tmp_path: Path) -> None:
    store, kind = make_store(tmp_path / "store", kinds=2, each=6)
    items = list(kind)
    seeds = {"0": items[0:4:2], "1": items[1:4:2]}
    wanted = gandt.filter_by_similarity(store, seeds)
    for given_store in (str(tmp_path / "store"), tmp_path / "store"):
        pd.testing.assert_frame_equal(gandt.filter_by_similarity(given_store, seeds), wanted)
    columns = {name: pd.Series(group, index=[7, 8]) for name, group in seeds.items()}
    pd.testing.assert_frame_equal(gandt.filter_by_similarity(store, columns), wanted)
    paths = {name: [Path(item) for item in group] for name, group in seeds.items()}
    pd.testing.assert_frame_equal(gandt.filter_by_similarity(store, paths), wanted)
    answers = pd.DataFrame({"item": [1, 1], "worker": [7, 8], "label": [0, 0]})
    found = gandt.consolidate(answers, items=np.array([1, 2]), gold={1: 0}, categories=[0, 1], exclude=[7])
    assert found.labels["item"].tolist() == ["2"], "numbers name things where tables may hold them"


def test_missing_and_unknown_arguments_stay_pythons_own() -> None:
    with pytest.raises(TypeError, match="missing a required argument: 'answers'"):
        gandt.consolidate()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'answer'"):
        gandt.consolidate(pd.DataFrame(), answer=1)  # type: ignore[call-arg]


# ---------------------------------------------------------------------- by annotation


KINDS: list[tuple[Any, Callable[[Any], bool]]] = [
    (int, lambda value: isinstance(value, int) and not isinstance(value, bool)),
    (float, lambda value: isinstance(value, (int, float)) and not isinstance(value, bool)),
    (bool, lambda value: isinstance(value, bool)),
    (str, lambda value: isinstance(value, str)),
    (str | None, lambda value: value is None or isinstance(value, str)),
    (Literal["a", "b"], lambda value: value in ("a", "b")),
    (Sequence[str], lambda value: isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value)),
    (Collection[str], lambda value: isinstance(value, (list, tuple, dict)) and all(isinstance(x, str) for x in value)),
    (Iterable[str], lambda value: isinstance(value, (list, tuple, dict)) and all(isinstance(x, str) for x in value)),
    (tuple[str, ...], lambda value: isinstance(value, tuple) and all(isinstance(each, str) for each in value)),
    (Mapping[str, int], lambda value: isinstance(value, dict) and all(type(x) is int for x in value.values())),
    (dict[str, Any], lambda value: isinstance(value, dict)),
    (Callable[[str], str], lambda value: False),
]
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.sampled_from(["a", "b", "", "longer"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(KINDS), anything)
def test_what_fits_goes_through_and_nothing_else(kind: tuple[Any, Callable[[Any], bool]], value: Any) -> None:
    hint, fits = kind

    def takes(given_: hint) -> Any:  # type: ignore[valid-type]
        return given_

    if fits(value):
        found = checked(takes)(value)
        assert found is value or isinstance(found, np.ndarray)
        return
    with pytest.raises(InputError) as error:
        checked(takes)(value)
    sentence = str(error.value)
    assert "given_ must be " in sentence
    assert type(value).__name__ in sentence or "not None" in sentence


@settings(deadline=None, max_examples=100)
@given(anything)
def test_options_are_checked_one_by_one(value: Any) -> None:
    def takes(**options: int) -> dict[str, int]:
        return options

    if type(value) is int:
        assert checked(takes)(size=value) == {"size": value}
    else:
        with pytest.raises(InputError, match="size must be int"):
            checked(takes)(size=value)


@pytest.mark.parametrize("value", [[1, 2.5], [[1], [2]], np.zeros((2, 2), np.float16), pd.Series([1.0, None]), [True]])
def test_what_makes_numbers_is_an_array(value: Any) -> None:
    def takes(vectors: npt.NDArray[np.floating]) -> Any:
        return vectors

    np.testing.assert_array_equal(checked(takes)(value), np.asarray(value))
    for wrong in (None, 7, "7", ["7"], [[1], [2, 3]], [None], pd.DataFrame({"x": [1]}), object()):
        with pytest.raises(InputError, match="vectors must be an array of numbers, not"):
            checked(takes)(wrong)


def test_iterators_are_not_used_up() -> None:
    def takes(lines: Iterable[str]) -> list[str]:
        return list(lines)

    assert checked(takes)(iter(["a", "b"])) == ["a", "b"]
    with pytest.raises(InputError, match="lines must be an iterable of str, not str"):
        checked(takes)("ab")


def test_the_long_ones_and_classes_are_checked_too() -> None:
    from gandt.demo import run_demo
    from gandt.deploy import Stack
    from gandt.folders import Folders
    from gandt.processing import Work, work

    for call, sentence in (
        (lambda: run_demo(7), "run_demo: out must be str, not int"),
        (lambda: run_demo("out", labels="cat"), "run_demo: labels must be a sequence of str, not str"),
        (lambda: work(Work("a", "b"), 1), "work: member must be Member, not int"),
        (lambda: Folders(None), "Folders: base must be str, not None"),
        (lambda: Stack(poll="3"), "Stack: poll must be float, not str"),
    ):
        with pytest.raises(InputError) as error:
            call()
        assert str(error.value) == sentence
