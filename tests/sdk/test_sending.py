"""What reaches the server, and that nothing that goes wrong on the way reaches the caller."""

import os
import subprocess
import sys
import threading
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from heliograph.sdk import instrumentations, score, scoring
from heliograph.sdk.destination import destination
from heliograph.sdk.export import SpanSender
from heliograph.sdk.masking import MASKED
from heliograph.sdk.outbox import Counts, Outbox
from tests.sdk.conftest import Receiver, Spans

TRACE_ID = "0" * 31 + "1"
SECONDS = 180


def run(script: str, receiver: Receiver | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a user's program, as OpenTelemetry lets a process be set up once."""
    where = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url if receiver else "http://127.0.0.1:9"}
    everything = {**os.environ, "PYTHONWARNINGS": "default", **where, **environment}
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS, env=everything)
    assert result.returncode == 0, result.stderr
    return result


def test_init_sends_spans_and_scores_and_instruments_what_is_installed(receiver: Receiver) -> None:
    run(
        """
import sys, heliograph.sdk as sdk
from opentelemetry import trace
# Before init(), which loads whatever an installed instrumentation needs.
assert "django" not in sys.modules and "torch" not in sys.modules
provider = sdk.init("shop", release="1.0", environment="test", api_key="hg_key")
assert trace.get_tracer_provider() is provider is sdk.init("again")
assert dict(provider.resource.attributes)["service.version"] == "1.0"
from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor as Other
assert OpenAIInstrumentor().is_instrumented_by_opentelemetry
assert not Other().is_instrumented_by_opentelemetry
@sdk.observe
def answer():
    assert sdk.score("helpful", 1)
with sdk.session("s-1"):
    answer()
assert sdk.flush(30)
counts = sdk.stats()
assert (counts.spans.sent, counts.scores.sent, counts.spans.waiting) == (1, 1, 0), counts
with trace.get_tracer("late").start_as_current_span("at exit"):
    pass
""",
        receiver,
    )
    assert receiver.names == ["answer", "at exit"]
    ((scores, key),) = receiver.scores
    answer = next(span for span in receiver.spans if span.name == "answer")
    assert (key, scores[0]["span_id"]) == ("hg_key", answer.span_id.hex())


def test_the_callers_thread_opens_no_connection(receiver: Receiver) -> None:
    run(
        """
import socket, threading, heliograph.sdk as sdk
connect, threads = socket.socket.connect, []
def noted(self, address):
    threads.append(threading.current_thread())
    return connect(self, address)
socket.socket.connect = noted
sdk.init("shop", instrument=False)
sdk.observe(lambda: None)()
sdk.score("helpful", 1, trace_id="0" * 31 + "1")
assert sdk.flush(30)
assert threads and threading.main_thread() not in threads, threads
""",
        receiver,
    )
    assert receiver.exports == [1]


def test_a_forked_worker_sends_its_own_spans_and_none_of_its_parents(receiver: Receiver) -> None:
    run(
        """
import os, sys, heliograph.sdk as sdk
sdk.init("shop", instrument=False)
named = lambda name: sdk.observe(name=name)(lambda: None)()
named("before, sent")
assert sdk.flush(30)
named("before, waiting")
children = []
for number in range(3):
    pid = os.fork()
    if pid == 0:
        named(f"child {number}")
        sdk.score("helpful", number, trace_id="0" * 31 + "1")
        assert sdk.flush(30)
        assert sdk.stats().spans.sent == 1
        named(f"child {number} at exit")
        sys.exit(0)
    children.append(pid)
named("parent after")
assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
""",
        receiver,
    )
    children = [f"child {number}{end}" for number in range(3) for end in ("", " at exit")]
    assert receiver.names == sorted(["before, sent", "before, waiting", *children, "parent after"])
    assert sorted(scores[0]["value"] for scores, _ in receiver.scores) == [0, 1, 2]


def test_a_program_ends_although_the_server_is_away_and_says_what_was_lost() -> None:
    result = run(
        "import heliograph.sdk as sdk; sdk.init('shop', instrument=False); sdk.observe(lambda: 1)(); "
        "sdk.score('helpful', 1, trace_id='0' * 31 + '1')"
    )
    assert "1 spans were not sent" in result.stderr or "Failed to export" in result.stderr


