"""A span's attributes and events -> its canonical fields."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from collectors.pricing import ModelPrice, price
from collectors.semconv import canonical
from collectors.semconv.content import (
    content_of,
    documents_of,
    embedded_texts,
    embedding_input,
    found_documents,
    messages_column,
    object_content,
    preview,
)
from collectors.semconv.convert import MAX_COUNT, MAX_NS, MAX_USD, Converter, Spread, from_json
from collectors.semconv.dialects import INDEX
from collectors.semconv.events import NAMES, Event, EventMeaning, read_events, with_reasoning
from collectors.semconv.messages import CUT_ROLE, Message, message_of, messages_of, sure_messages_of
from collectors.semconv.parts import parts_of
from collectors.semconv.providers import fold
from collectors.semconv.request import REQUEST_FIELDS, RESPONSE_FIELDS, TOKEN_FIELDS, gathered
from collectors.semconv.table import PROJECT, RANKS_PER_DIALECT, Hit, Index, Path, unflatten
from collectors.semconv.tools import tools_of
from collectors.text import to_json, to_text

Fields = dict[str, Any]

# Spans whose usage is their own; agents, chains and everything around them repeat their children's.
COUNTED_KINDS = frozenset({"llm", "embedding", "reranker"})
# Fields under the names of columns that hold what came until `_settle_content` has read it.
_RAW = ("input", "output", "documents", "tools")
_NO_EVENTS = EventMeaning()
# What a span of any kind may have: a rule that fills these alone makes no GenAI span.
ANYBODYS = frozenset(
    {"session_id", "user_id", "tags", "environment", "release", "server_address", "server_port", "adapter"}
)
# Added to a rank, this puts it behind every dialect: a value inside another attribute yields to keys of its own.
YIELDING = 100 * RANKS_PER_DIALECT
# What an event says counts where the span itself says nothing.
BEHIND = 10 * YIELDING
SIGNS_OF_A_MODEL = (
    "model_requested",
    "model_answered",
    "model_name",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "ttft_ns",
    "prefill_ns",
    "decode_ns",
)


# Without any of these, input and output are already what the columns hold.
_TOKENS_TO_SETTLE = frozenset(
    {
        "total_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "cache_write_5m_tokens",
        "cache_write_1h_tokens",
        "reasoning_tokens",
        "exclusive_input_tokens",
        "exclusive_output_tokens",
    }
)


_MODALITIES = TOKEN_FIELDS.keys()
_OF_THE_CALL = frozenset({*REQUEST_FIELDS, *RESPONSE_FIELDS, "tools"})


def interpret(
    attributes: Mapping[str, Any],
    events: list[Event],
    *,
    start_ns: int,
    price_overrides: Mapping[str, ModelPrice] | None = None,
    index: Index = INDEX,
) -> Fields:
    """Canonical fields of one span, under the names of its columns; an absent one is absent.

    `index` is the built-in table, or the one with a project's own rules (`rules.compiled`).

    `kind` and `usage_counted` are always there, `cut` names columns whose JSON arrived cut in the middle. Never raises
    on any attributes.
    """
    fields: Fields = {}
    ranks: dict[str, int] = {}
    collect(attributes, fields, ranks, 0, index)
    said = _NO_EVENTS
    for event in events:
        if event[1] in NAMES:
            said = read_events(events)
            if said.details:
                collect(said.details, fields, ranks, BEHIND, index)
            break
    dialect = _dialect(ranks, index)
    if dialect or said.input_messages or said.output_messages:
        fields["dialect"] = dialect or "otel_genai"
    _settle_kind(fields)
    _settle_errors(fields, said)
    if "dialect" not in fields:
        fields["usage_counted"] = False
        for name in _RAW:
            fields.pop(name, None)
        return fields
    if "provider" in fields:
        fields["provider"] = fold(fields["provider"])
    _settle_model(fields)
    if not _TOKENS_TO_SETTLE.isdisjoint(fields):
        _settle_tokens(fields)
    if not _MODALITIES.isdisjoint(fields):
        fields["modality_tokens"] = gathered(fields, TOKEN_FIELDS)
    _settle_costs(fields, start_ns, price_overrides)
    _settle_first_token(fields, said, start_ns)
    _settle_content(fields, said)
    _settle_request(fields)
    return fields


def collect(
    attributes: Mapping[str, Any], fields: Fields, ranks: dict[str, int], behind: int, index: Index = INDEX
) -> None:
    """Put what the attributes say into `fields`, the best rank of each field winning; `ranks` is kept beside.

    `behind` is added to every rank, so that a later call yields to an earlier one.
    """
    keys = tuple(attributes)
    plan = index.plans.get(keys)
    if plan is None:
        plan = index.plan(keys)
    for key, field, rank, convert in plan.plain:
        # In the order of their ranks: what is there already is better.
        if field not in fields:
            value = convert(attributes[key])
            if value is not None:
                fields[field] = value
                ranks[field] = rank + behind
    if plan.nested:
        _collect_nested(attributes, plan.nested, fields, ranks, behind)


def _collect_nested(
    attributes: Mapping[str, Any], nested: list[tuple[str, Hit]], fields: Fields, ranks: dict[str, int], behind: int
) -> None:
    # By rank, which no two prefixes share: the field and its items.
    flat: dict[int, tuple[str, list[tuple[Path, Any]]]] = {}
    several: list[tuple[int, Converter, Any]] = []
    for key, (field, rank, convert, path, _) in nested:
        if path is None:
            several.append((rank + behind + YIELDING, convert, attributes[key]))
            continue
        group = flat.get(rank + behind)
        if group is None:
            group = flat[rank + behind] = (field, [])
        group[1].append((path, attributes[key]))
    for rank, (field, items) in flat.items():
        _take(fields, ranks, field, rank, unflatten(items))
    for rank, convert, value in several:
        _take_several(fields, ranks, rank, convert, value)


def _take(fields: Fields, ranks: dict[str, int], field: str, rank: int, value: Any) -> None:
    if value is not None and (field not in ranks or ranks[field] > rank):
        ranks[field] = rank
        fields[field] = value


def _take_several(fields: Fields, ranks: dict[str, int], rank: int, spread: Converter, value: Any) -> None:
    # Not parsed where all of it is known from attributes of its own.
    if isinstance(spread, Spread) and all(name in fields for name, _ in spread.fields.values()):
        return
    for field, each in spread(value).items():
        _take(fields, ranks, field, rank, each)


def _dialect(ranks: dict[str, int], index: Index) -> str:
    """The dialect of the best key; that of general keys has no name, since they make no GenAI span."""
    if not ranks:
        return ""
    best = min([rank % YIELDING for rank in ranks.values()])
    name = index.of_rank(best)
    return name if index is INDEX or name not in ("", PROJECT) else _dialect_beside_rules(ranks, index)


def _dialect_beside_rules(ranks: dict[str, int], index: Index) -> str:
    """The dialect of the best key that no rule of the project's reads; without one, whether the rules alone make a
    GenAI span."""
    names = {field: index.of_rank(rank % YIELDING) for field, rank in ranks.items()}
    others = [ranks[field] % YIELDING for field, name in names.items() if name != PROJECT]
    name = index.of_rank(min(others)) if others else ""
    ruled = any(name == PROJECT and field not in ANYBODYS for field, name in names.items())
    return name or (PROJECT if ruled else "")


def _settle_kind(fields: Fields) -> None:
    if "kind" not in fields:
        kind = INDEX.kind_of_operation.get(fields["operation"].lower()) if "operation" in fields else None
        if kind is not None:
            fields["kind"] = kind
        elif "dialect" not in fields:
            fields["kind"] = "other"
        elif "tool_name" in fields or "tool_call_id" in fields:
            fields["kind"] = "tool"
        elif any(key in fields for key in SIGNS_OF_A_MODEL):
            fields["kind"] = "llm"
        elif "agent_name" in fields:
            fields["kind"] = "agent"
        else:
            fields["kind"] = "other"
    elif fields["kind"] == "chain" and INDEX.kind_of_operation.get(fields.get("operation", "")) == "retriever":
        # Traceloop calls everything that LangChain runs a task, and says in the operation what it is.
        fields["kind"] = "retriever"
    if fields["kind"] == "tool" and "entity_name" in fields:
        fields.setdefault("tool_name", fields["entity_name"])
    fields["usage_counted"] = fields["kind"] in COUNTED_KINDS


def _settle_model(fields: Fields) -> None:
    named = fields.get("model_name", "")
    fields["model_requested"] = fields.get("model_requested") or named
    fields["model"] = fields.get("model_answered") or named or fields["model_requested"]


def _settle_errors(fields: Fields, said: EventMeaning) -> None:
    if said.exception_type:
        fields.setdefault("exception_type", said.exception_type)
    if said.exception_message:
        fields.setdefault("exception_message", said.exception_message)
    if "error_message" in fields:
        fields["error_message"] = to_text(fields["error_message"])


def _settle_tokens(fields: Fields) -> None:
    """Tokens in one convention: input includes cache reads and writes, output includes reasoning.

    Some senders count them beside: that shows where a part is larger than its whole, or where the total is the sum of
    all the parts.
    """
    given, out, total = fields.get("input_tokens"), fields.get("output_tokens"), fields.get("total_tokens")
    if "cache_write_tokens" not in fields and ("cache_write_5m_tokens" in fields or "cache_write_1h_tokens" in fields):
        written = fields.get("cache_write_5m_tokens", 0) + fields.get("cache_write_1h_tokens", 0)
        fields["cache_write_tokens"] = min(written, MAX_COUNT)
    cached = fields.get("cache_read_tokens", 0) + fields.get("cache_write_tokens", 0)
    reasoning = fields.get("reasoning_tokens", 0)
    if given is None and "exclusive_input_tokens" in fields:
        given = fields["exclusive_input_tokens"] + cached
        cached = 0
    if out is None and "exclusive_output_tokens" in fields:
        out = fields["exclusive_output_tokens"] + reasoning
        reasoning = 0
    if given is None and total is not None:
        # Embeddings have a total and nothing else.
        given = total if out is None else max(total - out, 0)
    elif cached and given is not None and (cached > given or total == given + cached + (out or 0)):
        given += cached
    if out is None and total is not None and given is not None and total > given:
        out = total - given
    elif reasoning and out is not None and (reasoning > out or total == (given or 0) + out + reasoning):
        out += reasoning
    if given is not None:
        fields["input_tokens"] = min(given, MAX_COUNT)
    if out is not None:
        fields["output_tokens"] = min(out, MAX_COUNT)


def _settle_costs(fields: Fields, start_ns: int, overrides: Mapping[str, ModelPrice] | None) -> None:
    if "reported_cost" not in fields and ("reported_input_cost" in fields or "reported_output_cost" in fields):
        parts = fields.get("reported_input_cost", Decimal(0)) + fields.get("reported_output_cost", Decimal(0))
        if parts < MAX_USD:
            fields["reported_cost"] = parts
    if "input_tokens" not in fields and "output_tokens" not in fields:
        return
    if not fields["usage_counted"]:
        fields["cost_note"] = "repeats its children's usage"
        return
    cost = price(
        fields["model"],
        fields.get("provider"),
        minute_of(start_ns),
        input_tokens=fields.get("input_tokens"),
        output_tokens=fields.get("output_tokens"),
        cache_read_tokens=fields.get("cache_read_tokens"),
        cache_write_tokens=fields.get("cache_write_tokens"),
        reasoning_tokens=fields.get("reasoning_tokens"),
        audio_input_tokens=fields.get("tokens.audio_input"),
        audio_output_tokens=fields.get("tokens.audio_output"),
        overrides=overrides,
    )
    fields["cost_source"] = cost.source
    fields["cost_note"] = cost.reason or ""
    if cost.total_usd is not None and cost.total_usd >= MAX_USD:
        fields["cost_note"] = "out of range"
        return
    fields["input_cost"] = cost.input_usd
    fields["output_cost"] = cost.output_usd
    fields["cache_read_cost"] = cost.cache_read_usd
    fields["cache_write_cost"] = cost.cache_write_usd
    fields["cost"] = cost.total_usd


def minute_of(start_ns: int) -> datetime:
    """The minute whose prices a call has; they depend on nothing finer."""
    return _minute(start_ns // 60_000_000_000)


# The spans of a request share a few.
@lru_cache(maxsize=1_024)
def _minute(number: int) -> datetime:
    """The start of a minute, counted since the epoch."""
    return datetime.fromtimestamp(number * 60, UTC)


def _settle_first_token(fields: Fields, said: EventMeaning, start_ns: int) -> None:
    if "ttft_ns" in fields:
        return
    at = fields.get("first_token_at", said.first_token_at)
    if at is not None and 0 <= at - start_ns <= MAX_NS:
        fields["ttft_ns"] = at - start_ns


def _settle_content(fields: Fields, said: EventMeaning) -> None:
    fields["input"], fields["input_preview"] = _input(fields, said)
    fields["output"], fields["output_preview"] = _output(fields, said)
    if fields["kind"] == "embedding":
        # Vectors are no text: they stay among the attributes.
        fields["output"] = fields["output_preview"] = ""
    if "documents" in fields or said.documents:
        fields["documents"] = documents_of(fields.get("documents", said.documents))
    elif fields["kind"] == "retriever" and fields["output"][:1] in ("[", "{"):
        # Senders without a key for documents: what a retriever gave is what it found.
        fields["documents"] = found_documents(fields["output"])


def _settle_request(fields: Fields) -> None:
    if _OF_THE_CALL.isdisjoint(fields):
        return
    fields["request"] = gathered(fields, REQUEST_FIELDS)
    if not RESPONSE_FIELDS.keys().isdisjoint(fields):
        fields["response"] = gathered(fields, RESPONSE_FIELDS)
    if "tools" in fields:
        fields["tools"] = tools_of(fields["tools"])


def _input(fields: Fields, said: EventMeaning) -> tuple[str, str]:
    """Text and preview: of messages, else of what was embedded, else of whatever the span took."""
    if "input_messages" in fields:
        value = fields["input_messages"]
        if "system_instructions" not in fields and (read := canonical.read(value, "user")) is not None:
            return value, read.preview
        if "system_instructions" not in fields and (other := object_content(value, "user")) is not None:
            return other
        text, messages = messages_column(value, "user")
    elif said.input_messages:
        text, messages = "", said.input_messages
    elif "embedded_texts" in fields:
        return content_of(embedded_texts(fields["embedded_texts"]), "user")
    elif "input" in fields:
        return content_of(embedding_input(fields["input"]), "user")
    else:
        text, messages = "", []
    if "system_instructions" in fields and not any(message["role"] == "system" for message in messages):
        text, messages = "", [*_system(fields["system_instructions"]), *messages]
    if not messages:
        return "", ""
    _note_cut(fields, "input", messages)
    return text or to_json(messages), preview(messages, "user")


def _output(fields: Fields, said: EventMeaning) -> tuple[str, str]:
    if "output_messages" in fields:
        value = fields["output_messages"]
        if not said.reasoning and (read := canonical.read(value, "assistant")) is not None:
            if "finish_reason" not in fields:
                fields["finish_reason"] = read.finish_reason or ""
            return value, read.preview
        if (other := object_content(value, "assistant")) is not None:
            return other
        text, messages = messages_column(value, "assistant")
    elif said.output_messages:
        text, messages = "", said.output_messages
    elif "output_tool_calls" in fields or "output_reasoning" in fields:
        text, messages = "", [_assembled(fields)]
    elif "output" in fields and fields["kind"] != "llm":
        return content_of(fields["output"], "assistant")
    else:
        text, messages = "", sure_messages_of(fields["output"], "assistant") if "output" in fields else []
    if said.reasoning:
        text, messages = "", with_reasoning(said.reasoning, messages)
    return _answer(fields, text, messages)


def _answer(fields: Fields, text: str, messages: list[Message]) -> tuple[str, str]:
    """Column and preview of output messages, whose text is `text` where it need not be written."""
    if not any(message["parts"] or "finish_reason" in message for message in messages):
        # A call that failed: an empty message is no answer.
        return "", ""
    if "finish_reason" not in fields:
        fields["finish_reason"] = next((each["finish_reason"] for each in messages if "finish_reason" in each), "")
    _note_cut(fields, "output", messages)
    return text or to_json(messages), preview(messages, "assistant")


def _note_cut(fields: Fields, column: str, messages: list[Message]) -> None:
    """Name a column in `cut` whose messages a length limit of the sender's had cut in the middle."""
    if messages and messages[-1]["role"] == CUT_ROLE:
        fields.setdefault("cut", []).append(column)


def _assembled(fields: Fields) -> Message:
    """The answer of a sender that keeps its text, its tool calls and its reasoning in attributes of their own."""
    reasoning = from_json(fields.get("output_reasoning"))
    if isinstance(reasoning, list):
        pieces = [piece.get("text") if isinstance(piece, dict) else piece for piece in reasoning]
        reasoning = "\n".join(to_text(piece) for piece in pieces if piece)
    answer = {"content": fields.get("output"), "tool_calls": fields.get("output_tool_calls")}
    return message_of({"role": "assistant", "reasoning_content": reasoning, **answer}, "assistant")


def _system(instructions: Any) -> list[Message]:
    found = messages_of(instructions, "system")
    return found if found is not None else [{"role": "system", "parts": parts_of(instructions)}]
