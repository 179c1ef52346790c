"""Three people at work in a real browser, each from a first look to the cause and back again: one is on call, one
compares two versions of a prompt, one asks what it costs.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import urlencode, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from heliograph.demo.day import HOT, HOT_GPU, SECOND, Day
from heliograph.demo.day_send import send as send_day
from heliograph.query.filters import from_ns
from tests.journeys.conftest import ANSWER_SECONDS, Platform
from tests.journeys.every_page import send
from tests.journeys.test_from_sender_to_verdict import sign_in, text, whole

pytestmark = pytest.mark.browser
ROOT = "/p/default"
# An hour of calm goes before the heat. It ended hours ago, so that no other test's day of the same GPUs meets it.
DAY_S, AGO_S = 6_000, 4 * 3_600
# A rule that nobody evaluates, whose alert fired in the heat; what is printed is the address in its message.
FIRED = """
import sys
import django
django.setup()
from heliograph.accounts.models import Project
from heliograph.alerts.messages import link
from heliograph.alerts.models import Alert, Rule, Transition
above = {"side": "above", "bound": 20}
usual = {"measure": "latency_p95", "kind": "threshold", "condition": above, "is_paused": True}
rule = Rule.objects.create(project=Project.objects.get(slug="default"), name="Slow assistant", **usual)
labels = {"service": "assistant-api"}
began, ended = map(int, sys.argv[1:])
alert = Alert.objects.create(rule=rule, key="3" * 64, labels=labels, state="resolved", since=ended)
for at, state in ((began, "firing"), (ended, "resolved")):
    Transition.objects.create(alert=alert, at=at, state=state)
