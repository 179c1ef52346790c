"""While the store is away, a page says so and what to do; what needs no store works."""

import socket

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from heliograph.accounts.models import Project
from heliograph.clickhouse import errors
from heliograph.dashboards.failures import ADVICE


@pytest.fixture
def no_store(settings: Settings) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        settings.CLICKHOUSE_URL = f"clickhouse://heliograph:none@127.0.0.1:{closed.getsockname()[1]}/heliograph"


@pytest.mark.usefixtures("no_store")
@pytest.mark.parametrize("name", ["overview", "traces", "trace", "trace-span", "evaluations"])
def test_a_page_says_that_the_store_is_away_and_what_to_do(reader: Client, project: Project, name: str) -> None:
    ids = {"trace": ["a" * 32], "trace-span": ["a" * 32, "b" * 16]}.get(name, [])
    answer = reader.get(reverse(name, args=[project.slug, *ids]))
    page = answer.content.decode()
    assert answer.status_code == 503
    assert "cannot be reached at the moment" in page
    assert "started again by itself" in page
    assert "Try again" in page
    assert "clickhouse://" not in page


@pytest.mark.usefixtures("no_store")
def test_keys_can_be_made_while_the_store_is_away(reader: Client, project: Project) -> None:
    assert reader.get(reverse("settings", args=[project.slug])).status_code == 200
    answer = reader.post(reverse("settings-create-key", args=[project.slug]), {"name": "checkout"})
    assert b'id="new-key"' in answer.content


def test_every_failure_of_the_store_has_its_advice() -> None:
    kinds = {errors.UnavailableError, errors.CapacityError, errors.UserError, errors.AccessError, errors.DefectError}
    assert all(any(issubclass(kind, known) for known, _ in ADVICE) for kind in kinds)
    assert ADVICE[-1][0] is errors.StoreError


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    "query", ["service=" + "&service=".join(f"service-{n}" for n in range(900)), "q=" + "x" * 100_000]
)
def test_an_address_beyond_its_bounds_is_explained(reader: Client, project: Project, query: str) -> None:
    answer = reader.get(f"{reverse('traces', args=[project.slug])}?{query}")
    assert answer.status_code in {200, 400}
    assert b'role="alert" id="filter-error"' in answer.content
