"""The prices page: models without a price, a form that sets one, and applying it to stored calls."""

from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from heliograph.accounts.models import Membership, Project
from heliograph.conventions.models import Reapplication
from tests.dashboards.conftest import IN_HOUR, Signed
from tests.query.rows import llm, new_trace_id, span, store_spans

pytestmark = pytest.mark.usefixtures("store")
FORM = {"model": "in-house", "input_per_million": "1.5", "output_per_million": "6"}


@pytest.fixture(autouse=True)
def no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heliograph.remap.queue.wake_worker", lambda *_: None)


def page(reader: Client, project: Project, more: str = "") -> str:
    return reader.get(f"{reverse('settings-prices', args=[project.slug])}?{IN_HOUR}{more}").content.decode()


def save(reader: Client, project: Project, **fields: str):
    return reader.post(reverse("settings-prices-save", args=[project.slug]), FORM | fields)


def test_a_model_without_a_price_leads_to_the_form_and_a_price_to_the_list(reader: Client, project: Project) -> None:
    store_spans(project.pk, llm(new_trace_id(), 1, model="in-house", input_tokens=3, output_tokens=4))
    before = page(reader, project)
    assert "Unknown model" in before
    assert "&amp;model=in-house#price" in before
    assert 'name="model" required maxlength="300" value="in-house"' in page(reader, project, "&model=in-house")
    assert save(reader, project)["location"] == reverse("settings-prices", args=[project.slug])
    after = page(reader, project)
    assert "Has a price now: apply it to stored calls" in after
    # The form then holds what was set.
    assert 'name="output_per_million" inputmode="decimal" size="14" required value="6"' in page(
        reader, project, "&model=in-house"
    )
    price = project.token_prices.get()
    assert reader.post(reverse("settings-prices-remove", args=[project.slug, price.pk])).status_code == 302
    assert not project.token_prices.exists()


def test_a_price_that_cannot_be_is_shown_again_with_the_reason(reader: Client, project: Project) -> None:
    answer = save(reader, project, input_per_million="-2")
    assert answer.status_code == 422
    assert "greater than or equal to 0" in answer.content.decode()
    assert 'value="in-house"' in answer.content.decode()


def test_applying_queues_a_pass_over_the_range_and_needs_a_price(reader: Client, project: Project) -> None:
    address = reverse("settings-prices-apply", args=[project.slug]) + f"?{IN_HOUR}"
    assert "there is nothing to re-apply" in reader.post(address, follow=True).content.decode()
    store_spans(project.pk, llm(new_trace_id(), 1, model="in-house", input_tokens=3, output_tokens=4))
    save(reader, project)
    assert "1 span is read and priced again" in reader.post(address, follow=True).content.decode()
    assert (Reapplication.objects.get().spans_total, Reapplication.objects.get().project) == (1, project)
    assert "Being applied: 0 %" in page(reader, project)


def test_a_viewer_sees_prices_and_no_forms(signed_in: Signed, project: Project) -> None:
    shown = page(signed_in(Membership.Role.VIEWER), project)
    assert "Models without a price" in shown
    assert "Save price" not in shown


def test_the_settings_lead_to_the_prices(reader: Client, project: Project) -> None:
    shown = reader.get(reverse("settings", args=[project.slug])).content.decode()
    assert reverse("settings-prices", args=[project.slug]) in shown


def test_a_span_shows_the_computed_cost_and_the_reported_one_side_by_side(reader: Client, project: Project) -> None:
    trace_id = new_trace_id()
    call = llm(
        trace_id,
        2,
        input_tokens=10,
        output_tokens=5,
        cost="0.5",
        cost_source="genai-prices: openai/gpt-4o",
        reported_cost="0.75",
        model="gpt-4o-2024-08-06",
        model_requested="gpt-4o",
    )
    # The root repeats what the call below it cost.
    root = span(trace_id, 1, cost_source="", reported_cost="0.75", model_requested="")
    store_spans(project.pk, root, call)
    shown = reader.get(reverse("trace", args=[project.slug, trace_id])).content.decode()
    assert "$0.5" in shown
    assert "genai-prices: openai/gpt-4o" in shown
    assert "$0.75" in shown
    assert "Cost, as reported" in shown
    assert "asked for gpt-4o" in shown
    found = reader.get(reverse("api-trace", args=[trace_id]), {"project": project.slug}).json()
    assert (Decimal(found["summary"]["cost"]), Decimal(found["reported_cost"])) == (Decimal("0.5"), Decimal("0.75"))
    listed = found["spans"][1]
    assert (listed["model"], listed["model_requested"]) == ("gpt-4o-2024-08-06", "gpt-4o")
    assert (Decimal(listed["cost"]), Decimal(listed["reported_cost"])) == (Decimal("0.5"), Decimal("0.75"))
