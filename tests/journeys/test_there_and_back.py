"""Every page with a list in a real browser: open it, narrow it, go to one of its things, and come back to it as it was.

Traces, sessions, prompts, GPUs, ingest, rules and annotation have journeys of their own beside this one.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

import httpx
import pytest
from django.urls import Resolver404, resolve
from playwright.sync_api import Browser, Page, expect

from heliograph.dashboards.context import FURTHER, PAGES
from tests.journeys.conftest import ANSWER_SECONDS, Platform, eventually
from tests.journeys.every_page import make_examples
from tests.journeys.test_from_sender_to_verdict import WRONG, scores_of, send_answer, sign_in, text
from tests.journeys.test_sessions_and_prompts import talk

pytestmark = pytest.mark.browser
ROOT = "/p/default"


@dataclass(frozen=True)
class Way:
    """A page, what is clicked to narrow it and the part of the address that says so, and a link to go by.

    `fills` is typed into the page's search box instead of a click. `whole` says why a page's list is never narrowed,
    `ends` why nothing of it leads on.
    """

    path: str
    narrow: str = ""
    said: str = ""
    drill: str = ""
    lands: str = ""
    fills: str = ""
    whole: str = ""
    ends: str = ""


def found(path: str, text: str, drill: str = "", lands: str = "", ends: str = "") -> Way:
    """A way by the page's search box."""
    return Way(path, "", f"find={quote_plus(text)}", drill, lands, text, ends=ends)


ROW = "tbody td a"
SIX = "nav[aria-label='Time range'] a[href*='range=6h']"
ORDERED = "at most 50, and which of them decides is said by all that stand above it"
IN_ITS_ROW = "all that there is of it stands in its row"
OF_THE_TARGET = "an entry names what was changed, which may be gone"
WAYS = {
    "overview": Way("/?range=1h", SIX, "range=6h", "section[aria-label='Services'] td a", "/traces?service="),
    "users": Way("/users?range=1h", "", "q=user", ROW, "/users/one?id=", fills="user of talk"),
    "models": Way("/models?range=1h", SIX, "range=6h", ROW, "/models/one?model="),
    "model": Way("/models/one?model=gpt-4o-mini&range=1h", SIX, "range=6h", "main a[href*='/traces?']", "/traces?"),
    "costs": Way(
        "/costs?range=1h", "nav[aria-label='By'] a[href*='by=model']", "by=model", f"{ROW}[href*='q=model']", "/traces?"
    ),
    "documents": Way("/documents?range=1h", SIX, "range=6h", ends=IN_ITS_ROW),
    "engines": Way("/gpus/engines?range=1h", SIX, "range=6h", ROW, "/gpus/engine?"),
    "training": found("/gpus/training?range=1h", "journey run", ROW, "?job="),
    "evaluations": Way(
        "/evaluations?range=1h",
        "a[href*='worst=highest']",
        "worst=highest",
        "section[aria-labelledby='worst'] td a[href*='/traces/']",
        "?span=",
    ),
    "evaluation rules": found("/evaluations/rules", "ground", ROW, "?rule="),
    "schedules": found("/evaluations/schedules", "once more", ROW, "?schedule="),
    "judges": found("/evaluations/judges", "house", f"{ROW}[href*='judge=']", "?judge="),
    "gates": found("/evaluations/gates", "prompt 7", ROW, "/gates/"),
    "monitors": found("/evaluations/monitors", "by release", f"[aria-labelledby=monitors] {ROW}", "/monitors/"),
    "data sets": found("/datasets", "refund", f"{ROW}[href*='/datasets/']", "/datasets/"),
    "experiments": found("/experiments", "prompt 6", f"{ROW}[href*='/experiments/']", "/experiments/"),
    "annotation": found("/annotation", "support", ROW, "/annotation/"),
    "alert rules": found("/alerts", "slow", "td a[href*='/rules/']", "/alerts/rules/"),
    "channels": found("/alerts/channels", "on call", ROW, "/alerts/channels/"),
    "messages": Way(
        "/alerts/deliveries",
        "nav[aria-label='Status'] a[href*='waiting']",
        "status=waiting",
        ".deliveries a[href*='/channels/']",
        "/alerts/channels/",
    ),
    "silences": found("/alerts/silences", "nightly", ends=IN_ITS_ROW),
    "dashboards": found("/dashboards", "ours", "main a[href*='/dashboards/']", "/dashboards/"),
    "audit log": Way("/settings/audit", "", "words=admin", fills="admin", ends=OF_THE_TARGET),
    "scraping": found("/settings/scraping", "journey", ends=IN_ITS_ROW),
    "sampling": Way("/settings/sampling", drill=f"{ROW}[href*='?rule=']", lands="?rule=", whole=ORDERED),
    "conventions": Way("/settings/conventions?range=1h", "", "key=journey", fills="journey", ends=IN_ITS_ROW),
}
# Pages of the rail and the palette that another journey walks, or that are no list.
ELSEWHERE = {
    "traces": "test_from_sender_to_verdict.py",
    "sessions": "test_sessions_and_prompts.py",
    "models-prompts": "test_sessions_and_prompts.py",
    "gpus": "test_scripted_day.py",
    "gpus-calculator": "a form and its figures",
    "ingest": "test_ingest_page.py",
    "settings": "forms",
    "settings-redaction": f"test_rules_pages.py; {ORDERED}",
    "settings-people": "a form for each person, with roles; the audit log finds what they did",
    "settings-prices": "the models of the time range without a price, and the form for one",
}
PARTS = 3
# Nobody answers there.
AWAY = "http://127.0.0.1:9/metrics"


