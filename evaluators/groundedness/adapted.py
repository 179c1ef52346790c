"""The offline verifier: packaged MiniLM sentence weights, turned into a cross-encoder by low-rank adapters."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedModel

# Attention and feed-forward matrices of a BERT layer; embeddings stay as they come in the package.
_ADAPTED = ("query", "key", "value", "dense")


class AdaptedLinear(nn.Module):
    """W x + B A x with rank r: a frozen matrix and the update of LoRA (Hu et al., arXiv 2106.09685).

    A starts at random and B at zero, so an untrained adapter leaves the outputs as they are. The update is kept in fp32
    and applied beside the matrix, not added to it: that spares the backward pass a gradient of W's size, and in
    bfloat16 no small step is rounded away.
    """

    def __init__(self, frozen: nn.Linear, rank: int) -> None:
        super().__init__()
        rows, columns = frozen.weight.shape
        self.frozen = frozen
        self.a = nn.Parameter(torch.randn(rank, columns) / columns**0.5)
        self.b = nn.Parameter(torch.zeros(rows, rank))

    def forward(self, x: Tensor) -> Tensor:
        down = nn.functional.linear(x, self.a.to(x.dtype))
        out: Tensor = self.frozen(x) + nn.functional.linear(down, self.b.to(x.dtype))
        return out

    def merged(self) -> nn.Linear:
        """One matrix with the update added in, in the type of the frozen one."""
        weight = self.frozen.weight.detach().float() + self.b.detach() @ self.a.detach()
        self.frozen.weight = nn.Parameter(weight.to(self.frozen.weight.dtype), requires_grad=False)
        return self.frozen


class AdaptedVerifier(nn.Module):
    """A pair (evidence, claim) to one logit of support, and a logit of being unsupported for each token."""

    def __init__(self, encoder: PreTrainedModel) -> None:
        super().__init__()
        self.encoder = encoder
        size: int = encoder.config.hidden_size
        self.pooler = nn.Linear(size, size)
        self.pair_head = nn.Linear(size, 1)
        self.token_head = nn.Linear(size, 1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> tuple[Tensor, Tensor]:
        """`(n, length)` ids, mask and segments to `(n,)` support logits and `(n, length)` unsupported-token logits."""
        hidden = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state
        pooled = torch.tanh(self.pooler(hidden[:, 0].float()))
        return self.pair_head(pooled).squeeze(-1), self.token_head(hidden.float()).squeeze(-1)


def load_encoder(folder: Path, dtype: torch.dtype, attention: str) -> PreTrainedModel:
    """The packaged encoder, safetensors only, without its unused pooler.

    `attention` is `eager` to train, `sdpa` to infer: on a CPU with AMX, SDPA's forward pass takes two thirds of the
    eager one's time, and its backward pass one and a half times as long.
    """
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    encoder: PreTrainedModel = AutoModel.from_pretrained(
        folder,
        config=config,
        attn_implementation=attention,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        dtype=dtype,
    )
    encoder.register_module("pooler", None)
    return encoder


def add_adapters(model: AdaptedVerifier, rank: int) -> None:
    """Freeze the encoder and give each of its matrices a trainable low-rank update."""
    for parameter in model.encoder.parameters():
        parameter.requires_grad_(False)
    for name, module in list(model.encoder.named_modules()):
        if isinstance(module, nn.Linear) and name.rsplit(".", 1)[-1] in _ADAPTED:
            model.encoder.set_submodule(name, AdaptedLinear(module, rank))


def merge_adapters(model: AdaptedVerifier) -> None:
    """Plain matrices again, as fast as without adapters."""
    for name, module in list(model.encoder.named_modules()):
        if isinstance(module, AdaptedLinear):
            model.encoder.set_submodule(name, module.merged())


def save_adapters(model: AdaptedVerifier, path: Path, metadata: dict[str, str]) -> None:
    """Write what was trained, in bfloat16; `metadata` (rank, seed, data) goes into the file's header."""
    trained = {
        name: parameter.detach().to(torch.bfloat16).contiguous()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    save_file(trained, path, metadata=metadata)


def load_adapted(folder: Path, adapters: Path, dtype: torch.dtype) -> AdaptedVerifier:
    """The packaged encoder in `dtype` with trained adapters merged into its weights, heads in fp32, for inference.

    Raises ValueError if the file holds other parameters than this architecture has.
    """
    state = {name: tensor.float() for name, tensor in load_file(adapters).items()}
    rank = next(tensor.shape[0] for name, tensor in state.items() if name.endswith(".a"))
    model = AdaptedVerifier(load_encoder(folder, dtype, "sdpa"))
    add_adapters(model, rank)
    expected = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    if expected != set(state):
        raise ValueError(f"{adapters.name} does not fit the packaged encoder: {sorted(expected ^ set(state))[:3]}")
    model.load_state_dict(state, strict=False)
    merge_adapters(model)
    return model.eval().requires_grad_(False)
