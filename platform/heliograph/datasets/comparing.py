"""The statistics of two runs, by a worker: NumPy and SciPy are no part of a web process."""

from typing import Any

from django.utils import timezone

from evaluators.regression import compare
from heliograph.datasets.models import Comparison
from heliograph.datasets.results import paired

# Fewer pairs say nothing of a difference.
MIN_PAIRS = 5


def compute(comparison: Comparison) -> None:
    """Fill in a comparison: the paired difference with its interval, or why there is none."""
    keys, before, after = paired(comparison.baseline, comparison.candidate, comparison.score)
    changed = sum(first != second for first, second in zip(before, after, strict=True))
    result: dict[str, Any] = {"n": len(keys), "changed": changed}
    if len(keys) < MIN_PAIRS:
        result |= {"verdict": "not_enough_data", "reason": f"{len(keys)} rows have the score in both runs."}
    else:
        result |= compare(before, after).as_dict()
        result |= {"baseline_mean": sum(before) / len(before), "candidate_mean": sum(after) / len(after)}
    comparison.result, comparison.error, comparison.computed_at = result, "", timezone.now()
    comparison.save(update_fields=["result", "error", "computed_at"])
