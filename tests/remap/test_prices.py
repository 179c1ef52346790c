"""A project's own price: used for calls that arrive, and, applied, for calls that are stored, in every sum."""

import time
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.utils import timezone

from heliograph.accounts.models import Project, TokenPrice
from heliograph.clickhouse import client
from heliograph.conventions.models import Reapplication, Ruleset
from heliograph.conventions.prices import set_price
from heliograph.ingest import exports
from heliograph.ingest.commit import Committer
from heliograph.ingest.exports import Export, decode_by_rules
from heliograph.ingest.signals import TRACES
from heliograph.query.filters import TimeRange
from heliograph.query.unpriced import unpriced_models
from heliograph.remap import job, queue
from tests.collectors.build import pairs
from tests.ingest.senders import trace_request

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]
CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "in-house",
    "gen_ai.usage.input_tokens": 1_000_000,
    "gen_ai.usage.output_tokens": 500_000,
}


@pytest.fixture
def committer(tmp_path: Path, settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Committer]:
    settings.SPOOL_DIR = tmp_path
    (tmp_path / "dead-letters").mkdir()
    monkeypatch.setattr(queue, "wake_worker", lambda *_: None)
    made = Committer(TRACES, tmp_path)
    yield made
    made.close()


def arrive(committer: Committer, project: Project) -> None:
    request = trace_request()
    request.resource_spans[0].scope_spans[0].spans[0].attributes.extend(pairs(CALL))
    exports.MAPPINGS = exports.Mappings()
    export = Export("traces", project.pk, 90, "protobuf", "", time.time_ns(), request.SerializeToString())
    committer.store([decode_by_rules(export)])


def costs(project: Project) -> list[tuple[Decimal | None, str]]:
    sql = "SELECT cost, cost_source FROM spans WHERE project_id = %(project_id)s ORDER BY start_time"
    return [tuple(row.values()) for row in client.query(project.pk, sql, tag="test")]


def sums(project: Project) -> list[tuple[Decimal, int]]:
    sql = "SELECT sum(cost) AS c, sum(unpriced_count) AS n FROM {table} WHERE project_id = %(project_id)s"
    return [
        tuple(client.query(project.pk, sql.format(table=table), tag="test")[0].values())
        for table in ("traces", "span_rollups_1m")
    ]


def test_a_price_is_used_at_arrival_and_honoured_by_re_application(project: Project, committer: Committer) -> None:
    arrive(committer, project)
    assert costs(project) == [(None, "")]
    price = TokenPrice(model="in-house", input_per_million=Decimal("1.5"), output_per_million=Decimal(6))
    set_price(project, None, price)
    arrive(committer, project)
    own = (Decimal("4.5"), "project override")
    assert costs(project) == [(None, ""), own]
    assert sums(project) == [(Decimal("4.5"), 1)] * 2

    Ruleset.objects.filter(project=project).update(created_at=timezone.now() - timedelta(hours=1))
    asked = queue.start(project, None, timezone.now() - timedelta(hours=1), timezone.now())
    assert asked.spans_total == 1
    assert asked.claim()
    job.work_on(asked, time.monotonic() + 60)
    asked.refresh_from_db()
    assert (asked.status, asked.error, asked.spans_changed) == (Reapplication.Status.DONE, "", 1)
    assert costs(project) == [own, own]
    assert sums(project) == [(Decimal(9), 0)] * 2
    day = TimeRange(timezone.now() - timedelta(hours=1), timezone.now() + timedelta(hours=1))
    assert unpriced_models(project.pk, day, {}) == []
