"""The shape of models, as far as memory and arithmetic need it: from a small table, or from the user's `config.json`.

The table holds models whose every layer attends to the whole context. Layers, heads and sizes were compared with
litgpt's configurations (commit 26857050, 2026-06-29), but for DeepSeek-V3's, which are those of its `config.json`;
parameters are the totals of the published weights. Models with sliding windows need less memory than the formula says
and are left out.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from serving_math.known import Unknown

# Far above any model's `config.json`.
MAX_CONFIG_CHARS = 200_000
_LARGEST = 10**7
# Of these the text model has another shape than the name says, or there is none.
_OTHER_SHAPES = frozenset({"vl", "vision", "omni", "audio", "embedding", "reranker", "distill", "ocr", "guard"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Parameters in units; `kv_width` is how many numbers a token leaves in a layer's key-value cache.

    With grouped heads that is 2 x KV heads x head size; with latent attention (DeepSeek) the latent's size.
    """

    name: str
    layers: int
    kv_width: int
    params: float | None
    active_params: float | None
    source: str

    @property
    def is_mixture(self) -> bool:
        """Whether a token uses a part of the parameters only."""
        return self.params is not None and self.active_params is not None and self.active_params < self.params


@dataclass(frozen=True, slots=True)
class _Row:
    family: str
    versions: tuple[str, ...]
    size: str
    layers: int
    kv_heads: int
    head_size: int
    params_b: float
    active_b: float | None = None


_TABLE = (
    _Row("llama", ("3", "3.1"), "8", 32, 8, 128, 8.03),
    _Row("llama", ("3", "3.1", "3.3"), "70", 80, 8, 128, 70.6),
    _Row("llama", ("3.1",), "405", 126, 8, 128, 405.9),
    _Row("llama", ("3.2",), "1", 16, 8, 64, 1.24),
    _Row("llama", ("3.2",), "3", 28, 8, 128, 3.21),
    _Row("llama", ("2",), "7", 32, 32, 128, 6.74),
    _Row("llama", ("2",), "13", 40, 40, 128, 13.0),
    _Row("llama", ("2",), "70", 80, 8, 128, 69.0),
    # Version 0.1 has a sliding window.
    _Row("mistral", ("0.2", "0.3"), "7", 32, 8, 128, 7.25),
    _Row("mixtral", ("", "0.1"), "8x7B", 32, 8, 128, 46.7, 12.9),
    _Row("mixtral", ("", "0.1", "0.3"), "8x22B", 56, 8, 128, 140.6, 39.1),
    _Row("qwen", ("2.5",), "0.5", 24, 2, 64, 0.49),
    _Row("qwen", ("2.5",), "1.5", 28, 2, 128, 1.54),
    _Row("qwen", ("2.5",), "3", 36, 2, 128, 3.09),
    _Row("qwen", ("2.5",), "7", 28, 4, 128, 7.62),
    _Row("qwen", ("2.5",), "14", 48, 8, 128, 14.8),
    _Row("qwen", ("2.5",), "32", 64, 8, 128, 32.8),
    _Row("qwen", ("2.5",), "72", 80, 8, 128, 72.7),
    _Row("qwq", ("",), "32", 64, 8, 128, 32.8),
    _Row("qwen", ("3",), "0.6", 28, 8, 128, 0.6),
    _Row("qwen", ("3",), "1.7", 28, 8, 128, 1.7),
    _Row("qwen", ("3",), "4", 36, 8, 128, 4.0),
    _Row("qwen", ("3",), "8", 36, 8, 128, 8.2),
    _Row("qwen", ("3",), "14", 40, 8, 128, 14.8),
    _Row("qwen", ("3",), "32", 64, 8, 128, 32.8),
    _Row("qwen", ("3",), "30", 48, 4, 128, 30.5, 3.3),
    _Row("qwen", ("3",), "235", 94, 4, 128, 235.0, 22.0),
    _Row("phi", ("4",), "", 40, 10, 128, 14.7),
)
_DEEPSEEK_V3 = Architecture(
    name="deepseek 3",
    layers=61,
    # Latent of 512 and a rotary key of 64, kept once for all heads.
    kv_width=576,
    params=671e9,
    active_params=37e9,
    source="config.json of DeepSeek-V3",
)


