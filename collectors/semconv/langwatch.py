"""LangWatch's SDK: `langwatch.*`.

https://docs.langwatch.ai/integration/opentelemetry/guide
"""

from typing import Any

from collectors.semconv.convert import from_json, one_of, usd
from collectors.semconv.table import Dialect, Source

KINDS = {
    "rag": "retriever",
    "module": "chain",
    "workflow": "chain",
    "component": "chain",
    "task": "chain",
    "span": "chain",
    "evaluation": "evaluator",
    **{
        name: name
        for name in ("agent", "chain", "embedding", "evaluator", "guardrail", "llm", "prompt", "reranker", "tool")
    },
}


def first_token(value: Any) -> int | None:
    """`{"first_token_at": milliseconds since the epoch}` to nanoseconds."""
    parsed = from_json(value)
    at = parsed.get("first_token_at") if isinstance(parsed, dict) else None
    if not isinstance(at, int | float) or isinstance(at, bool) or not 0 < at < 2**53:
        return None
    return int(at * 1_000_000)


DIALECT = Dialect(
    name="langwatch",
    fields={
        "kind": (Source("langwatch.span.type", one_of(KINDS)),),
        "cache_write_5m_tokens": ("gen_ai.usage.cache_creation_5m.input_tokens",),
        "cache_write_1h_tokens": ("gen_ai.usage.cache_creation_1h.input_tokens",),
        "reported_cost": (Source("langwatch.span.cost", usd),),
        "first_token_at": (Source("langwatch.timestamps", first_token),),
        "session_id": ("langwatch.thread.id", "langwatch.thread_id", "langwatch.langgraph.thread_id"),
        "user_id": (
            "langwatch.user.id",
            "langwatch.user_id",
            "langwatch.customer.id",
            "langwatch.customer_id",
        ),
        "tags": ("langwatch.labels", "langwatch.tags"),
        "input": ("langwatch.input",),
        "output": ("langwatch.output",),
        "documents": ("langwatch.rag.contexts", "langwatch.rag_contexts"),
    },
)
