"""Three real servers as shards: what is inserted is spread, and pages show what they show over one store."""

import difflib
import itertools
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.urls import reverse
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

from benchmarks.pages import PAGES
from collectors.otlp import traces
from heliograph.accounts.models import Organization, Project, User
from heliograph.clickhouse import client, migrate
from heliograph.demo.day import Day
from heliograph.demo.traces import generate
from heliograph.ingest.commit import Committer
from heliograph.ingest.exports import Export, decode
from heliograph.ingest.signals import TRACES
from heliograph.query import attribution_windows
from heliograph.query.filters import TimeRange, to_ns
from tests import shards
from tests.dashboards.conftest import Signed, plain_static_names, signed_in
from tests.gpus.conftest import play, store_otlp
from tests.ingest.senders import trace_request
from tests.shards import Server

__all__ = ["plain_static_names", "signed_in"]
pytestmark = pytest.mark.timeout(1_200)
QUERY_TESTS = Path(__file__).resolve().parent.parent / "query"
DEMO_TRACES, DAY_MINUTES = 200, 10


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    with shards.running(tmp_path_factory.mktemp("cluster"), 3) as servers:
        with shards.asked(servers):
            for _ in migrate.migrate():
                pass
        yield servers


class Filled:
    """A project with the same rows in the one store and over the shards."""

    def __init__(self) -> None:
        self.project_id = secrets.randbelow(2**30) + 2**30
        end = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=1)
        self.span = TimeRange(end - timedelta(hours=6), end)
        self.day = Day(to_ns(end - timedelta(minutes=DAY_MINUTES + 30)), 60 * DAY_MINUTES, seed=7)
        self.inserts: list[tuple[str, Mapping[str, Sequence[Any]], dict[str, Any]]] = []
        self.trace_id = ""

    def make(self) -> None:
        """Store a day of callers, engines and GPUs as their senders send it, and scores; remember each insert."""
        stream = generate(DEMO_TRACES, to_ns(self.span.start), to_ns(self.span.end), 11)
        while batch := list(itertools.islice(stream, 50)):
            message = encode_spans([span for trace in batch for span in trace])
            store_otlp(self.project_id, traces, "spans", message.SerializeToString())
            self.trace_id = message.resource_spans[0].scope_spans[0].spans[0].trace_id.hex()
        play(self.project_id, self.day)

    def remember(self, insert: Callable[..., None]) -> Callable[..., None]:
        def inserted(table: str, columns: Mapping[str, Sequence[Any]], **options: Any) -> None:
            if table == "spans":
                # The same in both, or a trace has just ended in the one that was filled last.
                columns = {**columns, "received_at": [self.span.end] * len(columns["project_id"])}
            self.inserts.append((table, columns, options))
            insert(table, columns, **options)

        return inserted

    def share_out(self) -> None:
        attribution_windows.attribute(
            self.project_id, self.day.start_ns // 10**9, DAY_MINUTES, retention_days=90, tenant_key="tenant.id"
        )


@pytest.fixture(scope="module")
def filled(store: str, cluster: list[Server]) -> Filled:
    found = Filled()
    with patch.object(client, "insert", found.remember(client.insert)):
        found.make()
    found.share_out()
    with shards.asked(cluster):
        for table, columns, options in found.inserts:
            client.insert(table, columns, **options)
        found.share_out()
    return found


@pytest.fixture
def project(db: None, filled: Filled) -> Project:
    organization = Organization.objects.create(name="Acme")
    return Project.objects.create(id=filled.project_id, organization=organization, name="Shop", slug="shop")


@pytest.fixture
def reader(signed_in: Signed, project: Project) -> Client:
    """The browser of a member who may see the health of the installation too."""
    browser = signed_in(organization=project.organization)
    User.objects.update(is_superuser=True)
    return browser


def counts(servers: list[Server], project_id: int, what: str) -> list[Any]:
    found = []
    for server in servers:
        with server.client() as one:
            found += [row[0] for row in one.execute(f"SELECT {what} WHERE project_id = {project_id}")]
    return found


def test_rows_are_spread_and_a_trace_is_on_one_shard(filled: Filled, cluster: list[Server]) -> None:
    for table in ("spans", "traces", "trace_states", "metric_points", "attributions"):
        sql = f"SELECT count() AS n FROM {table} WHERE project_id = %(project_id)s"
        one = client.query(filled.project_id, sql, tag="tests")[0]["n"]
        held = counts(cluster, filled.project_id, f"count() FROM {table}_local")
        assert sum(held) == one
        assert min(held) > one / 6
    traces = counts(cluster, filled.project_id, "groupUniqArray(trace_id) FROM spans_local")
    assert sum(map(len, traces)) == len({trace for held in traces for trace in held})
    summed = counts(cluster, filled.project_id, "groupUniqArray(trace_id) FROM traces_local")
    assert [sorted(held) for held in summed] == [sorted(held) for held in traces]


