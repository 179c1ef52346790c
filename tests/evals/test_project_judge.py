"""A rule whose evaluator is a language model behind a project's endpoint, over real HTTP on loopback."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from pytest_django import Settings

from heliograph.accounts.models import Project
from heliograph.accounts.secrets import encrypt
from heliograph.evals.judge import remove_old_answers
from heliograph.evals.models import EvaluationRule, JudgeAnswer, JudgeEndpoint, JudgeTemplate, RuleDay
from heliograph.evals.online.worker import take_turn
from tests.evals.test_online_rules import answered, stored
from tests.evaluators.judges.test_llm_judge import VERDICT, endpoint
from tests.query.rows import store_spans

# The judge asks from threads, whose connections see what is committed.
pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def loopback(settings: Settings) -> None:
    settings.OUTGOING_NETWORKS = ["127.0.0.0/8"]


def judged_by(project: Project, url: str, **fields: Any) -> EvaluationRule:
    where = JudgeEndpoint(
        project=project,
        name="judge",
        base_url=url,
        model="m",
        api_key=encrypt("sk-secret"),
        input_usd_per_million=Decimal(2),
        output_usd_per_million=Decimal(10),
        concurrency=1,
    )
    where.full_clean()
    where.save()
    rule = EvaluationRule(project=project, name="helpful", evaluator="llm_judge", endpoint=where, **fields)
    rule.full_clean()
    rule.begin(datetime.now(UTC) - timedelta(hours=1))
    return rule


def test_a_rule_asks_its_project_s_judge_with_its_template_and_key_and_counts_the_cost(project: Project) -> None:
    template = JudgeTemplate(project=project, name="kind", instruction="Is it kind?", lowest=0, highest=4)
    template.full_clean(exclude=["version"])
    template.append()
    with endpoint(lambda n, body: (200, VERDICT)) as server:
        server.usage = {"prompt_tokens": 1000, "completion_tokens": 100}
        rule = judged_by(project, server.url, template=template)
        store_spans(project.pk, answered("Five days.", received_at=datetime.now(UTC) - timedelta(minutes=5)))
        assert take_turn(rule)[0].scored == 1
        assert server.keys == ["Bearer sk-secret"]
        assert "Is it kind?" in server.bodies[0]["messages"][0]["content"]
    (score,) = stored(project)
    assert (score.value, score.label) == (1.0, "4")
    assert template.revision in score.evaluator_revision
    assert "sk-secret" not in score.evaluator_arguments
    day = RuleDay.objects.get(rule=rule)
    assert (day.usd, day.device_seconds) == (Decimal("0.003"), 0)


def test_an_endpoint_that_is_away_keeps_the_spans_waiting_and_an_answer_is_not_paid_for_twice(
    project: Project,
) -> None:
    store_spans(project.pk, answered("Five days.", received_at=datetime.now(UTC) - timedelta(minutes=5)))
    with endpoint(lambda n, body: (401, "wrong key")) as server:
        rule = judged_by(project, server.url)
        with pytest.raises(Exception, match="wrong key"):
            take_turn(rule)
        assert stored(project) == []
        assert "wrong key" in rule.progress.error
        server.reply = lambda n, body: (200, VERDICT)
        assert take_turn(rule)[0].scored == 1
        asked = len(server.bodies)
        again = EvaluationRule(project=project, name="again", evaluator="llm_judge", endpoint=rule.endpoint)
        again.begin(datetime.now(UTC) - timedelta(hours=1))
        assert take_turn(again)[0].scored == 1
        assert len(server.bodies) == asked
    details = [json.loads(score.details) for score in stored(project) if score.name == "again"]
    assert details[0]["usage"]["cached"] == 1


def test_an_address_that_is_not_allowed_is_not_asked(project: Project, settings: Settings) -> None:
    settings.OUTGOING_NETWORKS = []
    store_spans(project.pk, answered("Five days.", received_at=datetime.now(UTC) - timedelta(minutes=5)))
    with endpoint(lambda n, body: (200, VERDICT)) as server:
        with pytest.raises(Exception, match="OUTGOING_NETWORKS"):
            take_turn(judged_by(project, server.url))
        assert server.bodies == []


def test_a_rule_may_not_use_another_project_s_judge(project: Project) -> None:
    with endpoint(lambda n, body: (200, VERDICT)) as server:
        mine = judged_by(project, server.url)
    other = Project.objects.create(
        id=project.pk + 10**6, organization=project.organization, name="O", slug=f"other-{project.pk}"
    )
    stolen = EvaluationRule(project=other, name="x", evaluator="llm_judge", endpoint=mine.endpoint)
    with pytest.raises(ValidationError, match="none like that"):
        stolen.full_clean()


def test_templates_have_versions_and_old_answers_are_removed(project: Project) -> None:
    for text in ("Is it kind?", "Is it kind and true?"):
        JudgeTemplate(project=project, name="kind", instruction=text).append()
    assert [row.version for row in JudgeTemplate.objects.filter(project=project)] == [2, 1]
    with pytest.raises(ValidationError, match="scale"):
        JudgeTemplate(project=project, name="x", instruction="x", lowest=5, highest=5).full_clean()
    old, _ = (JudgeAnswer.objects.create(project=project, key=key, text="{}") for key in ("a", "b"))
    JudgeAnswer.objects.filter(pk=old.pk).update(created_at=datetime.now(UTC) - timedelta(days=40))
    assert remove_old_answers() == 1
