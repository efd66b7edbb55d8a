"""Workers' answers to labels one can trust, and what the answers say about the workers."""

from gandt.consensus.consolidate import METHODS, Consensus, ConvergenceWarning, consolidate
from gandt.consensus.learning import consolidate_with_vectors
from gandt.consensus.multi import consolidate_sets

__all__ = ["METHODS", "Consensus", "ConvergenceWarning", "consolidate", "consolidate_sets", "consolidate_with_vectors"]
