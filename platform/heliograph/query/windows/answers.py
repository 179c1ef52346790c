"""From questions to the few queries that answer them."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping

from heliograph.query.filters import InvalidFilterError
from heliograph.query.windows import engines, gpus, raw_spans, scores, silence, spans
from heliograph.query.windows.question import MAX_GROUPS, Labels, Question, Shape, Values

# By (measure, score's name, bound): the values of all groups of a shape.
Found = Mapping[tuple[str, str, float | None], Mapping[Labels, Mapping[int, float]]]
Answer = Callable[[int, Shape, Collection[Question], Collection[int]], Found]
_SOURCES: Mapping[str, Answer] = {
    "spans": spans.answer,
    "slow": raw_spans.answer,
    "silence": silence.answer,
    "scores": scores.answer,
    "gpus": gpus.answer,
    "xids": gpus.answer_xids,
    "engines": engines.answer,
}


def values(project_id: int, wanted: Mapping[Question, Collection[int]]) -> dict[Question, Values]:
    """Return for each question its groups' values at the ends of windows that are wanted.

    An end without a value is left out, but for what is counted: a group that has a value at some end has 0 at those
    where nothing was. Raises InvalidFilterError for more than MAX_GROUPS groups, StoreError.
    """
    together: defaultdict[tuple[str, Shape], list[Question]] = defaultdict(list)
    for question, ends in wanted.items():
        if ends:
            together[question.what.source, question.shape].append(question)
    found: dict[Question, Values] = {question: {} for question in wanted}
    for (source, shape), questions in together.items():
        ends = {end for question in questions for end in wanted[question]}
        # The rollup knows dimensions; a filter may speak of anything.
        answer = raw_spans.answer if shape.filter else _SOURCES[source]
        answered = answer(project_id, shape, questions, ends)
        for question in questions:
            groups = answered.get((question.measure, question.name, question.bound), {})
            found[question] = _filled(question, question.pick(shape.dimensions, groups), wanted[question])
    return found


def _filled(question: Question, groups: Values, ends: Collection[int]) -> Values:
    if len(groups) > MAX_GROUPS:
        raise InvalidFilterError("by", f"gives more than {MAX_GROUPS} groups: narrow it, or group by less")
    empty = question.what.empty
    if empty is not None and not question.by and not groups:
        groups = {(): {}}  # all of a project is one group, whether it did anything or not
    if empty is None:
        return {labels: {end: points[end] for end in ends if end in points} for labels, points in groups.items()}
    return {labels: {end: points.get(end, empty) for end in ends} for labels, points in groups.items()}
