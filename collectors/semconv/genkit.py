"""Firebase Genkit: `genkit:*`.

https://genkit.dev/docs/observability/getting-started/
"""

from collectors.semconv.convert import one_of
from collectors.semconv.table import Dialect, Source

KINDS = {
    "model": "llm",
    "flow": "chain",
    "prompt": "prompt",
    "tool": "tool",
    "retriever": "retriever",
    "reranker": "reranker",
    "embedder": "embedding",
    "evaluator": "evaluator",
}

DIALECT = Dialect(
    name="genkit",
    fields={
        "kind": (Source("genkit:metadata:subtype", one_of(KINDS)),),
        "entity_name": ("genkit:name",),
        "input": ("genkit:input",),
        "output": ("genkit:output",),
    },
)
