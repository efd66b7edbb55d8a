"""Images to vectors: models, the pipeline, and the store that keeps them."""

from gandt.embedding.gone import compare, prune, vanished, vanished_note
from gandt.embedding.merge import check, merge
from gandt.embedding.pipeline import Run, embed
from gandt.embedding.store import EmbeddingStore, fingerprint
from gandt.embedding.vectors import Vectors

__all__ = [
    "EmbeddingStore",
    "Run",
    "Vectors",
    "check",
    "compare",
    "embed",
    "fingerprint",
    "merge",
    "prune",
    "vanished",
    "vanished_note",
]
