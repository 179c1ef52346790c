"""Every request is in the books of its project and key, by what came of it."""

import httpx
import pytest

from heliograph.clickhouse import client
from heliograph.clickhouse.errors import UnavailableError
from heliograph.ingest import ledger
from heliograph.ingest.ledger import Ledger
from tests.ingest.books import books
from tests.ingest.senders import logs_request, metrics_request, trace_request
from tests.ingest.stack import Stack, Tenant, eventually
from tests.ingest.test_grpc import export as grpc_export

PROTOBUF = {"content-type": "application/x-protobuf"}


def post(stack: Stack, tenant: Tenant, body: bytes, signal: str = "traces") -> httpx.Response:
    headers = tenant.headers | PROTOBUF
    return httpx.post(f"{stack.http}/v1/{signal}", content=body, headers=headers, timeout=180)


def test_what_came_of_requests_over_http_and_grpc_is_counted(stack: Stack, tenant: Tenant) -> None:
    bodies = [trace_request(number).SerializeToString() for number in (1, 2, 3)]
    for body in bodies:
        assert post(stack, tenant, body).status_code == 200
    grpc_export(stack, tenant, trace_request(4))
    # The same again: a retry.
    assert post(stack, tenant, bodies[2]).status_code == 200
    assert post(stack, tenant, b"\xff\xff no protobuf").status_code == 400
    invalid = trace_request(2)
    invalid.resource_spans[0].scope_spans[0].spans[1].span_id = b""
    assert post(stack, tenant, invalid.SerializeToString()).status_code == 200
    found = eventually(lambda: (now := books(stack, tenant))["requests"] == 7 and now)
    assert found["accepted"] == 1 + 2 + 3 + 4 + 3 + 1
    assert found["stored"] == 11 == stack.counts(tenant)[0]
    assert found["duplicates"] == 3
    assert found["rejected"] == 1
    assert found["refused: malformed"] == 1
    assert found["bytes"] > sum(map(len, bodies))
    assert found["spooled"] == 0


def test_data_points_and_log_records_are_counted_too(stack: Stack, tenant: Tenant) -> None:
    assert post(stack, tenant, metrics_request().SerializeToString(), "metrics").status_code == 200
    assert post(stack, tenant, logs_request().SerializeToString(), "logs").status_code == 200
    for signal in ("metrics", "logs"):
        found = eventually(lambda signal=signal: books(stack, tenant, signal))
        assert (found["requests"], found["accepted"], found["stored"]) == (1, 1, 1)


def test_each_key_has_its_own_books_and_a_wrong_key_has_none(stack: Stack, tenant: Tenant) -> None:
    assert post(stack, tenant, trace_request(5).SerializeToString()).status_code == 200
    eventually(lambda: books(stack, tenant)["accepted"] == 5)
    [(key_id,)] = stack.query(
        "SELECT DISTINCT key_id FROM ingest_ledger WHERE project_id = %(project)s", project=tenant.id
    )
    assert key_id > 0
    assert stack.query("SELECT DISTINCT key_id FROM spans WHERE project_id = %(project)s", project=tenant.id) == [
        (key_id,)
    ]
    [(before,)] = stack.query("SELECT count() FROM ingest_ledger WHERE project_id = 0")
    stranger = Tenant(tenant.id, tenant.key + "x")
    assert post(stack, stranger, trace_request(5).SerializeToString()).status_code == 401
    assert post(stack, tenant, trace_request(1).SerializeToString()).status_code == 200
    eventually(lambda: books(stack, tenant)["accepted"] == 6)
    assert books(stack, tenant)["refused"] == before == 0


def test_the_lag_and_a_clock_that_is_ahead_are_known(stack: Stack, tenant: Tenant) -> None:
    import time

    now = time.time_ns()
    for offset in (-10 * 10**9, 60 * 10**9, -7_200 * 10**9):
        request = trace_request(1, start_ns=now + offset)
        assert post(stack, tenant, request.SerializeToString()).status_code == 200
    [(future, late, ahead, lag)] = stack.query(
        """
        SELECT sum(future), sum(late), max(ahead_max), max(lag_max) FROM ingest_stored_1m
        WHERE project_id = %(project)s AND service = 'tests'
        """,
        project=tenant.id,
    )
    assert (future, late) == (1, 1)
    assert 30 < ahead <= 60
    assert 7_200 <= lag < 7_300


@pytest.fixture
def counted(tmp_path, project_id):  # type: ignore[no-untyped-def]
    """A ledger in this process, and what the store knows of the test's project."""
    ledger.pending()

    def stored() -> dict[str, int]:
        sql = """
        SELECT what, sum(n) AS n FROM ingest_ledger WHERE project_id = %(project_id)s GROUP BY what
        """
        return {row["what"]: row["n"] for row in client.query(project_id, sql, tag="test")}

    return Ledger(tmp_path / "ledger"), stored


@pytest.mark.usefixtures("store")
def test_a_page_that_is_sent_twice_counts_once(counted, project_id, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    books, stored = counted
    ledger.count(project_id, 1, "traces", "accepted", 7)
    sent = client.insert

    def lost(*args: object, **options: object) -> None:
        sent(*args, **options)  # type: ignore[arg-type]
        raise UnavailableError("the answer was lost")

    monkeypatch.setattr(client, "insert", lost)
    assert not books.flush()
    monkeypatch.setattr(client, "insert", sent)
    ledger.count(project_id, 1, "traces", "accepted", 3)
    assert books.flush()
    assert stored() == {"accepted": 10}


@pytest.mark.usefixtures("store")
def test_counts_wait_on_disk_while_the_store_is_away_and_another_process_may_send_them(  # type: ignore[no-untyped-def]
    counted, project_id, monkeypatch, tmp_path
) -> None:
    books, stored = counted

    def away(*_: object, **__: object) -> None:
        raise UnavailableError("away")

    with monkeypatch.context() as patch:
        patch.setattr(client, "insert", away)
        for _ in range(3):
            ledger.count(project_id, 1, "traces", "spooled", 5)
            assert not books.flush()
    assert stored() == {}
    # As after a kill: nothing is in memory, and a new process finds the pages.
    assert not [place for place in ledger.pending() if place[0] == project_id]
    assert Ledger(tmp_path / "ledger").flush()
    assert stored() == {"spooled": 15}


def test_the_reasons_of_a_project_are_bounded(project_id: int) -> None:
    for number in range(3 * ledger.MAX_REASONS):
        ledger.count(project_id, 1, "traces", "rejected", 1, f"reason {number}" * 100)
    mine = {place[5]: n for place, n in ledger.pending().items() if place[0] == project_id}
    assert len(mine) <= ledger.MAX_REASONS + 1
    assert mine["other"] >= 2 * ledger.MAX_REASONS - 1
    assert all(len(reason) <= ledger.MAX_REASON_CHARS for reason in mine)
