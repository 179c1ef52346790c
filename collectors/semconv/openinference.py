"""OpenInference (Arize): flat, numbered keys for messages and documents.

https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md
"""

from collectors.semconv.convert import Spread, json_label, label, one_of
from collectors.semconv.request import PARAMETERS
from collectors.semconv.table import Dialect, Source

KINDS = {
    name: name
    for name in (
        "agent",
        "chain",
        "embedding",
        "evaluator",
        "guardrail",
        "llm",
        "prompt",
        "reranker",
        "retriever",
        "tool",
    )
} | {"unknown": "other"}

# The arguments of the call as its API takes them.
INVOCATION = {"model": ("model_requested", json_label), **PARAMETERS}

DIALECT = Dialect(
    name="openinference",
    fields={
        "kind": (Source("openinference.span.kind", one_of(KINDS)),),
        "provider": ("llm.provider", "llm.system", "decision.provider", "decision.system"),
        "model_requested": ("llm.request.model_name", "decision.request.model_name"),
        "model_name": ("llm.model_name", "embedding.model_name", "reranker.model_name", "decision.model_name"),
        "model_answered": ("llm.response.model_name", "decision.response.model_name"),
        "input_tokens": ("llm.token_count.prompt", "decision.token_count.input"),
        "output_tokens": ("llm.token_count.completion", "decision.token_count.output"),
        "total_tokens": ("llm.token_count.total",),
        "cache_read_tokens": (
            "llm.token_count.prompt_details.cache_read",
            "llm.token_count.prompt_details.cache_input",
        ),
        "cache_write_tokens": ("llm.token_count.prompt_details.cache_write",),
        "reasoning_tokens": ("llm.token_count.completion_details.reasoning",),
        "tokens.audio_input": ("llm.token_count.prompt_details.audio",),
        "tokens.audio_output": ("llm.token_count.completion_details.audio",),
        "reported_cost": ("llm.cost.total",),
        "reported_input_cost": ("llm.cost.prompt",),
        "reported_output_cost": ("llm.cost.completion",),
        "finish_reason": ("llm.finish_reason",),
        "prompt_name": ("prompt.id",),
        "prompt_version": ("llm.prompt_template.version",),
        "tags": ("tag.tags",),
        "agent_name": ("agent.name",),
        "tool_name": ("tool.name",),
        "tool_call_id": ("tool.id",),
        "input_messages": ("llm.input_messages",),
        "output_messages": ("llm.output_messages",),
        "input": ("input.value", "reranker.query", "embedding.text", "tool.parameters"),
        "output": ("output.value",),
        "documents": ("retrieval.documents", "reranker.output_documents"),
        "tools": ("llm.tools",),
        "several": (
            Source("llm.invocation_parameters", Spread(INVOCATION)),
            Source("embedding.invocation_parameters", Spread(INVOCATION)),
            Source(
                "metadata",
                Spread(
                    {
                        "session_id": ("session_id", label),
                        "thread_id": ("session_id", label),
                        "user_id": ("user_id", label),
                    }
                ),
            ),
        ),
    },
    flat={
        "llm.input_messages": "input_messages",
        "llm.output_messages": "output_messages",
        "llm.prompts": "input_messages",
        "llm.choices": "output_messages",
        "retrieval.documents": "documents",
        "reranker.output_documents": "documents",
        "embedding.embeddings": "embedded_texts",
        "llm.tools": "tools",
    },
)
