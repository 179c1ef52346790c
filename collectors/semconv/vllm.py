"""Spans of the model servers vLLM and SGLang, `gen_ai.latency.*`, and what Datadog's tracer says about vLLM.

https://docs.vllm.ai/en/stable/examples/online_serving/opentelemetry.html
"""

from collectors.semconv.table import Dialect

DIALECT = Dialect(
    name="vllm",
    fields={
        "input_tokens": ("vllm.usage.prompt_tokens",),
        "output_tokens": ("vllm.usage.completion_tokens",),
        "cache_read_tokens": ("gen_ai.usage.cached_tokens",),
        "ttft_ns": ("gen_ai.latency.time_to_first_token", "vllm.latency.ttft"),
        "queue_ns": ("gen_ai.latency.time_in_queue", "vllm.latency.queue"),
        "prefill_ns": (
            "gen_ai.latency.time_in_model_prefill",
            "gen_ai.latency.time_to_prefill",
            "vllm.latency.prefill",
        ),
        "decode_ns": ("gen_ai.latency.time_in_model_decode", "vllm.latency.decode"),
        "response_id": ("gen_ai.request.id",),
    },
    operations={"llm_request": "llm"},
)
