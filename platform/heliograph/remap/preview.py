"""What a rule would change in spans that are stored already, shown before it is saved; nothing is written.

The same functions as the re-application's, over a few of the newest spans that have the rule's key.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from collectors.otlp.remap import MAPPED_COLUMNS
from collectors.semconv.rules import Rule, compiled
from heliograph.clickhouse import client
from heliograph.conventions.mapping import index_of
from heliograph.query import contents
from heliograph.query.attribute_keys import SAMPLE_SPANS
from heliograph.query.filters import TimeRange, put, started_in
from heliograph.remap.mapping import remapped

# A page shows these; each is read whole.
PREVIEW_SPANS = 25
# Of one span: 25 of these are what one question may well hold in memory.
MAX_SPAN_BYTES = 2**20
VALUE_CHARACTERS = 300

_ROWS = """
SELECT *
FROM spans
WHERE project_id = %(project_id)s AND {where}
    AND byteSize(attributes, input, output, documents, tools, events.attributes) <= %(most_bytes)s
    AND (toStartOfMinute(start_time), trace_id, span_id) IN (
        SELECT minute, trace_id, span_id
        FROM (
            SELECT toStartOfMinute(start_time) AS minute, start_time, trace_id, span_id, attributes.keys AS keys
            FROM spans
            WHERE project_id = %(project_id)s AND {where}
            ORDER BY toStartOfMinute(start_time) DESC, start_time DESC
            LIMIT %(sample)s
        )
        WHERE {has}
        ORDER BY start_time DESC
        LIMIT %(limit)s
    )
ORDER BY start_time DESC, trace_id, span_id
LIMIT %(limit)s
"""
_HAS = {
    "exact": "has(keys, %(source)s)",
    "prefix": "arrayExists(key -> startsWith(key, %(source)s), keys)",
}


@dataclass(frozen=True, slots=True)
class Change:
    """A field before and after, as texts cut to VALUE_CHARACTERS; '' where it was or would be empty."""

    column: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class PreviewedSpan:
    """A span that has the rule's key, and what the rules would change of it."""

    trace_id: str
    span_id: str
    name: str
    service: str
    start_ns: int
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """The newest spans with the rule's key, newest first, and how many of them each column would change in."""

    spans: tuple[PreviewedSpan, ...]
    columns: dict[str, int]

    @property
    def changed(self) -> int:
        """How many of the spans a field would change in."""
        return sum(bool(span.changes) for span in self.spans)


def preview(project_id: int, span: TimeRange, rule: Rule, rules: Sequence[Rule]) -> Preview:
    """Return what `rules`, among them `rule`, would make of the newest spans that have its key.

    Looks at the newest SAMPLE_SPANS of the range. Raises StoreError.
    """
    where, parameters = started_in(span)
    parameters |= {
        "source": rule.source,
        "sample": SAMPLE_SPANS,
        "limit": PREVIEW_SPANS,
        "most_bytes": MAX_SPAN_BYTES,
    }
    sql = put(_ROWS, has=_HAS[rule.match], where=where)
    columns = client.query_columns(project_id, sql, parameters, tag="remap.preview")
    rows = range(len(columns["span_id"]))
    if not rows:
        return Preview((), {})
    tables = {revision: index_of(project_id, revision) for revision in set(columns["mapping_revision"])}
    was = [tables[revision] for revision in columns["mapping_revision"]]
    made = remapped(project_id, columns, was, compiled(tuple(rules)))
    spans = tuple(_previewed(project_id, columns, made, row) for row in rows)
    counts = Counter(change.column for each in spans for change in each.changes)
    return Preview(spans, dict(counts.most_common()))


def _previewed(
    project_id: int, columns: dict[str, Sequence[Any]], made: dict[str, list[Any]], row: int
) -> PreviewedSpan:
    changed = [name for name in MAPPED_COLUMNS if made[name][row] != columns[name][row]]
    # A long text of before stands in its column as a reference.
    before = {
        name: _cut(contents.restored(project_id, [(value, columns["contents"][row])])[0])
        if isinstance(value := columns[name][row], str)
        else _cut(value)
        for name in changed
    }
    return PreviewedSpan(
        trace_id=columns["trace_id"][row],
        span_id=columns["span_id"][row],
        name=columns["name"][row],
        service=columns["service"][row],
        start_ns=columns["start_time"][row],
        changes=tuple(Change(name, before[name], _cut(made[name][row])) for name in changed),
    )


def _cut(value: Any) -> str:
    if value is None or value == []:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else f"{value}"
    if isinstance(value, Decimal):
        text = f"{value.normalize():f}"
    return text if len(text) <= VALUE_CHARACTERS else text[:VALUE_CHARACTERS] + "…"
