"""The only door to the store.

Times: a `DateTime64(9)` goes in and comes out as integer nanoseconds since the epoch; `DateTime('UTC')` and
`DateTime64(6, 'UTC')` come out as aware datetimes. As a parameter, bind nanoseconds as an integer and write
`fromUnixTimestamp64Nano(%(name)s, 'UTC')`: a bound datetime loses what is below the second. Failures leave as the
classes of `errors`.
"""

import re
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from datetime import date
from decimal import Decimal
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID

from clickhouse_driver import Client
from clickhouse_driver.errors import Error as DriverError
from django.conf import settings
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from heliograph import metrics
from heliograph.clickhouse.cluster import Topology
from heliograph.clickhouse.errors import StoreError, from_foreign
from heliograph.clickhouse.pool import Pool
from heliograph.clickhouse.prepared import Prepared

# A page's query ends by the server's own limit; the socket waits a little longer, so that the server can say why.
_RECEIVE_MARGIN_SECONDS = 15
# Merges and disk may make an insert slow; a writer should rather wait than send the same again.
_MIN_RECEIVE_SECONDS = 60
_OF_STORE = {"db.system.name": "clickhouse"}
# A page asks a dozen questions; one that takes this long is what a person waits for.
SLOW_SECONDS = 1.0
_tracer = trace.get_tracer("heliograph")
_TAG = re.compile(r"[a-z0-9_.]{1,100}")
# Text indexes cost more than the rest of an insert; left to the merges, they cost an insert nothing, and until then
# the small new parts are read without them.
_LATE_INDEXES = {"spans": "input_words,output_words", "log_records": "body_words", "contents": "words"}
# A question inside another one is answered by all shards, not by each for itself or by none; and what an INSERT ...
# SELECT stores is on the shards when it returns, not in a queue of the server that was asked.
_OVER_SHARDS = {"distributed_product_mode": "global", "distributed_foreground_insert": 1}
SCHEMA_DIR = Path(__file__).resolve().parent / "schema"
_TABLE = re.compile(r"^CREATE TABLE IF NOT EXISTS (\w+)", re.MULTILINE)
_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?")

Params = Mapping[str, Any]


class ProjectMissing(LookupError):  # noqa: N818  # the name is part of the contract in docs/architecture.md
    """A query does not bind %(project_id)s and would read every project."""


class TagMissing(LookupError):  # noqa: N818  # see ProjectMissing
    """A query does not say which question it is."""


# Another store than the installation's own, for as long as `at` says so.
_elsewhere: ContextVar[str | None] = ContextVar("elsewhere", default=None)
# Seconds without a word from the store; None for as long as any question may take.
_patience: ContextVar[float | None] = ContextVar("patience", default=None)


@cache
def _pool(url: str, query_seconds: int, patience: float | None = None) -> Pool:
    return Pool(url, patience or max(query_seconds, _MIN_RECEIVE_SECONDS) + _RECEIVE_MARGIN_SECONDS)


@contextmanager
def answered_within(seconds: float) -> Iterator[None]:
    """Take a store that is silent for longer as one that is away: everything inside then raises UnavailableError."""
    token = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(token)


@contextmanager
def at(url: str) -> Iterator[None]:
    """Ask the store at another address inside: for moving to it, before the settings name it."""
    token = _elsewhere.set(url)
    try:
        yield
    finally:
        _elsewhere.reset(token)


@contextmanager
def _connection() -> Iterator[Client]:
    """Lend a connection and turn what goes wrong on it into our errors."""
    try:
        url = _elsewhere.get() or settings.CLICKHOUSE_URL
        pool = _pool(url, settings.QUERY_TIMEOUT_SECONDS, _patience.get())
        with pool.connection() as client:
            yield client
    except StoreError:
        raise
    except (
        DriverError,
        EOFError,
        OSError,
        UnicodeError,
        struct.error,
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
    ) as error:
        raise from_foreign(error) from error


def _traced(tag: str) -> AbstractContextManager[object]:
    """Make a question a span of the trace that it is asked in; never the first of one: see `telemetry`."""
    if not trace.get_current_span().is_recording():
        return nullcontext()
    return _tracer.start_as_current_span(f"clickhouse {tag}", kind=SpanKind.CLIENT, attributes=_OF_STORE)


