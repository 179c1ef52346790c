"""What drift monitors found, as a measure: 1 where the newest look before it found drift, 0 where not."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from django.db.models import Q

from heliograph.gates.models import Look, Monitor
from heliograph.query.windows import Question, Values

# A look stands until the next two are late: one may be missed.
_LOOKS_STOOD_FOR = 2
_LATE = timedelta(hours=2)
# Monitor, service ("" for all of the traffic, and in segments by something else) and signal.
_Labels = tuple[str, str, str]


def values(project_id: int, wanted: Mapping[Question, Collection[int]]) -> dict[Question, Values]:
    """Return the measure for each question by monitor, service and signal; a look without a verdict has no value."""
    ends = sorted({end for each in wanted.values() for end in each})
    answers: dict[Question, defaultdict[tuple[str, ...], dict[int, float]]]
    answers = {question: defaultdict(dict) for question in wanted}
    if not ends:
        return {question: {} for question in wanted}
    monitors = list(Monitor.objects.filter(project=project_id))
    by_monitor = _looks(monitors, _time(ends[0]), _time(ends[-1]))
    for monitor in monitors:
        stands, looks = _stands(monitor), by_monitor[monitor.pk]
        for question, each in wanted.items():
            for labels, found in looks.items():
                _answer(question, labels, found, each, stands / timedelta(minutes=1), answers[question])
    return {question: dict(found) for question, found in answers.items()}


def _stands(monitor: Monitor) -> timedelta:
    return monitor.every * _LOOKS_STOOD_FOR + _LATE


def _looks(
    monitors: Sequence[Monitor], start: datetime, end: datetime
) -> dict[int, dict[_Labels, list[tuple[float, float]]]]:
    """Return (minute, 0 or 1) of each monitor's looks that stand within a time, in their order, by labels."""
    found: dict[int, defaultdict[_Labels, list[tuple[float, float]]]]
    found = {monitor.pk: defaultdict(list) for monitor in monitors}
    names = {monitor.pk: monitor.name for monitor in monitors}
    # All in one question: each monitor's looks from as long before as its own stand for.
    standing = Q(pk__in=[])
    for monitor in monitors:
        standing |= Q(monitor=monitor.pk, finished_at__gte=start - _stands(monitor))
    ended = Look.objects.filter(standing, status=Look.Status.DONE, finished_at__lt=end).order_by("finished_at")
    for of, at, result in ended.values_list("monitor_id", "finished_at", "result"):
        of_look: dict[_Labels, float] = {}
        for test in result["tests"]:
            service = test["segment_value"] if test["segment_field"] == "service" else ""
            labels = (names[of], service, test["signal"])
            of_look[labels] = max(float(test["is_found"]), of_look.get(labels, 0.0))
        for labels, value in of_look.items():
            found[of][labels].append((at.timestamp() / 60 if at else 0.0, value))
    return {of: dict(looks) for of, looks in found.items()}


def _answer(
    question: Question,
    labels: _Labels,
    looks: list[tuple[float, float]],
    ends: Collection[int],
    stands: float,
    answer: defaultdict[tuple[str, ...], dict[int, float]],
) -> None:
    named = dict(zip(("monitor", "service", "signal"), labels, strict=True))
    if any(named[name] not in chosen for name, chosen in question.only):
        return
    points = answer[tuple(named[name] for name in question.by)]
    minutes = [minute for minute, _ in looks]
    for end in ends:
        place = bisect_left(minutes, end) - 1
        if place >= 0 and end - minutes[place] <= stands:
            points[end] = max(looks[place][1], points.get(end, 0.0))  # of several, any that found it


def _time(minute: int) -> datetime:
    return datetime.fromtimestamp(minute * 60, UTC)
