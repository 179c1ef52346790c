"""Alerts: what fires now, one alert with its history, rules with a preview, and silences."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from heliograph.accounts.models import Project, User
from heliograph.alerts.conditions import InvalidConditionError
from heliograph.alerts.editing import remove_rule, save_rule
from heliograph.alerts.history import MAX_DRAWN, AlertPreview, Seen, look_back
from heliograph.alerts.models import MAX_RULES, MAX_SILENCES, Alert, Rule, Silence, Transition
from heliograph.alerts.state import State
from heliograph.clickhouse.errors import StoreError
from heliograph.dashboards.access import editor_page, may_edit, project_page
from heliograph.dashboards.alert_rule_form import RuleForm, initial_of
from heliograph.dashboards.charts import Chart, Mark, Series, Unit
from heliograph.dashboards.finding import found_in
from heliograph.dashboards.trace_filter import NAMED
from heliograph.query.filters import InvalidFilterError
from heliograph.query.measures import MEASURES, measure_of

# Firing first, then what may fire, then what has no data or ended lately.
_ORDER = {"firing": 0, "no_data": 1, "pending": 2, "resolved": 3, "ok": 4}
# Read on a phone at night; the API pages through more.
MAX_SHOWN = 200
DAY = timedelta(days=1)
_UNITS: dict[str, Unit] = {"1": "share", "USD": "usd", "Cel": "celsius", "W": "watt", "{request}/s": "per_s"}


# What most people want to hear of first; each fills the form.
STARTERS = [
    {"title": "Errors", "query": "name=Errors&measure=error_rate&by=service&bound=0.05"},
    {"title": "Slow first token", "query": "name=Slow+first+token&measure=ttft_p95&by=model&bound=5"},
    {"title": "A silent service", "query": "name=Silent+service&measure=silence&by=service&window=1&bound=15&hold=0"},
    {
        "title": "GPU errors",
        "query": "name=GPU+XID+errors&measure=gpu_xid&by=host,gpu,xid&bound=0&hold=0&severity=critical",
    },
    {"title": "An error budget", "query": "name=Error+budget&measure=error_rate&kind=burn_rate&by=service&hold=0"},
]


@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the alerts and the rules."""
    standing = Alert.objects.filter(rule__project=project).exclude(state="ok").select_related("rule")
    alerts = sorted(standing[:MAX_SHOWN], key=lambda alert: (_ORDER[alert.state], -alert.since))
    firing = Count("alerts", filter=Q(alerts__state="firing"))
    context = {
        "project": project,
        "alerts": alerts,
        "firing": sum(alert.state == "firing" for alert in alerts),
        "rules": found_in(request, Rule.objects.filter(project=project).annotate(firing=firing), "name", "measure")[
            :MAX_RULES
        ],
        "measures": {key: measure.title for key, measure in MEASURES.items()},
        "starters": STARTERS,
        "silenced": [silence for silence in _silences(project) if silence.is_active(timezone.now())],
        "may_edit": may_edit(request, project),
    }
    return render(request, "alerts/list.html", context)


def _then(alert: Alert, changes: QuerySet[Transition]) -> str:
    """Return the range, as addresses carry it, from what an alert's last firing was judged by until it ended."""
    begun = next((change.at for change in changes if change.state == State.FIRING), alert.since)
    ends = [change.at for change in changes if change.at >= begun and change.state == State.RESOLVED]
    start = datetime.fromtimestamp((begun - alert.rule.window) * 60, UTC)
    end = datetime.fromtimestamp(max(ends) * 60, UTC) if ends else timezone.now()
    return urlencode({"from": start.isoformat(), "to": end.isoformat()})


@project_page
def show_one(request: HttpRequest, project: Project, alert_id: int) -> HttpResponse:
    """Show one alert: its last day, its changes, and who was told."""
    alert = get_object_or_404(Alert.objects.select_related("rule"), rule__project=project, pk=alert_id)
    context: dict[str, Any] = {
        "project": project,
        "alert": alert,
        "rule": alert.rule,
        "measure": measure_of(alert.rule.measure),
        "transitions": (changes := alert.transitions.all()[:100]),
        "then": _then(alert, changes),
        "narrowed": urlencode({name: value for name, value in alert.labels.items() if name in NAMED}),
        "deliveries": alert.rule.deliveries.select_related("channel")[:20],
        "may_edit": may_edit(request, project),
    }
    try:
        seen = look_back(alert.rule, timezone.now(), DAY)
        mine = [group for group in seen.groups if group.labels == alert.labels]
        marks = [Mark(t.at * 60_000, t.state, t.state == "firing") for t in alert.transitions.all()[:50]]
        context["charts"] = [_chart(alert.rule, group, marks=marks) for group in mine[:1]]
    except (StoreError, InvalidFilterError, InvalidConditionError) as error:
        context["failure"] = _words(error)
    return render(request, "alerts/alert.html", context)


