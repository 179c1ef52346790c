"""A language model judges the answers of an experiment, over real HTTP on loopback."""

import json
from decimal import Decimal
from typing import Any

import pytest
from pytest_django import Settings

from heliograph.accounts.models import Project
from heliograph.accounts.secrets import encrypt
from heliograph.datasets import experiments, tasks
from heliograph.datasets.evaluators import InvalidEvaluatorError
from heliograph.datasets.experiments import Plan
from heliograph.datasets.models import Dataset, Experiment, Result
from heliograph.evals.models import JudgeEndpoint, JudgeTemplate
from heliograph.query import scores
from tests.datasets.conftest import put, row
from tests.evaluators.judges.test_llm_judge import VERDICT, endpoint
from tests.query.rows import HOUR

# The judge asks from threads, whose connections see what is committed.
pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def loopback(settings: Settings) -> None:
    settings.OUTGOING_NETWORKS = ["127.0.0.0/8"]


def judge_at(project: Project, url: str, **fields: Any) -> JudgeEndpoint:
    prices = {"input_usd_per_million": Decimal(2), "output_usd_per_million": Decimal(10)}
    given = {"name": "judge", "base_url": url, "model": "m", "api_key": encrypt("sk-secret"), "concurrency": 1}
    return JudgeEndpoint.objects.create(project=project, **(given | prices | fields))


def answered(dataset: Dataset, evaluators: list[Any], **outputs: str) -> Experiment:
    """A run whose answers came from a user's function."""
    run = experiments.start(dataset.project, Plan(dataset=dataset, name="r", kind="function", evaluators=evaluators))
    found = [
        Result(experiment=run, row=item, key=item.key, position=item.position, content_id=item.content_id,
               status="ok", output=outputs[item.key])
        for item in experiments.pending(run)
    ]  # fmt: skip
    experiments.store(run, found)
    experiments.finish(run)
    return run


def worked(run: Experiment) -> Experiment:
    tasks.work_off()
    run.refresh_from_db()
    return run


def test_answers_are_judged_by_rubric_and_in_pairs_and_paid_for_once(project: Project, dataset: Dataset) -> None:
    put(dataset, row("a"), row("b"))
    pairs = JudgeTemplate(project=project, name="better", mode="pairwise", instruction="Which is better?")
    pairs.append()

    def reply(number: int, body: dict[str, Any]) -> tuple[int, str]:
        said = json.dumps(body)
        if "Which is better?" not in said:
            return 200, VERDICT
        # The expected answer is what an answer without another one is compared with; places are swapped.
        first = body["messages"][1]["content"].partition("second answer")[0]
        return 200, json.dumps({"reason": "r", "better": "first" if "right" in first else "second"})

    with endpoint(reply) as server:
        server.usage = {"prompt_tokens": 1000, "completion_tokens": 100}
        judge = judge_at(project, server.url)
        helpful = {"name": "helpful", "evaluator": "llm_judge", "endpoint": "judge"}
        better = {"name": "better", "evaluator": "llm_judge", "endpoint": judge.pk, "template": pairs.pk}
        chosen = ["exact_match", helpful | {"arguments": {"template": "helpfulness"}}, better]
        done = worked(answered(dataset, chosen, a="the right one", b="answer b"))
        assert (done.status, done.error) == ("done", "")
        assert done.summary["helpful"] == {"mean": 0.75, "scored": 2, "unscored": 0, "usd": pytest.approx(0.006)}
        assert done.results.get(key="a").value("better") == 1.0
        # The same two texts: what was asked once is the same question in both orders.
        assert done.results.get(key="b").value("better") == 0.5
        assert set(server.keys) == {"Bearer sk-secret"}
        asked = len(server.bodies)
        again = worked(answered(dataset, chosen[1:], a="the right one", b="answer b"))
        assert (again.status, again.summary["helpful"]["usd"], len(server.bodies)) == ("done", 0.0, asked)
    found = scores.list_scores(project.pk, scores.ScoreFilter(range=HOUR, name="better"), limit=10).items
    assert all(pairs.revision in score.evaluator_revision for score in found)


def test_a_judge_that_answers_nobody_ends_the_run_with_its_reason_and_a_mended_one_goes_on(
    project: Project, dataset: Dataset
) -> None:
    put(dataset, row("a"), row("b"))
    with endpoint(lambda n, body: (401, "wrong key")) as server:
        judge_at(project, server.url)
        run = worked(answered(dataset, [{"evaluator": "llm_judge", "endpoint": "judge"}], a="1", b="2"))
        assert (run.status, run.scored) == ("failed", 0)
        assert "wrong key" in run.error
        assert "sk-secret" not in run.error
        server.reply = lambda n, body: (200, VERDICT if "\n2\n" in body["messages"][1]["content"] else "It is fine.")
        assert experiments.retry_failed(run) == 0
        run = worked(run)
    assert (run.status, run.summary["llm_judge"]["scored"]) == ("done", 1)
    # Nonsense is no number.
    assert run.results.get(key="a").scores["llm_judge"]["label"] == "unscored"


def test_a_template_of_another_project_is_refused(project: Project, dataset: Dataset) -> None:
    put(dataset, row("a"))
    other = Project.objects.create(
        id=project.pk + 2**31, organization=project.organization, name="Other", slug=f"other-{project.pk}"
    )
    theirs = JudgeTemplate(project=other, name="t", instruction="x")
    theirs.append()
    judge_at(project, "https://judge.example/v1")
    entry = {"evaluator": "llm_judge", "endpoint": "judge", "template": theirs.pk}
    with pytest.raises(InvalidEvaluatorError, match="template of the project"):
        experiments.start(project, Plan(dataset=dataset, name="x", kind="function", evaluators=[entry]))


def test_a_judge_that_was_removed_ends_the_run_and_says_so(project: Project, dataset: Dataset) -> None:
    put(dataset, row("a"))
    judge = judge_at(project, "https://judge.example/v1")
    run = answered(dataset, [{"evaluator": "llm_judge", "endpoint": judge.pk}], a="1")
    judge.delete()
    assert "add it under judges" in worked(run).error
