"""The page of costs, and the forms for prices and weights on the settings page."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from heliograph.accounts.models import AttributionPolicy, GpuPrice, Project
from heliograph.evals.attribution import FRONTIER, Pending, pending
from heliograph.evals.models import Watermark
from heliograph.query.filters import to_ns
from heliograph.query.prices import gpu_prices, weights_of
from heliograph.query.sharing import Weights
from tests.query.scenario import START, World, share_out

pytestmark = pytest.mark.usefixtures("store")
PRICE = {
    "gpu_name": "NVIDIA H100",
    "valid_from": (START - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M"),
    "usd_per_gpu_hour": "3.6",
    "usd_per_kwh": "",
    "pue": "1",
}


@pytest.fixture
def shared_out(project: Project) -> Project:
    World(project.pk).send()
    share_out(project.pk)
    return project


def costs(reader: Client, project: Project, **asked: str) -> str:
    answer = reader.get(reverse("attribution", args=[project.slug]), {"range": "6h", **asked})
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def test_requests_and_idle_are_shown_to_add_up_to_the_counter(reader: Client, shared_out: Project) -> None:
    page = costs(reader, shared_out, by="model")
    assert "adds up" in page
    assert "traces?q=model%3Amy-llama&amp;range=6h" in page
    assert "prefill 4 : decode 1 per second" in page
    assert "No price of these GPUs is entered" in page


def test_a_price_of_the_form_makes_a_cost_of_what_was_shared_out_before(reader: Client, shared_out: Project) -> None:
    answer = reader.post(reverse("settings-create-gpu-price", args=[shared_out.slug]), PRICE, follow=True)
    assert b"NVIDIA H100 costs $3.6" in answer.content
    [price] = gpu_prices(shared_out.pk)
    assert (price.gpu_name, price.usd_per_gpu_hour, price.usd_per_kwh) == ("NVIDIA H100", Decimal("3.6"), None)
    page = costs(reader, shared_out, by="model")
    assert "No price of these GPUs" not in page
    assert "~<span" in page


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"usd_per_gpu_hour": "-1"}, "greater than or equal to 0"),
        ({"pue": "120"}, "less than or equal to 5"),
        ({"valid_from": "yesterday"}, "valid date/time"),
        ({"usd_per_gpu_hour": ""}, "required"),
    ],
)
def test_a_price_that_cannot_be_is_refused_with_the_reason(
    reader: Client, project: Project, change: dict[str, str], said: str
) -> None:
    answer = reader.post(reverse("settings-create-gpu-price", args=[project.slug]), PRICE | change)
    assert (answer.status_code, said in answer.content.decode()) == (422, True)
    assert not GpuPrice.objects.exists()


def test_two_prices_from_one_moment_are_refused_and_one_can_be_deleted(reader: Client, project: Project) -> None:
    address = reverse("settings-create-gpu-price", args=[project.slug])
    assert [reader.post(address, PRICE).status_code for _ in range(2)] == [302, 422]
    price = GpuPrice.objects.get()
    assert b"NVIDIA H100" in reader.get(reverse("settings", args=[project.slug])).content
    reader.post(reverse("settings-delete-gpu-price", args=[project.slug, price.pk]))
    assert not GpuPrice.objects.exists()


def test_the_weights_are_a_policy_with_a_name_that_can_be_changed(reader: Client, project: Project) -> None:
    address = reverse("settings-weights", args=[project.slug])
    answer = reader.post(address, {"prefill": "1", "decode": "1", "per": "second"}, follow=True)
    assert "“Equal time” from now on" in answer.content.decode()
    assert weights_of(project.pk) == Weights(1, 1)
    reader.post(address, {"prefill": "2.5", "decode": "1", "per": "token"})
    assert b"Own weights" in reader.get(reverse("settings", args=[project.slug])).content
    assert weights_of(project.pk) == Weights(2.5, 1, "token")
    for wrong in ({"prefill": "0", "decode": "1", "per": "second"}, {"prefill": "1", "decode": "1", "per": "page"}):
        assert reader.post(address, wrong).status_code == 422
    assert AttributionPolicy.objects.get(project=project).prefill == 2.5


def test_an_unknown_dimension_and_a_range_of_a_year_are_said_and_answered(reader: Client, project: Project) -> None:
    assert "There is no dimension “planet”" in costs(reader, project, by="planet")
    answer = reader.get(
        reverse("attribution", args=[project.slug]), {"from": "2026-01-01T00:00", "to": "2026-11-01T00:00"}
    )
    assert b"31 days at a time" in answer.content


def test_use_that_is_not_shared_out_yet_is_said_with_since_when(reader: Client, project: Project) -> None:
    assert "not shared out yet" not in costs(reader, project)
    World(project.pk).send()
    first = (START - timedelta(hours=1)).strftime("%Y-%m-%d %H:%M:%S")
    page = costs(reader, project, by="gpu")
    assert "Nothing is shared out yet" in page
    assert f">{first}</time> is not shared out yet, and should be" in page
    share_out(project.pk)
    # All but the last minutes, of which readings came too.
    mark = Watermark.objects.create(project=project, evaluator=FRONTIER, received_at_us=to_ns(START) // 1_000)
    page = costs(reader, project)
    assert f">{START:%Y-%m-%d %H:%M:%S}</time> is not shared out yet" in page
    assert "adds up" in page
    mark.advance(to_ns(START + timedelta(hours=1)) // 1_000, "", "")
    assert "not shared out yet" not in costs(reader, project)


def test_what_came_just_now_waits_without_a_fault(project: Project) -> None:
    World(project.pk).send()
    for late, is_behind in ((timedelta(minutes=2), False), (timedelta(minutes=20), True)):
        found = pending(project, START, START + timedelta(hours=1), now=START + late)
        assert found == Pending(START, is_behind)
    assert pending(project, START, START + timedelta(hours=1), now=START + timedelta(hours=8)) is None


def test_an_empty_page_says_what_would_be_here(reader: Client, project: Project) -> None:
    assert "Nothing was shared out in this time range" in costs(reader, project)
