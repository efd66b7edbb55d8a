"""Whom to ask about: the items of a pool that are worth a worker's look."""

from gandt.candidates.similar import filter_by_similarity

__all__ = ["filter_by_similarity"]
