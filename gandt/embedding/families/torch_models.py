"""timm:NAME, hf:DIR_OR_NAME and torchscript:FILE: larger networks, on torch (a GPU where there is one)."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from gandt.embedding import runtimes
from gandt.embedding.models import Model, hash_of, register
from gandt.errors import InputError, extra
from gandt.images import Preprocessing


@register("timm:")
def load_timm(name: str, precision: str, device: str) -> Model:
    """Load a network of timm; its own config says the preprocessing and the licence."""
    with extra("timm", name):
        import timm
    try:
        module = timm.create_model(name.removeprefix("timm:"), pretrained=True, num_classes=0)
    except Exception as error:  # an unknown name, or weights that can't be fetched
        raise InputError(f"can't load {name}: {str(error).splitlines()[0]}") from error
    config = timm.data.resolve_model_data_config(module)
    preprocessing = Preprocessing(
        config["input_size"][1],
        config["crop_pct"],
        tuple(config["mean"]),
        tuple(config["std"]),
        config["interpolation"],
    )
    licence = str(module.pretrained_cfg.get("license") or "unknown; see the model's card")
    return _model(name, module, preprocessing, licence, precision, device)


@register("hf:")
def load_hf(name: str, precision: str, device: str) -> Model:
    """Load a vision network of transformers from a local folder or by its name on the hub."""
    place = name.removeprefix("hf:")
    with extra("hf", name):
        import torch
        from transformers import AutoConfig, AutoImageProcessor, AutoModel
    try:
        settings = AutoImageProcessor.from_pretrained(place, use_fast=False).to_dict()
        inner = AutoModel.from_pretrained(place, config=AutoConfig.from_pretrained(place))
    except Exception as error:  # as above
        raise InputError(f"can't load {name}: {str(error).splitlines()[0]}") from error

    class Pooled(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, pixels: Any) -> Any:
            if hasattr(self.inner, "get_image_features"):  # CLIP, SigLIP
                found = self.inner.get_image_features(pixel_values=pixels)
            else:
                found = self.inner(pixel_values=pixels)
            pooled = getattr(found, "pooler_output", None)
            if torch.is_tensor(found):
                return found
            return found.last_hidden_state[:, 0] if pooled is None else pooled.flatten(1)

    return _model(name, Pooled(), _hf_preprocessing(settings), _hf_licence(place), precision, device)


def _hf_preprocessing(settings: dict[str, Any]) -> Preprocessing:
    scaled, cut = settings.get("size") or {}, settings.get("crop_size") or {}
    scaled, cut = ({"height": side} if isinstance(side, int) else dict(side) for side in (scaled, cut))
    shorter = int(scaled.get("shortest_edge") or scaled.get("height") or 224)
    size = int(cut.get("height") or shorter) if settings.get("do_center_crop") else shorter
    interpolation = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}[int(settings.get("resample", 3))]
    mean, std = (tuple(settings.get(key) or [0.5] * 3) for key in ("image_mean", "image_std"))
    return Preprocessing(size, size / max(shorter, size), mean, std, interpolation)


def _hf_licence(place: str) -> str:
    card = Path(place) / "README.md"
    found = re.search(r"^license: *(\S+)", card.read_text("utf-8"), re.MULTILINE) if card.is_file() else None
    return found[1] if found else "unknown; see the model's card"


@register("torchscript:")
def load_torchscript(name: str, precision: str, device: str) -> Model:
    """Load a TorchScript file that takes normalised pictures (n, 3, 224, 224), ImageNet's mean and std."""
    with extra("gpu", name):
        import torch
    path = name.removeprefix("torchscript:")
    try:
        module = torch.jit.load(path, map_location="cpu")
    except Exception as error:  # as above
        raise InputError(f"can't load {path} as TorchScript: {str(error).splitlines()[0]}") from error
    preprocessing = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    weights = hash_of(Path(path).read_bytes())
    return _model(name, module, preprocessing, "the file's own", precision, device, weights)


def _model(
    name: str, module: Any, preprocessing: Preprocessing, licence: str, precision: str, device: str, weights: str = ""
) -> Model:
    import torch

    if precision == "int8":
        raise InputError(f"{name} has no int8 form; use --precision bf16 or fp32")

    class Normalised(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = module
            for key, value in (("mean", preprocessing.mean), ("std", preprocessing.std)):
                self.register_buffer(key, torch.tensor(value).reshape(1, 3, 1, 1) * 255, persistent=False)

        def forward(self, pixels: Any) -> Any:
            return self.inner((pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std).flatten(1)

    weights = weights or _hash_of_tensors(module)
    place = "cuda" if runtimes.use_cuda(device) else "cpu"
    run = runtimes.torch_runner(Normalised(), precision, place)
    dim = run(np.zeros((1, preprocessing.size, preprocessing.size, 3), np.uint8)).shape[1]
    return Model(
        name, dim, preprocessing, licence, weights, precision, run, runtimes.GPU_BATCH if place == "cuda" else 16, 1
    )


def _hash_of_tensors(module: Any) -> str:
    parts = [
        name.encode() + tensor.detach().cpu().contiguous().flatten().view(dtype=_bytes()).numpy().tobytes()
        for name, tensor in sorted(module.state_dict().items())
    ]
    return hash_of(b"".join(parts))


def _bytes() -> Any:
    import torch

    return torch.uint8
