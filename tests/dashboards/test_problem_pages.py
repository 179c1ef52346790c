"""What is shown instead of a page: in the house's look, with what happened and a way on."""

from collections.abc import Callable

import pytest
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.test import Client
from pytest_django import Settings

from heliograph.accounts.models import User


class Broken:
    """A middleware with a fault, or one that refuses."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path == "/broken":
            raise ZeroDivisionError("a secret of the code")
        if request.path == "/forbidden":
            raise PermissionDenied("Only an owner changes prices.")
        return self._get_response(request)


@pytest.fixture
def browser(settings: Settings) -> Client:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.Broken"]
    settings.ALLOWED_HOSTS = ["testserver"]
    return Client(raise_request_exception=False, enforce_csrf_checks=True)


def read(answer: HttpResponseBase, status: int) -> str:
    page: str = answer.content.decode()  # type: ignore[attr-defined]  # a page is no stream
    assert answer.status_code == status
    assert "css/app.css" in page
    assert "Back to the overview" in page
    return page


@pytest.mark.django_db
def test_an_address_without_a_page_says_so_and_leads_back(browser: Client) -> None:
    assert "Nothing is here" in read(browser.get("/nowhere/at/all"), 404)


@pytest.mark.django_db
def test_an_unknown_project_is_no_query_that_matches_nothing(browser: Client) -> None:
    browser.force_login(User.objects.create(username="reader"))
    page = read(browser.get("/p/nowhere/traces"), 404)
    assert "Nothing is here" in page
    assert "given query" not in page


@pytest.mark.django_db
def test_a_refusal_tells_its_reason(browser: Client) -> None:
    assert "Only an owner changes prices." in read(browser.get("/forbidden"), 403)


@pytest.mark.django_db
def test_a_form_without_its_token_is_told_to_be_sent_again(browser: Client) -> None:
    assert "This form is too old" in read(browser.post("/login", {"username": "a", "password": "b"}), 403)


@pytest.mark.django_db
def test_a_fault_of_ours_is_owned_and_tells_nothing_of_the_code(browser: Client) -> None:
    page = read(browser.get("/broken"), 500)
    assert "This is a fault of Heliograph" in page
    assert "secret" not in page
    assert "ZeroDivisionError" not in page


@pytest.mark.django_db
def test_a_host_that_is_not_ours_is_refused_without_a_word_of_it(browser: Client) -> None:
    page = read(browser.get("/login", headers={"host": "evil.example"}), 400)
    assert "evil" not in page
