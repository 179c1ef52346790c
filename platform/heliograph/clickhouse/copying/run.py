"""The copy itself: table by table, partition by partition, page by page.

A partition's rows are read in the order of the table's key and put into a stage, a table of the same shape that no
view reads and no merge changes. After each page its last key is noted. A whole partition is checked by the number of
its rows and the sum of their hashes, and then takes its place by REPLACE PARTITION, which puts the same there however
often it is said. So whatever is killed, and wherever, the next run goes on behind the last noted page; a partition of
which rows have come or were deleted since is removed at the target and begun anew.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from heliograph.clickhouse import client, migrate
from heliograph.clickhouse.copying import tables
from heliograph.clickhouse.copying.end import End
from heliograph.clickhouse.copying.errors import CopyError
from heliograph.clickhouse.copying.progress import COPYING, DONE, PLACING, WHOLE, Note, Progress
from heliograph.clickhouse.copying.tables import NO_PARTITION, Partition, Table

# A page is held in memory as Python values, which take some times the room of their bytes.
PAGE_ROWS = 50_000
PAGE_BYTES = 64 * 2**20
_HISTORY = "schema_migrations"
_BLOCK_ROWS = 8_192
_READ_LIMITS = {
    # Streams, instead of sorting a week in memory.
    "optimize_read_in_order": 1,
    "preferred_block_size_bytes": 2**20,
    "max_execution_time": 0,
}
_WRITE_LIMITS = {
    "async_insert": 0,
    "max_partitions_per_insert_block": 0,
    "max_execution_time": 0,
    "insert_deduplicate": 0,
}
_IDENTITY = "SELECT toString(uuid) AS id FROM system.tables WHERE database = currentDatabase() AND name = 'spans'"
_SCHEMA = "SELECT DISTINCT number, name, checksum FROM schema_migrations ORDER BY number, checksum"
_FILLED = """
SELECT name, engine FROM system.tables
WHERE database = currentDatabase() AND ifNull(total_rows, 0) > 0 AND engine LIKE '%%MergeTree'
ORDER BY name
"""
_UNFINISHED = "SELECT count() AS n FROM system.mutations WHERE database = currentDatabase() AND NOT is_done"


@dataclass(frozen=True, slots=True)
class Copied:
    """One table that was copied: its partitions, rows, and the sum of its rows' hashes, which were found the same."""

    table: str
    partitions: int
    rows: int
    checksum: int


