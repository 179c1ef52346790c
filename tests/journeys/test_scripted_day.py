"""A scripted day through the agent's own encoder and real OTLP: eight GPUs, two engines, twenty tenants, a thermal
event and an XID 79. The API and the browser must tell what the script did."""

import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from heliograph.demo.day import CROWD, HOST, HOT, HOT_GPU, LOST_GPU, SECOND, TENANTS, Day
from heliograph.demo.day_gpus import HELD_SHARE, uuid_of
from heliograph.demo.day_send import send
from heliograph.query.filters import from_ns
from tests.journeys.conftest import Platform, eventually
from tests.journeys.test_every_page_is_for_everybody import PHONE, in_every_look
from tests.journeys.test_from_sender_to_verdict import sign_in

pytestmark = pytest.mark.browser
# An hour of calm goes before the thermal event, so that a verdict has something to compare with.
LENGTH_S = 6_000
# The job takes minutes that ended 150 s ago (docs/attribution.md).
SETTLED_S = 240
LLAMA, QWEN = "meta-llama/Llama-3.3-70B-Instruct", "Qwen/Qwen2.5-7B-Instruct-AWQ"


@dataclass(frozen=True)
class Told:
    """The day that was sent, and its range as the API and the pages take it."""

    day: Day

    @property
    def api(self) -> dict[str, str]:
        return self.between(0, 1)

    @property
    def query(self) -> str:
        return f"from={self.api['start'].replace('+', '%2B')}&to={self.api['end'].replace('+', '%2B')}"

    def between(self, start: float, end: float) -> dict[str, str]:
        return {
            "start": from_ns(self.day.at_ns(start)).isoformat(),
            "end": from_ns(self.day.at_ns(end)).isoformat(),
        }


@pytest.fixture(scope="module")
def told(platform: Platform) -> Told:
    """The day, sent and shared out."""
    end_ns = (time.time_ns() - SETTLED_S * SECOND) // (60 * SECOND) * 60 * SECOND
    found = Told(Day(end_ns - LENGTH_S * SECOND, LENGTH_S, seed=11))
    sent = send(found.day, platform.otlp, {"x-api-key": platform.api_key})
    assert sent.refused == 0
    assert sent.traces == len(found.day.requests)

    def shared_out() -> bool:
        answer = attribution(platform, found)
        return answer["counter_joules"] is not None and drawn(answer) > 0.98 * sum(found.day.true_joules().values())

    if not shared_out():
        # Beat would ask within a minute; a test need not wait for it.
        task = ["call", "heliograph.evals.tasks.share_out_gpus"]
        celery = [sys.executable, "-m", "celery", "-A", "heliograph", *task]
        subprocess.run(celery, check=True, env=platform.environment, capture_output=True, timeout=180)
    eventually(shared_out, 120)
    return found


def attribution(platform: Platform, told: Told) -> Any:
    return platform.api("attribution", group_by="tenant", **told.api)


def drawn(answer: Any) -> float:
    return sum(group["gpu"]["joules"] or 0 for group in answer["groups"] if group["gpu"] and group["key"])


def where(platform: Platform, told: Told, model: str, start: float, end: float) -> Any:
    """What is said of the longest of some calls that an engine's model answered in a window of the day."""
    window = told.between(start, end)
    spans = platform.api("spans", service="assistant-api", model=model, limit=50, **window)["items"]
    longest = max(spans, key=lambda span: span["ttft_ns"] or 0)
    return platform.api(f"traces/{longest['trace_id']}/where")["calls"][0]


def test_each_tenant_s_joules_are_right_within_five_percent(platform: Platform, told: Told) -> None:
    answer = attribution(platform, told)
    found = {group["key"]: group["gpu"]["joules"] for group in answer["groups"] if group["gpu"]}
    true = told.day.true_joules()
    assert set(true) == set(TENANTS)
    assert {tenant: found[tenant] / true[tenant] for tenant in true} == pytest.approx(
        dict.fromkeys(true, 1.0), rel=0.05
    )
    # Requests and idle are what the counters rose by: all that eight GPUs drew, but for the last reading's interval.
    counter = sum(told.day.joules(gpu, told.day.end_ns) for gpu in range(8))
    assert sum(found.values()) + answer["idle"]["joules"] == pytest.approx(answer["counter_joules"], rel=1e-6)
    assert answer["counter_joules"] == pytest.approx(counter, rel=0.02)


def test_the_problems_are_the_script_s(platform: Platform, told: Told) -> None:
    found = {int(gpu["index"]): gpu for gpu in platform.api("gpus", host="gpu-node-1", **told.api)["items"]}
    kinds = {index: {problem["kind"] for problem in gpu["problems"]} for index, gpu in found.items()}
    assert kinds == {index: set() for index in range(8)} | {HOT_GPU: {"heat"}, LOST_GPU: {"failed", "xid"}}
    held = HELD_SHARE * (HOT[1] - HOT[0]) * LENGTH_S
    assert found[HOT_GPU]["held_back_s"] == pytest.approx(held, rel=0.02)
    assert found[LOST_GPU]["xids"] == {"79": 1}


