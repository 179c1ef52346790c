"""Evaluation rules, schedules and judges over the API: people change them, and nobody reaches another project's."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from heliograph.accounts.models import Membership
from heliograph.accounts.secrets import decrypt
from heliograph.evals import regression, tasks
from heliograph.evals.models import EvaluationRule, JudgeEndpoint, Schedule
from heliograph.query.filters import to_ns
from tests.api.test_endpoints import Caller, caller, stranger  # noqa: F401  # fixtures
from tests.api.test_redaction import Person
from tests.api.test_sampling import editor, send  # noqa: F401  # a fixture
from tests.query.rows import llm, new_trace_id, store_spans

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]
COMPARED = {"service": "shop", "baseline": "1", "candidate": "2"}
VALID = {"name": "valid", "evaluator": "json_schema", "filter": "service:shop"}


def spans(caller: Caller, *texts: str) -> None:  # noqa: F811
    now = datetime.now(UTC)
    rows = [
        llm(new_trace_id(), 1, output=text, received_at=now - timedelta(minutes=5), start_time=to_ns(now))
        for text in texts
    ]
    store_spans(caller.project.pk, *rows)


def test_a_rule_is_previewed_added_stands_and_judges(caller: Caller, editor: Person) -> None:  # noqa: F811
    spans(caller, "{}", "no JSON")
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    tried = send(editor, "post", "evaluation-rules/preview", VALID).json()
    assert (tried["matching"]["spans"], tried["device_seconds"]) == (2, None)
    rule = send(editor, "post", "evaluation-rules", VALID | {"since": since}).json()
    before = send(editor, "get", f"evaluation-rules/{rule['id']}").json()["standing"]
    assert (before["backlog"], before["scored"]) == (2, 0)
    assert 200 < before["lag_s"] < 400
    tasks.score_new_spans()
    after = send(editor, "get", f"evaluation-rules/{rule['id']}").json()["standing"]
    assert (after["backlog"], after["scored"], after["lag_s"], after["error"]) == (0, 2, None, "")
    assert send(editor, "post", "evaluation-rules/preview", VALID).json()["device_seconds"] > 0
    assert send(editor, "patch", f"evaluation-rules/{rule['id']}", {"enabled": False}).json()["enabled"] is False
    assert send(editor, "delete", f"evaluation-rules/{rule['id']}").status_code == 204


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"filter": "nonsense:((("}, "filter"),
        ({"evaluator": "none"}, "evaluator"),
        ({"arguments": {"schem": {}}}, "arguments"),
        ({"evaluator": "regex", "arguments": {"pattern": "("}}, "arguments"),
        ({"rate": 2}, "rate"),
        ({"name": "groundedness"}, "name"),
        ({"evaluator": "llm_judge"}, "endpoint"),
        ({"evaluator": "llm_judge", "arguments": {"api_key": "x"}}, "arguments"),
    ],
)
def test_a_rule_that_could_not_judge_is_refused_at_its_field(
    editor: Person,  # noqa: F811
    changes: dict[str, Any],
    field: str,
) -> None:
    refused = send(editor, "post", "evaluation-rules", VALID | changes)
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["field"].startswith(field)


def test_evaluators_say_what_they_take(caller: Caller) -> None:  # noqa: F811
    found = {each["name"]: each for each in caller.get("evaluators").json()["items"]}
    assert found["regex"]["arguments"]["properties"]["negate"] == {"type": "boolean", "default": False}
    assert found["groundedness"]["needs"] == ["context"]
    assert "api_key" not in found["llm_judge"]["arguments"]["properties"]


def test_a_schedule_runs_now_and_tells_its_history(
    caller: Caller,  # noqa: F811
    editor: Person,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(regression, "check", lambda run: run.say("looked") or {"verdict": "pass"})
    body = {"name": "nightly", "kind": "regression", "arguments": COMPARED, "cron": "0 3 * * *"}
    made = send(editor, "post", "schedules", body).json()
    assert made["next_at"].endswith("T03:00:00Z")
    # A program with a key may run it, and change nothing.
    started = caller.client.post(f"/api/v1/schedules/{made['id']}/runs")
    assert started.status_code == 201
    tasks.work_off_checks()
    (run,) = caller.get(f"schedules/{made['id']}/runs").json()["items"]
    assert (run["status"], run["result"]) == ("done", {"verdict": "pass"})
    assert "looked" in run["log"]
    assert run["duration_s"] >= 0
    assert send(editor, "patch", f"schedules/{made['id']}", {"enabled": False}).json()["enabled"] is False
    refused = send(editor, "post", "schedules", body | {"name": "x", "arguments": {"service": "shop"}})
    assert refused.json()["errors"][0]["field"].startswith("arguments")
    assert "evaluate" in {kind["name"] for kind in caller.get("schedules").json()["kinds"]}


def test_a_key_is_stored_encrypted_never_shown_and_not_sent_elsewhere_by_itself(editor: Person) -> None:  # noqa: F811
    body = {"name": "judge", "base_url": "https://api.example.com/v1", "model": "m", "api_key": "sk-1"}
    made = send(editor, "post", "judge-endpoints", body)
    assert (made.json()["has_key"], "sk-1" in made.content.decode()) == (True, False)
    stored = JudgeEndpoint.objects.get()
    assert stored.api_key != "sk-1"
    assert decrypt(stored.api_key) == "sk-1"
    path = f"judge-endpoints/{stored.pk}"
    assert send(editor, "patch", path, {"base_url": "https://evil.example.com/v1"}).status_code == 400
    assert send(editor, "patch", path, {"model": "other"}).json()["has_key"]
    assert decrypt(JudgeEndpoint.objects.get().api_key) == "sk-1"


def test_templates_are_versions(editor: Person) -> None:  # noqa: F811
    body = {"name": "kind", "instruction": "Is it kind?"}
    first = send(editor, "post", "judge-templates", body).json()
    second = send(editor, "post", "judge-templates", body | {"instruction": "Is it kind and true?"}).json()
    assert [first["version"], second["version"]] == [1, 2]
    assert first["revision"] != second["revision"]
    listed = send(editor, "get", "judge-templates").json()
    assert [each["version"] for each in listed["items"]] == [2, 1]
    assert "helpfulness" in {each["name"] for each in listed["built_in"]}


def test_keys_change_nothing_and_strangers_find_nothing(caller: Caller, stranger: Caller, editor: Person) -> None:  # noqa: F811
    rule = EvaluationRule.objects.get(project=caller.project, name="groundedness")
    schedule = send(
        editor, "post", "schedules", {"name": "n", "kind": "regression", "every_seconds": 3600, "arguments": COMPARED}
    ).json()
    judge = send(editor, "post", "judge-endpoints", {"name": "judge", "model": "m"}).json()
    other = Person(stranger, Membership.Role.OWNER)
    for method, path, body in (
        ("patch", f"evaluation-rules/{rule.pk}", {"enabled": False}),
        ("delete", f"evaluation-rules/{rule.pk}", None),
        ("post", f"evaluation-rules/{rule.pk}/set-aside", {}),
        ("delete", f"evaluation-rules/{rule.pk}/backlog", None),
        ("patch", f"schedules/{schedule['id']}", {"enabled": False}),
        ("delete", f"schedules/{schedule['id']}", None),
        ("patch", f"judge-endpoints/{judge['id']}", {"model": "x"}),
        ("delete", f"judge-endpoints/{judge['id']}", None),
    ):
        by_key = getattr(caller.client, method)(f"/api/v1/{path}", body, content_type="application/json")
        assert by_key.status_code == 403, path
        assert send(other, method, path, body).status_code == 404, path
    assert send(other, "post", f"schedules/{schedule['id']}/runs").status_code == 404
    assert send(other, "get", f"schedules/{schedule['id']}/runs").status_code == 404
    theirs = {"name": "theirs", "evaluator": "llm_judge", "endpoint": judge["id"]}
    assert send(other, "post", "evaluation-rules", theirs).json()["errors"][0]["field"] == "endpoint"
    assert stranger.get("judge-endpoints").json() == {"items": []}
    assert EvaluationRule.objects.get(pk=rule.pk).enabled
    assert Schedule.objects.get().enabled
