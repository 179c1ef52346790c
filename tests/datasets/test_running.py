"""Experiments against an endpoint: each row once, whatever fails, stops or is killed in between."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import Settings

from heliograph.accounts import secrets
from heliograph.accounts.models import Project
from heliograph.datasets import experiments, tasks
from heliograph.datasets.comparisons import wanted
from heliograph.datasets.content import RowContent
from heliograph.datasets.evaluators import InvalidEvaluatorError
from heliograph.datasets.experiments import CannotStartError, Plan
from heliograph.datasets.models import Dataset, Endpoint, Experiment, Result
from heliograph.datasets.targets import InvalidTargetError, Target
from heliograph.evals.models import JudgeEndpoint
from heliograph.events.models import Event
from heliograph.query import scores
from heliograph.query.spans import get_span
from tests.datasets.conftest import put, row
from tests.net.servers import Handler, Server, serving

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]
KEY = "sk-not-for-anybody"


def completion(text: str) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    return json.dumps({"id": "c1", "model": "m-2026", "choices": [choice], "usage": usage}).encode()


def asked(body: bytes) -> str:
    return str(json.loads(body)["messages"][-1]["content"])


def echo(handler: Handler) -> None:
    """Answer `question KEY` with `answer KEY`, what the rows expect."""
    question = asked(handler.server.requests[-1][2])
    handler.say(200, completion(question.replace("question", "answer")))


@pytest.fixture(autouse=True)
def loopback(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.OUTGOING_NETWORKS = ("127.0.0.0/8",)
    monkeypatch.setattr("heliograph.datasets.calls.FIRST_WAIT_S", 0.01)


@pytest.fixture
def run(dataset: Dataset) -> Callable[..., Experiment]:
    """Return a function that starts an experiment on a server and gives it turns until it ends."""

    def start(server: Server, turns: int = 20, **options: Any) -> Experiment:
        endpoint, _ = Endpoint.objects.update_or_create(
            project=dataset.project,
            name="local",
            defaults={"base_url": f"{server.url}/v1", "api_key": secrets.encrypt(KEY)},
        )
        target = {"endpoint": endpoint.pk, "model": "m", "attempts": 3} | options.pop("target", {})
        plan = {"name": "run", "kind": "endpoint", "target": target} | options
        experiment = experiments.start(dataset.project, Plan(dataset=dataset, **plan))
        for _ in range(turns):
            tasks.work_off()
        experiment.refresh_from_db()
        return experiment

    return start


def test_every_row_is_asked_judged_traced_and_told_of(dataset: Dataset, run: Callable[..., Experiment]) -> None:
    put(dataset, *(row(str(number), split="test" if number < 6 else "train") for number in range(8)))
    with serving(echo) as server:
        done = run(
            server,
            split="test",
            evaluators=["exact_match", {"name": "short", "evaluator": "regex", "arguments": {"pattern": "^.{1,8}$"}}],
        )
        assert {headers["authorization"] for _, headers, _ in server.requests} == {f"Bearer {KEY}"}
        assert {path for path, _, _ in server.requests} == {"/v1/chat/completions"}
    assert (done.status, done.rows, done.done, done.failed, done.scored) == ("done", 6, 6, 0, 6)
    assert done.summary["exact_match"] == {"mean": 1.0, "scored": 6, "unscored": 0}
    assert done.summary["short"]["mean"] == 1.0
    result = done.results.get(key="3")
    assert (result.output, result.input_tokens, result.attempts) == ("answer 3", 7, 1)
    span = get_span(dataset.project_id, result.trace_id, result.span_id)
    assert span is not None
    assert (span.attributes["heliograph.experiment.id"], span.attributes["heliograph.row.id"]) == (str(done.pk), "3")
    assert (span.model, span.input_tokens, span.output_messages[0].text) == ("m-2026", 7, "answer 3")
    found = scores.of_trace(dataset.project_id, result.trace_id)
    assert {(each.name, each.value, each.dataset_item_id) for each in found} == {
        ("exact_match", 1.0, f"{dataset.pk}/3"),
        ("short", 1.0, f"{dataset.pk}/3"),
    }
    event = Event.objects.get()
    assert (event.kind, event.body["status"], event.body["rows"]) == ("experiment.done", "done", 6)


def test_busy_answers_are_asked_again_and_a_row_that_fails_can_be_retried(
    dataset: Dataset, run: Callable[..., Experiment]
) -> None:
    put(dataset, row("a"), row("b"), row("c"))
    tries: Counter[str] = Counter()
    heals = False

    def flaky(handler: Handler) -> None:
        question = asked(handler.server.requests[-1][2])
        tries[question] += 1
        if question == "question a" and tries[question] < 3:
            handler.say(429, b'{"error": {"message": "slow down"}}', retry_after="0")
        elif question == "question b" and not heals:
            handler.say(500, b"broken")
        elif question == "question c" and not heals:
            handler.say(400, b'{"error": {"message": "too long"}}')
        else:
            echo(handler)

    with serving(flaky) as server:
        done = run(server, evaluators=["exact_match"])
        assert (done.status, done.done, done.failed) == ("done", 3, 2)
        assert dict(tries) == {"question a": 3, "question b": 3, "question c": 1}
        assert done.results.get(key="c").error == "HTTP 400: too long"
        heals = True
        assert experiments.retry_failed(done) == 2
        for _ in range(5):
            tasks.work_off()
    done.refresh_from_db()
    assert (done.status, done.done, done.failed, done.summary["exact_match"]["scored"]) == ("done", 3, 0, 3)


def test_a_wrong_key_ends_the_run_after_a_few_rows_and_says_so(
    dataset: Dataset, run: Callable[..., Experiment]
) -> None:
    put(dataset, *(row(str(number)) for number in range(60)))
    with serving(lambda handler: handler.say(401, b'{"error": {"message": "no such key"}}')) as server:
        failed = run(server)
        assert len(server.requests) < 20
    assert failed.status == "failed"
    assert "refuses every row. HTTP 401: no such key" in failed.error
    assert KEY not in failed.error


def test_an_address_of_this_network_is_not_called_unless_it_is_allowed(
    dataset: Dataset, run: Callable[..., Experiment], settings: Settings
) -> None:
    settings.OUTGOING_NETWORKS = ()
    put(dataset, row("a"))
    with serving(echo) as server:
        failed = run(server)
        assert not server.requests
    assert "HELIOGRAPH_OUTGOING_NETWORKS" in failed.error


def test_a_canceled_run_keeps_what_it_has(dataset: Dataset, run: Callable[..., Experiment]) -> None:
    put(dataset, *(row(str(number)) for number in range(50)))
    holder: list[Experiment] = []

    def stopping(handler: Handler) -> None:
        echo(handler)

    with serving(stopping) as server:
        experiment = run(server, turns=0, target={"concurrency": 1})
        holder.append(experiment)
        experiments.cancel(experiment)
        tasks.work_off()
        assert not server.requests
    experiment.refresh_from_db()
    assert (experiment.status, experiment.done) == ("canceled", 0)
    with pytest.raises(CannotStartError, match="An experiment with an endpoint"):
        experiments.finish(experiment)


def test_two_results_of_one_row_stay_one(project: Project, dataset: Dataset) -> None:
    put(dataset, row("a"), row("b"))
    experiment = experiments.start(project, Plan(dataset=dataset, name="mine", kind="function"))
    assert (
        experiments.start(project, Plan(dataset=dataset, name="mine", kind="function", resume=True)).pk == experiment.pk
    )
    first = experiments.pending(experiment)[0]

    def result(output: str) -> Result:
        place = {"key": first.key, "position": first.position, "content_id": first.content_id}
        return Result(experiment=experiment, row=first, status="ok", output=output, **place)

    assert [
        experiments.store(experiment, [result("one"), result("two")]),
        experiments.store(experiment, [result("3")]),
    ] == [1, 0]
    assert [each.key for each in experiments.pending(experiment)] == ["b"]
    assert (experiment.done, experiment.results.get().output) == (1, "two")
    with pytest.raises(CannotStartError, match="1 rows have no result"):
        experiments.finish(experiment)


@pytest.mark.parametrize(
    ("target", "field"),
    [
        ({"model": ""}, "model"),
        ({"endpoint": "nosuch"}, "endpoint"),
        ({"concurrency": 65}, "concurrency"),
        ({"attempts": "3"}, "attempts"),
        ({"template": "no place"}, "template"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_target_that_cannot_be_asked_says_which_part(project: Project, target: dict[str, Any], field: str) -> None:
    Endpoint.objects.create(project=project, name="local", base_url="http://127.0.0.1:1/v1")
    with pytest.raises(InvalidTargetError) as caught:
        Target.of(project.pk, {"endpoint": "local", "model": "m"} | target)
    assert caught.value.field == field


def another(project: Project) -> Project:
    return Project.objects.create(
        id=project.pk + 2**31, organization=project.organization, name="Other", slug=f"other-{project.pk}"
    )


def test_another_projects_endpoint_cannot_be_used(project: Project) -> None:
    other = another(project)
    theirs = Endpoint.objects.create(project=other, name="theirs", base_url="http://127.0.0.1:1/v1")
    for named in (theirs.pk, "theirs"):
        with pytest.raises(InvalidTargetError, match="no such endpoint"):
            Target.of(project.pk, {"endpoint": named, "model": "m"})


@pytest.mark.parametrize(
    ("evaluator", "said"),
    [
        ("nosuch", "there are answer_relevance"),
        ({"name": "x"}, "no evaluator None"),
        ({"evaluator": "groundedness", "arguments": {"model": "/etc"}}, "'/etc' is no model that projects may"),
        ({"evaluator": "groundedness", "arguments": {"device": "cuda:1"}}, "'device' was unexpected"),
        ({"evaluator": "pii", "arguments": {"presidio": "/etc"}}, "presidio: '/etc' is no model"),
        ({"evaluator": "llm_judge", "arguments": {"base_url": "http://10.0.0.1"}}, "'base_url' was unexpected"),
        ({"evaluator": "regex", "arguments": {"patern": "a"}}, "'patern' was unexpected"),
        ({"evaluator": "regex", "arguments": {"pattern": "("}}, "does not compile"),
        ({"evaluator": "regex", "arguments": {"full": "yes"}}, "full: 'yes' is not of type"),
        ({"evaluator": "regex", "arguments": {"pattern": "a"}, "endpoint": "theirs"}, "only llm_judge has endpoint"),
        ("llm_judge", "name of a judge of the project: none yet"),
        ({"evaluator": "llm_judge", "endpoint": "theirs"}, "name of a judge of the project"),
        ({"evaluator": "llm_judge", "endpoint": True}, "name of a judge of the project"),
    ],
)
def test_an_evaluator_that_may_not_be_chosen_is_refused(
    project: Project, dataset: Dataset, evaluator: Any, said: str
) -> None:
    put(dataset, row("a"))
    other = another(project)
    JudgeEndpoint.objects.create(project=other, name="theirs", model="m")
    with pytest.raises(InvalidEvaluatorError, match=said):
        experiments.start(project, Plan(dataset=dataset, name="x", kind="function", evaluators=[evaluator]))
    assert not Experiment.objects.exists()


def test_a_row_becomes_the_messages_that_its_template_says(project: Project, dataset: Dataset) -> None:
    chat = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]
    put(
        dataset,
        RowContent(key="a", input={"q": "Q"}, context=["c1", "c2"], metadata={"tone": "kind"}),
        RowContent(key="b", input=chat),
    )
    experiment = experiments.start(project, Plan(dataset=dataset, name="x", kind="function"))
    first, second = experiments.pending(experiment)
    target = Target(
        endpoint=1, model="m", system="Be {{metadata.tone}}.", template="{{ context }}\n{{input.q}}{{input.no}}"
    )
    assert target.messages(first) == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "c1\n\nc2\nQ"},
    ]
    assert Target(endpoint=1, model="m").messages(second) == chat


def test_two_runs_are_compared_with_an_interval_and_again_when_one_changes(project: Project, dataset: Dataset) -> None:
    from tests.datasets.conftest import a_run

    put(dataset, *(row(str(number)) for number in range(40)))
    before, after = a_run(dataset, [1.0] * 40), a_run(dataset, [0.0] * 20 + [1.0] * 20)
    [comparison] = wanted([before, after], "exact_match")
    assert comparison.result == {}
    tasks.work_off()
    [comparison] = wanted([before, after], "exact_match")
    assert (comparison.result["n"], comparison.result["changed"], comparison.result["verdict"]) == (40, 20, "fail")
    low, high = comparison.result["interval"]
    assert low < comparison.result["effect"] == -0.5 < high < 0
    Experiment.objects.filter(pk=after.pk).update(done=41)
    after.refresh_from_db()
    assert wanted([before, after], "exact_match")[0].result == {}
