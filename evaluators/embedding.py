"""Texts to vectors: mean-pooled, normalised token states of a sentence encoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel

from evaluators.batching import Stats, default_budget, run_batched
from evaluators.devices import choose_device, choose_dtype
from evaluators.groundedness.minilm import packaged_folder
from evaluators.models import CACHE, Loaded, load_pretrained

# The packaged model was trained on up to 256 word pieces; more dilute its vector (its model card).
MAX_TOKENS = 256


def embed(
    texts: Sequence[str],
    *,
    model: str | None = None,
    device: str | None = None,
    batch_tokens: int | None = None,
) -> NDArray[np.float32]:
    """Vectors (n, d) float32 of length 1, in the order of `texts`; a longer text is cut at MAX_TOKENS.

    `model` is a folder or Hugging Face id of an encoder, None the packaged all-MiniLM-L6-v2 (d = 384). Mean pooling
    over the text's tokens as in Reimers and Gurevych 2019. Raises DeviceError, ModelError.
    """
    name = model or str(packaged_folder())
    where = choose_device(device)
    dtype = choose_dtype(where)
    loaded = CACHE.get(("embedding", name, where, dtype), lambda: load_pretrained(name, AutoModel, where, dtype))
    width = int(loaded.model.config.hidden_size)
    if not texts:
        return np.zeros((0, width), dtype=np.float32)
    encoded = loaded.tokenizer(list(texts), truncation=True, max_length=MAX_TOKENS)["input_ids"]
    budget = batch_tokens or default_budget(where)
    lengths = [len(ids) for ids in encoded]
    rows = run_batched(encoded, lengths, lambda batch, length: _vectors(loaded, batch, length), budget, Stats())
    return np.stack(rows)


@torch.inference_mode()
def _vectors(loaded: Loaded, batch: list[list[int]], length: int) -> list[NDArray[np.float32]]:
    ids = torch.zeros(len(batch), length, dtype=torch.long)
    mask = torch.zeros(len(batch), length, dtype=torch.long)
    for row, tokens in enumerate(batch):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
    states = loaded.model(
        input_ids=ids.to(loaded.device), attention_mask=mask.to(loaded.device)
    ).last_hidden_state.float()
    weights = mask.to(loaded.device).unsqueeze(-1).float()
    pooled = (states * weights).sum(1) / weights.sum(1)
    vectors: list[NDArray[np.float32]] = list(torch.nn.functional.normalize(pooled, dim=1).cpu().numpy())
    return vectors
