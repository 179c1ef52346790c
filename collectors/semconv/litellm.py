"""LiteLLM's OpenTelemetry callback: OpenTelemetry's keys, its own costs and metadata beside them.

https://docs.litellm.ai/docs/observability/opentelemetry_integration
"""

from collectors.semconv.convert import Spread, always, count, python_literal
from collectors.semconv.table import Dialect, Source

# Cached and reasoning tokens stand nowhere else; the object is what Python's `str` makes of a dictionary.
USAGE = {
    "prompt_tokens_details.cached_tokens": ("cache_read_tokens", count),
    "completion_tokens_details.reasoning_tokens": ("reasoning_tokens", count),
    "prompt_tokens_details.audio_tokens": ("tokens.audio_input", count),
    "prompt_tokens_details.image_tokens": ("tokens.image_input", count),
    "prompt_tokens_details.video_tokens": ("tokens.video_input", count),
    "completion_tokens_details.audio_tokens": ("tokens.audio_output", count),
    "completion_tokens_details.image_tokens": ("tokens.image_output", count),
}

DIALECT = Dialect(
    name="litellm",
    fields={
        "kind": (Source("guardrail_name", always("guardrail")),),
        "reported_cost": ("gen_ai.cost.total_cost",),
        "reported_input_cost": ("gen_ai.cost.input_cost",),
        "reported_output_cost": ("gen_ai.cost.output_cost",),
        "user_id": ("metadata.user_api_key_user_id", "metadata.user_api_key_end_user_id"),
        "tags": ("metadata.requester_metadata.tags",),
        "output": ("guardrail_response",),
        "several": (Source("metadata.usage_object", Spread(USAGE, read=python_literal)),),
    },
)
