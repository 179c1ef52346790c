"""What came of every export: the ingest ledger, read.

- `flows(project_id, range) -> list[Flow]`: the counts of each key and signal
- `series(project_id, range, *, buckets=120) -> list[FlowPoint]`: the same over time, of all keys and signals
- `reasons(project_id, range, *, limit=50) -> list[ReasonCount]`: why requests and items were refused
- `lag_series(project_id, range, *, buckets=120) -> list[LagPoint]`: seconds from a span's end until it was stored
- `clocks(project_id, range, *, limit=50) -> list[Clock]`: the lag of each service, and what hints at a wrong clock
- `uses(project_id) -> dict[int, KeyUse]`: when each key was used last, and for how much
- `sampling(project_id, range) -> Sampling`: how many traces tail sampling kept, of how many, and by which rule
- `usage(project_id, day, month) -> dict[int, Usage]`: what each key has used of its quotas

Spans are counted where they are stored (`ingest_stored_1m`); everything else is what the collectors counted and wrote,
at most some seconds ago. Ranges are widened to whole minutes.
"""

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

from heliograph.clickhouse import client
from heliograph.query.filters import TimeRange, put
from heliograph.query.overview import step_for
from heliograph.query.paging import check_limit

# A project has at most 200 keys that are not revoked, and three signals.
MAX_FLOWS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Requests, bytes, and items (spans, data points, log records) by what came of them."""

    requests: int = 0
    bytes: int = 0
    refused: int = 0
    accepted: int = 0
    rejected: int = 0
    duplicates: int = 0
    sampled: int = 0
    redacted: int = 0
    spooled: int = 0
    replayed: int = 0
    stored: int = 0
    dead: int = 0
    revived: int = 0

    @property
    def waiting(self) -> int:
        """Items that went to the spool in this time and did not leave it in this time."""
        return self.spooled - self.replayed

    @property
    def unaccounted(self) -> int:
        """Accepted items of which it is not known what came: 0 unless a process was killed or the time cuts a flow."""
        gone = self.stored + self.duplicates + self.sampled + self.dead
        return self.accepted + self.revived - gone - self.waiting


@dataclass(frozen=True, slots=True)
class Flow:
    """The counts of one key and signal; `key_id` 0 is no key."""

    key_id: int
    signal: str
    counts: Counts


@dataclass(frozen=True, slots=True)
class FlowPoint:
    """One bucket of time; `start_s` in epoch seconds."""

    start_s: int
    step_s: int
    counts: Counts


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """How many requests (`what` refused) or items (rejected) one reason cost."""

    what: str
    signal: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class LagPoint:
    """Lag in seconds of the spans stored in one bucket of time; None where none was."""

    start_s: int
    step_s: int
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None


@dataclass(frozen=True, slots=True)
class Clock:
    """The lag of one service's spans; `future` ended after they were stored, `late` over an hour before.

    `ahead_max_s` is by how much the sender's clock was ahead at least, 0 for not at all.
    """

    service: str
    spans: int
    p50_s: float | None
    p95_s: float | None
    future: int
    late: int
    ahead_max_s: float
    lag_max_s: float

    @property
    def p50_ns(self) -> float | None:
        """The median lag in nanoseconds."""
        return None if self.p50_s is None else self.p50_s * 1e9

    @property
    def p95_ns(self) -> float | None:
        """The lag of all but the slowest twentieth, in nanoseconds."""
        return None if self.p95_s is None else self.p95_s * 1e9

    @property
    def is_skewed(self) -> bool:
        """Whether the service's clock is ahead, which nothing else explains."""
        return self.future > 0


