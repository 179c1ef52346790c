"""Alerts as marks on charts: where a rule that concerns what a chart shows began to fire, and where that ended.

- `with_alerts(project, charts, range, service=..., model=...) -> list[Chart]`, and `with_alerts_of_each`
- `about(measure, score) -> tuple[str, ...]`: what rules have to watch to concern a chart of this measure
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from django.urls import reverse

from heliograph.accounts.models import Project
from heliograph.alerts.models import Rule, Transition
from heliograph.alerts.state import State
from heliograph.dashboards.charts import Chart, Mark
from heliograph.query import language
from heliograph.query.filters import InvalidFilterError, SpanFilter, TimeRange

# More lines than this on a chart say nothing; the page of alerts has them all.
MAX_MARKS = 20
# Changes of state that a page reads: a hundred alerts that begin and end five times.
MAX_READ = 1_000

REQUESTS = ("requests", "request_rate", "errors", "error_rate", "silence")
CALLS = (*REQUESTS, "llm_calls")
LATENCY = ("latency_p50", "latency_p95", "latency_p99", "slow_rate")
TTFT = ("ttft_p50", "ttft_p95", "ttft_p99", "ttft_slow_rate")
TPOT = ("tpot_p50", "tpot_p95")
TOKENS = ("tokens", "input_tokens", "output_tokens")
COST = ("cost",)
GPU_FAILURES = ("gpu_xid", "gpu_lost", "gpu_ecc")
_FAMILIES = (CALLS, LATENCY, TTFT, TPOT, TOKENS, COST, GPU_FAILURES)


def of_score(name: str) -> tuple[str, ...]:
    """Return what rules of one score are about."""
    return (f"score:{name}",)


def about(measure: str, score: str = "") -> tuple[str, ...]:
    """Return what rules are about that concern a chart of a measure: itself and its like."""
    if score:
        return of_score(score)
    return next((family for family in _FAMILIES if measure in family), (measure,))


def with_alerts(project: Project, charts: Sequence[Chart], span: TimeRange, **shown: Sequence[str]) -> list[Chart]:
    """Add the alerts of the range to the marks of the charts that they concern.

    `shown` are the values that the page is narrowed to, by dimension: an alert of something else is left out.
    """
    return with_alerts_of_each(project, [(chart, shown) for chart in charts], span)


def with_alerts_of_each(
    project: Project, charts: Sequence[tuple[Chart, Mapping[str, Sequence[str]]]], span: TimeRange
) -> list[Chart]:
    """Add alerts as `with_alerts` does, where each chart is narrowed to values of its own."""
    changes = _changes(project, span) if any(chart.about for chart, _ in charts) else []
    found = []
    for chart, shown in charts:
        rules = {each.alert.rule for each in changes if _topic(each.alert.rule) in chart.about}
        concerned = {rule.pk for rule in rules if _concerns(rule, span, shown)}
        own = [
            _mark(project, each)
            for each in changes
            if each.alert.rule_id in concerned and _within(each.alert.labels, shown)
        ]
        marks = sorted([*chart.marks, *own[-MAX_MARKS:]], key=lambda mark: mark.at_ms)
        found.append(replace(chart, marks=marks))
    return found


def _changes(project: Project, span: TimeRange) -> list[Transition]:
    """Beginnings and ends of alerts in the range, earliest first."""
    minutes = span.start_ns // (60 * 10**9), span.end_ns // (60 * 10**9)
    found = Transition.objects.filter(
        alert__rule__project=project, state__in=[State.FIRING, State.RESOLVED], at__range=minutes
    ).select_related("alert__rule")
    return list(found[:MAX_READ])[::-1]


def _topic(rule: Rule) -> str:
    return f"score:{rule.score_name}" if rule.score_name else rule.measure


def _concerns(rule: Rule, span: TimeRange, shown: Mapping[str, Sequence[str]]) -> bool:
    """Whether the rule watches any of what is shown; one that names nothing of a dimension watches all of it."""
    try:
        picked = language.parse(rule.filter, span)
    except InvalidFilterError:
        # Written when a field was known that no longer is: the rule says so itself, on its page.
        picked = SpanFilter(range=span)
    for name, values in shown.items():
        chosen = {*rule.only.get(name, ()), *getattr(picked, name, ())}
        if values and chosen and not chosen & set(values):
            return False
    return True


def _within(labels: Mapping[str, str], shown: Mapping[str, Sequence[str]]) -> bool:
    return all(not values or name not in labels or labels[name] in values for name, values in shown.items())


def _mark(project: Project, change: Transition) -> Mark:
    alert = change.alert
    whose = f", {alert.title}" if alert.labels else ""
    return Mark(
        change.at * 60_000,
        f"{change.state}: {alert.rule.name}{whose}",
        is_bad=change.state == State.FIRING,
        url=reverse("alerts-one", args=[project.slug, alert.pk]),
    )
