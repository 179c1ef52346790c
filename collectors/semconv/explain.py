"""Which rule filled each field of a span, and which keys nobody mapped: worked out from what is stored, by the table.

There is no second copy of the mapping here. `collect` says with which rank each field was filled, and a rank belongs to
one key of one dialect; only what `meaning` works out of several fields is named here (`_MADE_OF`), and a test holds the
two together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from collectors.semconv.convert import Spread
from collectors.semconv.dialects import INDEX
from collectors.semconv.events import NAMES, Event, EventMeaning, read_events
from collectors.semconv.meaning import BEHIND, SIGNS_OF_A_MODEL, YIELDING, Fields, collect, interpret
from collectors.semconv.request import REQUEST_FIELDS, RESPONSE_FIELDS, TOKEN_FIELDS
from collectors.semconv.table import Hit, Index


@dataclass(frozen=True, slots=True)
class Source:
    """A key that a field was filled from: `dialect` is '' for the general keys and 'project' for a rule of one's own.

    `field` is what the table calls it; `where` is 'attribute' or the name of an event.
    """

    key: str
    dialect: str
    field: str
    where: str = "attribute"


@dataclass(frozen=True, slots=True)
class Mapped:
    """One column of a span with what it was filled from; `how` says it in words where that is more than a key."""

    column: str
    value: Any
    sources: tuple[Source, ...]
    how: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What filled a span's columns.

    `unused` keys are read by the table but another key was believed, or their value is unusable; `unmapped` keys are
    read by nothing.
    """

    mapped: tuple[Mapped, ...]
    unused: tuple[Source, ...]
    unmapped: tuple[str, ...]


