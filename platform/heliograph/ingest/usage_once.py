"""Usage counts once across exports too: a parent and its child, or two reports of one response, come in any order.

A span that is stored is never changed, and neither are the sums that views made of it. So what is stored counts, and a
span that comes later and repeats it does not. Within what is stored together the inner span counts.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from collectors.usage import Use, repeats
from heliograph.clickhouse import client
from heliograph.ingest.duplicates import MINUTE_NS, SPANS_A_TRACE
from heliograph.ingest.signals import Columns

# Minutes of a long call that are searched for what was stored within it: beyond, an agent's wrapper reports no usage.
_MAX_MINUTES_WITHIN = 10
# One look-up's text stays below ClickHouse's max_query_size (256 KiB), at 35 characters a trace id.
_LOOKUP_TRACES = 4_000
# Of traces that large nobody reads a sum; the rest of a look-up is left out, and those spans count.
_MAX_SPANS = 200_000

_STORED = """
SELECT trace_id, span_id, parent_span_id, response_id,
    usage_counted AND (input_tokens IS NOT NULL OR output_tokens IS NOT NULL) AS counts
FROM spans
WHERE project_id = %(project_id)s
  AND toStartOfMinute(start_time) IN (
    SELECT arrayJoin(minutes) FROM traces WHERE project_id = %(project_id)s AND trace_id IN %(trace_ids)s
  )
  AND trace_id IN %(trace_ids)s
LIMIT %(limit)s
"""

Trace = tuple[int, str]


def minutes_within(columns: Columns, places: Iterable[int]) -> list[int]:
    """Return a time (ns) in each further minute of the calls at these places: what they made may start there."""
    found: set[int] = set()
    starts, durations, counted = columns["start_time"], columns["duration_ns"], columns["usage_counted"]
    for place in places:
        duration = durations[place]
        if not duration or not counted[place]:
            continue
        start = starts[place]
        minute, end = start // MINUTE_NS, (start + duration) // MINUTE_NS
        if end != minute:
            found.update(range(minute + 1, min(end, minute + _MAX_MINUTES_WITHIN) + 1))
    return [minute * MINUTE_NS for minute in found]


def count_once(columns: Columns, stored_keys: Iterable[str]) -> None:
    """Take `usage_counted` from the rows that repeat the usage of one that is stored, or of another of these rows.

    `stored_keys` are keys (`duplicates.key_of`) of stored spans that were met, of these traces among others. Raises
    StoreError.
    """
    traces = _with_usage(columns)
    if not traces:
        return
    known = {key[:-16] for key in stored_keys}
    looked_up = [trace for trace, places in traces.items() if f"{trace[0]}:{trace[1]}" in known or places.may_be_more]
    stored = _stored(looked_up)
    for trace, rows in traces.items():
        before = stored.get(trace, ())
        if len(rows.with_usage) + len(before) < 2:
            continue
        own = {columns["span_id"][place] for place in rows.places}
        parents = {row["span_id"]: row["parent_span_id"] for row in before}
        parents |= {columns["span_id"][place]: columns["parent_span_id"][place] for place in rows.places}
        uses = [
            Use(row["span_id"], row["response_id"], is_settled=True)
            for row in before
            if row["counts"] and row["span_id"] not in own
        ]
        uses += [Use(columns["span_id"][place], columns["response_id"][place]) for place in rows.with_usage]
        repeated = repeats(uses, parents)
        for place in rows.with_usage:
            if columns["span_id"][place] in repeated:
                columns["usage_counted"][place] = False


class _Rows:
    """The rows of one trace in an insert."""

    __slots__ = ("may_be_more", "places", "with_usage")

    def __init__(self) -> None:
        self.places: list[int] = []
        self.with_usage: list[int] = []
        # Whether the insert itself shows that the trace goes on elsewhere, or holds too much of it to have looked.
        self.may_be_more = False


def _with_usage(columns: Columns) -> dict[Trace, _Rows]:
    traces: defaultdict[Trace, _Rows] = defaultdict(_Rows)
    chosen: set[Trace] = set()
    names = ("project_id", "trace_id", "parent_span_id", "is_entry", "usage_counted", "input_tokens", "output_tokens")
    for place, (project_id, trace_id, parent, is_entry, counted, given, out) in enumerate(
        zip(*(columns[name] for name in names), strict=True)
    ):
        trace = (project_id, trace_id)
        rows = traces[trace]
        rows.places.append(place)
        if is_entry and parent:
            rows.may_be_more = True
        if counted and (given is not None or out is not None):
            rows.with_usage.append(place)
            chosen.add(trace)
    # Where traces are that large, the look-up before this one names single spans and meets no others of their traces.
    are_large = len(columns["trace_id"]) > SPANS_A_TRACE * len(traces)
    for trace in chosen:
        rows = traces[trace]
        rows.may_be_more = rows.may_be_more or are_large or len(rows.places) >= SPANS_A_TRACE
    return {trace: traces[trace] for trace in chosen}


def _stored(traces: Sequence[Trace]) -> dict[Trace, list[dict[str, Any]]]:
    """Return the stored spans of these traces."""
    by_project: defaultdict[int, list[str]] = defaultdict(list)
    for project_id, trace_id in traces:
        by_project[project_id].append(trace_id)
    found: defaultdict[Trace, list[dict[str, Any]]] = defaultdict(list)
    for project_id, trace_ids in by_project.items():
        for first in range(0, len(trace_ids), _LOOKUP_TRACES):
            parameters = {"trace_ids": tuple(trace_ids[first : first + _LOOKUP_TRACES]), "limit": _MAX_SPANS}
            for row in client.query(project_id, _STORED, parameters, tag="ingest.usage_once"):
                found[project_id, row["trace_id"]].append(row)
    return found
