"""What a rule would have done, or has seen: judged by the same code as it is evaluated by, and nothing is stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from heliograph.alerts.models import Rule
from heliograph.alerts.series import Plan, ask, settled, step_of
from heliograph.alerts.state import Standing, State, Verdict, advance

PREVIEW = timedelta(days=7)
# Points of a chart that a person can tell apart, and a week of ten-minute steps.
_MOST_POINTS = 1_008
# Groups that are drawn; the table counts all.
MAX_DRAWN = 5


@dataclass(frozen=True, slots=True)
class Seen:
    """One group over time. `ends` are minutes since the epoch; `firing` are the ends at which it was open."""

    labels: dict[str, str]
    ends: tuple[int, ...]
    values: tuple[float | None, ...]
    against: tuple[float | None, ...]
    states: tuple[str, ...]
    fired: int
    firing_minutes: int

    @property
    def title(self) -> str:
        """The group in words."""
        return ", ".join(f"{name} {value or '(none)'}" for name, value in self.labels.items()) or "everything"


@dataclass(frozen=True, slots=True)
class AlertPreview:
    """All groups, those that fired most first. `step` is in minutes."""

    step: int
    groups: tuple[Seen, ...]

    @property
    def fired(self) -> int:
        """How often any alert would have fired."""
        return sum(group.fired for group in self.groups)


def look_back(rule: Rule, now: datetime, length: timedelta = PREVIEW) -> AlertPreview:
    """Return what the rule makes of the last days, a point each `step` minutes.

    Raises InvalidFilterError, InvalidConditionError, StoreError.
    """
    grid, minutes = step_of(rule), int(length.total_seconds()) // 60
    step = -(-max(grid, minutes // _MOST_POINTS) // grid) * grid
    last = settled(rule, now) // step * step
    plan = Plan(rule, tuple(range(last - minutes // step * step + step, last + 1, step)))
    judged = plan.judged(ask(rule.project_id, [plan]))
    groups = []
    for labels, judgments in judged.items():
        verdicts = [Verdict(end, judgment.breach) for end, judgment in zip(plan.ends, judgments, strict=True)]
        standings = [standing for standing, _ in advance(Standing(since=plan.ends[0]), verdicts, rule.policy)]
        before = [Standing(), *standings[:-1]]
        groups.append(
            Seen(
                labels=dict(zip(rule.by, labels, strict=True)),
                ends=plan.ends,
                values=tuple(judgment.value for judgment in judgments),
                against=tuple(judgment.against for judgment in judgments),
                states=tuple(standing.state.value for standing in standings),
                fired=sum(now.is_open and not then.is_open for then, now in zip(before, standings, strict=True)),
                firing_minutes=step * sum(standing.state == State.FIRING for standing in standings),
            )
        )
    return AlertPreview(step, tuple(sorted(groups, key=_order)))


def _order(group: Seen) -> tuple[int, int, Sequence[str]]:
    return (-group.fired, -group.firing_minutes, list(group.labels.values()))
