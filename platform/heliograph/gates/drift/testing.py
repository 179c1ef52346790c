"""One test of one signal in one segment, and what moved where it says drift."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from evaluators.drift import detect
from evaluators.drift.categories import LEAST_EXPECTED, detect_categories
from evaluators.drift.explain import explain
from evaluators.drift.numbers import detect_numbers
from evaluators.drift.result import DriftResult
from evaluators.drift.segments import FIRST_PERMUTATIONS, MOST_PERMUTATIONS, PROMISING
from heliograph.gates.drift.segments import MIN_ROWS, Segment
from heliograph.gates.drift.signals import OF_ALL_SPANS, Signal
from heliograph.gates.drift.window import Side, Window, categories, device, numbers
from heliograph.query.drift_samples import SampledSpan

# The kernel of 1,000 a side times 10,000 relabellings takes some tenths of a second of a core.
MAX_EMBEDDED = 1_000
EXAMPLES = 3
TEXT_SHOWN = 300
_OTHER = "other"


@dataclass(frozen=True, slots=True)
class Tested:
    """A test that was made."""

    signal: Signal
    segment: Segment
    result: DriftResult


def tested(reference: Window, current: Window, signal: Signal, segment: Segment) -> Tested | None:
    """Test one signal in one segment; None where a side has fewer than MIN_ROWS values."""
    if signal.name in OF_ALL_SPANS and segment.field:
        # The segments are of model calls, and these signals of every span.
        return None
    both = _both(reference, current, segment)
    if signal.kind == "embedding":
        places = [_rows(window, signal, rows) for window, rows in both]
        if min(map(len, places)) < MIN_ROWS:
            return None
        return Tested(signal, segment, _embeddings(reference, current, signal, places))
    values = [list(_values(window, signal, rows).values()) for window, rows in both]
    if min(map(len, values)) < MIN_ROWS:
        return None
    is_number = signal.kind == "number"
    return Tested(
        signal, segment, detect_numbers(*values) if is_number else detect_categories(*_lumped(values[0], values[1]))
    )


def moved(reference: Window, current: Window, found: Tested) -> dict[str, Any]:
    """Return what moved: clusters, or examples before and after, with their traces."""
    signal, segment = found.signal, found.segment
    if signal.kind == "embedding":
        return {"clusters": _clusters(reference, current, signal, segment)}
    if signal.kind == "number":
        return {"examples": _number_examples(reference, current, found)}
    return {"examples": _category_examples(reference, current, found)}


def _both(reference: Window, current: Window, segment: Segment) -> list[tuple[Window, Sequence[int] | None]]:
    """The windows with the numbers of the segment's spans; None for all of them."""
    if not segment.field:
        return [(reference, None), (current, None)]
    return [(reference, segment.reference), (current, segment.current)]


def _values(window: Window, signal: Signal, rows: Sequence[int] | None) -> dict[int, Any]:
    if signal.kind == "number":
        return _chosen(numbers(window, signal.name), rows)
    return _chosen(categories(window, signal.name), None if signal.name in OF_ALL_SPANS else rows)


def _chosen(values: dict[int, Any], rows: Sequence[int] | None) -> dict[int, Any]:
    if rows is None:
        return values
    inside = set(rows)
    return {row: value for row, value in values.items() if row in inside}


def _rows(window: Window, signal: Signal, rows: Sequence[int] | None) -> list[int]:
    """Places in the window's texts of the spans of a segment."""
    given = window.texts(cast("Side", signal.name)).rows
    inside = None if rows is None else set(rows)
    return [place for place, row in enumerate(given) if inside is None or row in inside][:MAX_EMBEDDED]


def _embeddings(reference: Window, current: Window, signal: Signal, sides: list[list[int]]) -> DriftResult:
    side = cast("Side", signal.name)
    before, after = reference.vectors(side)[sides[0]], current.vectors(side)[sides[1]]
    result = detect(before, after, permutations=FIRST_PERMUTATIONS, device=device())
    # A second look with fresh relabellings is as valid as a single one, and only the few promising ones cost it.
    if result.p_value <= PROMISING:
        result = detect(before, after, permutations=MOST_PERMUTATIONS, seed=1, device=device())
    return result