print(link("alerts-one", "default", alert.pk))
"""
SPENT = """
import json, sys
import django
django.setup()
from heliograph.accounts.models import Project
from heliograph.clickhouse import client
sql = (
    f"SELECT {sys.argv[1]} AS name, toString(sum(cost)) AS usd FROM spans WHERE project_id = %(project_id)s"
    " AND start_time >= fromUnixTimestamp64Nano(%(start)s) AND start_time < fromUnixTimestamp64Nano(%(end)s)"
    " AND cost IS NOT NULL AND usage_counted GROUP BY name"
)
given = {"start": int(sys.argv[2]), "end": int(sys.argv[3])}
print(json.dumps(client.query(Project.objects.get(slug="default").pk, sql, given, tag="test")))
"""


def in_platform(platform: Platform, program: str, *arguments: object) -> str:
    """Run a program beside the platform, on its databases; return what it prints last."""
    environment = platform.environment | {"DJANGO_SETTINGS_MODULE": "heliograph.settings"}
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, check=True, env=environment, capture_output=True, text=True, timeout=360)
    return done.stdout.splitlines()[-1]


def comes_back(page: Page, *steps: tuple[str, Callable[[], None]]) -> None:
    """Go back once for each step, the last place first: its address, and what has to be seen there as it was."""
    for address, holds in steps:
        page.go_back()
        page.wait_for_url(address)
        holds()


def test_on_call_from_an_alert_s_message_over_the_slow_cell_to_the_gpu_that_was_too_hot(
    page: Page, platform: Platform
) -> None:
    end_ns = (time.time_ns() - AGO_S * SECOND) // (60 * SECOND) * 60 * SECOND
    day = Day(end_ns - DAY_S * SECOND, DAY_S, seed=17)
    assert send_day(day, platform.otlp, {"x-api-key": platform.api_key}).refused == 0
    began, ended = (day.at_ns(share) // (60 * SECOND) for share in (HOT[0] + 0.02, HOT[1] - 0.01))
    message = urlsplit(in_platform(platform, FIRED, began, ended)).path

    sign_in(page)
    page.goto(message)
    expect(page.get_by_role("heading", name="Slow assistant", level=1)).to_be_visible()
    page.get_by_role("link", name="Latency of then").click()
    page.wait_for_url("**service=assistant-api&latency=map&from=**")
    overview, chart = page.url, page.locator("#chart-latency")
    chart.get_by_role("button", name="Table").click()
    slowest = chart.locator(".chart-table td:last-child a").last
    count = min(int(slowest.inner_text().removeprefix("~")), 50)
    slowest.click()
    page.wait_for_url("**/traces?**latency%3E%3D**")
    listed, rows = page.url, page.locator("#trace-rows tr")
    expect(rows).to_have_count(count)
    rows.first.get_by_role("link").first.click()
    page.wait_for_url("**/traces/*")
    expect(page.locator("#verdict")).to_contain_text("thermally limited")
    expect(page.locator("#verdict")).to_contain_text(f"GPU {HOT_GPU}")
    # The counters say so too, under the time axis of the trace: the clocks of one of its GPUs were held down.
    lane = page.locator("#where figure[data-chart='chart-gpu-throttle']")
    expect(lane).to_contain_text("Clocks held down")
    held = json.loads(lane.locator("script").text_content() or "")
    assert {one["name"] for one in held["series"] if any(value for value in one["values"])} == {
        next(one["name"] for one in held["series"] if f"GPU {HOT_GPU}" in one["name"])
    }
    expect(page.locator("#where figure[data-chart^='chart-engine-']").first).to_be_visible()
    comes_back(
        page,
        (listed, lambda: expect(rows).to_have_count(count)),
        (
            overview,
            lambda: expect(chart.get_by_role("link", name="Heat map")).to_have_attribute("aria-current", "true"),
        ),
        (f"**{message}", lambda: expect(page.get_by_role("link", name="Latency of then")).to_be_visible()),
    )


@dataclass(frozen=True)
class Asked:
    """What was asked of two versions of a prompt, by two people of two models."""

    prompt: str
    score: str
    users: tuple[str, str]
    # Trace ids, best answer first, by version.
    traces: dict[str, list[str]]
    start_ns: int
    end_ns: int

    @property
    def query(self) -> str:
        return urlencode({"from": from_ns(self.start_ns).isoformat(), "to": from_ns(self.end_ns).isoformat()})


ANSWERS = {
    "6": ((0.9, "Within 30 days."), (0.7, "Within a month.")),
    "7": ((0.8, "In 30 days."), (0.1, "Never, ever.")),
}


@pytest.fixture(scope="module")
def asked(platform: Platform, chromium: Browser) -> Asked:
    mark = os.urandom(3).hex()
    minute = 60 * SECOND
    now = time.time_ns()
    traces: dict[str, list[str]] = {}
    users, score, prompt = (f"ada-{mark}", f"bob-{mark}"), f"kind-{mark}", f"refunds {mark}"
    scores = []
    for version, answers in ANSWERS.items():
        for place, (value, answer) in enumerate(answers):
            trace_id, span_id = call(
                platform, now, version, prompt, answer, users[place], ("gpt-4o", "gpt-4o-mini")[place]
            )
            traces.setdefault(version, []).append(trace_id)
            scores.append({"trace_id": trace_id, "span_id": span_id, "name": score, "value": value})
    with chromium.new_context(base_url=platform.base) as context:
        page = context.new_page()
        sign_in(page)
        send(page, platform.base, "scores", {"scores": scores})
    return Asked(prompt, score, users, traces, now // minute * minute - 2 * minute, now // minute * minute + 2 * minute)


def call(
    platform: Platform, now: int, version: str, prompt: str, answer: str, user: str, model: str
) -> tuple[str, str]:
    """Send a call as a trace of its own; return its ids."""
    trace_id, span_id = os.urandom(16).hex(), os.urandom(8).hex()
    said = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "When may I return it?"}]}])
    answered = json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": answer}]}])
    texts = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": model,
        "user.id": user,
        "gen_ai.prompt.name": prompt,
        "gen_ai.prompt.version": version,
        "gen_ai.input.messages": said,
        "gen_ai.output.messages": answered,
    }
    usage = {"gen_ai.usage.input_tokens": 1_000 * len(answer), "gen_ai.usage.output_tokens": 70 * len(answer)}
    attributes = [*(text(*one) for one in texts.items()), *(whole(*one) for one in usage.items())]
    span = {"traceId": trace_id, "spanId": span_id, "name": f"refund {version}", "attributes": attributes}
    span |= {"startTimeUnixNano": str(now - SECOND), "endTimeUnixNano": str(now)}
    resource = {"attributes": [text("service.name", "refunds"), text("service.version", f"1.{version}")]}
    body = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}
    url, headers = f"{platform.otlp}/v1/traces", {"content-type": "application/json"}
    assert httpx.post(url, content=json.dumps(body), headers=headers, timeout=ANSWER_SECONDS).status_code == 200
    return trace_id, span_id


def test_two_versions_are_compared_down_to_the_worst_answer_and_what_differs_in_it(
    page: Page, platform: Platform, asked: Asked
) -> None:
    sign_in(page)
    page.goto(f"{ROOT}/models/prompts?{asked.query}")
    page.get_by_role("link", name=asked.prompt).click()
    compared = page.get_by_role("heading", name="What changed from 6 to 7?")
    page.wait_for_url("**/models/prompt?**")
    prompt = page.url
    expect(compared).to_be_visible()
    versions = page.locator("section[aria-label='Versions'] tbody tr")
    expect(versions.nth(0)).to_contain_text("0.45")
    expect(versions.nth(1)).to_contain_text("0.8")
    versions.nth(0).get_by_title("Its answers under this mean").click()
    page.wait_for_url("**/traces?**score.**")
    listed, rows = page.url, page.locator("#trace-rows tr")
    expect(rows).to_have_count(1)
    rows.first.get_by_role("link").first.click()
    page.wait_for_url(f"**/traces/{asked.traces['7'][1]}**")
    trace = page.url
    page.get_by_role("link", name="Compare", exact=True).click()
    page.get_by_role("textbox", name="After").fill(asked.traces["6"][1])
    page.get_by_role("button", name="Compare").click()
    differs = page.locator(".text-diff")
    expect(differs.last).to_contain_text("Within a month.")
    expect(differs.last).to_contain_text("Never, ever.")
    comes_back(
        page,
        (f"**/traces/compare?before={asked.traces['7'][1]}", lambda: expect(differs).to_have_count(0)),
        (trace, lambda: expect(page.locator("#span")).to_contain_text("Never, ever.")),
        (listed, lambda: expect(rows).to_have_count(1)),
        (prompt, lambda: expect(compared).to_be_visible()),
    )


def test_what_it_costs_by_person_and_by_model_is_what_the_spans_cost(
    page: Page, platform: Platform, asked: Asked
) -> None:
    sign_in(page)
    page.goto(f"{ROOT}/costs?{asked.query}")
    by_user = listed_costs(page)
    assert set(asked.users) <= set(by_user)
    assert by_user == spent(platform, "user_id", asked)
    page.get_by_role("navigation", name="By").get_by_role("link", name="Model", exact=True).click()
    page.wait_for_url("**by=model**")
    models = page.url
    by_model = listed_costs(page)
    assert by_model == spent(platform, "model", asked)
    page.locator("td.key-cell").get_by_role("link", name="gpt-4o-mini", exact=True).click()
    page.wait_for_url("**/traces?**")
    expect(page.locator("#trace-rows tr", has_text="refund 7").first).to_be_visible()

    def holds(costs: dict[str, Decimal]) -> None:
        assert listed_costs(page) == costs

    comes_back(page, (models, lambda: holds(by_model)), (f"**/costs?{asked.query}", lambda: holds(by_user)))


def listed_costs(page: Page) -> dict[str, Decimal]:
    """The exact amounts behind the page's figures, by what they are listed by; those without a price are left out."""
    rows: Locator = page.locator("table.costs tbody tr")
    expect(rows.first).to_be_visible()
    found = {}
    for row in rows.all():
        amount = row.locator("td[data-label='API cost'] span[title^='$']")
        if amount.count():
            title = amount.first.get_attribute("title") or ""
            found[row.locator("td").first.inner_text()] = Decimal(re.findall(r"\$([\d.E-]+)", title)[0])
    return found


def spent(platform: Platform, by: str, asked: Asked) -> dict[str, Decimal]:
    rows = json.loads(in_platform(platform, SPENT, by, asked.start_ns, asked.end_ns))
    return {row["name"] or "(not stated)": Decimal(row["usd"]) for row in rows}
