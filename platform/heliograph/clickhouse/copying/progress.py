"""How far a copy is, remembered in the store that is filled, beside what it says it of."""

from dataclasses import dataclass

from heliograph.clickhouse.copying.end import End

TABLE = "store_copy"
# copying: rows up to `key` are in the stage. placing: the stage is whole and checked. done: it has its place.
COPYING, PLACING, DONE = "copying", "placing", "done"
# The note of the whole copy stands under no table.
WHOLE = ""

_CREATE = f"""
CREATE TABLE IF NOT EXISTS {TABLE}
(
    source String,
    table String,
    partition String,
    state String,
    key Array(String),
    rows UInt64,
    checksum UInt64,
    source_state Array(UInt64),
    version UInt64,
    noted_at DateTime('UTC') DEFAULT now('UTC')
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (table, partition)
"""
_READ = f"""
SELECT source, table, partition, state, key, rows, checksum, source_state, version FROM {TABLE} FINAL
"""  # noqa: S608  (a constant)
_WRITE = f"""
INSERT INTO {TABLE} (source, table, partition, state, key, rows, checksum, source_state, version)
SELECT %(source)s, %(table)s, %(partition)s, %(state)s, CAST(%(key)s AS Array(String)), %(rows)s, %(checksum)s,
    CAST(%(source_state)s AS Array(UInt64)), %(version)s
"""


@dataclass(frozen=True, slots=True)
class Note:
    """What is known of one partition. `key` is the last row's, as `tables.Table.select` returns it; `source_state` is
    what the source had of it when its first row was read (`tables.Partition`)."""

    state: str
    key: tuple[str, ...] = ()
    rows: int = 0
    checksum: int = 0
    source_state: tuple[int, ...] = ()


class Progress:
    """The notes of one copy. `source` names the store that is copied, and stays the same when that is started again."""

    def __init__(self, end: End, source: str) -> None:
        self._end = end
        self._source = source
        self._version = 0
        self.sources: set[str] = set()
        self.notes: dict[tuple[str, str], Note] = {}
        if end.rows(f"EXISTS TABLE {TABLE}")[0]["result"]:
            for row in end.rows(_READ):
                self.sources.add(row["source"])
                self._version = max(self._version, row["version"])
                note = Note(row["state"], tuple(row["key"]), row["rows"], row["checksum"], tuple(row["source_state"]))
                self.notes[row["table"], row["partition"]] = note

    def begin(self) -> None:
        """Make the table of notes."""
        self._end.rows(_CREATE)
        if (WHOLE, "") not in self.notes:
            self.write(WHOLE, "", Note(COPYING))

    def of(self, table: str, partition: str) -> Note | None:
        """Return what is noted of a partition."""
        return self.notes.get((table, partition))

    def write(self, table: str, partition: str, note: Note) -> None:
        """Note it; returns when that is stored."""
        self._version += 1
        self._end.rows(
            _WRITE,
            {
                "source": self._source,
                "table": table,
                "partition": partition,
                "state": note.state,
                "key": list(note.key),
                "rows": note.rows,
                "checksum": note.checksum,
                "source_state": list(note.source_state),
                "version": self._version,
            },
        )
        self.notes[table, partition] = note