@pytest.fixture(scope="module")
def filled(platform: Platform, chromium: Browser) -> Platform:
    """The platform with one of each thing, and an answer that is judged."""
    trace_id = send_answer(platform, WRONG)
    with chromium.new_context(base_url=platform.base) as context:
        page = context.new_page()
        sign_in(page)
        make_examples(page, platform.base)
        make_rules(page)
    send_gauges(platform, "vllm", "service.instance.id", **{"vllm:num_requests_running": 1})
    send_gauges(platform, "trainer", "training.job.id", **{"training.step.duration": 0.4})
    talk(platform, f"talk-{os.urandom(4).hex()}", "1", "Where is my parcel?", "On its way.", **{"journey.key": "x"})
    eventually(lambda: scores_of(platform, trace_id), 90)
    return platform


def make_rules(page: Page) -> None:
    """What the API does not make: a rule of sampling that keeps all, and a target that is away."""
    forms: tuple[tuple[str, dict[str, str]], ...] = (
        ("sampling/save", {"name": "nobody", "stage": "head", "condition": "any", "service": "nobody", "rate": "1"}),
        ("scraping/add", {"name": "journey", "url": AWAY, "interval_s": "3600", "timeout_s": "5"}),
    )
    token = next(one["value"] for one in page.context.cookies() if one["name"] == "csrftoken")
    for path, form in forms:
        address = f"{ROOT}/settings/{path}"
        given = {"csrfmiddlewaretoken": token, **form}
        answer = page.request.post(address, form=given, headers={"referer": page.url}, timeout=ANSWER_SECONDS * 1000)
        assert answer.ok, f"{path}: {answer.text()}"


