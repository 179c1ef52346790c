"""The books balance through an outage of the store, and say honestly what a kill cost."""

import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pytest_django import Settings

from heliograph.clickhouse.client import close_connections
from heliograph.ingest.dead_letters import DeadLetters, NoLetterError
from heliograph.ingest.ledger import Ledger
from heliograph.ingest.refusals import MalformedBody
from tests.faults.once import is_balanced
from tests.ingest.books import books
from tests.ingest.senders import trace_request
from tests.ingest.stack import Stack, Tenant, eventually

PROTOBUF = {"content-type": "application/x-protobuf"}


@pytest.fixture
def in_place_of_the_web(stack: Stack, tmp_path: Path, settings: Settings, db: None) -> Iterator[None]:
    """This process does what the web process does: its store is the stack's, and its ledger begins empty."""
    settings.CLICKHOUSE_URL = "clickhouse://heliograph@127.0.0.1:1/heliograph"
    Ledger(tmp_path / "counts of other tests").flush()
    settings.CLICKHOUSE_URL = stack.environment["HELIOGRAPH_CLICKHOUSE_URL"]
    yield
    close_connections()


def post(stack: Stack, tenant: Tenant, body: bytes) -> int:
    headers = tenant.headers | PROTOBUF
    return httpx.post(f"{stack.http}/v1/traces", content=body, headers=headers, timeout=180).status_code


def test_the_books_balance_after_an_outage_and_its_replay(stack: Stack, tenant: Tenant) -> None:
    before = [trace_request(4).SerializeToString() for _ in range(3)]
    assert {post(stack, tenant, body) for body in before} == {200}
    stack.store.stop()
    during = [trace_request(5).SerializeToString() for _ in range(6)]
    assert {post(stack, tenant, body) for body in during} == {200}
    # Two senders did not hear the answer: one of a stored request, one of a spooled one.
    assert {post(stack, tenant, body) for body in (before[0], during[0])} == {200}
    stack.start_store()
    eventually(lambda: not stack.spooled())
    after = trace_request(7).SerializeToString()
    assert post(stack, tenant, after) == 200
    accepted = 3 * 4 + 6 * 5 + 4 + 5 + 7
    # Each process writes its counts down on its own beat.
    found = eventually(lambda: (now := books(stack, tenant))["requests"] == 12 and is_balanced(now) and now)
    assert found["accepted"] == accepted
    assert found["spooled"] == found["replayed"] == 6 * 5 + 4 + 5
    assert found["duplicates"] == 4 + 5
    assert found["stored"] == stack.counts(tenant)[0] == accepted - 9
    assert is_balanced(found)


def test_a_kill_costs_counts_of_seconds_and_never_what_is_stored(stack: Stack, tenant: Tenant) -> None:
    assert post(stack, tenant, trace_request(10).SerializeToString()) == 200
    eventually(lambda: books(stack, tenant)["accepted"] == 10)
    assert {post(stack, tenant, trace_request(10).SerializeToString()) for _ in range(5)} == {200}
    stack.collector.stop(signal.SIGKILL)
    stack.start_collector()
    assert post(stack, tenant, trace_request(1).SerializeToString()) == 200
    found = eventually(lambda: (now := books(stack, tenant))["accepted"] % 10 == 1 and now)
    # What the database holds is known exactly; what was counted in memory alone may be gone, and nothing is invented.
    assert found["stored"] == stack.counts(tenant)[0] == 61
    assert 11 <= found["accepted"] <= 61
    assert found["requests"] in {2, 7}


def test_a_stop_costs_nothing_even_while_the_store_is_away(stack: Stack, tenant: Tenant) -> None:
    stack.store.stop()
    assert {post(stack, tenant, trace_request(3).SerializeToString()) for _ in range(4)} == {200}
    stack.collector.stop()
    stack.start_store()
    stack.start_collector()
    found = eventually(lambda: (now := books(stack, tenant))["replayed"] == 12 and now)
    assert (found["accepted"], found["spooled"], found["stored"]) == (12, 12, 12)
    assert is_balanced(found)


@pytest.mark.usefixtures("in_place_of_the_web")
def test_a_body_that_the_store_refused_is_kept_looked_at_and_replayed_exactly_once(
    stack: Stack, tenant: Tenant
) -> None:
    stack.query("ALTER TABLE spans ADD CONSTRAINT no_poison CHECK throwIf(service = 'tests') = 0")
    body = trace_request(6).SerializeToString()
    assert post(stack, tenant, body) == 500
    letters = DeadLetters(stack.folder / "spool")
    [letter] = letters.all_of(tenant.id)
    assert (letter.reason, letter.signal, letter.size) == ("not_stored", "traces", len(body))
    assert letters.get(tenant.id, letter.id)[1].body == body
    assert letters.all_of(tenant.id + 1) == []
    for forbidden in (letters.get, letters.replay, letters.delete):
        with pytest.raises(NoLetterError):
            forbidden(tenant.id + 1, letter.id)
    stack.query("ALTER TABLE spans DROP CONSTRAINT no_poison")
    assert letters.replay(tenant.id, letter.id) == 6
    with pytest.raises(NoLetterError):
        letters.replay(tenant.id, letter.id)
    eventually(lambda: stack.counts(tenant) == (6, 6, 6))
    Ledger(stack.folder / "spool" / "ledger").flush()
    # The refusal, the letter and the replay are counted by three processes, each on its own beat.
    awaited = ("refused: not_stored", "accepted", "replayed")
    found = eventually(lambda: all((now := books(stack, tenant))[what] for what in awaited) and now)
    assert (found["accepted"], found["spooled"], found["replayed"], found["stored"]) == (6, 6, 6, 6)
    assert found["refused: not_stored"] == 1
    assert is_balanced(found)


@pytest.mark.usefixtures("in_place_of_the_web")
def test_a_malformed_body_is_a_letter_that_stays_until_it_can_be_read_or_is_deleted(
    stack: Stack, tenant: Tenant
) -> None:
    body = b"\xff\xff" + trace_request(2).SerializeToString()
    assert post(stack, tenant, body) == 400
    letters = DeadLetters(stack.folder / "spool")
    [letter] = letters.all_of(tenant.id)
    assert letter.reason == "malformed"
    with pytest.raises(MalformedBody):
        letters.replay(tenant.id, letter.id)
    assert letters.all_of(tenant.id) == [letter]
    letters.delete(tenant.id, letter.id)
    assert letters.all_of(tenant.id) == []
