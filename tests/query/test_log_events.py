"""Messages that came as log records are shown on the span that they belong to."""

from typing import Any

import pytest

from heliograph.query.spans import get_span
from tests.query.rows import SECOND, at, llm, new_trace_id, store_rows, store_spans

pytestmark = pytest.mark.usefixtures("store")


def event(span: dict[str, Any], seconds: float, name: str, body: str, number: int) -> dict[str, Any]:
    return {
        "time": at(seconds),
        "observed_time": at(seconds),
        "record_id": number,
        "trace_id": span["trace_id"],
        "span_id": span["span_id"],
        "event_name": name,
        "body": body,
        "attributes": {},
        "retention_days": 90,
    }


def exchange(span: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        event(span, 10.1, "gen_ai.user.message", '{"content": "How long does delivery take?"}', 1),
        event(
            span, 10.9, "gen_ai.choice", '{"index": 0, "finish_reason": "stop", "message": {"content": "Two days."}}', 2
        ),
    ]


@pytest.mark.parametrize("logs_first", [True, False])
def test_log_events_are_the_messages_of_their_span_in_whatever_order_they_come(
    project_id: int, logs_first: bool
) -> None:
    row = llm(new_trace_id(), 10)
    if logs_first:
        store_rows(project_id, "log_records", exchange(row))
    store_spans(project_id, row)
    if not logs_first:
        store_rows(project_id, "log_records", exchange(row))
    span = get_span(project_id, row["trace_id"], row["span_id"])
    assert span is not None
    assert [(message.role, message.text) for message in span.input_messages] == [
        ("user", "How long does delivery take?")
    ]
    assert [message.text for message in span.output_messages] == ["Two days."]


@pytest.mark.parametrize("days", [-3, 3])
def test_log_events_of_days_before_or_after_are_the_messages_of_their_span(project_id: int, days: int) -> None:
    row = llm(new_trace_id(), 10)
    store_spans(project_id, row)
    far = [each | {"time": each["time"] + days * 86_400 * SECOND} for each in exchange(row)]
    store_rows(project_id, "log_records", far)
    span = get_span(project_id, row["trace_id"], row["span_id"])
    assert span is not None
    assert [message.text for message in (*span.input_messages, *span.output_messages)] == [
        "How long does delivery take?",
        "Two days.",
    ]


def test_the_messages_of_the_span_itself_win(project_id: int) -> None:
    row = llm(new_trace_id(), 10, input="asked", output="answered")
    store_spans(project_id, row)
    store_rows(project_id, "log_records", exchange(row))
    span = get_span(project_id, row["trace_id"], row["span_id"])
    assert span is not None
    assert (span.input, span.output) == ("asked", "answered")


def test_another_project_s_log_records_say_nothing(project_id: int) -> None:
    row = llm(new_trace_id(), 10)
    store_spans(project_id, row)
    store_rows(project_id + 10**6, "log_records", exchange(row))
    span = get_span(project_id, row["trace_id"], row["span_id"])
    assert span is not None
    assert span.input == ""


def test_an_absurdly_long_span_does_not_make_its_trace_vanish(project_id: int) -> None:
    row = llm(new_trace_id(), 10, duration_ns=2**62)
    store_spans(project_id, row)
    assert get_span(project_id, row["trace_id"], row["span_id"]) is not None
    assert row["duration_ns"] > SECOND
