"""HHEM-2.1-Open: a T5 token classifier whose repository asks for its own code to be run. Here its weights are read into
transformers' own T5 instead, whose shape is told by the tensors themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoTokenizer, T5Config, T5ForTokenClassification

from evaluators.groundedness.claims import ClaimBackend
from evaluators.models import CACHE, Loaded, ModelNotFoundError, ModelRefusedError, hash_files

_PREFIX = "t5."
_PROMPT = "<pad> Determine if the hypothesis is true given the premise?\n\nPremise: {premise}\n\nHypothesis: {claim}"
# Whose tokenizer the model uses, where its folder holds none.
FOUNDATION = "google/flan-t5-base"
# T5 takes any length, but the encoder was trained on 512 tokens and its authors report worse scores beyond.
TOKENS = 512


def shape(state: dict[str, Tensor]) -> T5Config:
    """The configuration of the T5 encoder whose weights these are."""
    vocabulary, width = state["transformer.shared.weight"].shape
    block = "transformer.encoder.block.{}.layer.{}"
    layers = 0
    while block.format(layers, 0) + ".layer_norm.weight" in state:
        layers += 1
    buckets, heads = state[block.format(0, 0) + ".SelfAttention.relative_attention_bias.weight"].shape
    gated = block.format(0, 1) + ".DenseReluDense.wi_0.weight" in state
    inner = state[block.format(0, 1) + (".DenseReluDense.wi_0.weight" if gated else ".DenseReluDense.wi.weight")]
    config = T5Config(
        vocab_size=vocabulary,
        d_model=width,
        d_ff=inner.shape[0],
        d_kv=state[block.format(0, 0) + ".SelfAttention.q.weight"].shape[0] // heads,
        num_heads=heads,
        num_layers=layers,
        relative_attention_num_buckets=buckets,
        feed_forward_proj="gated-gelu" if gated else "relu",
    )
    config.num_labels = state["classifier.weight"].shape[0]
    return config


def _folder(model: str) -> Path:
    if Path(model).is_dir():
        return Path(model)
    try:
        return Path(snapshot_download(model, allow_patterns=["*.safetensors", "*.json", "*.model"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, ValueError) as error:
        raise ModelNotFoundError(f"{model}: no such folder, and not to be had from the hub: {error}") from error


def _load(model: str, device: torch.device, dtype: torch.dtype) -> Loaded:
    folder = _folder(model)
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelRefusedError(f"{model}: no weights in safetensors format")
    state = {name.removeprefix(_PREFIX): tensor for file in files for name, tensor in load_file(file).items()}
    shared = state.get("transformer.shared.weight", state.get("transformer.encoder.embed_tokens.weight"))
    if shared is None or "classifier.weight" not in state:
        raise ModelRefusedError(f"{model}: the weights are not those of a T5 token classifier")
    state["transformer.shared.weight"] = state["transformer.encoder.embed_tokens.weight"] = shared
    network = T5ForTokenClassification(shape(state))
    network.load_state_dict(state)
    source = folder if (folder / "tokenizer_config.json").exists() else FOUNDATION
    tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    network.train(False)
    for parameter in network.parameters():
        parameter.data = parameter.data.to(device, dtype)
    return Loaded(network, tokenizer, model, hash_files(files), device, dtype)


def _read(network: Any, inputs: dict[str, Tensor]) -> Tensor:
    """The verdict stands on the first token, the <pad> that opens the prompt."""
    return torch.softmax(network(**inputs).logits[:, 0].float(), dim=-1)[:, 1]


def load(model: str, device: torch.device, dtype: torch.dtype, batch_tokens: int) -> ClaimBackend:
    """Raises ModelError and its kinds."""
    loaded = CACHE.get(("hhem", model, device, dtype), lambda: _load(model, device, dtype))
    return ClaimBackend(
        "hhem",
        loaded,
        TOKENS,
        lambda premise, claim: _PROMPT.format(premise=premise, claim=claim),
        _read,
        batch_tokens,
    )
