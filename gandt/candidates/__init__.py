"""Whom to ask about: the items of a pool that are worth a worker's look."""

from gandt.candidates.carry import carry_labels, representatives
from gandt.candidates.duplicates import find_duplicates
from gandt.candidates.recall import Recall, estimate_recall
from gandt.candidates.relabel import rank_answers
from gandt.candidates.similar import filter_by_similarity
from gandt.candidates.strategies import choose, strategy

__all__ = [
    "Recall",
    "carry_labels",
    "choose",
    "estimate_recall",
    "filter_by_similarity",
    "find_duplicates",
    "rank_answers",
    "representatives",
    "strategy",
]
