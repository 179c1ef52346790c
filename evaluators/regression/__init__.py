"""Paired comparison of two versions: did quality drop by more than a margin, or are there too few items to know?"""

from evaluators.regression.compare import compare
from evaluators.regression.result import RegressionResult

__all__ = ["RegressionResult", "compare"]
