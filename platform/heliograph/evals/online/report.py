"""What a person wants to know of a rule: how much waits, since when, what today cost, what a day would cost."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.db.models import Q, Sum

from heliograph.evals.models import EvaluationRule, Gap, RuleDay
from heliograph.evals.online.chosen import ever, last_day
from heliograph.evals.online.passes import is_spent
from heliograph.query import online
from heliograph.query.filters import EPOCH
from heliograph.query.online import Matching

# Cost per span is taken from the days that it was measured on lately.
MEASURED_DAYS = 7
# A verdict of a judge is a reason of two sentences, and its instruction a paragraph.
JUDGE_OUTPUT_TOKENS, JUDGE_PROMPT_TOKENS, CHARACTERS_A_TOKEN = 120, 200, 4


@dataclass(frozen=True, slots=True)
class Standing:
    """How a rule stands. `backlog` counts spans that fit and are not judged, online.MAX_COUNTED at most; a span may yet
    lack what is needed.

    `lag_s`: seconds since the oldest of them was stored, None where nothing waits. `looked_at`: end of the last turn.
    """

    backlog: int
    oldest: datetime | None
    lag_s: float | None
    looked_at: datetime | None
    error: str
    set_aside: int
    is_spent: bool
    scored: int
    unscored: int
    device_seconds: float
    usd: Decimal

    @property
    def has_more(self) -> bool:
        """Whether more may wait than were counted."""
        return self.backlog >= online.MAX_COUNTED


@dataclass(frozen=True, slots=True)
class RulePreview:
    """What a rule would judge of the last day and what that would cost; None where nothing was measured yet."""

    matching: Matching
    device_seconds: float | None
    usd: Decimal | None


def standing(rule: EvaluationRule) -> Standing:
    """Return how a rule stands; asks the store. Raises StoreError, InvalidFilterError."""
    state = rule.progress
    now = datetime.now(UTC)
    # What is looked for a second time has its verdicts, but for the few that came late.
    swept = Q(axis=Gap.Axis.SPANS, start_us__lt=state.swept_us)
    stretches = [(gap.start_us, gap.place_us) for gap in Gap.objects.filter(rule=rule).exclude(swept)[:100]]
    if not rule.waits:
        # What came since the last look; traces that are still under way are not behind.
        stretches.append((state.spans_us, (now - EPOCH) // timedelta(microseconds=1)))
    waiting = online.waiting(rule.project_id, ever(rule.filter), rule.rate, _joined(stretches))
    today = RuleDay.objects.filter(rule=rule, day=now.date()).first() or RuleDay(rule=rule, day=now.date())
    return Standing(
        backlog=waiting.spans,
        oldest=waiting.oldest,
        lag_s=(now - waiting.oldest).total_seconds() if waiting.oldest else None,
        looked_at=state.looked_at,
        error=state.error,
        set_aside=rule.set_aside.count(),
        is_spent=is_spent(rule, today),
        scored=today.scored,
        unscored=today.unscored,
        device_seconds=today.device_seconds,
        usd=today.usd,
    )


def preview(rule: EvaluationRule) -> RulePreview:
    """Return what a rule, saved or not, would judge of the last day. Raises StoreError, InvalidFilterError."""
    found = online.matching(rule.project_id, last_day(rule.filter), rule.rate)
    since = datetime.now(UTC).date() - timedelta(days=MEASURED_DAYS)
    same = RuleDay.objects.filter(
        rule__project=rule.project_id, rule__evaluator=rule.evaluator, rule__endpoint=rule.endpoint, day__gte=since
    )
    sums = same.aggregate(scored=Sum("scored"), unscored=Sum("unscored"), seconds=Sum("device_seconds"), usd=Sum("usd"))
    judged = (sums["scored"] or 0) + (sums["unscored"] or 0)
    if judged:
        usd = sums["usd"] * found.sampled / judged if rule.endpoint else Decimal(0)
        return RulePreview(found, sums["seconds"] * found.sampled / judged, usd)
    return RulePreview(found, None, _estimated(rule, found))


def skip_backlog(rule: EvaluationRule) -> int:
    """Give up what waits, so that only what comes from now on is judged; return how many stretches those were."""
    return Gap.objects.filter(rule=rule).delete()[0]


def _estimated(rule: EvaluationRule, found: Matching) -> Decimal | None:
    endpoint = rule.endpoint
    if endpoint is None or endpoint.input_usd_per_million is None:
        return None
    tokens = found.characters // CHARACTERS_A_TOKEN + JUDGE_PROMPT_TOKENS * found.sampled
    output = JUDGE_OUTPUT_TOKENS * found.sampled * (endpoint.output_usd_per_million or Decimal(0))
    return (tokens * endpoint.input_usd_per_million + output) / 1_000_000


def _joined(stretches: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(stretches):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
