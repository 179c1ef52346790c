"""What the logs hold: one event a line, and no secret that a function happened to have at hand."""

import json
import logging.config

import pytest
from django.conf import settings
from django.test import Client

from heliograph import logs


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
