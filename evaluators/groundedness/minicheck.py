"""MiniCheck fact checkers (Tang et al., arXiv 2404.10774): Flan-T5, and RoBERTa or DeBERTa with two classes.

Both read document and claim as one text joined by the end-of-sequence token. The T5 is asked to `predict:` and answers
with its first token, 0 or 1; support is the softmax between the two.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForSeq2SeqLM, AutoModelForSequenceClassification

from evaluators.groundedness.claims import ClaimBackend, two_class
from evaluators.models import CACHE, load_pretrained, positions, read_config

# The document length its authors evaluated Flan-T5 with; T5 has relative positions and names no limit itself.
T5_TOKENS = 2048


def load(model: str, device: torch.device, dtype: torch.dtype, batch_tokens: int) -> ClaimBackend:
    """Raises ModelError and its kinds."""
    sequence = read_config(model).is_encoder_decoder
    kind = AutoModelForSeq2SeqLM if sequence else AutoModelForSequenceClassification
    loaded = CACHE.get((model, device, dtype), lambda: load_pretrained(model, kind, device, dtype))
    join = loaded.tokenizer.eos_token or loaded.tokenizer.sep_token
    if not sequence:
        return ClaimBackend(
            "minicheck",
            loaded,
            positions(loaded),
            lambda premise, claim: f"{premise}{join}{claim}",
            two_class,
            batch_tokens,
        )
    answers = torch.tensor([loaded.tokenizer(digit).input_ids[0] for digit in "01"], device=device)

    def read(network: Any, inputs: dict[str, Tensor]) -> Tensor:
        start = torch.full((len(inputs["input_ids"]), 1), network.config.decoder_start_token_id, device=device)
        logits = network(**inputs, decoder_input_ids=start).logits[:, 0].float()
        return torch.softmax(logits[:, answers], dim=-1)[:, 1]

    return ClaimBackend(
        "minicheck",
        loaded,
        T5_TOKENS,
        lambda premise, claim: f"predict: {premise}{join}{claim}",
        read,
        batch_tokens,
    )
