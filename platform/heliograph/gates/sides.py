"""The two sides of a gate on live traffic, from texts of the filter language."""

from dataclasses import dataclass

from heliograph.gates.models import Gate
from heliograph.query.filters import SpanFilter, TimeRange
from heliograph.query.language import parse


@dataclass(frozen=True, slots=True)
class Sides:
    """The spans of either side within one time range."""

    baseline: SpanFilter
    candidate: SpanFilter


def sides(gate: Gate, span: TimeRange) -> Sides:
    """Return the filters of a gate's sides. Raises InvalidFilterError where a text is no filter."""
    return Sides(parse(_both(gate.scope, gate.baseline), span), parse(_both(gate.scope, gate.candidate), span))


def _both(scope: str, side: str) -> str:
    return f"{scope} {side}".strip()
