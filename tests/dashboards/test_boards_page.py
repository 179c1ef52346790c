"""Dashboards that people make: panels picked by hand, exported, imported, shared, and over the API."""

import json

import pytest
from django.test import Client
from django.urls import reverse

from heliograph.accounts.models import ApiKey, Project
from heliograph.saved.models import Dashboard
from tests.dashboards.conftest import IN_HOUR, Signed
from tests.query.rows import HOUR, new_trace_id, span, store_spans

pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def board(reader: Client, project: Project) -> str:
    """The address of an empty dashboard."""
    answer = reader.post(reverse("overview-boards-create", args=[project.slug]), {"name": "Ours"})
    return str(answer["location"])


def test_a_picked_panel_shows_what_the_spans_say(reader: Client, board: str, project: Project) -> None:
    store_spans(project.pk, *(span(new_trace_id(), number, service=f"s{number % 2}") for number in range(9)))
    picked = {"do": "add", "measure": "requests", "by": "service", "chart": "bar", "filter": "", "title": "Traffic"}
    assert reader.post(f"{board}/change", picked).status_code == 302
    reader.post(f"{board}/change", {"do": "add", "measure": "requests", "chart": "number", "filter": "service:s0"})
    page = reader.get(f"{board}?{IN_HOUR}")
    (first, chart, _), (second, _, _) = page.context["shown"]
    assert {series.name: sum(series.values) for series in chart.series} == {"s0": 5, "s1": 4}
    assert (chart.title, chart.kind, first.total, second.total) == ("Traffic", "bar", 9, 5)
    reader.post(f"{board}/change", {"do": "up", "panel": "1"})
    reader.post(f"{board}/change", {"do": "remove", "panel": "1"})
    assert [panel["chart"] for panel in Dashboard.objects.get().panels] == ["number"]


def test_a_panel_that_cannot_be_is_explained_and_kept_in_the_form(reader: Client, board: str) -> None:
    given = {"do": "add", "measure": "gpu_power", "by": "service", "chart": "line", "filter": "x:1", "title": "<b>"}
    answer = reader.post(f"{board}/change", given)
    assert answer.status_code == 422
    assert b"knows host, gpu" in answer.content
    assert b'value="x:1"' in answer.content
    assert b"<b>" not in answer.content.replace(b"<b></b>", b"")
    assert reader.post(f"{board}/change", {"do": "remove", "panel": "7"}).status_code == 422


def test_an_export_is_imported_elsewhere_as_the_same(
    reader: Client, board: str, project: Project, signed_in: Signed
) -> None:
    reader.post(f"{board}/change", {"do": "add", "measure": "latency_p95", "by": "model", "chart": "line"})
    text = reader.get(f"{board}/export").content.decode()
    answer = signed_in().post(reverse("overview-boards-create", args=[project.slug]), {"json": text})
    one, two = Dashboard.objects.order_by("pk")
    assert answer["location"] == reverse("overview-boards-one", args=[project.slug, two.pk])
    assert (one.name, one.panels) == (two.name, two.panels)
    broken = text.replace("latency_p95", "latency")
    answer = reader.post(reverse("overview-boards-create", args=[project.slug]), {"json": broken})
    assert answer.status_code == 422
    assert b"panels[0].measure: there is no measure" in answer.content


def test_a_dashboard_of_one_s_own_is_found_by_nobody_else(reader: Client, board: str, signed_in: Signed) -> None:
    other = signed_in()
    assert other.get(board).status_code == 200
    reader.post(f"{board}/change", {"do": "rename", "name": "Mine"})
    assert reader.get(board).status_code == 200
    assert other.get(board).status_code == other.post(f"{board}/change", {"do": "delete"}).status_code == 404
    reader.post(f"{board}/change", {"do": "delete"})
    assert not Dashboard.objects.exists()


def test_the_api_keeps_dashboards_and_gives_their_numbers(client: Client, project: Project) -> None:
    _, key = ApiKey.issue(project, "theirs")
    headers = {"authorization": f"Bearer {key}"}
    store_spans(project.pk, *(span(new_trace_id(), number) for number in range(5)))
    body = {"name": "Ours", "panels": [{"measure": "requests", "by": ["service"]}]}
    made = client.post("/api/v1/dashboards", json.dumps(body), content_type="application/json", headers=headers)
    assert made.status_code == 200, made.content
    path = f"/api/v1/dashboards/{made.json()['id']}"
    ends = {"start": HOUR.start.isoformat(), "end": HOUR.end.isoformat()}
    [panel] = client.get(f"{path}/data", ends, headers=headers).json()["items"]
    assert (panel["title"], panel["total"], panel["lines"][0]["label"]) == ("Requests", 5, "shop")
    wrong = json.dumps(body | {"panels": [{"measure": "request"}]})
    answer = client.put(path, wrong, content_type="application/json", headers=headers)
    assert answer.status_code == 400
    assert "did you mean requests?" in answer.content.decode()
    stranger = Project.create(project.organization, "Other")
    _, other = ApiKey.issue(stranger, "other")
    for call in (client.get, client.delete):
        assert call(path, headers={"authorization": f"Bearer {other}"}).status_code == 404
    assert client.delete(path, headers=headers).status_code == 204
    assert len(client.get("/api/v1/measures", headers=headers).json()["items"]) > 20
