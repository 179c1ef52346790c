"""GenAI events that came as log records, read as what they say about their span."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from collectors.semconv.content import preview
from collectors.semconv.convert import from_json
from collectors.semconv.events import DETAILS, MESSAGE_EVENTS, Event, read_events, with_reasoning
from collectors.semconv.meaning import interpret
from collectors.text import to_json

# What `log_records.event_name` says where a record is about its span's messages.
EVENT_NAMES = MESSAGE_EVENTS | {DETAILS}


@dataclass(frozen=True, slots=True)
class SpanContent:
    """A span's texts, as in the columns of `spans` of the same names; '' where the events do not say."""

    input: str = ""
    output: str = ""
    input_preview: str = ""
    output_preview: str = ""
    finish_reason: str = ""


def log_event(time_ns: int, event_name: str, body: str, attributes: Mapping[str, Any]) -> Event:
    """An event of a row of `log_records`: the keys of a JSON body join the attributes."""
    parsed = from_json(body)
    inner = parsed if isinstance(parsed, dict) else {"content": body} if body else {}
    return time_ns, event_name, {**attributes, **inner}


def content_of_events(events: Iterable[Event]) -> SpanContent:
    """Content of one span from its log events (see `log_event`), in any order of arrival."""
    ordered = sorted((event for event in events if event[1] in EVENT_NAMES), key=lambda event: event[0])
    if not ordered:
        return SpanContent()
    said = read_events(ordered)
    if said.details:
        fields = interpret(said.details, ordered, start_ns=0)
        return SpanContent(
            fields.get("input", ""),
            fields.get("output", ""),
            fields.get("input_preview", ""),
            fields.get("output_preview", ""),
            fields.get("finish_reason", ""),
        )
    given, answered = said.input_messages, with_reasoning(said.reasoning, said.output_messages)
    return SpanContent(
        to_json(given) if given else "",
        to_json(answered) if answered else "",
        preview(given, "user"),
        preview(answered, "assistant"),
        next((each["finish_reason"] for each in answered if "finish_reason" in each), ""),
    )
