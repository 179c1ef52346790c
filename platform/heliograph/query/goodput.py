"""Goodput: requests, and their tokens, that met every limit of a service level, a second.

- `goodput(project_id, filter, slo) -> Goodput`
- `over_time(project_id, filter, slo, *, buckets=60) -> list[GoodputPoint]`

A request that failed or was aborted misses. One whose limits are met counts, its tokens too. A request of one output
token has no time per further token and is exempt from that limit only. One that lacks what a limit needs is judged by
nobody: it is counted apart and is in no share. https://arxiv.org/abs/2401.09670 (DistServe) for the term.
"""

from dataclasses import dataclass
from typing import Any

from heliograph.clickhouse import client
from heliograph.query.filters import InvalidFilterError, SpanFilter, put
from heliograph.query.overview import step_for
from heliograph.query.scores import wilson_interval

# MLPerf inference v5.0, the interactive limits of Llama 2 70B: the 99th percentile of a run must meet them.
TTFT_MS, TPOT_MS = 450.0, 40.0

_JUDGED = """
    SELECT start_time, ifNull(output_tokens, 0) AS tokens, status = 'error' AS is_failed,
        if(output_tokens > 1, coalesce(decode_ns, duration_ns - ttft_ns) / (output_tokens - 1), NULL) AS tpot_ns,
        (%(ttft_ns)s = 0 OR ttft_ns IS NOT NULL)
            AND (%(tpot_ns)s = 0 OR output_tokens = 1 OR tpot_ns IS NOT NULL)
            AND (%(e2e_ns)s = 0 OR duration_ns IS NOT NULL) AS is_known,
        (%(ttft_ns)s = 0 OR ttft_ns <= %(ttft_ns)s)
            AND (%(tpot_ns)s = 0 OR output_tokens = 1 OR tpot_ns <= %(tpot_ns)s)
            AND (%(e2e_ns)s = 0 OR duration_ns <= %(e2e_ns)s) AS is_met
    FROM spans
    WHERE project_id = %(project_id)s AND {where} AND kind = 'llm' AND usage_counted"""

TOTAL = """
SELECT {start} AS start_s, count() AS requests, countIf(is_failed) AS failed,
    countIf(NOT is_failed AND NOT is_known) AS unjudged, countIf(NOT is_failed AND is_known AND is_met) AS good,
    sumIf(tokens, NOT is_failed AND is_known AND is_met) AS good_tokens
FROM ({judged})
GROUP BY start_s
ORDER BY start_s
"""


@dataclass(frozen=True, slots=True)
class Slo:
    """Limits in milliseconds; None is no limit. Raises InvalidFilterError without any, or for one not above 0."""

    ttft_ms: float | None = TTFT_MS
    tpot_ms: float | None = TPOT_MS
    e2e_ms: float | None = None

    def __post_init__(self) -> None:
        limits = {"ttft_ms": self.ttft_ms, "tpot_ms": self.tpot_ms, "e2e_ms": self.e2e_ms}
        for name, limit in limits.items():
            if limit is not None and not 0 < limit <= 1e9:
                raise InvalidFilterError(name, "must be above 0 and at most 1,000,000,000 ms")
        if all(limit is None for limit in limits.values()):
            raise InvalidFilterError("ttft_ms", "state a limit at least")


@dataclass(frozen=True, slots=True, kw_only=True)
class Goodput:
    """`attainment` is the share of the judged requests that met the limits, with Wilson's 95 % interval; None where
    none was judged. Failed requests are judged, and miss; `unjudged` lack a time that a limit needs."""

    requests: int
    judged: int
    good: int
    failed: int
    unjudged: int
    seconds: float
    good_requests_per_s: float
    good_tokens_per_s: float
    attainment: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class GoodputPoint:
    """One bucket of time; `start_s` in epoch seconds."""

    start_s: int
    goodput: Goodput


def goodput(project_id: int, chosen: SpanFilter, slo: Slo) -> Goodput:
    """Return the goodput of the range."""
    rows = _rows(project_id, chosen, slo, "0", {})
    return _of(rows[0], chosen.range.seconds) if rows else _of(_NOTHING, chosen.range.seconds)


def over_time(project_id: int, chosen: SpanFilter, slo: Slo, *, buckets: int = 60) -> list[GoodputPoint]:
    """Return the goodput of each bucket with a request, in time order. Raises InvalidFilterError for too many."""
    step = step_for(chosen.range, buckets)
    start = "intDiv(toUnixTimestamp(start_time), %(step_s)s) * %(step_s)s"
    rows = _rows(project_id, chosen, slo, start, {"step_s": step})
    return [GoodputPoint(row["start_s"], _of(row, step)) for row in rows]


_NOTHING = dict.fromkeys(("requests", "failed", "unjudged", "good", "good_tokens"), 0)


def _rows(project_id: int, chosen: SpanFilter, slo: Slo, start: str, more: dict[str, Any]) -> list[dict[str, Any]]:
    where, parameters = chosen.where()
    limits = {"ttft_ns": slo.ttft_ms, "tpot_ns": slo.tpot_ms, "e2e_ns": slo.e2e_ms}
    asked = {**parameters, **more, **{name: (limit or 0) * 1e6 for name, limit in limits.items()}}
    sql = put(put(TOTAL, judged=_JUDGED, start=start), where=where)
    return client.query(project_id, sql, asked, tag="goodput")


def _of(row: dict[str, Any], seconds: float) -> Goodput:
    judged = row["requests"] - row["unjudged"]
    low, high = wilson_interval(row["good"], judged) if judged else (None, None)
    return Goodput(
        requests=row["requests"],
        judged=judged,
        good=row["good"],
        failed=row["failed"],
        unjudged=row["unjudged"],
        seconds=seconds,
        good_requests_per_s=row["good"] / seconds,
        good_tokens_per_s=row["good_tokens"] / seconds,
        attainment=row["good"] / judged if judged else None,
        low=low,
        high=high,
    )
