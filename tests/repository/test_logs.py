"""What the logs hold: one event a line, and no secret that a function happened to have at hand."""

import json
import logging.config

import pytest
from django.conf import settings
from django.test import Client
from django.urls import URLPattern, reverse
from pytest_django import Settings

from heliograph import logs
from heliograph.accounts import forgotten
from heliograph.accounts.models import User
from heliograph.dashboards.urls import urlpatterns


@pytest.fixture(autouse=True)
def plain_static_names(settings: Settings) -> None:
    """What is refused is answered by a page, which names its files; here nobody collected them."""
    backend = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": backend}}


def fail_with(key: str) -> None:
    raise ValueError(f"unknown key of {len(key)} characters")


@pytest.mark.parametrize("shape", ["console", "json"])
def test_a_traceback_shows_no_local_variables(shape: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure({"format": shape, "level": "INFO"})
    try:
        try:
            fail_with("hg_" + "s3cr3t" * 3)
        except ValueError:
            logging.getLogger("tests").exception("it failed")
        written = capsys.readouterr().err
    finally:
        logs.configure(settings.LOGGING)
    assert "unknown key of 21 characters" in written
    assert "s3cr3ts3cr3t" not in written
    if shape == "json":
        assert json.loads(written)["level"] == "error"


def test_a_refused_request_is_logged_without_its_query_string(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(settings.LOGGING)
    Client(headers={"host": "evil.example"}).get("/login/link?sesame=one-time-token")
    Client().get("/nowhere?sesame=one-time-token")
    written = capsys.readouterr().err
    assert "evil.example" in written
    assert "/nowhere" in written
    assert "one-time-token" not in written


WITH_A_LINK = [each.name for each in urlpatterns if isinstance(each, URLPattern) and "token" in each.pattern.converters]


@pytest.mark.parametrize("name", WITH_A_LINK)
def test_a_link_that_works_once_is_in_no_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It lets whoever reads it in, as long as nobody has used it: after a password that was refused, for example."""
    logs.configure(settings.LOGGING)
    path = reverse(name, args=["5.signed-pk:1a:2b"])
    # As Django says it of each answer from 400 on.
    logging.getLogger("django.request").warning("%s: %s", "Unprocessable Entity", path)
    written = capsys.readouterr().err
    assert f"Unprocessable Entity: {path.rpartition('/')[0]}/…" in written
    assert "signed-pk" not in written


@pytest.mark.django_db
def test_a_password_that_is_refused_leaves_its_link_in_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(settings.LOGGING)
    user = User.objects.create_user("alice", "alice@example.com", "a long password 1")
    token = f"{user.pk}.{forgotten._tokens.make_token(user)}"
    assert Client().post(reverse("login-reset", args=[token]), {"password": "short"}).status_code == 422
    written = capsys.readouterr().err
    assert "Unprocessable Entity: /login/reset/…" in written
    assert token not in written
