"""Blobs in a folder and in a bucket: kept, given to their project alone, removed when their day has come."""

import hashlib
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import boto3
import pytest
from django.test import Client
from moto.server import ThreadedMotoServer
from pytest_django import Settings

from heliograph.accounts.models import ApiKey, Membership, Organization, Project, User
from heliograph.blobs import store
from heliograph.disk.tasks import remove_expired_blobs
from tests.query.rows import llm, new_trace_id, store_spans

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
SVG = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"
HTML = b"<html><script>alert(1)</script>"
UNTIL = "2099-01-05"


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def keep(project_id: int, data: bytes = PNG, until: str = UNTIL) -> str:
    store.keep(project_id, until, {digest_of(data): data})
    return digest_of(data)


def read(project_id: int, digest: str, until: str = UNTIL) -> bytes | None:
    file = store.read(project_id, until, digest)
    if file is None:
        return None
    with file:
        return file.read()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The options of a bucket behind a real S3 API on this machine."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    options = {"endpoint_url": f"http://{host}:{port}", "region_name": "us-east-1"}
    client = boto3.client("s3", **options)
    client.create_bucket(Bucket="blobs")
    client.close()
    yield options | {"bucket_name": "blobs", "location": "heliograph"}
    server.stop()


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> str:
    """Where blobs are kept during a test."""
    if request.param == "folder":
        chosen = {"BACKEND": "heliograph.blobs.folder.DurableFolder", "OPTIONS": {"location": tmp_path / "blobs"}}
    else:
        chosen = {"BACKEND": "heliograph.blobs.s3.Bucket", "OPTIONS": request.getfixturevalue("bucket")}
    settings.STORAGES = settings.STORAGES | {"blobs": chosen}
    return str(request.param)


@pytest.mark.usefixtures("place")
def test_a_blob_comes_back_and_may_be_written_again() -> None:
    for _ in range(2):
        digest = keep(1)
    assert read(1, digest) == PNG
    assert read(1, digest_of(SVG)) is None


@pytest.mark.usefixtures("place")
def test_the_same_content_in_two_projects_is_two_blobs() -> None:
    digest = keep(1)
    assert read(2, digest) is None
    keep(2)
    assert store.expire(date(2099, 1, 4)) == 0
    assert read(1, digest) == read(2, digest) == PNG


@pytest.mark.usefixtures("place")
def test_blobs_are_removed_when_their_day_has_come_and_not_before() -> None:
    old, new = keep(1, PNG, "2026-03-02"), keep(1, PNG, "2026-03-09")
    keep(2, SVG, "2026-03-02")
    assert store.expire(date(2026, 3, 1)) == 0
    assert store.expire(date(2026, 3, 2)) == 2
    assert read(1, old, "2026-03-02") is None
    assert read(1, new, "2026-03-09") == PNG
    assert store.expire(date(2026, 3, 2)) == 0


@pytest.mark.django_db
def test_the_daily_task_removes_what_has_expired(place: str) -> None:
    old, new = keep(1, PNG, "2020-01-06"), keep(1)
    remove_expired_blobs()
    assert read(1, old, "2020-01-06") is None
    assert read(1, new) == PNG, place


def test_a_bucket_that_is_not_there_is_away(settings: Settings, bucket: dict[str, Any]) -> None:
    chosen = {"BACKEND": "heliograph.blobs.s3.Bucket", "OPTIONS": bucket | {"bucket_name": "another"}}
    settings.STORAGES = settings.STORAGES | {"blobs": chosen}
    with pytest.raises(store.BlobsAwayError):
        keep(1)
    remove_expired_blobs()


def test_an_address_where_nobody_answers_is_away(settings: Settings, bucket: dict[str, Any]) -> None:
    chosen = {"BACKEND": "heliograph.blobs.s3.Bucket", "OPTIONS": bucket | {"endpoint_url": "http://127.0.0.1:1"}}
    settings.STORAGES = settings.STORAGES | {"blobs": chosen}
    with pytest.raises(store.BlobsAwayError):
        keep(1)


