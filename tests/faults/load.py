"""Senders of traces, metrics and logs that retry until they hear 200, as exporters do, and count what they heard."""

import itertools
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import httpx
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.ingest.stack import Stack, Tenant, eventually

PROTOBUF = {"content-type": "application/x-protobuf"}
SPANS, POINTS, RECORDS = 10, 8, 8
# Of each span but the root.
INPUT_TOKENS, OUTPUT_TOKENS = 7, 3
_numbers = itertools.count(1)


@dataclass
class Sent:
    """What a body holds, for comparing with what is stored."""

    # trace id -> span ids
    spans: dict[str, list[str]] = field(default_factory=dict)
    # (series, nanoseconds) -> value
    points: dict[tuple[str, int], float] = field(default_factory=dict)
    records: list[str] = field(default_factory=list)

    def add(self, other: "Sent") -> None:
        for trace_id, span_ids in other.spans.items():
            self.spans[trace_id] = self.spans.get(trace_id, []) + span_ids
        self.points |= other.points
        self.records += other.records


def traces(_: str) -> tuple[bytes, Sent]:
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.add(key="service.name").value.string_value = "faults"
    spans = resource_spans.scope_spans.add().spans
    trace_id, now = secrets.token_bytes(16), time.time_ns()
    ids = [secrets.token_bytes(8) for _ in range(SPANS)]
    for number, span_id in enumerate(ids):
        span = spans.add(trace_id=trace_id, span_id=span_id, parent_span_id=ids[0] if number else b"", name="call")
        span.start_time_unix_nano, span.end_time_unix_nano = now + number, now + number + 1_000
        if number:
            span.attributes.add(key="gen_ai.operation.name").value.string_value = "chat"
            span.attributes.add(key="gen_ai.request.model").value.string_value = "gpt-4o-mini"
            span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = INPUT_TOKENS
            span.attributes.add(key="gen_ai.usage.output_tokens").value.int_value = OUTPUT_TOKENS
    return request.SerializeToString(), Sent(spans={trace_id.hex(): [each.hex() for each in ids]})


def metrics(sender: str) -> tuple[bytes, Sent]:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="faults.gauge", unit="1")
    sent = Sent()
    now = time.time_ns()
    for number in range(POINTS):
        value = float(next(_numbers))
        point = metric.gauge.data_points.add(time_unix_nano=now + number, as_double=value)
        point.attributes.add(key="sender").value.string_value = sender
        sent.points[sender, now + number] = value
    return request.SerializeToString(), sent


def logs(_: str) -> tuple[bytes, Sent]:
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    sent = Sent()
    for _number in range(RECORDS):
        text = f"record {next(_numbers)}"
        records.add(time_unix_nano=time.time_ns()).body.string_value = text
        sent.records.append(text)
    return request.SerializeToString(), sent


# From the sender's name.
Maker = Callable[[str], tuple[bytes, Sent]]
MAKERS: dict[str, Maker] = {"traces": traces, "metrics": metrics, "logs": logs}
ITEMS = {"traces": SPANS, "metrics": POINTS, "logs": RECORDS}


class Sender(threading.Thread):
    """Sends new bodies of one signal until told to stop; each is sent again, to either process, until it is taken.

    `make` returns a body and what it holds; `seconds` is the time between two bodies, as long as they are taken in it.
    """

    def __init__(
        self, stack: Stack, tenant: Tenant, signal: str, name: str, make: Maker | None = None, seconds: float = 0
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.stack, self.tenant, self.signal = stack, tenant, signal
        self.make, self.seconds = make or MAKERS[signal], seconds
        self.stopping = threading.Event()
        self.sent = Sent()
        # Answers heard, by status; and tries without an answer.
        self.answers: Counter[int] = Counter()
        self.unanswered = 0
        self.fault = ""

    def run(self) -> None:
        with httpx.Client(timeout=180, headers=self.tenant.headers | PROTOBUF) as client:
            due = time.monotonic()
            while not self.stopping.wait(max(0.0, due - time.monotonic())):
                body, sent = self.make(self.name)
                while not self.is_taken(client, body):
                    time.sleep(0.05)
                self.sent.add(sent)
                # What was late is not made up for: a load after an outage is no steady one.
                due = max(due + self.seconds, time.monotonic() - self.seconds)

    def is_taken(self, client: httpx.Client, body: bytes) -> bool:
        addresses = (self.stack.http, self.stack.web_http)
        address = addresses[(sum(self.answers.values()) + self.unanswered) % 2]
        try:
            answer = client.post(f"{address}/v1/{self.signal}", content=body)
        except httpx.TransportError:
            self.unanswered += 1
            return False
        self.answers[answer.status_code] += 1
        if answer.status_code not in (200, 503):
            self.fault = answer.text
            self.stopping.set()
        return answer.status_code == 200


class Load:
    """Senders, five where none are given; what they sent and heard, all together."""

    def __init__(self, stack: Stack, tenant: Tenant, senders: Sequence[Sender] = ()) -> None:
        self.stack, self.tenant = stack, tenant
        self.senders = senders or [
            Sender(stack, tenant, signal, f"sender {number}")
            for number, signal in enumerate(("traces", "traces", "traces", "metrics", "logs"))
        ]

    def start(self) -> None:
        for sender in self.senders:
            sender.start()

    def taken(self) -> int:
        return min(sum(sender.answers[200] for sender in self.senders if sender.signal == signal) for signal in MAKERS)

    def progress(self, requests: int = 3) -> None:
        """Return when that many more requests of each signal were acknowledged."""
        goal = self.taken() + requests
        eventually(lambda: self.taken() >= goal, 60)

    def stop(self) -> None:
        """End the senders; each finishes the body at hand."""
        for sender in self.senders:
            sender.stopping.set()
        for sender in self.senders:
            sender.join(60)
            assert not sender.is_alive()
        assert [sender.fault for sender in self.senders if sender.fault] == []

    def finish(self) -> Sent:
        """Stop, wait until nothing is in the spool, and return all that was acknowledged."""
        self.stop()
        eventually(lambda: not self.stack.spooled(), 60)
        everything = Sent()
        for sender in self.senders:
            everything.add(sender.sent)
        return everything

    def answers(self, signal: str) -> Counter[int]:
        heard: Counter[int] = Counter()
        for sender in self.senders:
            if sender.signal == signal:
                heard += sender.answers
        return heard

    @property
    def unanswered(self) -> int:
        return sum(sender.unanswered for sender in self.senders)
