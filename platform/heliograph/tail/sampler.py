"""Deciding the traces of a project that are complete, or were given up, in the order of their last arrival."""

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from heliograph.accounts.models import Project
from heliograph.holds.held import HELD_WHY, held_of
from heliograph.query import completeness, trace_facts
from heliograph.query.completeness import Completeness, Place, Settled
from heliograph.query.trace_facts import Facts
from heliograph.rules.models import SamplingRule, TailSampler
from heliograph.rules.pins import pinned_of
from heliograph.rules.tail import TailRule, TraceFacts, wanted_by
from heliograph.tail.removal import LATE, NOT_WANTED, PINNED, carry_out, plan

logger = logging.getLogger(__name__)

# A worker renews its claim with every batch; one that was killed is replaced after this long.
LEASE = timedelta(minutes=5)
# A trace of more minutes than this is kept: its deletion would read a day of everybody's spans.
MAX_MINUTES = 1_440


@dataclass(frozen=True, slots=True)
class Decisions:
    """What becomes of some traces: by id why each is removed, and by which rule each is kept."""

    removed: dict[str, str]
    kept: dict[str, str]
    minutes: set[int]


def tail_rules(rules: Iterable[SamplingRule]) -> tuple[TailRule, ...]:
    """Return stored rules of the stage of complete traces as they are applied, in their order."""
    return tuple(
        TailRule(
            name=rule.name,
            service=rule.service,
            environment=rule.environment,
            rate=rule.rate,
            condition=rule.condition,
            threshold=rule.threshold or 0.0,
            score=rule.score,
        )
        for rule in rules
        if rule.stage == SamplingRule.Stage.TAIL
    )


def rules_of(project_id: int) -> tuple[TailRule, ...]:
    """Return a project's enabled rules for complete traces."""
    return tail_rules(SamplingRule.objects.filter(project=project_id, enabled=True, stage=SamplingRule.Stage.TAIL))


def work_on(project: Project, deadline: float) -> None:
    """Decide what is to be decided until `time.monotonic()` passes `deadline`. Raises StoreError.

    Nothing where another worker is at it. Without rules nothing is decided, and rules that are made later begin with
    the traces that come from then on.
    """
    rules = rules_of(project.pk)
    sampler = _claim(project, is_wanted=bool(rules))
    if sampler is None:
        return
    try:
        carry_out(sampler)
        if not rules:
            sampler.delete()
            return
        while time.monotonic() < deadline:
            is_done = _decide_whole(project, sampler, rules) and _decide_given_up(project, sampler, rules)
            sampler.leased_until = timezone.now() + LEASE
            sampler.save()
            if is_done:
                return
    finally:
        TailSampler.objects.filter(pk=sampler.pk).update(leased_until=None)


def _claim(project: Project, *, is_wanted: bool) -> TailSampler | None:
    """Return the sampler if no living worker holds it, and hold it; make it where there are rules."""
    now = timezone.now()
    if is_wanted:
        now_us = int(now.timestamp() * 1e6)
        TailSampler.objects.get_or_create(project=project, defaults={"complete_us": now_us, "given_up_us": now_us})
    free = Q(leased_until=None) | Q(leased_until__lt=now)
    if TailSampler.objects.filter(free, project=project).update(leased_until=now + LEASE) != 1:
        return None
    return TailSampler.objects.get(project=project)


def _decide_whole(project: Project, sampler: TailSampler, rules: Sequence[TailRule]) -> bool:
    """Decide whole traces that are quiet, one batch; return whether no more are now."""
    until = completeness.quiet_since()
    if any(rule.score for rule in rules):
        until = min(until, datetime.now(UTC) - timedelta(seconds=settings.TAIL_SCORE_WAIT_SECONDS))
    found = completeness.settled(project.pk, Place(sampler.complete_us, sampler.complete_trace), until)
    chosen = {trace: state for trace, state in found.traces.items() if state.is_whole or state.state == "removed"}
    sampler.complete_us, sampler.complete_trace = found.place.received_us, found.place.trace_id
    return _decide(project, sampler, rules, found, chosen)


def _decide_given_up(project: Project, sampler: TailSampler, rules: Sequence[TailRule]) -> bool:
    """Decide traces that lack something and that nobody waits for any longer, one batch."""
    until = completeness.given_up_since()
    found = completeness.settled(project.pk, Place(sampler.given_up_us, sampler.given_up_trace), until)
    chosen = {trace: state for trace, state in found.traces.items() if not state.is_whole}
    sampler.given_up_us, sampler.given_up_trace = found.place.received_us, found.place.trace_id
    return _decide(project, sampler, rules, found, chosen)


def _decide(
    project: Project,
    sampler: TailSampler,
    rules: Sequence[TailRule],
    found: Settled,
    chosen: dict[str, Completeness],
) -> bool:
    undecided = {trace: state for trace, state in chosen.items() if not state.kept_by}
    decisions = decide(project.pk, rules, undecided)
    if decisions.removed or decisions.kept:
        sampler.pending = plan(
            decisions.removed, decisions.kept, sorted(decisions.minutes), project.effective_retention_days
        )
        # With the place behind these traces: from here on they are removed whatever happens.
        sampler.save()
        carry_out(sampler)
    return found.is_last


def decide(project_id: int, rules: Sequence[TailRule], traces: dict[str, Completeness]) -> Decisions:
    """Return what becomes of traces. What comes late for a removed one is removed too. Raises StoreError."""
    known = trace_facts.facts(project_id, traces, {rule.score for rule in rules if rule.score})
    pinned, held = pinned_of(project_id, traces), held_of(project_id, traces)
    decisions = Decisions({}, {}, set())
    for trace_id, facts in known.items():
        if trace_id in held:
            decisions.kept[trace_id] = HELD_WHY
        elif traces[trace_id].state == "removed":
            decisions.removed[trace_id] = LATE
        elif wanted := PINNED if trace_id in pinned else wanted_by(rules, facts_of(facts)):
            decisions.kept[trace_id] = wanted
        elif len(facts.minutes) > MAX_MINUTES:
            decisions.kept[trace_id] = "too long to be removed"
        else:
            decisions.removed[trace_id] = NOT_WANTED
        if trace_id in decisions.removed:
            decisions.minutes.update(facts.minutes)
    return decisions


def facts_of(facts: Facts) -> TraceFacts:
    """Return what rules look at."""
    return TraceFacts(
        trace_id=facts.trace_id,
        service=facts.service,
        environment=facts.environment,
        error_count=facts.error_count,
        duration_s=facts.duration_s,
        cost=facts.cost,
        scores=facts.scores,
    )
