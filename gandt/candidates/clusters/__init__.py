"""Clusters: alike images found, named together, with the outliers struck out."""

from gandt.candidates.clusters.clustering import METHODS, Clustering, cluster

__all__ = ["METHODS", "Clustering", "cluster"]
