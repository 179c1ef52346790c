"""Mastra: `mastra.*` and its own usage key.

https://mastra.ai/docs/observability/ai-tracing
"""

from collectors.semconv.convert import one_of
from collectors.semconv.table import Dialect, Source

KINDS = {
    "agent_run": "agent",
    "workflow_run": "chain",
    "workflow_step": "chain",
    "model_generation": "llm",
    "llm_generation": "llm",
    "model_step": "chain",
    "tool_call": "tool",
    "mcp_tool_call": "tool",
    "generic": "other",
}

DIALECT = Dialect(
    name="mastra",
    fields={
        "kind": (Source("mastra.span.type", one_of(KINDS)),),
        "cache_read_tokens": ("gen_ai.usage.cached_input_tokens",),
        "session_id": ("mastra.metadata.threadId",),
        "user_id": ("mastra.metadata.userId", "mastra.metadata.resourceId"),
        "tags": ("mastra.tags",),
        "input": ("mastra.agent_run.input", "mastra.model_step.input", "mastra.input"),
        "output": ("mastra.output", "mastra.agent_run.output", "mastra.model_step.output"),
    },
)
