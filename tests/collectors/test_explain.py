"""What is shown as the source of a field is what filled it."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from collectors.otlp import traces
from collectors.otlp.limits import Limits
from collectors.semconv.convert import Spread
from collectors.semconv.dialects import DIALECTS, INDEX
from collectors.semconv.events import Event
from collectors.semconv.explain import Explanation, Mapped, explain
from collectors.semconv.meaning import interpret
from collectors.semconv.rules import Rule, compiled
from collectors.semconv.table import Index
from tests.collectors.build import START, rows
from tests.collectors.test_recorded import NOW, RECORDED

pytestmark = pytest.mark.usefixtures("decoder")

RULES = compiled(
    (
        Rule("acme.session", "session_id"),
        Rule("thread_id", "user_id"),
        Rule("acme.latency.", "ttft_ns", "prefix", "ms"),
        Rule("acme.turns", "input_messages", "prefix"),
        Rule("acme.tokens", "input_tokens", order="after"),
        Rule("acme.kind", "kind"),
    )
)
OWN_KEYS = ["acme.session", "acme.latency.first", "acme.latency.ttft", "acme.turns.0.role", "acme.tokens", "acme.kind"]
KEYS = [
    *(
        source if isinstance(source, str) else source.key
        for dialect in DIALECTS
        for sources in dialect.fields.values()
        for source in sources
    ),
    *(f"{prefix}.{number}.content" for dialect in DIALECTS for prefix in dialect.flat for number in (0, 1)),
    *OWN_KEYS,
    "http.method",
    "acme.unknown.0.key",
]
VALUES = st.sampled_from(
    [
        *(
            "gpt-4o",
            "chat",
            "agent",
            "llm",
            "7",
            0,
            5,
            12,
            900,
            0.25,
            True,
            "",
            [],
            None,
            "s-1",
            "2026-01-02T03:04:05Z",
        ),
        *('[{"role": "user", "content": "hi"}]', '{"input": 3, "output": 4, "name": "n", "version": 2}', "stop"),
        *('{"input_tokens": 5, "output_tokens": 6}', ["a", "b"], {"content": "x"}, "1.5s", '["stop"]'),
    ]
)
ATTRIBUTES = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=12)
EVENTS = st.lists(
    st.tuples(
        st.just(START + 5),
        st.sampled_from(
            ["gen_ai.user.message", "gen_ai.choice", "gen_ai.client.inference.operation.details", "exception", "other"]
        ),
        st.dictionaries(st.sampled_from([*KEYS[:80], "content", "role", "exception.type"]), VALUES, max_size=4),
    ),
    max_size=2,
)


def sources_only(
    attributes: dict[str, Any], events: list[Event], explanation: Explanation, mapped: Mapped
) -> dict[str, Any]:
    """The attributes that the explanation names for a column; an output is also read by what kind of span it is of."""
    chosen = [mapped]
    if mapped.column == "output":
        chosen += [each for each in explanation.mapped if each.column == "kind"]
    keys = {source.key for each in chosen for source in each.sources if source.where == "attribute"}
    return {key: value for key, value in attributes.items() if key in keys}


def check(attributes: dict[str, Any], events: list[Event], index: Index) -> Explanation:
    settled = interpret(attributes, events, start_ns=START, index=index)
    explanation = explain(attributes, events, start_ns=START, index=index)
    shown = {each.column: each.value for each in explanation.mapped}
    for column, value in shown.items():
        assert settled[column] == value
    for each in explanation.mapped:
        if each.column in ("kind", "error_type") and not each.sources:
            continue
        alone = interpret(sources_only(attributes, events, explanation, each), events, start_ns=START, index=index)
        if alone.get("dialect", "") or not settled.get("dialect", ""):
            assert alone.get(each.column) == each.value, (each, alone)
    # Each key is shown once: as a source, as read and not used, or as mapped by nobody.
    used = {source.key for each in explanation.mapped for source in each.sources if source.where == "attribute"}
    unused = {source.key for source in explanation.unused}
    assert not unused & set(explanation.unmapped)
    assert not used & set(explanation.unmapped)
    # What nobody maps changes nothing.
    without = {key: value for key, value in attributes.items() if key not in explanation.unmapped}
    assert interpret(without, events, start_ns=START, index=index) == settled
    return explanation


# A span that is a tool for its call's id alone: that key decides about the name too.
NAMED_BY_ITS_CALL = {
    "langfuse.observation.type": "gpt-4o",
    "gen_ai.tool.call.id": "gpt-4o",
    "mlflow.spanFunctionName": "gpt-4o",
}


@settings(max_examples=600, deadline=None)
@given(ATTRIBUTES, EVENTS, st.sampled_from([INDEX, RULES]))
@example(NAMED_BY_ITS_CALL, [], INDEX)
def test_the_named_keys_alone_fill_each_field_with_the_same_value(
    attributes: dict[str, Any], events: list[Event], index: Index
) -> None:
    check(attributes, events, index)


def recorded_spans() -> Iterator[tuple[dict[str, Any], list[Event]]]:
    for file in sorted(RECORDED.glob("*.traces.bin")):
        decoded = traces.decode(file.read_bytes(), content_type="protobuf", limits=Limits(), now_ns=NOW)
        for row in rows(decoded.columns):
            yield (
                row["attributes"],
                list(zip(row["events.time"], row["events.name"], row["events.attributes"], strict=True)),
            )


def test_every_recorded_span_is_explained() -> None:
    explained = 0
    for attributes, events in recorded_spans():
        for index in (INDEX, RULES):
            explained += len(check(attributes, events, index).mapped)
    assert explained > 100


def test_the_dialect_the_key_and_what_was_not_used_are_named() -> None:
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o",
        "llm.model_name": "gpt-4",
        "session.id": "general",
        "acme.session": "own",
        "acme.colour": "red",
    }
    explanation = explain(attributes, [], start_ns=START, index=RULES)
    by_column = {each.column: each for each in explanation.mapped}
    (source,) = by_column["model"].sources
    assert (source.key, source.dialect, source.field) == ("llm.model_name", "openinference", "model_name")
    (source,) = by_column["session_id"].sources
    assert (by_column["session_id"].value, source.key, source.dialect) == ("own", "acme.session", "project")
    assert by_column["kind"].how == "worked out from the operation"
    assert [source.key for source in explanation.unused] == ["session.id"]
    assert explanation.unmapped == ("acme.colour",)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name or "general")
def test_each_key_of_each_dialect_is_named_with_its_dialect(dialect: Any) -> None:
    for field, sources in dialect.fields.items():
        for source in sources:
            key = source if isinstance(source, str) else source.key
            hit = INDEX.lookup(key)
            assert hit is not None
            assert (hit.dialect, hit.field) == (dialect.name, field)
            assert isinstance(hit.convert, Spread) or callable(hit.convert)
