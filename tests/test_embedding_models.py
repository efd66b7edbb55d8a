"""The networks: read without torch, right on a known picture, and alike on every runtime."""

import hashlib
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gandt.embedding import lite, models, runtimes
from gandt.embedding.weights import read_state_dict
from gandt.errors import GandtError, InputError
from gandt.images import Preprocessing, decode

PALACE, DAISY = 698, 985  # classes of ImageNet


def known_picture(name: str) -> bytes:
    datasets = pytest.importorskip("sklearn.datasets")
    return (Path(datasets.__file__).parent / "images" / name).read_bytes()


def state(name: str) -> dict[str, Any]:
    return read_state_dict(lite.weights_file(name).read_bytes(), name)


def probabilities(features: Any, weights: dict[str, Any]) -> Any:
    logits = features @ weights["_fc.weight"].T + weights["_fc.bias"]
    grown = np.exp(logits - logits.max(axis=1, keepdims=True))
    return grown / grown.sum(axis=1, keepdims=True)


def pixels_of(content: bytes, preprocessing: Preprocessing) -> Any:
    return decode(content, preprocessing).pixels[None]


@pytest.fixture(scope="module")
def photographs() -> Any:
    """Eight cuts of the two known pictures, (8, 224, 224, 3)."""
    cuts = []
    for name in ("china.jpg", "flower.jpg"):
        pixels = pixels_of(known_picture(name), Preprocessing(448))[0]
        cuts += [pixels[y : y + 224, x : x + 224] for y in (0, 224) for x in (0, 224)]
    return np.stack(cuts)


@pytest.mark.parametrize("name", ["lite0", "lite1", "lite2"])
def test_the_network_names_what_is_on_a_known_picture(name: str) -> None:
    model = models.load(name, device="cpu")
    found = probabilities(model.run(pixels_of(known_picture("china.jpg"), model.preprocessing)), state(name))[0]
    assert found.argmax() == PALACE and found[PALACE] > 0.3


