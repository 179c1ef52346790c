"""A chat model of transformers in this process, as judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from evaluators.devices import choose_device, choose_dtype
from evaluators.judges.completion import Completion
from evaluators.judges.errors import RefusedError
from evaluators.models import CACHE, Loaded, load_pretrained, positions

# A verdict is a reason of some sentences and a number.
MAX_NEW_TOKENS = 512


@dataclass(frozen=True, slots=True)
class LocalChat:
    """`model` is a folder or a Hugging Face id with safetensors; it answers greedily, the same to the same."""

    model: str
    device: str | None = None
    max_new_tokens: int = MAX_NEW_TOKENS

    @property
    def identity(self) -> str:
        """The model and the revision of its weights."""
        return f"transformers {_loaded(self.model, self.device).revision}"

    @property
    def is_remote(self) -> bool:
        """No: it occupies a device here."""
        return False

    def complete(self, messages: list[dict[str, str]], schema: Mapping[str, Any]) -> Completion:
        """The answer to the messages.

        Raises RefusedError for more than the model reads, ModelError and its kinds where it is not to be had.
        """
        loaded = _loaded(self.model, self.device)
        tokens = _tokens(loaded, messages).to(loaded.device)
        room = positions(loaded) - self.max_new_tokens
        if tokens.shape[1] > room:
            raise RefusedError(f"{tokens.shape[1]} tokens are more than the {room} that {self.model} reads")
        with torch.inference_mode():
            output = loaded.model.generate(
                tokens,
                attention_mask=torch.ones_like(tokens),
                max_new_tokens=self.max_new_tokens,
                do_sample=False,
                pad_token_id=loaded.tokenizer.eos_token_id,
            )
        answer = output[0, tokens.shape[1] :]
        text = str(loaded.tokenizer.decode(answer, skip_special_tokens=True))
        return Completion(text, tokens.shape[1], len(answer))


def _tokens(loaded: Loaded, messages: Sequence[Mapping[str, str]]) -> torch.Tensor:
    if loaded.tokenizer.chat_template:
        given = loaded.tokenizer.apply_chat_template(
            [dict(message) for message in messages], add_generation_prompt=True, tokenize=False
        )
    else:
        # A model without a template was not trained on turns; it reads them as a text that goes on.
        given = "\n\n".join(f"{message['role']}: {message['content']}" for message in messages) + "\n\nassistant: "
    ids: torch.Tensor = loaded.tokenizer(str(given), return_tensors="pt", add_special_tokens=False)["input_ids"]
    return ids


def _loaded(model: str, device: str | None) -> Loaded:
    where = choose_device(device)
    dtype = choose_dtype(where)
    return CACHE.get(
        ("chat", model, str(where), dtype), lambda: load_pretrained(model, AutoModelForCausalLM, where, dtype)
    )
