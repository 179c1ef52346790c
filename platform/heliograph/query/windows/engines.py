"""Windows over what serving engines report of themselves, read as the page of engines reads it.

The readings are a minute long, and longer where the windows reach over more than serving.MAX_STEPS of them (a preview
of a week reads half hours).
"""

from collections import defaultdict
from collections.abc import Collection, Mapping

from heliograph.query import serving
from heliograph.query.filters import TimeRange, from_ns
from heliograph.query.serving import EngineInstance
from heliograph.query.windows.question import Labels, Question, Shape, check_rows, ends_of


def answer(
    project_id: int, shape: Shape, questions: Collection[Question], wanted: Collection[int]
) -> Mapping[tuple[str, str, float | None], Mapping[Labels, Mapping[int, float]]]:
    """Return the highest reading in each window, of all groups of a shape."""
    ends = ends_of(shape.window, wanted)
    measures = tuple(sorted({question.measure for question in questions}))
    found: dict[tuple[str, str, float | None], defaultdict[Labels, dict[int, float]]] = {
        (measure, "", None): defaultdict(dict) for measure in measures
    }
    for first, last in ends.runs():
        highest = _highest(project_id, first - shape.window, last, measures)
        within = [end for end in ends.ends if first <= end <= last]
        check_rows(len(within) * len(highest))
        for (measure, instance), (step, readings) in highest.items():
            if not _matches(shape, instance):
                continue
            points = found[measure, "", None][tuple(_label(instance, name) for name in shape.dimensions)]
            for end in within:
                inside = [value for start, value in readings if start < end and start + step > end - shape.window]
                if inside:
                    points[end] = max(*inside, points.get(end, inside[0]))
    return found


def _highest(
    project_id: int, first: int, last: int, measures: tuple[str, ...]
) -> dict[tuple[str, EngineInstance], tuple[int, list[tuple[int, float]]]]:
    """Return by measure and engine the step in minutes and the readings as (start in minutes, value)."""
    minutes = last - first
    step = -(-minutes // serving.MAX_STEPS)
    span = TimeRange(from_ns(first * 60 * 10**9), from_ns(last * 60 * 10**9))
    found = {}
    for engine in serving.canonical(project_id, span, step_s=step * 60, metrics=measures):
        for series in engine.metrics:
            readings = [(each.start_s // 60, each.value) for each in series.readings if each.value is not None]
            found[series.metric, engine.instance] = (step, readings)
    return found


def _label(instance: EngineInstance, dimension: str) -> str:
    return str(getattr(instance, dimension))


def _matches(shape: Shape, instance: EngineInstance) -> bool:
    return all(_label(instance, name) in values for name, values in shape.several)
