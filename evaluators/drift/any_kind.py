"""Pick the test by what an array holds: rows are embeddings, a column of numbers or of strings speaks for itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluators.drift import categories, embeddings, numbers
from evaluators.drift.explain import explain
from evaluators.drift.result import DriftResult
from evaluators.drift.text_statistics import summarize_texts

# Strings are categories unless one says that they are texts, to be measured and not compared.
TEXTS = "texts"


def detect_any(
    reference: NDArray[Any], current: NDArray[Any], *, test: str | None, device: str | None = None, **settings: Any
) -> DriftResult:
    """Run `test`, or the default one for the kind of `reference`, with the settings all tests share (and `embed` with
    TEXTS).

    Raises ValueError for an unknown test, or windows that the test refuses.
    """
    if test is None:
        test = "mmd" if reference.ndim == 2 else "chi_squared" if reference.dtype.kind in "US" else "ks"
    if test in embeddings.TESTS:
        return embeddings.detect(reference, current, test=test, device=device, **settings)
    if test in numbers.TESTS:
        return numbers.detect_numbers(_column(reference, "biuf"), _column(current, "biuf"), test=test, **settings)
    if test in categories.TESTS:
        old, new = (_column(window, "biufUS").tolist() for window in (reference, current))
        return categories.detect_categories(old, new, test=test, **settings)
    if test == TEXTS:
        if "permutations" in settings:
            raise ValueError("the test of texts takes no number of permutations: each of its tests has its own")
        old, new = (_column(window, "U").tolist() for window in (reference, current))
        return summarize_texts(old, new, device=device, **settings)
    known = [*embeddings.TESTS, *numbers.TESTS, *categories.TESTS, TEXTS]
    raise ValueError(f"unknown test {test!r}, choose from {', '.join(known)}")


def explain_any(
    reference: NDArray[Any], current: NDArray[Any], *, seed: int = 0, device: str | None = None
) -> list[dict[str, Any]]:
    """The clusters that moved, as JSON types; raises ValueError for windows that are not embeddings."""
    return [shift.as_dict() for shift in explain(reference, current, seed=seed, device=device)]


def _column(window: NDArray[Any], kinds: str) -> NDArray[Any]:
    flat = window[:, 0] if window.ndim == 2 and window.shape[1] == 1 else window
    if flat.ndim != 1 or flat.dtype.kind not in kinds:
        raise ValueError(f"this test takes one column, got an array of shape {window.shape} and type {window.dtype}")
    return np.asarray(flat)