@contextmanager
def _timed(tag: str) -> Iterator[None]:
    """Count a question: how long it took, whether that was slow, and whether it failed; part of a trace, if any."""
    started = time.perf_counter()
    try:
        with _traced(tag):
            yield
    except Exception:
        metrics.store_failed_queries.add(1, {metrics.QUESTION: tag})
        raise
    finally:
        seconds = time.perf_counter() - started
        metrics.store_query_duration.record(seconds)
        if seconds > SLOW_SECONDS:
            metrics.store_slow_queries.add(1, {metrics.QUESTION: tag})


def _checked(params: Params) -> dict[str, Any]:
    """Return the parameters if clickhouse-driver escapes every one; it would write any other object as it prints."""
    plain = (str, int, float, Decimal, date, UUID)

    def check(name: str, value: object) -> None:
        if isinstance(value, (list, tuple, set, frozenset)):
            for item in value:
                check(name, item)
        elif value is not None and not isinstance(value, plain):
            raise TypeError(f"Parameter {name!r} is a {type(value).__name__}, which cannot be bound")

    for name, value in params.items():
        check(name, value)
    return {name: tuple(value) if isinstance(value, (set, frozenset)) else value for name, value in params.items()}


def _rendered(sql: str) -> list[str]:
    """Return the statements of one for the store that there is: with a cluster some become several."""
    return topology().render(sql, tables()) if settings.CLICKHOUSE_CLUSTER else [sql]


def topology() -> Topology:
    """Return what the store consists of, by the settings. Raises ValueError for settings that cannot be."""
    return Topology(settings.CLICKHOUSE_CLUSTER, settings.CLICKHOUSE_SHARDED)


def _limits(tag: str) -> dict[str, Any]:
    if not _TAG.fullmatch(tag):
        raise TagMissing(f"A query needs a tag such as 'traces.list', not {tag!r}")
    limits: dict[str, Any] = {
        "max_execution_time": settings.QUERY_TIMEOUT_SECONDS,
        "max_memory_usage": settings.QUERY_MEMORY_BYTES,
        "log_comment": tag,
    }
    return limits | _OVER_SHARDS if settings.CLICKHOUSE_SHARDED else limits


def _walled(project_id: int, sql: str, tag: str) -> dict[str, Any]:
    """Return the settings of a question about one project: its limits, and the second wall.

    The engine itself adds the condition wherever a table is read, in joins and inner queries too, so that a question
    that forgets to ask for its project there finds nothing of others (ADR 0053).
    """
    # A shard reads its own tables, under their own names.
    named = {name: None for table in _tables_in(sql) for name in (table, topology().local(table))}
    filters = ", ".join(f"'{name}': 'project_id = {int(project_id)}'" for name in named)
    return _limits(tag) | {"additional_table_filters": f"{{{filters}}}"}


@lru_cache(maxsize=2_000)
def _tables_in(sql: str) -> tuple[str, ...]:
    """Return the tables that a text may read; a name that is part of another word costs a filter that nothing uses."""
    return tuple(table for table in tables() if table in sql)


@cache
def tables() -> tuple[str, ...]:
    """Return the names of all tables of the schema; each has a column project_id, which a test checks."""
    found = (_TABLE.findall(path.read_text(encoding="utf-8")) for path in sorted(SCHEMA_DIR.glob("*.sql")))
    return tuple(sorted({table for names in found for table in names}))


def _scoped(project_id: int, sql: str, params: Params | None) -> dict[str, Any]:
    if "%(project_id)s" not in sql:
        raise ProjectMissing("The SQL must bind %(project_id)s")
    if params and "project_id" in params:
        raise ProjectMissing("project_id is bound from the first argument, not from params")
    return _checked({**(params or {}), "project_id": int(project_id)})


