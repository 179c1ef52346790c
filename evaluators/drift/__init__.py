"""Has the data moved? Two-sample tests with p-value, effect and interval, on embeddings, numbers, categories, texts."""

from evaluators.drift.embeddings import detect
from evaluators.drift.result import DriftResult

__all__ = ["DriftResult", "detect"]
