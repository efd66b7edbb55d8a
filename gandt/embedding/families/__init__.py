"""One small file per family of models; importing this package registers them all. None imports anything heavy."""

from gandt.embedding.families import lite

__all__ = ["lite"]
