"""Checks asked for in the browser, and what the page shows of them."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from heliograph.accounts.models import Organization, Project
from heliograph.dashboards import evaluations
from heliograph.evals.models import Run
from heliograph.query.scores import Score, write_scores
from tests.dashboards.conftest import IN_HOUR
from tests.query.rows import at, llm, new_trace_id, plain, store_spans

pytestmark = pytest.mark.usefixtures("store")
DRIFT = {"service": "", "side": "input", "current_hours": "24", "reference_hours": "168"}
REGRESSION = {"service": "shop", "baseline": "1", "candidate": "2", "margin": "0.02"}


@pytest.fixture(autouse=True)
def woken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """No worker listens here; what would wake it is counted."""
    calls: list[bool] = []
    monkeypatch.setattr(evaluations, "wake_worker", lambda: calls.append(True))
    return calls


def show(reader: Client, project: Project) -> Any:
    return reader.get(f"{reverse('evaluations', args=[project.slug])}?{IN_HOUR}")


def ask(reader: Client, project: Project, kind: str, form: dict[str, str]) -> Any:
    return reader.post(reverse(f"evaluations-{kind}", args=[project.slug]), form)


def test_an_empty_page_says_what_would_be_here(reader: Client, project: Project) -> None:
    page = show(reader, project).content
    assert b"No check has run yet." in page
    assert b"Answers are judged where" in page


def test_the_figures_are_those_of_the_scores(reader: Client, project: Project) -> None:
    rows = [llm(new_trace_id(), number, release="1", output_preview=f"answer {number}") for number in range(20)]
    store_spans(project.pk, *rows)
    given = [
        Score(
            score_id="a",
            time_ns=at(1),
            value=None if number == 19 else number / 20,
            trace_id=row["trace_id"],
            span_id=row["span_id"],
            name="groundedness",
            source="evaluator",
        )
        for number, row in enumerate(rows)
    ]
    write_scores(project.pk, given, 90)
    context = show(reader, project).context
    [exact] = plain(
        project.pk, "SELECT count(value) AS n, avg(value) AS mean, countIf(value < 0.5) AS low FROM scores WHERE {mine}"
    )
    total = context["total"]
    assert (total.scored, total.unscored) == (exact["n"], 1)
    assert total.mean == pytest.approx(exact["mean"])
    assert total.share_below == pytest.approx(exact["low"] / exact["n"])
    assert [judged.score.value for judged in context["worst"]] == [number / 20 for number in range(10)]
    assert [group.value for group in context["releases"]] == ["1"]


def test_a_drift_check_is_queued_with_what_was_asked(reader: Client, project: Project, woken: list[bool]) -> None:
    answer = ask(reader, project, "drift", DRIFT | {"service": "shop"})
    [run] = Run.objects.filter(project=project)
    assert answer["location"] == reverse("evaluations-run", args=[project.slug, run.pk])
    assert run.arguments == {"service": "shop", "side": "input", "current_hours": 24, "reference_hours": 168}
    assert (run.kind, run.status, woken) == (Run.Kind.DRIFT, Run.Status.QUEUED, [True])


def test_a_comparison_is_queued_with_what_was_asked(reader: Client, project: Project) -> None:
    ask(reader, project, "regression", REGRESSION)
    [run] = Run.objects.filter(project=project)
    assert run.arguments == {"service": "shop", "baseline": "1", "candidate": "2", "margin": 0.02}


@pytest.mark.parametrize(
    ("kind", "form", "changed"),
    [
        ("drift", DRIFT, {"current_hours": "soon"}),
        ("drift", DRIFT, {"current_hours": "-3"}),
        ("drift", DRIFT, {"reference_hours": "1e9"}),
        ("drift", DRIFT, {"reference_hours": "nan"}),
        ("regression", REGRESSION, {"margin": "2"}),
        ("regression", REGRESSION, {"margin": "little"}),
    ],
)
def test_a_bad_number_is_refused_at_its_field_and_kept(
    reader: Client, project: Project, kind: str, form: dict[str, str], changed: dict[str, str]
) -> None:
    answer = ask(reader, project, kind, form | changed)
    [(name, value)] = changed.items()
    assert answer.status_code == 422
    assert name in answer.context[f"{kind}_form"].errors
    page = answer.content.decode()
    assert f'name="{name}" value="{value}"' in page
    assert "errorlist" in page
    assert not Run.objects.exists()


def test_a_release_is_not_compared_with_itself(reader: Client, project: Project) -> None:
    answer = ask(reader, project, "regression", REGRESSION | {"candidate": "1"})
    assert answer.status_code == 422
    assert b"Choose another release" in answer.content


def test_a_side_that_does_not_exist_is_refused(reader: Client, project: Project) -> None:
    assert ask(reader, project, "drift", DRIFT | {"side": "<script>"}).status_code == 422


def test_a_full_queue_takes_no_more(reader: Client, project: Project) -> None:
    Run.objects.bulk_create(Run(project=project, kind=Run.Kind.DRIFT) for _ in range(evaluations.MAX_WAITING))
    answer = reader.post(reverse("evaluations-drift", args=[project.slug]), DRIFT, follow=True)
    assert b"checks are waiting already" in answer.content
    assert Run.objects.count() == evaluations.MAX_WAITING


DONE = {"p_value": 0.01, "effect": 0.4, "interval": [0.1, 0.6], "test": "mmd"}
VERDICTS = [
    ("regression", "done", DONE | {"verdict": "pass", "n": 50}, "not worse"),
    ("regression", "done", DONE | {"verdict": "fail", "n": 50, "minimum_detectable_effect": 0.03}, "worse"),
    ("regression", "done", {"verdict": "not_enough_data", "reason": "7 pairs; 20 are needed."}, "not enough data"),
    ("drift", "done", DONE | {"verdict": "drift", "n": {"reference": 90, "current": 80}}, "drift"),
    ("drift", "done", DONE | {"verdict": "no_drift", "n": {"reference": 90, "current": 80}}, "no drift"),
    ("drift", "failed", {}, "could not run"),
    ("drift", "queued", {}, "queued"),
    ("drift", "running", {}, "running"),
]


@pytest.mark.parametrize(("kind", "status", "result", "word"), VERDICTS)
def test_each_verdict_is_a_word_on_the_list_and_on_its_page(
    reader: Client, project: Project, kind: str, status: str, result: dict[str, Any], word: str
) -> None:
    run = Run.objects.create(project=project, kind=kind, status=status, result=result, error="no model")
    for answer in (show(reader, project), reader.get(reverse("evaluations-run", args=[project.slug, run.pk]))):
        assert f">{word}</span>" in answer.content.decode()


def test_only_a_run_under_way_asks_again(reader: Client, project: Project) -> None:
    for status, asks in (("queued", True), ("running", True), ("done", False), ("failed", False)):
        run = Run.objects.create(project=project, kind=Run.Kind.DRIFT, status=status)
        page = reader.get(reverse("evaluations-run", args=[project.slug, run.pk]), headers={"HX-Request": "true"})
        assert (b"hx-trigger" in page.content) == asks
        assert b"<html" not in page.content


def test_a_failed_run_says_why_and_the_reason_is_text(reader: Client, project: Project) -> None:
    hostile = "<script>alert(1)</script>"
    run = Run.objects.create(project=project, kind=Run.Kind.DRIFT, status=Run.Status.FAILED, error=hostile)
    page = reader.get(reverse("evaluations-run", args=[project.slug, run.pk])).content.decode()
    assert "&lt;script&gt;alert(1)" in page
    assert hostile not in page


def test_what_shifted_leads_to_its_traces_and_is_text(reader: Client, project: Project) -> None:
    example = {"text": "<script>alert(1)</script>", "trace_id": "a" * 32, "span_id": "b" * 16}
    cluster = {"direction": "grew", "terms": ["<b>refund"], "share_reference": 0.1, "share_current": 0.4}
    result = {"verdict": "drift", "clusters": [cluster | {"q_value": 0.001, "examples": [example]}]}
    run = Run.objects.create(project=project, kind=Run.Kind.DRIFT, status=Run.Status.DONE, result=result)
    page = reader.get(reverse("evaluations-run", args=[project.slug, run.pk])).content.decode()
    assert reverse("trace", args=[project.slug, "a" * 32]) in page
    assert "<script>alert" not in page
    assert "<b>refund" not in page


def test_the_run_of_another_project_does_not_exist(reader: Client, project: Project) -> None:
    other = Project.create(Organization.objects.create(name="Globex"), "Search")
    run = Run.objects.create(project=other, kind=Run.Kind.DRIFT)
    assert reader.get(reverse("evaluations-run", args=[project.slug, run.pk])).status_code == 404


def test_a_viewer_sees_that_checks_are_not_theirs_to_ask(signed_in: Any, project: Project) -> None:
    page = show(signed_in("viewer"), project).content.decode()
    assert page.count("Only owners and editors may ask for checks") == 2
