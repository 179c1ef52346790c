"""`python benchmarks/ingest_engine.py`: where the engine's CPU goes when a group of spans is stored.

10,000 spans as `benchmarks/ingest.py` makes them, of 4 KB, go through a store and a collector once. The block that was
stored then goes into the engine alone again and again: into a table that keeps nothing (parsing), into `spans` without
compression, with it, and with the level that texts had before schema 0064; then into `spans` with one materialized view
at a time and with all of them; the rollup also behind a table that keeps nothing, with both of its projections, without
that of schema 0065, and with none. Beside it the block of long texts that goes into `contents`. The same with blocks of
one row says what an insert costs whatever its size. Last what the store asks the engine before it answers a write (ADR
0076).

The cases take turns, so that a machine's load falls on all of them alike: compare them with each other, and not with
another run. Merges stand still. CPU seconds are of all of the engine's threads; the figures are medians.
"""

import argparse
import random
import re
import resource
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import chdb

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.ingest import Stack, request_of, run_load  # after the path
from heliograph.clickhouse.embedded.failed_writes import COUNTED  # as above

ROWS = 10_000
SPANS = 100
# What schema 0064 compresses at level 1.
TEXTS = ("input", "output", "documents", "tools", "attributes", "resource")
# As `heliograph.clickhouse.client` inserts.
SETTINGS = (
    "max_partitions_per_insert_block = 0, deduplicate_blocks_in_dependent_materialized_views = 1, "
    "exclude_materialize_skip_indexes_on_insert = 'input_words,output_words,words'"
)
# Blocks of one row are cheap, and what is told apart among them is small.
SMALL_ROUNDS = 4
CHECKS = 500
ROLLUP = "span_rollups_1m_from_spans"
# What is left out of each.
ROLLUPS: dict[str, tuple[str, ...]] = {
    "rollup_with_both": (),
    "rollup_without_0065": ("quarters_of_kinds",),
    "rollup_with_none": ("quarters_of_kinds", "hours"),
}
_tokens = count(1)


def _reading(select: str, table: str) -> str:
    """Return a view's query of another table than `spans`."""
    return re.sub(r"FROM heliograph\.spans\b", f"FROM heliograph.{table}", select)


def cpu_seconds() -> float:
    """Return this process's CPU seconds so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def store_once(folder: Path, characters: int) -> int:
    """Send 10,000 spans through a store and a collector; return their project."""
    stack = Stack(folder)
    try:
        stack.start()
        tenant = next(stack.tenants)
        generator = random.Random(1)
        bodies = [request_of(generator, SPANS, characters) for _ in range(ROWS // SPANS)]
        load, _ = run_load(stack, tenant, bodies, 100)
        assert load.answers == {200: len(bodies)}, load.answers
        return tenant.id
    finally:
        stack.stop()


class Parts:
    """The engine alone, with a copy of `spans` for each case."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._engine = chdb.connect(str(folder / "store"))  # type: ignore[no-untyped-call]  # typed in parts only
        self._engine.query("USE heliograph")
        self._engine.query("SYSTEM STOP MERGES")

    def rows(self, sql: str) -> list[str]:
        """Return a question's rows of one column."""
        return self._engine.query(sql, "TSVRaw").bytes().decode().splitlines()  # type: ignore[no-any-return]  # as above

    def export(self, table: str, project: int, rows: int) -> Path:
        """Write what was stored as one block, and return where."""
        path = self._folder / f"{table}-{rows}.native"
        sql = f"SELECT * FROM {table} WHERE project_id = {project} LIMIT {rows}"
        self._engine.query(f"{sql} INTO OUTFILE '{path}' FORMAT Native")
        return path

    def views(self) -> dict[str, tuple[str, str]]:
        """Return what fills from `spans`, by name: the query, and the table that it fills."""
        found = {}
        where = (
            "engine = 'MaterializedView' AND database = 'heliograph' AND match(as_select, 'FROM heliograph.spans\\\\b')"
        )
        for name in self.rows(f"SELECT name FROM system.tables WHERE {where} ORDER BY name"):
            [select] = self.rows(f"SELECT replaceAll(as_select, '\\n', ' ') FROM system.tables WHERE name = '{name}'")
            [create] = self.rows(
                f"SELECT replaceAll(create_table_query, '\\n', ' ') FROM system.tables WHERE name = '{name}'"
            )
            target = re.search(r" TO heliograph\.(\w+)", create)
            assert target
            found[name] = select, target[1]
        return found

    def cases(self) -> Iterator[str]:
        """Make the tables, and yield their names."""
        self._engine.query("CREATE TABLE parsing AS spans ENGINE = Null")
        yield "parsing"
        for name in ("uncompressed", "level_3", "spans_alone", "spans_all"):
            self._engine.query(f"CREATE TABLE {name} AS spans")
        columns = self.rows("SELECT name FROM system.columns WHERE database = 'heliograph' AND table = 'spans'")
        for name, codec, of in (("uncompressed", "NONE", columns), ("level_3", "ZSTD(3)", TEXTS)):
            changes = ", ".join(f"MODIFY COLUMN `{column}` CODEC({codec})" for column in of)
            self._engine.query(f"ALTER TABLE {name} {changes}")
            yield name
        yield "spans_alone"
        for view, (select, target) in self.views().items():
            self._engine.query(f"CREATE TABLE with_{view} AS spans")
            for table in (f"with_{view}", "spans_all"):
                query = _reading(select, table)
                self._engine.query(f"CREATE MATERIALIZED VIEW of_{table}_{view} TO {target} AS {query}")
            yield f"with_{view}"
        yield "spans_all"
        yield from self.rollups()

    def rollups(self) -> Iterator[str]:
        """Make the tables of the rollup alone, and yield their names."""
        select, target = self.views()[ROLLUP]
        for name, projections in ROLLUPS.items():
            self._engine.query(f"CREATE TABLE of_{name} AS {target}")
            for projection in projections:
                self._engine.query(f"ALTER TABLE of_{name} DROP PROJECTION {projection}")
            self._engine.query(f"CREATE TABLE {name} AS spans ENGINE = Null")
            self._engine.query(f"CREATE MATERIALIZED VIEW {name}_view TO of_{name} AS {_reading(select, name)}")
            yield name

    def insert(self, table: str, block: Path) -> float:
        """Insert a block under a new token; return CPU seconds."""
        before = cpu_seconds()
        settings = f"{SETTINGS}, insert_deduplication_token = '{next(_tokens)}'"
        self._engine.query(f"INSERT INTO {table} FROM INFILE '{block}' SETTINGS {settings} FORMAT Native")
        return cpu_seconds() - before

    def check(self) -> float:
        """Return the CPU seconds of asking once for refused writes."""
        before = cpu_seconds()
        for _ in range(CHECKS):
            self._engine.query(COUNTED, "TSVRaw").bytes()
        return (cpu_seconds() - before) / CHECKS

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()