def test_spans_are_gone_before_their_blobs() -> None:
    """A week's spans go together, when the last of them has expired; a start may lie a day ahead."""
    for day in range(1, 15):
        start = int((date(2026, 3, day) - date(1970, 1, 1)).total_seconds()) * 10**9
        gone = store.gone_on(start, 90)
        assert gone.weekday() == 0
        assert 90 + 7 < (gone - date(2026, 3, day)).days <= 90 + 9 + 6


def member(organization: Organization, name: str) -> Client:
    user = User.objects.create(username=name)
    Membership.objects.create(organization=organization, user=user, role=Membership.Role.VIEWER)
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize(
    ("data", "kind", "shown"),
    [
        (PNG, "image/png", "inline"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "audio/wav", "inline"),
        (b"%PDF-1.7", "application/pdf", "attachment"),
        (SVG, "application/octet-stream", "attachment"),
        (HTML, "application/octet-stream", "attachment"),
    ],
)
@pytest.mark.usefixtures("place")
def test_a_blob_is_served_so_that_nothing_in_it_runs(project: Project, data: bytes, kind: str, shown: str) -> None:
    digest = keep(project.pk, data)
    _, key = ApiKey.issue(project, "test")
    page = member(project.organization, "reader").get(f"/p/{project.slug}/blobs/{UNTIL}/{digest}")
    api = Client(headers={"x-api-key": key}).get(f"/api/v1/blobs/{UNTIL}/{digest}")
    for answer in (page, api):
        assert answer.status_code == 200
        assert b"".join(answer.streaming_content) == data
        assert answer["Content-Type"] == kind
        assert answer["Content-Disposition"].startswith(shown)
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
        assert "private" in answer["Cache-Control"]
        answer.close()


@pytest.mark.usefixtures("place")
def test_nobody_else_sees_a_projects_blob(project: Project) -> None:
    digest = keep(project.pk)
    theirs = Project.create(Organization.objects.create(name="Globex"), "Theirs")
    _, key = ApiKey.issue(theirs, "test")
    stranger = member(theirs.organization, "stranger")
    assert stranger.get(f"/p/{project.slug}/blobs/{UNTIL}/{digest}").status_code == 404
    assert stranger.get(f"/p/{theirs.slug}/blobs/{UNTIL}/{digest}").status_code == 404
    assert Client(headers={"x-api-key": key}).get(f"/api/v1/blobs/{UNTIL}/{digest}").status_code == 404
    assert Client().get(f"/api/v1/blobs/{UNTIL}/{digest}").status_code == 401
    assert Client().get(f"/p/{project.slug}/blobs/{UNTIL}/{digest}").status_code == 302


@pytest.mark.usefixtures("store")
def test_a_conversation_shows_pictures_and_sound_and_names_what_was_cut(project: Project, settings: Settings) -> None:
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = settings.STORAGES | {"staticfiles": plain}
    image, sound = (
        f"blob:sha256-{letter * 64};{kind};1500;until={UNTIL}"
        for letter, kind in (("a", "image/png"), ("b", "audio/wav"))
    )
    parts = [
        {"type": "text", "content": "Look and listen"},
        {"type": "blob", "modality": "image", "mime_type": "image/png", "content": image},
        {"type": "tool_call_response", "response": {"recording": f"data:audio/wav;base64,{sound}"}},
    ]
    row = llm(new_trace_id(), 1, parent_span_id="", input=json.dumps([{"role": "user", "parts": parts}]))
    store_spans(project.pk, row | {"truncated": ["output", "links"], "truncated_sizes": [2_097_152, 5_000]})
    page = member(project.organization, "looker").get(f"/p/{project.slug}/traces/{row['trace_id']}").content.decode()
    assert f'<img src="/p/{project.slug}/blobs/{UNTIL}/{"a" * 64}"' in page
    assert 'loading="lazy"' in page
    assert f'<audio controls preload="none" src="/p/{project.slug}/blobs/{UNTIL}/{"b" * 64}"' in page
    assert "output (came as 2.0\xa0MB), links (came as 5000 entries)." in page
