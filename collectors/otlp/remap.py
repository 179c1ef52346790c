"""Stored spans through the table once more: what a row says by other rules than those it was stored with.

A span's attributes, resource and events are stored as they came, as texts. What a sender wrote as a number or a list is
its JSON now, which the converters read alike; a test compares for everything recorded. What cannot be told from a
stored row stays as it is: identity, times, status, errors, hardware.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from collectors.otlp.columns import SPAN_DEFAULTS
from collectors.otlp.resources import columns_of_resource
from collectors.pricing import ModelPrice
from collectors.semconv.dialects import INDEX
from collectors.semconv.meaning import COUNTED_KINDS, interpret
from collectors.semconv.model import model_columns
from collectors.semconv.table import Index

# Columns of `spans` that a mapping fills.
MAPPED_COLUMNS = (
    *("environment", "release", "server_address", "server_port", "kind", "dialect", "operation", "provider"),
    *("model_requested", "model", "model_family", "model_variant", "model_params_b", "model_active_params_b"),
    *("model_quantization", "model_bits", "model_format", "adapter", "input_tokens", "output_tokens"),
    *("cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "usage_counted", "input_cost", "output_cost"),
    *("cache_read_cost", "cache_write_cost", "cost", "reported_cost", "cost_source", "cost_note", "ttft_ns"),
    *("queue_ns", "prefill_ns", "decode_ns", "finish_reason", "response_id", "session_id", "user_id", "tags"),
    *("prompt_name", "prompt_version", "tool_name", "input", "output", "documents", "input_preview"),
    "output_preview",
)
# As while decoding: deeper chains of calls are not built by frameworks.
_MAX_ANCESTORS = 64


def remap(
    columns: Mapping[str, Sequence[Any]],
    *,
    index: Index = INDEX,
    price_overrides: Mapping[str, ModelPrice] | None = None,
) -> dict[str, list[Any]]:
    """Return MAPPED_COLUMNS of stored spans by the table `index`, one list a column in the order of the rows.

    `columns` holds those of SPAN_COLUMNS, as they are stored, and may hold more. A span whose usage was found to repeat
    a child's stays so; where the rules give usage to a span and to one of its ancestors among these rows, the innermost
    counts.
    """
    made: dict[str, list[Any]] = {name: [] for name in MAPPED_COLUMNS}
    for row in range(len(columns["span_id"])):
        fields = _row(columns, row, index, price_overrides)
        for name, values in made.items():
            values.append(fields[name])
    _count_usage_once(columns, made)
    return made


def _row(
    columns: Mapping[str, Sequence[Any]], row: int, index: Index, prices: Mapping[str, ModelPrice] | None
) -> dict[str, Any]:
    attributes, resource = columns["attributes"][row], columns["resource"][row]
    events = list(
        zip(columns["events.time"][row], columns["events.name"][row], columns["events.attributes"][row], strict=True)
    )
    fields = interpret(attributes, events, start_ns=columns["start_time"][row], price_overrides=prices, index=index)
    found = {**SPAN_DEFAULTS, **columns_of_resource(resource), **fields}
    if found["model"]:
        found.update(model_columns(found["model"]))
    repeats = columns["kind"][row] in COUNTED_KINDS and not columns["usage_counted"][row]
    if repeats and (columns["input_tokens"][row] is not None or columns["output_tokens"][row] is not None):
        found["usage_counted"] = False
    return found


def _count_usage_once(columns: Mapping[str, Sequence[Any]], made: dict[str, list[Any]]) -> None:
    places = {
        (trace_id, span_id): row
        for row, (trace_id, span_id) in enumerate(zip(columns["trace_id"], columns["span_id"], strict=True))
    }
    counted = made["usage_counted"]
    with_usage = [
        row
        for row in places.values()
        if counted[row] and (made["input_tokens"][row] is not None or made["output_tokens"][row] is not None)
    ]
    outer = set(with_usage)
    for row in with_usage:
        trace_id, parent_id = columns["trace_id"][row], columns["parent_span_id"][row]
        for _ in range(_MAX_ANCESTORS):
            above = places.get((trace_id, parent_id)) if parent_id else None
            if above is None:
                break
            if above in outer and above != row:
                counted[above] = False
            parent_id = columns["parent_span_id"][above]
