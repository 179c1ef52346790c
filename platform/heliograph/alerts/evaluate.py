"""An evaluation: judge all rules of a project at the windows that have settled since, and write down what changed.

What was judged up to where is stored with what it led to, in one transaction: a worker that is killed leaves nothing
half done, and of two workers only the first one's verdicts count.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from django.db import transaction

from heliograph.accounts.models import Project
from heliograph.alerts.conditions import InvalidConditionError, Judgment
from heliograph.alerts.models import Alert, Rule, Transition
from heliograph.alerts.series import Labels, Plan, ask, settled, step_of
from heliograph.alerts.state import Standing, State, Verdict, step
from heliograph.query.filters import InvalidFilterError

logger = logging.getLogger(__name__)

# After an outage of ours, what fired and ended more than an hour ago wakes nobody any more.
CATCH_UP_MINUTES = 60
Judged = tuple[Plan, dict[Labels, list[Judgment]]]


def evaluate(project: Project, now: datetime) -> int:
    """Judge the project's rules; return how many were. Raises StoreError, with everything left for the next time."""
    plans = list(_due(Rule.objects.filter(project=project, is_paused=False), now))
    if not plans:
        return 0
    judged = list(_judge(project.pk, plans))
    with transaction.atomic():
        _store(judged)
    return len(judged)


def _due(rules: Iterable[Rule], now: datetime) -> Iterable[Plan]:
    for rule in rules:
        try:
            last, grid = settled(rule, now), step_of(rule)
            first = max(rule.checked_until, last - CATCH_UP_MINUTES) if rule.checked_until else last - grid
            ends = tuple(range((first // grid + 1) * grid, last + 1, grid))
            if ends:
                yield Plan(rule, ends)
        except (InvalidFilterError, InvalidConditionError) as error:
            _say(rule, str(error))


def _judge(project_id: int, plans: Sequence[Plan]) -> Iterable[Judged]:
    """Judge all together; where one asks for too much, halves of them down to that one, so that it harms no other."""
    known = _known_groups(plans)
    try:
        answers = ask(project_id, plans)
    except InvalidFilterError as error:
        if len(plans) == 1:
            _say(plans[0].rule, str(error))
            return
        yield from _judge(project_id, plans[: len(plans) // 2])
        yield from _judge(project_id, plans[len(plans) // 2 :])
        return
    for plan in plans:
        yield plan, plan.judged(answers, known[plan.rule.pk])


def _known_groups(plans: Sequence[Plan]) -> dict[int, list[Labels]]:
    """Return the groups that stand anywhere but at ok: they are judged also where they have no value any more."""
    by = {plan.rule.pk: plan.rule.by for plan in plans}
    found: defaultdict[int, list[Labels]] = defaultdict(list)
    for alert in Alert.objects.filter(rule__in=by).exclude(state=State.OK):
        if set(alert.labels) == set(by[alert.rule_id]):
            found[alert.rule_id].append(tuple(alert.labels[name] for name in by[alert.rule_id]))
    return found


def _store(judged: Sequence[Judged]) -> None:
    rules = {plan.rule.pk: plan.rule for plan, _ in judged}
    # Messages that another worker writes refer to the rules meanwhile; with a whole lock each would wait for the other.
    now = Rule.objects.select_for_update(no_key=True).filter(pk__in=rules, is_paused=False).order_by("pk")
    # Another worker was faster, or a person changed the rule meanwhile: these verdicts are of the past.
    current = {
        pk
        for pk, until, changed in now.values_list("pk", "checked_until", "updated_at")
        if (until, changed) == (rules[pk].checked_until, rules[pk].updated_at)
    }
    stored: defaultdict[int, dict[str, Alert]] = defaultdict(dict)
    # Locked, so that what a person or `tell` writes of an alert meanwhile is not overwritten by what it was before.
    for alert in Alert.objects.select_for_update(no_key=True).filter(rule__in=current).order_by("pk"):
        stored[alert.rule_id][alert.key] = alert
    changes = _Changes()
    for plan, groups in judged:
        if plan.rule.pk not in current:
            continue
        for labels, judgments in groups.items():
            named = dict(zip(plan.rule.by, labels, strict=True))
            known = stored[plan.rule.pk].get(Alert.key_of(named))
            changes.add(plan, named, known, judgments)
        changes.checked[plan.ends[-1]].append(plan.rule.pk)
    changes.write()


class _Changes:
    """What a transaction writes, in as few statements as there are kinds of rows."""

    def __init__(self) -> None:
        self.new: list[Alert] = []
        self.changed: list[Alert] = []
        self.transitions: list[Transition] = []
        self.checked: defaultdict[int, list[int]] = defaultdict(list)

    def add(self, plan: Plan, labels: dict[str, str], known: Alert | None, judgments: Sequence[Judgment]) -> None:
        """Move one alert on by its judgments."""
        alert = known or Alert(rule=plan.rule, labels=labels, key=Alert.key_of(labels))
        standing = known.standing if known else Standing(since=plan.ends[0])
        before = _mutable(alert)
        moved: list[Transition] = []
        for end, judgment in zip(plan.ends, judgments, strict=True):
            following = step(standing, Verdict(end, judgment.breach), plan.rule.policy)
            if following.state != standing.state:
                moved.append(_transition(alert, end, following.state, judgment))
            if following.is_open and not standing.is_open:
                _open(alert, end)
            if following.state != State.OK:
                alert.value, alert.against = _stored(judgment.value), _stored(judgment.against)
                alert.reason = judgment.reason[:300]
            standing = following
        alert.stand(standing)
        if known is None and not moved and standing.state == State.OK and standing.silent_since is None:
            return  # nothing has ever been wrong with it
        if known is None:
            self.new.append(alert)
        elif _mutable(alert) != before:
            self.changed.append(alert)
        self.transitions += moved

    def write(self) -> None:
        """Write all of it."""
        Alert.objects.bulk_create(self.new, batch_size=500)
        # Not bulk_update: its CASE for each column and row took most of an evaluation.
        Alert.objects.bulk_create(
            self.changed, batch_size=500, update_conflicts=True, unique_fields=["pk"], update_fields=_MUTABLE
        )
        Transition.objects.bulk_create(self.transitions, batch_size=500)
        for end, pks in self.checked.items():
            Rule.objects.filter(pk__in=pks).update(checked_until=end)
            Rule.objects.filter(pk__in=pks).exclude(last_error="").update(last_error="")


_MUTABLE = (
    *("state", "since", "is_open", "breach_since", "clear_since", "silent_since", "opened_at"),
    *("value", "against", "reason", "acknowledged_at", "acknowledged_by_id"),
)


def _mutable(alert: Alert) -> tuple[object, ...]:
    return tuple(getattr(alert, name) for name in _MUTABLE)


def _open(alert: Alert, end: int) -> None:
    alert.opened_at = datetime.fromtimestamp(end * 60, UTC)
    alert.acknowledged_at = alert.acknowledged_by = None


def _transition(alert: Alert, end: int, state: State, judgment: Judgment) -> Transition:
    return Transition(
        alert=alert, at=end, state=state.value, value=_stored(judgment.value), reason=judgment.reason[:300]
    )


def _stored(value: float | None) -> float | None:
    """Databases and JSON know no infinity."""
    return value if value is None or abs(value) < 1e308 else None


def _say(rule: Rule, error: str) -> None:
    if rule.last_error != error[:500]:
        logger.info("alert rule %s cannot be evaluated: %s", rule.pk, error)
        Rule.objects.filter(pk=rule.pk).update(last_error=error[:500])
