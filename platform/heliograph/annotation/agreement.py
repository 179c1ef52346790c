"""How far the annotators of a queue agree, score by score, and on which items they do not.

- `agreement(queue) -> list[DimensionAgreement]`
- `disputed(queue, limit) -> list[Dispute]`: the items on which they are furthest apart
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluators.agreement import cohen, krippendorff
from evaluators.agreement.estimate import Statistic
from heliograph.annotation.answers import ItemAnswers, annotator_key, by_item, latest
from heliograph.annotation.models import Annotation, Item, Queue
from heliograph.annotation.rubric import NO, YES, Dimension, Kind

Floats = NDArray[np.float64]
# A pair each: ten annotators are 45 pairs, more is no table that anybody reads.
MAX_PAIRS = 45


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Cohen's kappa of two annotators, over the items that both judged."""

    first: str
    second: str
    kappa: Statistic


@dataclass(frozen=True, slots=True)
class DimensionAgreement:
    """Krippendorff's alpha of all annotators, and kappa of each two (None of numbers that are no scale).

    `level` says how disagreement is measured: nominal (same or not), ordinal (by rank), interval (by squared distance).
    `observed` is the plain share of pairs that said the same.
    """

    name: str
    level: krippendorff.Level
    alpha: Statistic
    observed: float | None
    pairs: tuple[PairAgreement, ...]


@dataclass(frozen=True, slots=True)
class Dispute:
    """An item and a score on which annotators differ, with what each said; `distance` is from 0 to 1."""

    item: Item
    name: str
    said: tuple[tuple[str, str], ...]
    distance: float


def level_of(each: Dimension) -> krippendorff.Level:
    """Return how disagreement on a score is measured."""
    if each.kind == Kind.NUMBER:
        return "interval"
    return "ordinal" if each.is_ordered else "nominal"


def number_of(each: Dimension, value: Any) -> float:
    """Return what was said as a number: of a category its place."""
    return float(each.options.index(value)) if each.kind == Kind.CATEGORY else float(value)


def agreement(queue: Queue) -> list[DimensionAgreement]:
    """Return the agreement on each score of the rubric but corrections."""
    answers = by_item(latest(queue))
    people = _people(answers)
    return [_of(each, answers, people) for each in queue.dimensions if each.kind != Kind.CORRECTION]


def disputed(queue: Queue, limit: int = 50) -> list[Dispute]:
    """Return the items on which annotators are furthest apart."""
    answers = by_item(latest(queue))
    found = [
        dispute
        for each in queue.dimensions
        if each.kind != Kind.CORRECTION
        for answer in answers
        if (dispute := _dispute(each, answer))
    ]
    return sorted(found, key=lambda dispute: (-dispute.distance, dispute.item.pk))[:limit]


def _people(answers: Sequence[ItemAnswers]) -> dict[str, str]:
    """Annotator's key -> name, in the order of the names."""
    found = {}
    for answer in answers:
        for annotation in answer.annotations:
            slot = annotation.slot
            name = slot.annotator.get_username() if slot.annotator else f"removed user ({slot.number})"
            found[annotator_key(slot)] = name
    return dict(sorted(found.items(), key=lambda entry: entry[1]))


def _of(each: Dimension, answers: Sequence[ItemAnswers], people: dict[str, str]) -> DimensionAgreement:
    table = _table(each, answers, list(people))
    level = level_of(each)
    observed = krippendorff.observed_agreement(table) if level != "interval" or each.choices else float("nan")
    return DimensionAgreement(
        each.name,
        level,
        krippendorff.alpha(table, level),
        None if np.isnan(observed) else observed,
        tuple(_pairs(each, table, list(people.values()))),
    )


def _table(each: Dimension, answers: Sequence[ItemAnswers], people: Sequence[str]) -> Floats:
    place = {person: number for number, person in enumerate(people)}
    table = np.full((len(answers), len(people)), np.nan)
    for row, answer in enumerate(answers):
        for annotation in answer.annotations:
            if each.name in annotation.values:
                value = annotation.values[each.name]
                table[row, place[annotator_key(annotation.slot)]] = number_of(each, value)
    return table


def _pairs(each: Dimension, table: Floats, names: Sequence[str]) -> list[PairAgreement]:
    if each.kind == Kind.NUMBER and not each.choices:
        return []
    low = int(each.low) if each.low is not None else 0
    weights: cohen.Weights = "quadratic" if each.kind == Kind.NUMBER or each.is_ordered else "none"
    found: list[PairAgreement] = []
    for first, second in combinations(range(len(names)), 2):
        both = ~np.isnan(table[:, first]) & ~np.isnan(table[:, second])
        if not both.any() or len(found) == MAX_PAIRS:
            continue
        a, b = (table[both, column].astype(np.intp) - low for column in (first, second))
        kappa = cohen.kappa(a, b, len(each.choices), weights=weights)
        found.append(PairAgreement(names[first], names[second], kappa))
    return found


def _dispute(each: Dimension, answer: ItemAnswers) -> Dispute | None:
    given = [annotation for annotation in answer.annotations if each.name in annotation.values]
    values = [number_of(each, annotation.values[each.name]) for annotation in given]
    if len(set(values)) < 2:
        return None
    if each.kind == Kind.NUMBER:
        assert each.low is not None
        assert each.high is not None
        distance = (max(values) - min(values)) / (each.high - each.low)
    else:
        distance = (max(values) - min(values)) / (len(each.options) - 1) if each.is_ordered else 1.0
    said = tuple(
        (annotation.author.get_username() if annotation.author else "removed user", shown(each, annotation))
        for annotation in given
    )
    return Dispute(answer.item, each.name, said, distance)


def shown(each: Dimension, annotation: Annotation) -> str:
    """Return what an annotation says under a score as a text."""
    value = annotation.values[each.name]
    if each.kind == Kind.NUMBER:
        return f"{value:g}"
    return (YES if value else NO) if each.kind == Kind.BOOLEAN else str(value)
