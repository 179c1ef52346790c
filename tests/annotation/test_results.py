"""What becomes of annotations: scores, agreement, rows of a data set, and a rule that is set right."""

from typing import Any

import numpy as np
import pytest

from heliograph.accounts.models import Organization, Project, User
from heliograph.annotation import agreement, calibrating, choosing, corrections, leases, queues, saving, tasks, writing
from heliograph.annotation.calibrating import NotComparableError, Plan
from heliograph.annotation.models import Annotation, Calibration, Queue, Slot
from heliograph.clickhouse import client, errors
from heliograph.datasets.models import Dataset, Row
from heliograph.evals.models import EvaluationRule
from heliograph.evals.online import scorers
from heliograph.query import annotated, scores
from heliograph.query.evaluation import EvaluationSpan
from heliograph.query.language import parse
from tests.annotation.conftest import MakeQueue, Person, filled, invented, stored
from tests.query.rows import HOUR

pytestmark = pytest.mark.usefixtures("store")
GOOD = {"correct": True, "helpfulness": 5}


def say(queue: Queue, person: User, values: dict[str, Any], comment: str = "") -> Annotation:
    slot = leases.claim(queue, person)
    assert slot is not None
    return saving.save(slot, person, values, comment)


def verdict(project: Project, row: dict[str, Any], value: float, label: str = "", **fields: Any) -> scores.Score:
    named: dict[str, Any] = {"name": "groundedness", "source": "evaluator", "evaluator": "groundedness"} | fields
    ids = {"trace_id": row["trace_id"], "span_id": row["span_id"]}
    return scores.Score(
        score_id=scorers.score_id(named["name"], *ids.values()),
        time_ns=row["start_time"],
        value=value,
        label=label,
        **ids,
        **named,
    )


def said_of(project: Project, trace_id: str) -> dict[str, tuple[float | None, str, str, str]]:
    return {
        score.name: (score.value, score.label, score.kind, score.explanation)
        for score in scores.of_trace(project.pk, trace_id)
    }


def test_what_is_said_becomes_scores_and_what_is_said_anew_takes_their_place(
    project: Project, make_queue: MakeQueue, person: Person
) -> None:
    queue = make_queue()
    [row] = stored(project, 1, service="bot", release="1.4")
    filled(queue, [row])
    ann = person("ann")
    first = say(queue, ann, GOOD | {"tone": "rude", "better answer": "Five days."}, "curt")
    assert said_of(project, row["trace_id"]) == {
        "correct": (1.0, "yes", "number", "curt"),
        "helpfulness": (5.0, "", "number", "curt"),
        "tone": (None, "rude", "label", "curt"),
        "better answer": (None, "corrected", "label", "Five days."),
    }
    [score, *_] = scores.of_trace(project.pk, row["trace_id"])
    assert (score.source, score.author, score.service, score.release) == ("human", "ann", "bot", "1.4")
    saving.save(first.slot, ann, {"correct": False, "helpfulness": 2})
    anew = said_of(project, row["trace_id"])
    assert anew["correct"] == (0.0, "no", "number", "")
    assert (anew["tone"][0], anew["tone"][1], anew["tone"][2]) == (None, "withdrawn", "unscored")
    # Whoever writes the first version again, late, changes nothing.
    scores.write_scores(project.pk, [*writing._said(first.slot, first)], 90, as_of=first.created_at)
    assert said_of(project, row["trace_id"]) == anew
    assert [each.values["correct"] for each in Annotation.objects.order_by("version")] == [True, False]


