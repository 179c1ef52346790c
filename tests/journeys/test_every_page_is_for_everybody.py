"""Every page in a real browser: no serious fault that axe-core finds, nothing that moves while it comes, and what the
keyboard and the mouse can do.
"""

import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from django.urls import resolve
from playwright.sync_api import Browser, Page, expect

from heliograph.dashboards.urls import urlpatterns
from tests.journeys.conftest import ANSWER_SECONDS, Platform, eventually
from tests.journeys.every_page import make_examples
from tests.journeys.every_page import paths as every_path
from tests.journeys.steadiness import MOST_SHIFT, Steadiness, steadiness, watch
from tests.journeys.test_from_sender_to_verdict import WRONG, scores_of, send_answer, sign_in, text
from tests.journeys.test_sessions_and_prompts import talk

pytestmark = pytest.mark.browser
AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
PARTS = 6
# What answers a GET and is no page of the pages' list: a part of a page, a file, or a step that leads elsewhere.
PARTS_OF_PAGES = {
    *("annotation-agreement", "annotation-choose", "datasets-choose", "evaluation-rules-preview", "gpus-slow"),
    *("settings-conventions-conversions", "settings-conventions-jobs", "settings-conventions-preview"),
    *("settings-sampling-preview", "trace-evidence", "trace-found", "trace-neighbours", "trace-rows", "trace-span"),
    *("trace-span-where", "trace-where", "traces-complete", "traces-live"),
}
FILES = {"blob", "datasets-download", "ingest-letter-body", "overview-boards-export", "settings-audit-export"}
FILES |= {"traces-export", "traces-exports-file", "saml-metadata"}
STEPS = {"home", "login-link", "logout", "mfa_login_webauthn", "mfa_reauthenticate_webauthn", "single-sign-on-callback"}
STEPS |= {"saml-finish"}
# Need the scripted day, a letter, a second factor or a passkey, which tests of theirs have.
ELSEWHERE = {"gpus-device", "gpus-engine", "gpus-node", "alerts-one", "datasets-preview", "ingest-letter", "invitation"}
ELSEWHERE |= {"mfa_authenticate", "mfa_deactivate_totp", "mfa_generate_recovery_codes", "mfa_reauthenticate"}
ELSEWHERE |= {"mfa_remove_webauthn", "mfa_view_recovery_codes"}
# Need a mail, which tests of theirs send.
ELSEWHERE |= {"login-forgotten", "login-reset", "security-address-confirm"}
# Pages parts of which come later; on a phone every page is looked at.
WITH_LATE_PARTS = ("overview", "trace", "annotation-queue", "evaluations")
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1440, "height": 900}
# The page and what holds a table: with everything unfolded, nothing of it has to be moved sideways.
TOO_WIDE = """() => {
    document.querySelectorAll("main details").forEach((one) => { one.open = true });
    const tables = [...document.querySelectorAll("main table")];
    const holders = new Set(tables.map((table) => table.closest(".scroll") || table.parentElement));
    const shown = [document.documentElement, ...holders].filter((one) => one.clientWidth);
    const wide = shown.filter((one) => one.scrollWidth > one.clientWidth + 1);
    return wide.map((one) => `${one.ariaLabel || one.localName}: ${one.scrollWidth} in ${one.clientWidth}`);
}"""
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


def a_dashboard(page: Page) -> str:
    """The path of a dashboard with a chart and a number, made by hand."""
    page.goto("/p/default/dashboards")
    page.locator("form", has=page.get_by_role("heading", name="New dashboard")).get_by_label("Name").fill("By hand")
    page.get_by_role("button", name="Make it").click()
    for measure, chart in (("requests", "line"), ("latency_p95", "number")):
        page.locator("select[name=measure]").select_option(measure)
        page.locator("select[name=chart]").select_option(chart)
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.locator(".panel")).to_have_count(1 if chart == "line" else 2)
    return page.url.partition("/p/")[1] + page.url.partition("/p/")[2]


@pytest.fixture
def axe() -> None:
    if not AXE.exists():
        if os.environ.get("CI"):
            pytest.fail("CI needs axe-core: make static")
        pytest.skip("needs axe-core: make static")


@pytest.mark.usefixtures("axe")
def test_the_judge_of_pages_finds_what_is_wrong(page: Page) -> None:
    page.set_content(
        "<html lang=en><title>t</title><main><h1>t</h1><input><p style='color: #bbb'>faint</p></main></html>"
    )
    assert {fault.split(":")[0] for fault in faults(page)} == {"label", "color-contrast"}


