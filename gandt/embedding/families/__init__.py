"""One small file per family of models; importing this package registers them all. None imports anything heavy.

To add one: write a file here with a function ``(name, precision, device) -> Model``, register it with
``@register("name")``, or ``@register("prefix:")`` for a family, and add the file to the import below.
"""

from gandt.embedding.families import lite, onnx_file, torch_models

__all__ = ["lite", "onnx_file", "torch_models"]
