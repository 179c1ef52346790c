"""Schema changes: numbered files, each applied once, in order, and remembered in the store itself.

A file is several statements, each ending in `;` at the end of a line. Every statement must be safe to run again
(IF NOT EXISTS and the like), because a crash may fall between a statement and the note that its file is done, and two
processes may start at once: both run the same harmless statements, and the note is written twice with one content.
"""

import hashlib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heliograph.clickhouse import client
from heliograph.clickhouse.cluster import Topology
from heliograph.clickhouse.errors import Permanent

SCHEMA_DIR = client.SCHEMA_DIR
_FILE_NAME = re.compile(r"(?P<number>\d{4})_[a-z0-9_]+\.sql")

CREATE_MIGRATIONS = """
CREATE TABLE IF NOT EXISTS schema_migrations
(
    number UInt32,
    name String,
    checksum String,
    applied_at DateTime DEFAULT now()
)
ENGINE = ReplacingMergeTree(applied_at)
ORDER BY number
"""
# Settings that a table of this engine may have.
SELECT_KNOWN = "SELECT name FROM system.merge_tree_settings WHERE name IN %(names)s"
SELECT_APPLIED = (
    "SELECT number, any(name) AS name, groupUniqArray(checksum) AS checksums FROM schema_migrations GROUP BY number"
)
INSERT_APPLIED = "INSERT INTO schema_migrations (number, name, checksum) SELECT %(number)s, %(name)s, %(checksum)s"

# What rewrites or drops stored data, or cannot be run twice. A file that means it says `-- dangerous: <reason>`, or
# `-- rewrites: <what and how long>` where an operator shall choose the time: it is refused on a store that is in use
# until they accept it.
_DANGERS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), danger)
    for pattern, danger in (
        (r"^ALTER\b.*\b(UPDATE|DELETE)\b.*\bWHERE\b", "rewrites every part that holds a matching row"),
        (r"^(DELETE|UPDATE)\b", "rewrites rows"),
        (r"^ALTER\b.*\bMODIFY\s+COLUMN\b", "may rewrite the column in every part"),
        (r"^ALTER\b.*\b(MODIFY|MATERIALIZE)\s+(ORDER|TTL|PROJECTION|INDEX|COLUMN)\b", "rewrites every part"),
        (r"^ALTER\b.*\b(DROP|CLEAR|RENAME)\s+(COLUMN|PARTITION|PART)\b", "loses or hides stored data"),
        (r"^(DROP|TRUNCATE|RENAME|EXCHANGE|DETACH)\b", "loses or hides stored data"),
        (r"^OPTIMIZE\b", "rewrites every part"),
        (r"\bPOPULATE\b", "misses rows that arrive meanwhile"),
        (r"^CREATE\b(?!.*\bIF\s+NOT\s+EXISTS\b)(?!\s+OR\s+REPLACE\s+VIEW\b)", "cannot be run twice; add IF NOT EXISTS"),
        (
            r"^ALTER\b.*\bADD\s+(COLUMN|INDEX|PROJECTION)\b(?!\s+IF\s+NOT\s+EXISTS)",
            "cannot be run twice; add IF NOT EXISTS",
        ),
        (r"^INSERT\b", "would store its rows again when run twice"),
    )
)
_DANGEROUS_MARK = re.compile(r"^-- (dangerous|rewrites): *\S", re.MULTILINE)
# Before a statement that a newer engine than the oldest we support knows, and that may be left out.
_WHERE_KNOWN = re.compile(r"^-- where known: *(\w+)", re.MULTILINE)
_COMMENTS = re.compile(r"\A(?:\s*--[^\n]*\n)*\s*")
_REWRITES_MARK = re.compile(r"^-- rewrites: *(\S.*)", re.MULTILINE)


class ChangedMigrationError(Permanent):
    """A file that is applied already has another content now."""


class DangerousMigrationError(Permanent):
    """A file rewrites data without saying so."""


