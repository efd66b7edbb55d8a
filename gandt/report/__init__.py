"""A run's numbers, computed again from its files, and one HTML page that shows and explains them."""

from gandt.report.measure import Numbers, measure
from gandt.report.page import standalone, write_report

__all__ = ["Numbers", "measure", "standalone", "write_report"]
