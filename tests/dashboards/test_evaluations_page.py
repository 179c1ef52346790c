"""Checks asked for in the browser, and what the page shows of them."""

import html
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from heliograph.accounts.models import Organization, Project
from heliograph.dashboards import evaluations
from heliograph.evals.models import Run
from heliograph.gates.models import Finding, Look, Monitor
from heliograph.query.scores import Score, write_scores
from tests.dashboards.conftest import IN_HOUR
from tests.query.rows import HOUR, at, llm, new_trace_id, plain, store_spans

pytestmark = pytest.mark.usefixtures("store")
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


def test_a_release_and_a_model_of_the_scores_lead_to_their_traces_and_to_the_model(
    reader: Client, project: Project
) -> None:
    rows = [llm(new_trace_id(), at, release=str(at % 3), model="gpt-4o") for at in range(9)]
    store_spans(project.pk, *rows, llm(new_trace_id(), 9, release="1", model="gpt-4o"))
    judged = {"name": "groundedness", "source": "evaluator", "value": 0.5}
    given = [
        Score(score_id=str(number), time_ns=at(1), trace_id=row["trace_id"], span_id=row["span_id"], **judged)
        for number, row in enumerate(rows)
    ]
    write_scores(project.pk, given, 90)
    page = show(reader, project).content.decode()
    [of_release] = re.findall(r'href="([^"]*/traces\?release=1&[^"]*)"', page)
    listed = reader.get(html.unescape(of_release)).context["listed"]
    # The tenth has no score.
    assert {row.trace.trace_id for row in listed} == {row["trace_id"] for row in rows if row["release"] == "1"}
    [of_model] = re.findall(r'href="([^"]*/models/one\?model=gpt-4o&[^"]*)"', page)
    assert reader.get(html.unescape(of_model)).context["model"] == "gpt-4o"


def test_another_score_has_its_spread_its_order_and_what_people_say_of_it(reader: Client, project: Project) -> None:
    rows = [llm(new_trace_id(), number) for number in range(12)]
    store_spans(project.pk, *rows)

    def verdicts(source: str, name: str, value: Any) -> list[Score]:
        return [
            Score(score_id=source, time_ns=at(1), value=value(number), name=name, source=source, **judged(row))  # type: ignore[arg-type]  # two literals
            for number, row in enumerate(rows)
        ]

    def judged(row: dict[str, Any]) -> dict[str, str]:
        return {"trace_id": row["trace_id"], "span_id": row["span_id"]}

    write_scores(project.pk, verdicts("evaluator", "tone", lambda number: number / 12), 90)
    write_scores(project.pk, verdicts("human", "tone", lambda number: float(number >= 6)), 90)
    write_scores(project.pk, verdicts("evaluator", "length", lambda number: 10.0 * number), 90)
    address = f"{reverse('evaluations', args=[project.slug])}?{IN_HOUR}"
    shown = reader.get(f"{address}&score=tone&worst=highest")
    [exact] = plain(project.pk, "SELECT countIf(name = 'tone') AS n FROM scores WHERE {mine}")
    assert sum(bar.bin.count for bar in shown.context["bars"]) == exact["n"] == 24
    assert b"score.tone%3E%3D0%20score.tone%3C0.05" in shown.content
    assert shown.context["worst"][0].score.value == 1.0
    assert shown.context["labelled"] == 12
    # Under a half none is good and above it all are: the distance is the mean of 0..5/12 and of 1 less 6..11/12.
    expected = (sum(range(6)) + sum(range(1, 7))) / 12 / 12
    assert shown.context["calibration_error"] == pytest.approx(expected)
    # A score beyond 0 to 1 has no share under a half.
    other = reader.get(f"{address}&score=length")
    assert (other.context["bound"], len(other.context["charts"])) == (None, 1)
    assert [bar.bin.count for bar in other.context["bars"] if bar.bin.count] == [1] * 12
    assert b"Nobody labelled a judged answer" in other.content


