"""The scraper's ends in this installation: targets from the database, points into the ingest's pipeline, notes back."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import urlsplit

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import close_old_connections
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from heliograph.accounts.limits import effective_limits
from heliograph.accounts.models import ApiKey, Project
from heliograph.ingest.auth import Tenant
from heliograph.ingest.exports import Export
from heliograph.ingest.pipeline import Pipeline, Share, count_refusal
from heliograph.ingest.refusals import Busy, Refusal
from heliograph.scrape.credentials import Credentials
from heliograph.scrape.fetch import ScrapeError
from heliograph.scrape.models import MAX_TARGETS, ScrapeTarget
from heliograph.scrape.runner import Outcome, RoomShare, Target

log = logging.getLogger(__name__)

# The key under which the ledger counts what was scraped, and whose limits bind it. Nobody holds its secret.
KEY_NAME = "scraper"
T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """Run a question to the database in a thread, with a connection that is fresh where the old one is too old."""

    def run() -> T:
        close_old_connections()
        try:
            return work()
        finally:
            close_old_connections()

    return await asyncio.to_thread(run)


async def unless_away(work: Callable[[], T], otherwise: T) -> T:
    """As `in_thread`, but return `otherwise` while the database does not answer: scraping goes on without it."""
    try:
        return await in_thread(work)
    except DatabaseError as error:
        log.warning("the metadata database does not answer: %s", error)
        return otherwise


def targets() -> list[Target]:
    """Return what is to be scraped now."""
    rows = ScrapeTarget.objects.filter(is_paused=False).order_by("pk")
    by_project: dict[int, int] = {}
    found = []
    for row in rows.iterator():
        by_project[row.project_id] = by_project.get(row.project_id, 0) + 1
        if by_project[row.project_id] <= MAX_TARGETS:
            found.append(_target(row))
    return found


def _target(row: ScrapeTarget) -> Target:
    parts = urlsplit(row.url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = parts.hostname or ""
    resource = {
        "service.name": row.name,
        "service.instance.id": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "server.address": host,
        "server.port": str(port),
    } | row.labels
    return Target(
        id=row.pk,
        project_id=row.project_id,
        url=row.url,
        interval_s=row.interval_s,
        timeout_s=row.timeout_s,
        resource=tuple(sorted(resource.items())),
        was_scraped=row.last_scrape_at is not None,
        credentials=Credentials(tuple(sorted(row.auth.items())), settings.SCRAPE_SECRETS),
    )


def note(outcomes: Mapping[int, Outcome]) -> None:
    """Write down how scrapes went."""
    for pk, outcome in outcomes.items():
        ScrapeTarget.objects.filter(pk=pk).update(
            last_scrape_at=datetime.fromtimestamp(outcome.at, UTC),
            last_error=outcome.error[:500],
            last_seconds=outcome.seconds,
            last_samples=outcome.samples,
        )


def tenant_of(project_id: int) -> Tenant | None:
    """Return whose points they are, under the project's own key for scraping; None for a project that is gone."""
    project = Project.objects.filter(pk=project_id).first()
    if project is None:
        return None
    key = ApiKey.objects.filter(project=project, name=KEY_NAME, revoked_at=None).order_by("pk").first()
    if key is None:
        key, _ = ApiKey.issue(project, KEY_NAME)
    return Tenant(
        project_id=project.pk,
        retention_days=project.effective_retention_days,
        key_id=key.pk,
        key_name=str(key),
        limits=effective_limits(key, project),
        keep_dead_letters=project.keep_dead_letters,
    )


class PipelineRoom(RoomShare):
    """A share of the pipeline's room, so that pages and exports together stay within the process's bounds."""

    def __init__(self, share: Share) -> None:
        self._share = share

    def take(self, size: int) -> None:
        """Take more bytes, or raise ScrapeError."""
        try:
            self._share.take(size)
        except Busy as busy:
            raise ScrapeError("Too much telemetry is waiting to be stored; the next scrape tries again.") from busy

    def give_back(self) -> None:
        """Give all of it back."""
        self._share.__exit__(None, None, None)


async def deliver(pipeline: Pipeline, target: Target, request: ExportMetricsServiceRequest, now_ns: int) -> None:
    """Send a scrape's points the way of every export: limits, ledger, decoding, commit or spool. Raises ScrapeError."""
    tenant = await in_thread(lambda: tenant_of(target.project_id))
    if tenant is None:
        raise ScrapeError("The project is gone.")
    export = Export(
        signal="metrics",
        project_id=tenant.project_id,
        retention_days=tenant.retention_days,
        content_type="protobuf",
        content_encoding="",
        received_ns=now_ns,
        body=request.SerializeToString(),
        key_id=tenant.key_id,
    )
    try:
        with pipeline.room.share() as share:
            rejected = await pipeline.receive(export, share, tenant)
    except Refusal as refusal:
        count_refusal("metrics", refusal, tenant)
        raise ScrapeError(f"Its points were refused: {refusal.message}") from refusal
    if rejected:
        reasons = ", ".join(f"{count} {reason}" for reason, count in rejected.most_common(3))
        raise ScrapeError(f"Some points were refused: {reasons}.")
