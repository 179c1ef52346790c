"""The pages of rules, schedules and judges: what a person adds there works, and what is wrong is said at its field."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from heliograph.accounts.models import Project
from heliograph.accounts.secrets import decrypt
from heliograph.evals import regression, tasks
from heliograph.evals.models import EvaluationRule, JudgeEndpoint, JudgeTemplate, Run, Schedule, SetAside
from heliograph.query import online
from heliograph.query.filters import to_ns
from tests.query.rows import llm, new_trace_id, store_spans

pytestmark = pytest.mark.usefixtures("store")
RULE = {"name": "valid", "evaluator": "json_schema", "arguments": "", "filter": "service:shop", "rate": "1",
        "wait": "at_once", "past_hours": "1"}  # fmt: skip
COMPARED = '{"service": "shop", "baseline": "1", "candidate": "2"}'
SCHEDULE = {"name": "nightly", "kind": "regression", "arguments": COMPARED, "cron": "0 3 * * *",
            "missed": "once", "retries": "1"}  # fmt: skip
JUDGE = {"name": "judge", "base_url": "https://api.example.com/v1", "model": "m", "key": "sk-1",
         "timeout_seconds": "60", "concurrency": "4"}  # fmt: skip


def page(reader: Client, project: Project, name: str, query: str = "", *ids: Any) -> str:
    answer = reader.get(f"{reverse(name, args=[project.slug, *ids])}?{query}")
    assert answer.status_code == 200
    return answer.content.decode()


def post(reader: Client, project: Project, name: str, /, *ids: Any, **form: Any) -> Any:
    return reader.post(reverse(name, args=[project.slug, *ids]), form)


def test_a_rule_is_tried_added_paused_and_shows_how_far_it_is(
    reader: Client, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    rows = [llm(new_trace_id(), 1, output=text, received_at=now - timedelta(minutes=5), start_time=to_ns(now))
            for text in ("{}", "no JSON")]  # fmt: skip
    store_spans(project.pk, *rows)
    tried = reader.get(reverse("evaluation-rules-preview", args=[project.slug]), RULE).content.decode()
    assert "<b>" in tried
    assert "is known once the evaluator has judged" in tried
    assert rows[0]["trace_id"] in tried
    assert post(reader, project, "evaluation-rules-save", **RULE).status_code == 302
    rule = EvaluationRule.objects.get(name="valid")
    assert rule.created_by is not None
    shown = page(reader, project, "evaluation-rules")
    assert "Skip backlog" in shown
    assert "</span> or more" not in shown
    with monkeypatch.context() as patched:
        patched.setattr(online, "MAX_COUNTED", 2)
        assert "</span> or more" in page(reader, project, "evaluation-rules")
    tasks.score_new_spans()
    shown = page(reader, project, "evaluation-rules", f"rule={rule.pk}")
    assert "nothing waits" in shown
    assert "Days of “valid”" in shown
    post(reader, project, "evaluation-rules-switch", rule.pk)
    assert "paused" in page(reader, project, "evaluation-rules")
    changed = RULE | {"rule": rule.pk, "rate": "0.5"}
    assert post(reader, project, "evaluation-rules-save", **changed).status_code == 302
    rule.refresh_from_db()
    assert rule.rate == 0.5
    post(reader, project, "evaluation-rules-remove", rule.pk)
    assert not EvaluationRule.objects.filter(name="valid").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"filter": "nonsense:((("}, "nonsense"),
        ({"arguments": '{"schem": 1}'}, "schem"),
        ({"evaluator": "regex", "arguments": '{"pattern": "("}'}, "does not compile"),
        ({"evaluator": "llm_judge"}, "Choose the model that judges."),
        ({"name": "groundedness"}, "Another rule has this name"),
    ],
)
def test_a_rule_that_could_not_judge_is_refused_at_its_field(
    reader: Client, project: Project, changes: dict[str, str], said: str
) -> None:
    answer = post(reader, project, "evaluation-rules-save", **RULE | changes)
    assert answer.status_code == 422
    assert said in answer.content.decode()


def test_what_was_set_aside_is_shown_and_tried_again(reader: Client, project: Project) -> None:
    rule = EvaluationRule.objects.get(project=project)
    aside = SetAside.objects.create(rule=rule, trace_id="a" * 32, span_id="b" * 16, reason="ValueError: <b>")
    shown = page(reader, project, "evaluation-rules", f"rule={rule.pk}")
    assert "ValueError: &lt;b&gt;" in shown
    post(reader, project, "evaluation-rules-retry", rule.pk, span=aside.pk)
    aside.refresh_from_db()
    assert aside.retry_wanted


def test_a_schedule_is_added_run_again_and_keeps_its_history(
    reader: Client, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regression, "check", lambda run: run.say("looked") or {"verdict": "pass"})
    assert post(reader, project, "evaluation-schedules-save", **SCHEDULE).status_code == 302
    row = Schedule.objects.get()
    assert (row.timezone, row.cron) == ("UTC", "0 3 * * *")
    started = post(reader, project, "evaluation-schedules-run", row.pk)
    tasks.work_off_checks()
    assert "looked" in reader.get(started["location"]).content.decode()
    run = Run.objects.get(schedule=row)
    post(reader, project, "evaluation-runs-again", run.pk)
    assert page(reader, project, "evaluation-schedules", f"schedule={row.pk}").count("/evaluations/runs/") >= 3
    post(reader, project, "evaluation-schedules-switch", row.pk)
    row.refresh_from_db()
    assert not row.enabled
    wrong = post(reader, project, "evaluation-schedules-save", **SCHEDULE | {"name": "x", "cron": "61 * * * *"})
    assert wrong.status_code == 422
    wrong = post(
        reader, project, "evaluation-schedules-save", **SCHEDULE | {"name": "x", "arguments": '{"service": 1}'}
    )
    assert "is not of type" in wrong.content.decode()


def test_a_judge_is_added_and_its_key_never_shown(reader: Client, project: Project) -> None:
    assert post(reader, project, "evaluation-judges-save", **JUDGE).status_code == 302
    judge = JudgeEndpoint.objects.get()
    assert decrypt(judge.api_key) == "sk-1"
    shown = page(reader, project, "evaluation-judges", f"judge={judge.pk}")
    assert "sk-1" not in shown
    moved = JUDGE | {"judge": judge.pk, "base_url": "https://evil.example.com/v1", "key": ""}
    assert post(reader, project, "evaluation-judges-save", **moved).status_code == 422
    template = {"name": "kind", "mode": "rubric", "instruction": "Is it kind?", "lowest": "1", "highest": "5"}
    for _ in range(2):
        assert post(reader, project, "evaluation-templates-save", **template).status_code == 302
    assert [row.version for row in JudgeTemplate.objects.all()] == [2, 1]
    assert post(reader, project, "evaluation-templates-save", **template | {"highest": "1"}).status_code == 422
    assert "built in" in page(reader, project, "evaluation-judges")
    post(reader, project, "evaluation-judges-remove", judge.pk)
    assert not JudgeEndpoint.objects.exists()
