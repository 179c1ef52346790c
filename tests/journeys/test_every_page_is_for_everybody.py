"""Every page in a real browser: no serious fault that axe-core finds, and what the keyboard and the mouse can do."""

import json
import os
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.journeys.conftest import Platform, eventually
from tests.journeys.test_from_sender_to_verdict import WRONG, scores_of, send_answer, sign_in, text

pytestmark = pytest.mark.browser
AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
PHONE = {"width": 390, "height": 844}
# Depth first: a root, 20 agents under it, 15 calls under each.
AGENTS, CALLS = 20, 15


@pytest.fixture(scope="module")
def judged(platform: Platform) -> str:
    """The id of a trace whose answer is judged."""
    trace_id = send_answer(platform, WRONG)
    eventually(lambda: scores_of(platform, trace_id), 90)
    return trace_id


def faults(page: Page) -> list[str]:
    """Return what axe-core calls serious or critical on the page with everything unfolded."""
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    # Not as a script of the page's: its policy lets none from elsewhere in.
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{fault['id']}: {node['target']} {node['failureSummary']}"
        for fault in found["violations"]
        if fault["impact"] in {"serious", "critical"}
        for node in fault["nodes"][:3]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_has_a_serious_fault_of_accessibility(platform: Platform, page: Page, judged: str, theme: Any) -> None:
    if not AXE.exists():
        if os.environ.get("CI"):
            pytest.fail("CI needs axe-core: make static")
        pytest.skip("needs axe-core: make static")
    page.set_content(
        "<html lang=en><title>t</title><main><h1>t</h1><input><p style='color: #bbb'>faint</p></main></html>"
    )
    assert {fault.split(":")[0] for fault in faults(page)} == {"label", "color-contrast"}
    page.emulate_media(color_scheme=theme)
    page.goto("/login")
    found = {"login": faults(page)}
    sign_in(page)
    page.goto("/p/default/evaluations")
    page.get_by_role("button", name="Check drift").click()
    expect(page.get_by_role("heading", name="Did the traffic drift?")).to_be_visible()
    run = page.url.removeprefix(platform.base)
    paths = ["/p/default/", "/p/default/?service=nobody", "/p/default/traces", "/p/default/traces?q=nothingatall"]
    paths += [f"/p/default/traces/{judged}", "/p/default/traces/unknown", "/p/default/evaluations", run]
    paths += ["/p/default/ingest", "/p/default/settings", "/p/default/traces?cursor=bad"]
    paths += ["/p/default/settings/conventions?range=1h", "/p/default/settings/redaction"]
    paths += ["/p/default/settings/prices?model=in-house"]
    paths += ["/p/default/settings/sampling"]
    paths += ["/p/default/gpus", "/p/default/gpus/engines", "/p/default/gpus/calculator", "/p/default/gpus/training"]
    paths += ["/p/default/models", "/p/default/documents", "/p/default/costs", "/p/default/settings/scraping"]
    for path in paths:
        page.goto(path)
        page.wait_for_load_state("networkidle")
        found[path] = faults(page)
    assert {path: those for path, those in found.items() if those} == {}


def test_no_page_scrolls_sideways_on_a_phone(platform: Platform, page: Page, judged: str) -> None:
    sign_in(page)
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]  # a width and a height
    paths = ["/p/default/", "/p/default/traces", f"/p/default/traces/{judged}", "/p/default/evaluations"]
    paths += ["/p/default/ingest", "/p/default/settings/conventions?range=1h", "/p/default/settings/redaction"]
    paths += ["/p/default/settings/prices?model=in-house"]
    paths += ["/p/default/settings/sampling"]
    paths += ["/p/default/gpus", "/p/default/gpus/engines", "/p/default/gpus/calculator", "/p/default/gpus/training"]
    paths += ["/p/default/models", "/p/default/documents", "/p/default/costs", "/p/default/settings/scraping"]
    widths = {}
    for path in [*paths, "/p/default/settings", "/p/default/traces/unknown"]:
        page.goto(path)
        widths[path] = page.evaluate("document.documentElement.scrollWidth")
    assert widths == dict.fromkeys(widths, PHONE["width"])


