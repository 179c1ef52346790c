"""What a store that dies in the middle of an insert leaves is completed at replay, and nothing of it counts twice."""

import os
import time
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from heliograph.clickhouse import client
from heliograph.ingest import duplicates
from heliograph.ingest.commit import Committer, Insert, merge
from heliograph.ingest.exports import Batch, Export, decode
from heliograph.ingest.signals import SIGNALS, Columns

DAY_NS = 86_400 * 10**9
SPANS = 10

pytestmark = pytest.mark.usefixtures("store")


def a_batch(project_id: int, *, weeks: int) -> Batch:
    """Return an export of ten spans, spread over the given number of weekly partitions."""
    now, request = time.time_ns(), ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add()
    for number in range(SPANS):
        start = now - number % weeks * 8 * DAY_NS
        spans.spans.add(
            trace_id=os.urandom(16),
            span_id=os.urandom(8),
            name="call",
            start_time_unix_nano=start,
            end_time_unix_nano=start + 10**6,
        )
    body = request.SerializeToString()
    return decode(
        Export(
            signal="traces",
            project_id=project_id,
            retention_days=90,
            content_type="protobuf",
            content_encoding="",
            received_ns=now,
            body=body,
        )
    )


def keys_of(columns: Columns) -> list[str]:
    return list(map(duplicates.key_of, columns["project_id"], columns["trace_id"], columns["span_id"]))


def part_of(columns: Columns, wanted: list[bool], token: str) -> Insert:
    keys = keys_of(columns)
    rows = {name: [value for value, one in zip(values, wanted, strict=True) if one] for name, values in columns.items()}
    places = [place for place, one in enumerate(wanted) if one]
    return Insert(rows, [keys[place] for place in places], token, places)


def counted(project_id: int) -> tuple[int, int]:
    """Return the spans of the project in `spans` and in the rollup.

    `traces` has no partitions and gets an insert whole or not at all, which the half insert made here cannot imitate.
    """
    spans, rolled_up = (
        client.query(project_id, sql, tag="test")[0]["n"]
        for sql in (
            "SELECT count() AS n FROM spans WHERE project_id = %(project_id)s",
            "SELECT sum(spans) AS n FROM span_rollups_1m WHERE project_id = %(project_id)s",
        )
    )
    return spans, rolled_up


def replay(batch: Batch, folder: Path) -> None:
    committer = Committer(SIGNALS["traces"], folder)
    committer.store([batch], begun_us=0)
    committer.close()


def test_the_week_that_is_missing_is_added_to_the_one_that_is_there(project_id: int, tmp_path: Path) -> None:
    batch = a_batch(project_id, weeks=2)
    columns = merge([batch])
    whole = duplicates.token_of(keys_of(columns))
    first_week = part_of(columns, [number % 2 == 0 for number in range(SPANS)], whole)
    client.insert("spans", first_week.columns, token=first_week.token)
    assert counted(project_id)[0] == SPANS // 2
    replay(batch, tmp_path)
    assert counted(project_id) == (SPANS, SPANS)
    replay(batch, tmp_path)
    assert counted(project_id) == (SPANS, SPANS)


def test_spans_that_a_retry_stored_meanwhile_are_not_sent_with_the_others(project_id: int, tmp_path: Path) -> None:
    batch = a_batch(project_id, weeks=1)
    columns = merge([batch])
    wanted = [number < 4 for number in range(SPANS)]
    retried = part_of(columns, wanted, duplicates.token_of(keys_of(columns)[:4]))
    client.insert("spans", retried.columns, token=retried.token)
    replay(batch, tmp_path)
    assert counted(project_id) == (SPANS, SPANS)


def test_weeks_are_the_store_s_own_partitions(project_id: int) -> None:
    sql = "SELECT toRelativeDayNum(toStartOfWeek(fromUnixTimestamp64Nano(%(at)s, 'UTC'), 1)) AS day"
    for days in (0, 3, 4, 20_000, 20_001, 20_002, 20_003, 20_004, 20_005, 20_006):
        monday = client.execute_unscoped(sql, {"at": days * DAY_NS}, tag="test")[0]["day"]
        assert duplicates.week_of(days * DAY_NS) == (monday + 3) // 7
