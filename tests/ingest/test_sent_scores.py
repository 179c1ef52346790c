"""Scores that come with telemetry are scores of what they judge: whatever comes first, and however often it is sent."""

import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from heliograph.evals import tasks
from heliograph.ingest.commit import Committer
from heliograph.ingest.exports import Export, decode
from heliograph.ingest.signals import SIGNALS
from heliograph.query import scores, sent_scores
from tests.collectors.build import pairs, request

pytestmark = pytest.mark.usefixtures("store")
DAY = 86_400 * 10**9
RESULT = "gen_ai.evaluation.result"
SAID = {"gen_ai.evaluation.name": "relevance", "gen_ai.evaluation.score.value": 0.75}


@pytest.fixture
def arrive(tmp_path: Path) -> Iterator[Callable[[int, str, Any], None]]:
    """Return a function that stores an export as another process would have."""
    made: list[Committer] = []

    def store(project_id: int, signal: str, message: Any) -> None:
        made.append(Committer(SIGNALS[signal], tmp_path))
        export = Export(signal, project_id, 90, "protobuf", "", time.time_ns(), message.SerializeToString())
        made[-1].store([decode(export)])

    yield store
    for each in made:
        each.close()


class Answer:
    """A model call and what judges it."""

    def __init__(self, at: int | None = None) -> None:
        self.at = at or time.time_ns() - 60 * 10**9
        self.trace, self.span, self.response = secrets.token_bytes(16), secrets.token_bytes(8), secrets.token_hex(8)

    def spans(self, events: dict[str, Any] | None = None):
        call = Span(
            trace_id=self.trace,
            span_id=self.span,
            name="chat",
            start_time_unix_nano=self.at,
            end_time_unix_nano=self.at + 10**9,
        )
        said = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.response.id": self.response}
        call.attributes.extend(pairs(said))
        if events:
            call.events.add(time_unix_nano=self.at + 5, name=RESULT).attributes.extend(pairs(events))
        return request(call, resource={"service.name": "shop"})

    def record(self, attributes: dict[str, Any], *, by_span: bool, at: int = 0) -> ExportLogsServiceRequest:
        made = ExportLogsServiceRequest()
        record = (
            made.resource_logs.add()
            .scope_logs.add()
            .log_records.add(time_unix_nano=at or self.at + 2 * 10**9, event_name=RESULT)
        )
        if by_span:
            record.trace_id, record.span_id = self.trace, self.span
        else:
            attributes = attributes | {"gen_ai.response.id": self.response}
        record.attributes.extend(pairs(attributes))
        return made

    def scores(self, project_id: int) -> list[tuple[Any, ...]]:
        return [
            (score.span_id, score.name, score.value, score.service, score.model)
            for score in scores.of_trace(project_id, self.trace.hex())
        ]

    @property
    def judged(self) -> list[tuple[Any, ...]]:
        return [(self.span.hex(), "relevance", 0.75, "shop", "gpt-4o")]


def test_an_event_of_a_span_is_a_score_of_it_once_however_often_it_is_sent(project_id: int, arrive: Any) -> None:
    answer = Answer()
    for _ in range(3):
        arrive(project_id, "traces", answer.spans(SAID))
    assert answer.scores(project_id) == answer.judged


def test_attributes_of_a_span_are_scores_of_it(project_id: int, arrive: Any) -> None:
    answer = Answer()
    message = answer.spans()
    message.resource_spans[0].scope_spans[0].spans[0].attributes.extend(
        pairs({"annotations.0.annotation.name": "relevance", "annotations.0.annotation.score": 0.75})
    )
    arrive(project_id, "traces", message)
    assert answer.scores(project_id) == answer.judged


def test_a_record_after_its_span_is_a_score_of_it_once(project_id: int, arrive: Any) -> None:
    answer = Answer()
    arrive(project_id, "traces", answer.spans())
    for _ in range(2):
        arrive(project_id, "logs", answer.record(SAID, by_span=True))
    assert answer.scores(project_id) == answer.judged


def test_a_record_days_after_its_span_is_matched_by_the_response_that_it_names(project_id: int, arrive: Any) -> None:
    answer = Answer(time.time_ns() - 3 * DAY)
    arrive(project_id, "traces", answer.spans())
    late = answer.record(SAID, by_span=False, at=time.time_ns())
    for _ in range(2):
        arrive(project_id, "logs", late)
    assert answer.scores(project_id) == answer.judged
    # It stands where its answer stands.
    assert scores.of_trace(project_id, answer.trace.hex())[0].time_ns == answer.at


def test_a_record_before_its_span_waits_and_is_placed_once_the_span_has_come(project_id: int, arrive: Any) -> None:
    answer, other = Answer(), Answer()
    arrive(project_id, "logs", answer.record(SAID, by_span=False))
    arrive(project_id, "logs", other.record(SAID, by_span=False))
    assert sent_scores.place_waiting(project_id) == 0
    arrive(project_id, "traces", answer.spans())
    assert sent_scores.place_waiting(project_id) == 1
    assert answer.scores(project_id) == answer.judged
    # Once, also where it is sent again; the other one goes on waiting.
    arrive(project_id, "logs", answer.record(SAID, by_span=False))
    assert sent_scores.place_waiting(project_id) == 0
    assert answer.scores(project_id) == answer.judged
    arrive(project_id, "traces", other.spans())
    assert sent_scores.place_waiting(project_id) == 1
    assert other.scores(project_id) == other.judged


def test_a_record_with_its_span_s_ids_may_come_before_it(project_id: int, arrive: Any) -> None:
    answer = Answer()
    arrive(project_id, "logs", answer.record(SAID, by_span=True))
    arrive(project_id, "traces", answer.spans())
    arrive(project_id, "logs", answer.record(SAID, by_span=True))
    assert answer.scores(project_id) == answer.judged


def test_another_project_s_response_of_the_same_id_is_not_judged(project_id: int, arrive: Any) -> None:
    answer = Answer()
    arrive(project_id + 2**31, "traces", answer.spans())
    arrive(project_id, "logs", answer.record(SAID, by_span=False))
    assert sent_scores.place_waiting(project_id) == 0
    assert answer.scores(project_id) == answer.scores(project_id + 2**31) == []


@pytest.mark.django_db
def test_the_worker_places_what_waits_in_every_project(project: Any, arrive: Any) -> None:
    answer = Answer()
    arrive(project.pk, "logs", answer.record(SAID, by_span=False))
    arrive(project.pk, "traces", answer.spans())
    tasks.place_sent_scores()
    assert answer.scores(project.pk) == answer.judged
