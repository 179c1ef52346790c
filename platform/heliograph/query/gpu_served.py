"""The requests that a GPU worked on, longest first, and what was slow in a stretch of time.

- `requests_on(project_id, gpu_uuid, range, *, limit=20) -> list[ServedRequest]`: by what each took of the GPU
- `slowest_on(project_id, gpu_uuid, range, *, limit=20) -> list[SlowCall]`: the longest of these
- `slowest(project_id, filter, *, limit=20) -> list[SlowCall]`: the longest spans that match, for "what was slow then"

What a GPU served is told by the attribution job (docs/attribution.md), some minutes after it happened.
"""

from dataclasses import dataclass
from datetime import timedelta

from heliograph.clickhouse import client
from heliograph.query.attribution import COMMITTED, between_minutes
from heliograph.query.filters import InvalidFilterError, SpanFilter, TimeRange, put
from heliograph.query.paging import check_limit

# A month of a request in each second is what attribution itself answers for.
MAX_RANGE = timedelta(days=31)
# A peak is minutes wide; the narrow columns of an hour of a thousand spans a second are read in a second.
MAX_SLOW_RANGE = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedRequest:
    """One request and its share of one GPU in the range. `strength` is how it was joined to the GPU."""

    trace_id: str
    span_id: str
    first_minute_s: int
    service: str
    model: str
    adapter: str
    user_id: str
    tenant: str
    strength: str
    gpu_seconds: float
    joules: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowCall:
    """One span that took long; durations in ns, None where not reported."""

    trace_id: str
    span_id: str
    start_ns: int
    duration_ns: int
    ttft_ns: int | None
    queue_ns: int | None
    output_tokens: int | None
    service: str
    name: str
    kind: str
    status: str
    model: str
    adapter: str
    host: str

    @property
    def tpot_ns(self) -> float | None:
        """Time per output token after the first; None for one token, or where either time is not known."""
        if self.ttft_ns is None or self.output_tokens is None or self.output_tokens < 2:
            return None
        return (self.duration_ns - self.ttft_ns) / (self.output_tokens - 1)


REQUESTS = """
SELECT trace_id, span_id, toUnixTimestamp(min(minute)) AS first_minute_s, any(a.service) AS service,
    any(a.model) AS model, any(a.adapter) AS adapter, any(a.user_id) AS user_id, any(a.tenant) AS tenant,
    any(a.strength) AS strength, sum(a.gpu_seconds) AS gpu_seconds, sum(a.joules) AS joules
FROM attributions AS a
WHERE {committed} AND gpu_uuid = %(gpu_uuid)s AND span_id != ''
GROUP BY trace_id, span_id
ORDER BY gpu_seconds DESC, trace_id, span_id
LIMIT %(limit)s
"""

_CALL = """
SELECT trace_id, span_id, toUnixTimestamp64Nano(start_time) AS start_ns, assumeNotNull(s.duration_ns) AS duration_ns,
    ttft_ns, queue_ns, output_tokens, service, name, kind, status, model, adapter, host
FROM spans AS s"""

# A request that is under way in the range began up to an hour before it.
SLOWEST_ON = """
{call}
WHERE s.project_id = %(project_id)s AND s.duration_ns IS NOT NULL
    AND s.start_time >= toDateTime64(%(start_s)s - 3600, 9, 'UTC')
    AND s.start_time < toDateTime64(%(end_s)s, 9, 'UTC')
    AND (s.trace_id, s.span_id) IN (
        SELECT trace_id, span_id FROM attributions
        WHERE {committed} AND gpu_uuid = %(gpu_uuid)s AND span_id != ''
    )
ORDER BY s.duration_ns DESC, trace_id, span_id
LIMIT %(limit)s
"""

SLOWEST = """
{call}
WHERE s.project_id = %(project_id)s AND s.duration_ns IS NOT NULL AND {where}
ORDER BY s.duration_ns DESC, trace_id, span_id
LIMIT %(limit)s
"""


def requests_on(project_id: int, gpu_uuid: str, span: TimeRange, *, limit: int = 20) -> list[ServedRequest]:
    """Return the requests that took most of a GPU's time in whole minutes of the range."""
    check_limit(limit)
    if span.end - span.start > MAX_RANGE:
        raise InvalidFilterError("start", f"may be at most {MAX_RANGE.days} days before end")
    asked = between_minutes(span)
    rows = client.query(
        project_id,
        put(REQUESTS, committed=COMMITTED),
        asked | {"gpu_uuid": gpu_uuid, "limit": limit},
        tag="gpu.requests",
    )
    return [ServedRequest(**row) for row in rows]


def slowest_on(project_id: int, gpu_uuid: str, span: TimeRange, *, limit: int = 20) -> list[SlowCall]:
    """Return the longest of the requests that worked on a GPU in whole minutes of a range of at most MAX_SLOW_RANGE."""
    check_limit(limit)
    _check_slow(span)
    asked = between_minutes(span)
    rows = client.query(
        project_id,
        put(SLOWEST_ON, call=_CALL, committed=COMMITTED),
        asked | {"gpu_uuid": gpu_uuid, "limit": limit},
        tag="gpu.slowest",
    )
    return [SlowCall(**row) for row in rows]


def slowest(project_id: int, chosen: SpanFilter, *, limit: int = 20) -> list[SlowCall]:
    """Return the longest finished spans that match, longest first; of a range of at most MAX_SLOW_RANGE."""
    check_limit(limit)
    _check_slow(chosen.range)
    where, parameters = chosen.where()
    rows = client.query(
        project_id, put(SLOWEST, call=_CALL, where=where), parameters | {"limit": limit}, tag="traces.slowest"
    )
    return [SlowCall(**row) for row in rows]


def _check_slow(span: TimeRange) -> None:
    if span.end - span.start > MAX_SLOW_RANGE:
        raise InvalidFilterError("start", f"may be at most {MAX_SLOW_RANGE.days} day before end")
