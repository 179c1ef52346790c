"""From a file to rows: read all of it, say what is wrong with which line, and only then change the data set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from heliograph.datasets import columns as mapping
from heliograph.datasets.columns import Columns
from heliograph.datasets.content import InvalidRowError, RowContent
from heliograph.datasets.splits import assigned
from heliograph.datasets.tables import Fault, Format, Record, records
from heliograph.datasets.versions import MAX_CHANGE_ROWS, TooManyRowsError

# A person mends the first ones and tries again.
FAULTS_SHOWN = 100
ROWS_SHOWN = 10


@dataclass(slots=True)
class Table:
    """What a file holds: its rows as they would be kept, and what is wrong with the others."""

    names: list[str] = field(default_factory=list)
    columns: Columns = field(default_factory=Columns)
    rows: list[RowContent] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    fault_count: int = 0

    def note(self, fault: Fault) -> None:
        """Count a fault, and keep it where it is among the first."""
        self.fault_count += 1
        if len(self.faults) < FAULTS_SHOWN:
            self.faults.append(fault)


def load(file: BinaryIO, kind: Format, columns: Columns | None = None) -> Table:
    """Read a file by these columns, or by what their names usually mean.

    Raises UnreadableTableError, TooManyRowsError, and InvalidRowError for columns that the file lacks.
    """
    table = Table()
    waiting: list[Record] = []
    for record in records(file, kind):
        if isinstance(record, Fault):
            table.note(record)
            continue
        if not table.names or (kind == "jsonl" and len(waiting) < ROWS_SHOWN and not table.columns.input):
            # Lines of JSON may leave fields out: the first ones together name them.
            table.names += [name for name in record.values if name not in table.names]
        if not table.columns.input:
            waiting.append(record)
            if kind == "jsonl" and len(waiting) < ROWS_SHOWN:
                continue
            _begin(table, waiting, columns, kind)
        else:
            _keep(table, record)
        if len(table.rows) > MAX_CHANGE_ROWS:
            raise TooManyRowsError(f"The file has more than {MAX_CHANGE_ROWS:,} rows: upload it in parts.")
    if waiting and not table.columns.input:
        _begin(table, waiting, columns, kind)
    # Lines of JSON wait until the columns are known; their faults come after those of the lines behind them.
    table.faults.sort(key=lambda fault: fault.line)
    return table


def _begin(table: Table, waiting: list[Record], columns: Columns | None, kind: Format) -> None:
    table.columns = columns or mapping.guess(table.names)
    if columns is None and kind != "jsonl":
        table.columns = replace(table.columns, json_cells=True)
    mapping.check(table.columns, table.names)
    for record in waiting:
        _keep(table, record)


def _keep(table: Table, record: Record) -> None:
    try:
        table.rows.append(mapping.row_of(record.values, table.columns))
    except InvalidRowError as error:
        table.note(Fault(record.line, error.field, error.message))


def split_by(rows: Sequence[RowContent], ratios: Mapping[str, float], seed: int) -> list[RowContent]:
    """Return rows with splits by shares; rows of one key, and so of one input, come into one split."""
    named = [row.named() for row in rows]
    splits = assigned(sorted({row.key for row in named}), ratios, seed)
    return [replace(row, split=splits[name.key]) for row, name in zip(rows, named, strict=True)]
