"""How many requests took how long when: the cells behind a line of percentiles, from the 1-minute rollup alone.

- `latency_map(project_id, filter, *, buckets=120) -> LatencyMap`: a column for each bucket of time that
  `overview.series` has, a row for each of `EDGES_NS` from the quickest request to the slowest

What counts as a request is said in `overview`. A cell's count is read off the digest of its column, which merges
neighbouring durations where there are many: a column's cells add up to its requests, some of which may stand a cell too
high or too low. Up to `EXACT` requests a column the digest still holds each one. Spans without a duration are in no
cell.
"""

from bisect import bisect_right
from dataclasses import dataclass

from heliograph.clickhouse import client
from heliograph.query.clauses import put
from heliograph.query.filters import RollupFilter
from heliograph.query.overview import step_for
from heliograph.query.rollup import in_steps

# Steps that people read, six to a decade, from 1 µs to about 3 hours; the first row also holds what is quicker.
EDGES_NS = (0, *(int(step * 10**power) for power in range(3, 13) for step in (1, 1.5, 2, 3, 5, 7)), 10**13)

# Up to so many of a column each has a centroid of its own.
EXACT = 200

# The store keeps a digest as a mark of one byte, the number of its centroids, and of each its mean and its weight, both
# floats of 32 bits; no function says them. The mark and the number take 2 bytes or some more.
CELLS = """
SELECT start_s, roundDown(toFloat64(centroid.1), %(edges)s) AS low_ns, toUInt64(sum(centroid.2)) AS requests
FROM
(
    SELECT r.start_s AS start_s,
        CAST(quantilesTDigestMergeStateIf(0.5, 0.95, 0.99)(r.duration, {counted}) AS String) AS digest
    FROM ({rows}) AS r
    GROUP BY start_s
)
ARRAY JOIN arrayMap(
    place -> (reinterpretAsFloat32(substring(digest, place, 4)), reinterpretAsFloat32(substring(digest, place + 4, 4))),
    range(3 + (length(digest) + 6) %% 8, length(digest), 8)
) AS centroid
GROUP BY start_s, low_ns
"""


@dataclass(frozen=True, slots=True)
class Band:
    """A row: from `low_ns` (included) to `high_ns` (excluded; None for what is slower than all edges)."""

    low_ns: int
    high_ns: int | None


@dataclass(frozen=True, slots=True)
class LatencyMap:
    """Counts of requests by start of a bucket (`starts_s`, each `step_s` long) and band, quickest first."""

    starts_s: list[int]
    step_s: int
    bands: list[Band]
    # Of each band its counts, one for each start.
    counts: list[list[int]]


def latency_map(project_id: int, chosen: RollupFilter, *, buckets: int = 120) -> LatencyMap:
    """Return the map; without a request it has no band."""
    span = chosen.range.whole_minutes()
    step = step_for(span, buckets)
    rows, parameters = in_steps(chosen, ("is_root", "kind"), step, sums=("spans",), digests=("duration",))
    sql = put(CELLS, counted="1" if chosen.picks_calls else "r.is_root", rows=rows)
    found = client.query(
        project_id, sql, parameters | {"edges": [float(edge) for edge in EDGES_NS]}, tag="overview.latency_map"
    )
    starts = list(range(span.start_ns // 10**9 // step * step, span.end_ns // 10**9, step))
    cells = {(bisect_right(EDGES_NS, row["low_ns"]) - 1, row["start_s"]): row["requests"] for row in found}
    rows_seen = [row for row, _ in cells]
    shown = range(min(rows_seen), max(rows_seen) + 1) if cells else range(0)
    ends = [*EDGES_NS[1:], None]
    return LatencyMap(
        starts,
        step,
        [Band(EDGES_NS[row], ends[row]) for row in shown],
        [[cells.get((row, start), 0) for start in starts] for row in shown],
    )
