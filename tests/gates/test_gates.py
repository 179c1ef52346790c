"""Gates through the public API and the pages: live traffic, two runs over a data set, traffic that is watched."""

import random
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from heliograph.accounts.models import Membership, Project
from heliograph.datasets.models import Dataset, Experiment, Result
from heliograph.events.models import Event
from heliograph.gates import requests, tasks, watch
from heliograph.gates.models import Gate, GateRun, Watch
from heliograph.gates.models.jobs import MAX_ATTEMPTS, LostLeaseError
from heliograph.query import scores
from heliograph.query.filters import to_ns
from tests.api.test_endpoints import Caller, caller, stranger  # noqa: F401  # fixtures
from tests.api.test_redaction import Person
from tests.datasets.conftest import a_run, dataset, put, row  # noqa: F401  # fixtures
from tests.query.rows import llm, new_trace_id, store_spans

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]
SIDES = {"scope": "service:bot", "baseline": "release:1", "candidate": "release:2"}


@pytest.fixture(autouse=True)
def nobody_listens(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """The tests do the worker's work themselves."""
    monkeypatch.setattr(requests, "wake_worker", lambda: None)
    backend = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": backend}}


def answers(
    release: str, n: int, seed: int, quality: float = 0.8, slow: float = 1.0, errors: float = 0.0, **fields: Any
) -> Any:
    """Rows of a release with their scores, some minutes old, each a session of its own."""
    rng = random.Random(seed)
    now = timezone.now() - timedelta(minutes=30)
    rows, verdicts = [], []
    for number in range(n):
        start = to_ns(now) + number * 10**6
        row = llm(
            new_trace_id(),
            0,
            service="bot",
            release=release,
            start_time=start,
            duration_ns=int(slow * rng.lognormvariate(0, 0.3) * 10**9),
            status="error" if rng.random() < errors else "ok",
            output_preview=f"answer {number}",
            output_tokens=100,
            **fields,
        )
        rows.append(row)
        value = min(1.0, max(0.0, rng.gauss(quality, 0.1)))
        verdicts.append(
            scores.Score(
                score_id=row["span_id"],
                trace_id=row["trace_id"],
                span_id=row["span_id"],
                time_ns=start,
                name="groundedness",
                value=value,
                source="evaluator",
            )
        )
    return rows, verdicts


def send(project: Project, *sides: Any) -> None:
    for rows, verdicts in sides:
        store_spans(project.pk, *rows)
        scores.write_scores(project.pk, verdicts, 90)


def call(who: Caller, method: str, path: str, body: Any = None) -> Any:
    return getattr(who.client, method)(f"/api/v1/{path}", body, content_type="application/json")


def make(who: Caller, *names: Any, **fields: Any) -> dict[str, Any]:
    metrics = [name if isinstance(name, dict) else {"name": name} for name in names]
    body = {"name": "release 2", "source": "live", "metrics": metrics} | SIDES | fields
    answer = call(who, "post", "gates", body)
    assert answer.status_code == 201, answer.json()
    return dict(answer.json())


def run(who: Caller, gate: dict[str, Any]) -> dict[str, Any]:
    asked = call(who, "post", f"gates/{gate['id']}/runs")
    assert asked.status_code == 202
    tasks.work_off()
    return dict(who.get(f"gates/{gate['id']}/runs/{asked.json()['id']}").json())


def test_a_release_that_got_worse_fails_with_its_metrics_and_worst_answers(caller: Caller) -> None:  # noqa: F811
    send(caller.project, answers("1", 300, 1), answers("2", 300, 2, quality=0.7, slow=1.5, errors=0.2))
    gate = make(caller, "errors", "latency", "latency_p95", "output_tokens", "score.groundedness")
    done = run(caller, gate)
    assert done["status"] == "done", done["error"]
    result = done["result"]
    assert (result["verdict"], result["exit_code"]) == ("fail", 1)
    verdicts = {name: each["verdict"] for name, each in result["metrics"].items()}
    expected = {"errors": "fail", "latency": "fail", "latency_p95": "fail"}
    expected |= {"output_tokens": "pass", "score.groundedness": "fail"}
    assert verdicts == expected
    latency = result["metrics"]["latency"]
    assert latency["interval"][0] < 0.5 < latency["interval"][1]
    assert latency["details"]["n_candidate"] == 300
    tail = result["metrics"]["latency_p95"]
    assert tail["interval"][0] < 0.5 < tail["interval"][1]
    # Nanoseconds, as the page shows them: 1.64 standard deviations of 0.3 above a second.
    assert tail["details"]["mean_baseline"] == pytest.approx(1.64e9, rel=0.1)
    slowest = [row["value"] for row in result["worst"]["latency_p95"]]
    assert slowest == sorted(slowest, reverse=True)
    worst = result["worst"]["score.groundedness"]
    assert worst == sorted(worst, key=lambda row: row["value"])
    assert len(worst) == 10
    [event] = Event.objects.filter(project=caller.project, kind="gate.failed")
    assert event.body["metrics"] == ["errors", "latency", "latency_p95", "score.groundedness"]
    verdict = caller.get(f"gates/{gate['id']}/verdict").json()
    assert (verdict["verdict"], verdict["exit_code"], verdict["run"]) == ("fail", 1, done["id"])


@pytest.mark.parametrize(
    ("field", "column", "before", "after"),
    [
        ("model", "model", "large", "small"),
        ("prompt_version", "prompt_version", "6", "7"),
        ("quantization", "model_quantization", "F16", "Q4_K_M"),
        ("adapter", "adapter", "support-v3", "support-v4"),
    ],
)
def test_sides_are_models_prompts_quantizations_and_adapters_as_well_as_releases(
    caller: Caller,  # noqa: F811
    field: str,
    column: str,
    before: str,
    after: str,
) -> None:
    send(caller.project, answers("1", 100, 1, **{column: before}), answers("1", 100, 2, slow=2.0, **{column: after}))
    done = run(caller, make(caller, "latency", baseline=f"{field}:{before}", candidate=f"{field}:{after}"))
    assert done["status"] == "done", done["error"]
    assert done["result"]["metrics"]["latency"]["verdict"] == "fail"
    assert done["result"]["metrics"]["latency"]["details"]["n_candidate"] == 100


def test_the_same_system_passes_or_says_how_many_rows_are_missing(caller: Caller) -> None:  # noqa: F811
    send(caller.project, answers("1", 300, 3), answers("2", 300, 4))
    gate = make(caller, {"name": "score.groundedness", "margin": 0.1}, {"name": "latency", "margin": 0.001})
    result = run(caller, gate)["result"]
    assert (result["verdict"], result["exit_code"]) == ("not_enough_data", 2)
    assert result["metrics"]["score.groundedness"]["verdict"] == "pass"
    assert result["metrics"]["latency"]["n_needed"] > 600
    assert not Event.objects.filter(project=caller.project).exists()


def test_a_side_without_traffic_is_not_enough_data_and_says_which(caller: Caller) -> None:  # noqa: F811
    send(caller.project, answers("1", 20, 5))
    done = run(caller, make(caller, "latency", "score.groundedness"))
    assert done["result"]["verdict"] == "not_enough_data"
    assert "The candidate has no value of latency" in done["result"]["reason"]


def traced(run: Experiment, **fields: Any) -> None:
    """Give every answer of a run a trace with a model call."""
    now = timezone.now() - timedelta(hours=1)
    rows = []
    for result in run.results.all():
        result.trace_id = new_trace_id()
        rows.append(llm(result.trace_id, 0, start_time=to_ns(now), **fields))
        result.save(update_fields=["trace_id"])
    store_spans(run.project_id, *rows)


def test_rows_that_flipped_between_two_runs_are_listed(caller: Caller, dataset: Dataset) -> None:  # noqa: F811
    put(dataset, *(row(f"row {number:03}") for number in range(100)))
    before = a_run(dataset, [1.0] * 100)
    after = a_run(dataset, [0.0] * 12 + [1.0] * 88)
    Result.objects.filter(experiment=before).update(duration_ms=100.0)
    Result.objects.filter(experiment=after).update(duration_ms=101.0)
    traced(before, cost="0.001", ttft_ns=10**8)
    traced(after, cost="0.002")
    gate = make(
        caller,
        "score.exact_match",
        "latency",
        "cost",
        "ttft",
        "errors",
        source="dataset",
        baseline_run=before.pk,
        candidate_run=after.pk,
    )
    result = run(caller, gate)["result"]
    assert result["verdict"] == "fail"
    assert result["metrics"]["score.exact_match"]["test"] == "mcnemar_mid_p"
    assert result["metrics"]["latency"]["effect"] == pytest.approx(0.01)
    assert {name: row["verdict"] for name, row in result["metrics"].items()} == {
        "score.exact_match": "fail",
        "latency": "pass",
        "cost": "fail",
        "errors": "pass",
    } | ({"errors": result["metrics"]["errors"]["verdict"]})
    assert result["metrics"]["cost"]["effect"] == pytest.approx(1.0)
    assert result["metrics"]["cost"]["n"] == 100
    assert "where answers are streamed" in result["missing"]["ttft"]
    flips = result["flipped"]["score.exact_match"]
    assert (flips["worse"], flips["better"]) == (12, 0)
    assert flips["rows"][0]["key"] == "row 000"


def test_a_percentile_is_not_watched_and_says_so(caller: Caller) -> None:  # noqa: F811
    gate = make(caller, "latency_p95", "errors")
    refused = call(caller, "put", f"gates/{gate['id']}/watch")
    assert refused.status_code == 400
    assert "take latency_p95 out" in refused.json()["errors"][0]["detail"]
    means = {"metrics": [{"name": "errors"}]}
    assert call(caller, "patch", f"gates/{gate['id']}", means).status_code == 200
    assert call(caller, "put", f"gates/{gate['id']}/watch").status_code == 200
    assert call(caller, "patch", f"gates/{gate['id']}", {"metrics": [{"name": "ttft_p95"}]}).status_code == 200
    stopped = caller.get(f"gates/{gate['id']}").json()["watch"]
    assert (stopped["is_on"], "take ttft_p95 out" in stopped["error"]) == (False, True)


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("candidate", {"candidate": "release:1"}),
        ("baseline", {"baseline": "relaese:1"}),
        ("metrics", {"metrics": [{"name": "speed"}]}),
        ("metrics", {"metrics": []}),
        ("alpha", {"alpha": 0.9}),
        ("hours", {"hours": 1e9}),
        ("candidate_run", {"source": "dataset"}),
    ],
)
def test_a_gate_that_cannot_work_is_refused_at_its_field(caller: Caller, field: str, changed: Any) -> None:  # noqa: F811
    body = {"name": "g", "source": "live", "metrics": [{"name": "latency"}]} | SIDES | changed
    answer = call(caller, "post", "gates", body)
    assert answer.status_code == 400
    assert field in {error["field"] for error in answer.json()["errors"]}