def test_a_sentence_of_an_answer_shows_the_evidence_against_it(page: Page, platform: Platform, judged: str) -> None:
    sign_in(page)
    page.goto(f"/p/default/traces/{judged}")
    sentence = page.locator(".sentences li", has_text="90 days")
    sentence.locator("summary").click()
    expect(sentence.locator("blockquote").first).to_be_visible()
    expect(sentence).to_contain_text("30 days")


def test_dragging_over_a_chart_narrows_the_time_in_the_address(page: Page, platform: Platform, judged: str) -> None:
    sign_in(page)
    page.goto("/p/default/?range=1h")
    box = page.locator("figure[data-chart='chart-requests'] canvas").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.5, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, middle, steps=4)
    page.mouse.up()
    page.wait_for_url("**from=*")
    assert "to=" in page.url
    assert "range=" not in page.url
    # The range follows to the next page.
    page.get_by_role("link", name="Traces").click()
    assert "from=" in page.url


def test_the_question_mark_lists_the_keys_and_escape_closes_them(page: Page, platform: Platform) -> None:
    sign_in(page)
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    expect(keys).to_be_visible()
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()
    page.keyboard.press("g")
    page.keyboard.press("t")
    expect(page.get_by_role("heading", name="Traces")).to_be_visible()


def send_long_trace(platform: Platform) -> str:
    trace_id, now = os.urandom(16).hex(), time.time_ns() - 10**9

    def one(span_id: str, parent: str, name: str, at: int) -> dict[str, Any]:
        kind = [text("openinference.span.kind", "AGENT")]
        times = {"startTimeUnixNano": str(now + at * 1000), "endTimeUnixNano": str(now + at * 1000 + 900)}
        return {
            "traceId": trace_id,
            "spanId": span_id,
            "parentSpanId": parent,
            "name": name,
            "attributes": kind,
        } | times

    root = os.urandom(8).hex()
    spans = [one(root, "", "plan", 0)]
    for agent in range(AGENTS):
        above = os.urandom(8).hex()
        spans.append(one(above, root, f"agent {agent}", agent * 100))
        deep = os.urandom(8).hex()
        spans.append(one(deep, above, f"step {agent}", agent * 100 + 1))
        spans += [
            one(os.urandom(8).hex(), deep, f"call {agent}.{call}", agent * 100 + call + 2) for call in range(CALLS)
        ]
    resource = {"attributes": [text("service.name", "long")]}
    body = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}
    headers = {"content-type": "application/json"}
    answer = httpx.post(f"{platform.otlp}/v1/traces", content=json.dumps(body), headers=headers)
    assert answer.status_code == 200, answer.text
    return trace_id


def test_a_long_trace_opens_folded_and_unfolds(page: Page, platform: Platform) -> None:
    trace_id = send_long_trace(platform)
    sign_in(page)
    page.goto(f"/p/default/traces/{trace_id}")
    shown = page.locator("#waterfall > li:not([hidden])")
    expect(shown).to_have_count(1 + 2 * AGENTS)
    page.get_by_role("button", name="under step 3").click()
    expect(shown).to_have_count(1 + 2 * AGENTS + CALLS)
    page.locator(".span-row", has_text="agent 3").first.click()
    expect(page.locator("#span")).to_contain_text("agent 3")
    page.keyboard.press("f")
    expect(shown).to_have_count(2 * AGENTS)
    assert all(
        box == 32 for box in page.locator(".span-row").evaluate_all("rows => rows.slice(0, 3).map(r => r.offsetHeight)")
    )


def test_evidence_that_comes_late_leaves_an_opened_sentence_open(page: Page, platform: Platform, judged: str) -> None:
    sign_in(page)
    waiting: list[Any] = []
    page.route("**/evidence", lambda route: waiting.append(route))  # noqa: PLW0108  # a built-in has no signature to call
    with page.expect_request("**/evidence"):
        page.goto(f"/p/default/traces/{judged}")
    page.locator(".sentences summary").first.click()
    expect(page.locator(".sentences details[open]")).to_contain_text("Loading the evidence.")
    waiting[0].continue_()
    expect(page.locator(".sentences.complete details[open]")).to_contain_text("30 days")
