"""What runs a network: ONNX Runtime or OpenVINO on a CPU, torch on a GPU (or on a CPU, for torch's own models).

Each returns a function from uint8 pixels (n, size, size, 3) to float32 features (n, dim).
"""

import importlib.util
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from gandt.embedding.models import Features, Pixels
from gandt.errors import InputError, extra

Runner = Callable[[Pixels], Features]

GPU_BATCH = 256


def use_cuda(device: str) -> bool:
    """Tell whether to run on a GPU: when asked, or by itself where torch is installed and sees one.

    Raises
    ------
    InputError
        When a GPU is asked for and torch sees none.
    """
    if device == "cpu" or (device == "auto" and importlib.util.find_spec("torch") is None):
        return False
    with extra("gpu", "device cuda"):
        import torch

    if torch.cuda.is_available():
        return True
    if device == "cuda":
        raise InputError("torch sees no GPU; check the driver (nvidia-smi) and torch's CUDA build, or use --device cpu")
    return False


def onnx_runner(onnx_file: bytes) -> Runner:
    """Run an ONNX file on the calling thread.

    One image per thread keeps every core's cache warm and beats one image on all cores (docs/performance.md).
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(onnx_file, options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0].name

    def run(pixels: Pixels) -> Features:
        features: Features = session.run(None, {entry: pixels})[0]
        return features

    return run


def openvino_runner(onnx_file: bytes) -> Runner:
    """Run an ONNX file in bf16 on the CPU's own instructions (AVX-512 BF16 or AMX), one image per thread.

    Raises
    ------
    MissingExtra
        When OpenVINO isn't installed.
    InputError
        When this CPU has no bf16.
    """
    with extra("bf16", "precision bf16 on a CPU"):
        import openvino

    core = openvino.Core()
    if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise InputError("this CPU has no bf16 arithmetic; use --precision int8 or fp32")
    options = {"INFERENCE_PRECISION_HINT": "bf16", "PERFORMANCE_HINT": "THROUGHPUT"}
    compiled = core.compile_model(core.read_model(onnx_file), "CPU", options)
    local = threading.local()

    def run(pixels: Pixels) -> Features:
        if not hasattr(local, "request"):
            local.request = compiled.create_infer_request()
        found = local.request.infer([pixels])
        return np.array(next(iter(found.values())), np.float32)

    return run


def torch_runner(module: Any, precision: str, device: str) -> Runner:
    """Run a torch module that takes uint8 pixels and returns features.

    On a GPU: channels_last, pinned memory, compiled for one batch size, bf16 by autocast; fp32 stays fp32 (no TF32).
    """
    with extra("gpu", "a torch model"):
        import torch

    on_gpu = device == "cuda"
    module = module.eval().to(device, memory_format=torch.channels_last)
    if on_gpu:
        torch.backends.cudnn.allow_tf32 = precision != "fp32"
        module = torch.compile(module)

    def run(pixels: Pixels) -> Features:
        count = len(pixels)
        tensor = torch.from_numpy(np.ascontiguousarray(pixels))
        if on_gpu:
            # a short last batch is filled up, so that nothing is compiled twice
            tensor = torch.nn.functional.pad(tensor, (0, 0, 0, 0, 0, 0, 0, GPU_BATCH - count)).pin_memory()
            tensor = tensor.to(device, non_blocking=True)
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            features: Features = module(tensor)[:count].float().cpu().numpy()
        return features

    return run
