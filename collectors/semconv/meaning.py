"""A span's attributes and events -> its canonical fields."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from collectors.pricing import ModelPrice, price
from collectors.semconv.content import content_of, documents_of, embedded_texts, messages_column, preview
from collectors.semconv.convert import MAX_COUNT, MAX_NS, MAX_USD, Converter, Spread, from_json
from collectors.semconv.dialects import INDEX
from collectors.semconv.events import NAMES, Event, EventMeaning, read_events
from collectors.semconv.messages import CUT_ROLE, Message, message_of, messages_of
from collectors.semconv.parts import parts_of
from collectors.semconv.providers import fold
from collectors.semconv.table import RANKS_PER_DIALECT, Path, unflatten
from collectors.text import to_json, to_text

Fields = dict[str, Any]

# Spans whose usage is their own; agents, chains and everything around them repeat their children's.
COUNTED_KINDS = frozenset({"llm", "embedding", "reranker"})
# Fields under the names of columns that hold what came until `_settle_content` has read it.
_RAW = ("input", "output", "documents")
_NO_EVENTS = EventMeaning()
# Added to a rank, this puts it behind every dialect: a value inside another attribute yields to keys of its own.
_YIELDING = 100 * RANKS_PER_DIALECT
# What an event says counts where the span itself says nothing.
_BEHIND = 10 * _YIELDING
_SIGNS_OF_A_MODEL = (
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


def interpret(
    attributes: Mapping[str, Any],
    events: list[Event],
    *,
    start_ns: int,
    price_overrides: Mapping[str, ModelPrice] | None = None,
) -> Fields:
    """Canonical fields of one span, under the names of its columns; an absent one is absent.

    `kind` and `usage_counted` are always there, `cut` names columns whose JSON arrived cut in the middle. Never raises
    on any attributes.
    """
    fields: Fields = {}
    ranks: dict[str, int] = {}
    collect(attributes, fields, ranks, 0)
    said = _NO_EVENTS
    for event in events:
        if event[1] in NAMES:
            said = read_events(events)
            if said.details:
                collect(said.details, fields, ranks, _BEHIND)
            break
    dialect = _dialect(ranks)
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
    _settle_tokens(fields)
    _settle_costs(fields, start_ns, price_overrides)
    _settle_first_token(fields, said, start_ns)
    _settle_content(fields, said)
    return fields


def collect(attributes: Mapping[str, Any], fields: Fields, ranks: dict[str, int], behind: int) -> None:
    """Put what the attributes say into `fields`, the best rank of each field winning; `ranks` is kept beside.

    `behind` is added to every rank, so that a later call yields to an earlier one.
    """
    known = INDEX.known
    # By rank, which no two prefixes share: the field and its items.
    flat: dict[int, tuple[str, list[tuple[Path, Any]]]] = {}
    several: list[tuple[int, Converter, Any]] = []
    for key, value in attributes.items():
        hit = known[key] if key in known else INDEX.learn(key)
        if hit is None:
            continue
        field, rank, convert, path, _ = hit
        rank += behind
        if path is not None:
            group = flat.get(rank)
            if group is None:
                group = flat[rank] = (field, [])
            group[1].append((path, value))
        elif field == "several":
            several.append((rank + _YIELDING, convert, value))
        elif field not in ranks or ranks[field] > rank:
            converted = convert(value)
            if converted is not None:
                ranks[field] = rank
                fields[field] = converted
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


def _dialect(ranks: dict[str, int]) -> str:
    """The dialect of the best key; the last dialect is that of general keys, which make no GenAI span."""
    if not ranks:
        return ""
    best = min([rank % _YIELDING for rank in ranks.values()])
    return INDEX.dialects[best // RANKS_PER_DIALECT].name


def _settle_kind(fields: Fields) -> None:
    if "kind" not in fields:
        kind = INDEX.kind_of_operation.get(fields["operation"].lower()) if "operation" in fields else None
        if kind is not None:
            fields["kind"] = kind
        elif "dialect" not in fields:
            fields["kind"] = "other"
        elif "tool_name" in fields or "tool_call_id" in fields:
            fields["kind"] = "tool"
        elif any(key in fields for key in _SIGNS_OF_A_MODEL):
            fields["kind"] = "llm"
        elif "agent_name" in fields:
            fields["kind"] = "agent"
        else:
            fields["kind"] = "other"
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
        datetime.fromtimestamp(start_ns // 1_000_000_000, UTC),
        input_tokens=fields.get("input_tokens"),
        output_tokens=fields.get("output_tokens"),
        cache_read_tokens=fields.get("cache_read_tokens"),
        cache_write_tokens=fields.get("cache_write_tokens"),
        reasoning_tokens=fields.get("reasoning_tokens"),
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


def _input(fields: Fields, said: EventMeaning) -> tuple[str, str]:
    """Text and preview: of messages, else of what was embedded, else of whatever the span took."""
    if "input_messages" in fields:
        text, messages = messages_column(fields["input_messages"], "user")
    elif said.input_messages:
        text, messages = "", said.input_messages
    elif "embedded_texts" in fields:
        return content_of(embedded_texts(fields["embedded_texts"]), "user")
    elif "input" in fields:
        return content_of(fields["input"], "user")
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
        text, messages = messages_column(fields["output_messages"], "assistant")
    elif said.output_messages:
        text, messages = "", said.output_messages
    elif "output_tool_calls" in fields or "output_reasoning" in fields:
        text, messages = "", [_assembled(fields)]
    elif "output" in fields:
        return content_of(fields["output"], "assistant", is_answer=fields["kind"] == "llm")
    else:
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
