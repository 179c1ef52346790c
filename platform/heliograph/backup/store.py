"""The ClickHouse database onto a disk of the server and back, by its own BACKUP and RESTORE.

The embedded store has a disk that is HELIOGRAPH_BACKUP_DIR. A server has what its configuration says
(`backups.allowed_disk`), a bucket for example; then only the server sees the files.
"""

import re
import time
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from django.conf import settings

from heliograph.backup.errors import BackupError
from heliograph.clickhouse import client
from heliograph.clickhouse.errors import UnavailableError

POLL_SECONDS = 0.2
# Of a table, or of all parts of one to be dropped or checked: reading a terabyte takes an hour or so.
PATIENCE_SECONDS = 6 * 3_600
_COUNT = re.compile(r"data/[^/]+/(?P<table>[^/]+)/[^/]+/count\.txt")
# A file is listed by one element; this bounds the memory of a list of millions.
_ELEMENT = "file"

SELECT_STATE = "SELECT toString(status) AS status, error FROM system.backups WHERE id = %(id)s"
SELECT_TABLES = """
SELECT name, engine, total_rows AS rows FROM system.tables
WHERE database = currentDatabase() AND NOT is_temporary
-- Views first: a table that a view writes to is not dropped under it.
ORDER BY engine != 'MaterializedView', name
"""
SELECT_SIZE = "SELECT sum(bytes_on_disk) AS bytes FROM system.parts WHERE active AND database = currentDatabase()"
# The embedded engine takes a refused write for done (docs/adr/0076), and may say that the copy is whole before it ends.
SELECT_REFUSED = """
SELECT sum(value) AS writes FROM system.events WHERE event = 'WriteBufferFromFileDescriptorWriteFailed'
"""
COPY = "BACKUP DATABASE {database} TO Disk('{disk}', '{path}') ASYNC"
PUT_BACK = "RESTORE DATABASE {source} AS {database} FROM Disk('{disk}', '{path}') ASYNC"
# An embedded store ends with a write that the disk refuses (docs/adr/0076): a copy with holes would look whole.
_ENDED = "Its log says why; a disk that became full is the usual cause. Run the command again when that is mended."
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")


def database() -> str:
    """Return the name of the database that holds our tables."""
    return str(client.execute_unscoped("SELECT currentDatabase() AS name", tag="backup.database")[0]["name"])


def version() -> str:
    return str(client.execute_unscoped("SELECT version() AS version", tag="backup.version")[0]["version"])


def schema() -> list[list[str]]:
    """Return the schema files that are applied: number, name, checksum."""
    sql = "SELECT DISTINCT number, name, checksum FROM schema_migrations ORDER BY number, checksum"
    rows = client.execute_unscoped(sql, tag="backup.schema")
    return [[str(row["number"]), row["name"], row["checksum"]] for row in rows]


def size() -> int:
    """Return how many bytes the tables have on the disk, which a copy of them takes again."""
    return int(client.execute_unscoped(SELECT_SIZE, tag="backup.size")[0]["bytes"])


def dump(path: str) -> None:
    """Copy the database to `path` on the disk for backups. Raises BackupError, StoreError."""
    _run(COPY.format(database=_plain(database()), disk=_plain(settings.BACKUP_DISK), path=_plain(path)))


def load(source: str, disk: str, path: str) -> None:
    """Replace the database by the copy of one that was called `source`. Raises BackupError, StoreError."""
    with client.answered_within(PATIENCE_SECONDS):
        for row in client.execute_unscoped(SELECT_TABLES, tag="backup.tables"):
            kind = "VIEW" if row["engine"] == "MaterializedView" else "TABLE"
            client.execute_unscoped(f"DROP {kind} IF EXISTS {_plain(row['name'])} SYNC", tag="backup.drop")
    names = {"source": _plain(source), "database": _plain(database())}
    _run(PUT_BACK.format(**names, disk=_plain(disk), path=_plain(path)))


