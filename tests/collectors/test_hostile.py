"""Messages are counted as the parser would make them, without being made."""

import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collectors.otlp import hostile
from collectors.otlp.errors import Malformed
from tests.collectors.build import pairs, request, span
from tests.collectors.test_recorded import RECORDED


@pytest.fixture(autouse=True)
def count_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostile, "UNCOUNTED_BYTES", -1)


def messages_below(message: Message) -> int:
    total = 0
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None:
            each = list(value) if descriptor.is_repeated else [value]
            total += len(each) + sum(map(messages_below, each))
    return total


def is_taken(body: bytes, most: int) -> bool:
    try:
        hostile.check_protobuf(body, ExportTraceServiceRequest.DESCRIPTOR, most)
    except Malformed:
        return False
    return True


@pytest.mark.parametrize("file", sorted(RECORDED.glob("*.traces.bin")), ids=lambda file: file.name)
def test_as_many_messages_are_counted_as_the_parser_makes(file) -> None:
    body = file.read_bytes()
    made = messages_below(ExportTraceServiceRequest.FromString(body))
    assert made > 100
    assert is_taken(body, made)
    assert not is_taken(body, made - 1)


def test_values_within_values_are_counted() -> None:
    deep = {"a": [[["x"] * 50] * 3, {"b": [{}, {}]}]}
    message = request(span({"deep": deep}, events=[(1, "e", deep)]))
    made = messages_below(message)
    assert is_taken(message.SerializeToString(), made)
    assert not is_taken(message.SerializeToString(), made - 1)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_left_to_the_parser(body: bytes) -> None:
    assert is_taken(body, 1_000)


@given(st.lists(st.dictionaries(st.text(max_size=5), st.integers(0, 5) | st.text(max_size=9), max_size=4), max_size=9))
def test_any_request_is_taken_with_its_own_count(attributes: list[dict[str, int | str]]) -> None:
    message = request(*(span(each, span_id=number + 1) for number, each in enumerate(attributes)))
    message.resource_spans[0].resource.attributes.extend(pairs({"k": "v"}))
    assert is_taken(message.SerializeToString(), messages_below(message))


def test_json_s_objects_and_arrays_are_counted() -> None:
    hostile.check_json(b'{"resourceSpans": [{}]}', 3)
    with pytest.raises(Malformed, match="more than 2 values"):
        hostile.check_json(b'{"resourceSpans": [{}]}', 2)


def test_small_bodies_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostile, "UNCOUNTED_BYTES", 100)
    assert is_taken(b"\x0a\x00" * 50, 1)
    assert not is_taken(b"\x0a\x00" * 51, 1)