def test_what_a_monitor_found_stands_there_with_its_clusters_and_leads_to_its_look(
    reader: Client, project: Project
) -> None:
    monitor = Monitor.objects.create(project=project, name="Daily", signals=["input"])
    look = Look.objects.create(monitor=monitor, status=Look.Status.DONE, until=HOUR.end)
    cluster = {"direction": "grew", "terms": ["<b>refund"], "share_reference": 0.1, "share_current": 0.4}
    found = Finding.objects.create(
        project=project, monitor=monitor, look=look, signal="input", effect=0.4, q_value=0.001
    )
    Finding.objects.filter(pk=found.pk).update(details={"clusters": [cluster]}, created_at=HOUR.start)
    page = show(reader, project).content.decode()
    assert f"?look={look.pk}#finding-{found.pk}" in page
    assert "&lt;b&gt;refund" in page
    assert "<b>refund" not in page.replace("<b>&lt;b&gt;refund", "")


def test_a_comparison_is_queued_with_what_was_asked(reader: Client, project: Project, woken: list[bool]) -> None:
    answer = ask(reader, project, "regression", REGRESSION)
    [run] = Run.objects.filter(project=project)
    assert answer["location"] == reverse("evaluations-run", args=[project.slug, run.pk])
    assert (run.kind, run.status, woken) == (Run.Kind.REGRESSION, Run.Status.QUEUED, [True])
    assert run.arguments == {"service": "shop", "baseline": "1", "candidate": "2", "margin": 0.02}


@pytest.mark.parametrize(
    ("kind", "form", "changed"),
    [
        ("regression", REGRESSION, {"margin": "nan"}),
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


def test_a_full_queue_takes_no_more(reader: Client, project: Project) -> None:
    Run.objects.bulk_create(Run(project=project, kind=Run.Kind.REGRESSION) for _ in range(evaluations.MAX_WAITING))
    answer = reader.post(reverse("evaluations-regression", args=[project.slug]), REGRESSION, follow=True)
    assert b"checks are waiting already" in answer.content
    assert Run.objects.count() == evaluations.MAX_WAITING


DONE = {"p_value": 0.01, "effect": 0.4, "interval": [0.1, 0.6], "test": "mmd"}
VERDICTS = [
    ("regression", "done", DONE | {"verdict": "pass", "n": 50}, "not worse"),
    ("regression", "done", DONE | {"verdict": "fail", "n": 50, "minimum_detectable_effect": 0.03}, "worse"),
    ("regression", "done", {"verdict": "not_enough_data", "reason": "7 pairs; 20 are needed."}, "not enough data"),
    ("regression", "failed", {}, "could not run"),
    ("regression", "queued", {}, "queued"),
    ("regression", "running", {}, "running"),
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
        run = Run.objects.create(project=project, kind=Run.Kind.REGRESSION, status=status)
        page = reader.get(reverse("evaluations-run", args=[project.slug, run.pk]), headers={"HX-Request": "true"})
        assert (b"hx-trigger" in page.content) == asks
        assert b"<html" not in page.content


def test_a_failed_run_says_why_and_the_reason_is_text(reader: Client, project: Project) -> None:
    hostile = "<script>alert(1)</script>"
    run = Run.objects.create(project=project, kind=Run.Kind.REGRESSION, status=Run.Status.FAILED, error=hostile)
    page = reader.get(reverse("evaluations-run", args=[project.slug, run.pk])).content.decode()
    assert "&lt;script&gt;alert(1)" in page
    assert hostile not in page


def test_the_run_of_another_project_does_not_exist(reader: Client, project: Project) -> None:
    other = Project.create(Organization.objects.create(name="Globex"), "Search")
    run = Run.objects.create(project=other, kind=Run.Kind.REGRESSION)
    assert reader.get(reverse("evaluations-run", args=[project.slug, run.pk])).status_code == 404


def test_a_viewer_sees_that_checks_are_not_theirs_to_ask(signed_in: Any, project: Project) -> None:
    page = show(signed_in("viewer"), project).content.decode()
    assert page.count("Only editors, admins and owners may ask for checks") == 1
