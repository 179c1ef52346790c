"""Ranges that sums of hours can answer, of a table of hours or of a projection of `spans` (schema 0067).

- `whole_hours(range) -> TimeRange`: rounded out
- `over_hours(select, range) -> Clause`: a question of spans for the whole hours within a range and for what is left
"""

from datetime import timedelta

from heliograph.query.clauses import Clause, Parameters, put
from heliograph.query.filters import EPOCH, MAX_RANGE, TimeRange, to_ns

_HOUR = timedelta(hours=1)
_IN_HOURS = """toStartOfHour(start_time) >= fromUnixTimestamp64Nano(%(hours_start_ns)s, 'UTC')
        AND toStartOfHour(start_time) < fromUnixTimestamp64Nano(%(hours_end_ns)s, 'UTC')"""
_IN_REST = """(start_time >= fromUnixTimestamp64Nano(%(start_ns)s, 'UTC')
            AND start_time < fromUnixTimestamp64Nano(%(hours_start_ns)s, 'UTC')
        OR start_time >= fromUnixTimestamp64Nano(%(hours_end_ns)s, 'UTC')
            AND start_time < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC'))"""


def whole_hours(span: TimeRange) -> TimeRange:
    """Return the smallest range of whole hours, UTC, that covers this one, cut at its start to MAX_RANGE."""
    start = EPOCH + (span.start - EPOCH) // _HOUR * _HOUR
    end = EPOCH - (EPOCH - span.end) // _HOUR * _HOUR
    return TimeRange(max(start, end - MAX_RANGE), end)


def over_hours(select: str, span: TimeRange) -> Clause:
    """Return the select, which has `{within}`, for the hours that lie in the range and for the spans beside them.

    Where it groups by columns of a projection and sums what that sums, the hours are read from there. One value may
    have two rows, which the question around adds up.
    """
    first = EPOCH - (EPOCH - span.start) // _HOUR * _HOUR
    last = EPOCH + (span.end - EPOCH) // _HOUR * _HOUR
    parts = [_IN_HOURS, _IN_REST] if first < last else [_IN_REST]
    if first >= last:
        first = last = span.end
    given: Parameters = {"start_ns": span.start_ns, "end_ns": span.end_ns}
    given |= {"hours_start_ns": to_ns(first), "hours_end_ns": to_ns(last)}
    return "\n    UNION ALL".join(put(select, within=part) for part in parts), given