@pytest.fixture(scope="module")
def every_page(platform: Platform, chromium: Browser, judged: str) -> dict[str, str]:
    """The path of every page by its name, each with something on it."""
    talk(platform, f"talk-{os.urandom(4).hex()}", "1", "Where is my parcel?", "On its way.")
    with chromium.new_context(base_url=platform.base, viewport=DESK) as context:  # type: ignore[arg-type]  # a width and a height
        page = context.new_page()
        sign_in(page)
        make_examples(page, platform.base)
        page.goto("/p/default/evaluations/schedules")
        page.get_by_label("Name").fill("nightly")
        page.get_by_role("combobox", name="Job").select_option("evaluate")
        page.get_by_label("Arguments (JSON)").fill('{"rule": "groundedness"}')
        page.get_by_label("Every so many seconds").fill("86400")
        page.get_by_role("button", name="Add schedule").click()
        page.get_by_role("button", name="Run now: nightly").click()
        expect(page.get_by_role("heading", name="Evaluate")).to_be_visible()
        run = page.url.removeprefix(platform.base)
        paths = every_path(page, platform.base, "range=1h")
    further = {"login": "/login", "run": run, "nobody": "/p/default/?service=nobody"}
    return paths | further | {"cursor": "/p/default/traces?cursor=bad", "judged": f"/p/default/traces/{judged}"}


def answers_get(view: Any) -> bool:
    """Whether none of the decorators around a view refuses a GET."""
    while view is not None:
        held = zip(view.__code__.co_freevars, view.__closure__ or (), strict=True)
        if any(name == "request_method_list" and "GET" not in cell.cell_contents for name, cell in held):
            return False
        view = getattr(view, "__wrapped__", None)
    return True


def test_the_list_of_pages_has_every_page(every_page: dict[str, str]) -> None:
    listed = {urlsplit(path).path for path in every_page.values()}
    shown = {resolve(path).view_name for path in listed if "/unknown" not in path}
    # One page may have several names, of which one is enough.
    names: dict[str, set[str]] = {}
    for each in urlpatterns:
        if answers_get(each.callback):
            names.setdefault(str(each.pattern), set()).add(str(each.name))
    known = shown | PARTS_OF_PAGES | FILES | STEPS | ELSEWHERE
    assert [those for those in names.values() if not those & known] == []
    assert (PARTS_OF_PAGES | FILES | STEPS | ELSEWHERE) & shown == set()


@pytest.mark.usefixtures("axe")
def test_the_way_in_is_for_everybody(page: Page) -> None:
    assert in_every_look(page, ["/login"]) == ({}, {}, {})


# In parts, each within the bound of a test on a slow machine.
@pytest.mark.usefixtures("axe")
@pytest.mark.parametrize("part", range(PARTS))
def test_every_page_is_for_everybody_in_light_and_dark_and_fits_a_phone(
    page: Page, every_page: dict[str, str], part: int
) -> None:
    sign_in(page)
    assert in_every_look(page, list(every_page.values())[part::PARTS]) == ({}, {}, {})


def test_nothing_moves_on_a_desk_when_the_parts_of_a_page_come(page: Page, every_page: dict[str, str]) -> None:
    watch(page.context)
    sign_in(page)
    moved = {}
    for name in WITH_LATE_PARTS:
        page.goto(every_page[name])
        page.wait_for_load_state("networkidle")
        moved[name] = steadiness(page)
    assert {name: one for name, one in moved.items() if one.shift > MOST_SHIFT} == {}


def in_every_look(
    page: Page, paths: list[str]
) -> tuple[dict[str, list[str]], dict[str, list[str]], dict[str, Steadiness]]:
    """Return what axe finds by path and theme, what of a page does not fit a phone, and what moved on one."""
    found: dict[str, list[str]] = {}
    too_wide: dict[str, list[str]] = {}
    moved: dict[str, Steadiness] = {}
    watch(page.context)
    for path in paths:
        page.set_viewport_size(PHONE)  # type: ignore[arg-type]  # a width and a height
        page.goto(path)
        page.wait_for_load_state("networkidle")
        moved[path] = steadiness(page)
        too_wide[path] = page.evaluate(TOO_WIDE)
        page.set_viewport_size(DESK)  # type: ignore[arg-type]  # a width and a height
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]  # two literals
            found[f"{path} {theme}"] = faults(page)
    return (
        {path: those for path, those in found.items() if those},
        {path: those for path, those in too_wide.items() if those},
        {path: one for path, one in moved.items() if one.shift > MOST_SHIFT},
    )


def test_on_a_phone_every_page_is_two_touches_away(page: Page, platform: Platform) -> None:
    sign_in(page)
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]  # a width and a height
    bar = page.get_by_role("navigation", name="Main")
    expect(bar.get_by_role("link")).to_have_text(["Overview", "Traces", "Sessions", "Alerts"])
    page.get_by_role("button", name="More").click()
    more = page.get_by_role("navigation", name="More pages")
    expect(more.get_by_role("link", name="GPUs")).to_be_in_viewport()
    page.keyboard.press("Escape")
    expect(more).to_be_hidden()
    page.get_by_role("button", name="More").click()
    more.get_by_role("link", name="Data sets").click()
    expect(page.get_by_role("heading", name="Data sets", exact=True)).to_be_visible()