def query(project_id: int, sql: str, params: Params | None = None, *, tag: str) -> list[dict[str, Any]]:
    """Return the rows of one question about one project, as dicts by column name.

    `%(name)s` in the SQL is bound from `params`, `%(project_id)s` from the argument; a literal percent sign is `%%`.
    `tag` names the question in the query log. Raises StoreError, ProjectMissing, TagMissing.
    """
    bound, limits = _scoped(project_id, sql, params), _walled(project_id, sql, tag)
    with _timed(tag), _connection() as client:
        for statement in _rendered(sql):
            rows, columns = client.execute(statement, bound, with_column_types=True, settings=limits)
    names = [name for name, _ in columns]
    return [dict(zip(names, row, strict=True)) for row in rows]


def query_columns(project_id: int, sql: str, params: Params | None = None, *, tag: str) -> dict[str, Sequence[Any]]:
    """Return what `query` returns by column instead of by row: cheaper for thousands of rows."""
    bound, limits = _scoped(project_id, sql, params), _walled(project_id, sql, tag)
    with _timed(tag), _connection() as client:
        data, columns = client.execute(sql, bound, with_column_types=True, columnar=True, settings=limits)
    return {name: data[position] if data else () for position, (name, _) in enumerate(columns)}


def _insert_settings(table: str, token: str, *, despite_views: bool = False) -> dict[str, Any]:
    # Acknowledged must mean stored, whatever the server's default for asynchronous inserts is. One insert may hold
    # years of weeks when somebody sends history: a limit on partitions would refuse everybody's rows in it.
    chosen: dict[str, Any] = {
        "async_insert": 0,
        "max_partitions_per_insert_block": 0,
        "log_comment": f"insert.{table}",
    }
    if table in _LATE_INDEXES:
        chosen["exclude_materialize_skip_indexes_on_insert"] = _LATE_INDEXES[table]
    if token:
        chosen |= {"insert_deduplication_token": token, "deduplicate_blocks_in_dependent_materialized_views": 1}
    if settings.CLICKHOUSE_SHARDED:
        chosen |= _OVER_SHARDS
    if despite_views:
        chosen["materialized_views_ignore_errors"] = 1
    return chosen


def insert(
    table: str,
    columns: Mapping[str, Sequence[Any]],
    *,
    token: str = "",
    prepared: Prepared | None = None,
    despite_views: bool = False,
) -> None:
    """Store rows given by column, all of one length; returns when they are stored.

    `prepared` is what `prepare` made of the same columns beforehand. With `despite_views`, a materialized view that
    refuses the rows goes without them, and the table and its other views have them.

    Raises Retryable or Permanent; after a Retryable it is not known whether the rows were stored. Sent again with the
    same `token`, only what is missing is added, in the table and in each materialized view on its own; that holds for
    tables with a deduplication window (see their SETTINGS).
    """
    lengths = {len(values) for values in columns.values()}
    if lengths in (set(), {0}):
        return
    if len(lengths) > 1:
        raise ValueError(f"Columns of different lengths for {table}: { {n: len(v) for n, v in columns.items()} }")
    for name in (table, *columns):
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a name of a table or column")
    names = ", ".join(f"`{name}`" for name in columns)
    sql = f"INSERT INTO {table} ({names}) VALUES"
    values = prepared or [column if isinstance(column, (list, tuple)) else list(column) for column in columns.values()]
    with _traced(f"insert.{table}"), _connection() as client:
        client.execute(sql, values, columnar=True, settings=_insert_settings(table, token, despite_views=despite_views))


def ping() -> None:
    """Return if the store answers; raise Retryable if not."""
    with _connection() as client:
        client.execute("SELECT 1", settings=_limits("ping"))


def execute_unscoped(sql: str, params: Params | None = None, *, tag: str = "unscoped") -> list[dict[str, Any]]:
    """Run any statement, without a project and without limits: for migrations, health and maintenance only."""
    bound = _checked(params) if params else None
    limits = {"log_comment": tag} | (_OVER_SHARDS if settings.CLICKHOUSE_SHARDED else {})
    with _timed(tag), _connection() as client:
        for statement in _rendered(sql):
            rows, columns = client.execute(statement, bound, with_column_types=True, settings=limits)
    names = [name for name, _ in columns]
    return [dict(zip(names, row, strict=True)) for row in rows]


def close_connections() -> None:
    """Close this process's idle connections to the store."""
    _pool(settings.CLICKHOUSE_URL, settings.QUERY_TIMEOUT_SECONDS).close()
