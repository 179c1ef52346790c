"""Where a trace ran, why it was slow and what it used of the GPUs, as its page says."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from heliograph.accounts.models import GpuPrice, Project
from heliograph.query import gpu
from tests.dashboards.test_trace_page import HOSTILE, store_call
from tests.query.rows import point, store_rows
from tests.query.scenario import START, World, share_out

pytestmark = pytest.mark.usefixtures("store")
CLIENT = f"{1:016x}"


def where(project: Project, trace_id: str) -> str:
    return reverse("trace-where", args=[project.slug, trace_id])


def text_of(answer: Any) -> str:
    return " ".join(answer.content.decode().replace("&#x27;", "'").replace("&quot;", '"').split())


@pytest.fixture
def hot(project: Project) -> str:
    """The id of a trace whose call was slow on a GPU that was too warm, shared out and priced."""
    world = World(project.pk, throttled_per_second={"hw_thermal_slowdown": 0.7}, clock_hz=1.2e9)
    world.send()
    trace_id = world.call(0, tpot=0.15)
    GpuPrice.objects.create(project=project, valid_from=START - timedelta(days=1), usd_per_gpu_hour="3.6")
    share_out(project.pk)
    return trace_id


def test_the_page_says_why_where_and_for_how_much(reader: Client, project: Project, hot: str) -> None:
    answer = reader.get(where(project, hot))
    page = text_of(answer)
    assert "TPOT rose because GPU 3 of node-1 was thermally limited for 28 s of 40 s" in page
    assert "GPU: 1, by PID" in page
    assert "vLLM of vllm at vllm-0, told by its instance id." in page
    assert [chart.title for chart in answer.context["gpu_charts"]] == [
        "GPU busy",
        "GPU clock",
        "Clocks held down",
        "Requests waiting",
        "Requests running",
        "KV cache full",
    ]
    # Lanes have the waterfall's own axis.
    summary = answer.context["summary"]
    assert {chart.range_ms for chart in answer.context["gpu_charts"]} == {
        (summary.start_ns / 1_000_000, summary.end_ns / 1_000_000)
    }
    assert answer.context["share"].gpu_seconds == pytest.approx(30, abs=0.1)
    assert "shared out by “Prompts weigh more”" in page


def test_a_calls_panel_splits_its_time_and_gives_its_share(reader: Client, project: Project, hot: str) -> None:
    answer = reader.get(reverse("trace-span-where", args=[project.slug, hot, CLIENT]))
    page = text_of(answer)
    assert [part.name for part in answer.context["found"].split.parts] == ["queue", "prefill", "decode", "network"]
    assert "Its server span “vllm” shows it" in page
    share = answer.context["share"]
    assert 'id="span-cost" hx-swap-oob="true"><span class="nowrap" title="$0.03 estimated for 30 GPU-seconds' in page
    # At $3.60 an hour.
    assert float(share.usd) == pytest.approx(share.gpu_seconds / 1000)


def test_a_self_hosted_call_costs_an_estimate_on_the_list_and_the_page(
    reader: Client, project: Project, hot: str
) -> None:
    for address in (
        reverse("trace", args=[project.slug, hot]),
        reverse("traces", args=[project.slug]) + "?range=6h",
        reverse("overview", args=[project.slug]) + "?range=6h",
    ):
        page = text_of(reader.get(address))
        assert "~$0.0" in page or "~$0.2" in page, address
        assert "estimated for" in page, address


def test_without_a_price_the_cost_is_not_known_and_says_how_to_enter_one(
    reader: Client, project: Project, hot: str
) -> None:
    GpuPrice.objects.all().delete()
    page = text_of(reader.get(where(project, hot)))
    assert "USD not known" in page
    assert "GPU-s without a price" in page


def test_a_call_that_has_not_been_shared_out_yet_says_when_it_will_be(reader: Client, project: Project) -> None:
    world = World(project.pk)
    world.send()
    trace_id = world.call(0)
    assert "the job had not run" in text_of(reader.get(where(project, trace_id)))


def test_a_join_by_the_host_alone_says_so_and_gives_no_share(reader: Client, project: Project) -> None:
    row = store_call(project, host="node-1", span_kind="server")
    store_rows(
        project.pk, "metric_points", [point("gpu.process.info", 1, 1.0, host="node-1", gpu_uuid="GPU-1", **PROCESS)]
    )
    page = text_of(reader.get(where(project, row["trace_id"])))
    assert "GPU: 1, by host only" in page
    assert "Only the host is known, so no share of a GPU is given to it." in page


PROCESS = {"attributes": {"process.pid": "7"}, "resource": {"gpu.index": "0"}}


@pytest.mark.parametrize(
    ("fields", "join", "drawn"),
    [
        ({"gpu_uuids": ["GPU-1"]}, "gpu_uuid", 1),
        ({"host": "node-1"}, "host", 2),
        ({"host": "elsewhere"}, "none", 0),
        ({}, "none", 0),
    ],
)
def test_the_gpus_of_a_trace_are_those_that_it_or_its_host_names(
    reader: Client, project: Project, fields: dict[str, Any], join: str, drawn: int
) -> None:
    row = store_call(project, **fields)
    points = [
        point(gpu.UTILIZATION, seconds, 0.5, host="node-1", gpu_uuid=uuid, series=number)
        for number, uuid in enumerate(("GPU-1", "GPU-2"))
        for seconds in (0, 5)
    ]
    store_rows(project.pk, "metric_points", points)
    answer = reader.get(where(project, row["trace_id"]))
    charts = answer.context["gpu_charts"]
    assert answer.context["gpus"].join == join
    assert sum(len(chart.series) for chart in charts) == drawn
    assert answer.context["gpus"].reason in answer.content.decode().replace("&#x27;", "'")


def test_a_hostile_gpu_name_cannot_end_the_chart_data(reader: Client, project: Project) -> None:
    row = store_call(project, gpu_uuids=["</script><script>"])
    given = point(gpu.UTILIZATION, 1, 0.5, host=HOSTILE, gpu_uuid="</script><script>")
    store_rows(project.pk, "metric_points", [given])
    answer = reader.get(where(project, row["trace_id"]))
    assert len(answer.context["gpu_charts"]) == 1
    assert "</script><script>" not in answer.content.decode().replace("</script><script src=", "")
