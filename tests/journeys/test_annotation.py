"""From a filter to a calibrated evaluator: two people judge with the keyboard, then labels set the rule right."""

import os
import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.journeys.conftest import ANSWER_SECONDS, PASSWORD, Platform, eventually
from tests.journeys.evaluation_walk import another_person
from tests.journeys.test_every_page_is_for_everybody import PHONE, faults
from tests.journeys.test_from_sender_to_verdict import RIGHT, WRONG, send_answer, sign_in

pytestmark = pytest.mark.browser
LABELS = 12


def judge(page: Page, *keys: str, better: str = "") -> None:
    """Judge the answer in hand with the keyboard alone."""
    before = page.locator("#rubric").get_attribute("action")
    for key in keys:
        page.keyboard.press(key)
    if better:
        for _ in range(3):
            page.keyboard.press("j")
        page.keyboard.press("c")
        page.keyboard.type(better)
        page.keyboard.press("Control+Enter")
    else:
        page.keyboard.press("Enter")
    expect(page.locator(f"#rubric[action='{before}']")).to_have_count(0)


def label_all(platform: Platform, queue: int, right: set[str]) -> int:
    """Judge a queue's answers over the public API as the person who is signed in; return how many."""
    with httpx.Client(base_url=platform.base, follow_redirects=True, timeout=ANSWER_SECONDS) as api:
        form = {"username": "admin", "password": PASSWORD}
        api.get("/login")
        form["csrfmiddlewaretoken"] = api.cookies["csrftoken"]
        assert api.post("/login", data=form).status_code == 200
        count = 0

        def send(path: str, body: Any = None) -> Any:
            headers = {"x-csrftoken": api.cookies["csrftoken"], "referer": platform.base}
            found = api.post(f"/api/v1/annotation/queues/{queue}/{path}?project=default", json=body, headers=headers)
            assert found.status_code < 300, found.text
            return found.json()

        while (held := send("next"))["slot"]:
            says = {"correct": held["item"]["trace_id"] in right}
            send(f"slots/{held['slot']['id']}", {"values": says})
            count += 1
    return count


