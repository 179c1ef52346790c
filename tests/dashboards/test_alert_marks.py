"""Alerts as marks on the charts that they concern, and on no other."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from heliograph.accounts.models import Project
from heliograph.alerts.models import Alert, Rule, Transition
from heliograph.dashboards import alert_marks
from heliograph.dashboards.charts import Chart
from heliograph.query.measures import MEASURES
from tests.dashboards.conftest import IN_HOUR
from tests.query.rows import HOUR, llm, new_trace_id, span, store_spans

pytestmark = pytest.mark.usefixtures("store")
MINUTE = HOUR.start_ns // (60 * 10**9)


def fire(project: Project, name: str, measure: str, *, labels: dict[str, str] | None = None, **rule: Any) -> Alert:
    """A rule whose alert fired in minute 10 of the hour and ended in minute 20."""
    above = {"side": "above", "bound": 1}
    made = Rule.objects.create(
        project=project, name=name, measure=measure, by=list(labels or {}), kind="threshold", condition=above, **rule
    )
    labels = labels or {}
    alert = Alert.objects.create(
        rule=made, key=Alert.key_of(labels), labels=labels, state="resolved", since=MINUTE + 20
    )
    for minute, state in ((5, "pending"), (10, "firing"), (20, "resolved"), (80, "firing")):
        Transition.objects.create(alert=alert, at=MINUTE + minute, state=state)
    return alert


def words(reader: Client, project: Project, page: str = "overview", query: str = "") -> dict[str, set[str]]:
    """The marks by chart."""
    answer = reader.get(f"{reverse(page, args=[project.slug])}?{IN_HOUR}{query}")
    return {chart.id: {mark.words for mark in chart.marks} for chart in answer.context["charts"]}


def test_an_alert_is_a_mark_on_the_charts_of_its_measure_and_leads_to_the_alert(
    reader: Client, project: Project
) -> None:
    store_spans(project.pk, span(new_trace_id(), 5))
    alert = fire(project, "Slow answers", "latency_p95", labels={"service": "shop"})
    answer = reader.get(f"{reverse('overview', args=[project.slug])}?{IN_HOUR}")
    [chart] = [each for each in answer.context["charts"] if each.marks]
    assert chart.id == "latency"
    where = reverse("alerts-one", args=[project.slug, alert.pk])
    # What fired after the range, and what was only about to fire, is not there.
    assert [(mark.at_ms, mark.words, mark.is_bad, mark.url) for mark in chart.marks] == [
        ((MINUTE + 10) * 60_000, "firing: Slow answers, service shop", True, where),
        ((MINUTE + 20) * 60_000, "resolved: Slow answers, service shop", False, where),
    ]
    page = answer.content.decode()
    assert f'<a href="{where}">firing: Slow answers, service shop</a>' in page
    assert 'aria-label="2 marks on the time axis: How long did requests take?"' in page


def test_each_measure_is_on_the_chart_that_shows_it(reader: Client, project: Project) -> None:
    store_spans(project.pk, llm(new_trace_id(), 5))
    rules = {"requests": "error_rate", "ttft": "ttft_slow_rate", "tpot": "tpot_p50", "tokens": "tokens", "cost": "cost"}
    for name, measure in rules.items():
        fire(project, name, measure)
    fire(project, "drift", "drift", labels={"monitor": "weekly"})
    fire(project, "groundedness", "score_mean", score_name="groundedness")
    fire(project, "other", "score_mean", score_name="politeness")
    fire(project, "gpu", "gpu_power")
    found = {
        chart: {each.partition(": ")[2].partition(",")[0] for each in marks}
        for chart, marks in words(reader, project).items()
    }
    expected = {name: {name} for name in (*rules, "drift", "groundedness")}
    assert found == expected | {"latency": set()}


def test_a_page_narrowed_to_something_shows_no_alert_of_something_else(reader: Client, project: Project) -> None:
    store_spans(project.pk, llm(new_trace_id(), 5, service="shop"))
    fire(project, "of shop", "error_rate", labels={"service": "shop"})
    fire(project, "of search", "error_rate", labels={"service": "search"})
    fire(project, "only search", "error_rate", only={"service": ["search"]})
    fire(project, "filtered", "error_rate", filter="service:search")
    fire(project, "of all", "error_rate")
    fire(project, "of any model", "error_rate", labels={"model": "o3"})
    fire(project, "unreadable", "error_rate", filter="nosuchfield:x")
    shown = {each for each in words(reader, project, query="&service=shop")["requests"] if each.startswith("firing")}
    kept = ("of all", "of any model, model o3", "of shop, service shop", "unreadable")
    assert shown == {f"firing: {name}" for name in kept}
    assert len(words(reader, project)["requests"]) == 14


def test_models_scores_and_dashboards_have_them_too(reader: Client, project: Project) -> None:
    store_spans(project.pk, llm(new_trace_id(), 5, model="o3"), llm(new_trace_id(), 6, model="o4"))
    fire(project, "slow", "latency_p99", labels={"model": "o3"})
    fire(project, "ungrounded", "score_below", score_name="groundedness", score_bound=0.5)
    fire(project, "tools", "latency_p50", labels={"kind": "tool"})
    slow = {"firing: slow, model o3", "resolved: slow, model o3"}
    assert words(reader, project, "models-one", "&model=o3")["model-latency"] == slow
    assert words(reader, project, "models-one", "&model=o4")["model-latency"] == set()
    compared = words(reader, project, "models-compare", "&model=o3&model=o4")
    assert {name: marks for name, marks in compared.items() if marks} == {"compare-latency": slow}
    ungrounded = {"firing: ungrounded", "resolved: ungrounded"}
    assert words(reader, project, "evaluations") == {"mean": ungrounded, "share": ungrounded}
    board = reader.post(reverse("overview-boards-create", args=[project.slug]), {"name": "Ours"})["location"]
    panels: list[dict[str, str]] = [
        {"measure": "latency_p50", "filter": "model:o3,o5"},
        {"measure": "latency_p50", "filter": "model:o4"},
        {"measure": "score_mean", "name": "groundedness"},
        {"measure": "cost"},
    ]
    for panel in panels:
        assert reader.post(f"{board}/change", panel | {"do": "add", "chart": "line"}).status_code == 302
    shown = reader.get(f"{board}?{IN_HOUR}").context["shown"]
    tools = {"firing: tools, kind tool", "resolved: tools, kind tool"}
    assert [{mark.words for mark in chart.marks} for _, chart, _ in shown] == [slow | tools, tools, ungrounded, set()]


def test_another_project_s_alerts_are_not_there_and_many_are_the_latest(project: Project) -> None:
    beside = Project.objects.create(organization=project.organization, name="Beside", slug=f"{project.slug}-beside")
    fire(beside, "theirs", "cost")
    alert = fire(project, "ours", "cost")
    Transition.objects.bulk_create(
        Transition(alert=alert, at=MINUTE + 21 + minute, state="firing") for minute in range(30)
    )
    chart = Chart("cost", "Cost?", "usd", [], [], about=alert_marks.COST)
    [marked] = alert_marks.with_alerts(project, [chart], HOUR)
    assert len(marked.marks) == alert_marks.MAX_MARKS
    assert marked.marks[-1].at_ms == (MINUTE + 50) * 60_000
    assert all("ours" in mark.words for mark in marked.marks)


def test_a_chart_of_a_measure_is_concerned_by_its_own_alerts() -> None:
    for key, measure in MEASURES.items():
        if measure.source == "scores":
            assert alert_marks.about(key, "x") == alert_marks.of_score("x")
        else:
            assert key in alert_marks.about(key)