def test_nobody_crosses_to_the_gates_of_another_project(
    caller: Caller,  # noqa: F811
    stranger: Caller,  # noqa: F811
    dataset: Dataset,  # noqa: F811
) -> None:
    gate = make(caller, "latency")
    asked = call(caller, "post", f"gates/{gate['id']}/runs").json()["id"]
    for path in (f"gates/{gate['id']}", f"gates/{gate['id']}/runs", f"gates/{gate['id']}/runs/{asked}"):
        assert stranger.get(path).status_code == 404, path
    assert stranger.get("gates").json()["items"] == []
    for method, path in (("patch", ""), ("delete", ""), ("post", "/runs"), ("put", "/watch"), ("delete", "/watch")):
        assert call(stranger, method, f"gates/{gate['id']}{path}", {}).status_code == 404, (method, path)
    put(dataset, row("a"))
    runs = [a_run(dataset, [1.0]).pk for _ in range(2)]
    body = {"name": "x", "source": "dataset", "metrics": [{"name": "errors"}]}
    answer = call(stranger, "post", "gates", body | {"baseline_run": runs[0], "candidate_run": runs[1]})
    assert answer.status_code == 400
    # What another project has and what nobody has is answered alike.
    nobody_has = call(stranger, "post", "gates", body | {"baseline_run": 10**9, "candidate_run": runs[1]})
    assert nobody_has.content == answer.content.replace(f'"{runs[0]}\\"'.encode(), f'"{10**9}\\"'.encode())
    viewer = Person(caller, Membership.Role.VIEWER)
    refused = viewer.client.post(f"/api/v1/gates/{gate['id']}/runs{viewer.query}", content_type="application/json")
    assert refused.status_code == 403