def check(expected: dict[str, int] | None) -> dict[str, int]:
    """Read every part of every table and return its rows. Raises BackupError for what is damaged or missing."""
    found = rows()
    with client.answered_within(PATIENCE_SECONDS):
        for table in found:
            # Without a block's sum a damaged part would be noticed by whoever reads it months later.
            (answer,) = client.execute_unscoped(
                f"CHECK TABLE {_plain(table)} SETTINGS check_query_single_value_result = 1", tag="backup.check"
            )
            if not next(iter(answer.values())):
                raise BackupError(f"The restored table {table} is damaged.")
    if expected is not None:
        other = [
            f"{table}: {found.get(table, 0)} instead of {count}"
            for table, count in expected.items()
            if found.get(table, 0) != count
        ]
        if other:
            raise BackupError("Not every row came back: " + "; ".join(other[:5]))
    return found


def rows() -> dict[str, int]:
    """Return the rows of each table that stores any."""
    return {row["name"]: int(row["rows"] or 0) for row in client.execute_unscoped(SELECT_TABLES, tag="backup.tables")
            if row["engine"] != "MaterializedView"}  # fmt: skip


def is_empty() -> bool:
    """Say whether there is nothing but the schema."""
    return not any(count for table, count in rows().items() if table != "schema_migrations")


def rows_in(folder: Path) -> dict[str, int]:
    """Count the rows of a copy that lies in a folder, by the list that ClickHouse wrote of its files.

    Parts that hold the same number have the same file, which is stored once.
    """
    counts: Counter[str] = Counter()
    for _, element in ElementTree.iterparse(folder / ".backup"):  # noqa: S314  # written by our own ClickHouse
        if element.tag != _ELEMENT:
            continue
        name = element.findtext("name", "")
        if match := _COUNT.fullmatch(name):
            # ClickHouse writes a file's name where it lies only when that is another one.
            counts[match["table"]] += int((folder / element.findtext("data_file", name)).read_text(encoding="ascii"))
        element.clear()
    return dict(counts)


def _run(sql: str) -> None:
    """Run one BACKUP or RESTORE to its end, however long it takes."""
    before = _refused()
    (started,) = client.execute_unscoped(sql, tag="backup.start")
    while True:
        try:
            found = client.execute_unscoped(SELECT_STATE, {"id": str(started["id"])}, tag="backup.state")
            refused = _refused() - before
        except UnavailableError as error:
            raise BackupError(f"ClickHouse ended meanwhile. {_ENDED}") from error
        if refused:
            raise BackupError(f"{refused} writes were refused. {_ENDED}")
        if not found:
            raise BackupError(f"ClickHouse does not know the backup any more: it was restarted. {_ENDED}")
        (row,) = found
        if row["status"] in {"BACKUP_CREATED", "RESTORED"}:
            return
        if row["status"] not in {"CREATING_BACKUP", "RESTORING"}:
            raise BackupError(_explained(row["error"].partition(", Stack trace")[0].strip()))
        time.sleep(POLL_SECONDS)


def _refused() -> int:
    return int(client.execute_unscoped(SELECT_REFUSED, tag="backup.refused")[0]["writes"])


def _explained(error: str) -> str:
    if "allowed_disk" in error or "Unknown disk" in error or "is not allowed for backups" in error:
        return (
            f"The ClickHouse server has no disk {settings.BACKUP_DISK!r} for backups ({error}). Give it one "
            "(storage_configuration.disks and backups.allowed_disk, see docs/backup.md) and name it by "
            "HELIOGRAPH_BACKUP_DISK."
        )
    return f"ClickHouse: {error}"


def _plain(name: str) -> str:
    """Return a name that is safe inside SQL: none of ours, and none that we make, has anything else in it."""
    if not _PLAIN.fullmatch(name):
        raise BackupError(f"{name!r} cannot be used as a name: letters, digits, _ . and - only.")
    return name
