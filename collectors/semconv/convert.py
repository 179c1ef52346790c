"""Converters: what a sender wrote -> what a canonical field holds, or None where the value is unusable.

A key whose converter answers None counts as absent, so that the next key in order is taken. None of them raises.
"""

import ast
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from collectors.text import clean

Value = Any
Converter = Callable[[Value], Any]

MAX_COUNT = 2**32 - 1
# A duration beyond a hundred days is a wrong unit.
MAX_NS = 100 * 86_400 * 1_000_000_000
# The cost columns are Decimal(18, 12): six digits before the point.
MAX_USD = Decimal(1_000_000)
# Values of low-cardinality columns; the attribute itself keeps the whole text.
MAX_LABEL_CHARS = 512
MAX_TAGS = 64
# A value is unwrapped as often as libraries have been seen to encode it: JSON in JSON in a JSON string.
MAX_UNWRAPS = 3

# A dictionary of token counts takes a tenth of this.
MAX_LITERAL_CHARS = 4_096

_JSON_STARTS = frozenset('"[{ \t\r\n')
_DECODER = json.JSONDecoder()
_RUST_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|µs|us|ms|s)")
_UNIT_NS = {"ns": 1, "µs": 1_000, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}


def present(value: Value) -> Value | None:
    """The value itself unless it is empty; 0 and False are values."""
    return None if value is None or value in ("", [], {}) else value


# What coding agents write in the place of content that they were not told to send.
_REDACTED = frozenset({"<redacted>", "[redacted]"})


def unredacted(value: Value) -> Value | None:
    """The value itself unless it is empty or says that its sender kept it back."""
    if isinstance(value, str) and value.strip().lower() in _REDACTED:
        return None
    return present(value)


def label(value: Value) -> str | None:
    """Short text: a name, an id, a reason."""
    if isinstance(value, str):
        text = value.strip()
        if text.isascii() and len(text) <= MAX_LABEL_CHARS:
            return text or None
    elif isinstance(value, int | float) and not isinstance(value, bool):
        text = str(value)
    else:
        return None
    return clean(text[:MAX_LABEL_CHARS]) or None


def type_name(value: Value) -> str | None:
    """A label; Python's `<class 'openai.RateLimitError'>` gives the name inside."""
    name = label(value)
    if name is not None and name.startswith("<class '") and name.endswith("'>"):
        return name[8:-2]
    return name


def json_label(value: Value) -> str | None:
    """A label that came as a JSON string (`"\\"gpt-4o\\""`) or plain."""
    return label(from_json(value) if isinstance(value, str) and value[:1] in _JSON_STARTS else value)


def first_label(value: Value) -> str | None:
    """The first of an array of labels; the array may be a JSON string."""
    value = from_json(value)
    if isinstance(value, list):
        return label(value[0]) if value else None
    return label(value)


def count(value: Value) -> int | None:
    """A count of tokens: an integer, also as a float or a numeric string; out of a column's range is None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        value = _number(value)
    if isinstance(value, float):
        if not value.is_integer():
            return None
        value = int(value)
    return value if isinstance(value, int) and 0 <= value <= MAX_COUNT else None


def port(value: Value) -> int | None:
    """A TCP port."""
    number = count(value)
    return number if number is not None and 0 < number <= 65_535 else None


def _number(text: str) -> float | int | None:
    text = text.strip()
    # Longer than any double: not a number that a column can hold.
    if not text or len(text) > 32:
        return None
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        return None


def duration(unit_ns: int) -> Converter:
    """Converter of a number in units of `unit_ns` nanoseconds to nanoseconds."""

    def to_ns(value: Value) -> int | None:
        if isinstance(value, str):
            value = _number(value)
        if not isinstance(value, int | float) or isinstance(value, bool):
            return None
        if isinstance(value, float) and not math.isfinite(value):
            return None
        return round(value * unit_ns) if 0 <= value * unit_ns <= MAX_NS else None

    return to_ns


seconds = duration(1_000_000_000)
milliseconds = duration(1_000_000)


def rust_duration(value: Value) -> int | None:
    """Rust's debug form of a duration, `1.234s`, `56.7ms`, `12.3µs`, to nanoseconds."""
    found = _RUST_DURATION.fullmatch(value.strip()) if isinstance(value, str) and len(value) < 64 else None
    if found is None:
        return None
    nanoseconds = round(float(found[1]) * _UNIT_NS[found[2]])
    return nanoseconds if nanoseconds <= MAX_NS else None


