"""Values as text: JSON that any reader takes, prefixes that fit."""

import base64
import json
import math
from typing import Any

Value = Any

_encode = json.JSONEncoder(
    ensure_ascii=False,
    allow_nan=False,
    separators=(",", ":"),
    default=lambda value: base64.b64encode(value).decode(),
).encode


def to_json(value: Value) -> str:
    """Compact JSON; bytes as base64. Text that is no Unicode (half a surrogate pair) becomes "?".

    A value nested too deep for the encoder becomes an empty string: nothing but an attack nests hundreds of levels.
    """
    try:
        return clean(_encode_finite(value))
    except RecursionError:
        return ""


def clean(text: str) -> str:
    """`text` without what is no Unicode (half a surrogate pair, which JSON can escape): "?" in its place."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def _encode_finite(value: Value) -> str:
    try:
        return _encode(value)
    except ValueError:
        # JSON has no NaN and no infinity.
        return _encode(_finite(value))


def _finite(value: Value) -> Value:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return value


def to_text(value: Value) -> str:
    """The text of one value in an attribute map: strings as they are, anything else as JSON."""
    kind = type(value)
    if kind is str:
        return str(value)
    if kind is int or (kind is float and math.isfinite(value)):
        return repr(value)
    if value is None:
        return ""
    if kind is bytes:
        return base64.b64encode(value).decode()
    return to_json(value)


def cut(text: str, max_bytes: int) -> str:
    """The longest prefix of whole characters that fits `max_bytes` in UTF-8."""
    return text.encode("utf-8", "replace")[:max_bytes].decode("utf-8", "ignore")


def fits(text: str, max_bytes: int) -> bool:
    """Whether `text` takes at most `max_bytes` in UTF-8; measured only where the number of characters does not say."""
    size = len(text)
    return size * 4 <= max_bytes or (size <= max_bytes and (text.isascii() or len(text.encode()) <= max_bytes))
