"""A stored span, mapped again by the same rules, is what it was; by others, it is what it would have been."""

import json
from decimal import Decimal
from typing import Any

import pytest

from collectors.otlp import traces
from collectors.otlp.columns import SPAN_COLUMNS
from collectors.otlp.limits import Limits
from collectors.otlp.remap import MAPPED_COLUMNS, mapped, remap
from collectors.pricing import OVERRIDE, ModelPrice
from collectors.semconv.dialects import INDEX
from collectors.semconv.rules import Rule, compiled
from tests.collectors.build import decode_spans, request, rows, span
from tests.collectors.test_recorded import NOW, RECORDED

pytestmark = pytest.mark.usefixtures("decoder")

RULES = (Rule("acme.session", "session_id"), Rule("acme.model", "model_answered"), Rule("acme.in", "input_tokens"))


def readable(row: dict[str, Any]) -> dict[str, Any]:
    """JSON in columns compares by what it says: a structured value comes back with its keys in another order."""
    found = dict(row)
    for name in ("input", "output", "documents"):
        if found[name].startswith(("[", "{")):
            found[name] = json.loads(found[name])
    return found


def assert_read_again_alike(columns: dict[str, list[Any]]) -> None:
    for number, row in enumerate(rows(columns)):
        again = readable({name: value for name, value in mapped(columns, number).items() if name in MAPPED_COLUMNS})
        if again["usage_counted"] and not row["usage_counted"]:
            # Whether usage repeats another span's is found over an export's spans, not in a row; `remap` keeps that.
            again["usage_counted"] = False
        assert again == {name: value for name, value in readable(row).items() if name in MAPPED_COLUMNS}
    unchanged = remap(columns, was=[compiled(RULES)] * len(columns["span_id"]), now=compiled(RULES))
    assert unchanged == {name: columns[name] for name in MAPPED_COLUMNS}


@pytest.mark.parametrize("file", sorted(RECORDED.glob("*.traces.bin")), ids=lambda file: file.name)
def test_recorded_spans_mapped_again_are_as_they_were(file: Any) -> None:
    decoded = traces.decode(file.read_bytes(), content_type="protobuf", limits=Limits(), now_ns=NOW)
    assert decoded.accepted > 0
    assert_read_again_alike(decoded.columns)


def test_mapped_columns_are_all_that_a_rule_changes() -> None:
    attributes = {"acme.session": "s", "acme.model": "gpt-4o", "acme.in": 7, "gen_ai.operation.name": "chat"}
    body = request(span(attributes)).SerializeToString()
    arguments: Any = {"content_type": "protobuf", "limits": Limits(), "now_ns": NOW}
    plain = traces.decode(body, **arguments)
    ruled = traces.decode(body, **arguments, index=compiled(RULES))
    own = compiled(RULES)
    assert remap(plain.columns, was=[INDEX], now=own) == {name: ruled.columns[name] for name in MAPPED_COLUMNS}
    assert remap(ruled.columns, was=[own]) == {name: plain.columns[name] for name in MAPPED_COLUMNS}
    changed = {name for name in SPAN_COLUMNS if plain.columns[name] != ruled.columns[name]}
    assert {"session_id", "model", "model_family", "input_tokens", "input_cost"} <= changed <= set(MAPPED_COLUMNS)


def test_every_kind_of_value_means_the_same_once_it_is_stored() -> None:
    values: dict[str, Any] = {
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 3.0,
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "hi"}]}],
        "gen_ai.output.messages": [{"role": "assistant", "content": "hello"}],
        "tag.tags": ["a", "b"],
        "langfuse.trace.tags": '["c"]',
        "server.port": 8000,
    }
    decoded = decode_spans(span(values), span({"llm.model_name": "x"}, span_id=2, parent=1))
    assert_read_again_alike(decoded.columns)


def test_what_the_change_of_rules_does_not_change_stays_as_it_is_stored() -> None:
    decoded = decode_spans(span({"gen_ai.request.model": "gpt-4o", "acme.session": "s", "gen_ai.agent.name": "a"}))
    stored = decoded.columns | {"input": ["what a redaction left"], "cost_note": ["as it was"], "user_id": ["kept"]}
    again = remap(stored, was=[INDEX], now=compiled(RULES))
    assert (again["input"], again["cost_note"], again["user_id"]) == (
        ["what a redaction left"],
        ["as it was"],
        ["kept"],
    )
    assert again["session_id"] == ["s"]


def test_usage_that_a_rule_gives_counts_on_the_innermost_span() -> None:
    usage = {"gen_ai.operation.name": "chat", "acme.in": 7}
    decoded = decode_spans(span(usage), span(usage, span_id=2, parent=1))
    assert decoded.columns["usage_counted"] == [True, True]
    assert remap(decoded.columns, was=[INDEX] * 2, now=compiled(RULES))["usage_counted"] == [False, True]


def test_usage_that_repeats_a_childs_stays_uncounted() -> None:
    known = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 7}
    decoded = decode_spans(span(known), span(known, span_id=2, parent=1))
    assert decoded.columns["usage_counted"] == [False, True]
    outer = {name: values[:1] for name, values in decoded.columns.items()}
    assert remap(outer, was=[INDEX], now=compiled(RULES))["usage_counted"] == [False]


def test_a_price_of_ones_own_prices_stored_calls_and_gives_way_again() -> None:
    call = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "in-house", "gen_ai.usage.input_tokens": 1_000_000}
    listed = {**call, "gen_ai.request.model": "gpt-4o", "gen_ai.usage.output_tokens": 1}
    unpriced = decode_spans(span(call | {"gen_ai.usage.output_tokens": 0}), span(listed, span_id=2)).columns
    own = {"in-house": ModelPrice(Decimal("1.5"), Decimal(6))}
    priced = remap(unpriced, was=[INDEX] * 2, price_overrides=own)
    assert unpriced["cost"][0] is None
    assert (priced["cost"][0], priced["cost_source"][0], priced["cost_note"][0]) == (Decimal("1.5"), OVERRIDE, "")
    # What no own price is about stays as it was priced at its time.
    assert priced["cost"][1] == unpriced["cost"][1]
    dearer = {"in-house": ModelPrice(Decimal(2), Decimal(6))}
    assert remap({**unpriced, **priced}, was=[INDEX] * 2, price_overrides=dearer)["cost"][0] == 2
    back = remap({**unpriced, **priced}, was=[INDEX] * 2)
    assert {name: back[name] for name in MAPPED_COLUMNS} == {name: unpriced[name] for name in MAPPED_COLUMNS}
