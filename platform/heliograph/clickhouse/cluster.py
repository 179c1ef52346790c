"""One statement, as it is for one server, for a server with replicas, or for shards with replicas.

The schema's files and the statements of the program are written for one server. With the name of a cluster they go to
all of its servers (`ON CLUSTER`), and tables are replicated. With shards, a table `t` is two: `t_local` holds the rows
of a shard, `t` is Distributed over them and is what everybody reads and inserts into. So what reads or inserts stays as
it is, and what changes a table's shape or rows is turned to `t_local`.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

LOCAL = "_local"
# The usual macros of a server's configuration; {uuid} is the table's own, so a name may be used again after a drop.
_REPLICA_PATH = "'/clickhouse/tables/{uuid}/{shard}', '{replica}'"
# Every server has all of it, whatever its shard.
_EVERYWHERE = frozenset({"schema_migrations"})
_REPLICA_PATH_EVERYWHERE = "'/clickhouse/tables/{uuid}/all', '{replica}'"
# A server forgets tokens after an hour; what waits in a spool may be sent again days later.
_TOKEN_SECONDS = 7 * 86_400

# By what each table's rows are spread. A trace's rows stand on one shard, so that a trace is read and summed up by one
# server. What a materialized view adds stays on the shard of the row that it was made of; sums of one key may then
# stand on several, as they do in several parts, and each reader adds them up. A row that replaces another one has to
# follow it to its shard: the key is of columns of the table's order, or, as a record's trace, of what never changes.
SHARD_BY: dict[str, str] = {
    "spans": "cityHash64(trace_id)",
    "traces": "cityHash64(trace_id)",
    "trace_states": "cityHash64(trace_id)",
    "subject_traces": "cityHash64(trace_id)",
    # Beside their trace where they have one; else spread by what they have, or all of them were on one shard.
    "attributions": "cityHash64(if(trace_id != '', trace_id, toString(gpu_uuid)))",
    "scores": "cityHash64(if(trace_id != '', trace_id, score_id))",
    "log_records": "cityHash64(if(trace_id != '', trace_id, toString(record_id)))",
    # A series is read as a whole, and is a hash already.
    "metric_points": "series",
    "metric_rollups_1m": "series",
    "gpu_processes": "series",
    # What a GPU is and did: asked by host and GPU.
    "gpu_devices": "cityHash64(host, gpu_uuid)",
    "gpu_rollups_1m": "cityHash64(host, gpu_uuid)",
    "gpu_events": "cityHash64(host, gpu_uuid)",
    "attribution_windows": "cityHash64(gpu_uuid)",
    # Few rows: a minute's together.
    "attribution_unplaced": "cityHash64(project_id, minute)",
    # Sums of many traces. Views fill them where the spans are; what is derived again comes by the minute or its like.
    "span_rollups_1m": "cityHash64(project_id, minute)",
    "span_rollups_removed": "cityHash64(project_id, minute)",
    "served_models": "cityHash64(project_id, service)",
    "prompt_versions_1h": "cityHash64(project_id, prompt_name)",
    "subject_hours": "cityHash64(project_id, kind, id)",
    "ingest_ledger": "cityHash64(project_id, key_id)",
    "ingest_stored_1m": "cityHash64(project_id, key_id)",
    # Read by the hash; written again, a text replaces itself.
    "contents": "cityHash64(hash)",
    # Found by the response that they wait for.
    "pending_scores": "cityHash64(response_id)",
    # A working table of re-applied mapping rules, one a project (see `_family`).
    "remap_traces": "cityHash64(trace_id)",
}

_CLUSTER = re.compile(r"[\w.-]+|\{\w+\}")
_CREATE_TABLE = re.compile(r"CREATE TABLE (IF NOT EXISTS )?(\w+)")
_CREATE_VIEW = re.compile(r"CREATE MATERIALIZED VIEW (IF NOT EXISTS )?(\w+) TO (\w+)")
_CREATE_POLICY = re.compile(r"CREATE ROW POLICY (IF NOT EXISTS )?(\w+) ON (\w+)")
_ALTER = re.compile(r"ALTER TABLE (\w+)")
_DELETE = re.compile(r"DELETE FROM (\w+)")
_REST = re.compile(r"(TRUNCATE TABLE|OPTIMIZE TABLE|DROP TABLE|DROP VIEW)( IF EXISTS)? (\w+)")
_ENGINE = re.compile(r"\bENGINE = (\w*MergeTree)(?:\(([^()]*)\))?")
_AS_TABLE = re.compile(r"\bAS (\w+)\s*\Z")
_FROM = re.compile(r"\b(FROM|JOIN)(\s+)(\w+)\b(?!\s*\()")
_WINDOW = re.compile(r"non_replicated_deduplication_window = (\d+)")
_OF_COLUMNS = re.compile(r"(ADD|MODIFY|DROP|RENAME|COMMENT) COLUMN\b")
_PARTITION_FROM = re.compile(r"\b((?:ATTACH|REPLACE) PARTITION\b.*?\bFROM )(\w+)", re.DOTALL)
_TO_TABLE = re.compile(r"\b(MOVE PARTITION\b.*?\bTO TABLE )(\w+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Topology:
    """What the store consists of: `cluster` is '' for one server, else the name that `ON CLUSTER` takes."""

    cluster: str = ""
    is_sharded: bool = False

    def __post_init__(self) -> None:
        if self.cluster and not _CLUSTER.fullmatch(self.cluster):
            raise ValueError(
                f"{self.cluster!r} is not a name of a cluster: letters, digits, _ . - or the macro {{cluster}}"
            )
        if self.is_sharded and not self.cluster:
            raise ValueError("HELIOGRAPH_CLICKHOUSE_SHARDED needs HELIOGRAPH_CLICKHOUSE_CLUSTER, the cluster's name")

    def render(self, statement: str, tables: Collection[str]) -> list[str]:
        """Return the statements that do on this store what one does on one server.

        `tables` are the names of tables, not views, that an ALTER or a view may name. Raises ValueError for a table
        whose rows have no key to be spread by.
        """
        if not self.cluster:
            return [statement]
        text = statement.lstrip()
        rules: tuple[tuple[re.Pattern[str], Callable[[str, re.Match[str], Collection[str]], list[str]]], ...] = (
            (_CREATE_TABLE, self._create_table),
            (_CREATE_VIEW, self._create_view),
            (_CREATE_POLICY, self._create_policy),
            (_ALTER, self._alter),
            (_DELETE, self._delete),
            (_REST, self._rest),
        )
        for pattern, rule in rules:
            if match := pattern.match(text):
                return rule(text, match, tables)
        return [statement]

    @property
    def _everywhere(self) -> str:
        return f"ON CLUSTER '{self.cluster}'"

    def local(self, table: str) -> str:
        """Return the name of the table that holds a table's rows on each server."""
        return f"{table}{LOCAL}" if self.is_sharded and table not in _EVERYWHERE else table

    def _create_table(self, text: str, match: re.Match[str], _: Collection[str]) -> list[str]:
        table = match[2]
        rest = text[match.end() :]
        as_table = _AS_TABLE.search(rest)
        if as_table:
            # It has the engine of the other one, whose path holds {uuid} and so is another for each.
            rest = f"{rest[: as_table.start(1)]}{self.local(as_table[1])}"
        else:
            rest = self._settings(_ENGINE.sub(lambda engine: self._engine(engine, table), rest, count=1))
        head = f"CREATE TABLE {match[1] or ''}"
        made = [f"{head}{self.local(table)} {self._everywhere}{rest}"]
        if self.local(table) != table:
            key = SHARD_BY.get(_family(table)) or (SHARD_BY.get(as_table[1]) if as_table else None)
            if key is None:
                raise ValueError(f"{table} has no key in SHARD_BY: by what are its rows spread over the shards?")
            made.append(
                f"{head}{table} {self._everywhere} AS {self.local(table)}\n"
                f"ENGINE = Distributed('{self.cluster}', currentDatabase(), '{self.local(table)}', {key})"
            )
        return made

    def _engine(self, match: re.Match[str], table: str) -> str:
        path = _REPLICA_PATH_EVERYWHERE if table in _EVERYWHERE else _REPLICA_PATH
        return f"ENGINE = Replicated{match[1]}({path}{', ' + match[2] if match[2] else ''})"

    def _settings(self, rest: str) -> str:
        """Give a replicated table the memory for repeated blocks that it has on one server: that, or none."""
        seconds = f"replicated_deduplication_window_seconds = {_TOKEN_SECONDS}"
        rest, found = _WINDOW.subn(rf"replicated_deduplication_window = \1, {seconds}", rest)
        if found:
            return rest
        none = "replicated_deduplication_window = 0"
        return f"{rest}, {none}" if re.search(r"^SETTINGS\b", rest, re.MULTILINE) else f"{rest}\nSETTINGS {none}"

    def _create_view(self, text: str, match: re.Match[str], tables: Collection[str]) -> list[str]:
        select = self._from_local(text[match.end() :], tables)
        view = f"CREATE MATERIALIZED VIEW {match[1] or ''}{match[2]} {self._everywhere}"
        return [f"{view} TO {self.local(match[3])}{select}"]

    def _create_policy(self, text: str, match: re.Match[str], _: Collection[str]) -> list[str]:
        head = f"CREATE ROW POLICY {match[1] or ''}{match[2]} {self._everywhere} ON "
        # Both: who may not read a row reads it through neither.
        return [f"{head}{name}{text[match.end() :]}" for name in dict.fromkeys((match[3], self.local(match[3])))]

    def _from_local(self, select: str, tables: Collection[str]) -> str:
        """Turn the tables that a view reads to those of its shard: it is set off by what is stored there."""
        return _FROM.sub(
            lambda match: f"{match[1]}{match[2]}{self.local(match[3]) if match[3] in tables else match[3]}", select
        )

    def _alter(self, text: str, match: re.Match[str], tables: Collection[str]) -> list[str]:
        name, rest = match[1], text[match.end() :]
        if name not in tables:  # a view, which each server has under its own name
            return [f"ALTER TABLE {name} {self._everywhere}{self._from_local(rest, tables)}"]
        for pattern in (_PARTITION_FROM, _TO_TABLE):
            rest = pattern.sub(lambda found: f"{found[1]}{self.local(found[2])}", rest)
        made = [f"ALTER TABLE {self.local(name)} {self._everywhere}{rest}"]
        of_columns = [part for part in outer_parts(rest) if _OF_COLUMNS.match(_bare(part))]
        if self.local(name) != name and of_columns:
            # The Distributed table has columns, and nothing else of it.
            made.append(f"ALTER TABLE {name} {self._everywhere}\n    " + ",\n    ".join(map(_bare, of_columns)))
        return made

    def _delete(self, text: str, match: re.Match[str], _: Collection[str]) -> list[str]:
        # Replicas tell each other of a deletion; only shards have to be told each.
        where = f" {self._everywhere}" if self.is_sharded else ""
        return [f"DELETE FROM {self.local(match[1])}{where}{text[match.end() :]}"]  # noqa: S608  (our own statement)

    def _rest(self, text: str, match: re.Match[str], _: Collection[str]) -> list[str]:
        what, exists, name, rest = match[1], match[2] or "", match[3], text[match.end() :]
        names = [name] if what == "DROP VIEW" else [self.local(name)]
        if what == "DROP TABLE":
            names = list(dict.fromkeys((name, self.local(name))))  # first what reads the other
        return [f"{what}{exists} {each} {self._everywhere}{rest}" for each in names]


def _family(table: str) -> str:
    """Return a table's name without the project's number that a working table ends in."""
    return re.sub(r"_\d+\Z", "", table)


def outer_parts(text: str) -> list[str]:
    """Split the commands of an ALTER, or what a list of expressions has, at the commas between them."""
    parts, depth, start = [], 0, 0
    for token in re.finditer(r"--[^\n]*|'(?:[^'\\]|\\.)*'|[(),]", text):
        if token[0] == "(":
            depth += 1
        elif token[0] == ")":
            depth -= 1
        elif token[0] == "," and not depth:
            parts.append(text[start : token.start()])
            start = token.end()
    return [*parts, text[start:]]


def _bare(command: str) -> str:
    """Return a command without the comments around it."""
    return re.sub(r"--[^\n]*", "", command).strip()
