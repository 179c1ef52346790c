"""MLflow tracing: `mlflow.*`, every value a JSON string.

https://mlflow.org/docs/latest/genai/tracing/
"""

from collectors.semconv.convert import Spread, count, json_label, one_of, usd
from collectors.semconv.table import Dialect, Source

KINDS = {
    **dict.fromkeys(("llm", "chat_model"), "llm"),
    **dict.fromkeys(("chain", "workflow", "task", "parser"), "chain"),
    **dict.fromkeys(("tool", "memory"), "tool"),
    "unknown": "other",
    **{name: name for name in ("agent", "embedding", "evaluator", "guardrail", "reranker", "retriever")},
}
USAGE = {
    "input_tokens": ("input_tokens", count),
    "output_tokens": ("output_tokens", count),
    "total_tokens": ("total_tokens", count),
    "cache_read_input_tokens": ("cache_read_tokens", count),
    "cache_creation_input_tokens": ("cache_write_tokens", count),
}
COSTS = {
    "total_cost": ("reported_cost", usd),
    "input_cost": ("reported_input_cost", usd),
    "output_cost": ("reported_output_cost", usd),
}

DIALECT = Dialect(
    name="mlflow",
    fields={
        "kind": (Source("mlflow.spanType", one_of(KINDS)),),
        "provider": ("mlflow.llm.provider",),
        # Of the response where there is one; the request's stands in `model`, as all arguments of the call do.
        "model_answered": ("mlflow.llm.model",),
        "session_id": ("mlflow.trace.session",),
        "user_id": ("mlflow.trace.user",),
        "entity_name": ("mlflow.spanFunctionName",),
        "input": ("mlflow.spanInputs",),
        "output": ("mlflow.spanOutputs",),
        # The arguments of the call stand under their bare names: see `general`.
        "tools": ("mlflow.chat.tools",),
        "several": (
            Source("mlflow.chat.tokenUsage", Spread(USAGE)),
            Source("mlflow.llm.cost", Spread(COSTS)),
            Source(
                "mlflow.linkedPrompts",
                Spread({"name": ("prompt_name", json_label), "version": ("prompt_version", json_label)}, first=True),
            ),
        ),
    },
)
