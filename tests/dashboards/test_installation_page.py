"""The health page: for administrators alone, with the store and without it."""

import os
import re
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from kombu import Connection, Exchange, Producer, Queue
from kombu.exceptions import OperationalError
from pytest_django import Settings

from heliograph.accounts.models import Membership, Project, User
from heliograph.dashboards import installation
from heliograph.holds.models import MAX_TRIES, Hold
from heliograph.ingest.spool import SUFFIX
from heliograph.query.installation import store_state
from tests.ingest.stack import eventually
from tests.query.rows import new_trace_id, span, store_spans


def sections() -> set[str]:
    return {each.section for each in installation.warnings(installation.look())}


def test_only_administrators_see_it_and_it_says_what_is_wrong(
    store: str, project: Project, reader: Client, settings: Settings, tmp_path: Path
) -> None:
    store_spans(project.pk, span(new_trace_id(), 1))
    settings.SPOOL_DIR = tmp_path
    assert Client().get("/health").status_code == 302
    assert reader.get("/health").status_code == 404
    admin, root = Client(), User.objects.create_superuser("root")
    Membership.objects.create(organization=project.organization, user=root)
    admin.force_login(root)
    page = admin.get("/health").content.decode()
    assert "span_rollups_1m" in page
    # Nobody else is shown the way there.
    settings_page = reverse("settings", args=[project.slug])
    assert [b'href="/health"' in each.get(settings_page).content for each in (reader, admin)] == [False, True]
    assert "keeps no log of queries" in page
    found = store_state()
    spans = next(table for table in found.tables if table.name == "spans")
    assert spans.rows >= 1
    assert found.bytes >= spans.bytes > 0
    assert found.last_span is not None
    before = sections()
    assert not before & {"store-away", "broker-away", "spool", "mutations"}
    # Half a minute is a replay under way; since 1970 is not.
    (tmp_path / f"1-{os.getpid()}{SUFFIX}").write_bytes(b"x")
    assert "spool" in sections()
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    settings.CLICKHOUSE_URL = "clickhouse://heliograph:x@127.0.0.1:1/heliograph"
    assert {"store-away", "broker-away"} <= sections()
    answer = admin.get("/health")
    assert answer.status_code == 200
    assert "store-away" in answer.content.decode()


@pytest.mark.services
@pytest.mark.django_db
def test_tasks_that_wait_in_rabbitmq_are_counted_by_queue(settings: Settings) -> None:
    address = "amqp://guest:guest@127.0.0.1:5672//"
    names = [f"heliograph-{os.urandom(4).hex()}" for _ in range(2)]
    settings.CELERY_BROKER_URL = address
    settings.CELERY_TASK_QUEUES = [Queue(name, Exchange(name), name) for name in names]
    settings.CLICKHOUSE_URL = "clickhouse://heliograph:x@127.0.0.1:1/heliograph"
    try:
        opened = Connection(address, connect_timeout=60)
        opened.ensure_connection(max_retries=0, timeout=60)
    except OperationalError as error:
        if os.environ.get("REQUIRE_SERVICES"):
            raise
        pytest.skip(f"needs RabbitMQ at its standard port: {error}")
    with opened, opened.channel() as channel:
        # As a worker declares it, and as a web process sends to it.
        queue = Queue(names[0], Exchange(names[0]), names[0]).bind(channel)
        queue.declare()
        try:
            Producer(channel).publish({}, exchange=queue.exchange, routing_key=names[0])
            eventually(lambda: installation.look().queues == {names[0]: 1, names[1]: 0})
        finally:
            for name in names:
                channel.queue_delete(name)
            channel.exchange_delete(names[0])


def test_a_hold_that_fails_is_told_of_without_saying_whose_it_is(store: str, project: Project) -> None:
    hold = Hold.objects.create(project=project, kind="user", subject="alice", reason="Case 12", error="It is too much.")
    assert "hold-failing" not in sections()
    Hold.objects.update(tries=MAX_TRIES)
    (said,) = (each.said for each in installation.warnings(installation.look()) if each.section == "hold-failing")
    assert said == f"Hold {hold.pk} of {project.name} fails: It is too much."


def test_a_warning_leads_to_its_section_of_the_runbook(
    store: str, project: Project, reader: Client, settings: Settings
) -> None:
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    assert reader.get("/health/runbook").status_code == 404
    admin, root = Client(), User.objects.create_superuser("root")
    Membership.objects.create(organization=project.organization, user=root)
    admin.force_login(root)
    assert 'href="/health/runbook#broker-away"' in admin.get("/health").content.decode()
    page = admin.get("/health/runbook").content.decode()
    assert 'id="broker-away"' in page
    assert "start Redis or RabbitMQ; check <code>CELERY_BROKER_URL</code>" in page


def test_every_warning_and_every_alert_has_its_section_in_the_runbook_and_there_is_no_other() -> None:
    source = Path(installation.__file__).read_text(encoding="utf-8")
    root = Path(__file__).resolve().parents[2]
    runbook = (root / "docs/runbook.md").read_text(encoding="utf-8")
    rules = (root / "deploy/prometheus/heliograph.rules.yml").read_text(encoding="utf-8")

    warned = set(re.findall(r'Concern\("([a-z-]+)"', source))
    alerted = set(re.findall(r"runbook: ([a-z-]+)\}", rules))
    assert warned
    assert warned <= alerted
    assert alerted == set(re.findall(r"^## ([a-z-]+)$", runbook, re.MULTILINE))
