"""Blanking of texts: what is found goes, what is JSON stays JSON, twice is once, and no text takes it down."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.rules.blanking import redact_spans
from heliograph.rules.finders import BUILT_IN, DEFAULT_KINDS, UnusableRuleError, built_in, expression
from heliograph.rules.redaction import Action, ContentRule, KeyRule, Redactor
from personal_data.pii import find_pii
from personal_data.secrets import find_secrets
from tests.collectors.build import decode_spans, span

CARD = "4111 1111 1111 1111"
ALL = built_in(tuple(BUILT_IN))
PII_TYPES = (
    *("EMAIL_ADDRESS", "CREDIT_CARD", "IBAN_CODE", "PHONE_NUMBER"),
    *("IP_ADDRESS", "US_SSN", "STREET_ADDRESS"),
)
# Pieces of what is looked for, so that random texts come close to it.
PIECES = st.sampled_from(
    [
        *(
            "jane.doe@example.org",
            CARD,
            "4111111111111111",
            "DE89 3704 0044 0532 0130 00",
            "+49 30 901820",
            "192.168.0.12",
        ),
        *("sk-abcdefghijklmnopqrstuvwxyz", "Bearer abcdefghijklmnopqrstuvwxyz", "078-05-1120", "12 Old Mill Road"),
        *(
            "+49 30 901820",
            "192.168.0.12",
            "-----BEGIN PRIVATE KEY-----",
            "MIIEvQIBADANBgkqhkiG9w0BAQEF",
            "https://a:b@c.example/",
        ),
        *(
            "\\",
            "\n",
            '"',
            "[redacted:email]",
            "[hashed:email:0123456789abcdef]",
            "[",
            "]",
            "{",
            "}",
            " ",
            "@",
            ".",
            "é",
        ),
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=12), max_size=12).map("".join)
JSON = st.recursive(
    TEXTS | st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def redactor(action: Action = Action.MASK, *keys: KeyRule) -> Redactor:
    return Redactor([*keys, ContentRule("all", ALL, action)], b"salt")


def blank(text: str, using: Redactor | None = None) -> str:
    return (using or redactor()).pass_over().redact(text)[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to jane.doe@example.org.", "Write to [redacted:email]."),
        (f"card {CARD}, please", "card [redacted:credit_card], please"),
        ("card 4111 1111 1111 1112 has no check digit", "card 4111 1111 1111 1112 has no check digit"),
        ("IBAN DE89 3704 0044 0532 0130 00", "IBAN [redacted:iban]"),
        ("key sk-proj-abcdefghijklmnopqrstuvwx now", "key [redacted:secret] now"),
        ("aws AKIAIOSFODNN7EXAMPLE", "aws [redacted:secret]"),
        ("Authorization: Bearer abcdefghijklmnopqrstuvwxyz", "Authorization: Bearer [redacted:secret]"),
        ("postgres://app:hunter2@db.example/x", "postgres://[redacted:secret]@db.example/x"),
        ("from 192.168.0.12 today", "from [redacted:ip] today"),
        ("call +49 30 901820, please", "call [redacted:phone], please"),
        ("an order of 42 items", "an order of 42 items"),
    ],
)
def test_each_kind_leaves_its_token(text: str, expected: str) -> None:
    assert blank(text) == expected


def test_json_stays_json_and_an_escape_hides_nothing() -> None:
    said = [{"role": "user", "parts": [{"type": "text", "content": "hi\njane@example.org"}], "card": 4111111111111111}]
    for text in (json.dumps(said), json.dumps(said, ensure_ascii=False, indent=1)):
        [message] = json.loads(blank(text))
        assert message["parts"][0]["content"] == "hi\n[redacted:email]"
        assert message["card"] == "[redacted:credit_card]"


def test_json_in_a_string_in_json_is_walked_too() -> None:
    text = json.dumps({"arguments": json.dumps({"to": "x\n\tjane@example.org"})})
    assert json.loads(json.loads(blank(text))["arguments"]) == {"to": "x\n\t[redacted:email]"}


def test_json_that_was_cut_in_the_middle_is_searched_as_text() -> None:
    assert blank('[{"content":"hi\\njane@example.org and mo') == '[{"content":"hi\\n[redacted:email] and mo'


def test_a_letter_that_is_written_as_an_escape_is_seen() -> None:
    assert json.loads(blank('{"to": "jane\\u0040example.org"}')) == {"to": "[redacted:email]"}


def test_the_same_value_has_the_same_hash_and_only_within_a_project() -> None:
    text = "jane@example.org asked jane@example.org and joe@example.org"
    here = blank(text, redactor(Action.HASH)).split()
    there = blank(text, Redactor([ContentRule("all", ALL, Action.HASH)], b"another salt")).split()
    assert here[0] == here[2] != here[4]
    assert here[0] != there[0]
    assert here[0].startswith("[hashed:email:")


def test_a_removed_find_leaves_nothing() -> None:
    assert blank("to jane@example.org now", redactor(Action.DROP)) == "to  now"


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (Action.DROP, {"query": "x"}),
        (Action.MASK, {"query": "x", "db.Password": "[redacted:db.password]"}),
    ],
)
def test_a_key_rule_takes_the_attribute_in_any_letter_case(action: Action, expected: dict[str, str]) -> None:
    passed = redactor(Action.MASK, KeyRule("passwords", "*password*", action)).pass_over()
    values, rules, taken = passed.attributes({"db.Password": "hunter2", "query": "x"})
    assert values == expected
    assert rules == ("passwords",)
    assert set(taken) == {"db.Password"}


def test_a_key_rule_takes_a_key_inside_json() -> None:
    text = json.dumps({"tool": "login", "arguments": {"user": "x", "password": {"is": "hunter2"}}})
    using = redactor(Action.MASK, KeyRule("passwords", "password", Action.MASK))
    assert json.loads(blank(text, using))["arguments"] == {"user": "x", "password": "[redacted:password]"}


def test_a_persons_own_expression_is_named_by_its_rule() -> None:
    using = Redactor([ContentRule("Ticket numbers", expression(r"TCK-\d+", "Ticket numbers"), Action.MASK)], b"")
    assert blank("see TCK-1234", using) == "see [redacted:ticket_numbers]"


@pytest.mark.parametrize("pattern", ["(", "(?=x)", r"(a)\1", "a*", "", "x" * 2_000, "(((a{1,1000}){1,1000}){1,1000})"])
def test_an_expression_that_cannot_be_used_is_refused_with_a_reason(pattern: str) -> None:
    with pytest.raises(UnusableRuleError, match=r"."):
        expression(pattern, "x")


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UnusableRuleError, match="shoe_size"):
        built_in(["shoe_size"])


def test_an_expression_that_backtracking_engines_die_of_costs_no_more_than_its_text() -> None:
    # A backtracking engine takes longer than the age of the universe, and the test's own limit ends it.
    assert expression(r"(a+)+b", "evil").find("a" * 200_000) == []


@given(TEXTS)
@settings(max_examples=300, deadline=None)
def test_blanking_twice_is_blanking_once(text: str) -> None:
    for action in Action:
        once = blank(text, redactor(action))
        assert blank(once, redactor(action)) == once


@given(JSON)
@settings(max_examples=200, deadline=None)
def test_any_json_stays_json_and_holds_no_find(value: object) -> None:
    if not isinstance(value, (list, dict)):
        value = [value]
    blanked = json.loads(blank(json.dumps(value)))
    assert type(blanked) is type(value)
    assert blank(json.dumps(blanked, ensure_ascii=False, separators=(",", ":"))) == json.dumps(
        blanked, ensure_ascii=False, separators=(",", ":")
    )


@given(TEXTS)
@settings(max_examples=300, deadline=None)
def test_finds_stand_where_they_say_and_never_overlap(text: str) -> None:
    end = 0
    for find in ALL.find(text):
        assert end <= find.start < find.end <= len(text)
        end = find.end


@given(TEXTS)
@settings(max_examples=300, deadline=None)
def test_the_quick_look_before_the_patterns_misses_nothing(text: str) -> None:
    for kind, name in zip(
        ("email", "credit_card", "iban", "phone", "ip", "us_ssn", "street_address"), PII_TYPES, strict=True
    ):
        assert [find[:2] for find in built_in([kind]).find(text)] == [find[:2] for find in find_pii(text, (name,))]
    assert [find[:2] for find in built_in(["secret"]).find(text)] == [find[:2] for find in find_secrets(text)]


@pytest.mark.parametrize(
    "piece",
    ["eyJ", "Bearer ", "-----BEGIN PRIVATE KEY-----", "://", "a:", "sk-", "xoxb-", "ya29.", "@", "1", "1 ", "(", "::"],
)
def test_hostile_repetitions_end(piece: str) -> None:
    built_in(DEFAULT_KINDS).find(piece * (100_000 // len(piece)))


def test_what_was_asked_for_and_the_tools_are_blanked_too() -> None:
    said = {
        "gen_ai.request.stop_sequences": ["jane@example.org"],
        "gen_ai.request.seed": 7,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.tool.definitions": json.dumps([{"name": "mail", "description": "To jane@example.org"}]),
    }
    columns = decode_spans(span(said)).columns
    assert columns["request"][0]["seed"] == "7"
    assert redact_spans(columns, redactor(Action.MASK, KeyRule("no seeds", "gen_ai.request.seed", Action.DROP))) == 1
    assert columns["request"][0] == {"temperature": "0.5", "stop_sequences": '["[redacted:email]"]'}
    assert json.loads(columns["tools"][0]) == [{"name": "mail", "description": "To [redacted:email]"}]
    assert "jane" not in repr(columns)


def test_a_key_that_one_project_takes_is_still_understood_for_all() -> None:
    said = {"gen_ai.request.top_k": 40}
    first = decode_spans(span(said)).columns
    redact_spans(first, redactor(Action.MASK, KeyRule("no top_k", "gen_ai.request.top_k", Action.DROP)))
    again = decode_spans(span({**said, "another": "key"})).columns
    assert again["request"][0] == {"top_k": "40"}
