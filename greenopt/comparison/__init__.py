"""Studies side by side: their fronts, their best trials, equal settings, and what makes their figures incomparable."""

from greenopt.comparison.compare import Comparison, compare_studies
from greenopt.comparison.document import build_comparison_document
from greenopt.comparison.read import ComparedStudy, read_compared

__all__ = ["ComparedStudy", "Comparison", "build_comparison_document", "compare_studies", "read_compared"]
