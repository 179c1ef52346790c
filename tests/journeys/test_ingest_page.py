"""In a browser: a sender's requests appear, a body that cannot be read is found, limits are set and felt."""

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.ingest.senders import trace_request
from tests.journeys.conftest import Platform, eventually
from tests.journeys.test_from_sender_to_verdict import sign_in

pytestmark = pytest.mark.browser
PROTOBUF = {"content-type": "application/x-protobuf"}


def post(platform: Platform, key: str, body: bytes) -> httpx.Response:
    return httpx.post(f"{platform.otlp}/v1/traces", content=body, headers=PROTOBUF | {"x-api-key": key})


def test_from_a_request_to_its_books_its_dead_letter_and_a_limit(platform: Platform, page: Page) -> None:
    sign_in(page)
    page.goto("/p/default/settings")
    page.get_by_label("Name of the new key").fill("checkout")
    page.get_by_role("button", name="Create key").click()
    key = page.locator("#new-key").inner_text()
    assert post(platform, key, trace_request(17).SerializeToString()).status_code == 200
    assert post(platform, key, b"\xff\xff no protobuf").status_code == 400
    flows = eventually(
        lambda: [
            flow
            for flow in platform.api("ingest/ledger")["flows"]
            if flow["counts"]["accepted"] == 17 and flow["counts"]["refused"] == 1
        ]
    )
    assert flows[0]["counts"]["stored"] == 17
    assert flows[0]["counts"]["unaccounted"] == 0

    page.get_by_role("link", name="Ingest").click()
    row = page.get_by_role("row").filter(has_text="checkout")
    expect(row).to_contain_text("17")
    expect(page.get_by_role("region", name="Reasons, table")).to_contain_text("malformed")
    expect(page.locator("figure[data-chart='chart-ingest'] canvas")).to_be_visible()

    letters = page.get_by_role("region", name="Dead letters, table")
    letters.get_by_role("row").filter(has_text="malformed").first.get_by_role("link").click()
    expect(page.get_by_role("region", name="Body", exact=True)).to_contain_text("ff ff 20 6e")
    page.get_by_role("button", name="Replay").click()
    expect(page.get_by_text("The body still cannot be read, and stays here.")).to_be_visible()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("The dead letter is deleted.")).to_be_visible()

    page.goto("/p/default/settings")
    use = page.get_by_role("row").filter(has_text="Save").filter(has_text="checkout")
    expect(use).to_contain_text("17")
    page.get_by_label("Max spans per minute of checkout").fill("5")
    page.get_by_role("button", name="Save the limits of checkout").click()
    expect(page.get_by_text("is limited as you said")).to_be_visible()
    answer = eventually(
        lambda: (found := post(platform, key, trace_request(4).SerializeToString())).status_code == 429 and found
    )
    assert int(answer.headers["retry-after"]) >= 1
    assert b"5 spans a minute (its own limit)" in answer.content


def test_the_numbers_of_now_come_by_themselves(platform: Platform, page: Page) -> None:
    sign_in(page)
    page.goto("/p/default/ingest?range=1h")
    with page.expect_response(
        lambda answer: "/ingest" in answer.url and answer.request.headers.get("hx-request") == "true"
    ):
        pass
    expect(page.locator("#ingest-now")).to_have_count(1)
    expect(page.locator("#ingest-now")).to_contain_text("Spool now")
