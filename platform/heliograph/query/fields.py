"""The fields that a filter may name: one table, from which the language, completion, help and docs/filters.md are made.

An `expression` is SQL over a row of `spans`. A number's expression is NULL where the span does not say.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

# choice: text of a closed list. list: a span has several values. duration in ns, money in USD, amount is a count.
Kind = Literal["text", "choice", "list", "duration", "amount", "money"]
KINDS = (
    "agent",
    "chain",
    "llm",
    "embedding",
    "retriever",
    "reranker",
    "tool",
    "guardrail",
    "evaluator",
    "prompt",
    "other",
)
STATUSES = ("ok", "error", "unset")


@dataclass(frozen=True, slots=True)
class Field:
    """One field: how it is written, where it stands, what it means.

    `of_calls` marks what only single calls have, so that a list of traces looks at every span and not at entries.
    """

    name: str
    expression: str
    kind: Kind
    help: str
    example: str
    of_calls: bool = False
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()

    @property
    def is_number(self) -> bool:
        """Whether it is compared by size."""
        return self.kind in {"duration", "amount", "money"}


_TPOT = "if(output_tokens > 1 AND duration_ns >= ttft_ns, (duration_ns - ttft_ns) / (output_tokens - 1), NULL)"
FIELDS = (
    Field("service", "service", "text", "Name of the service that sent the span.", "service:checkout"),
    Field("environment", "environment", "text", "Where it runs.", "environment:production", aliases=("env",)),
    Field("release", "release", "text", "Version of the service.", "release:2.4.1", aliases=("version",)),
    Field("kind", "kind", "choice", "What the span does.", "kind:llm", True, choices=KINDS),
    Field("status", "status", "choice", "How it ended.", "status:error", choices=STATUSES),
    Field("name", "name", "text", "Name of the span.", 'name:"answer question"'),
    Field("model", "model", "text", "Model that answered, else the one asked for.", "model:gpt-4*", True),
    Field("adapter", "adapter", "text", "LoRA adapter that answered.", "adapter:support-v3", True),
    Field("provider", "provider", "text", "Who serves the model.", "provider:openai", True),
    Field("host", "host", "text", "Machine that sent the span.", "host:gpu-node-*"),
    Field("session", "session_id", "text", "Conversation.", "session:c-1234", aliases=("conversation",)),
    Field("user", "user_id", "text", "End user.", "user:alice"),
    Field("tag", "tags", "list", "Tag, of which a span may have several.", "tag:beta"),
    Field("trace", "trace_id", "text", "Trace id.", "trace:0af7651916cd43dd8448eb211c80319c"),
    Field("span", "span_id", "text", "Span id.", "span:b7ad6b7169203331"),
    Field("prompt", "prompt_name", "text", "Name of the prompt template.", "prompt:support-answer"),
    Field("prompt_version", "prompt_version", "text", "Its version.", "prompt_version:12"),
    Field("tool", "tool_name", "text", "Tool that was called.", "tool:search", True),
    Field("gpu", "gpu_uuids", "list", "UUID of a GPU that worked on it.", "gpu:GPU-5a1*"),
    Field("operation", "operation", "text", "GenAI operation, such as chat.", "operation:chat", True),
    Field("error_type", "error_type", "text", "Class of the error.", "error_type:RateLimitError"),
    Field("requested_model", "model_requested", "text", "Model that was asked for.", "requested_model:gpt-4o", True),
    Field("family", "model_family", "text", "Model family.", "family:llama", True),
    Field("quantization", "model_quantization", "text", "How weights are stored.", "quantization:Q4_K_M", True),
    Field("finish", "finish_reason", "text", "Why the model stopped.", "finish:length", True),
    Field("dialect", "dialect", "text", "Convention that the sender speaks.", "dialect:openinference"),
    Field("latency", "duration_ns", "duration", "How long the span took.", "latency>2s", aliases=("duration",)),
    Field("ttft", "ttft_ns", "duration", "Time to the first token.", "ttft>500ms", True),
    Field("tpot", _TPOT, "duration", "Time per output token after the first.", "tpot>50ms", True),
    Field("queue", "queue_ns", "duration", "Time in the queue of the engine.", "queue>1s", True),
    Field("prefill", "prefill_ns", "duration", "Time in which the prompt was read.", "prefill>1s", True),
    Field("decode", "decode_ns", "duration", "Time in which tokens were made.", "decode>1s", True),
    Field("input_tokens", "input_tokens", "amount", "Tokens in, cached ones included.", "input_tokens>8k", True),
    Field("output_tokens", "output_tokens", "amount", "Tokens out, reasoning included.", "output_tokens>500", True),
    Field(
        "tokens",
        "if(input_tokens IS NULL AND output_tokens IS NULL, NULL,"
        " toUInt64(ifNull(input_tokens, 0)) + toUInt64(ifNull(output_tokens, 0)))",
        "amount",
        "Tokens in and out together.",
        "tokens>10k",
        True,
    ),
    Field("cached_tokens", "cache_read_tokens", "amount", "Input tokens read from a cache.", "cached_tokens:0", True),
    Field("reasoning_tokens", "reasoning_tokens", "amount", "Output tokens of reasoning.", "reasoning_tokens>1k", True),
    Field("cost", "toFloat64(cost)", "money", "Cost in USD at list prices.", "cost>$0.05", True),
)
_BY_NAME = {name: field for field in FIELDS for name in (field.name, *field.aliases)}
# Prefixes of fields whose key is named behind them, and the column that holds them.
MAPS = {"attributes": "attributes", "resource": "resource", "request": "request", "response": "response"}
MAX_KEY_CHARACTERS = 200

# What `has:` asks for, and the condition that says so.
PRESENCE = {
    "error": "status = 'error'",
    "parent": "parent_span_id != ''",
    "input": "input != ''",
    "output": "output != ''",
    "documents": "documents != ''",
    "session": "session_id != ''",
    "user": "user_id != ''",
    "tag": "notEmpty(tags)",
    "gpu": "notEmpty(gpu_uuids)",
    "prompt": "prompt_name != ''",
    "release": "release != ''",
    "model": "model != ''",
    "adapter": "adapter != ''",
    "tokens": "(input_tokens IS NOT NULL OR output_tokens IS NOT NULL)",
    "cost": "cost IS NOT NULL",
    "ttft": "ttft_ns IS NOT NULL",
    "latency": "duration_ns IS NOT NULL",
    "events": "notEmpty(events.name)",
    "links": "notEmpty(links.trace_id)",
    "redaction": "notEmpty(redacted)",
}


def find(name: str) -> Field | None:
    """Return the field of this name or alias, or None."""
    return _BY_NAME.get(name)


def of_map(name: str) -> tuple[str, str] | None:
    """Return the column and the key of `attributes.KEY` or `resource.KEY`; None for another name."""
    prefix, _, key = name.partition(".")
    return (MAPS[prefix], key) if prefix in MAPS and 0 < len(key) <= MAX_KEY_CHARACTERS else None


def nearest(name: str, known: Iterable[str] | None = None) -> str:
    """Return what somebody who wrote `name` may have meant, by its letters; '' where nothing comes near."""
    names = [*_BY_NAME, "has", "score", *MAPS] if known is None else list(known)
    found = difflib.get_close_matches(name.casefold(), names, 1, 0.6)
    return found[0] if found else ""
