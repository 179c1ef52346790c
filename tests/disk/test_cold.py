"""The oldest weeks in a bucket: moved once, read as before, whole through kill -9, and brought back."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta

import boto3
import pytest
from moto.server import ThreadedMotoServer
from pytest_django import Settings

from heliograph.clickhouse import client
from heliograph.disk import cold
from heliograph.disk.usage import usage, weeks, weeks_by_disk
from heliograph.query.installation import SELECT_DISKS
from tests.conftest import StoreProcess

PATIENCE = 120
OLD = date(2026, 3, 2)  # a Monday
NEW = date(2026, 4, 6)
TODAY = NEW + timedelta(days=8)
KEYS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
TABLES = ("spans", "metric_points", "log_records")


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a prefix in a bucket behind a real S3 API on this machine."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name.upper(), value)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    made = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1", **KEYS)
    made.create_bucket(Bucket="cold")
    made.close()
    yield f"http://{host}:{port}/cold/heliograph/"
    server.stop()


def insert(week: date, rows: int, token: str, table: str = "spans") -> None:
    start = int(datetime(week.year, week.month, week.day, tzinfo=UTC).timestamp())
    client.insert(table, {"time": [start + number for number in range(rows)]}, token=token)


def where() -> dict[tuple[str, str], set[str]]:
    """Return on which disks the parts of each table's week are."""
    asked = (
        "SELECT table, partition_id AS week, groupUniqArray(disk_name) AS disks FROM system.parts "
        "WHERE active AND database = currentDatabase() GROUP BY table, week"
    )
    return {(row["table"], row["week"]): set(row["disks"]) for row in client.execute_unscoped(asked)}


def moved(expected: dict[tuple[str, str], set[str]]) -> None:
    """Look as the beat does until everything is where it belongs."""
    deadline = time.monotonic() + PATIENCE
    while where() != expected:
        assert time.monotonic() < deadline, where()
        cold.move_old_weeks(TODAY)
        time.sleep(0.05)


def rows(table: str = "spans") -> int:
    [row] = client.execute_unscoped(f"SELECT count() AS rows, uniqExact(time) AS times FROM {table}")
    assert row["rows"] == row["times"]
    return int(row["rows"])


def test_old_weeks_go_to_the_bucket_survive_kill_9_and_come_back(
    start_store: Callable[..., StoreProcess], endpoint: str, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    store = start_store("--cold-endpoint", endpoint)
    settings.CLICKHOUSE_URL = store.url
    settings.COLD_POLICY, settings.COLD_AFTER_DAYS = "tiered", 8
    for table in TABLES:
        client.execute_unscoped(
            f"CREATE TABLE {table} (time DateTime('UTC')) ENGINE = MergeTree PARTITION BY toStartOfWeek(time, 1) "
            "ORDER BY time SETTINGS non_replicated_deduplication_window = 1000"
        )
    for week, name in ((OLD, "old"), (NEW, "new")):
        insert(week, 1_000, name)
    insert(OLD, 500, "logs", "log_records")
    before = usage().used

    # The bound of a look, then everything that is old enough, and nothing else.
    assert cold.move_old_weeks(TODAY - timedelta(days=30)) == 0
    old, new = ("spans", f"{OLD:%Y%m%d}"), ("spans", f"{NEW:%Y%m%d}")
    placed = {old: {"cold"}, new: {"default"}, ("log_records", f"{OLD:%Y%m%d}"): {"cold"}}
    moved(placed)
    assert cold.move_old_weeks(TODAY) == 0
    assert (rows(), rows("log_records")) == (2_000, 500)
    disks = {row["name"]: row for row in client.execute_unscoped(SELECT_DISKS)}
    assert (disks["cold"]["is_bucket"], disks["default"]["is_bucket"]) == (1, 0)
    assert disks["cold"]["used"] > 0

    # What lies there fills no disk here, and is nothing that a full one could drop.
    assert 0 < usage().used < before
    assert [(week.table, week.name) for week in weeks()] == [new]

    # kill -9: all rows are there, and an insert that is sent again under its token is still known.
    store.kill()
    store.start()
    assert rows() == 2_000
    for week, name in ((OLD, "old"), (NEW, "new")):
        insert(week, 1_000, name)
    assert rows() == 2_000

    # A late row of an old week arrives on the disk and follows its week.
    late = int(datetime(OLD.year, OLD.month, OLD.day, tzinfo=UTC).timestamp()) + 5_000
    client.insert("spans", {"time": [late]}, token="late")
    assert where()[old] == {"cold", "default"}
    moved(placed)
    assert rows() == 2_001

    # What is rewritten beside the table, as for holds and new mapping rules, is attached to a week in the bucket.
    client.execute_unscoped("CREATE TABLE beside AS spans")
    client.insert("beside", {"time": [late + 1]})
    client.execute_unscoped(f"ALTER TABLE spans ATTACH PARTITION ID '{OLD:%Y%m%d}' FROM beside")
    client.execute_unscoped("DROP TABLE beside")
    moved(placed)
    assert rows() == 2_002

    # Back again, but not what fills the disk: its guard would drop it.
    settings.COLD_AFTER_DAYS = 0
    settings.DISK_WARN_PERCENT, settings.DISK_SAMPLE_PERCENT, settings.DISK_DROP_PERCENT = 0, 0, 100
    [logs] = [week.bytes for week in weeks_by_disk(["cold"]) if week.table == "log_records"]
    settings.DISK_BUDGET_BYTES = used = usage().used
    assert cold.move_old_weeks(TODAY) == 0
    assert where() == placed
    assert "stays in the bucket" in caplog.text
    settings.DISK_BUDGET_BYTES = (used + logs) * 100 // 97 + 10
    moved(placed | {("log_records", f"{OLD:%Y%m%d}"): {"default"}})
    assert cold.move_old_weeks(TODAY) == 0
    settings.DISK_BUDGET_BYTES = 0

    # With room for it all comes, and then the store needs no bucket any more.
    moved({week: {"default"} for week in placed})
    assert store.stop() == 0
    store.arguments = ()
    store.start()
    assert (rows(), rows("log_records")) == (2_002, 500)


def test_without_a_bucket_nothing_is_asked(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.COLD_POLICY = ""
    monkeypatch.setattr(client, "execute_unscoped", lambda *_, **__: pytest.fail("the store is asked"))
    assert cold.move_old_weeks(TODAY) == 0
