"""What is acknowledged is there exactly once, whatever dies in between: in list, summaries and rollups."""

import json
import signal
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.ingest.senders import trace_request
from tests.ingest.stack import Stack, Tenant, eventually

PROTOBUF = {"content-type": "application/x-protobuf"}
SPANS = 20


@pytest.fixture
def stack(tmp_path) -> Iterator[Stack]:
    """A store and a collector that this test may kill."""
    stack = Stack(tmp_path / "data", {"HELIOGRAPH_SPOOL_MAX_BYTES": str(2**20)})
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def tenant(stack: Stack) -> Tenant:
    return next(stack.tenants)


class Sender(threading.Thread):
    """Sends new traces until told to stop; like an exporter, it retries each request until it is acknowledged."""

    def __init__(self, stack: Stack, tenant: Tenant) -> None:
        super().__init__()
        self.stack, self.tenant = stack, tenant
        self.stopping = threading.Event()
        self.acknowledged = 0
        self.retried = 0

    def run(self) -> None:
        while not self.stopping.is_set():
            body = trace_request(SPANS).SerializeToString()
            while not self.is_taken(body):
                self.retried += 1
                time.sleep(0.05)
            self.acknowledged += SPANS

    def is_taken(self, body: bytes) -> bool:
        try:
            answer = httpx.post(
                f"{self.stack.http}/v1/traces", content=body, headers=self.tenant.headers | PROTOBUF, timeout=10
            )
        except httpx.TransportError:
            return False
        assert answer.status_code in (200, 503), answer.text
        return answer.status_code == 200


@pytest.fixture
def senders(stack: Stack, tenant: Tenant) -> Iterator[list[Sender]]:
    senders = [Sender(stack, tenant) for _ in range(6)]
    for sender in senders:
        sender.start()
    yield senders
    for sender in senders:
        sender.stopping.set()
        sender.join()


def progress(senders: list[Sender], more: int) -> None:
    """Wait until that many more spans are acknowledged."""
    before = sum(sender.acknowledged for sender in senders)
    eventually(lambda: sum(sender.acknowledged for sender in senders) >= before + more, 60)


def finish(stack: Stack, tenant: Tenant, senders: list[Sender]) -> int:
    """Stop sending, wait for the spool to be empty, return how many spans were acknowledged."""
    for sender in senders:
        sender.stopping.set()
    for sender in senders:
        sender.join()
    eventually(lambda: not stack.spooled(), 60)
    return sum(sender.acknowledged for sender in senders)


def post(stack: Stack, tenant: Tenant, body: bytes) -> httpx.Response:
    return httpx.post(f"{stack.http}/v1/traces", content=body, headers=tenant.headers | PROTOBUF, timeout=30)


def test_a_collector_killed_during_load_loses_and_doubles_nothing(stack, tenant, senders):
    for _ in range(3):
        progress(senders, 200)
        stack.collector.stop(signal.SIGKILL)
        stack.start_collector()
    progress(senders, 200)
    acknowledged = finish(stack, tenant, senders)
    assert sum(sender.retried for sender in senders) > 0
    assert stack.counts(tenant) == (acknowledged, acknowledged, acknowledged)


def test_a_store_killed_during_load_loses_and_doubles_nothing(stack, tenant, senders):
    for _ in range(4):
        progress(senders, 200)
        stack.store.stop(signal.SIGKILL)
        progress(senders, 100)
        assert stack.spooled()
        stack.start_store()
    progress(senders, 200)
    acknowledged = finish(stack, tenant, senders)
    assert stack.counts(tenant) == (acknowledged, acknowledged, acknowledged)


def test_both_killed_during_load_lose_and_double_nothing(stack, tenant, senders):
    for _ in range(2):
        progress(senders, 200)
        stack.store.stop(signal.SIGKILL)
        progress(senders, 100)
        stack.collector.stop(signal.SIGKILL)
        stack.start_collector()
        progress(senders, 100)
        stack.start_store()
    progress(senders, 200)
    acknowledged = finish(stack, tenant, senders)
    assert stack.counts(tenant) == (acknowledged, acknowledged, acknowledged)


def test_while_the_store_is_away_requests_are_answered_and_stored_later_even_by_another_process(stack, tenant):
    stack.store.stop()
    bodies = [trace_request(5).SerializeToString() for _ in range(10)]
    started = time.monotonic()
    assert {post(stack, tenant, body).status_code for body in bodies} == {200}
    assert time.monotonic() - started < 20
    # The answer got lost, and the sender tries again.
    assert post(stack, tenant, bodies[0]).status_code == 200
    stack.collector.stop(signal.SIGKILL)
    assert stack.spooled()
    stack.start_collector()
    stack.start_store()
    eventually(lambda: not stack.spooled())
    assert stack.counts(tenant) == (50, 50, 50)
    assert post(stack, tenant, bodies[1]).status_code == 200
    assert stack.counts(tenant) == (50, 50, 50)


def test_a_body_is_still_checked_while_the_store_is_away(stack, tenant):
    stack.store.stop()
    assert post(stack, tenant, b"\xff\xff not protobuf").status_code == 400
    assert not stack.spooled()


def test_a_full_spool_is_answered_with_503_and_retry_after_and_what_it_holds_is_stored_later(stack, tenant):
    stack.store.stop()
    request = trace_request(1)
    attribute = request.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="text")
    answers = []
    for number in range(5):
        request.resource_spans[0].scope_spans[0].spans[0].span_id = bytes([number + 1]) * 8
        attribute.value.string_value = str(number) * 300_000
        answers.append(post(stack, tenant, request.SerializeToString()))
    assert [answer.status_code for answer in answers] == [200, 200, 200, 503, 503]
    assert int(answers[-1].headers["retry-after"]) > 0
    assert "HELIOGRAPH_SPOOL_MAX_BYTES" in answers[-1].text
    stack.start_store()
    eventually(lambda: not stack.spooled())
    assert stack.counts(tenant) == (3, 3, 3)


def test_a_damaged_spool_file_is_set_aside_with_its_reason_and_the_rest_is_stored(stack, tenant):
    stack.store.stop()
    for _ in range(3):
        assert post(stack, tenant, trace_request(2).SerializeToString()).status_code == 200
    first, *others = stack.spooled()
    assert others
    first.write_bytes(first.read_bytes()[:-10])
    (stack.folder / "spool" / "0-0-0.spool").write_bytes(b"something else")
    stack.start_store()
    eventually(lambda: not stack.spooled())
    letters = sorted((stack.folder / "spool" / "dead-letters").glob("*.spool"))
    assert [letter.name for letter in letters] == ["0-0-0.spool", first.name]
    assert all(json.loads(letter.with_suffix(".json").read_text())["reason"] for letter in letters)
    assert stack.counts(tenant) == (4, 4, 4)


def test_a_store_without_tables_is_a_store_that_is_away(stack, tenant):
    stack.query("RENAME TABLE spans TO elsewhere")
    assert post(stack, tenant, trace_request(3).SerializeToString()).status_code == 200
    assert stack.spooled()
    stack.query("RENAME TABLE elsewhere TO spans")
    eventually(lambda: not stack.spooled())
    assert stack.counts(tenant) == (3, 3, 3)
