"""Which spans people are asked about: some that are named, or those that a filter finds."""

from collections.abc import Sequence

from heliograph.datasets.from_traces import spoken
from heliograph.query.annotated import Candidate
from heliograph.query.spans import SpanDetail, get_span
from heliograph.query.traces import get_trace

# Each is some questions to the store: the ticks of a few pages of the list.
MAX_NAMED = 200
# The spans among which a trace's own one is looked for.
_MAX_SPANS = 500


def named(project_id: int, items: Sequence[tuple[str, str]]) -> tuple[list[Candidate], list[str]]:
    """Return the spans of (trace, span) ids, and which the project does not have; a trace without a span id stands for
    its root, else for its first model call."""
    found, missing = [], []
    for trace_id, span_id in items[:MAX_NAMED]:
        span = get_span(project_id, trace_id, span_id) if span_id else _of_trace(project_id, trace_id)
        if span is None:
            missing.append(f"{trace_id}:{span_id}" if span_id else trace_id)
        else:
            found.append(Candidate(span.trace_id, span.span_id, span.start_ns, None))
    return found, missing


def _of_trace(project_id: int, trace_id: str) -> SpanDetail | None:
    trace = get_trace(project_id, trace_id, max_spans=_MAX_SPANS)
    return spoken(project_id, trace_id, trace.spans) if trace else None
