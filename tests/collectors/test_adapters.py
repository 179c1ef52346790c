"""Which LoRA answered: a key of its own, a header, a request's parameters, or the model's name."""

from typing import Any

import pytest

from collectors.otlp.remap import remap
from collectors.semconv.dialects import INDEX
from tests.collectors.build import decode_spans, row_of, span

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "Qwen3-8B"}
CASES: list[tuple[dict[str, Any], str]] = [
    (CHAT | {"lora.adapter": "support"}, "support"),
    (CHAT | {"adapter_id": "org/support"}, "org/support"),
    (CHAT | {"http.response.header.x-adapter-id": ["support"]}, "support"),
    (CHAT | {"http.response.header.x-adapter-id": '["support"]'}, "support"),
    # LoRAX's own span, which prints the request's parameters.
    (
        {"queue_time": "1ms", "parameters": 'GenerateParameters { adapter_id: Some("org/support"), seed: None }'},
        "org/support",
    ),
    ({"queue_time": "1ms", "parameters": "GenerateParameters { adapter_id: None, seed: None }"}, ""),
    # SGLang is asked for base:adapter, and may answer with its base.
    ({"gen_ai.request.model": "Qwen/Qwen3-8B:support"}, "support"),
    ({"gen_ai.request.model": "Qwen/Qwen3-8B:support", "gen_ai.response.model": "Qwen/Qwen3-8B"}, "support"),
    ({"gen_ai.request.model": "llama-lora-sql"}, "llama-lora-sql"),
    # What a sender states goes before what a name may mean.
    ({"gen_ai.request.model": "Qwen/Qwen3-8B:support", "lora.adapter": "legal"}, "legal"),
    (CHAT, ""),
]


@pytest.mark.parametrize(("attributes", "adapter"), CASES)
def test_an_adapter_is_found_where_senders_name_it(attributes: dict[str, Any], adapter: str) -> None:
    decoded = decode_spans(span(attributes))
    assert decoded.columns["adapter"] == [adapter]
    again = remap(decoded.columns, was=[INDEX])
    assert again["adapter"] == [adapter]


def test_an_adapter_alone_makes_no_call_of_a_model() -> None:
    row = row_of({"adapter_id": "eth0"})
    assert (row["kind"], row["dialect"], row["adapter"]) == ("other", "", "eth0")
