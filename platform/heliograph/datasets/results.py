"""Outcomes of runs, paired row by row.

- `paired(run_a, run_b, score_name) -> (row keys, baseline values, candidate values)`: what a statistical test needs
- `score_names(run) -> list[str]`
- `lowest_first(run, score_name) -> list[int]`, `in_order(run, ids) -> list[Result]`
- `compared(runs, score_name, ...) -> list[ComparedRow]`: the rows that differ most first
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from heliograph.datasets.chunks import chunks
from heliograph.datasets.models import Experiment, Result

# A flip is a change of verdict: from below this to at least this, or back.
FLIP_AT = 0.5
_READ = 2_000
_Place = tuple[str, UUID]


def paired(run_a: Experiment, run_b: Experiment, score_name: str) -> tuple[list[str], list[float], list[float]]:
    """Return the keys of the rows that have a value in both runs, and their values, in the order of the rows.

    A row whose content differs between the two runs' versions is left out: its values are not of the same question.
    """
    baseline = dict(_values(run_a, score_name))
    keys, before, after = [], [], []
    for place, value in _values(run_b, score_name):
        if place in baseline:
            keys.append(place[0])
            before.append(baseline[place])
            after.append(value)
    return keys, before, after


def _values(run: Experiment, score_name: str) -> Iterator[tuple[_Place, float]]:
    rows = Result.objects.filter(experiment=run).order_by("position").values_list("key", "content_id", "scores")
    for key, content_id, scores in rows.iterator(chunk_size=_READ):
        value = scores.get(score_name, {}).get("value")
        if value is not None:
            yield (key, content_id), float(value)


def score_names(runs: Sequence[Experiment]) -> list[str]:
    """Return the names of the scores that ended runs have, those of an open run from its first results."""
    names: dict[str, None] = {}
    for run in runs:
        names |= dict.fromkeys(run.summary)
        if not run.summary:
            for scores in run.results.order_by("position").values_list("scores", flat=True)[:20]:
                names |= dict.fromkeys(scores)
    return sorted(names)


def lowest_first(run: Experiment, score_name: str) -> list[int]:
    """Return the ids of a run's results by the value of a score, the lowest first; those without a value last."""
    found = [
        (value is None, value or 0.0, position, pk)
        for pk, position, scores in run.results.values_list("pk", "position", "scores").iterator(chunk_size=_READ)
        for value in (scores.get(score_name, {}).get("value"),)
    ]
    return [each[-1] for each in sorted(found)]


def in_order(run: Experiment, ids: Sequence[int]) -> list[Result]:
    """Return results of a run with their rows, in the order of their ids as given."""
    known = {each.pk: each for each in run.results.filter(pk__in=ids).select_related("row__content")}
    return [known[each] for each in ids if each in known]


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """One row in several runs: `values` and `results` are in the order of the runs, None where a run has none."""

    key: str
    content_id: UUID
    position: int
    values: tuple[float | None, ...]
    # The candidate's value minus the baseline's, of those that follow the first the one that is furthest from it.
    change: float | None
    is_flip: bool
    results: tuple[Result | None, ...] = ()


def compared(
    runs: Sequence[Experiment], score_name: str, *, order: str = "change", offset: int = 0, limit: int = 50
) -> tuple[list[ComparedRow], int]:
    """Return rows of several runs side by side, and how many there are; the first run is the baseline.

    `order`: `change` puts flips first, then the largest change; `worse` and `better` the largest drop and gain;
    `position` keeps the order of the rows.
    """
    rows: dict[tuple[str, UUID], list[float | None]] = {}
    positions: dict[tuple[str, UUID], int] = {}
    for number, run in enumerate(runs):
        found = run.results.order_by("position").values_list("key", "content_id", "position", "scores")
        for key, content_id, position, scores in found.iterator(chunk_size=_READ):
            values = rows.setdefault((key, content_id), [None] * len(runs))
            value = scores.get(score_name, {}).get("value")
            values[number] = None if value is None else float(value)
            positions.setdefault((key, content_id), position)
    judged = [_compared(place, positions[place], values) for place, values in rows.items()]
    judged.sort(key=_ORDERS[order])
    return _with_results(runs, judged[offset : offset + limit]), len(judged)


def _compared(place: _Place, position: int, values: Sequence[float | None]) -> ComparedRow:
    first = values[0]
    changes = [value - first for value in values[1:] if value is not None and first is not None]
    change = max(changes, key=abs) if changes else None
    flips = first is not None and any(
        value is not None and (value >= FLIP_AT) != (first >= FLIP_AT) for value in values[1:]
    )
    return ComparedRow(*place, position, tuple(values), change, flips)


# What has no change, since a run lacks the row, comes last.
_ORDERS: dict[str, Any] = {
    "change": lambda row: (row.change is None, not row.is_flip, -abs(row.change or 0.0), row.position),
    "worse": lambda row: (row.change is None, row.change or 0.0, row.position),
    "better": lambda row: (row.change is None, -(row.change or 0.0), row.position),
    "position": lambda row: row.position,
}
ORDERS = tuple(_ORDERS)


def _with_results(runs: Sequence[Experiment], rows: Sequence[ComparedRow]) -> list[ComparedRow]:
    found: dict[tuple[int, str, UUID], Result] = {}
    for part in chunks([row.key for row in rows], 500):
        results = Result.objects.filter(experiment__in=[run.pk for run in runs], key__in=part)
        for result in results.select_related("row__content"):
            found[result.experiment_id, result.key, result.content_id] = result
    return [
        ComparedRow(
            row.key,
            row.content_id,
            row.position,
            row.values,
            row.change,
            row.is_flip,
            tuple(found.get((run.pk, row.key, row.content_id)) for run in runs),
        )
        for row in rows
    ]
