"""W&B Weave: `weave.*` and `wandb.*` beside other conventions' keys.

https://docs.wandb.ai/weave/guides/tracking/otel
"""

from collectors.semconv.convert import one_of
from collectors.semconv.table import Dialect, Source

KINDS = {
    name: name
    for name in ("agent", "chain", "embedding", "evaluator", "guardrail", "llm", "reranker", "retriever", "tool")
}

DIALECT = Dialect(
    name="weave",
    fields={
        "kind": (Source("weave.span.kind", one_of(KINDS)),),
        "session_id": ("wandb.thread_id",),
    },
)