def test_wrong_arguments_are_logged_and_raise_nothing(receiver: Receiver) -> None:
    result = run(
        """
import heliograph.sdk as sdk
sdk.init(3, endpoint="no address", sample_rate="half", mask="none", instrument=["no-such-library"])
sdk.observe("no kind")(lambda: 1)()
sdk.score("x", object(), trace_id=7); sdk.score("x", float("nan"), trace_id="0" * 31 + "1"); sdk.score("x", 1)
with sdk.session(None), sdk.tags(1, None), sdk.prompt(object()):
    pass
""",
    )
    for said in (
        "sample_rate",
        "mask is no function",
        "no-such-library",
        "no kind of span",
        "finite",
        "outside a span",
    ):
        assert said in result.stderr


def test_spans_join_a_provider_that_somebody_else_set(receiver: Receiver) -> None:
    run(
        """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
theirs = TracerProvider()
trace.set_tracer_provider(theirs)
import heliograph.sdk as sdk
assert sdk.init("shop", instrument=False) is theirs
with sdk.user("alice"), trace.get_tracer("x").start_as_current_span("theirs"):
    pass
""",
        receiver,
    )
    (span,) = receiver.spans
    assert {each.key: each.value.string_value for each in span.attributes} == {"user.id": "alice"}


def test_a_share_of_traces_is_kept_whole_and_scores_of_others_are_not_sent(receiver: Receiver) -> None:
    run(
        """
import heliograph.sdk as sdk
sdk.init("shop", instrument=False, sample_rate=0.3)
@sdk.observe
def inner():
    sdk.score("helpful", 1)
@sdk.observe
def outer():
    inner()
for _ in range(200):
    outer()
""",
        receiver,
    )
    roots = {span.trace_id for span in receiver.spans if not span.parent_span_id}
    inner = {span.trace_id for span in receiver.spans if span.parent_span_id}
    assert roots == inner
    assert 20 < len(roots) < 110
    scored = {bytes.fromhex(each["trace_id"]) for scores, _ in receiver.scores for each in scores}
    assert scored == roots


def test_the_mask_sees_every_text_and_where_it_fails_nothing_of_it_leaves(receiver: Receiver) -> None:
    run(
        """
import heliograph.sdk as sdk
from opentelemetry import trace
def mask(key, value):
    if "boom" in str(value):
        raise ValueError(value)
    if "exit" in str(value):
        raise SystemExit(value)
    if key == "left.out":
        return None
    if key == "wrong":
        return {"secret": value}
    return value.replace("secret", "***") if isinstance(value, str) else ["***"]
sdk.init("shop", instrument=False, mask=mask)
tracer = trace.get_tracer("x")
with tracer.start_as_current_span("call secret") as span:
    span.set_attributes({"a": "a secret", "b": "boom secret", "c": "exit secret"})
    span.set_attributes({"left.out": "secret", "wrong": "secret", "list": ["secret"], "number": 5})
    span.add_event("said secret", {"text": "boom secret"})
    span.set_status(trace.StatusCode.ERROR, "because secret")
    sdk.score("helpful", 1, explanation="as secret")
""",
        receiver,
    )
    (span,) = receiver.spans
    assert not any(b"secret" in body for body in receiver.bodies)
    found = {each.key: each.value.string_value for each in span.attributes}
    assert found == {"a": "a ***", "b": MASKED, "c": MASKED, "wrong": MASKED, "list": "", "number": ""}
    assert (span.name, span.status.message, span.events[0].name) == ("call ***", "because ***", "said ***")
    assert receiver.scores[0][0][0]["explanation"] == "as ***"


class Held(SpanExporter):
    """Takes nothing until it is let go."""

    def __init__(self) -> None:
        self.entered, self.go = threading.Event(), threading.Event()
        self.taken: list[ReadableSpan] = []

    def export(self, spans: Any) -> SpanExportResult:
        self.entered.set()
        assert self.go.wait(SECONDS)
        self.taken += spans
        return SpanExportResult.SUCCESS


def test_a_stuck_server_costs_bounded_memory_and_drops_are_counted() -> None:
    exporter = Held()
    sender = SpanSender(lambda: exporter, most_spans=100, most_bytes=200_000)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(sender)
    tracer = provider.get_tracer("test")
    tracer.start_span("first").end()
    assert not sender.outbox.flush(0.001)
    assert exporter.entered.wait(SECONDS)
    for _ in range(150):
        tracer.start_span("small").end()
    assert sender.outbox.counts() == Counts(sent=0, waiting=101, dropped=50, failed=0)
    exporter.go.set()
    assert sender.force_flush(SECONDS * 1000)
    tracer.start_span("huge", attributes={"text": "x" * 300_000}).end()
    assert sender.outbox.counts() == Counts(sent=101, waiting=0, dropped=51, failed=0)
    sender.shutdown()
    tracer.start_span("after").end()
    assert len(exporter.taken) == 101


