"""Attribute values from protobuf to Python."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from collectors.otlp.limits import Limits
from collectors.text import cut, fits, to_text

# A value as conventions see it: str, bool, int, float, bytes, list or dict of the same; None for an empty AnyValue.
Value = Any


def python_value(value: AnyValue) -> Value:
    """An AnyValue as Python holds it. Its depth is bounded by the wire readers."""
    which = value.WhichOneof("value")
    if which is None:
        return None
    if which == "array_value":
        return [python_value(item) for item in value.array_value.values]
    if which == "kvlist_value":
        return {pair.key: python_value(pair.value) for pair in value.kvlist_value.values}
    return getattr(value, which)


_STRUCTURED = frozenset({"array_value", "kvlist_value", "bytes_value"})


class Attributes(NamedTuple):
    """Attributes by key: as values that mean something, and as the texts that the tables hold."""

    values: dict[str, Value]
    texts: dict[str, str]


def read_attributes(pairs: Sequence[KeyValue], limits: Limits, truncated: list[str]) -> Attributes:
    """Attributes of one owner, the last of a repeated key. What was cut is named in `truncated` by its key.

    "attributes" in `truncated` stands for keys that were dropped: too many, or longer than a key may be.
    """
    # A string shorter than this fits whatever its characters are, so that the common case costs one comparison.
    surely_fits = limits.max_attribute_bytes // 4
    max_key = limits.max_key_chars
    if len(pairs) > limits.max_attributes:
        truncated.append("attributes")
        pairs = pairs[: limits.max_attributes]
    values: dict[str, Value] = {}
    # Only what is no string: the texts are a copy of the values with these on top.
    others: dict[str, str] = {}
    for pair in pairs:
        key = pair.key
        if len(key) > max_key:
            truncated.append("attributes")
            continue
        any_value = pair.value
        text = any_value.string_value
        if text:
            if len(text) > surely_fits and not fits(text, limits.max_attribute_bytes):
                text = cut(text, limits.max_attribute_bytes)
                truncated.append(key)
            values[key] = text
            continue
        which = any_value.WhichOneof("value")
        if which == "int_value":
            values[key] = number = any_value.int_value
            others[key] = repr(number)
            continue
        value = python_value(any_value)
        if which in _STRUCTURED and any_value.ByteSize() > limits.max_attribute_bytes:
            # A structured value over the cap becomes its JSON text, cut.
            value = cut(to_text(value), limits.max_attribute_bytes)
            truncated.append(key)
        values[key] = value
        others[key] = to_text(value)
    return Attributes(values, values | others)
