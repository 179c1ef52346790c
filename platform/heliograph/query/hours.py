"""Ranges that a rollup of hours can answer."""

from datetime import timedelta

from heliograph.query.filters import EPOCH, MAX_RANGE, TimeRange

_HOUR = timedelta(hours=1)


def whole_hours(span: TimeRange) -> TimeRange:
    """Return the smallest range of whole hours, UTC, that covers this one, cut at its start to MAX_RANGE."""
    start = EPOCH + (span.start - EPOCH) // _HOUR * _HOUR
    end = EPOCH - (EPOCH - span.end) // _HOUR * _HOUR
    return TimeRange(max(start, end - MAX_RANGE), end)
