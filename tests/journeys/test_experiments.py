"""From a file to a comparison of two runs: once in a browser, once by the public API, with real processes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.journeys.conftest import ANSWER_SECONDS, Platform, eventually
from tests.journeys.test_every_page_is_for_everybody import PHONE, faults
from tests.journeys.test_from_sender_to_verdict import RIGHT, send_answer, sign_in
from tests.net.servers import Handler, serving

pytestmark = pytest.mark.browser
# The worker of a busy machine has other work between two slices.
DONE_MS = 90_000
CAPITALS = {
    "France": "Paris",
    "Italy": "Rome",
    "Spain": "Madrid",
    "Peru": "Lima",
    "Japan": "Tokyo",
    "Chad": "N'Djamena",
}


def answer(handler: Handler) -> None:
    """Know every capital; the model `small` gets two of them wrong."""
    asked = json.loads(handler.server.requests[-1][2])
    country = asked["messages"][-1]["content"].removeprefix("Capital of ")
    wrong = asked["model"] == "small" and country in ("Peru", "Chad")
    choice = {"index": 0, "message": {"role": "assistant", "content": "Paris" if wrong else CAPITALS[country]}}
    body = {
        "id": "c",
        "model": asked["model"],
        "choices": [choice],
        "usage": {"prompt_tokens": 4, "completion_tokens": 1},
    }
    handler.say(200, json.dumps(body).encode())


@pytest.fixture(scope="module")
def model_server() -> Iterator[str]:
    with serving(answer) as server:
        yield f"{server.url}/v1"


def start_in_browser(page: Page, name: str, model: str) -> None:
    page.goto("/p/default/experiments")
    page.locator("select[name=dataset]").select_option(label="Capitals")
    page.get_by_label("Name of the run").fill(name)
    page.get_by_label("Model", exact=True).fill(model)
    page.get_by_label("Message of a row").fill("Capital of {{input}}")
    page.get_by_label("exact_match").check()
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    expect(page.locator("#experiment .pill", has_text="Done")).to_be_visible(timeout=DONE_MS)


def test_a_file_becomes_two_runs_that_are_compared(
    platform: Platform, page: Page, model_server: str, tmp_path: Path
) -> None:
    file = tmp_path / "capitals.csv"
    rows = [f"{country},{capital}" for country, capital in CAPITALS.items()]
    file.write_text("\n".join(["question,answer", *rows, ",nothing asked"]), encoding="utf-8")
    sign_in(page)
    page.goto("/p/default/datasets")
    page.get_by_label("Name", exact=True).fill("Capitals")
    page.get_by_role("button", name="Add data set").click()
    page.get_by_label("File").set_input_files(file)
    page.get_by_role("button", name="Look at it").click()
    expect(page.get_by_role("heading", name="1 row cannot be kept")).to_be_visible()
    expect(page.get_by_role("region", name="Faults, table")).to_contain_text("8")
    seen = {"preview": faults(page)}
    page.get_by_label("keep the other").check()
    page.get_by_role("button", name="Keep 6 rows").click()
    expect(page.get_by_text("Version 1: 6 rows added")).to_be_visible()

    page.goto("/p/default/experiments")
    page.get_by_label("Name of the endpoint").fill("local")
    page.get_by_label("Base address").fill(model_server)
    page.get_by_role("button", name="Add endpoint").click()
    start_in_browser(page, "with the large one", "large")
    start_in_browser(page, "with the small one", "small")
    expect(page.locator(".tile", has_text="exact_match")).to_contain_text("0.667")
    run = page.url
    page.get_by_role("link", name="lowest exact_match").click()
    expect(page.get_by_role("region", name="Results, table").locator("tbody tr").first).to_contain_text("Paris")
    # To the trace of a row, and back to its run.
    page.get_by_role("link", name="trace", exact=True).first.click()
    expect(page.locator(".conversation")).to_contain_text("Capital of")
    page.get_by_role("link", name="experiment with the small one").click()
    expect(page).to_have_url(run)
    page.get_by_role("combobox", name="Compare with").select_option(label="with the large one (version 1)")
    page.get_by_role("button", name="Compare").click()
    table = page.get_by_role("region", name="Rows of the experiments, table")
    expect(table.locator("tbody tr").nth(1)).to_contain_text("flip")
    expect(table.locator("tbody tr").nth(2)).not_to_contain_text("flip")
    expect(page.locator("#statistics")).to_contain_text(re.compile("2 of 6 rows changed"), timeout=DONE_MS)

    paths = {
        "compare": page.url,
        "run": run,
        "datasets": "/p/default/datasets",
        "experiments": "/p/default/experiments",
    }
    page.goto("/p/default/datasets")
    page.get_by_role("link", name="Capitals", exact=True).click()
    paths |= {"dataset": page.url, "diff": f"{page.url}/diff"}
    page.get_by_role("region", name="Rows, table").get_by_role("link").first.click()
    paths["row"] = page.url
    widths = {}
    for name, path in paths.items():
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]  # two literals
            page.set_viewport_size({"width": 1440, "height": 900})
            page.goto(path)
            page.wait_for_load_state("networkidle")
            seen[f"{name} {theme}"] = faults(page)
        page.set_viewport_size(PHONE)  # type: ignore[arg-type]  # a width and a height
        widths[name] = page.evaluate("document.documentElement.scrollWidth")
    assert {name: those for name, those in seen.items() if those} == {}
    assert widths == dict.fromkeys(widths, PHONE["width"])


def test_rows_come_from_a_span_from_chosen_traces_of_the_list_and_from_a_trace_by_one_click(
    platform: Platform, page: Page
) -> None:
    trace_id, another = send_answer(platform, RIGHT), send_answer(platform, RIGHT)
    eventually(
        lambda: (
            httpx.get(
                f"{platform.base}/api/v1/traces/{trace_id}",
                headers={"x-api-key": platform.api_key},
                timeout=ANSWER_SECONDS,
            ).status_code
            == 200
        )
    )
    sign_in(page)
    page.goto(f"/p/default/traces/{trace_id}")
    page.get_by_text("Add to a data set").click()
    page.locator(".add-form").get_by_role("textbox").fill("From production")
    page.locator(".add-form").get_by_role("button", name="Add").click()
    expect(page.get_by_text("1 row added")).to_be_visible()
    assert trace_id in page.url
    page.goto("/p/default/traces?range=1h")
    for chosen in (trace_id, another):
        page.locator(f"tr[data-trace='{chosen}'] input").check()
    page.locator("#bulk-bar").get_by_label("Data set").fill("From the list")
    page.get_by_role("button", name="Add to it").click()
    expect(page.get_by_role("heading", name="From the list", level=1)).to_be_visible()
    expect(page.get_by_text("2 rows added")).to_be_visible()
    page.locator(f"main a[href*='{another}']").click()
    # The data set that was changed last takes the trace without a question; it has it already.
    page.get_by_role("button", name="Add to From the list").click()
    expect(page.get_by_text("From the list has these rows already.")).to_be_visible()
    assert another in page.url


def test_the_same_goes_over_the_public_api(platform: Platform, model_server: str) -> None:
    with httpx.Client(
        base_url=f"{platform.base}/api/v1", headers={"x-api-key": platform.api_key}, timeout=ANSWER_SECONDS
    ) as api:

        def send(method: str, path: str, **options: Any) -> Any:
            found = api.request(method, path, **options)
            assert found.status_code < 300, found.text
            return found.json()

        dataset = send("POST", "/datasets", json={"name": "Capitals by API"})["id"]
        lines = "\n".join(
            json.dumps({"id": name, "input": name, "expected": right}) for name, right in CAPITALS.items()
        )
        stored = send("POST", f"/datasets/{dataset}/import?kind=jsonl&splits=test=1", content=lines)
        assert stored["version"]["splits"] == {"test": 6}
        runs = []
        for wrong in ((), ("Peru",)):
            plan = {"dataset": "Capitals by API", "name": "mine", "kind": "function", "evaluators": ["exact_match"]}
            run = send("POST", "/experiments", json=plan)["id"]
            rows = send("GET", f"/experiments/{run}/pending")["items"]
            answers = [{"id": row["id"], "output": "?" if row["id"] in wrong else row["expected"]} for row in rows]
            send("POST", f"/experiments/{run}/results", json={"results": answers})
            send("POST", f"/experiments/{run}/finish")
            ended = eventually(
                lambda at=run: (found := send("GET", f"/experiments/{at}"))["status"] == "done" and found, 90
            )
            assert ended["summary"]["exact_match"]["mean"] == pytest.approx(1 - len(wrong) / 6)
            runs.append(run)
        query = f"/experiments/compare?run={runs[0]}&run={runs[1]}&score=exact_match"
        compared = eventually(lambda: (found := send("GET", query))["statistics"][0] and found, 90)
        assert (compared["items"][0]["id"], compared["items"][0]["is_flip"]) == ("Peru", True)
        assert (compared["statistics"][0]["n"], compared["statistics"][0]["changed"]) == (6, 1)
