"""While the store is away, requests are checked, kept on disk within a bound, and stored later."""

import json
import signal
import time

import httpx

from tests.ingest.senders import trace_request
from tests.ingest.stack import Stack, Tenant, eventually

PROTOBUF = {"content-type": "application/x-protobuf"}


def post(stack: Stack, tenant: Tenant, body: bytes) -> httpx.Response:
    return httpx.post(f"{stack.http}/v1/traces", content=body, headers=tenant.headers | PROTOBUF, timeout=180)


def test_while_the_store_is_away_requests_are_answered_and_stored_later_even_by_another_process(stack, tenant):
    stack.store.stop()
    bodies = [trace_request(5).SerializeToString() for _ in range(10)]
    started = time.monotonic()
    assert {post(stack, tenant, body).status_code for body in bodies} == {200}
    assert time.monotonic() - started < 60
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
    stack.settings["HELIOGRAPH_SPOOL_MAX_BYTES"] = str(2**20)
    stack.collector.stop()
    stack.start_collector()
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
