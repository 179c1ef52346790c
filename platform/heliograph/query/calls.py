"""Model calls with their times, and what is usual for their like: what a verdict compares.

- `of_trace(project_id, trace_id) -> list[ModelCall]`
- `usual(project_id, call, until_ns) -> Baseline`: over calls of the same model and engine in the hour before

Both sides measure a call by `timing.split`, so that a median and the call it is held against mean the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Any

from heliograph.clickhouse import client
from heliograph.query.filters import put
from heliograph.query.placement import MODEL_KINDS
from heliograph.query.timing import Split, TimedCall, split
from heliograph.query.verdicts import Baseline, Measured, Usual
from heliograph.query.verdicts.rules import MIN_CALLS

# The model calls of one trace that are looked at.
MAX_CALLS = 200
HOUR_NS = 3_600 * 10**9
# The latest so many of the hour. The median of five hundred lies between their 46th and 54th hundredth (95 %).
MAX_BASELINE = 500
_HEADERS = tuple(
    prefix + name
    for prefix in ("", "http.response.header.")
    for name in ("x-queue-time", "x-inference-time", "x-time-to-first-token", "x-time-per-output-token")
)

_COLUMNS = """
    trace_id, span_id, toUnixTimestamp64Nano(start_time) AS start_ns, duration_ns, kind, name, service,
    service_instance_id, host, server_address, model, model_requested, dialect, ttft_ns, queue_ns, prefill_ns,
    decode_ns, input_tokens, output_tokens, cost, mapFilter((k, v) -> k IN %(headers)s, attributes) AS attributes"""

OF_TRACE = """
SELECT {columns}
FROM spans
WHERE project_id = %(project_id)s
    AND toStartOfMinute(start_time) IN (
        SELECT arrayJoin(minutes) FROM traces WHERE project_id = %(project_id)s AND trace_id = %(trace_id)s
    )
    AND trace_id = %(trace_id)s AND kind IN %(kinds)s
ORDER BY start_time, span_id
LIMIT %(limit)s
"""

# Failed calls are short or cut off: they say nothing about what is usual.
HOUR_BEFORE = """
SELECT {columns}
FROM spans
WHERE project_id = %(project_id)s
    AND start_time >= fromUnixTimestamp64Nano(%(from_ns)s, 'UTC')
    AND start_time < fromUnixTimestamp64Nano(%(until_ns)s, 'UTC')
    AND kind = %(kind)s AND service = %(service)s AND model = %(model)s AND status != 'error'
    AND service_instance_id = %(instance)s AND host = %(host)s AND server_address = %(address)s
    AND trace_id != %(trace_id)s AND duration_ns IS NOT NULL
ORDER BY toStartOfMinute(start_time) DESC, start_time DESC
LIMIT %(limit)s
-- The order of storage ends the reading: several threads, and larger blocks, read on beyond what is asked for.
SETTINGS max_threads = 1, max_block_size = 8192
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """One span of a model call, with what tells its like and what it says about its time."""

    trace_id: str
    span_id: str
    start_ns: int
    kind: str
    name: str
    service: str
    service_instance_id: str
    host: str
    server_address: str
    model: str
    model_requested: str
    input_tokens: int | None
    has_cost: bool
    timed: TimedCall

    @property
    def end_ns(self) -> int:
        """End; the start where the span has not ended."""
        return self.start_ns + (self.timed.duration_ns or 0)

    @property
    def split(self) -> Split:
        """Where its time went."""
        return split(self.timed)

    @property
    def measured(self) -> Measured:
        """Its times in seconds and its tokens."""
        found = self.split
        return Measured(
            ttft_s=_seconds(found.ttft_ns),
            tpot_s=_seconds(found.tpot_ns),
            e2e_s=_seconds(self.timed.duration_ns),
            queue_s=_seconds(found.of("queue")),
            prefill_s=_seconds(found.of("prefill")),
            input_tokens=self.input_tokens,
            output_tokens=self.timed.output_tokens,
        )


def of_trace(project_id: int, trace_id: str) -> list[ModelCall]:
    """Return the first MAX_CALLS model calls of a trace, earliest first."""
    parameters = {"trace_id": trace_id, "kinds": MODEL_KINDS, "headers": _HEADERS, "limit": MAX_CALLS}
    sql = put(OF_TRACE, columns=_COLUMNS)
    return [_call(row) for row in client.query(project_id, sql, parameters, tag="calls.of_trace")]


def usual(project_id: int, call: ModelCall, until_ns: int) -> Baseline:
    """Return what was usual in the hour before `until_ns` for calls of the same model, service and engine.

    Those of the call's own trace do not count: an agent that calls a slow engine ten times would make it usual.
    """
    parameters = {
        "from_ns": until_ns - HOUR_NS,
        "until_ns": until_ns,
        "kind": call.kind,
        "service": call.service,
        "model": call.model,
        "instance": call.service_instance_id,
        "host": call.host,
        "address": call.server_address,
        "trace_id": call.trace_id,
        "headers": _HEADERS,
        "limit": MAX_BASELINE,
    }
    rows = client.query(project_id, put(HOUR_BEFORE, columns=_COLUMNS), parameters, tag="calls.usual")
    measured = [_call(row).measured for row in rows]
    return Baseline(calls=len(measured), **{name: _usual(measured, name) for name in _MEASURES})


_MEASURES = tuple(name for name in Baseline.__dataclass_fields__ if name != "calls")


def _usual(calls: Iterable[Measured], name: str) -> Usual | None:
    values: Sequence[float] = [value for call in calls if (value := getattr(call, name)) is not None]
    if len(values) < MIN_CALLS:
        return None
    tenths = quantiles(values, n=10, method="inclusive")
    return Usual(median=tenths[4], p90=tenths[8])


def _call(row: Mapping[str, Any]) -> ModelCall:
    timing = ("duration_ns", "dialect", "ttft_ns", "queue_ns", "prefill_ns", "decode_ns", "output_tokens", "attributes")
    own = {name: row[name] for name in ModelCall.__dataclass_fields__ if name in row}
    return ModelCall(timed=TimedCall(**{name: row[name] for name in timing}), has_cost=row["cost"] is not None, **own)


def _seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / 1e9
