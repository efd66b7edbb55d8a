"""onnx:FILE: any ONNX network that takes a batch of pictures and returns a vector for each."""

from pathlib import Path

import numpy as np

from gandt.embedding import runtimes
from gandt.embedding.models import Features, Model, Pixels, hash_of, register
from gandt.errors import InputError
from gandt.images import Preprocessing

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@register("onnx:")
def load(name: str, precision: str, device: str) -> Model:
    """Load an ONNX file; ``onnx:FILE`` or ``onnx:FILE?mean=0.5&std=0.5&crop=0.875``.

    A float input (n, 3, size, size) is normalised by mean and std (by default ImageNet's); a uint8 input
    (n, size, size, 3) gets the pixels as they are. The first output, flattened, is the vector.
    """
    from urllib.parse import parse_qsl

    import onnxruntime

    path, _, query = name.removeprefix("onnx:").partition("?")
    if precision != "fp32":
        raise InputError(f"{name} runs as the file is; leave --precision at fp32, or quantise the file itself")
    try:
        content = Path(path).read_bytes()
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises kinds of its own
        raise InputError(f"can't load {path} as an ONNX network: {str(error).splitlines()[0]}") from error
    entry = session.get_inputs()[0]
    raw = entry.type == "tensor(uint8)"
    sides = entry.shape[1:3] if raw else entry.shape[2:4]
    if len(entry.shape) != 4 or not all(isinstance(side, int) for side in sides) or sides[0] != sides[1]:
        raise InputError(f"{path} takes {entry.shape}; gandt needs a batch of square pictures of a fixed size")
    settings = dict(parse_qsl(query))
    try:
        mean, std = (
            (float(settings[key]),) * 3 if key in settings else default
            for key, default in zip(("mean", "std"), _IMAGENET, strict=True)
        )
        preprocessing = Preprocessing(int(sides[0]), float(settings.get("crop", 0.875)), mean, std)
    except ValueError as error:
        raise InputError(
            f"can't use the settings after ? in {name}: {error}; write numbers, as in ?mean=0.5"
        ) from error
    inner = runtimes.onnx_runner(content)
    shift, scale = np.asarray(mean, np.float32), np.asarray(std, np.float32)

    def run(pixels: Pixels) -> Features:
        if raw:
            features = inner(pixels)
        else:
            prepared = (pixels.astype(np.float32) / 255 - shift) / scale
            features = inner(np.ascontiguousarray(prepared.transpose(0, 3, 1, 2)))
        return features.reshape(len(pixels), -1).astype(np.float32)

    dim = run(np.zeros((1, preprocessing.size, preprocessing.size, 3), np.uint8)).shape[1]
    return Model(name, dim, preprocessing, "the file's own", hash_of(content), precision, run)
