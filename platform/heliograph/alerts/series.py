"""A rule's values and what its condition says of them: the same for an evaluation, a preview and a chart."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings

from heliograph.alerts import drift
from heliograph.alerts.conditions import Anomaly, Condition, Judgment
from heliograph.alerts.models import Rule
from heliograph.query import windows
from heliograph.query.measures import measure_of
from heliograph.query.windows import Question, Values

Labels = tuple[str, ...]
# How much later than by ALERT_SETTLE_SECONDS a window is settled: a verdict comes some minutes after its answer.
_LATER = {"scores": timedelta(minutes=5)}


@dataclass(frozen=True)
class Plan:
    """A rule and the ends of windows that it is to be judged at."""

    rule: Rule
    ends: tuple[int, ...]
    condition: Condition = field(init=False)
    questions: Mapping[int, Question] = field(init=False)

    def __post_init__(self) -> None:
        # Made once: a rule that cannot be asked says so here (InvalidFilterError, InvalidConditionError).
        condition = self.rule.terms
        object.__setattr__(self, "condition", condition)
        lengths = {window for window, _ in condition.needs(self.rule.window)}
        object.__setattr__(self, "questions", {window: self.rule.question(window) for window in lengths})

    def wanted(self) -> dict[Question, set[int]]:
        """Return the ends at which each question is asked."""
        found: defaultdict[Question, set[int]] = defaultdict(set)
        for window, offset in self.condition.needs(self.rule.window):
            found[self.questions[window]].update(end + offset for end in self.ends)
        return found

    def judged(self, answers: Mapping[Question, Values], also: Collection[Labels] = ()) -> dict[Labels, list[Judgment]]:
        """Return the judgments of every group at every end; `also` names groups that may have no value any more."""
        groups = {labels for question in self.questions.values() for labels in answers.get(question, {})}
        if not self.rule.by:
            groups.add(())
        # In the order of their labels: a message lists them alike each time.
        ordered = sorted({*groups, *also})
        # Of what is counted, a group that is known and gone had none: a GPU without a further error has come to rest.
        empty = measure_of(self.rule.measure).empty
        return {
            labels: [self._judge(answers, labels, end, empty if labels in also else None) for end in self.ends]
            for labels in ordered
        }

    def _judge(self, answers: Mapping[Question, Values], labels: Labels, end: int, empty: float | None) -> Judgment:
        def read(window: int, offset: int) -> float | None:
            return answers[self.questions[window]].get(labels, {}).get(end + offset, empty)

        return self.condition.judge(self.rule.window, read)


def ask(project_id: int, plans: Sequence[Plan]) -> dict[Question, Values]:
    """Return the answers to all that the plans need, from as few queries as give them.

    Raises InvalidFilterError, StoreError.
    """
    wanted: defaultdict[Question, set[int]] = defaultdict(set)
    for plan in plans:
        for question, ends in plan.wanted().items():
            wanted[question] |= ends
    of_checks = {question: ends for question, ends in wanted.items() if question.what.source == "drift"}
    of_store = {question: ends for question, ends in wanted.items() if question not in of_checks}
    return windows.values(project_id, of_store) | drift.values(project_id, of_checks)


def step_of(rule: Rule) -> int:
    """Return how many minutes lie between two evaluations: a tenth of the window or so, on a grid of the clock."""
    window = rule.window
    step = 1 if window <= 10 else 5 if window <= 60 else 15 if window <= 360 else 60
    return max(step, 5) if isinstance(rule.terms, Anomaly) else step


def settled(rule: Rule, now: datetime) -> int:
    """Return the last end of a window whose data has come, on the rule's grid; minutes since the epoch."""
    wait = timedelta(seconds=settings.ALERT_SETTLE_SECONDS) + _LATER.get(measure_of(rule.measure).source, timedelta())
    step = step_of(rule)
    return int((now - wait).timestamp()) // 60 // step * step
