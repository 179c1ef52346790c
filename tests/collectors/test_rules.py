"""A project's own rules beside the built-in table."""

from typing import Any

import pytest
from hypothesis import given, settings

from collectors.semconv.dialects import INDEX
from collectors.semconv.meaning import interpret
from collectors.semconv.rules import FLAT, MAX_KEYS_OF_A_PROJECT, MAX_RULES, TARGETS, Rule, compiled, fault
from collectors.semconv.table import FIELDS, RANKS_PER_DIALECT
from tests.collectors.build import START
from tests.collectors.test_explain import ATTRIBUTES


def fields(attributes: dict[str, Any], *rules: Rule) -> dict[str, Any]:
    return interpret(attributes, [], start_ns=START, index=compiled(rules))


def test_without_rules_the_table_is_the_built_in_one() -> None:
    assert compiled(()) is INDEX


def test_every_target_is_a_canonical_field_with_a_conversion() -> None:
    assert set(TARGETS) <= set(FIELDS)
    assert set(TARGETS) >= FLAT
    assert MAX_RULES * 2 < RANKS_PER_DIALECT // 2, "rules of keys, of prefixes and flat ones never share a rank"
    for name, target in TARGETS.items():
        for conversion in target.conversions:
            assert fault(Rule("acme.key", name, conversion=conversion)) is None


def test_a_rule_fills_a_field_and_a_rule_before_the_table_is_believed_first() -> None:
    said = {"acme.session": "own", "gen_ai.conversation.id": "theirs", "gen_ai.operation.name": "chat"}
    assert fields(said, Rule("acme.session", "session_id"))["session_id"] == "own"
    assert fields(said, Rule("acme.session", "session_id", order="after"))["session_id"] == "theirs"
    del said["gen_ai.conversation.id"]
    assert fields(said, Rule("acme.session", "session_id", order="after"))["session_id"] == "own"


def test_a_rule_takes_a_key_over_from_the_table() -> None:
    assert fields({"thread_id": "t"})["session_id"] == "t"
    taken = fields({"thread_id": "t"}, Rule("thread_id", "user_id"))
    assert taken["user_id"] == "t"
    assert "session_id" not in taken


def test_of_two_rules_for_a_field_the_first_usable_counts() -> None:
    rules = (Rule("acme.a", "input_tokens"), Rule("acme.b", "input_tokens"))
    assert fields({"acme.a": 1, "acme.b": 2}, *rules)["input_tokens"] == 1
    assert fields({"acme.a": "many", "acme.b": 2}, *rules)["input_tokens"] == 2


@pytest.mark.parametrize(
    ("conversion", "value", "expected"),
    [("s", "0.5", 500_000_000), ("ms", 12, 12_000_000), ("us", 3, 3_000), ("ns", "7", 7), ("unit", "1.5ms", 1_500_000)],
)
def test_a_duration_is_read_in_its_unit(conversion: str, value: Any, expected: int) -> None:
    assert fields({"acme.wait": value}, Rule("acme.wait", "queue_ns", conversion=conversion))["queue_ns"] == expected


def test_a_kind_is_a_known_one_or_none() -> None:
    assert fields({"acme.kind": "LLM"}, Rule("acme.kind", "kind"))["kind"] == "llm"
    assert fields({"acme.kind": "nonsense"}, Rule("acme.kind", "kind"))["kind"] == "other"
    assert fields({"acme.tool": "x"}, Rule("acme.tool", "kind", conversion="is:tool"))["kind"] == "tool"


def test_rules_alone_make_a_genai_span_but_not_those_that_any_span_may_have() -> None:
    web = {"http.method": "GET", "acme.session": "s", "acme.prompt": "How many?"}
    session = Rule("acme.session", "session_id")
    assert "dialect" not in fields(web, session)
    assert fields(web, session)["session_id"] == "s"
    asked = fields(web, session, Rule("acme.prompt", "input"))
    assert asked["dialect"] == "project"
    assert asked["input"] == "How many?"
    assert fields(web | {"gen_ai.operation.name": "chat"}, session)["dialect"] == "otel_genai"


def test_a_prefix_reads_what_the_table_does_not_name() -> None:
    rule = Rule("gen_ai.", "session_id", "prefix")
    assert fields({"gen_ai.request.model": "m", "gen_ai.thing": "s"}, rule)["session_id"] == "s"
    assert fields({"gen_ai.request.model": "m"}, rule)["model"] == "m"


def test_a_prefix_of_messages_reads_numbered_keys() -> None:
    rule = Rule("acme.turns.", "input_messages", "prefix")
    given = {
        f"acme.turns.{n}.{name}": value for n in range(2) for name, value in (("role", "user"), ("content", f"t{n}"))
    }
    assert '"t0"' in fields(given, rule)["input"]
    assert '"t1"' in fields(given, rule)["input"]


@pytest.mark.parametrize(
    ("rule", "where", "says"),
    [
        (Rule("", "session_id"), "source", "Name the attribute key"),
        (Rule("x" * 257, "session_id"), "source", "256"),
        (Rule("a", "colour"), "field", "no field"),
        (Rule("a", "error_type"), "field", "no field"),
        (Rule("a", "input_tokens", conversion="ms"), "conversion", "count"),
        (Rule("thread_id", "user_id", order="after"), "order", "put the rule before"),
        (Rule("gen_ai.request.model", "model_requested"), "source", "already"),
        (Rule("a", "user_id", match="regex"), "match", "exact or prefix"),  # type: ignore[arg-type]
        (Rule("a", "user_id", order="beside"), "order", "before or after"),  # type: ignore[arg-type]
    ],
)
def test_a_fault_is_named_with_what_to_do(rule: Rule, where: str, says: str) -> None:
    found = fault(rule)
    assert found is not None
    assert found[0] == where
    assert says in found[1]


@settings(max_examples=200, deadline=None)
@given(ATTRIBUTES)
def test_rules_for_keys_that_a_span_has_not_change_nothing(attributes: dict[str, Any]) -> None:
    rules = (
        Rule("never.sent", "session_id"),
        Rule("never.", "user_id", "prefix"),
        Rule("never.t", "tags", order="after"),
    )
    assert fields(attributes, *rules) == interpret(attributes, [], start_ns=START)


def test_a_projects_table_forgets_keys_before_it_grows_without_bound() -> None:
    index = compiled((Rule("acme.x", "session_id"),))
    for number in range(MAX_KEYS_OF_A_PROJECT + 100):
        assert index.lookup(f"unknown.{number}") is None
    assert len(index.known) <= MAX_KEYS_OF_A_PROJECT
    assert index.lookup("acme.x") is not None
