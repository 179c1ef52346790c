"""What a table consists of, and the statements that read it, stage it and sum it up."""

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from heliograph.clickhouse.cluster import outer_parts
from heliograph.clickhouse.copying.end import End
from heliograph.clickhouse.copying.errors import CopyError

# A partition is gathered here; then it takes its place in the table as a whole, which no materialized view sees.
STAGE = "store_copy_"
# Beside the columns of a table, in what is read of it.
_STATE, _HASH, _BYTES, _KEY = "copy_state_", "copy_hash", "copy_bytes", "copy_key_"
_SETTINGS = re.compile(r"\bSETTINGS\b(.*)\Z", re.DOTALL)

_TABLES = """
SELECT name, engine, engine_full, partition_key, sorting_key, primary_key FROM system.tables
WHERE database = currentDatabase() AND name IN %(names)s
"""
_COLUMNS = """
SELECT table, name, type FROM system.columns
WHERE database = currentDatabase() AND table IN %(names)s AND default_kind IN ('', 'DEFAULT')
ORDER BY table, position
"""
# What is inserted has a new number, and what a deletion rewrites bears the deletion's, at the end of its name. A part
# that was merged of others has the highest of both.
_PARTITIONS = """
SELECT table, partition_id AS id, sum(rows) AS n,
    max(max_block_number) AS inserted,
    max(toUInt64OrZero(extract(name, '_[0-9]+_[0-9]+_[0-9]+_([0-9]+)$'))) AS deleted
FROM system.parts
WHERE active AND database = currentDatabase()
GROUP BY table, id HAVING n > 0 ORDER BY table, id
"""


@dataclass(frozen=True, slots=True)
class Partition:
    """Rows of one as its parts count them, and the numbers of its last insert and of its last deletion."""

    rows: int
    state: tuple[int, int]

    def is_newer(self, than: "Partition") -> bool:
        """Whether rows have come or were deleted since. Where rows expired, it may look older."""
        return self.state[0] > than.state[0] or self.state[1] > than.state[1]


NO_PARTITION = Partition(0, (0, 0))


@dataclass(frozen=True, slots=True)
class Table:
    """One table: columns with their types, what it is partitioned and ordered by, and its settings."""

    name: str
    engine: str
    columns: tuple[tuple[str, str], ...]
    partition_by: str
    order_by: str
    primary_key: str
    settings: str

    @property
    def key(self) -> list[str]:
        """The expressions of its order."""
        return _split(self.order_by)

    @property
    def stage(self) -> str:
        return f"{STAGE}{self.name}"

    @property
    def states(self) -> list[tuple[int, str, str]]:
        """The columns that hold states of aggregates: place, name, type. A state travels as hexadecimal digits."""
        return [
            (place, name, type_name)
            for place, (name, type_name) in enumerate(self.columns)
            if type_name.startswith("AggregateFunction(")
        ]

    @property
    def staged_columns(self) -> list[str]:
        """The columns that an insert into the stage names, in the order of what `select` returns first."""
        places = {place for place, _, _ in self.states}
        return [f"{_STATE}{place}" if place in places else name for place, (name, _) in enumerate(self.columns)]

    def hash_of_row(self) -> str:
        """Return the expression for a row's hash: of all columns, of states what they come to."""
        return f"cityHash64({self._row()})"

    def _row(self) -> str:
        places = {place for place, _, _ in self.states}
        parts = [
            f"finalizeAggregation(`{name}`)" if place in places else f"`{name}`"
            for place, (name, _) in enumerate(self.columns)
        ]
        return f"formatRowNoNewline('RowBinary', {', '.join(parts)})"

    def select(self, partition: str, behind: str) -> str:
        """Return the question for a partition's rows, in order: columns, a row's hash, its bytes, its key.

        Only for those where `behind` holds, if it is given.
        """
        places = {place for place, _, _ in self.states}
        columns = [
            f"hex(`{name}`) AS {_STATE}{place}" if place in places else f"`{name}`"
            for place, (name, _) in enumerate(self.columns)
        ]
        columns += [f"{self.hash_of_row()} AS {_HASH}", f"length({self._row()}) AS {_BYTES}"]
        columns += [f"hex(toString({expression})) AS {_KEY}{i}" for i, expression in enumerate(self.key)]
        where = f"_partition_id = '{_plain(partition)}'"
        if behind:
            where += f" AND ({behind})"
        return f"SELECT {', '.join(columns)} FROM {self.name} WHERE {where} ORDER BY {self.order_by}"  # noqa: S608  (the schema's own)

    def stage_statements(self, empty_states: dict[str, str]) -> list[str]:
        """Return what makes the stage: as the table, but of an engine that neither joins rows of a key nor expires any.

        What is counted in it stays what was put in. `empty_states` has for each type of state one of nothing.
        """
        create = f"CREATE TABLE IF NOT EXISTS {self.stage} AS {self.name} ENGINE = MergeTree"
        create += f" PARTITION BY {self.partition_by}" if self.partition_by else ""
        create += f" ORDER BY ({self.order_by})"
        create += f" PRIMARY KEY ({self.primary_key})" if self.primary_key != self.order_by else ""
        # Without a memory for repeated blocks: after a kill a page comes again, and then it is meant.
        create += f" SETTINGS {self.settings}, non_replicated_deduplication_window = 0"
        return [create] + [
            f"ALTER TABLE {self.stage}"
            f" ADD COLUMN IF NOT EXISTS {_STATE}{place} String EPHEMERAL '{empty_states[kind]}',"
            f" MODIFY COLUMN `{name}` DEFAULT CAST(unhex({_STATE}{place}) AS {kind})"
            for place, name, kind in self.states
        ]