def test_a_dashboard_is_made_by_hand(page: Page, platform: Platform) -> None:
    sign_in(page)
    made = a_dashboard(page)
    page.goto("/p/default/dashboards")
    page.get_by_role("link", name="By hand").click()
    page.wait_for_url(f"**{made}**")
    page.go_back()
    expect(page.get_by_role("link", name="By hand")).to_be_visible()


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


def test_cells_of_the_latency_lead_to_their_traces_by_key_by_drag_and_in_the_table(
    page: Page, platform: Platform, judged: str
) -> None:
    sign_in(page)
    page.goto("/p/default/?range=1h")
    chart = page.locator("#chart-latency")
    chart.get_by_role("link", name="Heat map").click()
    page.wait_for_url("**range=1h&latency=map**")
    shown, rows = page.url, page.locator("#trace-rows tr")

    def lists_what_was_asked_for(count: int | None = None) -> None:
        page.wait_for_url("**/traces?**latency%3E%3D**")
        if count is None:
            expect(rows.first).to_be_visible()
        else:
            expect(rows).to_have_count(count)
        page.go_back()
        page.wait_for_url(shown)

    canvas = chart.locator(".canvas")
    page.wait_for_function("[...DRAWN.values()].some((one) => one.chart.heat)")
    canvas.focus()
    page.keyboard.press("ArrowLeft")
    expect(chart.locator("[data-said]")).to_contain_text("request")
    page.keyboard.press("Enter")
    lists_what_was_asked_for()
    # From the first minute and the lowest band to the last and the highest: every request.
    chart.get_by_role("button", name="Table").click()
    links = chart.locator(".chart-table a")
    counts = [int(text) for text in links.all_inner_texts()]
    links.first.click()
    lists_what_was_asked_for(counts[0])
    box = chart.locator("canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 70, box["y"] + box["height"] - 30)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 14, box["y"] + 34, steps=4)
    page.mouse.up()
    lists_what_was_asked_for(min(sum(counts), 50))


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


# A list, whether it has a search box, and where its first row leads.
LISTS = (
    ("sessions?range=1h", True, "**/sessions/one?**"),
    ("models?range=1h", False, "**/models/one?**"),
    ("experiments", True, "**/experiments/*"),
    ("alerts", True, "**/alerts/rules/*"),
    ("settings/audit", True, ""),
)


def test_the_keyboard_searches_a_list_walks_its_rows_and_opens_one(page: Page, every_page: dict[str, str]) -> None:
    sign_in(page)
    for path, has_search, lands in LISTS:
        page.goto(f"/p/default/{path}")
        shown = page.url
        if has_search:
            page.keyboard.press("/")
            expect(page.locator("main input[type=search]").first).to_be_focused()
            page.keyboard.press("Escape")
        if lands:
            for key, row in (("j", 0), ("j", 1), ("k", 0)):
                page.keyboard.press(key)
                if page.locator("main tbody tr").count() > row:
                    expect(page.locator("tr.current")).to_have_count(1)
            expect(page.locator("tr.current a:focus")).to_have_count(1)
            page.keyboard.press("Enter")
            page.wait_for_url(lands)
            page.go_back()
            page.wait_for_url(shown)


def test_times_are_of_the_reader_s_zone_and_utc_stands_on_hover(
    chromium: Browser, platform: Platform, judged: str
) -> None:
    with chromium.new_context(base_url=platform.base, timezone_id="Asia/Kolkata", locale="en-GB") as context:
        context.set_default_timeout(ANSWER_SECONDS * 1000)
        page = context.new_page()
        sign_in(page)
        page.goto("/p/default/traces?range=1h")
        shown = page.locator("#trace-rows time").first
        expect(shown).to_have_attribute("data-local", "")
        title, at = shown.get_attribute("title") or "", shown.get_attribute("datetime") or ""
        told = datetime.fromisoformat(at).astimezone(UTC)
        assert "UTC" in title
        assert told.strftime("%H:%M:%S") in title
        assert (told + timedelta(hours=5, minutes=30)).strftime("%H:%M:%S") in shown.inner_text()


def test_a_filter_is_typed_with_completion_and_the_back_button_undoes_it(
    page: Page, platform: Platform, judged: str
) -> None:
    sign_in(page)
    page.goto("/p/default/traces")
    page.keyboard.press("/")
    page.keyboard.type("stat")
    choice = page.get_by_role("option", name="status")
    expect(choice).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Filter", exact=True)).to_have_value("status:")
    expect(page.get_by_role("option", name="error")).to_be_visible()
    page.keyboard.type("err")
    expect(page.locator("#completions [role=option]")).to_have_count(1)
    page.keyboard.press("Tab")
    expect(page.get_by_label("Filter", exact=True)).to_have_value("status:error ")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=status*")
    page.go_back()
    expect(page.locator(f"tr[data-trace='{judged}']")).to_be_visible()
    page.locator(f"tr[data-trace='{judged}'] input").check()
    expect(page.locator("[data-count]")).to_have_text("1 selected")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Export JSON lines").click()
    assert judged in Path(saved.value.path()).read_text(encoding="utf-8")


def test_new_traces_appear_while_the_list_is_followed(page: Page, platform: Platform, judged: str) -> None:
    sign_in(page)
    page.goto("/p/default/traces")
    page.get_by_role("button", name="Live").click()
    trace_id = send_answer(platform, WRONG)
    expect(page.locator("#trace-rows tr").first).to_have_attribute("data-trace", trace_id)


def test_the_palette_goes_to_a_page_and_to_a_trace(page: Page, platform: Platform, judged: str) -> None:
    sign_in(page)
    page.keyboard.press("Control+k")
    page.keyboard.type("dashb")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Dashboards", exact=True)).to_be_visible()
    page.keyboard.press("Control+k")
    page.keyboard.type(judged)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/traces/{judged}")


def send_long_trace(platform: Platform, agents: int = AGENTS, calls: int = CALLS) -> str:
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
    for agent in range(agents):
        above = os.urandom(8).hex()
        spans.append(one(above, root, f"agent {agent}", agent * 100))
        deep = os.urandom(8).hex()
        spans.append(one(deep, above, f"step {agent}", agent * 100 + 1))
        spans += [
            one(os.urandom(8).hex(), deep, f"call {agent}.{call}", agent * 100 + call + 2) for call in range(calls)
        ]
    resource = {"attributes": [text("service.name", "long")]}
    body = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}
    headers = {"content-type": "application/json"}
    url = f"{platform.otlp}/v1/traces"
    answer = httpx.post(url, content=json.dumps(body), headers=headers, timeout=ANSWER_SECONDS)
    assert answer.status_code == 200, answer.text
    return trace_id


