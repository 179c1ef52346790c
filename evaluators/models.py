"""Loading models from a folder or a Hugging Face id: weights as safetensors, no code from the repository, a cache."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer, PretrainedConfig, PreTrainedTokenizerBase

from evaluators.devices import memory_budget
from evaluators.errors import UsageError


class ModelError(UsageError):
    """A model could not be had; the text says what to do about it."""


class ModelRefusedError(ModelError):
    """The model would have to run code from its repository, or unpickle its weights."""


class ModelNotFoundError(ModelError):
    """No such folder, and no such id on the hub or in its cache."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model ready for inference, its tokenizer, and what its scores must be attributed to."""

    model: Any
    tokenizer: PreTrainedTokenizerBase
    name: str
    revision: str
    device: torch.device
    dtype: torch.dtype

    @property
    def bytes(self) -> int:
        return sum(item.numel() * item.element_size() for item in self.model.parameters())


def read_config(model: str) -> PretrainedConfig:
    """The configuration of a model. Raises ModelRefusedError if only the repository's own code can read it, and
    ModelNotFoundError if there is none."""
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(model, trust_remote_code=False)
    except ValueError as error:
        raise ModelRefusedError(
            f"{model}: transformers does not know this architecture and would have to run code from the repository"
        ) from error
    except OSError as error:
        raise ModelNotFoundError(f"{model}: no such folder, and not to be had from the hub: {error}") from error
    return config


def architecture(model: str) -> str:
    """Lower-cased model type and architectures that a configuration names, read without running any code."""
    try:
        given, _ = PretrainedConfig.get_config_dict(model)
    except OSError as error:
        raise ModelNotFoundError(f"{model}: no such folder, and not to be had from the hub: {error}") from error
    return " ".join([str(given.get("model_type", "")), *(given.get("architectures") or [])]).lower()


def load_pretrained(model: str, auto_class: Any, device: torch.device, dtype: torch.dtype, **options: Any) -> Loaded:
    """A model of `auto_class` (AutoModelForSequenceClassification, say) with its tokenizer, in inference mode."""
    config = read_config(model)
    try:
        loaded = auto_class.from_pretrained(
            model, config=config, dtype=dtype, trust_remote_code=False, use_safetensors=True, **options
        )
    except OSError as error:
        raise ModelRefusedError(
            f"{model}: no weights in safetensors format; loading pickled weights runs code, so convert them first"
        ) from error
    tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
    return Loaded(loaded.eval().to(device), tokenizer, model, revision_of(model, config), device, dtype)


def revision_of(model: str, config: PretrainedConfig | None = None) -> str:
    """Commit of a model from the hub, or a hash over the weights and the configuration of one in a folder."""
    commit = getattr(config, "_commit_hash", None)
    if commit:
        return str(commit)[:12]
    return hash_files(sorted([*Path(model).glob("*.safetensors"), *Path(model).glob("config.json")]))


def hash_files(paths: list[Path]) -> str:
    """Twelve hexadecimal digits over names and contents."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]


class ModelCache:
    """Models by key, the least recently used dropped when they outgrow the device's budget; safe from threads.

    A model larger than the whole budget is still kept until another one is loaded, since it is needed now.
    """

    def __init__(self, budget: int | None = None) -> None:
        self._budget = budget
        self._models: OrderedDict[Hashable, Loaded] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, load: Callable[[], Loaded]) -> Loaded:
        """The model under `key`, loaded if it is not there. Loading is serial: two at once would double the peak."""
        with self._lock:
            if key not in self._models:
                self._models[key] = load()
                self._evict(self._models[key].device)
            self._models.move_to_end(key)
            return self._models[key]

    def _evict(self, device: torch.device) -> None:
        budget = self._budget if self._budget is not None else memory_budget(device)
        held = [key for key, item in self._models.items() if item.device == device]
        total = sum(self._models[key].bytes for key in held)
        for key in held[:-1]:
            if total <= budget:
                break
            total -= self._models.pop(key).bytes
        if device.type == "cuda":
            torch.cuda.empty_cache()

    def __len__(self) -> int:
        return len(self._models)

    def clear(self) -> None:
        with self._lock:
            self._models.clear()


CACHE = ModelCache()


def positions(loaded: Loaded) -> int:
    """Tokens that a model reads at once: what its positions allow or its tokenizer names, whichever is less."""
    config = loaded.model.config
    # RoBERTa's first two positions are not used for tokens: it counts from behind the padding token.
    offset = 2 if config.model_type in ("roberta", "xlm-roberta", "camembert") else 0
    return min(int(config.max_position_embeddings) - offset, int(loaded.tokenizer.model_max_length))