def read_tables(end: End, names: Sequence[str]) -> dict[str, Table]:
    """Return those of the tables that a store has."""
    columns: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in end.rows(_COLUMNS, {"names": list(names)}):
        columns[row["table"]].append((row["name"], row["type"]))
    found = {}
    for row in end.rows(_TABLES, {"names": list(names)}):
        settings = _SETTINGS.search(row["engine_full"])
        kept = [
            each
            for each in (_split(settings[1]) if settings else ())
            if not each.startswith("non_replicated_deduplication_window")
        ]
        found[row["name"]] = Table(
            name=row["name"],
            engine=row["engine"],
            columns=tuple(columns[row["name"]]),
            partition_by=row["partition_key"],
            order_by=row["sorting_key"],
            primary_key=row["primary_key"],
            settings=", ".join(kept),
        )
    return found


def kind_of_tables(found: Collection[Table]) -> str:
    """Say whether a store's tables are those of one server or have replicas. Raises CopyError where they are both."""
    replicated = [each.name for each in found if each.engine.startswith("Replicated")]
    if not replicated:
        return (
            "tables of one server. For replicas, end this, empty the database and make its tables by heliograph "
            "migrate with HELIOGRAPH_CLICKHOUSE_CLUSTER (docs/deploy/to-a-server.md)"
        )
    if plain := sorted({each.name for each in found} - set(replicated)):
        raise CopyError(
            f"Some of the target's tables have replicas and some have not ({', '.join(plain[:3])}): make all of them "
            "with HELIOGRAPH_CLICKHOUSE_CLUSTER, or none."
        )
    return "tables with replicas"


def partitions(end: End) -> dict[str, dict[str, Partition]]:
    """Return the partitions that have rows, by the table's name and the partition's id."""
    found: defaultdict[str, dict[str, Partition]] = defaultdict(dict)
    for row in end.rows(_PARTITIONS):
        found[row["table"]][row["id"]] = Partition(int(row["n"]), (row["inserted"], row["deleted"]))
    return dict(found)


def behind(end: End, table: Table, key: Sequence[str]) -> str:
    """Return the condition for the rows behind a key, given as `Table.select` returns it.

    Written out, a > 1 OR (a = 1 AND b > 2), since the primary key is not used for a comparison of tuples.
    """
    named = ", ".join(f"{expression} AS key_{i}" for i, expression in enumerate(table.key))
    described = end.rows(f"DESCRIBE TABLE (SELECT {named} FROM {table.name})")  # noqa: S608  (the schema's own)
    condition = ""
    for expression, row, digits in reversed(list(zip(table.key, described, key, strict=True))):
        kind = re.sub(r"LowCardinality\((.*)\)", r"\1", row["type"])
        value = f"CAST(unhex('{_digits(digits)}') AS {kind})"
        greater = f"{expression} > {value}"
        condition = f"{greater} OR ({expression} = {value} AND ({condition}))" if condition else greater
    return condition


def _split(text: str) -> list[str]:
    """Split `a, f(b, c)` at its outer commas."""
    return [part.strip() for part in outer_parts(text)]


def _plain(partition: str) -> str:
    if not re.fullmatch(r"\w[\w-]*", partition):
        raise ValueError(f"{partition!r} is not the id of a partition")
    return partition


def _digits(text: str) -> str:
    if not re.fullmatch(r"[0-9A-F]*", text):
        raise ValueError(f"{text!r} are not hexadecimal digits")
    return text
