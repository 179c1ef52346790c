"""Any NLI cross-encoder: three classes, two classes, or the single logit of a cross-encoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from evaluators.groundedness.claims import ClaimBackend
from evaluators.models import CACHE, ModelError, load_pretrained, positions

_ENTAILMENT = ("entail", "support", "consistent", "factual", "grounded")
_NOT = ("not", "non", "un", "in")


def entailment_index(labels: dict[int, str], model: str) -> int:
    """The class that means support, by the names in the model's configuration.

    Raises ModelError where none says so: guessing would turn every verdict round.
    """
    if len(labels) == 1:
        return 0
    found = [
        index
        for index, label in labels.items()
        if any(word in label.lower() for word in _ENTAILMENT) and not label.lower().startswith(_NOT)
    ]
    if len(found) != 1:
        raise ModelError(f"{model}: no class of {sorted(labels.values())} can be told to mean entailment")
    return found[0]


def load(model: str, device: torch.device, dtype: torch.dtype, batch_tokens: int) -> ClaimBackend:
    """Raises ModelError and its kinds."""
    loaded = CACHE.get(
        (model, device, dtype), lambda: load_pretrained(model, AutoModelForSequenceClassification, device, dtype)
    )
    index = entailment_index(loaded.model.config.id2label, model)

    def read(network: Any, inputs: dict[str, Tensor]) -> Tensor:
        logits = network(**inputs).logits.float()
        return torch.sigmoid(logits[:, 0]) if logits.shape[1] == 1 else torch.softmax(logits, dim=-1)[:, index]

    return ClaimBackend("nli", loaded, positions(loaded), lambda premise, claim: (premise, claim), read, batch_tokens)