def print_parts(title: str, used: dict[str, float], per: float, unit: str) -> None:
    """Print each case as what it adds to the one before it, in thousandths of a CPU second."""
    lines = {}
    if "spans_alone" in used:
        alone = used["spans_alone"]
        lines = {
            "parsing the block": used["parsing"],
            "sorting, indexes, writing": used["uncompressed"] - used["parsing"],
            "compression": alone - used["uncompressed"],
            "texts at level 3 instead of 1": used["level_3"] - alone,
            **{name.removeprefix("with_"): value - alone for name, value in used.items() if name.startswith("with_")},
            "spans with all views": used["spans_all"],
            "contents": used["contents"],
        }
    none = used["rollup_with_none"]
    lines |= {
        "parsing and rollup, no projection": none,
        "its projection of hours": used["rollup_without_0065"] - none,
        "its projection of quarters (0065)": used["rollup_with_both"] - used["rollup_without_0065"],
    }
    print(f"\n{title}")
    for name, seconds in lines.items():
        print(f"{name:<36} {seconds * per:8.2f} {unit}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="inserts of each kind (default: 5)")
    parser.add_argument("--rollup", action="store_true", help="only the rollup, with its projections and without")
    parser.add_argument("--characters", type=int, default=3_300, help="of text a span; the default makes 4 KB in all")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="heliograph-engine-"))
    try:
        project = store_once(folder, options.characters)
        parts = Parts(folder)
        blocks: dict[int, dict[str, Path]] = {
            rows: {table: parts.export(table, project, rows) for table in ("spans", "contents")} for rows in (ROWS, 1)
        }
        tables = list(parts.rollups()) if options.rollup else [*parts.cases(), "contents"]
        taken: dict[int, dict[str, list[float]]] = {rows: {table: [] for table in tables} for rows in blocks}
        for round_ in range(options.rounds + 1):
            for rows, of_rows in blocks.items():
                for _ in range(SMALL_ROUNDS if rows == 1 else 1):
                    for table in tables:
                        seconds = parts.insert(table, of_rows["contents" if table == "contents" else "spans"])
                        # The first round warms caches.
                        if round_:
                            taken[rows][table].append(seconds)
        used = {
            rows: {table: statistics.median(seconds) for table, seconds in of_tables.items()}
            for rows, of_tables in taken.items()
        }
        check = parts.check()
        [disk] = parts.rows("SELECT sum(bytes_on_disk) / sum(rows) FROM system.parts WHERE active AND table = 'spans'")
        parts.close()
    finally:
        shutil.rmtree(folder)
    print(f"{options.rounds} rounds; {float(disk):,.0f} bytes on disk a span")
    print_parts(f"a block of {ROWS:,} spans", used[ROWS], 1e6 / ROWS, "ms per 1,000 spans")
    print_parts("a block of one span", used[1], 1e3, "ms an insert")
    print(f"\nasking for refused writes            {check * 1e3:8.2f} ms a statement that writes")


if __name__ == "__main__":
    main()
