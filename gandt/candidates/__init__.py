"""Whom to ask about: the items of a pool that are worth a worker's look."""

from gandt.candidates.duplicates import find_duplicates
from gandt.candidates.recall import Recall, estimate_recall
from gandt.candidates.similar import filter_by_similarity

__all__ = ["Recall", "estimate_recall", "filter_by_similarity", "find_duplicates"]
