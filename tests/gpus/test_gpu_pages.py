"""The pages of fleet, node, GPU and engines show what is known, and nothing of another project's."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from heliograph.accounts.models import Project
from heliograph.alerts.models import Alert, Rule, Transition
from heliograph.clickhouse import client
from heliograph.dashboards.gpus import COLOURINGS
from heliograph.demo.day import ENGINES, HOST, HOT, HOT_GPU, LOST_GPU, SECOND
from heliograph.demo.day_gpus import HELD_SHARE, uuid_of
from heliograph.query.filters import SpanFilter, TimeRange, from_ns
from heliograph.query.traces import list_traces
from tests.gpus.conftest import Played, Signed
from tests.query.rows import HOUR, point, store_rows

pytestmark = pytest.mark.usefixtures("store")


def get(reader: Client, played: Played, name: str, *arguments: str, **query: str) -> Any:
    dates = {"from": played.span.start.isoformat(), "to": played.span.end.isoformat()}
    return reader.get(reverse(name, args=["day", *arguments]), dates | query)


ENGINE = {"engine": "vllm", "service": "vllm-70b", "host": HOST, "instance": f"{HOST}:8000"}


def test_problems_come_first_and_every_gpu_is_a_cell(reader: Client, played: Played) -> None:
    answer = get(reader, played, "gpus")
    html = answer.content.decode()
    troubled = [trouble.first.index for trouble in answer.context["troubled"]]
    assert troubled == [str(LOST_GPU), str(HOT_GPU)]
    listed = html[html.index("Problems first") :]
    assert listed.index("XID 79") < listed.index("Thermally limited")
    for index in range(8):
        assert reverse("gpus-device", args=["day", uuid_of(index)]) in html
    [node] = answer.context["nodes"]
    assert [cell.state for cell in node.cells] == ["", "", "", "bad", "", "", "", "bad"]


@pytest.mark.parametrize(("by", "shown"), [("temperature", "89 °C"), ("power", " W"), ("memory", "93 %")])
def test_cells_are_coloured_by_what_the_address_says(reader: Client, played: Played, by: str, shown: str) -> None:
    answer = get(reader, played, "gpus", by=by)
    [node] = answer.context["nodes"]
    assert shown in node.cells[HOT_GPU].text
    assert f'by={by}" aria-current="true"' in answer.content.decode()


def test_the_strength_of_a_colour_follows_the_reading(reader: Client, played: Played) -> None:
    for by, _ in COLOURINGS:
        [node] = get(reader, played, "gpus", by=by).context["nodes"]
        heats = [cell.heat for cell in node.cells]
        assert all(heat is not None and 0 <= heat <= 5 for heat in heats), by
        if by in ("throttle", "temperature"):
            assert max(range(8), key=lambda index: heats[index]) == HOT_GPU


def test_a_gpu_without_a_reading_has_a_dash_and_no_colour(project: Project, reader: Client, other: Project) -> None:
    rows = [point("hw.gpu.memory.usage", 60, 5.0, host="n", gpu_uuid="MIG-1", resource={"hw.parent": "GPU-1"})]
    store_rows(project.pk + 5, "metric_points", rows)
    Project.objects.create(id=project.pk + 5, organization=project.organization, name="Mig", slug="mig")
    dates = {"from": HOUR.start.isoformat(), "to": HOUR.end.isoformat()}
    [node] = reader.get(reverse("gpus", args=["mig"]), dates).context["nodes"]
    assert [(cell.text, cell.heat) for cell in node.cells] == [("–", None)]


def test_an_empty_fleet_says_what_to_run(signed_in: Signed, other: Project) -> None:
    answer = signed_in(organization=other.organization).get(reverse("gpus", args=["else"]))
    assert "heliograph-gpu-agent" in answer.content.decode()
    engines = signed_in(organization=other.organization).get(reverse("gpus-engines", args=["else"]))
    assert "No serving engine reported" in engines.content.decode()


def test_a_node_draws_a_line_a_gpu_and_marks_what_happened(reader: Client, played: Played) -> None:
    answer = get(reader, played, "gpus-node", host=HOST)
    charts = {chart.id: chart for chart in answer.context["charts"]}
    assert [series.name for series in charts["node-power"].series] == [f"GPU {index}" for index in range(8)]
    throttled = {series.name: max(value or 0 for value in series.values) for series in charts["node-throttle"].series}
    assert throttled[f"GPU {HOT_GPU}"] == pytest.approx(0.72, rel=0.05)
    assert {mark.words for mark in charts["node-power"].marks} == {
        f"GPU {LOST_GPU}: XID 79",
        f"GPU {LOST_GPU}: lost",
        f"GPU {LOST_GPU}: back",
    }
    assert get(reader, played, "gpus-node", host="elsewhere").status_code == 404


def test_alerts_of_a_gpu_or_an_engine_are_marks_where_it_is_drawn(
    project: Project, reader: Client, played: Played
) -> None:
    hot = {"host": HOST, "gpu": uuid_of(HOT_GPU)}
    for measure, labels in (("gpu_temperature", hot), ("kv_usage", {"instance": ENGINE["instance"]})):
        above = {"side": "above", "bound": 1}
        rule = Rule.objects.create(
            project=project, name=measure, measure=measure, by=list(labels), kind="threshold", condition=above
        )
        alert = Alert.objects.create(rule=rule, key=Alert.key_of(labels), labels=labels, state="firing", since=0)
        Transition.objects.create(alert=alert, at=played.day.at_ns(HOT[0]) // (60 * SECOND), state="firing")

    def fired(name: str, *arguments: str, **query: str) -> set[str]:
        charts = get(reader, played, name, *arguments, **query).context["charts"]
        return {chart.id for chart in charts if any(mark.words.startswith("firing: ") for mark in chart.marks)}

    assert fired("gpus-node", host=HOST) == {"node-temperature"}
    assert fired("gpus-device", uuid_of(HOT_GPU)) == {"temperature"}
    assert fired("gpus-device", uuid_of(LOST_GPU)) == set()
    assert fired("gpus-engine", **ENGINE) == {"engine-kv_usage"}


def test_a_gpu_s_page_has_its_readings_events_processes_and_requests(reader: Client, played: Played) -> None:
    answer = get(reader, played, "gpus-device", uuid_of(HOT_GPU))
    html = answer.content.decode()
    charts = {chart.id: chart for chart in answer.context["charts"]}
    assert {"utilization", "activity", "memory", "power", "throttle", "clock", "temperature", "pcie", "nvlink"} <= set(
        charts
    )
    [held] = charts["throttle"].series
    assert held.name == "heat, slowed by the hardware"
    at = charts["throttle"].times_ms
    hot = [value for when, value in zip(at, held.values, strict=True) if value and value > 0.5]
    assert hot
    first = next(when for when, value in zip(at, held.values, strict=True) if value and value > 0.5)
    assert abs(first / 1000 - played.day.at_ns(HOT[0]) / 1e9) < 30
    assert "Thermally limited" in html
    assert "41004" in html
    assert "0.0.0.0:8000" in html
    assert re.search(r"/traces/[0-9a-f]{32}\?span=", html)
    assert answer.context["requests"]


def test_a_lost_gpu_s_lines_have_a_gap_and_marks(reader: Client, played: Played) -> None:
    charts = {c.id: c for c in get(reader, played, "gpus-device", uuid_of(LOST_GPU)).context["charts"]}
    power = charts["power"]
    assert [mark.words for mark in power.marks if mark.is_bad]
    drawn = next(series for series in power.series if series.name == "drawn")
    assert None in drawn.values


def test_an_unknown_gpu_is_not_found(reader: Client, played: Played) -> None:
    assert get(reader, played, "gpus-device", "GPU-nobody").status_code == 404


def test_what_was_slow_then_lists_the_slow_requests_of_the_moment(reader: Client, played: Played) -> None:
    moment = {
        "from": from_ns(played.day.at_ns(HOT[0])).isoformat(),
        "to": from_ns(played.day.at_ns(HOT[1])).isoformat(),
    }
    address = reverse("gpus-slow", args=["day"])
    answer = reader.get(address, moment | {"gpu": uuid_of(HOT_GPU), "host": HOST}, headers={"hx-request": "true"})
    calls = answer.context["calls"]
    assert calls
    assert all(call.model == "meta-llama/Llama-3.3-70B-Instruct" for call in calls)
    assert "<html" not in answer.content.decode()
    assert "These worked on this GPU" in answer.content.decode()
    # A GPU to which nothing is known to belong: its host's, and it is said.
    answer = reader.get(address, moment | {"gpu": uuid_of(6), "host": HOST})
    assert "may have used another GPU" in answer.content.decode()
    assert "<html" in answer.content.decode()


def test_engines_stand_side_by_side_with_reasons_for_what_is_missing(reader: Client, played: Played) -> None:
    rows = {row.metrics.instance.service: row for row in get(reader, played, "gpus-engines").context["rows"]}
    assert set(rows) == {"vllm-70b", "vllm-7b"}
    big, small = (rows[name].readings for name in ("vllm-70b", "vllm-7b"))
    assert big["ttft"]["p50"] > small["ttft"]["p50"]
    assert big["preemptions"]["value"] == 0
    absent = get(reader, played, "gpus-engine", **ENGINE).context["absent"]
    assert any("prefix_cache" in reason for _, reason in absent)


def test_an_engine_s_latency_stands_beside_its_queue_and_cache(reader: Client, played: Played) -> None:
    answer = get(reader, played, "gpus-engine", **ENGINE)
    charts = {chart.id: chart for chart in answer.context["charts"]}
    assert {"engine-ttft", "engine-tpot", "engine-queue", "engine-running", "engine-kv_usage"} <= set(charts)
    tpot = charts["engine-tpot"]
    p50 = dict(zip(tpot.times_ms, tpot.series[0].values, strict=True))
    step_ms = tpot.times_ms[1] - tpot.times_ms[0]
    # Whole buckets: one that the heat ends in holds quick tokens too, and so does the first, of requests from before.
    hot = [
        value
        for at, value in p50.items()
        if value and all(played.day.within((HOT[0] + 0.01, HOT[1]), end * 10**6) for end in (at, at + step_ms))
    ]
    calm = [value for at, value in p50.items() if value and at * 10**6 < played.day.at_ns(0.5)]
    assert hot[-1] > 1.3 * sorted(calm)[len(calm) // 2]
    assert get(reader, played, "gpus-engine", **(ENGINE | {"instance": "nobody"})).status_code == 404


@pytest.mark.parametrize(
    ("name", "most"), [("gpus", 3), ("gpus-node", 7), ("gpus-device", 9), ("gpus-engines", 3), ("gpus-engine", 7)]
)
def test_a_page_asks_few_questions(
    reader: Client, played: Played, monkeypatch: pytest.MonkeyPatch, name: str, most: int
) -> None:
    asked: list[str] = []
    ask = client.query

    def spy(*arguments: Any, **keywords: Any) -> Any:
        asked.append(keywords["tag"])
        return ask(*arguments, **keywords)

    monkeypatch.setattr(client, "query", spy)
    query = {"gpus-node": {"host": HOST}, "gpus-engine": ENGINE}.get(name, {})
    arguments = [uuid_of(0)] if name == "gpus-device" else []
    assert get(reader, played, name, *arguments, **query).status_code == 200
    assert 0 < len(asked) <= most, asked


def test_another_organisation_s_gpus_are_not_found(
    signed_in: Signed, project: Project, other: Project, played: Played
) -> None:
    globex = signed_in("owner", other.organization)
    dates = {"from": played.span.start.isoformat(), "to": played.span.end.isoformat()}
    for name, arguments, query in (
        ("gpus", [], {}),
        ("gpus-node", [], {"host": HOST}),
        ("gpus-device", [uuid_of(0)], {}),
        ("gpus-engines", [], {}),
        ("gpus-engine", [], ENGINE),
        ("gpus-slow", [], {"gpu": uuid_of(3), "host": HOST}),
    ):
        assert globex.get(reverse(name, args=["day", *arguments]), dates | query).status_code == 404
        mine = globex.get(reverse(name, args=["else", *arguments]), dates | query)
        assert uuid_of(0) not in mine.content.decode()
        assert mine.status_code in (200, 404)


def test_the_strip_of_a_trace_in_the_heat_shows_which_gpu_was_held_back(reader: Client, played: Played) -> None:
    day = played.day
    engine = ENGINES[0]
    hot = next(one for one in day.requests if one.engine is engine and day.within(HOT, one.arrived_ns - 60 * SECOND))
    around = TimeRange(from_ns(hot.arrived_ns - SECOND), from_ns(hot.end_ns))
    chosen = SpanFilter(range=around, service=(engine.name,))
    trace = list_traces(played.project_id, chosen, limit=1).items[0]
    strip = reader.get(reverse("trace-where", args=["day", trace.trace_id]))
    lanes = {chart.id: chart for chart in strip.context["gpu_charts"]}
    held = {line.name: max(value or 0 for value in line.values) for line in lanes["gpu-throttle"].series}
    busiest = max(held, key=lambda name: held[name])
    assert str(HOT_GPU) in busiest
    # The driver's counter rises by this share of each hot second.
    assert held[busiest] == pytest.approx(HELD_SHARE, abs=0.05)
    assert all(share == 0 for name, share in held.items() if name != busiest)
