"""OTLP/JSON into the protobuf messages that the decoders read, so that both encodings take one path.

OTLP/JSON differs from protobuf's own JSON mapping, so that `google.protobuf.json_format` cannot read it: trace and span
ids are hex, enums may be numbers or names, 64-bit integers may be strings or numbers, unknown fields are ignored.
https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
"""

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from collectors.otlp.errors import Malformed

# protobuf's own parsers stop at 100 levels; no convention nests attribute values deeper than a few.
MAX_DEPTH = 64
# What is refused one by one: a fault inside one of these costs that one, not the request.
_ITEMS = frozenset(
    {"Span", "LogRecord", "NumberDataPoint", "HistogramDataPoint", "ExponentialHistogramDataPoint", "SummaryDataPoint"}
)
_HEX_FIELDS = frozenset({"trace_id", "span_id", "parent_span_id"})
_HINT = "send OTLP/JSON (the JSON mapping of the OTLP protobuf messages), or protobuf as application/x-protobuf"


class _BadValueError(ValueError):
    """A value that its field cannot hold."""


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    is_item: bool
    is_message: bool
    is_repeated: bool
    convert: Callable[[Any], Any]


@dataclass(slots=True)
class _Reader:
    """Fills messages from JSON values; counts the items it had to drop."""

    dropped: int = 0
    depth: int = field(default=0)

    def fill(self, message: Message, data: Any) -> None:
        if not isinstance(data, dict):
            raise _BadValueError(f"{message.DESCRIPTOR.name} must be an object, not {type(data).__name__}")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _BadValueError(f"nested deeper than {MAX_DEPTH} levels")
        fields = _fields(message.DESCRIPTOR)
        for key, value in data.items():
            known = fields.get(key)
            if known is None or value is None:
                continue
            if known.is_repeated:
                self._fill_repeated(getattr(message, known.name), known, value)
            elif known.is_message:
                target = getattr(message, known.name)
                target.SetInParent()
                self.fill(target, value)
            else:
                setattr(message, known.name, known.convert(value))
        self.depth -= 1

    def _fill_repeated(self, target: Any, known: _Field, values: Any) -> None:
        if not isinstance(values, list):
            raise _BadValueError(f"{known.name} must be an array, not {type(values).__name__}")
        if not known.is_message:
            target.extend([known.convert(value) for value in values])
            return
        for value in values:
            if not known.is_item:
                self.fill(target.add(), value)
                continue
            depth = self.depth
            try:
                self.fill(target.add(), value)
            except (ValueError, TypeError):
                del target[-1]
                self.depth = depth
                self.dropped += 1


def parse(body: bytes, request: Message) -> int:
    """Fill `request` from an OTLP/JSON body; return how many spans, points or records were dropped as unreadable.

    Raises Malformed where the body as a whole is not OTLP/JSON. An empty body is an empty request.
    """
    if not body:
        return 0
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the body is not JSON ({error}); {_HINT}") from error
    reader = _Reader()
    try:
        reader.fill(request, data)
    except (ValueError, TypeError) as error:
        raise Malformed(f"the body is JSON but not an OTLP request ({error}); {_HINT}") from error
    return reader.dropped


@cache
def _fields(descriptor: Descriptor) -> dict[str, _Field]:
    """Fields by both of their names, `startTimeUnixNano` and `start_time_unix_nano`."""
    known: dict[str, _Field] = {}
    for each in descriptor.fields:
        is_message = each.message_type is not None
        known[each.name] = known[each.json_name] = _Field(
            name=each.name,
            is_item=each.message_type is not None and each.message_type.name in _ITEMS,
            is_message=is_message,
            is_repeated=each.is_repeated,
            convert=_no_conversion if is_message else _converter(each),
        )
    return known


def _no_conversion(value: Any) -> Any:
    return value


def _converter(known: FieldDescriptor) -> Callable[[Any], Any]:
    kind = known.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        if known.type == FieldDescriptor.TYPE_STRING:
            return _string
        return _hex if known.name in _HEX_FIELDS else _base64
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return _boolean
    if kind in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return _double
    if kind == FieldDescriptor.CPPTYPE_ENUM and known.enum_type is not None:
        numbers = {value.name: value.number for value in known.enum_type.values}
        return lambda value: (
            numbers.get(value, 0) if isinstance(value, str) and not value.isdigit() else _integer(value)
        )
    return _integer


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise _BadValueError(f"expected a string, not {type(value).__name__}")
    if value.isascii():
        return value
    # JSON can escape half of a surrogate pair, which is no Unicode text: it becomes "?".
    return value.encode("utf-8", "replace").decode("utf-8")


def _hex(value: Any) -> bytes:
    """An id that is no hex is left empty here and refused with the reason of an invalid id by the decoder."""
    try:
        return bytes.fromhex(_string(value))
    except ValueError:
        return b""


def _base64(value: Any) -> bytes:
    try:
        return base64.b64decode(_string(value).replace("-", "+").replace("_", "/") + "==", validate=False)
    except binascii.Error as error:
        raise _BadValueError(f"expected base64 ({error})") from error


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise _BadValueError("expected true or false")


def _double(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _BadValueError(f"expected a number, not {type(value).__name__}")
    try:
        return float(value)
    except OverflowError as error:
        raise _BadValueError("number too large") from error


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _BadValueError(f"expected an integer, not {type(value).__name__}")
    # `int` reads at most 4,300 digits and raises ValueError beyond.
    try:
        return int(value)
    except OverflowError as error:
        raise _BadValueError("expected a finite integer") from error
