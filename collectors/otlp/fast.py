"""Requests of spans through the compiled kernel (`collectors.kernel`), which reads most spans and asks for the rest.

Spans of one sender differ in ids, times, texts and counts; what their other attributes mean is the same. So the first
of them is read by `spans`, and its row is kept as a template, under a key of everything that may change anything else:
the resource and scope, the day (for prices), kind and status, the keys with a meaning in their order, and the values of
those that are not named below. The kernel fills a template with what differs. It leaves a span with anything else in it
(events, links, errors with a message, keys and shapes of values that are not named here) to `spans`, and a body that is
not plainly well-formed to protobuf.

The table of keys stays the one of `semconv`: a key's field is asked of the index when it is first met.
"""

from collections import Counter
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collectors import kernel
from collectors.otlp.columns import SPAN_COLUMNS, Row
from collectors.otlp.hostile import check_protobuf
from collectors.otlp.limits import Limits
from collectors.otlp.resources import read_resource
from collectors.otlp.spans import REFUSALS, Base, Read, SpanReader, base_of
from collectors.pricing import ModelPrice, unit_prices
from collectors.semconv.convert import said_messages
from collectors.semconv.meaning import collect, minute_of
from collectors.semconv.request import REQUEST_FIELDS, RESPONSE_FIELDS
from collectors.semconv.table import FIELDS, Index
from collectors.semconv.tools import tools_of

# What the kernel does with a key's value; `kernel/attributes.h` has the same numbers.
_UNMAPPED, _SHAPING, _BY_PYTHON, _NAMELESS, _TOOLS, _FIRST_LABEL, _FIRST_ASKED = 0, 1, 2, 7, 8, 16, 256
_OWN = {
    "input_messages": 3,
    "output_messages": 4,
    "input_tokens": 5,
    "output_tokens": 6,
    "tool_call_id": _NAMELESS,
    "tools": _TOOLS,
}
_LABELS = ("session_id", "user_id", "response_id")
# What is asked for may be another number with each call: whole numbers, in the order of the names in `kernel/fill.c`.
_ASKED = ("request.seed", "request.max_tokens")
# Fields of few values. Whatever is in neither list is read in Python.
_OF_FEW_VALUES = frozenset(
    {
        *("kind", "operation", "provider", "model_requested", "model_answered", "model_name", "finish_reason"),
        *("tags", "prompt_name", "prompt_version", "tool_name", "agent_name", "entity_name", "environment", "release"),
        *("server_address", "server_port", "error_type", "level", "adapter"),
        *REQUEST_FIELDS,
        *RESPONSE_FIELDS,
    }
    - {*_ASKED}
)
_FILLED_BY_FIELD = {
    **_OWN,
    **{name: _FIRST_LABEL + SPAN_COLUMNS.index(name) for name in _LABELS},
    **{name: _FIRST_ASKED + place for place, name in enumerate(_ASKED)},
}
_OF_THE_CALL = frozenset({*REQUEST_FIELDS, *RESPONSE_FIELDS, "tools"})
# In the order of a template's flags.
_NAME_IS_TOOL, _REASON_OF_ANSWER, _HAS_MEANING = 1, 2, 4
# A template is a row without its texts and a key, about 3 kB; a sender makes a few, a hostile one as many as it likes.
_MAX_TEMPLATES = 4_096
# What the kernel fills into every template that has it: the first span's own must not stay in memory.
_FILLED: dict[str, Any] = {
    "attributes": {},
    "input": "",
    "input_preview": "",
    "output": "",
    "output_preview": "",
    "tools": "",
}
# Tool definitions as they came -> as the column holds them: a service sends a few sets with all its calls.
_MAX_TOOLS, _MAX_TOOLS_CHARS = 256, 65_536
# Resources with their scopes, at about 10 kB: a fleet's collector passes on thousands. Larger ones are not kept, and
# neither are templates of their spans.
_MAX_BASES = 2_048
_MAX_BASE_BYTES = 16_384
_NOT_KEPT = 0
# The kernel learns 65,536 keys; then its table is begun afresh.
_MAX_KEYS = 65_000
_serials = count(1)

_Rates = tuple[Any, Any] | None
_Prices = frozenset[tuple[str, ModelPrice]]
_NO_PRICES: _Prices = frozenset()


class Found(NamedTuple):
    """Columns of a request, refused spans by reason, and the rows with long texts."""

    columns: dict[str, list[Any]]
    rejected: Counter[str]
    long_rows: list[int]


def read(body: bytes, reader: SpanReader) -> Found | None:
    """Read a protobuf request; None where the kernel does not serve or the body is not plainly well-formed."""
    native = kernel.active()
    if native is None:
        return None
    table = _table_of(reader.index)
    if table.is_full:
        _table_of.cache_clear()
        table = _table_of(reader.index)
    return table.read(body, reader)


def _span_of(data: bytes) -> Span:
    """A span, unless it would unfold in memory. Raises Malformed."""
    check_protobuf(data, Span.DESCRIPTOR)
    return Span.FromString(data)


