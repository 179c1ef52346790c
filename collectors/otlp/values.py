"""Attribute values from protobuf to Python."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from collectors.blobs import Cutter
from collectors.otlp.limits import Limits
from collectors.semconv.convert import MAX_LABEL_CHARS, parse_json
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


# What was cut at a cap: its name and its original size, bytes of a text or entries of a list.
Cuts = dict[str, int]


class Attributes(NamedTuple):
    """Attributes by key: as values that mean something, and as the texts that the tables hold."""

    values: dict[str, Value]
    texts: dict[str, str]


def short_name(text: str, name: str, truncated: Cuts) -> str:
    """A name as low-cardinality columns hold it; what is longer is cut and noted in `truncated` as `name`."""
    if len(text) <= MAX_LABEL_CHARS:
        return text
    truncated[name] = len(text.encode("utf-8", "replace"))
    return text[:MAX_LABEL_CHARS]


def read_attributes(
    pairs: Sequence[KeyValue], limits: Limits, truncated: Cuts, cutter: Cutter | None = None
) -> Attributes:
    """Attributes of one owner, the last of a repeated key. What was cut is named in `truncated` by its key.

    "attributes" in `truncated` stands for keys that were dropped: too many, or longer than a key may be. `cutter` takes
    the blobs out and is told of texts that are long.
    """
    # A string up to this long fits whatever its characters are and holds nothing to take out, so that the common case
    # costs one comparison.
    surely_fits = limits.max_attribute_bytes // 4
    if cutter is not None and cutter.min_chars < surely_fits:
        surely_fits = cutter.min_chars
    max_key = limits.max_key_chars
    came = len(pairs)
    if came > limits.max_attributes:
        truncated["attributes"] = came
        pairs = pairs[: limits.max_attributes]
    values: dict[str, Value] = {}
    # Only what is no string: the texts are a copy of the values with these on top.
    others: dict[str, str] = {}
    for pair in pairs:
        key = pair.key
        if len(key) > max_key:
            truncated["attributes"] = came
            continue
        any_value = pair.value
        text = any_value.string_value
        if text:
            if len(text) > surely_fits:
                text = _long(key, text, limits, truncated, cutter)
            values[key] = text
            continue
        which = any_value.WhichOneof("value")
        if which == "int_value":
            values[key] = number = any_value.int_value
            others[key] = repr(number)
            continue
        value = python_value(any_value)
        text = to_text(value)
        if which in _STRUCTURED and len(text) > surely_fits:
            whole, text = text, _long(key, text, limits, truncated, cutter)
            if text != whole:
                # Without its blobs it is still JSON; over the cap it is that text, cut.
                value = text if key in truncated else parse_json(text) or text
        values[key] = value
        others[key] = text
    return Attributes(values, values | others)


def _long(key: str, text: str, limits: Limits, truncated: Cuts, cutter: Cutter | None) -> str:
    """The text without its blobs, and within the cap."""
    size = len(text.encode("utf-8", "replace"))
    if cutter is not None:
        text = cutter.cut(text)
        if cutter.dropped:
            truncated[key] = size
    if not fits(text, limits.max_attribute_bytes):
        text = cut(text, limits.max_attribute_bytes)
        truncated[key] = size
    return text
