"""The Langfuse SDK's own attributes, JSON in strings; they override what an instrumentation says about the same span.

https://langfuse.com/integrations/native/opentelemetry#property-mapping
"""

from collectors.semconv.convert import Spread, count, label, one_of, usd
from collectors.semconv.request import PARAMETERS
from collectors.semconv.table import Dialect, Source

KINDS = {
    "generation": "llm",
    "span": "chain",
    "event": "other",
    **{name: name for name in ("agent", "chain", "embedding", "evaluator", "guardrail", "retriever", "tool")},
}
# In its own names each part counts beside the others, which `exclusive_*` says; OpenAI's names keep OpenAI's meaning.
USAGE = {
    "input": ("exclusive_input_tokens", count),
    "input_tokens": ("input_tokens", count),
    "prompt_tokens": ("input_tokens", count),
    "output": ("exclusive_output_tokens", count),
    "output_tokens": ("output_tokens", count),
    "completion_tokens": ("output_tokens", count),
    "total": ("total_tokens", count),
    "total_tokens": ("total_tokens", count),
    "input_cached_tokens": ("cache_read_tokens", count),
    "cache_read_input_tokens": ("cache_read_tokens", count),
    "input_cache_read": ("cache_read_tokens", count),
    "cache_creation_input_tokens": ("cache_write_tokens", count),
    "input_cache_creation": ("cache_write_tokens", count),
    "output_reasoning_tokens": ("reasoning_tokens", count),
    "reasoning_tokens": ("reasoning_tokens", count),
    # The usage object of OpenAI's API as it came, which the SDK's wrapper of that client sends.
    "prompt_tokens_details.cached_tokens": ("cache_read_tokens", count),
    "completion_tokens_details.reasoning_tokens": ("reasoning_tokens", count),
    "prompt_tokens_details.audio_tokens": ("tokens.audio_input", count),
    "completion_tokens_details.audio_tokens": ("tokens.audio_output", count),
    "input_audio_tokens": ("tokens.audio_input", count),
    "output_audio_tokens": ("tokens.audio_output", count),
    "input_audio": ("tokens.audio_input", count),
    "output_audio": ("tokens.audio_output", count),
    "input_image": ("tokens.image_input", count),
    "output_image": ("tokens.image_output", count),
}
COSTS = {
    "total": ("reported_cost", usd),
    "input": ("reported_input_cost", usd),
    "output": ("reported_output_cost", usd),
}

DIALECT = Dialect(
    name="langfuse",
    fields={
        "kind": (Source("langfuse.observation.type", one_of(KINDS)),),
        "model_answered": ("langfuse.observation.model.name",),
        "first_token_at": ("langfuse.observation.completion_start_time",),
        "finish_reason": ("langfuse.observation.metadata.finish_reason",),
        "session_id": ("langfuse.session.id",),
        "user_id": ("langfuse.user.id",),
        "tags": ("langfuse.trace.tags",),
        "prompt_name": ("langfuse.observation.prompt.name", "langfuse.prompt.name"),
        "prompt_version": ("langfuse.observation.prompt.version", "langfuse.prompt.version"),
        "environment": ("langfuse.environment",),
        "release": ("langfuse.release", "langfuse.version"),
        "level": ("langfuse.observation.level",),
        "error_message": ("langfuse.observation.status_message",),
        "input": ("langfuse.observation.input", "langfuse.trace.input"),
        "output": ("langfuse.observation.output", "langfuse.trace.output"),
        "several": (
            Source("langfuse.observation.usage_details", Spread(USAGE)),
            Source("langfuse.observation.cost_details", Spread(COSTS)),
            Source("langfuse.observation.model.parameters", Spread(PARAMETERS)),
            Source(
                "langfuse.trace.metadata",
                Spread({"langfuse_session_id": ("session_id", label), "langfuse_user_id": ("user_id", label)}),
            ),
        ),
    },
)
