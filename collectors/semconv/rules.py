"""A project's own mapping rules: further keys of the canonical fields, compiled with the dialects to one index."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from collectors.semconv import convert
from collectors.semconv.convert import Converter
from collectors.semconv.dialects import DIALECTS, INDEX
from collectors.semconv.request import MODALITIES, REQUEST, RESPONSE
from collectors.semconv.table import PROJECT, RANKS_PER_DIALECT, Dialect, Hit, Index, Source

# A project writes rules for one or two senders of its own; each dialect above has fewer keys than this.
MAX_RULES = 100
# As `Limits.max_key_chars`: no longer key is stored.
MAX_SOURCE_CHARS = 256
# A collector remembers the tables of this many projects with rules; one takes 0.2 MB and 1 MB when it is full of keys.
MAX_COMPILED = 64
MAX_KEYS_OF_A_PROJECT = 8_192

KINDS = ("agent", "chain", "llm", "embedding", "retriever", "reranker", "tool", "guardrail", "evaluator", "prompt")
# Fields whose value may be spread over numbered keys, `prefix.N.rest`.
FLAT = frozenset({"input_messages", "output_messages", "documents"})


@dataclass(frozen=True, slots=True)
class Conversion:
    """How a value is read: its name for people and the converter."""

    title: str
    convert: Converter


_TEXT = {
    "text": Conversion("text as it is", convert.label),
    "json": Conversion("text, or text inside JSON", convert.json_label),
    "first": Conversion("first of a list", convert.first_label),
}
_COUNT = {"count": Conversion("whole number", convert.count)}
_MONEY = {"usd": Conversion("US dollars", convert.usd), "cents": Conversion("US cents", convert.cents)}
_DURATION = {
    "s": Conversion("seconds", convert.seconds),
    "ms": Conversion("milliseconds", convert.milliseconds),
    "us": Conversion("microseconds", convert.duration(1_000)),
    "ns": Conversion("nanoseconds", convert.duration(1)),
    "unit": Conversion("number with its unit, such as 56.7ms", convert.rust_duration),
}
_CONTENT = {"any": Conversion("text or JSON as it is", convert.present)}
_LABELS = {"labels": Conversion("list of texts", convert.labels)}
_MOMENT = {"moment": Conversion("ISO 8601 time", convert.moment)}
_PORT = {"port": Conversion("port number", convert.port)}
_KINDS = {
    "kind": Conversion("name of a kind", convert.one_of({kind: kind for kind in KINDS})),
    **{f"is:{kind}": Conversion(f"{kind}, whatever the value", convert.always(kind)) for kind in KINDS},
}


@dataclass(frozen=True, slots=True)
class Target:
    """A canonical field that a rule may fill: what it is, and its conversions by name, the usual one first."""

    title: str
    type: str
    conversions: Mapping[str, Conversion]


def _setting(title: str, name: str, read: Converter) -> Target:
    conversions = {"setting": Conversion("as its usual keys are read", read)}
    return Target(f"{title}: {name.replace('_', ' ')}", "setting", conversions)


# Errors are not among them: a span's status is not kept apart from what its attributes said about it, so a rule for
# them could not be taken back. GPUs are not: their UUIDs are read by `collectors.otlp.resources`.
TARGETS: Mapping[str, Target] = {
    "kind": Target("Kind of span", "kind", _KINDS),
    "operation": Target("Operation", "text", _TEXT),
    "provider": Target("Provider", "text", _TEXT),
    "model_requested": Target("Model, as asked for", "text", _TEXT),
    "model_answered": Target("Model, as answered", "text", _TEXT),
    "adapter": Target("Adapter (LoRA)", "text", _TEXT),
    "input_tokens": Target("Input tokens", "count", _COUNT),
    "output_tokens": Target("Output tokens", "count", _COUNT),
    "total_tokens": Target("Total tokens", "count", _COUNT),
    "cache_read_tokens": Target("Tokens read from the cache", "count", _COUNT),
    "cache_write_tokens": Target("Tokens written to the cache", "count", _COUNT),
    "reasoning_tokens": Target("Reasoning tokens", "count", _COUNT),
    "reported_cost": Target("Cost that the sender reports", "money", _MONEY),
    "ttft_ns": Target("Time to first token", "duration", _DURATION),
    "first_token_at": Target("Moment of the first token", "time", _MOMENT),
    "queue_ns": Target("Time in the queue", "duration", _DURATION),
    "prefill_ns": Target("Prefill time", "duration", _DURATION),
    "decode_ns": Target("Decode time", "duration", _DURATION),
    "finish_reason": Target("Finish reason", "text", {"first": _TEXT["first"], **_TEXT}),
    "response_id": Target("Response id", "text", _TEXT),
    **{f"tokens.{name}": Target(f"Tokens: {name.replace('_', ' ')}", "count", _COUNT) for name in MODALITIES},
    **{f"request.{name}": _setting("Asked for", name, read) for name, read in REQUEST.items()},
    **{f"response.{name}": _setting("Answered", name, read) for name, read in RESPONSE.items()},
    "session_id": Target("Session", "text", _TEXT),
    "user_id": Target("User", "text", _TEXT),
    "tags": Target("Tags", "list of texts", _LABELS),
    "prompt_name": Target("Prompt name", "text", _TEXT),
    "prompt_version": Target("Prompt version", "text", _TEXT),
    "tool_name": Target("Tool name", "text", _TEXT),
    "environment": Target("Environment", "text", _TEXT),
    "release": Target("Release", "text", _TEXT),
    "server_address": Target("Server address", "text", _TEXT),
    "server_port": Target("Server port", "number", _PORT),
    "system_instructions": Target("System instructions", "text or JSON", _CONTENT),
    "input_messages": Target("Input messages", "messages", _CONTENT),
    "output_messages": Target("Output messages", "messages", _CONTENT),
    "input": Target("Input that is no messages", "text or JSON", _CONTENT),
    "output": Target("Output that is no messages", "text or JSON", _CONTENT),
    "tools": Target("Tool definitions", "text or JSON", _CONTENT),
    "documents": Target("Retrieved documents", "documents", _CONTENT),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: a key, or whatever begins with a prefix, fills a field.

    Before the built-in table its value is believed first, and a key that the table reads as something else is taken
    over; after it, it fills the field where nothing else does. A prefix never takes over a key that the table names;
    for messages and documents (FLAT) it stands for the numbered keys `prefix.N.rest`.
    `conversion` '' is the field's usual one.
    """

    source: str
    field: str
    match: Literal["exact", "prefix"] = "exact"
    conversion: str = ""
    order: Literal["before", "after"] = "before"

    @property
    def converter(self) -> Converter:
        """What reads the value. Raises KeyError for a field or conversion that there is not."""
        conversions = TARGETS[self.field].conversions
        return conversions[self.conversion or next(iter(conversions))].convert


