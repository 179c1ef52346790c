"""The calculators give the figures that were checked by hand, and refuse what hardware cannot do."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectors.model_names import parse
from serving_math import memory, roofline
from serving_math.architectures import Architecture, architecture_from_config, architecture_of, with_params
from serving_math.gpus import GPUS, Gpu, gpu_of
from serving_math.known import DataError, Unknown
from serving_math.roofline import Range


def shape(name: str) -> Architecture:
    said = parse(name)
    found = architecture_of(
        said.family or "", said.version or "", said.params_total, said.experts or "", tuple(said.variant)
    )
    assert isinstance(found, Architecture), found
    return found


def gpu(name: str) -> Gpu:
    found = gpu_of(name)
    assert isinstance(found, Gpu), found
    return found


@pytest.mark.parametrize(
    ("model", "tokens", "gib"),
    [
        ("Llama-3-8B", 8 * 1024, 1.00),
        ("Llama-3.1-8B-Instruct", 128 * 1024, 16.0),
        ("Meta-Llama-3-70B", 4 * 1024, 1.25),
        ("Llama-3.3-70B-Instruct", 128 * 1024, 40.0),
    ],
)
def test_the_cache_of_a_sequence(model: str, tokens: int, gib: float) -> None:
    it = shape(model)
    assert memory.kv_bytes_per_token(it.layers, it.kv_width) * tokens / memory.GIB == pytest.approx(gib, rel=1e-12)


def test_forty_gigabytes_hold_thirty_sequences_of_a_70b_and_not_two_hundred_and_fifty() -> None:
    it = shape("Llama-3-70B")
    each = memory.kv_bytes_per_token(it.layers, it.kv_width)
    assert memory.kv_capacity(40e9, 1, 0, each, 4096, usable=1.0).sequences == 29
    assert memory.kv_capacity(40 * memory.GIB, 1, 0, each, 4096, usable=1.0).sequences == 32


def test_weights_that_do_not_fit_leave_no_room() -> None:
    found = memory.kv_capacity(80e9, 1, memory.weight_bytes(70.6e9, 16), 327_680, 4096)
    assert found.room_bytes < 0
    assert (found.tokens, found.sequences) == (0, 0)


@pytest.mark.parametrize(("tokens_per_s", "batch", "mbu", "mfu"), [(150, 1, 0.73, 0.0024), (2_400, 32, 0.55, 0.039)])
def test_use_of_an_h100_by_an_8b_in_bf16_at_2k(tokens_per_s: float, batch: int, mbu: float, mfu: float) -> None:
    it, card = shape("Llama-3.1-8B"), gpu("NVIDIA H100 80GB HBM3")
    assert it.params is not None
    assert it.active_params is not None
    weights = memory.weight_bytes(it.params, 16)
    step = roofline.bytes_per_step(
        Range(weights, weights), memory.kv_bytes_per_token(it.layers, it.kv_width), 2048, batch
    )
    peak = card.peak("bf16", sparse=False)
    assert isinstance(peak, float)
    used = roofline.mbu(step, tokens_per_s / batch, card.bandwidth, 1)
    assert (round(used.low, 2), used.low) == (mbu, used.high)
    assert roofline.mfu(it.active_params, tokens_per_s, peak, 1) == pytest.approx(mfu, rel=0.02)
    assert roofline.bound_of(step, batch, it.active_params, peak / card.bandwidth) == "memory"


def test_the_ceiling_of_an_8b_on_an_h100() -> None:
    it, card = shape("Llama-3.1-8B"), gpu("H100 SXM")
    assert it.params is not None
    weights = memory.weight_bytes(it.params, 16)
    alone = roofline.ceiling(Range(weights, weights), 1, it.params, card.bandwidth, 989e12, 1)
    assert round(alone) == 209
    # A batch so large that arithmetic is the limit.
    assert roofline.ceiling(Range(weights, weights), 10_000, it.params, card.bandwidth, 989e12, 1) == pytest.approx(
        989e12 / (2 * it.params)
    )


@pytest.mark.parametrize(("stage", "gigabytes"), [(0, 120.0), (1, 41.25), (2, 28.125), (3, 15.0)])
def test_zero_of_seven_and_a_half_billion_parameters_on_eight_gpus(stage: int, gigabytes: float) -> None:
    """Rounded they are the published 120, 41.3, 28.1 and 15.0."""
    assert memory.zero_bytes(7.5e9, 8, stage) / 1e9 == pytest.approx(gigabytes)


@pytest.mark.parametrize(
    ("name", "ridge"),
    [("A100 80GB SXM", 153), ("H100 SXM", 295), ("H200 SXM", 206), ("L40S", 419), ("L4", 403), ("MI300X", 247)],
)
def test_the_ridge_of_dense_bf16(name: str, ridge: int) -> None:
    assert gpu(name).ridge("bf16") == pytest.approx(ridge, rel=0.005)


def test_sparse_and_dense_peaks_are_never_mixed_up() -> None:
    card = gpu("NVIDIA H100 80GB HBM3")
    assert (card.peak("bf16", sparse=False), card.peak("bf16", sparse=True)) == (989e12, 1978e12)
    assert isinstance(gpu("Tesla T4").peak("bf16", sparse=False), Unknown)
    assert isinstance(gpu("Tesla T4").peak("fp16", sparse=True), Unknown)
    assert isinstance(card.peak("tf32", sparse=False), Unknown)


@pytest.mark.parametrize(
    "name", ["NVIDIA H100 PCIe", "NVIDIA H100 NVL", "NVIDIA A100-PCIE-40GB", "NVIDIA L40", "", "M4"]
)
def test_other_forms_of_a_chip_are_other_gpus(name: str) -> None:
    assert isinstance(gpu_of(name), Unknown)


def test_every_gpu_states_its_source_and_date() -> None:
    assert all(card.source and card.date for card in GPUS)
    assert len({card.name for card in GPUS}) == len(GPUS)


def test_more_than_the_hardware_can_do_is_an_error_in_the_data() -> None:
    with pytest.raises(DataError, match="MFU would be 162%"):
        roofline.mfu(8e9, 100_000, 989e12, 1)
    with pytest.raises(DataError, match="MBU"):
        roofline.mbu(Range(16e9, 16e9), 300, 3.35e12, 1)


def test_a_mixture_of_experts_reads_a_range() -> None:
    it = shape("Mixtral-8x7B-v0.1")
    assert it.is_mixture
    assert it.params is not None
    assert it.active_params is not None
    active, everything = it.active_params * 2, it.params * 2
    assert roofline.experts_read(active, everything, 1) == Range(active, active)
    assert roofline.experts_read(active, everything, 64) == Range(active, everything)


CONFIG = {"model_type": "llama", "num_hidden_layers": 32, "num_attention_heads": 32, "hidden_size": 4096}


@pytest.mark.parametrize(
    ("changes", "kv_width"),
    [
        ({"num_key_value_heads": 8}, 2048),
        ({}, 8192),
        ({"num_key_value_heads": 8, "head_dim": 64}, 1024),
        ({"kv_lora_rank": 512, "qk_rope_head_dim": 64}, 576),
        ({"sliding_window": None, "num_key_value_heads": 8}, 2048),
        ({"sliding_window": 4096, "use_sliding_window": False, "num_key_value_heads": 8}, 2048),
    ],
)
def test_a_config_json_gives_the_shape(changes: dict[str, Any], kv_width: int) -> None:
    found = architecture_from_config(json.dumps(CONFIG | changes))
    assert isinstance(found, Architecture)
    assert (found.layers, found.kv_width, found.params) == (32, kv_width, None)
    nested = architecture_from_config(json.dumps({"model_type": "llava", "text_config": CONFIG | changes}))
    assert isinstance(nested, Architecture)
    assert nested.kv_width == kv_width
    assert with_params(found, 8, None).active_params == 8e9


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no JSON"),
        ("[]", "object"),
        ("{}", "states no"),
        (json.dumps(CONFIG | {"sliding_window": 4096}), "sliding window"),
        (json.dumps(CONFIG | {"num_hidden_layers": -1}), "states no"),
        (" " * 300_000, "characters"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_what_a_config_json_does_not_say_is_not_guessed(text: str, reason: str) -> None:
    found = architecture_from_config(text)
    assert isinstance(found, Unknown)
    assert reason in found.reason


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(st.sampled_from(sorted({*CONFIG, "text_config", "head_dim", "kv_lora_rank"})), x)
        ),
        max_leaves=12,
    )
)
def test_any_json_is_a_shape_or_a_reason(value: Any) -> None:
    found = architecture_from_config(json.dumps(value))
    assert isinstance(found, (Architecture, Unknown))


@pytest.mark.parametrize(
    "name", ["gpt-4o", "Mistral-7B-v0.1", "Qwen3-VL-8B-Instruct", "DeepSeek-R1-Distill-Llama-8B", "gemma-3-27b-it", ""]
)
def test_models_whose_shape_is_not_in_the_table_have_a_reason(name: str) -> None:
    said = parse(name)
    found = architecture_of(
        said.family or "", said.version or "", said.params_total, said.experts or "", tuple(said.variant)
    )
    assert isinstance(found, Unknown)
    assert "config.json" in found.reason


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("Qwen/Qwen2.5-7B-Instruct-AWQ", 7.62),
        ("qwen3:8b", 8.2),
        ("Qwen/Qwen3-30B-A3B", 30.5),
        ("microsoft/phi-4", 14.7),
    ],
)
def test_names_as_they_are_served_find_their_shape(name: str, billions: float) -> None:
    assert shape(name).params == pytest.approx(billions * 1e9)


def test_deepseek_keeps_one_latent_for_all_heads() -> None:
    it = shape("deepseek-ai/DeepSeek-V3")
    assert memory.kv_bytes_per_token(it.layers, it.kv_width) == 61 * 576 * 2