def moment(value: Value) -> int | None:
    """An ISO 8601 time, possibly as a JSON string, to nanoseconds since the epoch; naive is UTC."""
    value = from_json(value)
    if not isinstance(value, str) or len(value) > 64:
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    delta = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000_000 + delta.microseconds * 1_000


def usd(value: Value) -> Decimal | None:
    """A sum of money in USD, finite and not negative."""
    if isinstance(value, bool) or not isinstance(value, int | float | str) or len(str(value)[:64]) == 64:
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and 0 <= amount < MAX_USD else None


def cents(value: Value) -> Decimal | None:
    """A sum of money in US cents, as USD."""
    amount = usd(value)
    return None if amount is None else amount / 100


def labels(value: Value) -> list[str] | None:
    """Tags: an array of texts, or a JSON array in a string, or one text."""
    value = from_json(value)
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        return None
    found = dict.fromkeys(text for item in value[:MAX_TAGS] if (text := label(item)) is not None)
    return list(found) or None


def from_json(value: Value) -> Value:
    """What a string holds as JSON, unwrapped as long as that is a string that holds JSON; else the value as it is."""
    for _ in range(MAX_UNWRAPS):
        if not isinstance(value, str) or value[:1] not in _JSON_STARTS:
            break
        parsed = parse_json(value)
        if parsed is None:
            break
        value = parsed
    return value


def parse_json(text: str) -> Value | None:
    """JSON's value, None where the text is not JSON (or is `null`)."""
    text = text.strip()
    try:
        value, end = _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return value if end == len(text) else None


def python_literal(value: Value) -> Value:
    """What `str()` made of a Python object, as LiteLLM sends dictionaries; None where it is anything else."""
    if not isinstance(value, str) or len(value) > MAX_LITERAL_CHARS:
        return None
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def said_messages(value: Value) -> Value | None:
    """Messages, unless they say nothing: LiteLLM leaves a called tool out of them and names it in keys of its own."""
    if isinstance(value, str):
        if '"parts": []' not in value and '"parts":[]' not in value:
            return present(value)
        parsed = parse_json(value)
    else:
        parsed = value
    if isinstance(parsed, list) and all(isinstance(each, dict) and each.get("parts") == [] for each in parsed):
        return None
    return present(value)


def one_of(meanings: Mapping[str, str]) -> Converter:
    """Converter by a table of lower-case names; a name that is not in it is unusable."""

    def look_up(value: Value) -> str | None:
        name = from_json(value)
        return meanings.get(name.lower()) if isinstance(name, str) else None

    return look_up


def always(meaning: str) -> Converter:
    """Converter of a key whose presence alone says it."""

    def read(value: Value) -> str | None:
        return None if present(value) is None else meaning

    return read


@dataclass(frozen=True, slots=True)
class Spread:
    """Converter of a JSON object that holds several fields: its keys -> (canonical field, converter), in order.

    A key `outer.inner` is read from the object below `outer`. With `first` the value is a list of such objects, of
    which the first counts. `read` makes the object of what was sent.
    """

    fields: Mapping[str, tuple[str, Converter]]
    first: bool = False
    read: Callable[[Value], Value] = from_json

    def __call__(self, value: Value) -> dict[str, Any]:
        """Canonical field -> value; empty where there is none."""
        value = self.read(value)
        if self.first and isinstance(value, list) and value:
            value = value[0]
        found: dict[str, Any] = {}
        if isinstance(value, dict):
            for key, (name, convert) in self.fields.items():
                if name in found:
                    continue
                outer, dot, inner = key.partition(".")
                held = value.get(outer)
                if dot:
                    held = held.get(inner) if isinstance(held, dict) else None
                if held is not None and (converted := convert(held)) is not None:
                    found[name] = converted
        return found