@dataclass(frozen=True, slots=True)
class KeyUse:
    """What one key did within the ledger's memory of 92 days; `last_used` to the minute."""

    last_used: datetime
    requests: int
    bytes: int
    accepted: int
    refused: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What one key has used of its quotas."""

    bytes_today: int
    spans_this_month: int


@dataclass(frozen=True, slots=True)
class Sampling:
    """What tail sampling decided: `kept` traces of `traces`, by rule; and how many spans it removed."""

    kept: int
    traces: int
    by_rule: dict[str, int]
    removed_spans: int


_WHATS = tuple(field.name for field in fields(Counts))
_SUMS = ", ".join(f"sumIf(e.n, e.what = '{what}') AS {what}" for what in _WHATS)
# Both tables as one: the collectors' counts, and the store's own of spans.
ENTRIES = """
(
    SELECT minute, key_id, signal, what, reason, n
    FROM ingest_ledger
    WHERE project_id = %(project_id)s AND minute >= %(start)s AND minute < %(end)s
    UNION ALL
    SELECT minute, key_id, 'traces' AS signal, 'stored' AS what, '' AS reason, toInt64(spans) AS n
    FROM ingest_stored_1m
    WHERE project_id = %(project_id)s AND minute >= %(start)s AND minute < %(end)s
) AS e
"""

FLOWS = """
SELECT e.key_id AS key_id, e.signal AS signal, {sums}
FROM {entries}
GROUP BY key_id, signal
ORDER BY accepted DESC, requests DESC, key_id, signal
LIMIT %(limit)s
"""

SERIES = """
SELECT intDiv(toUnixTimestamp(e.minute), %(step_s)s) * %(step_s)s AS start_s, {sums}
FROM {entries}
GROUP BY start_s
ORDER BY start_s
"""

SAMPLING = """
SELECT what, reason, sum(n) AS count
FROM ingest_ledger
WHERE project_id = %(project_id)s AND minute >= %(start)s AND minute < %(end)s
    AND what IN ('kept_traces', 'removed_traces', 'removed')
GROUP BY what, reason
"""

REASONS = """
SELECT what, signal, reason, sum(n) AS count
FROM ingest_ledger
WHERE project_id = %(project_id)s AND minute >= %(start)s AND minute < %(end)s AND what IN ('refused', 'rejected')
GROUP BY what, signal, reason
ORDER BY count DESC, what, signal, reason
LIMIT %(limit)s
"""

LAG = """
SELECT
    intDiv(toUnixTimestamp(minute), %(step_s)s) * %(step_s)s AS start_s,
    quantilesTDigestMerge(0.5, 0.95, 0.99)(lag) AS quantiles
FROM ingest_stored_1m
WHERE project_id = %(project_id)s AND minute >= %(start)s AND minute < %(end)s
GROUP BY start_s
ORDER BY start_s
"""

CLOCKS = """
SELECT
    c.service AS service,
    sum(c.spans) AS spans,
    quantilesTDigestMerge(0.5, 0.95, 0.99)(c.lag) AS quantiles,
    sum(c.future) AS future,
    sum(c.late) AS late,
    max(c.ahead_max) AS ahead_max_s,
    max(c.lag_max) AS lag_max_s
FROM ingest_stored_1m AS c
WHERE c.project_id = %(project_id)s AND c.minute >= %(start)s AND c.minute < %(end)s
GROUP BY service
ORDER BY future DESC, late DESC, spans DESC, service
LIMIT %(limit)s
"""

USES = """
SELECT
    key_id,
    maxIf(minute, what = 'requests') AS last_used,
    sumIf(n, what = 'requests') AS requests,
    sumIf(n, what = 'bytes') AS bytes,
    sumIf(n, what = 'accepted') AS accepted,
    sumIf(n, what = 'refused') AS refused
FROM ingest_ledger
WHERE project_id = %(project_id)s
GROUP BY key_id
HAVING requests > 0
"""

USAGE = """
SELECT
    key_id,
    sumIf(n, what = 'bytes' AND minute >= %(day)s) AS bytes_today,
    sumIf(n, what = 'accepted' AND signal = 'traces') AS spans_this_month
