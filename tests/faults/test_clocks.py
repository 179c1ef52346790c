"""Clocks that are wrong: of senders, and our own when it jumps. Nothing is lost or doubled, and the books say it."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tests.faults.conftest import start_what_is_missing
from tests.faults.load import Load
from tests.faults.once import books_agree, is_balanced, is_once
from tests.ingest.books import books
from tests.ingest.senders import trace_request
from tests.ingest.stack import Stack, Tenant, eventually

HOUR_NS = 3_600 * 10**9
# Loaded by Python itself at its start: the clock of a collector and web process that differs from the store's.
SHIFTED = """
import os, time
_now, _now_ns = time.time, time.time_ns

def _shift():
    with open(os.environ["TESTS_CLOCK"]) as file:
        return int(file.read() or 0)

time.time = lambda: _now() + _shift()
time.time_ns = lambda: _now_ns() + _shift() * 10**9
"""


class Clock:
    """How far our own clock is from the world's, for processes that run."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.jump(0)

    def jump(self, seconds: int) -> None:
        draft = self.file.with_suffix(".draft")
        draft.write_text(str(seconds))
        draft.rename(self.file)


@pytest.fixture
def clock(stack: Stack, tmp_path: Path) -> Iterator[Clock]:
    (tmp_path / "sitecustomize.py").write_text(SHIFTED)
    clock = Clock(tmp_path / "clock")
    stack.settings["TESTS_CLOCK"] = str(clock.file)
    stack.settings["PYTHONPATH"] = f"{tmp_path}:{stack.environment['PYTHONPATH']}"
    stack.collector.stop()
    stack.web.stop()
    start_what_is_missing(stack)
    yield clock
    stack.collector.stop()
    stack.web.stop()


def test_our_clock_jumps_during_load_with_and_without_the_store(
    stack: Stack, tenant: Tenant, clock: Clock, load: Load
) -> None:
    load.progress()
    for seconds in (-3_600, 7_200, -40_000):
        clock.jump(seconds)
        load.progress()
        stack.store.stop(signal.SIGKILL)
        load.progress()
        # Back, while what was spooled by the wrong clock waits.
        clock.jump(0)
        load.progress()
        stack.start_store()
    load.progress()
    is_once(stack, tenant, load.finish())
    books_agree(stack, tenant, load)


def send(stack: Stack, tenant: Tenant, spans: int, start_ns: int) -> ExportTraceServiceResponse:
    body = trace_request(spans, start_ns=start_ns).SerializeToString()
    headers = tenant.headers | {"content-type": "application/x-protobuf"}
    answers = [httpx.post(f"{stack.http}/v1/traces", content=body, headers=headers, timeout=180) for _ in range(2)]
    assert {answer.status_code for answer in answers} == {200}
    return ExportTraceServiceResponse.FromString(answers[-1].content)


def test_senders_whose_clocks_are_wrong_are_stored_once_or_refused_with_the_reason(
    stack: Stack, tenant: Tenant
) -> None:
    now = time.time_ns()
    plausible = (now + 20 * HOUR_NS, now + HOUR_NS, now - HOUR_NS * 24 * 40)
    for start in plausible:
        assert not send(stack, tenant, 4, start).HasField("partial_success")
    # A year ahead, milliseconds taken for nanoseconds, and older than the project keeps anything.
    absurd = (now + HOUR_NS * 24 * 365, now // 1_000_000, now - HOUR_NS * 24 * 100)
    for start in absurd:
        refused = send(stack, tenant, 4, start).partial_success
        assert refused.rejected_spans == 4
        assert refused.error_message
    assert stack.counts(tenant) == (12, 12, 12)
    found = eventually(lambda: (now := books(stack, tenant))["requests"] == 12 and now)
    assert (found["accepted"], found["stored"], found["duplicates"], found["rejected"]) == (24, 12, 12, 24)
    assert is_balanced(found)
    [(future, late)] = stack.query(
        "SELECT sum(future), sum(late) FROM ingest_stored_1m WHERE project_id = %(p)s", p=tenant.id
    )
    assert (future, late) == (8, 4)
