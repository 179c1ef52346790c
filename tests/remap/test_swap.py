"""Rewritten spans brought into the table: what was deleted meanwhile stays deleted, whatever step was reached."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from heliograph.clickhouse import client
from heliograph.remap import swap
from tests.query.rows import START, new_trace_id, plain, span, store_spans

pytestmark = pytest.mark.usefixtures("store")
REVISION = 3
LAST_WEEK = timedelta(days=7).total_seconds()


@pytest.fixture
def staged(project_id: int) -> Iterator[list[str]]:
    """Four stored spans, two of them of another week, read and staged as rewritten; their ids, oldest first."""
    rows = [span(new_trace_id(), seconds) for seconds in (-LAST_WEEK, 1 - LAST_WEEK, 1, 61)]
    store_spans(project_id, *rows)
    swap.prepare(project_id)
    first, last = START - timedelta(days=8), START + timedelta(hours=1)
    columns = swap.read_batch(project_id, first, last, REVISION, max_rows=100, max_bytes=2**20)
    assert len(columns["span_id"]) == len(rows)
    swap.stage(project_id, {**columns, "mapping_revision": [REVISION] * len(rows)})
    yield [str(row["span_id"]) for row in rows]
    swap.drop(project_id)


def erase(project_id: int, *span_ids: str) -> None:
    sql = "DELETE FROM spans WHERE project_id = %(project_id)s AND span_id IN %(ids)s"
    client.query(project_id, sql, {"ids": span_ids}, tag="tests.erase")


def stored(project_id: int) -> list[tuple[str, int]]:
    rows = plain(project_id, "SELECT span_id, mapping_revision FROM spans WHERE {mine} ORDER BY start_time, span_id")
    return [(row["span_id"], row["mapping_revision"]) for row in rows]


def test_a_span_that_was_deleted_after_its_batch_was_read_does_not_come_back(
    project_id: int, staged: list[str]
) -> None:
    erase(project_id, staged[1], staged[2])
    swap.complete(project_id)
    assert stored(project_id) == [(staged[0], REVISION), (staged[3], REVISION)]


def test_a_batch_that_was_deleted_as_a_whole_does_not_come_back(project_id: int, staged: list[str]) -> None:
    erase(project_id, *staged)
    swap.complete(project_id)
    assert stored(project_id) == []


def test_a_batch_that_was_attached_and_then_deleted_is_not_attached_by_the_next_worker(
    project_id: int, staged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = client.query

    def killed(*arguments: object, tag: str, **named: object) -> object:
        if tag == "remap.delete":
            raise KeyboardInterrupt
        return whole(*arguments, tag=tag, **named)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(client, "query", killed)
    with pytest.raises(KeyboardInterrupt):
        swap.complete(project_id)
    monkeypatch.undo()
    assert len(stored(project_id)) == 2 * len(staged)
    erase(project_id, *staged[:3])
    swap.complete(project_id)
    assert stored(project_id) == [(staged[3], REVISION)]
