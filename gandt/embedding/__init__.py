"""Images to vectors: models, the pipeline, and the store that keeps them."""

from gandt.embedding.pipeline import Run, embed
from gandt.embedding.store import EmbeddingStore, Vectors

__all__ = ["EmbeddingStore", "Run", "Vectors", "embed"]