# What a page says of itself alone (a cursor holds when its page was opened); and numbers, since sums that are made in
# another order differ in their last digits.
_OWN = re.compile(r'(x-csrftoken": "|csrfmiddlewaretoken" value="|&cursor=)[\w-]+')
_BROKEN = re.compile(r"\d+\.\d+(?:e-?\d+)?")
# How long ago a row arrived, when the page was opened.
_AGE = re.compile(r'title="[\d.]+ s">[^<]*<')


def figures(page: str, content: bytes) -> list[str]:
    """Return the lines of a page without what cannot be the same twice."""
    text = _BROKEN.sub(lambda found: f"{round(float(found[0]), 9):.9g}", _OWN.sub(r"\1", unescape(content.decode())))
    return (_AGE.sub("", text) if page == "evaluation-rules" else text).splitlines()


def addresses(filled: Filled, project: Project) -> Iterator[tuple[str, str]]:
    """Yield every page with its address, over the time that is filled."""
    sql = """
    SELECT max(session_id) AS session, max(user_id) AS user, max(prompt_name) AS prompt, max(model) AS model
    FROM spans WHERE project_id = %(project_id)s
    """
    (there,) = client.query(filled.project_id, sql, tag="tests")
    of = {"id=session-77": f"id={there['session']}", "id=user-77": f"id={there['user']}"}
    of |= {"name=prompt-7": f"name={there['prompt']}", "model=gpt-4o": f"model={there['model']}"}
    between = urlencode({"from": filled.span.start.isoformat(), "to": filled.span.end.isoformat()})
    for page, further in PAGES:
        values = [] if page == "health" else [project.slug]
        values += [filled.trace_id] if page.startswith("trace") and page != "traces" else []
        yield page, f"{reverse(page, args=values)}?{between}&{of.get(further, further)}"


def test_every_page_shows_over_shards_what_it_shows_over_one_store(
    filled: Filled, cluster: list[Server], reader: Client, project: Project
) -> None:
    differing: list[str] = []
    shown, empty = 0, 0
    for page, address in addresses(filled, project):
        one = reader.get(address)
        with shards.asked(cluster):
            many = reader.get(address)
        assert (one.status_code, many.status_code) in {(200, 200), (404, 404)}, address
        empty += one.status_code == 404
        # The health of an installation is of its own store.
        if page != "health":
            both = [figures(page, answer.content) for answer in (one, many)]
            if lines := list(difflib.unified_diff(*both, "one store", "over shards", n=0, lineterm="")):
                differing += [address, *lines]
            shown += 1
    assert not differing, "\n".join(differing)
    assert shown == len(PAGES) - 1
    # The demo names no prompt.
    assert empty <= 1


def test_a_group_is_stored_once_over_shards_however_often_it_is_sent(
    cluster: list[Server], project_id: int, tmp_path: Path
) -> None:
    with shards.asked(cluster):
        body = trace_request(60).SerializeToString()
        batch = decode(Export("traces", project_id, 90, "protobuf", "", time.time_ns(), body))

        def stored(**options: int) -> list[int]:
            committer = Committer(TRACES, tmp_path)
            committer.store([batch], **options)
            committer.close()
            tables = (
                "count() AS n FROM spans",
                "sum(span_count) AS n FROM traces",
                "sum(spans) AS n FROM span_rollups_1m",
            )
            sql = [f"SELECT {each} WHERE project_id = %(project_id)s" for each in tables]
            return [client.query(project_id, each, tag="tests")[0]["n"] for each in sql]

        assert stored() == [60, 60, 60]
        assert stored() == [60, 60, 60]
        assert stored(begun_us=0) == [60, 60, 60]


# Some of the tests of the questions; all of them by the command in docs/deploy/cluster.md.
QUESTIONS = ("traces", "overview", "scores")


def test_the_tests_of_the_questions_pass_over_shards() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += [str(QUERY_TESTS / f"test_{name}.py") for name in QUESTIONS]
    done = subprocess.run(
        command, env=os.environ | {"HELIOGRAPH_TEST_SHARDS": "3"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-5_000:]
    assert re.search(r"\d{2,} passed", done.stdout)
