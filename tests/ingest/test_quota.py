"""Limits of a key: said in both protocols, without partial loss, and shared by processes through the ledger."""

from datetime import UTC, datetime
from pathlib import Path

import grpc
import httpx
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from heliograph.accounts.limits import EffectiveLimits
from heliograph.ingest import ledger, quota
from heliograph.ingest.auth import Tenant as Opened
from heliograph.ingest.ledger import Ledger
from heliograph.ingest.quota import Meter
from heliograph.ingest.refusals import Limited
from tests.ingest.books import books, change_project, limit
from tests.ingest.senders import trace_request
from tests.ingest.stack import Stack, Tenant, eventually
from tests.ingest.test_grpc import refusal

PROTOBUF = {"content-type": "application/x-protobuf"}


def post(stack: Stack, tenant: Tenant, body: bytes) -> httpx.Response:
    return httpx.post(f"{stack.http}/v1/traces", content=body, headers=tenant.headers | PROTOBUF, timeout=180)


def said(answer: httpx.Response) -> str:
    return Status.FromString(answer.content).message


def test_spans_a_minute_are_limited_over_http_and_nothing_of_a_refused_request_is_stored(
    stack: Stack, tenant: Tenant
) -> None:
    limit(stack, tenant, max_spans_per_minute=10)
    assert post(stack, tenant, trace_request(9).SerializeToString()).status_code == 200
    answer = post(stack, tenant, trace_request(9).SerializeToString())
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert "10 spans a minute (its own limit)" in said(answer)
    assert "Settings" in said(answer)
    assert stack.counts(tenant)[0] == 9
    found = eventually(lambda: (now := books(stack, tenant))["refused"] and now)
    assert found["refused: rate_limit"] == 1
    assert found["accepted"] == 9


def test_the_same_over_grpc_is_resource_exhausted_with_retry_info(stack: Stack, tenant: Tenant) -> None:
    change_project(stack, tenant, max_spans_per_minute=3)
    assert post(stack, tenant, trace_request(3).SerializeToString()).status_code == 200
    code, status = refusal(stack, tenant, trace_request(3))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    retry = RetryInfo()
    assert status.details[0].Unpack(retry)
    assert 1 <= retry.retry_delay.seconds <= 60
    assert "the project's limit for each key" in status.message


def test_bytes_a_day_are_refused_before_anything_is_decoded(stack: Stack, tenant: Tenant) -> None:
    body = trace_request(5).SerializeToString()
    limit(stack, tenant, max_bytes_per_day=len(body) + 10)
    assert post(stack, tenant, body).status_code == 200
    # No protobuf at all, and yet not "malformed": nobody looked.
    answer = post(stack, tenant, b"\xff" * 100)
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 86_400
    assert "bytes a day" in said(answer)


def test_spans_a_month_are_all_or_none(stack: Stack, tenant: Tenant) -> None:
    limit(stack, tenant, max_spans_per_month=12)
    assert post(stack, tenant, trace_request(10).SerializeToString()).status_code == 200
    assert post(stack, tenant, trace_request(3).SerializeToString()).status_code == 429
    assert post(stack, tenant, trace_request(2).SerializeToString()).status_code == 200
    assert post(stack, tenant, trace_request(1).SerializeToString()).status_code == 429
    assert stack.counts(tenant)[0] == 12


def test_a_request_of_more_than_a_minute_s_spans_passes_once_and_leaves_a_debt(stack: Stack, tenant: Tenant) -> None:
    limit(stack, tenant, max_spans_per_minute=5)
    assert post(stack, tenant, trace_request(20).SerializeToString()).status_code == 200
    answer = post(stack, tenant, trace_request(1).SerializeToString())
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 60


def test_a_key_without_limits_is_not_limited_by_another_s(stack: Stack, tenant: Tenant) -> None:
    other = next(stack.tenants)
    limit(stack, other, max_spans_per_minute=1)
    assert post(stack, other, trace_request(2).SerializeToString()).status_code == 200
    for _ in range(3):
        assert post(stack, tenant, trace_request(5).SerializeToString()).status_code == 200
    assert post(stack, other, trace_request(1).SerializeToString()).status_code == 429


def opened(project_id: int, **limits: int) -> Opened:
    return Opened(project_id, 90, key_id=4, key_name="k", limits=EffectiveLimits(**limits))


@pytest.mark.usefixtures("store")
def test_two_processes_share_a_day_s_bytes_through_the_ledger(
    project_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quota, "REFRESH_SECONDS", 0.0)
    one, two = Meter(), Meter()
    books_of_one = Ledger(tmp_path / "one", one.on_cut, one.on_flushed)
    books_of_two = Ledger(tmp_path / "two", two.on_cut, two.on_flushed)
    tenant = opened(project_id, max_bytes_per_day=1_000)
    for meter, size in ((one, 600), (two, 300)):
        with meter.permit(tenant, size) as permit:
            permit.keep()
        ledger.count(project_id, 4, "traces", "bytes", size)
        assert (books_of_one if meter is one else books_of_two).flush()
    # The first knows its own 600 only, until it asks again.
    with one.permit(tenant, 350):
        pass
    assert books_of_one.flush()
    for meter in (one, two):
        with pytest.raises(Limited, match="bytes a day"):
            meter.permit(tenant, 101)
        with meter.permit(tenant, 100):
            pass


@pytest.mark.usefixtures("store")
def test_a_fresh_process_learns_what_was_used_before_it_came(project_id: int, tmp_path: Path) -> None:
    ledger.count(project_id, 4, "traces", "accepted", 50)
    meter = Meter()
    books_of_it = Ledger(tmp_path / "ledger", meter.on_cut, meter.on_flushed)
    tenant = opened(project_id, max_spans_per_month=60)
    with meter.permit(tenant, 1):
        pass
    assert books_of_it.flush()
    with pytest.raises(Limited, match="60 spans a month"):
        meter.take_spans(tenant, 11)
    meter.take_spans(tenant, 10)


def test_what_was_not_acknowledged_is_given_back(project_id: int) -> None:
    meter = Meter()
    tenant = opened(project_id, max_bytes_per_day=100, max_spans_per_minute=10, max_spans_per_month=10)
    for _ in range(5):
        with meter.permit(tenant, 100) as permit:
            permit.take_spans(10)
    with meter.permit(tenant, 100) as permit:
        permit.take_spans(10)
        permit.keep()
    with pytest.raises(Limited):
        meter.permit(tenant, 1)


def test_days_and_months_are_utc_s(project_id: int) -> None:
    at = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert quota.day_of(at) == datetime(2026, 12, 31, tzinfo=UTC)
    assert quota.month_of(at) == datetime(2026, 12, 1, tzinfo=UTC)


def test_a_new_day_begins_at_nought(project_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Meter()
    tenant = opened(project_id, max_bytes_per_day=100)
    with meter.permit(tenant, 100) as permit:
        permit.keep()
    with pytest.raises(Limited):
        meter.permit(tenant, 1)
    monkeypatch.setattr(quota, "day_of", lambda _: datetime(2199, 1, 1, tzinfo=UTC))
    with meter.permit(tenant, 100) as permit:
        permit.keep()
