"""Attribute values from protobuf to Python."""

from collections.abc import Iterable
from typing import Any

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


def read_attributes(pairs: Iterable[KeyValue], limits: Limits, truncated: list[str]) -> dict[str, Value]:
    """Attributes by key, the last of a repeated key. What was cut is named in `truncated` by its key.

    "attributes" in `truncated` stands for keys that were dropped: too many, or longer than a key may be.
    """
    # A string shorter than this fits whatever its characters are, so that the common case costs one comparison.
    surely_fits = limits.max_attribute_bytes // 4
    max_key = limits.max_key_chars
    values: dict[str, Value] = {}
    for pair in pairs:
        any_value = pair.value
        text = any_value.string_value
        if text:
            key = pair.key
            if len(text) > surely_fits and not fits(text, limits.max_attribute_bytes):
                text = cut(text, limits.max_attribute_bytes)
                truncated.append(key[:max_key])
            if len(key) <= max_key:
                values[key] = text
                continue
        elif len(pair.key) <= max_key:
            value = python_value(any_value)
            if any_value.ByteSize() > limits.max_attribute_bytes:
                # A structured value over the cap becomes its JSON text, cut.
                value = cut(to_text(value), limits.max_attribute_bytes)
                truncated.append(pair.key)
            values[pair.key] = value
            continue
        truncated.append("attributes")
    if len(values) > limits.max_attributes:
        truncated.append("attributes")
        values = dict(list(values.items())[: limits.max_attributes])
    return values


def texts(values: dict[str, Value]) -> dict[str, str]:
    """Attributes as the tables hold them."""
    return {key: value if type(value) is str else to_text(value) for key, value in values.items()}