def test_people_judge_answers_agree_correct_them_and_set_an_evaluator_right(  # a whole journey
    platform: Platform, page: Page, chromium: Browser
) -> None:
    service = f"bot-{os.urandom(3).hex()}"
    right = {send_answer(platform, RIGHT, service) for _ in range(LABELS)}
    wrong = {send_answer(platform, WRONG, service) for _ in range(LABELS)}
    another_person(platform, "second")
    sign_in(page)
    page.goto("/p/default/datasets")
    page.get_by_label("Name", exact=True).fill(f"Corrections {service}")
    page.get_by_role("button", name="Add data set").click()

    page.goto("/p/default/annotation")
    page.get_by_label("Name", exact=True).fill(f"Queue {service}")
    page.get_by_label("Annotators of each answer").fill("2")
    page.get_by_label("Instructions that annotators see").fill("The article decides.")
    page.get_by_role("button", name="Make the queue").click()
    expect(page.get_by_role("heading", name=f"Queue {service}")).to_be_visible()
    queue_url = page.url
    page.get_by_label(re.compile("^Filter")).fill(f"service:{service}")
    page.get_by_label("At most").fill("4")
    page.get_by_role("button", name="Add them").click()
    expect(page.get_by_text(f"4 answers added to Queue {service}")).to_be_visible()
    page.get_by_label("second", exact=True).check()
    page.get_by_label(re.compile("^Choose the answer")).last.check()
    page.get_by_role("button", name="Assign the ticked").click()
    expect(page.get_by_text("Assigned: 1 to second.")).to_be_visible()
    expect(page.get_by_text("for second")).to_be_visible()
    found = {"queue": faults(page)}

    page.get_by_role("button", name="Annotate", exact=True).click()
    expect(page.locator("#judged")).to_contain_text("How long do I have to return a bicycle?")
    expect(page.locator("#judged")).to_contain_text("Unused bicycles")
    found["work"] = faults(page)
    judge(page, "1", "4", "1")
    judge(page, "2", "2", "3", better="Within 30 days.")
    # Back to the last one, judged anew.
    page.keyboard.press("u")
    expect(page.get_by_role("button", name="Save the new version")).to_be_visible()
    expect(page.locator("textarea")).to_have_value("Within 30 days.")
    page.locator("body").click(position={"x": 5, "y": 5})
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Save, next")).to_be_visible()
    judge(page, "1", "5")
    page.keyboard.press("s")
    page.get_by_label("Why").fill("not my field")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Nothing is left for you")).to_be_visible()
    expect(page.get_by_text("skipped by admin: not my field")).to_be_visible()

    other = chromium.new_context(base_url=platform.base, viewport={"width": 1440, "height": 900})
    theirs = other.new_page()
    theirs.goto("/")
    theirs.get_by_label("User").fill("second")
    theirs.get_by_label("Password").fill(PASSWORD)
    theirs.get_by_role("button", name="Sign in").click()
    theirs.goto(queue_url)
    theirs.get_by_role("button", name="Annotate", exact=True).click()
    for keys in (("1", "4"), ("1", "3"), ("1", "5"), ("1", "5")):
        judge(theirs, *keys)
    expect(theirs.get_by_text("Nothing is left for you")).to_be_visible()
    other.close()

    page.goto(queue_url)
    table = page.get_by_role("region", name="Agreement, table")
    expect(table.locator("tbody tr", has_text="correct")).to_contain_text("admin, second")
    expect(table.locator("tbody tr", has_text="helpfulness")).to_contain_text("interval")
    page.get_by_text("Where they differ most").click()
    expect(page.get_by_role("region", name="Disputes, table")).to_contain_text("second: yes")
    page.get_by_label("Data set").select_option(label=f"Corrections {service}")
    page.get_by_role("button", name="Add to data set").click()
    expect(page.get_by_text(f"1 correction in Corrections {service}, version 1")).to_be_visible()
    page.get_by_role("region", name="Better answers, table").get_by_role("link", name="data set").click()
    expect(page.get_by_role("region", name="Rows, table")).to_contain_text("Within 30 days.")
    human = platform.api("scores", source="human", service=service)["items"]
    assert {(each["name"], each["author"]) for each in human} >= {("correct", "admin"), ("helpfulness", "second")}
    # Seven judgements, and the one that was said anew counts once.
    assert sum(each["name"] == "correct" for each in human) == 7

    # A second queue, from a trace's page and over the API, with labels enough for a calibration.
    headers = {"x-api-key": platform.api_key}
    with httpx.Client(base_url=f"{platform.base}/api/v1/annotation", headers=headers, timeout=ANSWER_SECONDS) as api:
        asked = {"name": f"Labels {service}", "rubric": [{"name": "correct", "kind": "boolean"}]}
        made = api.post("/queues", json=asked)
        assert made.status_code == 201, made.text
        queue = made.json()["id"]
        first = next(iter(right))
        page.goto(f"/p/default/traces/{first}")
        page.get_by_text("Annotate", exact=True).click()
        page.get_by_role("button", name=f"Labels {service}").click()
        expect(page.get_by_text(f"1 answer added to Labels {service}")).to_be_visible()
        assert first in page.url
        judged = {"name": "groundedness", "service": service, "limit": 100}
        eventually(lambda: len(platform.api("scores", **judged)["items"]) == 2 * LABELS, 200)
        filled = api.post(f"/queues/{queue}/items", json={"filter": f"service:{service}", "score": "groundedness"})
        assert filled.json() == {"new": 2 * LABELS - 1, "known": 1, "missing": []}
        assert api.post(f"/queues/{queue}/next").status_code == 403
        assert label_all(platform, queue, right) == 2 * LABELS
        assert api.get(f"/queues/{queue}").json()["progress"]["done"] == 2 * LABELS

    page.goto(f"/p/default/annotation/{queue}/calibration")
    page.get_by_label("Score of an evaluator").fill("groundedness")
    page.get_by_role("button", name="Compare").click()
    results = page.get_by_role("region", name="Result, table")
    expect(results).to_contain_text("AUROC")
    expect(page.locator(".diagram svg").first).to_be_visible()
    found["calibration"] = faults(page)
    calibration_url = page.url
    page.get_by_role("button", name="Apply to the rule groundedness").click()
    expect(page.get_by_text("In force since")).to_be_visible()
    (rule,) = [each for each in platform.api("evaluation-rules")["items"] if each["name"] == "groundedness"]
    assert 0 < rule["arguments"]["threshold"] < 1
    page.get_by_role("button", name="Put back").click()
    expect(page.get_by_text("as it was before")).to_be_visible()
    (rule,) = [each for each in platform.api("evaluation-rules")["items"] if each["name"] == "groundedness"]
    assert "threshold" not in rule["arguments"]
    assert wrong.isdisjoint(right)

    page.set_viewport_size(PHONE)  # type: ignore[arg-type]  # a width and a height
    widths = {}
    page.emulate_media(color_scheme="dark")
    for url in (queue_url, calibration_url, f"{queue_url}/work", "/p/default/annotation"):
        page.goto(url)
        page.wait_for_load_state("networkidle")
        widths[url] = page.evaluate("document.documentElement.scrollWidth")
        found[f"{url} dark"] = faults(page)
        if folder := os.environ.get("ANNOTATION_PICTURES"):
            page.screenshot(path=f"{folder}/{len(widths)}.png", full_page=True)
    assert {name: those for name, those in found.items() if those} == {}
    assert widths == dict.fromkeys(widths, PHONE["width"])
