"""The JSON API over HTTP: what it answers, whom it lets in, and how it refuses."""

import json
import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import get_resolver
from django.urls.resolvers import RoutePattern
from django.utils import timezone

from heliograph.accounts.models import ApiKey, Membership, Organization, Project, User
from heliograph.api import problems, views
from heliograph.api import urls as api_urls
from heliograph.clickhouse.errors import CapacityError, DefectError, UnavailableError
from tests.query.rows import START, llm, new_trace_id, plain, point, span, store_rows, store_spans

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]
RANGE = {"start": START.isoformat(), "end": (START + timedelta(hours=1)).isoformat()}


class Caller:
    """A program with a key."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.key = ApiKey.issue(project, "test")[1]
        self.client = Client(headers={"x-api-key": self.key})

    def get(self, path: str, **parameters: Any) -> Any:
        return self.client.get(f"/api/v1/{path}", parameters)

    def post_scores(self, *scores: dict[str, Any]) -> Any:
        return self.client.post("/api/v1/scores", {"scores": list(scores)}, content_type="application/json")


@pytest.fixture
def caller(project: Project) -> Caller:
    return Caller(project)


@pytest.fixture
def stranger(db: None, project_id: int) -> Caller:
    organization = Organization.objects.create(name="Elsewhere")
    slug = f"elsewhere-{project_id}"
    return Caller(Project.objects.create(id=project_id + 2**31, organization=organization, name="Else", slug=slug))


def a_trace(project: Project) -> tuple[str, str]:
    """Store a request with one model call; return the ids of the trace and the call."""
    trace_id = new_trace_id()
    call = llm(
        trace_id,
        2.5,
        input='[{"role":"user","parts":[{"type":"text","content":"Hi"}]}]',
        output="Hello",
        input_tokens=12,
        cost="0.000123",
    )
    store_spans(project.pk, span(trace_id, 1.25), call)
    return trace_id, call["span_id"]


def assert_problem(answer: Any, status: int, *fields: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == problems.CONTENT_TYPE
    body = json.loads(answer.content)
    assert (body["status"], body["type"]) == (status, "about:blank")
    assert body["title"]
    assert body["detail"]
    assert [error["field"] for error in body.get("errors", [])] == list(fields)
    return body


def test_a_trace_is_listed_and_opened(caller: Caller) -> None:
    trace_id, span_id = a_trace(caller.project)
    [row] = caller.get("traces", **RANGE).json()["items"]
    assert (row["trace_id"], row["span_count"], row["cost"]) == (trace_id, 2, "0.000123000000")
    assert row["start_time"] == f"{START + timedelta(seconds=1):%Y-%m-%dT%H:%M:%S}.250000000Z"
    trace = caller.get(f"traces/{trace_id}").json()
    assert [each["kind"] for each in trace["spans"]] == ["agent", "llm"]
    assert (trace["summary"]["input_tokens"], trace["is_cut"], trace["scores"]) == (12, False, [])
    assert sum(each["self_ns"] for each in trace["critical_path"]) > 0
    found = caller.get(f"traces/{trace_id}/spans/{span_id}").json()
    assert found["input"] == [{"role": "user", "parts": [{"type": "text", "content": "Hi"}], "finish_reason": ""}]
    assert found["output"][0]["parts"][0]["content"] == "Hello"


def test_pages_of_traces_follow_the_cursor(caller: Caller) -> None:
    store_spans(caller.project.pk, *(span(new_trace_id(), number) for number in range(5)))
    found, cursor = [], {}
    for _ in range(3):
        page = caller.get("traces", limit=2, **RANGE, **cursor).json()
        found += [row["trace_id"] for row in page["items"]]
        cursor = {"cursor": page["next_cursor"]}
    assert len(found) == len(set(found)) == 5
    assert page["next_cursor"] is None


def test_filters_narrow_traces_and_spans(caller: Caller) -> None:
    a_trace(caller.project)
    for path in ("traces", "spans"):
        assert len(caller.get(path, model=["gpt-4o", "other"], text="hello", **RANGE).json()["items"]) == 1
        assert not caller.get(path, model="other", **RANGE).json()["items"]
    assert not caller.get("traces", min_duration_ms=60_000, **RANGE).json()["items"]


def test_the_filter_language_narrows_traces_and_spans(caller: Caller) -> None:
    a_trace(caller.project)
    for path in ("traces", "spans"):
        found = caller.get(path, filter="model:gpt-4* -status:error hello", **RANGE).json()["items"]
        assert len(found) == 1
        assert not caller.get(path, filter="-model:gpt-4* kind:llm", **RANGE).json()["items"]
    answer = caller.get("traces", filter="model:gpt-4o modle:x", **RANGE)
    assert_problem(answer, 400, "filter")
    assert "at character 14: there is no field modle; did you mean model?" in answer.content.decode()
    assert_problem(caller.get("spans", filter="model:a", model="b", **RANGE), 400, "filter")


def test_without_a_range_the_last_day_is_meant(caller: Caller) -> None:
    a_trace(caller.project)
    store_spans(caller.project.pk, span(new_trace_id(), -86_400))
    assert len(caller.get("spans").json()["items"]) == 2


def test_metrics_are_asked_by_name(caller: Caller) -> None:
    store_rows(caller.project.pk, "metric_points", [point("g", 0, 1.0, host="a"), point("g", 1, 3.0, host="a")])
    found = caller.get("metrics/query", name="g", step=60, group_by="host", filter="host=a", **RANGE).json()
    assert found["series"] == [{"labels": {"host": "a"}, "points": [{"start_s": int(START.timestamp()), "value": 2.0}]}]
    assert (found["aggregate"], found["source"]) == ("avg", "points")
    assert_problem(caller.get("metrics/query", name="nothing", **RANGE), 404)
    assert_problem(caller.get("metrics/query", name="g", aggregate="rate", **RANGE), 400, "aggregate")
    assert_problem(caller.get("metrics/query", name="g", filter="host", **RANGE), 400, "filter")


def test_a_score_sent_again_with_its_id_is_stored_once(caller: Caller) -> None:
    trace_id, span_id = a_trace(caller.project)
    verdict = {"id": "mine", "name": "thumbs", "value": 1, "trace_id": trace_id, "span_id": span_id}
    assert caller.post_scores(verdict).json() == {"ids": ["mine"]}
    assert caller.post_scores(verdict | {"value": 0.5}).status_code == 200
    [found] = caller.get("scores", name="thumbs", **RANGE).json()["items"]
    assert (found["value"], found["source"], found["model"]) == (0.5, "api", "gpt-4o")
    assert [each["score_id"] for each in caller.get(f"traces/{trace_id}").json()["scores"]] == ["mine"]
    assert [row["trace_id"] for row in caller.get("traces", score="thumbs<0.6", **RANGE).json()["items"]] == [trace_id]
    assert not caller.get("traces", score="thumbs>0.6", **RANGE).json()["items"]


def test_scores_without_an_id_are_given_one_each(caller: Caller) -> None:
    verdict = {"name": "thumbs", "value": 1, "session_id": "s"}
    first, second = caller.post_scores(verdict, verdict).json()["ids"]
    assert uuid.UUID(first) != uuid.UUID(second)
    assert len(caller.get("scores", start=(timezone.now() - timedelta(hours=1)).isoformat()).json()["items"]) == 2


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"value": "much"}, "value"),
        ({"value": "nan"}, "value"),
        ({"value": 1e999}, "value"),
        ({"value": None}, "explanation"),
        ({"name": ""}, "name"),
        ({"trace_id": ""}, "trace_id"),
        ({"trace_id": "x"}, "trace_id"),
        ({"trace_id": None}, "trace_id"),
        ({"span_id": "DEADBEEF"}, "span_id"),
        ({"time": "1999-01-01T00:00:00Z"}, "time"),
        ({"name": "a\x00b"}, "name"),
    ],
)
def test_one_bad_score_refuses_the_batch_and_names_the_field(caller: Caller, change: dict, field: str) -> None:
    good = {"name": "thumbs", "value": 1, "trace_id": "a" * 32}
    bad = json.dumps({"scores": [good, good | change]}).replace("Infinity", "1e999")
    answer = caller.client.post("/api/v1/scores", bad, content_type="application/json")
    assert_problem(answer, 400, f"scores.1.{field}")
    assert plain(caller.project.pk, "SELECT count() AS n FROM scores WHERE {mine}") == [{"n": 0}]


def test_bodies_that_are_no_batch_are_refused(caller: Caller) -> None:
    post = caller.client.post
    assert_problem(post("/api/v1/scores", "{", content_type="application/json"), 400)
    assert_problem(post("/api/v1/scores", '{"scores": [NaN]}', content_type="application/json"), 400)
    assert_problem(post("/api/v1/scores", "[]", content_type="application/json"), 400, "")
    assert_problem(post("/api/v1/scores", "{}", content_type="application/json"), 400, "scores")
    assert_problem(caller.post_scores(), 400, "scores")
    assert_problem(post("/api/v1/scores", "a=b", content_type="application/x-www-form-urlencoded"), 415)
    many = [{"name": "thumbs", "value": 1, "trace_id": "a" * 32}] * 1_001
    assert_problem(caller.post_scores(*many), 400, "scores")


def test_a_body_beyond_the_cap_is_not_read(caller: Caller, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000
    answer = caller.client.post("/api/v1/scores", " " * 1_001, content_type="application/json")
    assert_problem(answer, 413)


@pytest.mark.parametrize(
    ("path", "parameters", "field"),
    [
        ("traces", {"start": "yesterday"}, "start"),
        ("traces", {"start": "2026-02-01T00:00:00Z", "end": "2026-01-01T00:00:00Z"}, "end"),
        ("traces", {"start": "2020-01-01T00:00:00Z", "end": "2026-01-01T00:00:00Z"}, "start"),
        ("traces", {"start": "0001-01-01T00:00:00Z", "end": "0001-01-02T00:00:00Z"}, "start"),
        ("traces", {"end": "9999-12-31T23:59:59Z"}, "start"),
        ("traces", {"limit": "0"}, "limit"),
        ("traces", {"limit": "1001"}, "limit"),
        ("traces", {"cursor": "garbage"}, "cursor"),
        ("traces", {"score": "groundedness"}, "score"),
        ("traces", {"score": "groundedness<nan"}, "score"),
        ("traces", {"min_duration_ms": "inf"}, "min_duration_ms"),
        ("traces", {"text": "?"}, "text"),
        ("traces", {"modle": "gpt-4o"}, "modle"),
        ("spans", {"service": "x" * 1_001}, "service.0"),
        ("scores", {"below": "nan"}, "below"),
        ("metrics/query", {}, "name"),
        ("metrics/query", {"name": "g", "step": "0"}, "step"),
        ("metrics/query", {"name": "g", "aggregate": "p95"}, "aggregate"),
    ],
)
def test_a_bad_parameter_is_named(caller: Caller, path: str, parameters: dict[str, str], field: str) -> None:
    assert_problem(caller.get(path, **parameters), 400, field)


def test_text_that_looks_like_sql_is_only_text(caller: Caller) -> None:
    a_trace(caller.project)
    for value in ("' OR 1=1 --", "%(project_id)s", "\\'", "%s", "🦉"):
        assert caller.get("traces", service=value, **RANGE).json()["items"] == []


def test_another_project_s_ids_are_unknown_ids(caller: Caller, stranger: Caller) -> None:
    trace_id, span_id = a_trace(caller.project)
    caller.post_scores({"name": "thumbs", "value": 1, "trace_id": trace_id, "span_id": span_id})
    store_rows(caller.project.pk, "metric_points", [point("g", 0, 1.0)])
    assert_problem(stranger.get(f"traces/{trace_id}"), 404)
    assert_problem(stranger.get(f"traces/{trace_id}/spans/{span_id}"), 404)
    assert_problem(stranger.get("metrics/query", name="g", **RANGE), 404)
    for path in ("traces", "spans", "scores"):
        assert len(caller.get(path, **RANGE).json()["items"]) > 0
        assert stranger.get(path, **RANGE).json()["items"] == []
    assert stranger.get("scores", trace_id=trace_id, **RANGE).json()["items"] == []


def test_a_stranger_s_cursor_shows_nothing_of_another_project(caller: Caller, stranger: Caller) -> None:
    store_spans(caller.project.pk, *(span(new_trace_id(), number) for number in range(3)))
    cursor = caller.get("traces", limit=1, **RANGE).json()["next_cursor"]
    assert stranger.get("traces", cursor=cursor, **RANGE).json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("path", ["traces", "traces/x", "traces/x/spans/y", "spans", "metrics/query", "scores"])
def test_every_endpoint_wants_a_key(path: str) -> None:
    answer = Client().get(f"/api/v1/{path}")
    assert "x-api-key" in assert_problem(answer, 401)["detail"]
    assert answer["WWW-Authenticate"].startswith("Bearer")
    for wrong in ("hg_wrong", "x" * 10_000):
        assert_problem(Client(headers={"x-api-key": wrong}).get(f"/api/v1/{path}"), 401)
        assert_problem(Client(headers={"authorization": f"Bearer {wrong}"}).get(f"/api/v1/{path}"), 401)


def test_no_endpoint_was_forgotten_above() -> None:
    [api] = [each for each in get_resolver().url_patterns if str(each.pattern) == "api/"]
    named = {each.callback.view_class for each in api.url_patterns if (each.name or "").startswith("api-")}
    tested = {views.TracesView, views.TraceView, views.SpanView, views.SpansView, views.MetricsView, views.ScoresView}
    # Its tests are in tests/blobs.
    tested.add(views.BlobView)
    assert {each for each in named if each.__module__ == views.__name__} == tested


def test_a_revoked_key_is_refused(caller: Caller) -> None:
    assert Client(headers={"authorization": f"bearer {caller.key}"}).get("/api/v1/traces").status_code == 200
    ApiKey.objects.get(project=caller.project).revoke()
    assert_problem(caller.get("traces"), 401)


def login(project: Project, role: str, **options: Any) -> Client:
    user = User.objects.create_user(f"{role}-{project.pk}", password="correct horse")
    Membership.objects.create(organization=project.organization, user=user, role=role)
    client = Client(**options)
    client.force_login(user)
    return client


def test_a_person_chooses_a_project_that_is_theirs(caller: Caller, stranger: Caller) -> None:
    trace_id, _ = a_trace(caller.project)
    client = login(caller.project, "viewer")
    [row] = client.get("/api/v1/traces", {"project": caller.project.slug, **RANGE}).json()["items"]
    assert row["trace_id"] == trace_id
    assert_problem(client.get("/api/v1/traces"), 400, "project")
    assert_problem(client.get("/api/v1/traces", {"project": stranger.project.slug}), 404)
    assert_problem(client.get("/api/v1/traces", {"project": "no-such"}), 404)


def test_a_person_writes_only_with_the_csrf_token(caller: Caller) -> None:
    body = {"scores": [{"name": "thumbs", "value": 1, "trace_id": "a" * 32}]}
    address = f"/api/v1/scores?project={caller.project.slug}"
    client = login(caller.project, "editor", enforce_csrf_checks=True)
    assert_problem(client.post(address, body, content_type="application/json"), 403)
    token = "a" * 32
    client.cookies["csrftoken"] = token
    allowed = client.post(address, body, content_type="application/json", headers={"x-csrftoken": token})
    assert allowed.status_code == 200
    [stored] = plain(caller.project.pk, "SELECT source, author FROM scores WHERE {mine}")
    assert (stored["source"], stored["author"]) == ("human", f"editor-{caller.project.pk}")


def test_a_viewer_does_not_write(caller: Caller) -> None:
    body = {"scores": [{"name": "thumbs", "value": 1, "trace_id": "a" * 32}]}
    client = login(caller.project, "viewer")
    address = f"/api/v1/scores?project={caller.project.slug}"
    assert_problem(client.post(address, body, content_type="application/json"), 403)


def test_unknown_addresses_and_methods_are_problems(caller: Caller) -> None:
    assert_problem(caller.client.get("/api/v2/traces"), 404)
    assert_problem(caller.client.post("/api/nothing"), 404)
    assert_problem(caller.client.get("/api/v1/traces/"), 404)
    assert_problem(caller.client.delete("/api/v1/traces"), 405)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (CapacityError("DB::Exception: Timeout exceeded", 159), 422),
        (CapacityError("DB::Exception: Memory limit exceeded", 241), 422),
        (CapacityError("DB::Exception: Too many simultaneous queries", 202), 503),
        (UnavailableError("connection refused to 10.0.0.1"), 503),
        (DefectError("DB::Exception: Unknown column secret", 47), 500),
        (RuntimeError("secret"), 500),
    ],
)
def test_what_fails_behind_is_a_problem_that_tells_no_secrets(caller: Caller, monkeypatch, error, status: int) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(views.traces, "list_traces", fail)
    answer = caller.get("traces")
    body = assert_problem(answer, status)
    assert ("Retry-After" in answer) is (status == 503)
    assert not any(word in body["detail"] for word in ("secret", "DB::", "10.0.0.1"))


def test_a_question_that_runs_too_long_is_refused_with_advice(caller: Caller, settings: Any) -> None:
    a_trace(caller.project)
    settings.QUERY_MEMORY_BYTES = 1
    assert "shorter time range" in assert_problem(caller.get("traces", **RANGE), 422)["detail"]


def test_the_schema_is_complete_and_valid(tmp_path: Any, capsys: Any) -> None:
    call_command("spectacular", "--fail-on-warn", "--validate", "--file", str(tmp_path / "schema.yml"))
    schema = Client().get("/api/schema", headers={"accept": "application/vnd.oai.openapi+json"}).json()
    assert set(schema["paths"]) == {
        "/api/" + re.sub(r"<\w+:(\w+)>", r"{\1}", str(each.pattern))
        for each in api_urls.urlpatterns
        if isinstance(each.pattern, RoutePattern) and each.name != "api-schema"
    } | {"/api/v1/blobs/{until}/{digest}"}
    trace = schema["components"]["schemas"]["TraceSummary"]["properties"]
    assert trace["start_time"]["format"] == "date-time"
    assert "minutes" not in trace
    assert set(schema["components"]["securitySchemes"]) == {"bearer", "apiKey", "session"}


def test_json_that_is_nested_without_end_is_refused(caller: Caller) -> None:
    answer = caller.client.post("/api/v1/scores", '{"scores":' * 50_000, content_type="application/json")
    assert "nested too deeply" in assert_problem(answer, 400)["detail"]
