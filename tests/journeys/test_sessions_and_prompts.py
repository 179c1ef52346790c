"""Sessions, users, prompts and two traces in a real browser: open, filter, drill down, and back."""

import json
import os
import time
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.journeys.conftest import ANSWER_SECONDS, Platform
from tests.journeys.test_from_sender_to_verdict import sign_in, text

pytestmark = pytest.mark.browser


def talk(platform: Platform, session: str, version: str, said: str, answered: str, **further: str) -> str:
    """Send a trace of one call of a session by a version of a prompt, with further attributes; returns its id."""
    trace_id, now = os.urandom(16).hex(), time.time_ns()
    system = json.dumps({"role": "system", "parts": [{"type": "text", "content": f"Be kind.\nVersion {version}."}]})
    user = json.dumps({"role": "user", "parts": [{"type": "text", "content": said}]})
    answer = json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": answered}]}])
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.conversation.id": session,
        "user.id": f"user of {session}",
        "gen_ai.prompt.name": f"prompt of {session}",
        "gen_ai.prompt.version": version,
        "gen_ai.input.messages": f"[{system}, {user}]",
        "gen_ai.output.messages": answer,
        **further,
    }
    span: dict[str, Any] = {"traceId": trace_id, "spanId": os.urandom(8).hex(), "name": f"chat {version}"}
    span |= {"startTimeUnixNano": str(now - 10**9), "endTimeUnixNano": str(now)}
    span["attributes"] = [text(key, value) for key, value in attributes.items()]
    resource = {"attributes": [text("service.name", "talk")]}
    body = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}
    headers = {"content-type": "application/json"}
    url = f"{platform.otlp}/v1/traces"
    assert httpx.post(url, content=json.dumps(body), headers=headers, timeout=ANSWER_SECONDS).status_code == 200
    return trace_id


def test_from_the_sessions_to_what_was_said_to_its_trace_and_back(page: Page, platform: Platform) -> None:
    session = f"talk-{os.urandom(4).hex()}"
    talk(platform, session, "1", "Where is my parcel?", "On its way.")
    talk(platform, session, "2", "When does it come?", "On Tuesday.")
    sign_in(page)
    page.goto("/p/default/sessions?range=1h")
    page.get_by_role("searchbox").fill(session[:9])
    page.keyboard.press("Enter")
    page.wait_for_url("**q=talk-*")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name=session).click()
    exchanges = page.locator(".exchanges > li")
    expect(exchanges).to_have_count(2)
    expect(exchanges.first).to_contain_text("Where is my parcel?")
    expect(exchanges.last).to_contain_text("On Tuesday.")
    exchanges.last.get_by_role("link", name="chat 2").click()
    expect(page.get_by_role("heading", name="chat 2", level=1)).to_be_visible()
    page.go_back()
    expect(exchanges).to_have_count(2)
    page.get_by_role("link", name=f"User user of {session}").click()
    expect(page.get_by_role("link", name=session, exact=True)).to_be_visible()
    page.go_back()
    page.go_back()
    expect(page.get_by_role("searchbox")).to_have_value(session[:9])


def test_two_versions_of_a_prompt_and_two_traces_show_what_changed(page: Page, platform: Platform) -> None:
    session = f"talk-{os.urandom(4).hex()}"
    ids = [talk(platform, session, version, "Hi?", f"Answer {version}.") for version in ("1", "2", "3")]
    sign_in(page)
    page.goto("/p/default/models/prompts?range=1h")
    page.get_by_role("link", name=f"prompt of {session}").click()
    expect(page.get_by_role("heading", name="What changed from 2 to 3?")).to_be_visible()
    page.get_by_role("radio", name="Compare from 1").check()
    page.get_by_role("button", name="Compare the texts").click()
    expect(page.get_by_role("heading", name="What changed from 1 to 3?")).to_be_visible()
    expect(page.locator(".text-diff .added")).to_contain_text("Version 3.")
    page.go_back()
    expect(page.get_by_role("heading", name="What changed from 2 to 3?")).to_be_visible()
    page.goto(f"/p/default/traces/{ids[0]}")
    page.get_by_role("link", name="Compare").click()
    page.get_by_role("textbox", name="After").fill(ids[1])
    page.get_by_role("button", name="Compare").click()
    changed = page.locator(".text-diff").last
    expect(changed).to_contain_text("Answer 2.")
    page.get_by_role("link", name="Swap").click()
    expect(page.locator(".text-diff .added").last).to_contain_text("Answer 1.")


def test_the_next_and_the_previous_trace_are_those_of_the_list(page: Page, platform: Platform) -> None:
    session = f"talk-{os.urandom(4).hex()}"
    ids = [talk(platform, session, str(number), "Hi?", "Yes.") for number in range(3)]
    sign_in(page)
    page.goto(f"/p/default/traces/{ids[1]}?list=q%3Dsession%3A{session}%26range%3D1h")
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_role("heading", name="chat 0", level=1)).to_be_visible()
    expect(page.get_by_text("oldest of the list")).to_be_visible()
    page.keyboard.press("[")
    page.wait_for_url(f"**{ids[1]}**")
    page.get_by_role("link", name="Newer").click()
    expect(page.get_by_text("newest of the list")).to_be_visible()
    assert f"session%3A{session}" in page.url.replace("%253A", "%3A")
