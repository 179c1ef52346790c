"""Where days of the archive go during a test, and what there is to write."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pyarrow.parquet
import pytest
from django.core.files.storage import storages
from django.test import Client
from moto.server import ThreadedMotoServer
from pytest_django import Settings

from heliograph.accounts.models import Membership, Project, User
from heliograph.exports import archive, tasks
from heliograph.exports.models import ArchivedDay
from heliograph.query.filters import to_ns
from tests.query.rows import llm, new_trace_id, store_spans

# Two days back: over for long enough whenever the tests run.
DAY = (datetime.now(UTC) - timedelta(days=2)).date()
only_folder = pytest.mark.parametrize("place", ["folder"], indirect=True)


@pytest.fixture(scope="module")
def bucket() -> Iterator[dict[str, Any]]:
    """The options of a bucket behind a real S3 API on this machine."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    made = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1", **keys)
    made.create_bucket(Bucket="archive")
    made.close()
    yield {"endpoint_url": f"http://{host}:{port}", "region_name": "us-east-1", "bucket_name": "archive"}
    server.stop()


@pytest.fixture(autouse=True, params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where days go during a test; a test that it makes no difference to asks for one of them."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setattr("heliograph.exports.tasks.wake_archive", lambda: None)
    monkeypatch.setattr("heliograph.dashboards.archive.wake_archive", lambda: None)
    monkeypatch.setattr("heliograph.api.archive.wake_archive", lambda: None)
    if request.param == "folder":
        chosen = {"BACKEND": "heliograph.blobs.folder.DurableFolder", "OPTIONS": {"location": tmp_path / "archive"}}
    else:
        options = request.getfixturevalue("bucket") | {"location": f"of/{tmp_path.name}"}
        chosen = {"BACKEND": "heliograph.blobs.s3.Bucket", "OPTIONS": options}
    backend = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": backend}, "archive": chosen}
    return str(request.param)


def stored(project: Project, hours: int, each: int = 2) -> None:
    """Store spans at each full hour of the day, and one on each side of it."""
    midnight = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC)
    moments = [midnight + timedelta(hours=hour) for hour in range(hours) for _ in range(each)]
    moments += [midnight - timedelta(microseconds=1), midnight + timedelta(days=1)]
    store_spans(project.pk, *(llm(new_trace_id(), 0, start_time=to_ns(moment)) for moment in moments))


def opened(project: Project, *signals: str) -> ArchivedDay:
    return archive.again(project, DAY, list(signals) or ["spans"])


def work_off(most: int = 100) -> None:
    for _ in range(most):
        tasks.archive()
        if not ArchivedDay.waiting().exists():
            return
    raise AssertionError("it does not come to an end")


def files(day: ArchivedDay) -> dict[str, bytes]:
    """Return what lies below the project's folder, by name."""
    found: dict[str, bytes] = {}

    def walk(folder: str) -> None:
        folders, names = storages["archive"].listdir(folder)
        for name in names:
            with storages["archive"].open(f"{folder}/{name}") as file:
                found[f"{folder}/{name}".partition("/")[2]] = file.read()
        for each in folders:
            walk(f"{folder}/{each}")

    walk(f"project={day.project_id}")
    return found


def rows_of(found: dict[str, bytes], signal: str) -> list[dict[str, Any]]:
    names = sorted(name for name in found if name.startswith(f"signal={signal}/"))
    return [row for name in names for row in pyarrow.parquet.read_table(io.BytesIO(found[name])).to_pylist()]


def reader(project: Project, role: str) -> Client:
    user = User.objects.create(username=f"{role}-{project.slug}")
    Membership.objects.create(organization=project.organization, user=user, role=role)
    client = Client()
    client.force_login(user)
    return client
