"""From a service's export to what a person and a program see: the trace, its messages, its score."""

import json
import os
import subprocess
import sys
import time

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.journeys.conftest import ANSWER_SECONDS, PASSWORD, Platform, eventually

pytestmark = pytest.mark.browser

ARTICLE = (
    "Unused bicycles may be returned within 30 days of delivery in their original box. "
    "The refund is paid to the original payment method within 5 working days of inspection."
)
QUESTION = "How long do I have to return a bicycle?"
RIGHT = "You can return an unused bicycle within 30 days of delivery."
WRONG = "You can return any bicycle within 90 days, and the refund is paid in gold coins on the same day."


def text(key: str, value: str) -> dict[str, object]:
    return {"key": key, "value": {"stringValue": value}}


def whole(key: str, value: int) -> dict[str, object]:
    return {"key": key, "value": {"intValue": str(value)}}


def send_answer(platform: Platform, answer: str, service: str = "support-bot") -> str:
    """Send a trace of retrieval and answer over OTLP/HTTP as JSON; return its id."""
    trace_id, now = os.urandom(16).hex(), time.time_ns()
    root, retriever, model = (os.urandom(8).hex() for _ in range(3))
    prefix = "retrieval.documents.0.document"
    spans = [
        (
            root,
            "",
            "answer_question",
            0,
            900,
            [text("openinference.span.kind", "CHAIN"), text("input.value", QUESTION)],
        ),
        (
            retriever,
            root,
            "search_articles",
            5,
            40,
            [
                text("openinference.span.kind", "RETRIEVER"),
                text(f"{prefix}.content", ARTICLE),
                text(f"{prefix}.id", "a1"),
            ],
        ),
        (
            model,
            root,
            "ChatCompletion",
            50,
            890,
            [
                text("openinference.span.kind", "LLM"),
                text("llm.system", "openai"),
                text("llm.model_name", "gpt-4o-mini"),
                text("llm.input_messages.0.message.role", "user"),
                text("llm.input_messages.0.message.content", QUESTION),
                text("llm.output_messages.0.message.role", "assistant"),
                text("llm.output_messages.0.message.content", answer),
                whole("llm.token_count.prompt", 1000),
                whole("llm.token_count.completion", 100),
            ],
        ),
    ]
    body = {
        "resourceSpans": [
            {
                "resource": {"attributes": [text("service.name", service), text("service.version", "1.4.0")]},
                "scopeSpans": [
                    {
                        "spans": [
                            {
                                "traceId": trace_id,
                                "spanId": span_id,
                                "parentSpanId": parent,
                                "name": name,
                                "startTimeUnixNano": str(now - 10**9 + start * 10**6),
                                "endTimeUnixNano": str(now - 10**9 + end * 10**6),
                                "attributes": attributes,
                            }
                            for span_id, parent, name, start, end, attributes in spans
                        ]
                    }
                ],
            }
        ]
    }
    headers = {"content-type": "application/json"}
    url = f"{platform.otlp}/v1/traces"
    answered = httpx.post(url, content=json.dumps(body), headers=headers, timeout=ANSWER_SECONDS)
    assert answered.status_code == 200, answered.text
    return trace_id


def sign_in(page: Page) -> None:
    page.goto("/")
    page.get_by_label("User").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def scores_of(platform: Platform, trace_id: str) -> list[dict[str, object]]:
    return list(platform.api(f"traces/{trace_id}")["scores"])


def test_an_acknowledged_trace_is_there_at_once(platform: Platform) -> None:
    trace_id = send_answer(platform, RIGHT)
    trace = platform.api(f"traces/{trace_id}")
    assert trace["summary"]["span_count"] == 3
    assert trace["summary"]["input_tokens"] == 1000
    assert float(trace["summary"]["cost"]) == pytest.approx(1000 * 0.15e-6 + 100 * 0.6e-6)


def test_a_grounded_answer_scores_higher_than_an_invented_one(platform: Platform) -> None:
    right, wrong = send_answer(platform, RIGHT), send_answer(platform, WRONG)
    (good,) = eventually(lambda: scores_of(platform, right), 90)
    (bad,) = eventually(lambda: scores_of(platform, wrong), 90)
    assert good["name"] == bad["name"] == "groundedness"
    assert good["evaluator_revision"]
    assert good["value"] > bad["value"]  # type: ignore[operator]  # both are numbers


def test_a_person_goes_from_signing_in_to_a_trace_its_messages_and_its_score(platform: Platform, page: Page) -> None:
    service = f"bot-{os.urandom(3).hex()}"
    trace_id = send_answer(platform, RIGHT, service)
    eventually(lambda: scores_of(platform, trace_id), 90)

    sign_in(page)
    expect(page.locator("figure.chart canvas").first).to_be_visible()

    page.get_by_role("link", name="Traces").click()
    page.locator(".facets").get_by_role("link", name=service).click()
    expect(page.locator("tr[data-href]")).to_have_count(1)
    row = page.locator("tr[data-href]").first
    expect(row).to_contain_text(QUESTION)
    expect(row).to_contain_text("gpt-4o-mini")
    row.get_by_role("link", name="answer_question").click()

    expect(page.get_by_role("heading", name="answer_question")).to_be_visible()
    chosen = page.locator("#span")
    expect(chosen).to_contain_text(RIGHT)
    expect(chosen).to_contain_text("groundedness")
    page.locator(".span-row", has_text="search_articles").click()
    expect(chosen.get_by_role("heading", name="search_articles")).to_be_visible()
    expect(chosen).to_contain_text(ARTICLE[:60])
    page.go_back()
    expect(chosen).to_contain_text(RIGHT)


def test_words_and_scores_narrow_the_list(platform: Platform, page: Page) -> None:
    word = f"zeppelin{os.urandom(3).hex()}"
    trace_id = send_answer(platform, f"{RIGHT} {word}")
    sign_in(page)
    page.goto("/p/default/traces")
    page.keyboard.press("/")
    page.keyboard.type(word)
    page.keyboard.press("Enter")
    expect(page.locator("tr[data-href]")).to_have_count(1)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{platform.base}/p/default/traces/{trace_id}")


def test_the_one_time_link_lets_in_once(platform: Platform, page: Page) -> None:
    # The one that was printed at the start is void, since somebody has signed in with the password since.
    command = [sys.executable, "-m", "heliograph.cli", "login_link"]
    printed = subprocess.run(command, env=platform.environment, capture_output=True, text=True, check=True).stdout
    link = printed.strip().replace("localhost", "127.0.0.1")
    page.goto(link)
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.context.clear_cookies()
    page.goto(link)
    expect(page.get_by_label("Password")).to_be_visible()