class _Table:
    """The kernel's reader for one table of keys, with the templates that were made by it."""

    def __init__(self, index: Index) -> None:
        native = kernel.active()
        assert native is not None
        self._index = index
        self._templates: dict[bytes, tuple[Row, _Rates, int]] = {}
        self._bases: dict[tuple[bytes, bytes, Limits, _Prices], tuple[int, Base]] = {}
        self._tools: dict[str, str] = {}
        self._reader = native.Reader(SPAN_COLUMNS, self._class_of, self._templates, self._tools)

    @property
    def is_full(self) -> bool:
        """Whether no more keys can be learned."""
        return bool(self._reader.keys >= _MAX_KEYS)

    def _class_of(self, key: str) -> int:
        hit = self._index.lookup(key)
        if hit is None:
            return _UNMAPPED
        # Of bare names such as `temperature`, which elsewhere is a room's and never the same, no templates are made.
        is_bare = hit.dialect == "" and hit.field in _OF_THE_CALL
        if is_bare or hit.path is not None or hit.field not in FIELDS:
            return _BY_PYTHON
        if hit.field in _OF_FEW_VALUES:
            return _SHAPING
        if hit.convert is not FIELDS[hit.field] and hit.convert is not said_messages:
            return _BY_PYTHON
        return _FILLED_BY_FIELD.get(hit.field, _BY_PYTHON)

    def read(self, body: bytes, reader: SpanReader) -> Found | None:
        """As the module's `read`."""
        limits, cutter = reader.limits, reader.cutter
        prices = frozenset(reader.prices.items()) if reader.prices else _NO_PRICES
        long_rows: list[int] = []

        def read_span(data: bytes, base: tuple[int, Base], place: int, key: bytes | None) -> Row:
            span = _span_of(data)
            found = reader.read(span, base[1])
            if cutter.saw_long:
                cutter.saw_long = False
                long_rows.append(place)
            if key is not None and base[0] != _NOT_KEPT:
                self._learn(key, span, found, reader)
            if "tools" in found.fields:
                self._keep_tools(found)
            return found.row

        try:
            answer = self._reader.read(
                body,
                lambda resource, scope: self._base_of(resource, scope, limits, prices),
                read_span,
                _span_of,
                long_rows,
                oldest_ns=max(reader.oldest_ns, 0),
                newest_ns=max(reader.newest_ns, 0),
                max_spans=limits.max_spans,
                surely_fits=min(limits.max_attribute_bytes // 4, cutter.min_chars),
                max_bytes=limits.max_attribute_bytes,
                max_key_chars=limits.max_key_chars,
                max_attributes=limits.max_attributes,
                cuts_blobs=bool(cutter.until),
            )
        except DecodeError:
            answer = None
        if answer is None:
            # Read again from its beginning, by who can say what is wrong with it.
            cutter.found.clear()
            cutter.saw_long = False
            return None
        columns, refused = answer
        rejected = Counter({reason: n for reason, n in zip(REFUSALS, refused, strict=True) if n})
        return Found(dict(zip(SPAN_COLUMNS, columns, strict=True)), rejected, long_rows)

    def _base_of(self, resource: bytes, scope: bytes, limits: Limits, prices: _Prices) -> tuple[int, Base]:
        # Whatever a template depends on beside its span; its number is in the template's key.
        key = (resource, scope, limits, prices)
        known = self._bases.get(key)
        if known is None:
            origin = read_resource(Resource.FromString(resource), limits)
            base = base_of(origin, InstrumentationScope.FromString(scope))
            if len(resource) + len(scope) > _MAX_BASE_BYTES:
                return _NOT_KEPT, base
            known = (next(_serials), base)
            if len(self._bases) >= _MAX_BASES:
                self._bases.clear()
            self._bases[key] = known
        return known

    def _keep_tools(self, found: Read) -> None:
        """Keep what tool definitions came to, by their text."""
        for key, value in found.attributes.values.items():
            if type(value) is str and len(value) <= _MAX_TOOLS_CHARS and self._class_of(key) == _TOOLS:
                if len(self._tools) >= _MAX_TOOLS:
                    self._tools.clear()
                self._tools[value] = tools_of(value)

    def _learn(self, key: bytes, span: Span, found: Read, reader: SpanReader) -> None:
        """Keep a span's row as a template, unless it depends on what the kernel would fill in."""
        fields = found.fields
        raw: dict[str, Any] = {}
        collect(found.attributes.values, raw, {}, 0, self._index)
        has_messages = "input_messages" in raw or "output_messages" in raw
        if found.truncated or (
            has_messages and ("dialect" not in fields or fields["kind"] in ("embedding", "retriever"))
        ):
            return
        rates: _Rates = None
        tokens = ("input_tokens" in raw) + ("output_tokens" in raw)
        if tokens and "dialect" in fields and fields["usage_counted"]:
            minute = minute_of(span.start_time_unix_nano)
            prices = unit_prices(fields["model"], fields.get("provider"), minute, reader.prices)
            if prices is None:
                return
            if prices.input is not None:
                if tokens < 2:
                    return
                rates = (prices.input, prices.output)
        flags = _NAME_IS_TOOL if fields["kind"] == "tool" and not fields.get("tool_name") else 0
        if "finish_reason" not in raw:
            flags |= _REASON_OF_ANSWER
        if "dialect" in fields:
            flags |= _HAS_MEANING
        if len(self._templates) >= _MAX_TEMPLATES:
            self._templates.clear()
        row = tuple(_FILLED.get(name, value) for name, value in zip(SPAN_COLUMNS, found.row, strict=True))
        self._templates[key] = (row, rates, flags)


# As many as projects that have rules of their own and send at the same time.
@lru_cache(maxsize=64)
def _table_of(index: Index) -> _Table:
    return _Table(index)
