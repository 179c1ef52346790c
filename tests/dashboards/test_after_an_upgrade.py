"""A store that an earlier version filled, brought up to this one: every page answers, and shows what was stored."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.urls import URLPattern, reverse
from pytest_django import Settings

from heliograph.accounts.models import Membership, Project
from heliograph.clickhouse import client, migrate
from heliograph.clickhouse.errors import StoreError
from heliograph.dashboards.urls import urlpatterns
from tests.dashboards.conftest import IN_HOUR, Signed
from tests.query import rows
from tests.query.rows import llm, new_trace_id, point, span

# The last files that are left out when the store is filled: releases come more often than ten of them.
LATER = 10


@pytest.fixture
def old_store(start_store: Callable[[], Any], settings: Settings, tmp_path: Path) -> Iterator[None]:
    """A store with the schema of some time ago."""
    settings.CLICKHOUSE_URL = start_store().url
    for migration in migrate.read_migrations()[:-LATER]:
        shutil.copy(migrate.SCHEMA_DIR / migration.name, tmp_path)
    list(migrate.migrate(tmp_path))
    yield
    client.close_connections()


def store_as_then(project_id: int, table: str, stored: list[dict[str, Any]]) -> None:
    """Store rows with the columns that the table has now, as the writer of that time did."""
    known = {row["name"] for row in client.execute_unscoped(f"DESCRIBE TABLE {table}")}
    rows.store_rows(project_id, table, [{key: value for key, value in row.items() if key in known} for row in stored])


def test_every_page_answers_from_what_an_earlier_version_stored(
    old_store: None, project: Project, signed_in: Signed
) -> None:
    # Somebody from whom no page is kept.
    reader = signed_in(Membership.Role.OWNER)
    traces = [new_trace_id() for _ in range(20)]
    spans = [span(trace, number, session_id="s-1", user_id="ann") for number, trace in enumerate(traces)]
    spans += [llm(trace, number + 0.1, input_tokens=7) for number, trace in enumerate(traces)]
    store_as_then(project.pk, "spans", spans)
    gauge = point("hw.gpu.utilization", 60, 0.5, host="node", gpu_uuid="GPU-8")
    store_as_then(project.pk, "metric_points", [gauge])
    # A crash after the first statement of a file: the next run makes it good.
    (first, *_), *_ = [each.statements for each in migrate.pending(migrate.read_migrations())]
    client.execute_unscoped(first)
    list(migrate.migrate())
    assert migrate.pending(migrate.read_migrations()) == []
    # What comes now is counted beside what was there.
    rows.store_spans(project.pk, span(new_trace_id(), 300, service="new"))
    failed = []
    asked = 0
    for pattern in urlpatterns:
        assert isinstance(pattern, URLPattern)
        if set(pattern.pattern.converters) != {"slug"}:
            continue
        path = reverse(pattern.name, args=[project.slug])
        try:
            answer = reader.get(f"{path}?{IN_HOUR}")
        except StoreError as error:
            failed.append(f"{path}: {error}")
            continue
        # 405: an address of a form; 400 and 404: one that needs to be told which.
        if answer.status_code not in {200, 302, 400, 404, 405}:
            failed.append(f"{path}: {answer.status_code} {answer.content[:500]!r}")
        asked += answer.status_code == 200
    assert failed == []
    assert asked > 20
    trace = reader.get(reverse("trace", args=[project.slug, traces[0]]))
    assert trace.status_code == 200
    (counted,) = client.query(
        project.pk, "SELECT sum(span_count) AS n FROM traces WHERE project_id = %(project_id)s", tag="test.count"
    )
    assert counted["n"] == 41
