"""Log records of coding agents over HTTP: their spans count once, and their metrics are not added to them."""

import time
import uuid

import httpx
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from tests.collectors.build import pairs
from tests.ingest.stack import eventually

TOKENS = {"input_tokens": 20, "output_tokens": 50, "cache_read_tokens": 1_000, "cache_creation_tokens": 200}


def turn(session: str) -> ExportLogsServiceRequest:
    """One turn of Claude Code: a prompt and a call, without ids of a trace."""
    made = ExportLogsServiceRequest()
    records = made.resource_logs.add().scope_logs.add().log_records
    common = {"session.id": session, "prompt.id": "p-1", "model": "claude-sonnet-4-5"}
    for number, (name, values) in enumerate(
        (("user_prompt", {"prompt": "hello"}), ("api_request", {**TOKENS, "request_id": "r", "duration_ms": 5}))
    ):
        added = records.add(time_unix_nano=time.time_ns())
        added.body.string_value = f"claude_code.{name}"
        added.attributes.extend(pairs({**common, "event.name": name, "event.sequence": number, **values}))
    return made


def usage_metrics(session: str) -> ExportMetricsServiceRequest:
    """The same tokens once more, as Claude Code's delta counter has them."""
    made = ExportMetricsServiceRequest()
    metric = made.resource_metrics.add().scope_metrics.add().metrics.add(name="claude_code.token.usage", unit="tokens")
    metric.sum.is_monotonic = True
    metric.sum.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
    for kind, value in (("input", 20), ("output", 50), ("cacheRead", 1_000), ("cacheCreation", 200)):
        point = metric.sum.data_points.add(time_unix_nano=time.time_ns(), as_int=value)
        point.attributes.extend(pairs({"session.id": session, "type": kind, "model": "claude-sonnet-4-5"}))
    return made


def send(stack, tenant, signal: str, body: bytes) -> None:
    headers = {"content-type": "application/x-protobuf", **tenant.headers}
    assert httpx.post(f"{stack.http}/v1/{signal}", content=body, headers=headers).status_code == 200


def sums(stack, tenant):
    (summed,) = stack.query(
        "SELECT uniqExact(trace_id), sum(span_count), sum(input_tokens), sum(output_tokens) FROM traces"
        " WHERE project_id = %(id)s",
        id=tenant.id,
    )
    return summed


def test_a_turn_is_a_trace_that_counts_once_however_often_it_is_sent(stack, tenant):
    session = uuid.uuid4().hex
    body = turn(session).SerializeToString()
    for _ in range(3):
        send(stack, tenant, "logs", body)
    metrics = usage_metrics(session).SerializeToString()
    send(stack, tenant, "metrics", metrics)
    assert sums(stack, tenant) == (1, 2, 1_220, 50)
    told = stack.query(
        "SELECT DISTINCT l.span_id = s.span_id FROM log_records AS l JOIN spans AS s ON l.trace_id = s.trace_id"
        " AND l.project_id = s.project_id AND l.event_name = s.name"
        " WHERE l.project_id = %(id)s",
        id=tenant.id,
    )
    assert told == [(1,)]
    (points,) = stack.query(
        "SELECT count(), sum(value), any(temporality) FROM metric_points WHERE project_id = %(id)s", id=tenant.id
    )
    assert points == (4, 1_270, "delta")


def test_the_ledger_counts_the_spans_that_records_made(stack, tenant):
    body = turn(uuid.uuid4().hex).SerializeToString()
    send(stack, tenant, "logs", body)

    def counted():
        return dict(
            stack.query(
                "SELECT concat(signal, ' ', what), sum(n) FROM ingest_ledger WHERE project_id = %(id)s GROUP BY 1",
                id=tenant.id,
            )
        )

    found = eventually(lambda: counted() if "traces accepted" in counted() else None)
    assert (found["logs accepted"], found["traces accepted"]) == (2, 2)