def test_batches_are_bounded_in_bytes_and_a_transport_that_raises_loses_one_batch_only() -> None:
    batches: list[list[str]] = []

    def send(items: Any) -> int:
        batches.append(list(items))
        if "bad" in items:
            raise OSError("away")
        return 0

    outbox: Outbox[str] = Outbox("things", send, most_items=10, most_bytes=100, batch_items=3, batch_bytes=10)
    for item, size in (("bad", 20), ("b", 4), ("c", 4), ("d", 4), ("e", 1)):
        assert outbox.put(item, size)
    assert outbox.flush(SECONDS)
    outbox.close()
    assert [item for batch in batches for item in batch] == ["bad", "b", "c", "d", "e"]
    assert ["bad"] in batches
    assert (outbox.counts().failed, outbox.counts().sent) == (1, 4)


def send_scores() -> Counts:
    assert scoring.outbox.flush(SECONDS)
    return scoring.outbox.counts()


def test_a_score_without_an_id_belongs_to_the_current_span(receiver: Receiver, spans: Spans) -> None:
    with trace.get_tracer("test").start_as_current_span("answer") as span:
        assert score("helpful", 1, web_address=receiver.url, api_key="hg_key")
    send_scores()
    (body, key), context = receiver.scores[0], span.get_span_context()
    assert key == "hg_key"
    assert body[0]["trace_id"] == f"{context.trace_id:032x}"
    assert body[0]["span_id"] == f"{context.span_id:016x}"


def test_scores_wait_out_a_restart_and_a_bad_one_costs_no_other(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "_WAITS_S", (0.01, 0.01))
    before = scoring.outbox.counts()
    receiver.statuses = [503, 429]
    assert score("helpful", 1, trace_id=TRACE_ID, web_address=receiver.url)
    send_scores()
    receiver.statuses = [400, 200, 400]
    for number in range(2):
        assert score("helpful", number, trace_id=TRACE_ID, web_address=receiver.url, id=str(number))
    after = send_scores()
    kept = [each["id"] for scores, _ in receiver.scores for each in scores]
    assert (after.sent - before.sent, after.failed - before.failed) == (2, 1)
    assert len(kept) == 2


def test_scores_go_to_the_web_address_beside_the_collectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    assert destination("http://h:4318/").web_address == "http://h:8000"
    assert destination("http://[::1]:4318").web_address == "http://[::1]:8000"
    assert destination("https://h.example").web_address == "https://h.example"
    monkeypatch.setenv("HELIOGRAPH_URL", "https://web.example/")
    assert destination("http://h:4318").web_address == "https://web.example"


def test_one_library_is_instrumented_once_by_the_maker_that_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    on: list[str] = []

    def entry(name: str, distribution: str) -> Any:
        class Instrumentor:
            is_instrumented_by_opentelemetry = False

            def instrument(self, tracer_provider: Any) -> None:
                if name == "broken":
                    raise ImportError("no such version")
                on.append(distribution)
                self.is_instrumented_by_opentelemetry = True

        class Entry:
            dist = type("Distribution", (), {"name": distribution})

            def __init__(self) -> None:
                self.name = name

            def load(self) -> Any:
                return Instrumentor

        return Entry()

    installed = [
        entry("botocore", "opentelemetry-instrumentation-botocore"),
        entry("bedrock", "openinference-instrumentation-bedrock"),
        entry("google_genai", "openinference_instrumentation_google_genai"),
        entry("google-generativeai", "opentelemetry-instrumentation-google-generativeai"),
        entry("broken", "openinference-instrumentation-broken"),
        entry("langchain", "somebody-elses"),
    ]
    monkeypatch.setattr(instrumentations, "entry_points", lambda group: installed if "openinf" in group else [])
    assert instrumentations.switch_on(TracerProvider(shutdown_on_exit=False)) == [
        "bedrock",
        "google_genai",
        "langchain",
    ]
    assert on == [
        "openinference-instrumentation-bedrock",
        "openinference_instrumentation_google_genai",
        "somebody-elses",
    ]
