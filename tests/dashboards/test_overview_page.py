"""Each figure of the overview against a count by plain SQL."""

import json
import re
import statistics
from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from heliograph.accounts.models import Project
from heliograph.clickhouse import client
from heliograph.dashboards.overview import Tile
from heliograph.gates.models import Finding, Look, Monitor
from heliograph.query.scores import Score, write_scores
from tests.dashboards.conftest import IN_HOUR
from tests.query.rows import HOUR, SECOND, START, at, llm, new_trace_id, plain, span, store_spans

pytestmark = pytest.mark.usefixtures("store")


def fill(project_id: int) -> None:
    rows = []
    for number in range(40):
        trace_id = new_trace_id()
        failed = number % 8 == 0
        rows.append(
            span(trace_id, number * 60, status="error" if failed else "ok", duration_ns=(number + 1) * SECOND // 10)
        )
        usage = {"input_tokens": 100 + number, "output_tokens": 7, "cost": Decimal("0.001"), "ttft_ns": 5_000_000}
        rows.append(llm(trace_id, number * 60 + 1, parent_span_id=rows[-1]["span_id"], **usage))
    store_spans(project_id, *rows)


@pytest.fixture
def address(project: Project) -> str:
    return f"{reverse('overview', args=[project.slug])}?{IN_HOUR}"


def test_an_empty_overview_teaches_how_to_send(reader: Client, address: str) -> None:
    answer = reader.get(address)
    assert answer.status_code == 200
    assert b"OTEL_EXPORTER_OTLP_ENDPOINT" in answer.content


def test_what_was_sampled_is_said_and_estimated_and_what_tail_sampling_removed_still_counts(
    reader: Client, address: str, project: Project
) -> None:
    sampled = [span(new_trace_id(), number, adjusted_count=4.0) for number in range(10)]
    call = llm(sampled[0]["trace_id"], 1, adjusted_count=4.0, input_tokens=100, output_tokens=20, cost=Decimal("0.5"))
    store_spans(project.pk, *sampled, call)
    answer = reader.get(address)
    found = answer.context["sampled"]
    assert (found.stored, found.requests, found.tokens, found.cost) == (10, 40, 480, 2.0)
    assert "of about" in answer.content.decode()
    assert b'id="decided"' not in answer.content
    rows = [("kept_traces", "failed", 3), ("removed_traces", "", 7)]
    client.insert(
        "ingest_ledger",
        {
            "project_id": [project.pk] * 2,
            "key_id": [0] * 2,
            "signal": ["traces"] * 2,
            "minute": [START] * 2,
            "what": [row[0] for row in rows],
            "reason": [row[1] for row in rows],
            "n": [row[2] for row in rows],
        },
    )
    answer = reader.get(address)
    assert (answer.context["decided"].kept, answer.context["decided"].traces) == (3, 10)
    assert b'id="decided">Sampling of whole traces kept' in answer.content


def test_without_sampling_nothing_is_said_about_it(reader: Client, address: str, project: Project) -> None:
    fill(project.pk)
    page = reader.get(address).content
    assert b'id="sampled"' not in page
    assert b'id="decided"' not in page


def test_every_tile_equals_an_independent_count(reader: Client, address: str, project: Project) -> None:
    fill(project.pk)
    tiles: dict[str, Tile] = {tile.label: tile for tile in reader.get(address).context["tiles"]}
    [roots] = plain(
        project.pk,
        "SELECT count() AS n, countIf(status = 'error') AS failed, groupArray(duration_ns) AS took FROM spans"
        " WHERE {mine} AND parent_span_id = ''",
    )
    [calls] = plain(
        project.pk,
        "SELECT count() AS n, sum(input_tokens) AS i, sum(output_tokens) AS o, sum(cost) AS cost,"
        " any(ttft_ns) AS first FROM spans WHERE {mine} AND kind = 'llm'",
    )
    exact = {
        "Requests": roots["n"],
        "Error rate": roots["failed"] / roots["n"],
        "Model calls": calls["n"],
        "Tokens in": calls["i"],
        "Tokens out": calls["o"],
        "First token p50": calls["first"],
        "Cost": float(calls["cost"]),
    }
    assert {name: tiles[name].value for name in exact} == pytest.approx(exact)
    # Quantiles come from a t-digest of 40 values; the exact ones lie within a neighbouring value.
    assert tiles["Latency p50"].value == pytest.approx(statistics.median(roots["took"]), abs=SECOND / 10)
    assert tiles["Latency p95"].value == pytest.approx(sorted(roots["took"])[37], abs=SECOND / 5)


def test_the_charts_add_up_to_the_tiles(reader: Client, address: str, project: Project) -> None:
    fill(project.pk)
    charts = {chart.id: chart for chart in reader.get(address).context["charts"]}
    summed = {series.name: sum(series.values) for series in charts["requests"].series}
    assert summed == {"succeeded": 35, "failed": 5}
    assert sum(charts["cost"].series[0].values) == pytest.approx(0.04)


def test_all_charts_share_one_axis_so_that_they_can_be_compared(reader: Client, address: str, project: Project) -> None:
    fill(project.pk)
    assert {chart.range_ms for chart in reader.get(address).context["charts"]} == {(at(0) // 10**6, at(3600) // 10**6)}


def test_the_score_over_time_is_the_mean_of_the_scores(reader: Client, address: str, project: Project) -> None:
    store_spans(project.pk, row := llm(new_trace_id(), 10))
    judged = {"trace_id": row["trace_id"], "span_id": row["span_id"], "name": "groundedness", "source": "api"}
    given = [Score(score_id=str(value), time_ns=at(10), value=value, **judged) for value in (0.25, 0.75)]
    write_scores(project.pk, given, 90)
    charts = {chart.id: chart for chart in reader.get(address).context["charts"]}
    assert list(charts["groundedness"].series[0].values) == [0.5]


def test_drift_is_what_the_looks_of_the_project_s_monitors_found(
    reader: Client, address: str, project: Project
) -> None:
    def looked(project: Project, seconds: int, *signals: str) -> None:
        monitor, _ = Monitor.objects.get_or_create(project=project, name="Daily")
        until = HOUR.start + timedelta(seconds=seconds)
        look = Look.objects.create(monitor=monitor, status=Look.Status.DONE, until=until)
        for signal in signals:
            given = {"project": project, "monitor": monitor, "look": look, "signal": signal}
            Finding.objects.create(**given, effect=1, q_value=0)

    looked(project, 30, "input", "latency")
    looked(project, 600)
    looked(Project.create(project.organization, "Another"), 600, "output")
    chart = next(chart for chart in reader.get(address).context["charts"] if chart.id == "drift")
    drawn = {series.name: [value for value in series.values if value is not None] for series in chart.series}
    assert drawn == {"input": [1, 0], "latency": [1, 0]}
    assert chart.series[0].values[0] == 1


def test_the_breakdowns_lead_to_their_traces_in_the_same_time(reader: Client, address: str, project: Project) -> None:
    fill(project.pk)
    page = reader.get(address).content.decode()
    [link] = re.findall(r'href="([^"]+traces\?model=[^"]+)"', page)
    listed = reader.get(link.replace("&amp;", "&"))
    assert len(listed.context["listed"]) == 40


def test_a_hostile_service_name_is_escaped_in_text_and_in_chart_data(
    reader: Client, address: str, project: Project
) -> None:
    hostile = "</script><script>alert(1)</script>"
    store_spans(project.pk, span(new_trace_id(), 5, service=hostile), llm(new_trace_id(), 5, model=hostile))
    page = reader.get(address).content.decode()
    assert hostile not in page
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in page


def test_the_chart_data_in_the_page_are_the_charts(reader: Client, address: str, project: Project) -> None:
    fill(project.pk)
    answer = reader.get(address)
    [found] = re.findall(r'<script id="data-requests" type="application/json">(.*?)</script>', answer.content.decode())
    assert json.loads(found) == json.loads(json.dumps(answer.context["charts"][0].data))


def test_narrowing_by_a_service_counts_only_it(reader: Client, address: str, project: Project) -> None:
    fill(project.pk)
    store_spans(project.pk, span(new_trace_id(), 5, service="other"))
    tiles = reader.get(f"{address}&service=other").context["tiles"]
    assert tiles[0].value == 1


def test_a_change_of_the_model_that_answers_is_marked_on_the_charts(reader: Client, project: Project) -> None:
    calls = [(0, "gpt-4o-2024-08-06"), (600, "gpt-4o-2024-11-20")]
    store_spans(
        project.pk,
        *(llm(new_trace_id(), seconds, model=model, model_requested="gpt-4o") for seconds, model in calls),
    )
    page = reader.get(reverse("overview", args=[project.slug]), {"range": "24h"})
    for chart in page.context["charts"]:
        assert [mark.words for mark in chart.marks] == ["gpt-4o: gpt-4o-2024-08-06 → gpt-4o-2024-11-20"]
    # The change is of neither of these.
    page = reader.get(reverse("overview", args=[project.slug]), {"range": "24h", "model": "o3"})
    assert all(not chart.marks for chart in page.context["charts"])


def test_a_click_on_a_chart_asks_what_was_slow_of_what_the_page_is_narrowed_to(
    reader: Client, address: str, project: Project
) -> None:
    for number, (release, environment) in enumerate((("1.4", "live"), ("1.5", "live"), ("1.5", "test"))):
        of = {"release": release, "environment": environment, "model": f"of {release} {environment}"}
        store_spans(project.pk, llm(new_trace_id(), number, **of))
    page = reader.get(f"{address}&release=1.5&environment=live")
    slow = f"{reverse('gpus-slow', args=[project.slug])}?environment=live&release=1.5"
    latency = next(chart for chart in page.context["charts"] if chart.id == "latency")
    assert latency.slow_url == slow
    listed = reader.get(f"{slow}&{IN_HOUR}").content.decode()
    assert "of 1.5 live" in listed
    assert "of 1.5 test" not in listed
    assert "of 1.4 live" not in listed
    # A score is not slow: its chart leads to no list of slow calls.
    assert all(not chart.slow_url for chart in page.context["charts"] if chart.id == "drift")


def test_the_map_of_the_latency_counts_each_request_and_its_cells_lead_to_their_traces(
    reader: Client, address: str, project: Project
) -> None:
    fill(project.pk)
    # Roots of other traces' kind: what another service was sent on is no request of its own.
    store_spans(project.pk, span(new_trace_id(), 5, parent_span_id="00000000000000aa", duration_ns=SECOND))
    chart = next(one for one in reader.get(f"{address}&latency=map").context["charts"] if one.id == "latency")
    assert (chart.kind, [view.is_current for view in chart.views]) == ("heat", [False, True])
    assert chart.heat is not None
    took = plain(project.pk, "SELECT duration_ns FROM spans WHERE {mine} AND parent_span_id = ''")
    for series, (low, high), terms in zip(
        chart.series, zip(chart.heat.edges, chart.heat.edges[1:], strict=False), chart.heat.terms, strict=True
    ):
        exact = sum(low <= row["duration_ns"] < high for row in took)
        assert sum(series.values) == exact
        query = {"from": HOUR.start.isoformat(), "to": HOUR.end.isoformat(), "q": f"-has:parent {' '.join(terms)}"}
        listed = reader.get(chart.heat.url.partition("?")[0], query).context["listed"]
        assert len(listed) == exact
    assert chart.heat.url.endswith("?q=-has%3Aparent")


def test_a_map_narrowed_to_a_model_leads_to_its_calls(reader: Client, address: str, project: Project) -> None:
    fill(project.pk)
    store_spans(project.pk, llm(new_trace_id(), 5, model="other", duration_ns=7 * SECOND))
    chart = next(
        one for one in reader.get(f"{address}&latency=map&model=other").context["charts"] if one.id == "latency"
    )
    assert [(one.name, sum(one.values)) for one in chart.series] == [("7 s – 10 s", 1)]
    assert chart.heat is not None
    listed = reader.get(f"{chart.heat.url}&q={chart.heat.terms[0][0]}&{IN_HOUR}").context["listed"]
    assert len(listed) == 1