def test_scores_follow_when_the_store_is_back(
    project: Project, make_queue: MakeQueue, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = make_queue()
    [row] = stored(project, 1)
    filled(queue, [row])

    def away(*_: Any, **__: Any) -> None:
        raise errors.UnavailableError("away", 0)

    with monkeypatch.context() as patched:
        patched.setattr("heliograph.clickhouse.client.insert", away)
        say(queue, person("ann"), GOOD)
        tasks.write_waiting_scores()
    assert queues.progress(queue).unwritten == 1
    tasks.write_waiting_scores()
    assert queues.progress(queue).unwritten == 0
    assert said_of(project, row["trace_id"])["correct"][0] == 1.0


def test_scores_that_the_store_refuses_do_not_keep_those_behind_them_waiting(
    project: Project, make_queue: MakeQueue, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = make_queue()
    rows = stored(project, 2)
    filled(queue, rows)
    really, refused = client.insert, rows[0]["trace_id"]

    def refuses(table: str, columns: Any, **options: Any) -> None:
        if refused in columns["trace_id"]:
            raise errors.UserError("a value does not fit its column", 53)
        really(table, columns, **options)

    with monkeypatch.context() as patched:
        patched.setattr("heliograph.clickhouse.client.insert", refuses)
        for _ in rows:
            say(queue, person("ann"), GOOD)
        Slot.objects.update(written_version=0)
        tasks.write_waiting_scores()
    assert queues.progress(queue).unwritten == 1
    assert [bool(said_of(project, row["trace_id"])) for row in rows] == [False, True]


def test_spans_are_chosen_by_a_filter_newest_or_worst_first_or_named(project: Project, make_queue: MakeQueue) -> None:
    rows = stored(project, 4, service="bot") + stored(project, 1, service="other")
    for row, value in zip(rows, (0.9, 0.1, 0.5, 0.7, 0.0), strict=True):
        scores.write_scores(project.pk, [verdict(project, row, value)], 90)
    chosen = parse("service:bot", HOUR)
    newest = annotated.candidates(project.pk, chosen, limit=2)
    assert [each.trace_id for each in newest] == [rows[3]["trace_id"], rows[2]["trace_id"]]
    worst = annotated.candidates(project.pk, chosen, score="groundedness", limit=3)
    assert [(each.trace_id, each.value) for each in worst] == [
        (rows[1]["trace_id"], 0.1),
        (rows[2]["trace_id"], 0.5),
        (rows[3]["trace_id"], 0.7),
    ]
    best = annotated.candidates(project.pk, chosen, score="groundedness", lowest=False, limit=1)
    assert best[0].value == 0.9
    queue = make_queue()
    queues.add(queue, worst)
    assert [item.trace_id for item in queue.items.all()] == [each.trace_id for each in worst]
    shown = annotated.previews(project.pk, [(i.trace_id, i.span_id, i.start_ns) for i in queue.items.all()])
    assert shown[rows[1]["trace_id"], rows[1]["span_id"]].output_preview == "answer 1"
    found, missing = choosing.named(project.pk, [(rows[0]["trace_id"], ""), ("f" * 32, "")])
    assert ([each.span_id for each in found], missing) == ([rows[0]["span_id"]], ["f" * 32])


def test_agreement_is_told_score_by_score_with_the_items_that_divide(make_queue: MakeQueue, person: Person) -> None:
    queue = make_queue(annotators_per_item=3)
    invented(queue, 12)
    people = {name: person(name) for name in ("ann", "bob", "eve")}
    for number in range(12):
        truth = number % 2 == 0
        for name, who in people.items():
            # eve turns two items round, and judges no tone.
            says = truth != (name == "eve" and number < 2)
            values: dict[str, Any] = {"correct": says, "helpfulness": 1 + number % 5}
            say(queue, who, values | ({} if name == "eve" else {"tone": "polite" if truth else "rude"}))
    by_name = {each.name: each for each in agreement.agreement(queue)}
    assert set(by_name) == {"correct", "helpfulness", "tone"}
    assert {name: each.level for name, each in by_name.items()} == {
        "correct": "nominal",
        "helpfulness": "interval",
        "tone": "nominal",
    }
    kappas = {(pair.first, pair.second): pair.kappa.value for pair in by_name["correct"].pairs}
    assert kappas == {
        ("ann", "bob"): pytest.approx(1.0),
        ("ann", "eve"): pytest.approx(2 / 3),
        ("bob", "eve"): pytest.approx(2 / 3),
    }
    alpha = by_name["correct"].alpha
    assert alpha.value is not None
    assert alpha.low is not None
    assert 0.6 < alpha.value < 0.9
    assert alpha.low < alpha.value
    assert by_name["tone"].alpha.value == by_name["helpfulness"].alpha.value == pytest.approx(1.0)
    assert len(by_name["tone"].pairs) == 1
    disputes = agreement.disputed(queue)
    assert [(each.name, each.distance) for each in disputes] == [("correct", 1.0)] * 2
    assert ("eve", "no") in disputes[0].said


def test_corrections_become_rows_of_a_data_set_once(project: Project, make_queue: MakeQueue, person: Person) -> None:
    queue = make_queue(annotators_per_item=2)
    rows = stored(project, 2)
    filled(queue, rows)
    ann, bob = person("ann"), person("bob")
    say(queue, ann, GOOD | {"better answer": "older"})
    say(queue, bob, GOOD | {"better answer": "newer"})
    say(queue, ann, GOOD)
    dataset = Dataset.objects.create(project=project, name="from people")
    found = corrections.corrections(queue)
    assert [each.text for each in found] == ["newer", "older"]
    moved = corrections.to_dataset(found, dataset, ann)
    assert (moved.rows, moved.refused) == (1, ())
    row = Row.objects.select_related("content").get()
    assert (row.content.input, row.content.expected) == ("question 0", "newer")
    assert row.content.metadata["answered"] == "answer 0"
    assert row.content.metadata["annotator"] == "bob"
    assert (row.trace_id, row.span_id) == (rows[0]["trace_id"], rows[0]["span_id"])
    assert Annotation.objects.filter(dataset=dataset).count() == 1
    assert corrections.to_dataset(found, dataset, ann).version is None
    assert Row.objects.count() == 1


def labelled_queue(project: Project, make_queue: MakeQueue, ann: User, count: int = 40) -> Queue:
    """A queue whose labels an evaluator ranks nearly perfectly, and cuts at the wrong place."""
    queue = make_queue()
    rows = stored(project, count)
    filled(queue, rows)
    rng = np.random.default_rng(0)
    written = []
    for number in range(count):
        truth = bool(number % 2)
        value = float(np.clip(0.25 * truth + rng.uniform(0.05, 0.25), 0, 1))
        written.append(verdict(project, rows[number], value, "grounded" if value >= 0.45 else "hallucinated"))
        say(queue, ann, {"correct": truth, "helpfulness": 5 if truth else 1})
    scores.write_scores(project.pk, written, 90)
    return queue


def test_an_evaluator_is_compared_with_labels_and_its_rule_set_right_and_back(
    project: Project, make_queue: MakeQueue, person: Person
) -> None:
    ann = person("ann")
    queue = labelled_queue(project, make_queue, ann)
    rule = EvaluationRule.objects.get_or_create(
        project=project, name="groundedness", defaults={"evaluator": "groundedness", "filter": "kind:llm"}
    )[0]
    found = calibrating.calibrate(queue, Plan("correct", (), "groundedness"), ann)
    result = found.result
    assert (result["n"], result["positives"], result["labelled"], result["unjudged"]) == (40, 20, 40, 0)
    assert result["auroc"]["value"] == pytest.approx(1.0)
    assert 0.2 < result["chosen"]["threshold"]["value"] < 0.35
    assert result["chosen"]["out_of_fold"]["value"] > 0.9
    # Cut at 0.45 it catches few of the right answers.
    assert result["now"]["accuracy"] < 0.75 < result["proposed"]["accuracy"]
    assert result["stated"]["error"] > result["calibrated"]["error"]
    with pytest.raises(NotComparableError, match="Choose the threshold"):
        calibrating.apply(found, ann, threshold=False, curve=False)
    calibrating.apply(found, ann, threshold=True, curve=True)
    rule.refresh_from_db()
    assert rule.arguments == {"threshold": round(result["chosen"]["threshold"]["value"], 4)}
    assert rule.curve["calibration"] == found.pk
    assert (found.is_in_force, found.applied_by, found.before) == (True, ann, {"threshold": None, "curve": None})
    calibrating.revert(found)
    rule.refresh_from_db()
    assert (rule.arguments, rule.curve, found.is_in_force) == ({}, None, False)
    with pytest.raises(NotComparableError, match="not in force"):
        calibrating.revert(found)
    # The number's labels say the same, from 4 on.
    again = calibrating.calibrate(queue, Plan("helpfulness", (4,), "groundedness"), ann)
    assert again.result["chosen"] == result["chosen"]


def test_a_rule_with_a_curve_stores_probabilities_and_keeps_what_its_evaluator_said(
    project: Project, make_queue: MakeQueue, person: Person
) -> None:
    from evaluators.score import Sample, Score

    ann = person("ann")
    queue = labelled_queue(project, make_queue, ann)
    rule = EvaluationRule.objects.get_or_create(
        project=project, name="groundedness", defaults={"evaluator": "groundedness"}
    )[0]
    found = calibrating.calibrate(queue, Plan("correct", (), "groundedness"), ann)
    calibrating.apply(found, ann, threshold=False, curve=True)
    rule.refresh_from_db()

    class Scorer:
        name, arguments, revision = "groundedness", {}, "r"

        def score(self, samples: list[Sample]) -> list[Score]:
            raise NotImplementedError

        __call__ = score

    item = queue.items.order_by("pk")[1]
    span = EvaluationSpan(
        trace_id=item.trace_id,
        span_id=item.span_id,
        start_ns=item.start_ns,
        received_us=0,
        **dict.fromkeys(
            ("service", "environment", "release", "model", "session_id", "input", "output", "question", "answer"), ""
        ),
        documents=(),
    )
    stored_row = scorers.row_of(rule, span, Score(0.4, "hallucinated", ""), Scorer())
    assert stored_row.value is not None
    assert stored_row.value > 0.8
    assert (stored_row.label, stored_row.evaluator_revision) == ("hallucinated", f"r~{found.pk}")
    scores.write_scores(project.pk, [stored_row], 90)
    # The next calibration reads the evaluator's own value again, not the probability.
    key = (item.trace_id, item.span_id, item.start_ns)
    assert annotated.verdicts(project.pk, "groundedness", [key])[key[:2]].value == pytest.approx(0.4)


def test_labels_that_say_too_little_or_nothing_are_refused_with_the_numbers(
    project: Project, make_queue: MakeQueue, person: Person
) -> None:
    ann = person("ann")
    queue = labelled_queue(project, make_queue, ann, count=12)
    for plan, said in (
        (Plan("correct", (), "groundedness"), "12 labelled answers 12 have a score groundedness"),
        (Plan("correct", (), "unknown"), "0 have a score unknown"),
        (Plan("better answer", (), "groundedness"), "no score 'better answer'"),
        (Plan("tone", (), "groundedness"), "mean yes"),
        (Plan("tone", ("polite", "neutral", "rude"), "groundedness"), "not all of them"),
        (Plan("helpfulness", (), "groundedness"), "from which number"),
        (Plan("correct", (), "groundedness", criterion="luck"), "criterion"),  # type: ignore[arg-type]  # tried
    ):
        with pytest.raises(NotComparableError, match=said):
            calibrating.calibrate(queue, plan, ann)
    assert not Calibration.objects.exists()
    # Two who contradict each other make no label.
    queue.annotators_per_item = 2
    queue.save()
    queues.change_places(queue)
    bob = person("bob")
    say(queue, bob, {"correct": True, "helpfulness": 1})
    assert calibrating.labels(queue, "correct", ()).tied == 1


def test_another_project_s_scores_and_spans_say_nothing(
    project: Project, make_queue: MakeQueue, person: Person
) -> None:
    ann = person("ann")
    queue = labelled_queue(project, make_queue, ann, count=4)
    item = queue.items.first()
    assert item is not None
    other = Project.objects.create(
        id=project.pk + 2**20, organization=Organization.objects.create(name="Globex"), name="G", slug="g"
    )
    key = (item.trace_id, item.span_id, item.start_ns)
    assert annotated.verdicts(project.pk, "groundedness", [key])
    assert annotated.verdicts(other.pk, "groundedness", [key]) == {}
    assert annotated.previews(other.pk, [key]) == {}
    assert annotated.candidates(other.pk, parse("", HOUR)) == []
    assert choosing.named(other.pk, [(item.trace_id, item.span_id)])[0] == []
    dataset = Dataset.objects.create(project=other, name="theirs")
    queue.dataset = dataset
    assert "no such data set" in queues.check(queue)["dataset"]