def test_verdicts_name_the_cause_and_a_calm_call_has_none(platform: Platform, told: Told) -> None:
    hot = where(platform, told, LLAMA, HOT[0] + 0.02, HOT[1] - 0.02)["verdict"]
    assert hot["outcome"] == "explained", hot
    assert "throttling" in {finding["cause"] for finding in hot["findings"]}
    assert any(f"GPU {HOT_GPU}" in one["sentence"] and "thermally" in one["sentence"] for one in hot["findings"])
    crowded = where(platform, told, QWEN, CROWD[0] + 0.02, CROWD[1])["verdict"]
    assert crowded["findings"][0]["cause"] == "queue", crowded
    calm = platform.api("spans", service="assistant-api", model=LLAMA, limit=1, **told.between(0.5, 0.6))["items"][0]
    verdict = platform.api(f"traces/{calm['trace_id']}/where")["calls"][0]["verdict"]
    assert verdict["outcome"] == "usual", verdict


def test_series_are_ready_for_alerts(platform: Platform, told: Told) -> None:
    answer = platform.api(
        f"gpus/{uuid_of(HOT_GPU)}/series", metric="gpu.throttle.time", rate="true", buckets=100, **told.api
    )
    [held] = [line for line in answer["items"] if line["detail"] == "hw_thermal_slowdown"]
    inside = [
        value for at, value in held["points"] if told.day.within((HOT[0] + 0.02, HOT[1] - 0.02), int(at) * SECOND)
    ]
    before = [value for at, value in held["points"] if at * SECOND < told.day.at_ns(HOT[0] - 0.02)]
    assert min(inside) > 0.5
    assert max(before) == 0
    [xid] = platform.api("gpus/events", gpu=uuid_of(LOST_GPU), **told.api)["items"][-2:-1] or [None]
    assert xid is not None
    counted = platform.api(
        "metrics/query", name="gpu.xid.errors", aggregate="increase", group_by="gpu_uuid", **told.api
    )
    assert {series["labels"]["gpu_uuid"] for series in counted["series"]} <= {uuid_of(LOST_GPU)}


def test_from_the_fleet_to_the_hot_gpu_to_a_slow_trace_and_its_cause(
    platform: Platform, page: Page, told: Told
) -> None:
    sign_in(page)
    page.goto(f"/p/default/gpus?{told.query}")
    problems = page.locator("section", has=page.get_by_role("heading", name="Problems first"))
    expect(problems).to_contain_text("XID 79")
    problems.locator("tr", has_text="Thermally limited").get_by_role("link", name=f"GPU {HOT_GPU}").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"GPU {HOT_GPU}")
    chart = page.locator("figure[data-chart='chart-throttle']")
    chart.scroll_into_view_if_needed()
    box = chart.locator("canvas").bounding_box()
    assert box is not None
    # The day fills the axis, so that the peak stands where the script put it; labels take the left edge.
    left = box["x"] + 50
    page.mouse.click(left + (box["width"] - 62) * (HOT[0] + HOT[1]) / 2, box["y"] + box["height"] * 0.6)
    slow = page.locator("#slow")
    expect(slow.get_by_role("table")).to_be_visible()
    expect(slow).to_contain_text("These worked on this GPU")
    slow.get_by_role("table").get_by_role("link").first.click()
    expect(page.locator("#verdict")).to_contain_text("thermally limited")


def test_engines_models_and_adapters_are_there(platform: Platform, page: Page, told: Told) -> None:
    sign_in(page)
    page.goto(f"/p/default/gpus/engines?{told.query}")
    page.get_by_role("link", name="vLLM 0.33.0").first.click()
    expect(page.locator("figure[data-chart='chart-engine-tpot'] canvas")).to_be_visible()
    page.goto(f"/p/default/models?{told.query}")
    page.get_by_role("link", name=QWEN).click()
    adapters = page.locator("section", has=page.get_by_role("heading", name="Adapters"))
    adapters.get_by_role("link", name="sql-v4").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("sql-v4")


def test_one_gpu_one_node_one_engine_and_a_comparison_are_for_everybody(
    platform: Platform, page: Page, told: Told
) -> None:
    # No chart is drawn anew for a narrower window: none may push the page meanwhile.
    page.add_init_script("window.ResizeObserver = class { observe() {} unobserve() {} disconnect() {} }")
    sign_in(page)
    paths = [
        f"/p/default/gpus/device/{uuid_of(HOT_GPU)}?{told.query}",
        f"/p/default/gpus/node?host={HOST}&{told.query}",
        f"/p/default/gpus/engine?engine=vllm&service=vllm-70b&host={HOST}&instance={HOST}:8000&{told.query}",
        f"/p/default/models/compare?model={LLAMA}&model={QWEN}&{told.query}",
        f"/p/default/models/one?model={QWEN}&{told.query}",
    ]
    assert in_every_look(page, paths) == ({}, {}, {})
    page.goto(paths[-1])
    expect(page.locator("figure canvas").first).to_be_visible()
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]  # a width and a height
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
