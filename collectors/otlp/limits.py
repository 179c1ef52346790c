"""Caps on what one request may hold. The caps on bytes on the wire are the receiver's."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Limits:
    """Each number with its reason; beyond a cap that can be cut, the rest is cut and named in `truncated`."""

    # A hundred requests' worth of an SDK's default batch (512); more in one body is a bulk load that should be split.
    max_spans: int = 50_000
    # Small: a scrape of one node is a few thousand points, and one body may carry a fleet's.
    max_metric_points: int = 200_000
    max_log_records: int = 50_000
    # Flat conventions spend four keys a message: a conversation of a thousand messages fits.
    max_attributes: int = 4_096
    # A context of 250,000 tokens is about 1 MB of text; an inlined photo is not text and is cut.
    max_attribute_bytes: int = 1 << 20
    # A phone's photo takes up to about 10 MB; what is larger is dropped, and its place says so.
    max_blob_bytes: int = 16 << 20
    # Keys are low-cardinality columns; no convention comes near.
    max_key_chars: int = 256
    # A streamed answer with an event a chunk; more tells nobody anything.
    max_events: int = 1_024
    max_links: int = 1_024
    # Buckets of one histogram point: exponential ones default to 160 each side.
    max_buckets: int = 2_048
    # Tables are split by week, and ClickHouse refuses an insert that touches more than 100 partitions: anything older
    # would make its neighbours' insert fail.
    max_age: timedelta = timedelta(weeks=90)
    # Clocks of senders run ahead by minutes; a day means a wrong unit or a wrong year.
    max_ahead: timedelta = timedelta(days=1)

    def oldest_ns(self, now_ns: int) -> int:
        """Earliest accepted start, in nanoseconds since the epoch."""
        return now_ns - int(self.max_age.total_seconds()) * 1_000_000_000

    def newest_ns(self, now_ns: int) -> int:
        """Latest accepted start, in nanoseconds since the epoch."""
        return now_ns + int(self.max_ahead.total_seconds()) * 1_000_000_000