def watched(who: Caller, **fields: Any) -> Watch:
    gate = make(who, {"name": "errors", "margin": 0.05}, **fields)
    assert call(who, "put", f"gates/{gate['id']}/watch").status_code == 200
    return Watch.objects.get(gate=gate["id"])


def test_watched_traffic_fails_once_and_says_so_once(caller: Caller) -> None:  # noqa: F811
    each = watched(caller)
    for step in range(6):
        send(
            caller.project,
            answers("1", 150, step),
            answers("2", 150, 100 + step, errors=0.25),
        )
        watch.follow(Watch.objects.get(pk=each.pk), timezone.now() + timedelta(minutes=1))
        # Spans of the next step are stored after the place that this one read to.
        Watch.objects.filter(pk=each.pk).update(read_to_us=watch.since_epoch(timezone.now()))
    each.refresh_from_db()
    assert each.verdict == "fail"
    assert not each.is_on
    assert each.result["metrics"]["errors"]["interval"][0] > 0
    assert Event.objects.filter(project=caller.project, kind="gate.failed").count() == 1
    said = caller.get(f"gates/{each.gate_id}/verdict").json()
    assert (said["verdict"], said["run"]) == ("fail", None)


def test_a_worker_that_was_killed_or_slow_counts_nothing_twice(caller: Caller) -> None:  # noqa: F811
    each = watched(caller)
    slow = Watch.objects.get(pk=each.pk)
    send(caller.project, answers("1", 60, 1), answers("2", 40, 2))
    later = timezone.now() + timedelta(minutes=1)
    watch.follow(Watch.objects.get(pk=each.pk), later)
    # The slow one read the same place, and a second message asks for what was done.
    watch.follow(slow, later)
    watch.follow(Watch.objects.get(pk=each.pk), later)
    each.refresh_from_db()
    counts = each.result["metrics"]["errors"]["details"]
    assert (counts["n_baseline"], counts["n_candidate"]) == (60, 40)


