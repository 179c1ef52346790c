"""Stored spans through the table once more: what a row says by other rules than those it was stored with.

A span's attributes, resource and events are stored as they came, as texts. What a sender wrote as a number or a list is
its JSON now, which the converters read alike; a test compares for everything recorded. Only what the change of rules
changes is changed: a value that was redacted, moved elsewhere or priced at its time stays. What cannot be told from a
stored row stays as well: identity, times, status, errors, hardware.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from collectors.otlp.columns import SPAN_DEFAULTS
from collectors.otlp.resources import columns_of_resource
from collectors.pricing import OVERRIDE, ModelPrice
from collectors.semconv.dialects import INDEX
from collectors.semconv.meaning import interpret
from collectors.semconv.model import add_model_columns
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
    *("output_preview", "request", "response", "tools", "modality_tokens"),
)
_COSTS = ("input_cost", "output_cost", "cache_read_cost", "cache_write_cost", "cost", "cost_source", "cost_note")
# As while decoding: deeper chains of calls are not built by frameworks.
_MAX_ANCESTORS = 64


def remap(
    columns: Mapping[str, Sequence[Any]],
    *,
    was: Sequence[Index],
    now: Index = INDEX,
    price_overrides: Mapping[str, ModelPrice] | None = None,
) -> dict[str, list[Any]]:
    """Return MAPPED_COLUMNS of stored spans by the table `now`, one list a column in the order of the rows.

    `columns` holds those of SPAN_COLUMNS, as they are stored, and may hold more; `was` is the table by which each row
    was stored. `price_overrides` are the project's prices of now: what they price, and what such a price priced before,
    is priced again. Where the rules give usage to a span and to one of its ancestors among these rows, the innermost
    counts.
    """
    made = {name: list(columns[name]) for name in MAPPED_COLUMNS}
    given_usage = []
    for row, table in enumerate(was):
        before = mapped(columns, row, table)
        after = mapped(columns, row, now, price_overrides)
        changed = [name for name in MAPPED_COLUMNS if before[name] != after[name]]
        if columns["usage_counted"][row] and OVERRIDE in (after["cost_source"], columns["cost_source"][row]):
            # By which price it was priced is not known any more.
            changed = list(dict.fromkeys((*changed, *_COSTS)))
        for name in changed:
            made[name][row] = after[name]
        if not {"usage_counted", "input_tokens", "output_tokens"}.isdisjoint(changed):
            given_usage.append(row)
    _count_usage_once(columns, made, given_usage)
    return made


def mapped(
    columns: Mapping[str, Sequence[Any]],
    row: int,
    index: Index = INDEX,
    price_overrides: Mapping[str, ModelPrice] | None = None,
) -> dict[str, Any]:
    """MAPPED_COLUMNS of one stored row (and more) by a table, from its attributes, resource and events alone."""
    events = list(
        zip(columns["events.time"][row], columns["events.name"][row], columns["events.attributes"][row], strict=True)
    )
    fields = interpret(
        columns["attributes"][row],
        events,
        start_ns=columns["start_time"][row],
        price_overrides=price_overrides,
        index=index,
    )
    found = {**SPAN_DEFAULTS, **columns_of_resource(columns["resource"][row]), **fields}
    if found["model"]:
        add_model_columns(found)
    return found


def _count_usage_once(
    columns: Mapping[str, Sequence[Any]], made: dict[str, list[Any]], given_usage: Sequence[int]
) -> None:
    """Keep the usage of the innermost where the rules gave one to a span within another, or around another."""
    places = {
        (trace_id, span_id): row
        for row, (trace_id, span_id) in enumerate(zip(columns["trace_id"], columns["span_id"], strict=True))
    }
    counted, touched = made["usage_counted"], set(given_usage)
    with_usage = {
        row
        for row in places.values()
        if counted[row] and (made["input_tokens"][row] is not None or made["output_tokens"][row] is not None)
    }
    if not touched & with_usage:
        return
    for row in with_usage:
        trace_id, parent_id = columns["trace_id"][row], columns["parent_span_id"][row]
        for _ in range(_MAX_ANCESTORS):
            above = places.get((trace_id, parent_id)) if parent_id else None
            if above is None:
                break
            if above != row and above in with_usage and (row in touched or above in touched):
                counted[above] = False
            parent_id = columns["parent_span_id"][above]
