"""FactCG (Lei et al., arXiv 2501.17144): a two-class DeBERTa that reads passage and claim inside an instruction."""

from __future__ import annotations

import torch
from transformers import AutoModelForSequenceClassification

from evaluators.groundedness.claims import ClaimBackend, two_class
from evaluators.models import CACHE, load_pretrained

# The model was trained on these very words (a template of FLAN); others shift its scores.
_ASKED = (
    "Choose your answer: based on the paragraph above can we conclude that",
    "OPTIONS:\n- Yes\n- No\nI think the answer is ",
)
# DeBERTa-v3 has relative positions; its authors read up to this many tokens.
TOKENS = 2048


def render(premise: str, claim: str) -> str:
    return f'{premise}\n\n{_ASKED[0]} "{claim}"?\n\n{_ASKED[1]}'


def load(model: str, device: torch.device, dtype: torch.dtype, batch_tokens: int) -> ClaimBackend:
    """Raises ModelError and its kinds."""
    loaded = CACHE.get(
        (model, device, dtype), lambda: load_pretrained(model, AutoModelForSequenceClassification, device, dtype)
    )
    return ClaimBackend("factcg", loaded, TOKENS, render, two_class, batch_tokens)