def _lumped(before: list[str], after: list[str]) -> tuple[list[str], list[str]]:
    """Rare categories as one, chosen by both windows together, so that the table bears a chi-squared test."""
    share = min(len(before), len(after)) / (len(before) + len(after))
    common = {value for value, n in Counter([*before, *after]).items() if n * share >= LEAST_EXPECTED}
    return tuple([value if value in common else _OTHER for value in side] for side in (before, after))  # type: ignore[return-value]  # two sides


def _clusters(reference: Window, current: Window, signal: Signal, segment: Segment) -> list[dict[str, Any]]:
    side = cast("Side", signal.name)
    places = [_rows(window, signal, rows) for window, rows in _both(reference, current, segment)]
    texts = [
        [window.texts(side).texts[place] for place in own]
        for window, own in zip((reference, current), places, strict=True)
    ]
    shifts = explain(
        reference.vectors(side)[places[0]],
        current.vectors(side)[places[1]],
        reference_texts=texts[0],
        current_texts=texts[1],
        examples=EXAMPLES,
        device=device(),
    )
    found = []
    for shift in shifts:
        grew = shift.direction == "grew"
        before, after = (shift.counterparts, shift.examples) if grew else (shift.examples, shift.counterparts)
        row = shift.as_dict()
        row["before"] = [_text_example(reference, side, places[0][number]) for number in before]
        row["after"] = [_text_example(current, side, places[1][number]) for number in after]
        del row["examples"], row["counterparts"]
        found.append(row)
    return found


def _text_example(window: Window, side: Side, place: int) -> dict[str, Any]:
    given = window.texts(side)
    return _example(window.spans[given.rows[place]]) | {"text": given.texts[place][:TEXT_SHOWN]}


def _example(span: SampledSpan) -> dict[str, Any]:
    text = span.input_preview or span.output_preview
    return {"trace_id": span.trace_id, "span_id": span.span_id, "text": text[:TEXT_SHOWN]}


def _number_examples(reference: Window, current: Window, found: Tested) -> dict[str, Any]:
    """Usual spans before, and those now that lie furthest in the direction of the change."""
    both = _both(reference, current, found.segment)
    values = [_values(window, found.signal, rows) for window, rows in both]
    medians = [float(np.median(list(side.values()))) for side in values]
    # Where the medians agree the tails moved; the larger values are then what costs.
    sign = 1 if medians[1] >= medians[0] else -1
    usual = sorted(values[0], key=lambda row: abs(values[0][row] - medians[0]))[:EXAMPLES]
    far = sorted(values[1], key=lambda row: -sign * values[1][row])[:EXAMPLES]
    return {
        "before": [_example(reference.spans[row]) | {"value": values[0][row]} for row in usual],
        "after": [_example(current.spans[row]) | {"value": values[1][row]} for row in far],
    }


def _category_examples(reference: Window, current: Window, found: Tested) -> dict[str, Any]:
    """Spans now of the category that grew most, and spans before of the one that shrank most."""
    changed = sorted(found.result.details["changed"], key=lambda row: row["share_current"] - row["share_reference"])
    shown: dict[str, Any] = {}
    ends = (("before", reference, changed[:1]), ("after", current, changed[-1:]))
    for (name, window, row), (_, rows) in zip(ends, _both(reference, current, found.segment), strict=True):
        values = _values(window, found.signal, rows)
        wanted = row[0]["category"] if row else None
        spans = window.all_spans if found.signal.name in OF_ALL_SPANS else window.spans
        chosen = [number for number, value in values.items() if value == wanted][:EXAMPLES]
        shown[name] = [_example(spans[number]) | {"value": wanted} for number in chosen]
    return shown