def test_preprocessing_is_right_because_every_other_way_is_less_sure() -> None:
    model, weights, content = models.load("lite0", device="cpu"), state("lite0"), known_picture("flower.jpg")
    right = pixels_of(content, model.preprocessing)
    found = probabilities(model.run(right), weights)[0]
    assert found.argmax() == DAISY
    shift, scale = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    imagenet = np.clip(((right / 255 - shift) / scale * 0.5 + 0.5) * 255, 0, 255).astype(np.uint8)
    for wrong in (np.ascontiguousarray(right[..., ::-1]), imagenet, right // 2):
        assert probabilities(model.run(wrong), weights)[0, DAISY] < found[DAISY]


def test_int8_says_nearly_the_same(photographs: Any) -> None:
    exact, rounded = (models.load("lite0", precision=precision, device="cpu") for precision in ("fp32", "int8"))
    one, other = (models.normalised(model.run(photographs)) for model in (exact, rounded))
    assert (one * other).sum(axis=1).min() > 0.95
    # which cut is most like which other stays the same, up to near ties
    order = [np.argsort(vectors @ vectors.T, axis=1)[:, -2] for vectors in (one, other)]
    assert (order[0] == order[1]).mean() >= 0.75
    assert (exact.weights, exact.precision, rounded.precision) == (rounded.weights, "fp32", "int8")


def test_torch_gives_the_same_numbers(photographs: Any) -> None:
    pytest.importorskip("torch")
    for name in ("lite0", "lite1"):
        model = models.load(name, device="cpu")
        network = lite.blocks(lite.weights_file(name).read_bytes(), name)
        side = model.preprocessing.size
        pixels = np.stack([np.asarray(Image.fromarray(cut).resize((side, side))) for cut in photographs])
        run = runtimes.torch_runner(lite.torch_module(network, side), "fp32", "cpu")
        one, other = models.normalised(model.run(pixels)), models.normalised(run(pixels))
        np.testing.assert_allclose(one, other, atol=1e-4)
        assert np.abs(one - other).max() < 1e-5


def test_weights_are_read_as_torch_reads_them(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    tensors = {
        "a": torch.arange(12, dtype=torch.float32).reshape(3, 4).t(),  # not contiguous
        "b": torch.tensor([1, 2, 3], dtype=torch.int64)[1:],
        "c": torch.tensor(2.5, dtype=torch.float16),
    }
    for legacy in (True, False):
        torch.save(tensors, tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
        found = read_state_dict((tmp_path / "w.pth").read_bytes(), "w.pth")
        for key, tensor in tensors.items():
            np.testing.assert_array_equal(found[key], tensor.numpy())
            assert found[key].dtype == tensor.numpy().dtype


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return eval, ("__import__('os').environ.__setitem__('GANDT_HARMED', '1')",)


def test_a_weights_file_can_not_run_code(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.delenv("GANDT_HARMED", raising=False)
    header = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {}))
    for harm in (Harmful(), {"weight": Harmful()}):
        with pytest.raises(InputError, match=r"isn't a state dict saved by torch: .*eval"):
            read_state_dict(header + pickle.dumps(harm, 2), "bad.pth")
    assert "GANDT_HARMED" not in os.environ


def test_a_cut_off_weights_file_is_refused() -> None:
    content = lite.weights_file("lite0").read_bytes()
    for length in (0, 10, 1000, len(content) - 1000):
        with pytest.raises(InputError, match="isn't a state dict"):
            read_state_dict(content[:length], "cut.pth")


def test_the_weights_are_those_that_were_measured() -> None:
    content = lite.weights_file("lite0").read_bytes()
    assert hashlib.sha256(content).hexdigest().startswith("57934424")  # torch's convention: the name holds the hash


def tiny_onnx(path: Path, kind: str = "uint8") -> str:
    """Write a network that averages colours over a 2 × 2 grid of a 16-pixel picture: 12 numbers."""
    from onnx import TensorProto, helper

    raw = kind == "uint8"
    entry = helper.make_tensor_value_info(
        "in", TensorProto.UINT8 if raw else TensorProto.FLOAT, ["n", 16, 16, 3] if raw else ["n", 3, 16, 16]
    )
    nodes = [helper.make_node("Cast", ["in"], ["f"], to=TensorProto.FLOAT)]
    nodes += [helper.make_node("Transpose", ["f"], ["t"], perm=[0, 3, 1, 2] if raw else [0, 1, 2, 3])]
    nodes += [
        helper.make_node("AveragePool", ["t"], ["p"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Flatten", ["p"], ["out"]),
    ]
    result = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 12])
    model = helper.make_model(
        helper.make_graph(nodes, "tiny", [entry], [result]), opset_imports=[helper.make_opsetid("", 18)], ir_version=9
    )
    path.write_bytes(model.SerializeToString())
    return f"onnx:{path}"


def test_any_onnx_file_is_a_model(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    expected = pixels.reshape(2, 2, 8, 2, 8, 3).mean(axis=(2, 4)).transpose(0, 3, 1, 2).reshape(2, 12)
    raw = models.load(tiny_onnx(tmp_path / "raw.onnx"))
    assert (raw.dim, raw.preprocessing.size) == (12, 16)
    np.testing.assert_allclose(raw.run(pixels), expected, atol=1e-3)
    normal = models.load(tiny_onnx(tmp_path / "float.onnx", "float") + "?mean=0.5&std=0.25&crop=1")
    np.testing.assert_allclose(normal.run(pixels), (expected / 255 - 0.5) / 0.25, atol=1e-4)
    assert normal.preprocessing.crop == 1


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("lite9", {}, "no model 'lite9'; choose from hf:, lite0"),
        ("lite0", {"precision": "fp8"}, "no precision 'fp8'"),
        ("lite0", {"device": "tpu"}, "no device 'tpu'"),
        ("onnx:/nowhere.onnx", {}, "can't load /nowhere.onnx"),
        ("onnx:/nowhere.onnx", {"precision": "int8"}, "leave --precision at fp32"),
    ],
)
def test_a_wrong_name_is_one_sentence(name: str, options: dict[str, str], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        models.load(name, **options)


@pytest.mark.parametrize(
    ("package", "name", "options"),
    [
        ("torch", "lite0", {"device": "cuda"}),
        ("openvino", "lite0", {"precision": "bf16", "device": "cpu"}),
        ("timm", "timm:x", {}),
        ("transformers", "hf:x", {}),
    ],
)
def test_a_missing_package_is_named(
    package: str, name: str, options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(GandtError, match=r"needs the package .*pip install"):
        models.load(name, **options)


def test_a_vision_transformer_of_a_local_folder(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.Dinov2Config(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
    )
    torch.manual_seed(0)
    transformers.Dinov2Model(config).save_pretrained(tmp_path / "dino")
    settings = {
        "do_center_crop": True,
        "crop_size": {"height": 28, "width": 28},
        "size": {"shortest_edge": 32},
        "resample": 3,
    }
    settings |= {
        "image_processor_type": "BitImageProcessor",
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }
    import json

    (tmp_path / "dino/preprocessor_config.json").write_text(json.dumps(settings))
    (tmp_path / "dino/README.md").write_text("---\nlicense: apache-2.0\n---\n")
    model = models.load(f"hf:{tmp_path / 'dino'}", device="cpu")
    assert (model.dim, model.licence, model.preprocessing.size, model.preprocessing.crop) == (
        24,
        "apache-2.0",
        28,
        0.875,
    )
    features = model.run(np.random.default_rng(0).integers(0, 256, (3, 28, 28, 3), dtype=np.uint8))
    assert features.shape == (3, 24) and np.isfinite(features).all()


def test_a_network_of_timm_from_a_local_folder(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    try:
        timm = pytest.importorskip("timm")
    except (ImportError, RuntimeError) as error:  # torchvision's build doesn't fit torch's
        pytest.skip(f"timm can't be imported: {error}")
    torch.manual_seed(0)
    made = timm.create_model("test_vit", pretrained=False).eval()
    timm.models.save_for_hf(made, tmp_path / "vit")
    model = models.load(f"timm:local-dir:{tmp_path / 'vit'}", device="cpu")
    facts = made.pretrained_cfg
    assert model.preprocessing.size == facts["input_size"][1] and model.dim == made.num_features
    assert model.preprocessing.crop == facts["crop_pct"] and model.preprocessing.mean == tuple(facts["mean"])
    pixels = np.random.default_rng(0).integers(0, 256, (2, model.preprocessing.size, model.preprocessing.size, 3))
    shift, scale = np.array(facts["mean"]), np.array(facts["std"])
    made.reset_classifier(0)
    with torch.inference_mode():
        expected = made(torch.tensor((pixels / 255 - shift) / scale, dtype=torch.float32).permute(0, 3, 1, 2))
    np.testing.assert_allclose(model.run(pixels.astype(np.uint8)), expected.numpy(), atol=1e-4)
    with pytest.raises(InputError, match="can't load timm:no_such_network"):
        models.load("timm:no_such_network", device="cpu")


def test_a_torchscript_file(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch would rather have no new TorchScript
        torch.jit.trace(module, torch.zeros(1, 3, 224, 224)).save(tmp_path / "m.pt")
        model = models.load(f"torchscript:{tmp_path / 'm.pt'}", device="cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    shift, scale = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = ((pixels / 255 - shift) / scale).reshape(2, 2, 112, 2, 112, 3).mean(axis=(2, 4)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(model.run(pixels), expected.reshape(2, 12), atol=1e-4)


def test_bf16_on_a_cpu_says_nearly_the_same(photographs: Any) -> None:
    pytest.importorskip("openvino")
    try:
        half = models.load("lite0", precision="bf16", device="cpu")
    except InputError as error:
        pytest.skip(str(error))
    exact = models.normalised(models.load("lite0", device="cpu").run(photographs))
    other = np.concatenate([models.normalised(half.run(cut[None])) for cut in photographs])
    assert (exact * other).sum(axis=1).min() > 0.98
