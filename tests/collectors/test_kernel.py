"""The compiled kernel gives what Python gives: for spans of any shape, and for any bytes."""

import gzip
import json
import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collectors import contents, kernel
from collectors.otlp import fast
from collectors.otlp.errors import Malformed
from collectors.otlp.limits import Limits
from collectors.otlp.traces import DecodedSpans, decode
from collectors.pricing import ModelPrice
from collectors.semconv import canonical
from collectors.semconv.dialects import DIALECTS, INDEX
from collectors.semconv.rules import Rule, compiled
from tests.collectors.build import NOW, START, request, span

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.traces.*"))
UNHURRIED = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
KNOWN_KEYS = sorted(
    {
        source if isinstance(source, str) else source.key
        for dialect in DIALECTS
        for sources in dialect.fields.values()
        for source in sources
    }
)
COMMON_KEYS = [
    *(
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.system",
        "gen_ai.request.model",
        "gen_ai.response.model",
    ),
    *("gen_ai.conversation.id", "session.id", "user.id", "gen_ai.response.id", "gen_ai.usage.input_tokens"),
    *("gen_ai.usage.output_tokens", "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.tool.name"),
    *(
        "gen_ai.tool.call.id",
        "gen_ai.response.finish_reasons",
        "server.address",
        "error.type",
        "openinference.span.kind",
    ),
    *("gen_ai.request.temperature", "gen_ai.request.seed", "gen_ai.openai.request.seed", "gen_ai.request.max_tokens"),
    *("gen_ai.request.stop_sequences", "gen_ai.tool.definitions", "openai.response.service_tier", "seed"),
    *("llm.model_name", "llm.token_count.prompt", "llm.token_count.completion", "http.method", "temperature", "é.key"),
]


@pytest.fixture(autouse=True, scope="module")
def built() -> Iterator[None]:
    was = kernel.active() is not None
    kernel.use(True)
    if kernel.active() is None:
        pytest.skip(f"no compiled kernel: {kernel.MISSING}")
    yield
    kernel.use(was)


def outcome(body: bytes, wanted: bool, **options: Any) -> DecodedSpans | str:
    arguments = {"content_type": "protobuf", "limits": Limits(), "now_ns": NOW, **options}
    kernel.use(wanted)
    try:
        return decode(body, **arguments)
    except Malformed as error:
        return str(error)
    finally:
        kernel.use(True)


def check(body: bytes, **options: Any) -> DecodedSpans | str:
    """Decode by both, twice by the kernel, whose templates were made by then."""
    expected = outcome(body, False, **options)
    for _ in range(2):
        assert outcome(body, True, **options) == expected
    return expected


parts = st.one_of(
    st.fixed_dictionaries({"type": st.sampled_from(["text", "reasoning"]), "content": st.text(max_size=20)}),
    st.fixed_dictionaries(
        {"type": st.just("tool_call"), "name": st.text(max_size=5), "arguments": st.just({"a": 1.5})}
    ),
    st.fixed_dictionaries({"type": st.just("tool_call_response"), "id": st.just("1"), "response": st.none()}),
    st.fixed_dictionaries({"type": st.just("text"), "content": st.text(min_size=150, max_size=260)}),
)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "tool", "bot"]), "parts": st.lists(parts, max_size=3)},
        optional={"finish_reason": st.sampled_from(["stop", "", "tool\ncalls"])},
    ),
    max_size=4,
)
encoded = st.builds(
    lambda value, ascii_, indent: json.dumps(value, ensure_ascii=ascii_, indent=indent),
    messages,
    st.booleans(),
    st.sampled_from([None, 1]),
)
plain = st.sampled_from(
    ["chat", "llm", "gpt-4o", "openai", "anthropic", "execute_tool", "s-1", " padded ", "", "[1]", "é"]
)
values = st.one_of(
    plain,
    encoded,
    st.text(max_size=12),
    st.integers(-(2**63), 2**63 - 1) | st.integers(0, 5_000),
    st.floats() | st.booleans() | st.none(),
    st.lists(plain, max_size=3) | st.lists(st.text(alphabet='a"\\\n\t\r\x01é', max_size=4), max_size=3),
    st.sampled_from(["[]", '[{"name": "f"}]', '[{"type": "function", "function": {"name": "g", "parameters": "{}"}}]']),
    st.dictionaries(st.text(max_size=4), st.integers(0, 5), max_size=2),
    st.text(alphabet='ab é"\\\n', min_size=1_000, max_size=1_200),
    st.builds("iVBORw0KGgoA{}".format, st.integers(2_000, 2_400).map(lambda size: "A" * size)),
)
attributes = st.dictionaries(st.sampled_from(COMMON_KEYS), values, max_size=10) | st.dictionaries(
    st.sampled_from(KNOWN_KEYS), values, max_size=4
)
names = st.sampled_from(["chat gpt-4o", "tool", "", "é" * 400, "n" * 600])


