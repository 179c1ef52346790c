"""Laminar's SDK: `lmnr.*`.

https://github.com/lmnr-ai/lmnr
"""

from collectors.semconv.convert import one_of
from collectors.semconv.table import Dialect, Source

KINDS = {
    "default": "chain",
    "pipeline": "chain",
    "executor": "chain",
    "human_evaluator": "evaluator",
    **{name: name for name in ("evaluator", "llm", "tool")},
}

DIALECT = Dialect(
    name="laminar",
    fields={
        "kind": (Source("lmnr.span.type", one_of(KINDS)),),
        "cache_write_5m_tokens": ("gen_ai.usage.cache_creation.input_tokens.ephemeral_5m",),
        "cache_write_1h_tokens": ("gen_ai.usage.cache_creation.input_tokens.ephemeral_1h",),
        "session_id": ("lmnr.association.properties.session_id",),
        "user_id": ("lmnr.association.properties.user_id",),
        "tags": ("lmnr.association.properties.tags",),
        "prompt_version": ("lmnr.span.prompt_hash",),
        "input": ("lmnr.span.input",),
        "output": ("lmnr.span.output",),
    },
)
