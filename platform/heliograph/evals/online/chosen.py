"""Which spans a rule is about: its filter as text, read for the time that is looked at."""

from datetime import UTC, datetime, timedelta

from heliograph.query.filters import MAX_RANGE, SpanFilter, TimeRange
from heliograph.query.language import parse

# Clocks of senders may run ahead; a span that starts later than this is a mistake.
AHEAD = timedelta(days=1)


def ever(text: str) -> SpanFilter:
    """Return the filter over whatever may still be stored. Raises InvalidFilterError."""
    end = datetime.now(UTC) + AHEAD
    return parse(text, TimeRange(end - MAX_RANGE, end))


def last_day(text: str) -> SpanFilter:
    """Return the filter over the last 24 hours. Raises InvalidFilterError."""
    now = datetime.now(UTC)
    return parse(text, TimeRange(now - timedelta(days=1), now + timedelta(seconds=1)))
