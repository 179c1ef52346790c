"""A project's own prices over the API: set, used, removed, and the models that have none."""

from decimal import Decimal

import pytest

from heliograph.accounts.models import TokenPrice
from heliograph.conventions.models import Ruleset
from heliograph.conventions.prices import prices_of
from tests.api.test_endpoints import Caller, caller, stranger  # noqa: F401  # fixtures
from tests.query.rows import HOUR, llm, new_trace_id, store_spans

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]
IN_HOUR = {"start": HOUR.start.isoformat(), "end": HOUR.end.isoformat()}
OWN = {"model": "in-house", "input_per_million": "1.5", "output_per_million": "6"}


def post(caller: Caller, **price: str):  # noqa: F811
    return caller.client.post("/api/v1/prices", price, content_type="application/json")


def test_a_price_is_set_replaced_listed_and_removed(caller: Caller, stranger: Caller) -> None:  # noqa: F811
    first = post(caller, **OWN).json()
    assert (first["model"], Decimal(first["input_per_million"]), first["cache_read_per_million"]) == (
        "in-house",
        Decimal("1.5"),
        None,
    )
    again = post(caller, **(OWN | {"output_per_million": "7", "cache_read_per_million": "0.15"})).json()
    assert again["id"] == first["id"]
    [listed] = caller.get("prices").json()["items"]
    assert Decimal(listed["output_per_million"]) == 7
    assert stranger.get("prices").json() == {"items": []}
    assert stranger.client.delete(f"/api/v1/prices/{first['id']}").status_code == 404
    assert caller.client.delete(f"/api/v1/prices/{first['id']}").status_code == 204
    assert caller.get("prices").json() == {"items": []}
    # Each change is a revision, so that what was stored before can be told and priced again.
    changes = [each.change for each in Ruleset.objects.filter(project=caller.project).order_by("revision")]
    assert changes == ["price of in-house set"] * 2 + ["price of in-house removed"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("model", ""), ("input_per_million", "-1"), ("output_per_million", "2000000"), ("input_per_million", "dear")],
)
def test_a_price_that_cannot_be_is_refused_at_its_field(caller: Caller, field: str, value: str) -> None:  # noqa: F811
    answer = post(caller, **(OWN | {field: value}))
    assert answer.status_code == 400
    assert field in answer.content.decode()
    assert not TokenPrice.objects.exists()


def test_models_without_a_price_are_listed_with_counts_and_the_reason(caller: Caller, stranger: Caller) -> None:  # noqa: F811
    trace_id = new_trace_id()
    unknown = {"model": "in-house", "provider": "openai", "input_tokens": 10, "output_tokens": 2}
    store_spans(
        caller.project.pk,
        llm(trace_id, 1, **unknown),
        llm(trace_id, 2, **unknown),
        llm(trace_id, 3, model="qwen3:8b", provider="ollama", input_tokens=5, output_tokens=1),
        # Priced, not counted, without usage: nothing is missing of these.
        llm(trace_id, 4, model="gpt-4o", provider="openai", input_tokens=5, output_tokens=1, cost="0.1"),
        llm(trace_id, 5, model="agent", provider="", input_tokens=5, output_tokens=1, usage_counted=False),
        llm(trace_id, 6, model="broken", provider=""),
    )
    found = caller.get("prices/unpriced", **IN_HOUR).json()["items"]
    assert [(each["model"], each["provider"], each["calls"], each["reason"]) for each in found] == [
        ("in-house", "openai", 2, "unknown model of openai"),
        ("qwen3:8b", "ollama", 1, "self-hosted (ollama): no price per token"),
    ]
    assert stranger.get("prices/unpriced", **IN_HOUR).json()["items"] == []
    post(caller, **OWN)
    first, _ = caller.get("prices/unpriced", **IN_HOUR).json()["items"]
    assert (first["model"], first["reason"]) == ("in-house", "")


def test_a_project_has_a_bounded_number_of_prices(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(TokenPrice, "MOST", 1)
    assert post(caller, **OWN).status_code == 200
    refused = post(caller, **(OWN | {"model": "another"}))
    assert (refused.status_code, TokenPrice.objects.count()) == (400, 1)
    assert post(caller, **(OWN | {"output_per_million": "9"})).status_code == 200


def test_prices_are_read_without_the_zeros_that_a_database_adds(caller: Caller) -> None:  # noqa: F811
    post(caller, **OWN)
    price = prices_of(caller.project.pk)["in-house"]
    assert (str(price.input_per_million), str(price.output_per_million)) == ("1.5", "6")
