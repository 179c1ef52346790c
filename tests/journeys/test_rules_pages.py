"""In a browser: a project's rules, tried before they are saved, on new spans and on stored ones."""

import json
import os
import re
import time
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.journeys.conftest import Platform, eventually
from tests.journeys.test_from_sender_to_verdict import sign_in, text

pytestmark = pytest.mark.browser
# Rules settle for 15 s before they are applied to stored spans, and the worker has other work too.
REAPPLIED_MS = 60_000
FILLS = re.compile("^Fills")


def send_call(platform: Platform, **attributes: str) -> tuple[str, str]:
    """Send a trace of one model call; return its id and the span's."""
    trace_id, span_id, now = os.urandom(16).hex(), os.urandom(8).hex(), time.time_ns()
    said = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"} | attributes
    span = {
        "traceId": trace_id,
        "spanId": span_id,
        "name": "chat",
        "startTimeUnixNano": str(now - 10**9),
        "endTimeUnixNano": str(now),
        "attributes": [text(key, value) for key, value in said.items()],
    }
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    headers = {"content-type": "application/json", "x-api-key": platform.api_key}
    answer = httpx.post(f"{platform.otlp}/v1/traces", content=json.dumps(body), headers=headers)
    assert answer.status_code == 200, answer.text
    return trace_id, span_id


def session_of(platform: Platform, ids: tuple[str, str]) -> Any:
    return platform.api(f"traces/{ids[0]}/spans/{ids[1]}")["session_id"]


def test_a_key_that_nobody_maps_is_mapped_previewed_and_re_applied(platform: Platform, page: Page) -> None:
    stored = send_call(platform, **{"journey.conversation": "conversation-7"})
    sign_in(page)
    page.goto(f"/p/default/traces/{stored[0]}")
    page.locator("summary", has_text="Attributes").click()
    expect(page.locator("#attributes")).to_contain_text("nobody maps it")
    page.get_by_role("link", name="Map journey.conversation").click()

    expect(page.get_by_role("heading", name="Keys that nobody maps")).to_be_visible()
    expect(page.get_by_label("Key, as it is sent")).to_have_value("journey.conversation")
    page.get_by_label(FILLS).select_option("ttft_ns")
    expect(page.get_by_label("Read as")).to_contain_text("milliseconds")
    page.get_by_label(FILLS).select_option("session_id")
    expect(page.get_by_label("Read as")).not_to_contain_text("milliseconds")
    page.get_by_role("button", name="Preview on recent spans").click()
    expect(page.get_by_role("region", name="Preview, table").locator("ins").first).to_have_text("conversation-7")
    page.get_by_role("button", name="Add rule").click()
    expect(page.get_by_text("The rule is saved.")).to_be_visible()
    expect(page.get_by_role("region", name="Revisions, table")).to_contain_text("added journey.conversation")

    eventually(lambda: session_of(platform, send_call(platform, **{"journey.conversation": "new"})) == "new")
    assert session_of(platform, stored) == ""
    page.get_by_label("To the spans of").select_option("1h")
    page.get_by_role("button", name="Re-apply rules").click()
    jobs = page.get_by_role("region", name="Re-applications, table")
    expect(jobs.get_by_role("row").nth(1)).to_contain_text("done", timeout=REAPPLIED_MS)
    assert session_of(platform, stored) == "conversation-7"

    page.goto(f"/p/default/traces/{stored[0]}")
    page.locator("summary", has_text="Attributes").click()
    page.get_by_role("link", name="your rule").click()
    rule = page.get_by_role("region", name="Mapping rules, table").get_by_role("row").nth(1)
    expect(rule).to_contain_text("journey.conversation")
    rule.get_by_role("button", name="Switch off").click()
    expect(rule).to_contain_text("off")
    rule.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("None yet: the built-in table alone")).to_be_visible()


def test_a_redaction_rule_is_tried_and_blanks_what_comes_from_then_on(platform: Platform, page: Page) -> None:
    sign_in(page)
    page.goto("/p/default/settings/redaction")
    page.get_by_label(re.compile("^Name")).fill("tickets")
    page.get_by_label("Looks for").select_option("regex")
    expect(page.get_by_label("E-mail addresses")).to_be_hidden()
    page.get_by_label(re.compile("^Expression")).fill("JRN-[0-9]{6}")
    page.get_by_label(re.compile("^A text")).fill("about JRN-123456")
    page.get_by_role("button", name="With the rule in the form above").click()
    expect(page.locator("pre.tried")).to_have_text("about [redacted:tickets]")
    page.get_by_role("button", name="Add rule").click()
    expect(page.get_by_text("The rule “tickets” is saved.")).to_be_visible()

    def is_blanked() -> bool:
        trace_id, span_id = send_call(platform, **{"journey.ticket": "JRN-123456"})
        return bool(
            platform.api(f"traces/{trace_id}/spans/{span_id}")["attributes"]["journey.ticket"] == "[redacted:tickets]"
        )

    eventually(is_blanked)
    eventually(lambda: sum(flow["counts"]["redacted"] for flow in platform.api("ingest/ledger")["flows"]))
    page.get_by_role("button", name="Remove tickets").click()
    expect(page.get_by_text("None yet: what senders deliver is stored as it comes.")).to_be_visible()
