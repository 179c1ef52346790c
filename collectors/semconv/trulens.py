"""TruLens: `ai.observability.*`.

https://www.trulens.org/otel/semantic_conventions/
"""

from collectors.semconv.convert import milliseconds, one_of
from collectors.semconv.table import Dialect, Source

KINDS = {
    "record_root": "chain",
    "eval_root": "evaluator",
    "eval": "evaluator",
    "generation": "llm",
    "retrieval": "retriever",
    "reranking": "reranker",
    "tool": "tool",
    "agent": "agent",
    "workflow": "chain",
    "unknown": "other",
}

DIALECT = Dialect(
    name="trulens",
    fields={
        "kind": (Source("ai.observability.span_type", one_of(KINDS)),),
        "model_answered": ("ai.observability.cost.model",),
        "input_tokens": ("ai.observability.cost.num_prompt_tokens",),
        "output_tokens": ("ai.observability.cost.num_completion_tokens",),
        "total_tokens": ("ai.observability.cost.num_tokens",),
        "reasoning_tokens": ("ai.observability.cost.num_reasoning_tokens",),
        "reported_cost": ("ai.observability.cost.cost",),
        "ttft_ns": (Source("ai.observability.generation.time_to_first_token_ms", milliseconds),),
        "session_id": ("ai.observability.conversation_id",),
        "release": ("ai.observability.app_version",),
        "input": (
            "ai.observability.record_root.input",
            "ai.observability.retrieval.query_text",
            "ai.observability.call.kwargs",
        ),
        "output": ("ai.observability.record_root.output", "ai.observability.call.return"),
        "documents": ("ai.observability.retrieval.retrieved_contexts",),
    },
)
