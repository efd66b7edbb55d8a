"""Confident labels for big pools of images, for as few human judgements as possible.

The whole way in one line: ``images → vectors → candidates → manifest → labeling job → answers → labels``.
Each arrow is a function here and a command of ``gandt``; see docs/architecture.md. Names are loaded on first use,
so that ``import gandt`` stays quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# public name → module that defines it
_PUBLIC = {
    "Consensus": "gandt.consensus",
    "EmbeddingStore": "gandt.embedding",
    "GandtError": "gandt.errors",
    "build_manifest": "gandt.manifest",
    "consolidate": "gandt.consensus",
    "embed": "gandt.embedding",
    "filter_by_similarity": "gandt.candidates",
    "read_answers": "gandt.answers",
}

__all__ = [
    "Consensus",
    "EmbeddingStore",
    "GandtError",
    "__version__",
    "build_manifest",
    "consolidate",
    "embed",
    "filter_by_similarity",
    "read_answers",
]

if TYPE_CHECKING:
    from gandt.answers import read_answers
    from gandt.candidates import filter_by_similarity
    from gandt.consensus import Consensus, consolidate
    from gandt.embedding import EmbeddingStore, embed
    from gandt.errors import GandtError
    from gandt.manifest import build_manifest


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'gandt' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
