"""Similarity of sentence embeddings, shared by the two relevance judges.

Similarity answers "is it about the same thing?", not "is it right?": a wrong answer to the question asked is relevant.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evaluators.embedding import embed


def cosine_rows(texts: list[str], *, model: str | None, device: str | None) -> NDArray[np.float32]:
    """(n, d) embeddings of unit length; equal texts are embedded once."""
    distinct = list(dict.fromkeys(texts))
    rows = embed(distinct, model=model, device=device)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    place = {text: i for i, text in enumerate(distinct)}
    found: NDArray[np.float32] = rows[[place[text] for text in texts]]
    return found


def model_name(model: str | None) -> str:
    """How the scores' revision names the embedding model."""
    return model or "all-MiniLM-L6-v2"