class Copy:
    """One copy from `source` to `target`, two addresses. `say` is told each step in words."""

    def __init__(self, source: str, target: str, say: Callable[[str], None], page_rows: int = PAGE_ROWS) -> None:
        self._target_url = target
        self._source, self._target = End(source), End(target)
        self._say = say
        self._page_rows = page_rows

    def run(self) -> list[Copied]:
        """Copy what is not copied yet and return the report. Raises CopyError, StoreError.

        After an error, or a kill, run it again: it goes on where it was.
        """
        try:
            return self._run()
        finally:
            self._source.close()
            self._target.close()

    def _run(self) -> list[Copied]:
        identity = self._check_source()
        self._check_target_schema()
        self.progress = Progress(self._target, identity)
        ours, theirs = (tables.read_tables(end, client.tables()) for end in (self._source, self._target))
        self._refuse_other_rows(identity, ours, theirs)
        self._say(f"{self._target.name} has {tables.kind_of_tables(theirs.values())}")
        self.progress.begin()
        there = tables.partitions(self._source)
        # The stage gives its parts to the target's table, and has its settings. A store that ever had a bucket for old
        # weeks has a policy that the target does not know.
        ours = {name: replace(table, settings=theirs[name].settings) for name, table in ours.items()}
        report = [self._table(ours[name], there.get(name, {})) for name in client.tables()]
        self._refuse_changes(there)
        for name in there:
            self._target.rows(f"DROP TABLE IF EXISTS {tables.STAGE}{name} SYNC")
        self.note(WHOLE, "", Note(DONE))
        return report

    def _check_source(self) -> str:
        """Return what the source is known by; raise CopyError where it cannot be copied now."""
        if self._source.rows(_UNFINISHED)[0]["n"]:
            raise CopyError(
                "The store still rewrites rows that were deleted or changed. Wait for it: SELECT * FROM "
                "system.mutations WHERE NOT is_done"
            )
        known = {*client.tables(), _HISTORY}
        if other := [row["name"] for row in self._source.rows(_FILLED) if row["name"] not in known]:
            raise CopyError(
                f"The store has tables with rows that are not of this version's schema: {', '.join(other[:5])}. "
                "Mapping rules that are being applied again leave such tables until they are done: start Heliograph "
                "and let them finish."
            )
        if new := [migration.name for migration in self._pending(self._source)]:
            raise CopyError(f"The store is behind this version ({', '.join(new[:3])}): run heliograph migrate first.")
        return str(self._source.rows(_IDENTITY)[0]["id"])

    def _pending(self, end: End) -> list[migrate.Migration]:
        applied = {(row["number"], row["checksum"]) for row in self._schema(end)}
        return [each for each in migrate.read_migrations() if (each.number, each.checksum) not in applied]

    def _schema(self, end: End) -> list[dict[str, Any]]:
        return end.rows(_SCHEMA) if end.rows(f"EXISTS TABLE {_HISTORY}")[0]["result"] else []

    def _check_target_schema(self) -> None:
        theirs = self._schema(self._target)
        if not theirs:
            if filled := self._target.rows(_FILLED):
                raise CopyError(f"{self._target.name} is no store of Heliograph and not empty: {filled[0]['name']}.")
            with client.at(self._target_url):
                for migration in migrate.migrate():
                    self._say(f"applying {migration.name} to {self._target.name}")
            theirs = self._schema(self._target)
        if theirs != self._schema(self._source):
            raise CopyError(
                f"{self._target.name} has another schema than the store: bring both to one version by heliograph "
                "migrate, or name an empty database."
            )

    def _refuse_other_rows(self, identity: str, ours: dict[str, Table], theirs: dict[str, Table]) -> None:
        if self._target.rows(_IDENTITY)[0]["id"] == identity:
            raise CopyError(f"{self._target.name} is the store itself.")
        if self.progress.sources - {identity}:
            raise CopyError(f"Another store was copied, or is being copied, to {self._target.name}.")
        if (whole := self.progress.of(WHOLE, "")) and whole.state == DONE:
            raise CopyError(f"The store was copied to {self._target.name} already, all of it.")
        there = tables.partitions(self._target)
        for name, table in ours.items():
            self._refuse_other_table(table, theirs.get(name))
            for partition, found in there.get(name, {}).items():
                note = self.progress.of(name, partition)
                if note is None or note.state == COPYING or found.rows > note.rows:
                    raise CopyError(
                        f"{self._target.name} has rows of its own in {name}, which a copy would mix with the store's: "
                        "name an empty database."
                    )

    def _refuse_other_table(self, table: Table, theirs: Table | None) -> None:
        if theirs is None or not theirs.engine.endswith("MergeTree"):
            raise CopyError(
                f"{table.name} of {self._target.name} is {theirs.engine if theirs else 'not there'}: a copy goes to "
                "one server, or to one shard with its replicas."
            )
        if set(table.columns) != set(theirs.columns) or table.order_by != theirs.order_by:
            raise CopyError(f"{table.name} of {self._target.name} has other columns than the store's.")

    def _refuse_changes(self, there: dict[str, dict[str, Partition]]) -> None:
        """Raise CopyError where something was written to the source since the beginning."""
        changed = [
            f"{name} {partition}"
            for name, found in tables.partitions(self._source).items()
            for partition, now in found.items()
            if name in client.tables() and now.is_newer(there.get(name, {}).get(partition, NO_PARTITION))
        ]
        if changed:
            raise CopyError(
                f"Rows of the store came or were deleted while it was copied ({', '.join(changed[:5])}). See that "
                "nothing writes to it; the next run copies these anew."
            )

    def _table(self, table: Table, there: dict[str, Partition]) -> Copied:
        if there:
            self._make_stage(table)
        for name, partition in list(self.progress.notes):
            if name == table.name and partition not in there:
                self._remove(table, partition)
        # What is in the stage goes first: another partition, which may be new, would empty it.
        order = sorted(there, key=lambda partition: not self._is_begun(table, partition))
        notes = [self._partition(table, partition, there[partition]) for partition in order]
        copied = Copied(
            table.name, len(notes), sum(note.rows for note in notes), sum(note.checksum for note in notes) % 2**64
        )
        if notes:
            self._say(f"{table.name}: {copied.rows} rows in {copied.partitions} partitions")
        return copied

    def _is_begun(self, table: Table, partition: str) -> bool:
        note = self.progress.of(table.name, partition)
        return note is not None and note.state != DONE

    def _make_stage(self, table: Table) -> None:
        kinds = {kind for _, _, kind in table.states}
        empty = {
            kind: self._target.rows("SELECT hex(defaultValueOfTypeName(%(kind)s)) AS digits", {"kind": kind})[0][
                "digits"
            ]
            for kind in kinds
        }
        for statement in table.stage_statements(empty):
            self._target.rows(statement)

    def _remove(self, table: Table, partition: str) -> None:
        """Remove at the target what the source has no more, or has otherwise."""
        self._target.rows(f"ALTER TABLE {table.name} DROP PARTITION ID '{partition}'")
        self.note(table.name, partition, Note(COPYING))

    def _partition(self, table: Table, partition: str, found: Partition) -> Note:
        note = self.progress.of(table.name, partition)
        if note is not None and note.source_state != found.state:
            self._say(f"{table.name} {partition}: begun anew, the store has changed since")
            self._remove(table, partition)
            note = None
        if note is not None and note.state == DONE:
            return note
        if note is None or note.state == COPYING:
            note = self._fill(table, partition, found.rows, note or Note(COPYING, source_state=found.state))
            self._check(table, partition, note)
            note = self.note(table.name, partition, replace(note, state=PLACING, key=()))
        self._place(table, partition, note)
        note = self.note(table.name, partition, replace(note, state=DONE))
        self._target.rows(f"TRUNCATE TABLE {table.stage}")
        return note

    def _fill(self, table: Table, partition: str, expected: int, note: Note) -> Note:
        """Put what is missing of a partition into the stage."""
        behind = tables.behind(self._source, table, note.key) if note.key else ""
        if behind:
            # Of a page that was stored and not noted, or stored in part.
            self._target.rows(f"ALTER TABLE {table.stage} DELETE WHERE {behind} SETTINGS mutations_sync = 2")
        else:
            self._target.rows(f"TRUNCATE TABLE {table.stage}")
        limits = _READ_LIMITS | {"max_block_size": min(_BLOCK_ROWS, self._page_rows)}
        for page in self._pages(table, self._source.blocks(table.select(partition, behind), limits)):
            width = len(table.columns)
            hashes, keys = page[width], page[width + 2 :]
            self.insert(table, page[:width])
            checksum = (note.checksum + sum(hashes)) % 2**64
            key = tuple(column[-1].decode("ascii") for column in keys)
            noted = replace(note, key=key, rows=note.rows + len(hashes), checksum=checksum)
            note = self.note(table.name, partition, noted)
            self._say(f"{table.name} {partition}: {note.rows} of about {expected} rows")
        return note

    def _pages(self, table: Table, blocks: Iterator[list[Sequence[Any]]]) -> Iterator[list[list[Any]]]:
        """Cut what is read into pages between two keys: the rows of one key are never in two pages."""
        width = len(table.columns)
        page: list[list[Any]] = []
        size = 0
        for block in blocks:
            if page:
                for column, more in zip(page, block, strict=True):
                    column.extend(more)
            else:
                page = [list(column) for column in block]
            size += sum(block[width + 1])
            if len(page[width]) < self._page_rows and size < PAGE_BYTES:
                continue
            keys = list(zip(*page[width + 2 :], strict=True))
            cut = next((end for end in range(len(keys) - 1, 0, -1) if keys[end - 1] != keys[end]), 0)
            if cut:
                yield [column[:cut] for column in page]
                page = [column[cut:] for column in page]
                size = sum(page[width + 1])
        if page:
            yield page

    def _check(self, table: Table, partition: str, note: Note) -> None:
        sql = f"SELECT count() AS n, sum({table.hash_of_row()}) AS checksum FROM {table.stage}"  # noqa: S608  (our own)
        (found,) = self._target.rows(sql)
        if (found["n"], found["checksum"]) != (note.rows, note.checksum):
            # Begun anew by the next run.
            self.note(table.name, partition, Note(COPYING, source_state=note.source_state))
            raise CopyError(
                f"{table.name}, partition {partition}: {found['n']} rows with checksum {found['checksum']} arrived, "
                f"{note.rows} with {note.checksum} were read. They are not in place: the next run copies them anew."
            )

    def _place(self, table: Table, partition: str, note: Note) -> None:
        if note.rows:
            self._target.rows(f"ALTER TABLE {table.name} REPLACE PARTITION ID '{partition}' FROM {table.stage}")
        there = tables.partitions(self._target).get(table.name, {}).get(partition, NO_PARTITION).rows
        # Rows of one key become one as soon as they are merged, which may be now.
        if there > note.rows or (there < note.rows and (table.engine == "MergeTree" or not there)):
            raise CopyError(f"{table.name}, partition {partition}: {there} rows are in place instead of {note.rows}.")

    def note(self, table: str, partition: str, note: Note) -> Note:
        """Note how far it is."""
        self.progress.write(table, partition, note)
        return note

    def insert(self, table: Table, page: list[list[Any]]) -> None:
        """Store a page in the stage."""
        self._target.insert(table.stage, table.staged_columns, page, _WRITE_LIMITS)