def test_few_rows_of_a_side_are_waited_for(caller: Caller) -> None:  # noqa: F811
    each = watched(caller)
    send(caller.project, answers("1", 60, 1), answers("2", 3, 2))
    watch.follow(each, timezone.now() + timedelta(minutes=1))
    each.refresh_from_db()
    assert (each.result, each.read_to_us) == ({}, each.started_at_us)
    assert each.looked_at is not None


def test_a_run_whose_worker_was_killed_is_done_by_another_and_the_slow_one_stores_nothing(caller: Caller) -> None:  # noqa: F811
    gate = make(caller, "latency")
    job = Gate.objects.get(pk=gate["id"]).runs.create()
    assert job.claim()
    assert not GateRun.objects.get(pk=job.pk).claim()
    GateRun.objects.filter(pk=job.pk).update(leased_until=timezone.now() - timedelta(seconds=1))
    tasks.work_off()
    assert GateRun.objects.get(pk=job.pk).status == "done"
    with pytest.raises(LostLeaseError):
        job.finish({"verdict": "pass"})
    again = Gate.objects.get(pk=gate["id"]).runs.create(
        status="running", attempts=MAX_ATTEMPTS, leased_until=timezone.now() - timedelta(seconds=1)
    )
    tasks.work_off()
    again.refresh_from_db()
    assert "killed 3 times" in again.error


def test_a_gate_is_made_run_and_read_in_the_browser(caller: Caller) -> None:  # noqa: F811
    send(caller.project, answers("1", 200, 1), answers("2", 200, 2, quality=0.6))
    editor = Person(caller, Membership.Role.EDITOR).client
    slug = caller.project.slug
    page = editor.get(reverse("evaluations-gates", args=[slug]))
    assert b"No gate yet" in page.content
    form = SIDES | {"name": "Release <2>", "source": "live", "hours": "24", "alpha": "0.05"}
    bad = editor.post(
        reverse("evaluations-gates-add", args=[slug]), form | {"metrics": "latency soon", "candidate": "releese:2"}
    )
    assert bad.status_code == 422
    assert b"is no number" in bad.content
    assert b"releese:2" in bad.content
    made = editor.post(reverse("evaluations-gates-add", args=[slug]), form | {"metrics": "latency\nscore.groundedness"})
    gate = Gate.objects.get(project=caller.project)
    assert made["location"] == reverse("evaluations-gate", args=[slug, gate.pk])
    assert b"Waiting for a worker" in editor.get(made["location"]).content
    tasks.work_off()
    page = editor.get(made["location"]).content.decode()
    assert ">fail</span>" in page
    assert '<svg class="interval"' in page
    assert "Worst in score.groundedness" in page
    assert "Release &lt;2&gt;" in page
    editor.post(reverse("evaluations-gate-watch", args=[slug, gate.pk]), {"watch": "start"})
    assert b"watching" in editor.get(made["location"]).content
    viewer = Person(caller, Membership.Role.VIEWER).client
    assert viewer.post(reverse("evaluations-gate-run", args=[slug, gate.pk])).status_code == 403
    assert b"Run now" not in viewer.get(made["location"]).content
    assert Client().get(made["location"]).status_code == 302