def test_a_long_trace_opens_folded_and_unfolds(page: Page, platform: Platform) -> None:
    trace_id = send_long_trace(platform)
    sign_in(page)
    page.goto(f"/p/default/traces/{trace_id}")
    expect(page.locator("#waterfall-card[data-ready]")).to_be_visible()
    shown = page.locator("#waterfall > li").first
    expect(shown).to_have_attribute("aria-setsize", str(1 + 2 * AGENTS))
    page.get_by_role("button", name="under step 3").click()
    shown_in_all(page, 1 + 2 * AGENTS + CALLS)
    page.locator(".span-row", has_text="agent 3").first.click()
    expect(page.locator("#span")).to_contain_text("agent 3")
    page.keyboard.press("f")
    shown_in_all(page, 2 * AGENTS)
    page.keyboard.press("j")
    expect(page.locator("#span")).to_contain_text("agent 4")
    assert set(page.locator(".span-row").evaluate_all("rows => rows.map(r => r.offsetHeight)")) == {32}
    page.go_back()
    expect(page.locator("#span")).to_contain_text("agent 3")
    expect(page.locator(".span-row[aria-current]")).to_contain_text("agent 3")


def shown_in_all(page: Page, rows: int) -> None:
    """How many rows there are, of which only those in sight are elements."""
    wait = "rows => waterfall.shown.length === rows && document.querySelectorAll('#waterfall > li').length <= 150"
    page.wait_for_function(wait, arg=rows)


def test_five_thousand_spans_are_few_elements_and_a_text_in_the_last_is_found(page: Page, platform: Platform) -> None:
    trace_id = send_long_trace(platform, agents=20, calls=250)
    sign_in(page)
    page.goto(f"/p/default/traces/{trace_id}?find=call+19.249")
    expect(page.locator("#find-count")).to_have_text("1 of 1")
    chosen = page.locator(".span-row[aria-current]")
    expect(chosen).to_contain_text("call 19.249")
    expect(chosen).to_be_in_viewport()
    assert page.locator("#waterfall > li").count() < 150
    # These calls begin after their parents ended, so nobody waited for them: the agents alone are on the path.
    page.get_by_role("button", name="Critical path", exact=True).click()
    page.wait_for_function("waterfall.shown.length > 0 && waterfall.shown.every(at => waterfall.rows[at][13] > 0)")
    expect(page.locator(".span-row", has_text="call 19.249")).to_have_count(0)
    box = page.locator("#minimap").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 9)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 9, steps=3)
    page.mouse.up()
    page.wait_for_url("**view=0.5*")
    page.get_by_role("button", name="Whole time").click()
    assert "view=" not in page.url


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