@require_POST
@editor_page
def acknowledge(request: HttpRequest, project: Project, alert_id: int) -> HttpResponse:
    """Say that somebody sees to it: it is not told again while it lasts."""
    alert = get_object_or_404(Alert, rule__project=project, pk=alert_id)
    assert isinstance(request.user, User)
    Alert.objects.filter(pk=alert.pk, is_open=True).update(acknowledged_at=timezone.now(), acknowledged_by=request.user)
    messages.success(request, "It is yours, and will not be told again while it lasts.")
    return redirect("alerts-one", project.slug, alert.pk)


@project_page
def show_rule(request: HttpRequest, project: Project, rule_id: int) -> HttpResponse:
    """Show a rule in its form."""
    rule = get_object_or_404(Rule, project=project, pk=rule_id)
    return _form_page(request, project, RuleForm(project, rule, initial=initial_of(rule)))


@project_page
def new_rule(request: HttpRequest, project: Project) -> HttpResponse:
    """Show an empty form; the query string may fill it, so that a chart can lead here."""
    given = {name: request.GET[name] for name in RuleForm.base_fields if name in request.GET}
    return _form_page(request, project, RuleForm(project, Rule(project=project), initial=given))


@require_POST
@editor_page
def save(request: HttpRequest, project: Project, rule_id: int = 0) -> HttpResponse:
    """Save a rule, new or changed."""
    rule = get_object_or_404(Rule, project=project, pk=rule_id) if rule_id else Rule(project=project)
    form = RuleForm(project, rule, request.POST)
    if not form.is_valid():
        return _form_page(request, project, form, status=422)
    if not rule.pk and isinstance(request.user, User):
        rule.created_by = request.user
    try:
        save_rule(rule, form.chosen_channels())
    except ValidationError as error:
        for name, told in error.message_dict.items():
            form.add_error(name if name in form.fields else None, told)
        return _form_page(request, project, form, status=422)
    messages.success(request, f"“{rule.name}” is judged within a minute or so.")
    return redirect("alerts-rule", project.slug, rule.pk)


@require_POST
@editor_page
def switch(request: HttpRequest, project: Project, rule_id: int) -> HttpResponse:
    """Pause a rule, or let it go on."""
    rule = get_object_or_404(Rule, project=project, pk=rule_id)
    rule.is_paused = not rule.is_paused
    save_rule(rule)
    messages.success(request, f"“{rule.name}” {'is paused' if rule.is_paused else 'goes on'}.")
    return redirect("alerts", project.slug)


@require_POST
@editor_page
def remove(request: HttpRequest, project: Project, rule_id: int) -> HttpResponse:
    """Remove a rule."""
    rule = get_object_or_404(Rule, project=project, pk=rule_id)
    remove_rule(rule)
    messages.success(request, f"“{rule.name}” and its history are removed; what was sent stays among the deliveries.")
    return redirect("alerts", project.slug)


@require_POST
@editor_page
def preview(request: HttpRequest, project: Project) -> HttpResponse:
    """Return what the rule in the form would have done in the last seven days, as a fragment; nothing is stored."""
    form = RuleForm(project, Rule(project=project), request.POST)
    context: dict[str, Any] = {"project": project, "form": form}
    if form.is_valid():
        try:
            found = look_back(form.rule, timezone.now())
            context |= {"preview": found, "charts": _charts(form.rule, found)}
        except (StoreError, InvalidFilterError, InvalidConditionError) as error:
            context["failure"] = _words(error)
    return render(request, "alerts/_preview.html", context)


def _form_page(request: HttpRequest, project: Project, form: RuleForm, status: int = 200) -> HttpResponse:
    context = {
        "project": project,
        "form": form,
        "rule": form.rule,
        "measures": MEASURES.values(),
        "dimensions": sorted({name for measure in MEASURES.values() for name in measure.dimensions}),
        "may_edit": may_edit(request, project),
    }
    return render(request, "alerts/rule.html", context, status=status)


def _silences(project: Project) -> list[Silence]:
    return list(Silence.objects.filter(project=project)[:MAX_SILENCES])


def _words(error: StoreError | InvalidFilterError | InvalidConditionError) -> str:
    return error.user_text if isinstance(error, StoreError) else str(error)


def _charts(rule: Rule, found: AlertPreview) -> list[Chart]:
    return [_chart(rule, group, number) for number, group in enumerate(found.groups[:MAX_DRAWN])]


def _chart(rule: Rule, group: Seen, number: int = 0, marks: Sequence[Mark] = ()) -> Chart:
    """Draw the values, what they were held against, and where the alert was open."""
    unit: Unit = "number" if rule.kind == "burn_rate" else _UNITS.get(measure_of(rule.measure).unit, "number")
    firing = [value if state == "firing" else None for value, state in zip(group.values, group.states, strict=True)]
    title = measure_of(rule.measure).title if rule.kind != "burn_rate" else "Budget spent, times what it may be"
    return Chart(
        id=f"alert-{number}",
        title=f"{title}: {group.title}",
        unit=unit,
        times_ms=[end * 60_000 for end in group.ends],
        series=[
            Series("value", list(group.values)),
            Series("held against", list(group.against), "faint"),
            Series("firing", firing, "bad"),
        ],
        marks=marks,
        is_named=True,
    )
