"""Keys are cached for a moment, unknown ones too, and a revoked key closes within that moment."""

import functools
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError
from django.utils import timezone

from heliograph.accounts.bootstrap import ensure_default_project
from heliograph.accounts.models import ApiKey, Organization, Project
from heliograph.accounts.roles import Scope
from heliograph.ingest import auth
from heliograph.ingest.auth import KeyRing
from heliograph.ingest.refusals import Busy, Forbidden, Unauthenticated

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def project() -> Project:
    project = Project.create(Organization.objects.create(name="Alice's"), "Answers")
    project.retention_days = 7
    project.save()
    return project


@pytest.fixture
def ring():
    ring = KeyRing()
    yield ring
    ring.close()


def opened(tenant: auth.Tenant) -> tuple[int, int, int]:
    return tenant.project_id, tenant.retention_days, tenant.key_id


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def test_a_key_opens_its_project_with_its_retention(project, ring):
    row, key = await ApiKeyAsync.issue(project)
    assert opened(await ring.tenant(bearer(key), "203.0.113.9")) == (project.id, 7, row.pk)
    assert opened(await ring.tenant({"x-api-key": key}, "203.0.113.9")) == (project.id, 7, row.pk)


async def test_a_revoked_key_is_refused_once_the_cache_forgot_it(project, ring, monkeypatch):
    row, key = await ApiKeyAsync.issue(project)
    await ring.tenant(bearer(key), "203.0.113.9")
    await ApiKeyAsync.revoke(row)
    assert opened(await ring.tenant(bearer(key), "203.0.113.9")) == (project.id, 7, row.pk)
    now = auth.time.monotonic()
    monkeypatch.setattr(auth.time, "monotonic", lambda: now + auth.CACHE_SECONDS + 1)
    with pytest.raises(Unauthenticated, match="revoked"):
        await ring.tenant(bearer(key), "203.0.113.9")


async def test_a_key_for_reading_may_not_send_and_one_for_sending_may(project, ring):
    for scopes in ([Scope.READ], [Scope.READ, Scope.WRITE]):
        _, key = await ApiKeyAsync.issue(project, scopes=scopes)
        with pytest.raises(Forbidden, match="lacks the scope 'ingest'"):
            await ring.tenant(bearer(key), "203.0.113.9")
    _, key = await ApiKeyAsync.issue(project, scopes=[Scope.INGEST])
    assert (await ring.tenant(bearer(key), "203.0.113.9")).project_id == project.id


async def test_a_key_that_has_ended_opens_nothing(project, ring):
    _, key = await ApiKeyAsync.issue(project, expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(Unauthenticated, match="expired"):
        await ring.tenant(bearer(key), "203.0.113.9")


async def test_the_cache_is_bounded_and_asks_once_for_each_key(project, ring, monkeypatch):
    asked: list[str] = []
    monkeypatch.setattr(auth, "_read", asked.append)
    monkeypatch.setattr(auth, "CACHE_ENTRIES", 5)
    for number in [*range(20), 19, 19]:
        with pytest.raises(Unauthenticated):
            await ring.tenant(bearer(f"hg_{number}"), "203.0.113.9")
    assert len(asked) == 20
    assert len(ring._known) == 5


async def test_a_keyless_request_from_elsewhere_is_refused(ring):
    for peer in ("203.0.113.9", "", "unknown"):
        with pytest.raises(Unauthenticated, match="Authorization: Bearer"):
            await ring.tenant({}, peer)


async def test_a_keyless_request_under_a_foreign_name_is_refused(ring):
    # DNS rebinding: a page's own name points at this machine, and its requests carry that name.
    for host in ("evil.example:4318", "evil.example", "127.0.0.1.evil.example:4318"):
        with pytest.raises(Unauthenticated):
            await ring.tenant({"host": host}, "127.0.0.1")


async def test_a_keyless_request_under_a_name_of_this_machine_reaches_the_default_project(ring):
    project = await sync_to_async(ensure_default_project)()
    for host in ("localhost:4318", "127.0.0.1:4318", "[::1]:4318"):
        assert (await ring.tenant({"host": host}, "127.0.0.1")).project_id == project.pk


async def test_a_keyless_request_is_refused_where_the_setting_says_so(ring, settings):
    settings.ALLOW_KEYLESS_INGEST = False
    with pytest.raises(Unauthenticated):
        await ring.tenant({}, "127.0.0.1")


async def test_a_metadata_database_that_is_away_makes_the_sender_come_back_and_is_not_cached(
    project, ring, monkeypatch
):
    row, key = await ApiKeyAsync.issue(project)

    def fail(_: str) -> auth.Tenant:
        raise OperationalError("away")

    read = auth._read
    monkeypatch.setattr(auth, "_read", fail)
    with pytest.raises(Busy):
        await ring.tenant(bearer(key), "203.0.113.9")
    monkeypatch.setattr(auth, "_read", read)
    assert opened(await ring.tenant(bearer(key), "203.0.113.9")) == (project.id, 7, row.pk)


class ApiKeyAsync:
    """The models' synchronous methods, for tests that run in an event loop."""

    @staticmethod
    async def issue(project: Project, **options: Any) -> tuple[ApiKey, str]:
        return await auth.asyncio.to_thread(functools.partial(ApiKey.issue, project, "test", **options))

    @staticmethod
    async def revoke(row: ApiKey) -> None:
        await auth.asyncio.to_thread(row.revoke)