def architecture_of(
    family: str, version: str = "", params_b: float | None = None, experts: str = "", variants: tuple[str, ...] = ()
) -> Architecture | Unknown:
    """Return the shape of a model by what its name says (parameters in billions), or why it is not known."""
    said = " ".join(part for part in (family, version, experts or (f"{params_b:g}B" if params_b else "")) if part)
    other = sorted(_OTHER_SHAPES.intersection(variants))
    if other:
        return Unknown(f"{said} is a {other[0]} model, whose shape its name does not give: paste its config.json")
    if family == "deepseek" and version in ("3", "r1") and params_b in (None, 671.0):
        return _DEEPSEEK_V3
    size = experts or (f"{params_b:g}" if params_b else "")
    for row in _TABLE:
        if row.family == family and version in row.versions and row.size.lower() == size.lower():
            return Architecture(
                name=said,
                layers=row.layers,
                kv_width=2 * row.kv_heads * row.head_size,
                params=row.params_b * 1e9,
                active_params=(row.active_b or row.params_b) * 1e9,
                source="table by family (litgpt 26857050, 2026-06-29)",
            )
    return Unknown(f"{said or 'a model of no known family'} is not in the table: paste its config.json")


def architecture_from_config(text: str) -> Architecture | Unknown:
    """Return the shape that a `config.json` of Hugging Face states, or why it states none. Never raises.

    Parameters are not in such a file: they stay None, and are taken from the name or from the user.
    """
    if len(text) > MAX_CONFIG_CHARS:
        return Unknown(f"a config.json has at most {MAX_CONFIG_CHARS:,} characters")
    try:
        config = json.loads(text)
    except (ValueError, RecursionError):
        return Unknown("this is no JSON")
    if not isinstance(config, dict):
        return Unknown("a config.json holds an object")
    inner = config.get("text_config")
    config = inner if isinstance(inner, dict) else config
    if _slides(config):
        return Unknown("the model attends through a sliding window: its cache is smaller than the formula here says")
    layers, width = _count(config, "num_hidden_layers", "n_layer"), _kv_width(config)
    if layers is None or width is None:
        return Unknown("the config.json states no num_hidden_layers, or no attention heads and hidden_size")
    name = config.get("model_type")
    return Architecture(
        name=name[:80] if isinstance(name, str) else "config.json",
        layers=layers,
        kv_width=width,
        params=None,
        active_params=None,
        source="config.json as given",
    )


def with_params(shape: Architecture, params_b: float | None, active_b: float | None) -> Architecture:
    """Return the shape with parameters, in billions, that it does not state itself."""
    params = shape.params if shape.params is not None else params_b * 1e9 if params_b else None
    active = shape.active_params if shape.active_params is not None else (active_b * 1e9 if active_b else params)
    return replace(shape, params=params, active_params=active)


def _slides(config: Mapping[str, Any]) -> bool:
    window = config.get("sliding_window")
    return isinstance(window, int) and window > 0 and config.get("use_sliding_window", True) is not False


def _kv_width(config: Mapping[str, Any]) -> int | None:
    latent, rotary = _count(config, "kv_lora_rank"), _count(config, "qk_rope_head_dim")
    if latent is not None and rotary is not None:
        return latent + rotary
    heads = _count(config, "num_attention_heads", "n_head")
    hidden = _count(config, "hidden_size", "n_embd")
    size = _count(config, "head_dim") or (hidden // heads if hidden and heads else None)
    kv_heads = _count(config, "num_key_value_heads") or heads
    return 2 * kv_heads * size if kv_heads and size else None


def _count(config: Mapping[str, Any], *keys: str) -> int | None:
    for key in keys:
        value = config.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < _LARGEST:
            return value
    return None
