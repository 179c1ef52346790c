"""LangSmith's OpenTelemetry export: `langsmith.*` beside OpenTelemetry's keys.

https://docs.langchain.com/langsmith/trace-with-opentelemetry
"""

from collectors.semconv.convert import Spread, count, one_of, python_literal
from collectors.semconv.request import PARAMETERS
from collectors.semconv.table import Dialect, Source

KINDS = {
    "parser": "chain",
    **{name: name for name in ("chain", "embedding", "llm", "prompt", "retriever", "tool")},
}

DIALECT = Dialect(
    name="langsmith",
    fields={
        "kind": (Source("langsmith.span.kind", one_of(KINDS)),),
        "session_id": (
            "langsmith.trace.session_id",
            "langsmith.metadata.session_id",
            "langsmith.metadata.thread_id",
            "langsmith.metadata.conversation_id",
        ),
        "user_id": ("langsmith.metadata.user_id",),
        "request.temperature": ("langsmith.metadata.ls_temperature",),
        "request.max_tokens": ("langsmith.metadata.ls_max_tokens",),
        "request.stop_sequences": ("langsmith.metadata.ls_stop",),
        "request.stream": ("langsmith.request.streaming",),
        "tags": ("langsmith.span.tags",),
        "several": (
            Source(
                "gen_ai.usage.input_token_details",
                Spread(
                    {
                        "cache_read": ("cache_read_tokens", count),
                        "cache_creation": ("cache_write_tokens", count),
                        "audio": ("tokens.audio_input", count),
                    },
                    read=python_literal,
                ),
            ),
            Source(
                "gen_ai.usage.output_token_details",
                Spread(
                    {"reasoning": ("reasoning_tokens", count), "audio": ("tokens.audio_output", count)},
                    read=python_literal,
                ),
            ),
            Source("langsmith.metadata.ls_invocation_params", Spread(PARAMETERS)),
        ),
    },
)