def send_gauges(platform: Platform, service: str, key: str, **gauges: float) -> None:
    """Send a point of each gauge for `journey run`, with the key on the resource and the rank on the point."""
    point: dict[str, Any] = {"timeUnixNano": str(time.time_ns()), "attributes": [text("training.rank", "0")]}
    metrics = [{"name": name, "gauge": {"dataPoints": [point | {"asDouble": value}]}} for name, value in gauges.items()]
    resource = {"attributes": [text("service.name", service), text("host.name", "node-1"), text(key, "journey run")]}
    body = {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": metrics}]}]}
    headers = {"content-type": "application/json"}
    url = f"{platform.otlp}/v1/metrics"
    assert httpx.post(url, content=json.dumps(body), headers=headers, timeout=ANSWER_SECONDS).status_code == 200


def test_each_page_of_the_rail_and_the_palette_is_walked_or_says_why_not() -> None:
    walked = set()
    for way in WAYS.values():
        path = (ROOT + way.path).partition("?")[0]
        try:
            walked.add(resolve(path).url_name)
        except Resolver404:
            pytest.fail(f"there is no page {path}")
        assert way.said or way.whole, f"{path}: narrowed by what?"
        assert way.drill or way.ends, f"{path}: leads where?"
    named = {name for name, *_ in PAGES} | {name for name, _ in FURTHER}
    assert named - walked - set(ELSEWHERE) == set()
    assert set(ELSEWHERE) & walked == set()


@pytest.mark.parametrize("part", range(PARTS))
def test_a_page_is_narrowed_left_by_one_of_its_things_and_come_back_to(page: Page, filled: Platform, part: int) -> None:
    sign_in(page)
    for name in list(WAYS)[part::PARTS]:
        walk(page, WAYS[name])


def walk(page: Page, way: Way) -> None:
    page.goto(ROOT + way.path)
    if way.fills:
        page.get_by_role("searchbox").fill(way.fills)
        page.keyboard.press("Enter")
    elif way.narrow:
        page.locator(way.narrow).first.click()
    if way.said:
        page.wait_for_url(lambda url: way.said in url)
    heading = page.get_by_role("heading", level=1)
    narrowed, title = page.url, heading.inner_text()
    if not way.drill:
        return
    rows = page.locator("main tbody tr").count()
    if way.said.startswith("find="):
        assert rows, f"{way.path} finds nothing"
    page.locator(way.drill).first.click()
    page.wait_for_url(lambda url: way.lands in url and url != narrowed)
    expect(heading).to_be_visible()
    page.go_back()
    page.wait_for_url(narrowed)
    expect(heading).to_have_text(title)
    expect(page.locator("main tbody tr")).to_have_count(rows)


# A rule that nobody evaluates, so that it fired then and at no other time.
FIRED = """
import time
import django
django.setup()
from heliograph.accounts.models import Project
from heliograph.alerts.models import Alert, Rule, Transition
above = {"side": "above", "bound": 1}
usual = {"measure": "latency_p95", "kind": "threshold", "condition": above, "is_paused": True}
rule = Rule.objects.create(project=Project.objects.get(slug="default"), name="Marked", **usual)
alert = Alert.objects.create(rule=rule, key="0" * 64, labels={"service": "support-bot"}, state="resolved", since=0)
now = int(time.time()) // 60
for ago, state in ((20, "firing"), (10, "resolved")):
    Transition.objects.create(alert=alert, at=now - ago, state=state)
"""
# What stands on the canvas, by the first word of each mark.
DRAWN = """() => {
    const { instance } = [...DRAWN.values()].find((one) => one.chart.id === "latency");
    const marks = instance.getOption().series[0].markLine.data.filter((mark) => mark.name.includes("Marked"));
    return marks.map((mark) => mark.name.split(":")[0]).join() === "firing,resolved";
}"""


def test_an_alert_on_a_chart_is_read_in_words_and_leads_to_the_alert_and_back(page: Page, filled: Platform) -> None:
    environment = filled.environment | {"DJANGO_SETTINGS_MODULE": "heliograph.settings"}
    subprocess.run([sys.executable, "-c", FIRED], check=True, env=environment, capture_output=True, timeout=360)
    sign_in(page)
    page.goto(f"{ROOT}/?range=1h")
    chart = page.locator("figure[data-chart='chart-latency']")
    chart.locator("summary").click()
    fired = chart.get_by_role("link", name="firing: Marked, service support-bot")
    expect(fired).to_be_visible()
    page.wait_for_function(DRAWN)
    fired.click()
    page.wait_for_url("**/alerts/*")
    expect(page.get_by_role("heading", name="Marked", level=1)).to_be_visible()
    page.go_back()
    page.wait_for_url("**range=1h")
    expect(chart).to_be_visible()
