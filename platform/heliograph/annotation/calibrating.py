"""Setting an evaluator right by labels: comparing, and putting a threshold and a curve into its rule by a click.

- `labels(queue, name, positive) -> Labels`: one yes or no an item
- `calibrate(queue, plan, author) -> Calibration`: raises NotComparableError
- `apply(calibration, person)`, `revert(calibration)`
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from evaluators.calibration.report import Report, judge_scores
from evaluators.calibration.threshold import CRITERIA, MIN_LABELS, Criterion
from evaluators.registry import EVALUATORS
from evaluators.signatures import argument_schema
from heliograph.accounts.models import User
from heliograph.annotation.answers import by_item, latest
from heliograph.annotation.models import Calibration, Item, Queue
from heliograph.annotation.rubric import Dimension, Kind
from heliograph.evals.models import EvaluationRule
from heliograph.query.annotated import EvaluatorVerdict, verdicts

# Of a queue: older ones are of fewer labels.
MAX_KEPT = 100


class NotComparableError(ValueError):
    """The labels say too little, or speak of something else; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is compared: a score of the rubric, what of it means yes, an evaluator's score, and how a cut is chosen.

    `positive` is as in `Calibration`. `higher_is_positive`: high scores of the evaluator mean yes.
    """

    dimension: str
    positive: tuple[Any, ...]
    score: str
    higher_is_positive: bool = True
    criterion: Criterion = "balanced_accuracy"


@dataclass(frozen=True, slots=True)
class Labels:
    """Items with what most annotators say, yes or no; `tied` items have as many of each and are left out."""

    labelled: tuple[tuple[Item, bool], ...]
    tied: int


def labels(queue: Queue, name: str, positive: Sequence[Any]) -> Labels:
    """Return one label an item. Raises NotComparableError for a score that has no yes and no."""
    each = next((each for each in queue.dimensions if each.name == name), None)
    if each is None or each.kind == Kind.CORRECTION:
        raise NotComparableError(f"The queue asks for no score {name!r}.")
    means = _meaning(each, positive)
    found, tied = [], 0
    for answer in by_item(latest(queue)):
        votes = Counter(
            means(annotation.values[name]) for annotation in answer.annotations if name in annotation.values
        )
        if not votes:
            continue
        if votes[True] == votes[False]:
            tied += 1
        else:
            found.append((answer.item, votes[True] > votes[False]))
    return Labels(tuple(found), tied)


def calibrate(queue: Queue, plan: Plan, author: User | None) -> Calibration:
    """Compare the scores of an evaluator with the labels of a queue, and keep what came out. Raises StoreError."""
    if plan.criterion not in CRITERIA:
        raise NotComparableError(f"The criterion is one of {', '.join(CRITERIA)}.")
    chosen = labels(queue, plan.dimension, plan.positive)
    spans = [(item.trace_id, item.span_id, item.start_ns) for item, _ in chosen.labelled]
    judged = verdicts(queue.project_id, plan.score, spans) if spans else {}
    both = [
        (truth, judged[item.trace_id, item.span_id])
        for item, truth in chosen.labelled
        if (item.trace_id, item.span_id) in judged
    ]
    yes, no = sum(truth for truth, _ in both), sum(not truth for truth, _ in both)
    if min(yes, no) < MIN_LABELS:
        raise NotComparableError(
            f"Of {len(chosen.labelled)} labelled answers {len(both)} have a score {plan.score} of an evaluator, "
            f"{yes} with yes and {no} with no; {MIN_LABELS} of each are needed."
        )
    report = judge_scores(
        [truth for truth, _ in both],
        [verdict.value for _, verdict in both],
        criterion=plan.criterion,
        higher_is_positive=plan.higher_is_positive,
        said=_said_today([verdict for _, verdict in both], plan.higher_is_positive),
    )
    with transaction.atomic():
        calibration = Calibration.objects.create(
            project=queue.project,
            queue=queue,
            dimension=plan.dimension,
            positive=list(plan.positive),
            score=plan.score,
            higher_is_positive=plan.higher_is_positive,
            criterion=plan.criterion,
            result=_as_json(report, chosen, len(chosen.labelled) - len(both)),
            created_by=author,
            rule=EvaluationRule.objects.filter(project=queue.project_id, name=plan.score).first(),
        )
        old = queue.calibrations.filter(applied_at=None).values_list("pk", flat=True)[MAX_KEPT:]
        Calibration.objects.filter(pk__in=list(old)).delete()
    return calibration


def takes_threshold(rule: EvaluationRule) -> bool:
    """Whether the evaluator of a rule has a threshold to set."""
    return rule.evaluator in EVALUATORS and "threshold" in argument_schema(rule.evaluator)["properties"]


def apply(calibration: Calibration, person: User | None, *, threshold: bool, curve: bool) -> None:
    """Put the threshold, the curve or both into the evaluator's rule, for what is judged from now on.

    Raises NotComparableError where the rule is gone, takes none, or refuses it.
    """
    with transaction.atomic():
        rule = _rule(calibration)
        if not threshold and not curve:
            raise NotComparableError("Choose the threshold, the probabilities, or both.")
        if threshold and not takes_threshold(rule):
            raise NotComparableError(f"The evaluator {rule.evaluator} has no threshold to set.")
        before = {"threshold": rule.arguments.get("threshold"), "curve": rule.curve}
        put: dict[str, Any] = {}
        if threshold:
            put["threshold"] = round(calibration.result["chosen"]["threshold"]["value"], 4)
        if curve:
            put["curve"] = {**calibration.result["curve"], "calibration": calibration.pk}
        _put(rule, put)
        Calibration.objects.filter(rule=rule, reverted_at=None).exclude(applied_at=None).update(
            reverted_at=timezone.now()
        )
        calibration.applied, calibration.before = put, before
        calibration.applied_by, calibration.applied_at, calibration.reverted_at = person, timezone.now(), None
        calibration.save()


def revert(calibration: Calibration) -> None:
    """Put back what stood in the rule before. Raises NotComparableError where that cannot be."""
    with transaction.atomic():
        if not calibration.is_in_force:
            raise NotComparableError("It is not in force; the rule holds something else by now.")
        before, put = calibration.before or {}, calibration.applied or {}
        _put(_rule(calibration), {name: before.get(name) for name in put})
        calibration.reverted_at = timezone.now()
        calibration.save(update_fields=["reverted_at"])


def _rule(calibration: Calibration) -> EvaluationRule:
    rule = EvaluationRule.objects.select_for_update().filter(pk=calibration.rule_id or 0).first()
    if rule is None:
        raise NotComparableError(f"No evaluation rule gives the score {calibration.score}: there is nothing to set.")
    return rule


def _put(rule: EvaluationRule, values: Mapping[str, Any]) -> None:
    if "threshold" in values:
        arguments = {name: value for name, value in rule.arguments.items() if name != "threshold"}
        if values["threshold"] is not None:
            arguments["threshold"] = values["threshold"]
        rule.arguments = arguments
    if "curve" in values:
        rule.curve = values["curve"]
    try:
        rule.full_clean()
    except ValidationError as error:
        raise NotComparableError(f"The rule refuses it: {' '.join(error.messages)}") from error
    rule.save()


def _meaning(each: Dimension, positive: Sequence[Any]) -> Any:
    if each.kind == Kind.BOOLEAN:
        return bool
    if each.kind == Kind.CATEGORY:
        chosen = set(positive)
        if not chosen or not chosen < set(each.options):
            raise NotComparableError(f"Choose which of {', '.join(each.options)} mean yes, but not all of them.")
        return lambda value: value in chosen
    if len(positive) != 1 or isinstance(positive[0], bool) or not isinstance(positive[0], (int, float)):
        raise NotComparableError(f"Say from which number on {each.name} means yes.")
    cut = float(positive[0])
    return lambda value: value >= cut


def _said_today(judged: Sequence[EvaluatorVerdict], higher_is_positive: bool) -> list[bool] | None:
    """What the evaluator says by its own labels, where it has two: the one of the higher values is the high one."""
    values: dict[str, list[float]] = {}
    for verdict in judged:
        values.setdefault(verdict.label, []).append(verdict.value)
    if len(values) != 2 or "" in values:
        return None
    high = max(values, key=lambda label: float(np.mean(values[label])))
    return [(verdict.label == high) == higher_is_positive for verdict in judged]


def _as_json(report: Report, chosen: Labels, unjudged: int) -> dict[str, Any]:
    return asdict(report) | {"labelled": len(chosen.labelled), "tied": chosen.tied, "unjudged": unjudged}