def fault(rule: Rule) -> tuple[str, str] | None:
    """Name what is wrong with a rule, as (its attribute, a sentence that says what to do); None for a good one."""
    return next(_faults(rule), None)


def _faults(rule: Rule) -> Iterator[tuple[str, str]]:
    if not rule.source.strip():
        yield "source", "Name the attribute key, or the prefix, that the rule reads."
    if len(rule.source) > MAX_SOURCE_CHARS:
        yield "source", f"A key has at most {MAX_SOURCE_CHARS} characters; longer ones are not stored."
    if rule.match not in ("exact", "prefix"):
        yield "match", "Choose exact or prefix."
    if rule.order not in ("before", "after"):
        yield "order", "Choose before or after the built-in table."
    if rule.field not in TARGETS:
        yield "field", f"{rule.field!r} is no field that a rule may fill. Choose one of: {', '.join(TARGETS)}."
        return
    conversions = TARGETS[rule.field].conversions
    if rule.conversion and rule.conversion not in conversions:
        yield "conversion", f"{rule.field} can be read as: {', '.join(conversions)}."
    known = INDEX.lookup(rule.source) if rule.match == "exact" else None
    if known is None:
        return
    reads = f"The built-in table ({known.dialect or 'general keys'}) reads this key as {known.field} already"
    if rule.order == "after":
        yield "order", f"{reads}; put the rule before it."
    elif known.field == rule.field and not rule.conversion:
        yield "source", f"{reads}."


@lru_cache(maxsize=MAX_COMPILED)
def compiled(rules: tuple[Rule, ...]) -> Index:
    """Return the table of the dialects with these rules; the built-in one itself without rules.

    Of two rules for one key the first counts.
    """
    if not rules:
        return INDEX
    before = [rule for rule in rules if rule.order == "before"]
    after = [rule for rule in rules if rule.order == "after"]
    dialects = (_dialect(before), *DIALECTS, _dialect(after))
    prefixes = [*_prefixes(before, 0), *_prefixes(after, len(dialects) - 1)]
    return Index(dialects, tuple(prefixes), max_keys=MAX_KEYS_OF_A_PROJECT)


def _dialect(rules: list[Rule]) -> Dialect:
    """The exact rules as a dialect; rules of prefixes rank behind them (see `_prefixes`)."""
    fields: dict[str, tuple[Source, ...]] = {}
    for rule in rules:
        if rule.match == "exact":
            fields[rule.field] = (*fields.get(rule.field, ()), Source(rule.source, rule.converter))
    flat = {rule.source.rstrip("."): rule.field for rule in rules if rule.match == "prefix" and rule.field in FLAT}
    return Dialect(name=PROJECT, fields=fields, flat=flat)


def _prefixes(rules: list[Rule], order: int) -> list[tuple[str, Hit]]:
    # Behind all exact rules, of which there are no more than MAX_RULES.
    first = order * RANKS_PER_DIALECT + MAX_RULES
    return [
        (rule.source, Hit(rule.field, first + position, rule.converter, None, PROJECT))
        for position, rule in enumerate(rules)
        if rule.match == "prefix" and rule.field not in FLAT
    ]
