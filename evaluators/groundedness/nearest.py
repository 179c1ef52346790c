"""How near each word of a claim comes to some word of its evidence, in the states of the packaged encoder as it is.

The verifier reads claim and evidence together and was trained on few of either; these states were made by a billion
sentence pairs and know that "physician" and "doctor" are near. The similarity of the nearest token is BERTScore's
(Zhang et al., arXiv 1904.09675); what is kept of a claim are its loneliest tokens, since one wrong word is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel

from evaluators.batching import Stats, run_batched
from evaluators.compiling import compiled
from evaluators.groundedness.minilm import packaged_folder, packaged_tokenizer, token_ids
from evaluators.models import CACHE, Loaded, load_pretrained
from evaluators.text import IndexedContext, select_evidence

# Evidence may be wider here than for the verifier: its sentences are read one by one.
EVIDENCE_WORDS = 160
# The longest sentence of 600 characters has about 150 word pieces.
MAX_TOKENS = 192
# So many of the claim's tokens, those farthest from the evidence, are averaged; one alone is often a misspelling.
LONELIEST = 2
# Pieces up to this many letters ("of", "'", "##s") are near something in any text.
SHORT = 2
# Samples whose token states are held at once, some 60 MB.
HELD_SAMPLES = 128
States = NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim and the sentences to look in."""

    text: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tokenized:
    """The claims of some samples, and the ids of every text in them."""

    samples: Sequence[Sequence[Claim]]
    ids: dict[str, list[int]]


def make_claim(context: IndexedContext, text: str) -> Claim:
    """The claim beside the sentences of the context that cover it best."""
    chosen = select_evidence(context, text, EVIDENCE_WORDS)
    return Claim(text, tuple(context.spans[index].of(context.text) for index in chosen))


@lru_cache(maxsize=1)
def _short_pieces() -> NDArray[np.bool_]:
    tokenizer = packaged_tokenizer()
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    return np.array([len(str(piece).removeprefix("##")) <= SHORT for piece in pieces])


def tokenize_claims(samples: Sequence[Sequence[Claim]]) -> list[Tokenized]:
    """What Nearest reads, HELD_SAMPLES at a time."""
    parts = []
    for start in range(0, len(samples), HELD_SAMPLES):
        held = samples[start : start + HELD_SAMPLES]
        texts = sorted({text for claims in held for one in claims for text in (one.text, *one.evidence)})
        parts.append(Tokenized(held, dict(zip(texts, token_ids(texts, MAX_TOKENS), strict=True))))
    return parts


class Nearest:
    """The packaged encoder, on the verifier's device and in its number format."""

    def __init__(self, device: torch.device, dtype: torch.dtype, batch_tokens: int, fixed: bool) -> None:
        self._loaded: Loaded = CACHE.get(
            ("embedding", str(packaged_folder()), device, dtype),
            lambda: load_pretrained(str(packaged_folder()), AutoModel, device, dtype),
        )
        self._batch_tokens, self._fixed = batch_tokens, fixed

    def compile(self) -> None:
        """Compile the encoder at its next use."""
        self._loaded = compiled(self._loaded)

    def similarities(self, parts: Sequence[Tokenized], stats: Stats) -> list[list[float]]:
        """For each claim of each sample the mean similarity, -1 to 1, of its LONELIEST tokens to their nearest ones in
        the evidence; 0 where there is no evidence."""
        found: list[list[float]] = []
        for held in parts:
            states = dict(zip(held.ids, self._states(list(held.ids.values()), stats), strict=True))
            found += [
                [_similarity(states[one.text], [states[text] for text in one.evidence]) for one in claims]
                for claims in held.samples
            ]
        return found

    def _states(self, ids: list[list[int]], stats: Stats) -> list[tuple[list[int], States]]:
        lengths = [len(row) for row in ids]
        rows = run_batched(ids, lengths, self._compute, self._batch_tokens, stats, fixed=self._fixed)
        # Without the tokens that begin and end every text.
        return [(row[1:-1], state[1 : len(row) - 1]) for row, state in zip(ids, rows, strict=True)]

    @torch.inference_mode()
    def _compute(self, batch: list[list[int]], length: int) -> list[States]:
        device = self._loaded.device
        ids = torch.tensor([row + [0] * (length - len(row)) for row in batch], device=device)
        mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in batch], device=device)
        states = self._loaded.model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        return list(torch.nn.functional.normalize(states, dim=-1).half().cpu().numpy())


def _similarity(claim: tuple[list[int], States], evidence: Sequence[tuple[list[int], States]]) -> float:
    ids, states = claim
    if not ids or not any(len(other) for other, _ in evidence):
        return 0.0
    telling = ~_short_pieces()[ids]
    kept = states[telling] if telling.any() else states
    beside = np.concatenate([state for _, state in evidence]).astype(np.float32)
    nearest = (kept.astype(np.float32) @ beside.T).max(axis=1)
    return float(np.sort(nearest)[:LONELIEST].mean())