FROM ingest_ledger
WHERE project_id = %(project_id)s AND minute >= %(month)s AND what IN ('bytes', 'accepted')
GROUP BY key_id
"""


_FLOWS, _SERIES = (put(sql, sums=_SUMS, entries=ENTRIES) for sql in (FLOWS, SERIES))


def flows(project_id: int, span: TimeRange) -> list[Flow]:
    """Return the counts of each key and signal, most items first."""
    rows = client.query(project_id, _FLOWS, _between(span) | {"limit": MAX_FLOWS}, tag="ledger.flows")
    return [Flow(row.pop("key_id"), row.pop("signal"), Counts(**row)) for row in rows]


def series(project_id: int, span: TimeRange, *, buckets: int = 120) -> list[FlowPoint]:
    """Return the counts in time order, a point for every bucket."""
    step = step_for(span.whole_minutes(), buckets)
    rows = client.query(project_id, _SERIES, _between(span) | {"step_s": step}, tag="ledger.series")
    found = {row.pop("start_s"): Counts(**row) for row in rows}
    return [FlowPoint(at, step, found.get(at, Counts())) for at in _starts(span, step)]


def reasons(project_id: int, span: TimeRange, *, limit: int = 50) -> list[ReasonCount]:
    """Return why requests and items were refused, most frequent first."""
    check_limit(limit)
    rows = client.query(project_id, REASONS, _between(span) | {"limit": limit}, tag="ledger.reasons")
    return [ReasonCount(**row) for row in rows]


def lag_series(project_id: int, span: TimeRange, *, buckets: int = 120) -> list[LagPoint]:
    """Return the lag in time order, a point for every bucket."""
    step = step_for(span.whole_minutes(), buckets)
    rows = client.query(project_id, LAG, _between(span) | {"step_s": step}, tag="ledger.lag_series")
    found = {row["start_s"]: _quantiles(row["quantiles"]) for row in rows}
    return [LagPoint(at, step, *found.get(at, (None, None, None))) for at in _starts(span, step)]


def clocks(project_id: int, span: TimeRange, *, limit: int = 50) -> list[Clock]:
    """Return the lag of each service, those with a suspicious clock first."""
    check_limit(limit)
    rows = client.query(project_id, CLOCKS, _between(span) | {"limit": limit}, tag="ledger.clocks")
    answer = []
    for row in rows:
        p50, p95, _ = _quantiles(row.pop("quantiles"))
        answer.append(Clock(**row, p50_s=p50, p95_s=p95))
    return answer


def uses(project_id: int) -> dict[int, KeyUse]:
    """Return the use of each key by its id; a key that was not used has none."""
    rows = client.query(project_id, USES, tag="ledger.uses")
    return {row.pop("key_id"): KeyUse(**row) for row in rows}


def usage(project_id: int, day: datetime, month: datetime) -> dict[int, Usage]:
    """Return what each key used since the beginning of the day and of the month, by its id."""
    rows = client.query(project_id, USAGE, {"day": day, "month": month}, tag="ledger.usage")
    return {row.pop("key_id"): Usage(**row) for row in rows}


def _between(span: TimeRange) -> dict[str, Any]:
    whole = span.whole_minutes()
    return {"start": whole.start.astimezone(UTC), "end": whole.end.astimezone(UTC)}


def _starts(span: TimeRange, step: int) -> range:
    whole = span.whole_minutes()
    return range(whole.start_ns // 10**9 // step * step, whole.end_ns // 10**9, step)


def _quantiles(values: list[float]) -> tuple[float | None, float | None, float | None]:
    """The quantile of nothing is NaN in the store."""
    p50, p95, p99 = (None if value != value else float(value) for value in values)  # noqa: PLR0124  # the test for NaN
    return p50, p95, p99


def sampling(project_id: int, span: TimeRange) -> Sampling:
    """Return what tail sampling decided in a range, by the time of the decision. Raises StoreError."""
    rows = client.query(project_id, SAMPLING, _between(span), tag="ledger.sampling")
    by_rule = {row["reason"]: row["count"] for row in rows if row["what"] == "kept_traces"}
    sums = {what: sum(row["count"] for row in rows if row["what"] == what) for what in ("removed_traces", "removed")}
    kept = sum(by_rule.values())
    return Sampling(kept, kept + sums["removed_traces"], by_rule, sums["removed"])