# Columns that `meaning` makes of fields under other names, as alternatives: where any of the first fields is there, it
# and the second ones decide. A column that is not named here is the field of its name.
_MADE_OF: Mapping[str, tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]] = {
    "model": ((("model_answered",), ()), (("model_name",), ()), (("model_requested",), ())),
    "model_requested": ((("model_requested",), ()), (("model_name",), ())),
    "input": (
        (("input_messages",), ("system_instructions",)),
        (("embedded_texts",), ()),
        (("input",), ()),
        (("system_instructions",), ()),
    ),
    "output": (
        (("output_messages",), ()),
        (("output_tool_calls", "output_reasoning"), ("output",)),
        (("output",), ()),
    ),
    "ttft_ns": ((("ttft_ns",), ()), (("first_token_at",), ())),
    "reported_cost": ((("reported_cost",), ()), (("reported_input_cost", "reported_output_cost"), ())),
    "cache_write_tokens": (
        (("cache_write_tokens",), ()),
        (("cache_write_5m_tokens", "cache_write_1h_tokens"), ()),
    ),
    # Read so because of what kind of span it is, whatever says that.
    "tool_name": ((("tool_name",), ()), (("entity_name",), ("kind",))),
    "finish_reason": ((("finish_reason",), ()), (("output_messages",), ()), (("output",), ("kind",))),
    # What a retriever gave is what it found.
    "documents": ((("documents",), ()), (("output", "output_messages"), ("kind",))),
}
# Tokens are brought into one convention: where that changed a number, all of these decided about it.
_TOKENS = (
    *("exclusive_input_tokens", "exclusive_output_tokens", "input_tokens", "output_tokens", "total_tokens"),
    *("cache_read_tokens", "cache_write_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "reasoning_tokens"),
)
_SIGNS_OF_A_TOOL = ("tool_name", "tool_call_id")
# What is explained, in the order in which it is read.
COLUMNS = (
    *("kind", "operation", "provider", "model_requested", "model", "input_tokens", "output_tokens"),
    *("cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "reported_cost", "ttft_ns", "queue_ns"),
    *("prefill_ns", "decode_ns", "finish_reason", "response_id", "session_id", "user_id", "tags", "prompt_name"),
    *("prompt_version", "tool_name", "gpu_uuids", "environment", "release", "server_address", "server_port"),
    *("error_type", "input", "output", "documents", "tools", *TOKEN_FIELDS, *REQUEST_FIELDS, *RESPONSE_FIELDS),
)


def explain(attributes: Mapping[str, Any], events: list[Event], *, start_ns: int, index: Index = INDEX) -> Explanation:
    """Say what filled the columns of a span with these attributes and events, by the table `index`.

    Takes what `interpret` takes, and never raises on any attributes either.
    """
    fields: Fields = {}
    ranks: dict[str, int] = {}
    collect(attributes, fields, ranks, 0, index)
    said = read_events(events) if any(event[1] in NAMES for event in events) else EventMeaning()
    collect(said.details, fields, ranks, BEHIND, index)
    found = _sources(attributes, said, ranks, index)
    settled = interpret(attributes, events, start_ns=start_ns, index=index)
    mapped = []
    for column in COLUMNS:
        if settled.get(column) not in (None, "", []):
            mapped.append(_mapped(column, settled, fields, found, said, index))
    used = {source.key for sources in found.values() for source in sources if source.where == "attribute"}
    unused, unmapped = [], []
    for key in attributes:
        hit = index.lookup(key)
        if hit is None:
            unmapped.append(key)
        elif key not in used:
            unused.append(Source(key, hit.dialect, hit.field))
    return Explanation(tuple(mapped), tuple(unused), tuple(unmapped))


def _sources(
    attributes: Mapping[str, Any], said: EventMeaning, ranks: dict[str, int], index: Index
) -> dict[str, list[Source]]:
    """Field -> the keys that filled it, found by their ranks."""
    found: dict[str, list[Source]] = {}
    for behind, where, given in ((0, "attribute", attributes), (BEHIND, "event", said.details)):
        for key, value in given.items():
            hit = index.lookup(key)
            if hit is None:
                continue
            for field in _fields_of(hit, value):
                rank = hit.rank + behind + (YIELDING if hit.field == "several" else 0)
                if ranks.get(field) != rank:
                    continue
                # Keys of one prefix share their rank: the flat ones make the field together, else the first is taken.
                if hit.path is None and (field in found or (hit.field != "several" and hit.convert(value) is None)):
                    continue
                found.setdefault(field, []).append(Source(key, hit.dialect, hit.field, where))
    return found


def _fields_of(hit: Hit, value: Any) -> tuple[str, ...]:
    if hit.field != "several":
        return (hit.field,)
    if isinstance(hit.convert, Spread):
        return tuple(name for name, _ in hit.convert.fields.values())
    spread = hit.convert(value)
    return tuple(spread) if isinstance(spread, dict) else ()


def _mapped(
    column: str, settled: Fields, fields: Fields, found: dict[str, list[Source]], said: EventMeaning, index: Index
) -> Mapped:
    value = settled[column]
    chosen, how = _decided_by(column, value, fields, said, index)
    if column != "kind" and "kind" in chosen:
        chosen += _decided_by("kind", settled["kind"], fields, said, index)[0]
    sources = tuple(dict.fromkeys(source for field in chosen for source in found.get(field, ())))
    return Mapped(column, value, sources, how)


def _decided_by(
    column: str, value: Any, fields: Fields, said: EventMeaning, index: Index
) -> tuple[tuple[str, ...], str]:
    """The fields that decide a column's value, and in words what its keys alone do not say."""
    if column == "kind" and fields.get("kind") != value:
        return _kind_decided_by(value, fields, index)
    if column in ("input_tokens", "output_tokens") and fields.get(column) != value:
        return _TOKENS, "brought into one convention: cached and reasoning tokens are parts of input and output"
    if column == "input" and "input_messages" not in fields and said.input_messages:
        return ("system_instructions",), "from the span's events"
    if column == "output" and "output_messages" not in fields and said.output_messages:
        return (), "from the span's events"
    for any_of, also in _MADE_OF.get(column, (((column,), ()),)):
        if any(field in fields for field in any_of):
            how = "from the output messages" if column == "finish_reason" and any_of != (column,) else ""
            return (*any_of, *also), how
    # What is there without any field of its own comes from an event: messages, a stream, documents, an exception.
    return (), "from the span's events"


def _kind_decided_by(value: str, fields: Fields, index: Index) -> tuple[tuple[str, ...], str]:
    if "kind" in fields:
        return ("kind", "operation"), "the operation says more than the kind"
    if "operation" in fields and index.kind_of_operation.get(fields["operation"].lower()) == value:
        return ("operation",), "worked out from the operation"
    signs = {"tool": _SIGNS_OF_A_TOOL, "llm": SIGNS_OF_A_MODEL, "agent": ("agent_name",)}.get(value, ())
    return signs, "worked out from what else is there" if signs else "nothing says what kind it is"
