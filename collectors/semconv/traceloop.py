"""Traceloop's OpenLLMetry: flat `gen_ai.prompt.N`, `llm.*` request and usage keys, `traceloop.*` entities.

https://github.com/traceloop/openllmetry/tree/main/packages/opentelemetry-semantic-conventions-ai
"""

from collectors.semconv.convert import always, one_of
from collectors.semconv.table import Dialect, Source

KINDS = {"workflow": "chain", "task": "chain", "agent": "agent", "tool": "tool"}

DIALECT = Dialect(
    name="traceloop",
    fields={
        "kind": (
            Source("traceloop.span.kind", one_of(KINDS)),
            Source("db.vector.query.top_k", always("retriever")),
            Source("db.vector.query.result_count", always("retriever")),
        ),
        "operation": ("llm.request.type",),
        "provider": ("llm.vendor", "gen_ai.llm.provider"),
        "model_requested": ("gen_ai.llm.model",),
        "model_answered": ("llm.response.model",),
        "input_tokens": ("llm.usage.prompt_tokens", "gen_ai.token.usage.input"),
        "output_tokens": ("llm.usage.completion_tokens", "gen_ai.token.usage.output"),
        "total_tokens": ("llm.usage.total_tokens", "gen_ai.token.usage.total"),
        "reasoning_tokens": ("llm.usage.reasoning_tokens",),
        "finish_reason": ("llm.response.finish_reason", "llm.response.stop_reason"),
        "request.top_k": ("llm.top_k",),
        "request.frequency_penalty": ("llm.frequency_penalty",),
        "request.presence_penalty": ("llm.presence_penalty",),
        "request.stop_sequences": ("llm.chat.stop_sequences",),
        "request.stream": ("llm.is_streaming",),
        "session_id": (
            "traceloop.association.properties.session_id",
            "traceloop.association.properties.conversation_id",
            "traceloop.association.properties.thread_id",
        ),
        "user_id": ("traceloop.association.properties.user_id", "llm.user"),
        "prompt_name": ("traceloop.prompt.key",),
        "prompt_version": ("traceloop.prompt.version_name", "traceloop.prompt.version"),
        "entity_name": ("traceloop.entity.name",),
        "input_messages": ("gen_ai.prompt",),
        "output_messages": ("gen_ai.completion",),
        "input": ("traceloop.entity.input",),
        "output": ("traceloop.entity.output",),
    },
    flat={
        "gen_ai.prompt": "input_messages",
        "gen_ai.completion": "output_messages",
        "llm.completions": "output_messages",
        "llm.request.functions": "tools",
    },
    operations={"rerank": "reranker", "embedding": "embedding", "vector_db_retrieve": "retriever"},
)