class RewriteNotAcceptedError(Permanent):
    """A file rewrites stored data, and nobody has said that now is the time."""


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode("utf-8")).hexdigest()

    @property
    def statements(self) -> list[str]:
        """The file's statements without the comments before them."""
        return [_COMMENTS.sub("", part).strip() for part in self._parts]

    @property
    def settings(self) -> dict[str, str]:
        """The setting of tables that a statement needs, by statement: an engine that does not know it is spared it."""
        found = {_COMMENTS.sub("", part).strip(): _WHERE_KNOWN.search(part) for part in self._parts}
        return {statement: match[1] for statement, match in found.items() if match}

    @property
    def _parts(self) -> list[str]:
        parts = re.split(r";[ \t]*(?:\n|\Z)", self.text)
        return [part for part in parts if _COMMENTS.sub("", part).strip()]

    @property
    def rewrites(self) -> str:
        """What an operator has to accept before this file runs, '' for most."""
        match = _REWRITES_MARK.search(self.text)
        return match[1].strip() if match else ""

    @property
    def dangers(self) -> list[str]:
        """What in this file rewrites data or cannot be repeated, unless the file says that it is meant."""
        if _DANGEROUS_MARK.search(self.text):
            return []
        return [
            f"{self.name}: {danger}: {statement.splitlines()[0]}"
            for statement in self.statements
            for pattern, danger in _DANGERS
            if pattern.search(_without_comments(statement))
        ]


def _without_comments(statement: str) -> str:
    return re.sub(r"--[^\n]*", "", statement)


def read_migrations(folder: Path = SCHEMA_DIR) -> list[Migration]:
    """Return the folder's files by number; raises ValueError for a name or number that is out of order."""
    migrations = []
    for path in sorted(folder.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise ValueError(f"{path.name} is not named like 0001_name.sql")
        migrations.append(Migration(int(match["number"]), path.name, path.read_text(encoding="utf-8")))
    numbers = [migration.number for migration in migrations]
    # A gap is a number that work under way elsewhere has taken; its file is applied when it comes.
    if numbers[:1] != [1] or len(set(numbers)) != len(numbers):
        raise ValueError(f"The numbers in {folder} must count from 1, each once")
    return migrations


def rendered(migration: Migration, topology: Topology) -> list[str]:
    """Return a file's statements as they are for one server, or for all of a cluster."""
    return [each for statement in migration.statements for each in topology.render(statement, client.tables())]


def pending(migrations: list[Migration]) -> list[Migration]:
    """Return what the store has not applied; raise if an applied file was changed or a new one is dangerous."""
    applied = _applied()
    checksums = {row["number"]: row["checksums"] for row in applied}
    for migration in migrations:
        if migration.number in checksums and checksums[migration.number] != [migration.checksum]:
            raise ChangedMigrationError(
                f"{migration.name} was applied with another content; put a change into a new file instead"
            )
    new = [migration for migration in migrations if migration.number not in checksums]
    dangers = [danger for migration in new for danger in migration.dangers]
    if dangers:
        raise DangerousMigrationError("\n".join(dangers))
    return new


def _applied() -> list[dict[str, Any]]:
    tables = client.execute_unscoped("EXISTS TABLE schema_migrations", tag="migrate.exists")
    return client.execute_unscoped(SELECT_APPLIED, tag="migrate.applied") if tables[0]["result"] else []


def not_accepted(new: list[Migration]) -> list[str]:
    """Return what of the pending files an operator has to accept: nothing where the store is new and so empty."""
    if not _applied():
        return []
    return [f"{migration.name}: {migration.rewrites}" for migration in new if migration.rewrites]


def migrate(folder: Path = SCHEMA_DIR, *, accept_rewrites: bool = False) -> Iterator[Migration]:
    """Apply what is pending, yielding each file before it runs. Raises StoreError, ValueError.

    Nothing is applied where one of the files rewrites what is stored and that was not accepted.
    """
    new = pending(read_migrations(folder))
    if not accept_rewrites and (refused := not_accepted(new)):
        raise RewriteNotAcceptedError(
            "This version rewrites what is stored:\n  " + "\n  ".join(refused) + "\n"
            "Make a backup (heliograph backup), then say that now is the time: heliograph migrate --accept-rewrites"
        )
    client.execute_unscoped(CREATE_MIGRATIONS, tag="migrate.create")
    for migration in new:
        yield migration
        needed = migration.settings
        known = _known(set(needed.values()))
        # The door renders them, as all statements.
        for statement in migration.statements:
            if statement not in needed or needed[statement] in known:
                client.execute_unscoped(statement, tag="migrate.apply")
        client.execute_unscoped(
            INSERT_APPLIED,
            {"number": migration.number, "name": migration.name, "checksum": migration.checksum},
            tag="migrate.applied",
        )


def _known(settings: Collection[str]) -> set[str]:
    """Return those of these settings that the engine knows."""
    if not settings:
        return set()
    rows = client.execute_unscoped(SELECT_KNOWN, {"names": sorted(settings)}, tag="migrate.settings")
    return {row["name"] for row in rows}
