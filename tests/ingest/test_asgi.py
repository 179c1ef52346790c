"""The web process: OTLP, health, static files and Django under one address."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.ingest.senders import trace_request
from tests.ingest.stack import Stack
from tests.ingest.test_http import PROTOBUF


@pytest.fixture(scope="module")
def web(stack: Stack) -> Iterator[str]:
    """The address of a web process beside the stack's store; one static file is collected, one has a hash."""
    static = Path(stack.environment["HELIOGRAPH_DATA_DIR"]) / "static"
    static.mkdir(exist_ok=True)
    (static / "site.css").write_text("body {}")
    (static / "site.0123456789ab.css").write_text("body {}")
    process = stack.start_web()
    yield stack.web_http
    process.stop()


def test_otlp_is_served_on_the_web_port(web, stack, tenant):
    body = trace_request(3).SerializeToString()
    for _ in range(2):
        assert httpx.post(f"{web}/v1/traces", content=body, headers=tenant.headers | PROTOBUF).status_code == 200
    assert stack.counts(tenant) == (3, 3, 3)


def test_health_and_readiness_are_answered(web):
    assert httpx.get(f"{web}/healthz").text == "ok\n"
    assert httpx.get(f"{web}/readyz").status_code == 200


def test_a_static_file_with_a_hash_in_its_name_is_kept_for_good_and_another_is_asked_for_again(web):
    hashed = httpx.get(f"{web}/static/site.0123456789ab.css")
    assert (hashed.status_code, hashed.headers["content-type"].split(";")[0]) == (200, "text/css")
    assert re.search(r"max-age=31536000, immutable", hashed.headers["cache-control"])
    plain = httpx.get(f"{web}/static/site.css")
    assert plain.headers["cache-control"] == "no-cache"
    assert httpx.get(f"{web}/static/site.css", headers={"if-none-match": plain.headers["etag"]}).status_code == 304
    assert httpx.get(f"{web}/static/../db.sqlite3", timeout=60).status_code == 404


def test_everything_else_goes_to_django(web):
    page = httpx.get(f"{web}/no/such/page")
    assert page.status_code < 500
    assert page.headers["x-frame-options"] == "DENY"
    # The JSON API's traces are no OTLP path.
    assert httpx.get(f"{web}/api/v1/traces").status_code != 405
