"""/metrics of the collector and of the web process: what it says, to whom, and how much of it there can be."""

from collections.abc import Iterator
from types import SimpleNamespace

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from pytest_django import Settings
from starlette.applications import Starlette
from starlette.testclient import TestClient

from heliograph.ingest import exposition
from heliograph.ingest.spool_state import SpoolState
from tests.ingest.senders import trace_request
from tests.ingest.stack import Stack, eventually
from tests.ingest.test_http import PROTOBUF

TOKEN = "a token that nobody guesses"
WAITING = SpoolState(files=2, bytes=300, max_bytes=1_000, oldest_s=4.5)


def read(address: str, **headers: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Return every sample of a page as Prometheus' own parser reads it: name -> labels -> value."""
    answer = httpx.get(f"{address}/metrics", headers=headers, timeout=180)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def of(found: dict[str, dict[tuple[tuple[str, str], ...], float]], name: str, **labels: str) -> float:
    """Return the sum over all series of a name that have these labels; 0 for one that has none yet."""
    wanted = {(f"heliograph_{key}", value) for key, value in labels.items()}
    return sum(value for key, value in found.get(name, {}).items() if wanted <= set(key))


def test_a_collector_counts_what_it_took_and_what_it_refused_and_why(stack: Stack) -> None:
    tenant = next(stack.tenants)
    before = read(stack.http)
    body = trace_request(3).SerializeToString()
    assert (
        httpx.post(f"{stack.http}/v1/traces", content=body, headers=tenant.headers | PROTOBUF, timeout=180).status_code
        == 200
    )
    refused = httpx.post(f"{stack.http}/v1/traces", content=b"\xff", headers=tenant.headers | PROTOBUF, timeout=180)
    assert refused.status_code == 400
    after = read(stack.http)

    def grown(name: str, **labels: str) -> float:
        return of(after, name, **labels) - of(before, name, **labels)

    assert grown("heliograph_ingest_requests_total", signal="traces", outcome="stored") == 1
    assert grown("heliograph_ingest_accepted_total", signal="traces") == 3
    assert grown("heliograph_ingest_requests_total", signal="traces", outcome="refused") == 1
    assert grown("heliograph_ingest_refused_total", signal="traces", reason="malformed") == 1
    assert grown("heliograph_ingest_commit_duration_seconds_count") == 1
    assert after["heliograph_spool_files"] == {(): 0}
    assert after["heliograph_ingest_lag_seconds"] == {(): 0}
    assert after["process_resident_memory_bytes"][()] > 1e6


def test_telemetry_that_waits_for_the_store_is_the_lag(stack: Stack) -> None:
    tenant = next(stack.tenants)
    stack.store.stop()
    try:
        body = trace_request(3).SerializeToString()
        assert (
            httpx.post(
                f"{stack.http}/v1/traces", content=body, headers=tenant.headers | PROTOBUF, timeout=180
            ).status_code
            == 200
        )
        found = read(stack.http)
        assert found["heliograph_spool_files"][()] >= 1
        assert found["heliograph_spool_bytes"][()] >= len(body)
        assert found["heliograph_ingest_lag_seconds"][()] > 0
    finally:
        stack.start_store()
    assert eventually(lambda: read(stack.http)["heliograph_ingest_lag_seconds"] == {(): 0}, 120)


def test_series_do_not_grow_with_projects_keys_and_what_senders_say(stack: Stack) -> None:
    def send(number: int) -> None:
        for tenant in (next(stack.tenants), next(stack.tenants)):
            body = trace_request(2).SerializeToString()
            httpx.post(f"{stack.http}/v1/traces", content=body, headers=tenant.headers | PROTOBUF, timeout=180)
        stranger = {"authorization": f"Bearer hg_{number}", "content-type": f"text/{number}"}
        httpx.post(f"{stack.http}/v1/traces", content=b"x", headers=stranger, timeout=180)
        httpx.post(
            f"{stack.http}/v1/traces",
            content=b"x",
            headers=PROTOBUF | {"content-encoding": f"own-{number}"},
            timeout=180,
        )

    def series() -> set[tuple[str, tuple[tuple[str, str], ...]]]:
        # Questions that happen to be slow on a busy machine come by their names, which are ours.
        found = {name: rows for name, rows in read(stack.http).items() if not name.startswith("heliograph_store_")}
        return {(name, labels) for name, rows in found.items() for labels in rows}

    send(0)
    before = series()
    for number in range(1, 6):
        send(number)
    assert series() == before
    assert len(before) < 500


def test_the_web_process_tells_of_the_installation_too(stack: Stack) -> None:
    process = stack.start_web()
    try:
        found = read(stack.web_http)
        # The questions that answered this are on it as of the next scrape.
        again = read(stack.web_http)
    finally:
        process.stop()
    assert {found[f"heliograph_{name}_up"][()] for name in ("store", "broker", "metadata")} == {1.0}
    assert found["heliograph_store_rows"][("table", "spans"),] >= 0
    assert again["heliograph_store_query_duration_seconds_count"][()] >= 5


class Nothing(Collector):
    """A part that has one thing to tell."""

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("more", "More.", value=7)


def ask(settings: Settings, peer: str = "127.0.0.1", host: str = "localhost:8000", **headers: str) -> httpx.Response:
    app = Starlette(routes=exposition.routes(Nothing()))
    app.state.pipeline = SimpleNamespace(waiting=lambda: WAITING)
    client = TestClient(app, client=(peer, 1234))
    return client.get("/metrics", headers={"host": host} | {k.replace("_", "-"): v for k, v in headers.items()})


def test_without_a_token_it_is_for_this_machine_alone(settings: Settings) -> None:
    settings.METRICS_TOKEN, settings.METRICS_FOR_THIS_MACHINE = "", True
    answer = ask(settings)
    assert answer.status_code == 200
    assert "heliograph_spool_files 2.0\n" in answer.text
    assert "heliograph_ingest_lag_seconds 4.5\n" in answer.text
    assert "more 7.0\n" in answer.text
    refused = [
        ask(settings, peer="192.0.2.7"),
        # A proxy on this machine, and a page that points a name of its own here.
        ask(settings, x_forwarded_for="192.0.2.7"),
        ask(settings, host="evil.example"),
    ]
    settings.METRICS_FOR_THIS_MACHINE = False
    refused.append(ask(settings))
    assert [each.status_code for each in refused] == [403] * 4
    assert not any("heliograph_spool" in each.text for each in refused)


def test_with_a_token_it_is_for_whoever_sends_it_and_nobody_else(settings: Settings) -> None:
    settings.METRICS_TOKEN, settings.METRICS_FOR_THIS_MACHINE = TOKEN, True
    assert ask(settings, peer="192.0.2.7", authorization=f"Bearer {TOKEN}").status_code == 200
    for given in ({}, {"authorization": "Bearer other"}, {"authorization": f"Basic {TOKEN}"}, {"authorization": TOKEN}):
        answer = ask(settings, **given)
        assert answer.status_code == 401, given
        assert answer.headers["www-authenticate"] == "Bearer"


def test_a_part_that_does_not_answer_in_time_is_said(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.METRICS_TOKEN, settings.METRICS_FOR_THIS_MACHINE = "", True
    monkeypatch.setattr(exposition, "SCRAPE_SECONDS", 0.0)
    assert ask(settings).status_code == 503