@st.composite
def spans(draw: st.DrawFn) -> Span:
    made = span(
        draw(attributes),
        span_id=draw(st.integers(0, 5)),
        parent=draw(st.integers(0, 5)),
        name=draw(names),
        kind=draw(st.integers(0, 6)),
    )
    if draw(st.booleans()):
        made.start_time_unix_nano = draw(st.sampled_from([0, 1, START, START + 1, NOW * 2, 2**64 - 1]))
        made.end_time_unix_nano = draw(st.sampled_from([0, START - 5, START + 7, 2**64 - 1]))
    if draw(st.integers(0, 9)) == 0:
        made.status.code = draw(st.integers(0, 2))
        made.status.message = draw(st.text(max_size=3))
        made.trace_state = draw(st.text(max_size=3))
        made.events.add(name="exception", time_unix_nano=START).attributes.add(key="a").value.int_value = 1
    return made


@UNHURRIED
@given(made=st.lists(spans(), max_size=6), until=st.sampled_from(["", "2099-01-05"]))
def test_any_spans(made: list[Span], until: str) -> None:
    check(request(*made, resource={"service.name": "s", "host.name": "h"}).SerializeToString(), blobs_until=until)


@UNHURRIED
@given(shape=attributes, others=st.lists(attributes, min_size=1, max_size=4), seed=st.integers(0, 2**32))
def test_spans_of_the_same_keys_with_other_values(
    shape: dict[str, Any], others: list[dict[str, Any]], seed: int
) -> None:
    """What a template must not fix: each span has its own values, under the first one's keys."""
    pool = [value for other in others for value in other.values()] or ["x"]
    generator = random.Random(seed)
    made = [
        span({key: generator.choice([value, *pool]) for key, value in shape.items()}, span_id=n + 1) for n in range(5)
    ]
    check(request(*made).SerializeToString())


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.name)
@settings(UNHURRIED, max_examples=15)
@given(data=st.data())
def test_a_recorded_body_with_some_bytes_changed(file: Path, data: st.DataObject) -> None:
    content = file.read_bytes()
    body = bytearray(gzip.decompress(content) if file.suffix == ".gz" else content)
    for _ in range(data.draw(st.integers(0, 6))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        body = body[: data.draw(st.integers(0, len(body)))]
    check(bytes(body), now_ns=1_795_500_000_000_000_000)


@UNHURRIED
@given(data=st.data(), made=st.lists(spans(), min_size=1, max_size=3))
def test_bodies_with_some_bytes_changed(data: st.DataObject, made: list[Span]) -> None:
    body = bytearray(request(*made, resource={"service.name": "s"}).SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    check(bytes(body))


@UNHURRIED
@given(body=st.binary(max_size=200))
def test_any_bytes(body: bytes) -> None:
    check(body)


def chat(number: int, **more: Any) -> Span:
    question = [{"role": "user", "parts": [{"type": "text", "content": f"question {number}"}]}]
    answer = [{"role": "assistant", "parts": [{"type": "text", "content": "a"}], "finish_reason": f"r{number % 3}"}]
    return span(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.conversation.id": f"c{number}",
            "gen_ai.usage.input_tokens": number,
            "gen_ai.usage.output_tokens": number * 2,
            "gen_ai.input.messages": json.dumps(question),
            "gen_ai.output.messages": json.dumps(answer),
            **more,
        },
        span_id=number,
        name=f"chat {number}",
    )


def slow_reads(monkeypatch: pytest.MonkeyPatch, body: bytes, **options: Any) -> int:
    """How many spans of a body the kernel leaves to Python."""
    read = fast.SpanReader.read
    left: list[Span] = []

    def counted(self: fast.SpanReader, made: Span, base: Any) -> Any:
        left.append(made)
        return read(self, made, base)

    with monkeypatch.context() as patch:
        patch.setattr(fast.SpanReader, "read", counted)
        outcome(body, True, **options)
    return len(left)


def test_a_chat_is_read_by_python_once_and_then_by_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    body = request(*map(chat, range(1, 40)), resource={"service.name": "only here"}).SerializeToString()
    decoded = check(body)
    assert isinstance(decoded, DecodedSpans)
    assert decoded.columns["finish_reason"][:3] == ["r1", "r2", "r0"]
    assert decoded.columns["cost"][0] != decoded.columns["cost"][1]
    assert slow_reads(monkeypatch, body) == 0


def test_what_was_asked_for_is_no_reason_for_python(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(number: int) -> dict[str, Any]:
        tools = [{"type": "function", "function": {"name": f"tool {number % 2}", "parameters": {"type": "object"}}}]
        return {
            "gen_ai.request.temperature": 0.5,
            "gen_ai.request.top_p": 1.0,
            "gen_ai.request.stop_sequences": ["\n\n", "END", '"\t'],
            "gen_ai.request.seed": number * 7,
            "gen_ai.request.max_tokens": 1_000 + number,
            "gen_ai.tool.definitions": json.dumps(tools),
        }

    body = request(*(chat(n, **asked(n)) for n in range(1, 20)), resource={"service.name": "asks"}).SerializeToString()
    decoded = check(body)
    assert isinstance(decoded, DecodedSpans)
    assert [row["seed"] for row in decoded.columns["request"]] == [str(n * 7) for n in range(1, 20)]
    assert decoded.columns["request"][3]["max_tokens"] == "1004"
    assert '"tool 0"' in decoded.columns["tools"][3]
    assert '"tool 1"' in decoded.columns["tools"][4]
    assert slow_reads(monkeypatch, body) == 0


def test_tool_definitions_kept_in_memory_are_bounded() -> None:
    for first in range(1, 700, 100):
        made = [chat(n, **{"gen_ai.tool.definitions": f'[{{"name": "t{n}"}}]'}) for n in range(first, first + 100)]
        check(request(*made).SerializeToString())
    assert len(fast._table_of(INDEX)._tools) <= 256


def test_a_long_text_is_no_reason_for_python(monkeypatch: pytest.MonkeyPatch) -> None:
    prose = "a word and another " * 200
    text = json.dumps([{"role": "user", "parts": [{"type": "text", "content": prose}]}])
    body = request(*(chat(n, **{"gen_ai.input.messages": text}) for n in range(1, 9))).SerializeToString()
    decoded = check(body, blobs_until="2099-01-05")
    assert isinstance(decoded, DecodedSpans)
    assert decoded.long_rows == list(range(8))
    assert slow_reads(monkeypatch, body, blobs_until="2099-01-05") == 0


def test_no_span_s_texts_stay_in_memory_with_its_template() -> None:
    secret = "told once and kept nowhere"
    text = json.dumps([{"role": "user", "parts": [{"type": "text", "content": secret}]}])
    made = chat(1, **{"gen_ai.input.messages": text, "note": secret})
    check(request(made, resource={"service.name": "forgetful"}).SerializeToString())
    templates = fast._table_of(INDEX)._templates
    assert any("forgetful" in row for row, _, _ in templates.values())
    assert secret not in repr(templates)


def test_a_huge_resource_is_read_and_not_kept() -> None:
    body = request(*map(chat, range(1, 4)), resource={"service.name": "s", "huge": "h" * 20_000}).SerializeToString()
    kept = len(fast._table_of(INDEX)._bases)
    check(body)
    assert len(fast._table_of(INDEX)._bases) == kept


def test_a_project_s_own_rules_are_heeded() -> None:
    index = compiled((Rule("shop.customer", "user_id"), Rule("gen_ai.conversation.id", "user_id")))
    body = request(*(chat(n, **{"shop.customer": f"u{n}"}) for n in range(1, 6))).SerializeToString()
    decoded = check(body, index=index)
    assert isinstance(decoded, DecodedSpans)
    assert decoded.columns["user_id"] == [f"u{n}" for n in range(1, 6)]


def test_a_project_s_own_prices_are_heeded() -> None:
    body = request(*map(chat, range(1, 6))).SerializeToString()
    costs = []
    for each in (1, 2):
        decoded = check(body, price_overrides={"gpt-4o": ModelPrice(Decimal(each), Decimal(each))})
        assert isinstance(decoded, DecodedSpans)
        costs.append(decoded.columns["cost"])
    assert costs[0] == [Decimal(number * 3) / 1_000_000 for number in range(1, 6)]
    assert costs[1] == [cost * 2 for cost in costs[0]]


def test_refused_spans_and_their_neighbours() -> None:
    made = [chat(1), span(trace_id=b"short"), span(trace_id=bytes(16)), chat(2), span(start_time_unix_nano=5), chat(3)]
    decoded = check(request(*made).SerializeToString())
    assert isinstance(decoded, DecodedSpans)
    assert (decoded.accepted, decoded.rejected.total()) == (3, 3)


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field of up to 16,383 bytes."""
    return bytes([number << 3 | 2, len(content) & 0x7F | 0x80, len(content) >> 7]) + content


@pytest.mark.parametrize("depth", [3, 18, 30, 45, 47, 60])
def test_deeply_nested_values_are_judged_by_protobuf(depth: int) -> None:
    value = b""
    for _ in range(depth):
        value = field(5, field(1, value))
    nested = field(9, field(1, b"deep") + field(2, value))
    made = chat(1).SerializeToString() + nested
    check(field(1, field(2, field(2, made))))


@UNHURRIED
@given(text=encoded, role=st.sampled_from(["user", "assistant"]), data=st.data())
def test_canonical_messages_are_read_as_python_reads_them(text: str, role: str, data: st.DataObject) -> None:
    if text and data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(text) - 1))
        text = text[:at] + data.draw(st.sampled_from([*'"\\{}[],:u01.e-n', " ", "", "é", "\n"])) + text[at + 1 :]
    key = "gen_ai.input.messages" if role == "user" else "gen_ai.output.messages"
    made = [chat(n, **{key: text}) for n in (1, 2)]
    decoded = check(request(*made).SerializeToString())
    said = canonical.read(text, role)
    if said is not None and isinstance(decoded, DecodedSpans) and '"parts": []' not in text:
        assert decoded.columns["input_preview" if role == "user" else "output_preview"][1] == said.preview


@UNHURRIED
@given(text=st.text(alphabet='ab"\\\n\x01é\U0001f600', max_size=60), least=st.integers(1, 12))
def test_long_literals_are_those_of_the_expression(text: str, least: int) -> None:
    native = kernel.active()
    assert native is not None
    found = [literal.span(1) for literal in contents._LITERAL.finditer(text)]
    expected = [(start, end) for start, end in found if end - start >= least]
    answer = native.long_literals(text, least)
    assert [(start, end) for start, end, _ in answer] == expected
    for start, end, is_plain in answer:
        assert not is_plain or contents._content_of(text[start:end]) == (text[start:end], "j")
