"""What sampling rules would have kept of the traces that are stored, before they remove anything."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from heliograph.query import trace_facts
from heliograph.query.filters import TimeRange
from heliograph.rules.head import HeadRule, is_kept
from heliograph.rules.models import SamplingRule
from heliograph.rules.tail import wanted_by
from heliograph.tail.sampler import facts_of, tail_rules

# Enough for a share to within a percent or two; the store answers for so many in well under a second.
PREVIEW_TRACES = 2_000


@dataclass(frozen=True, slots=True)
class SamplingPreview:
    """Of the newest `traces`: how many the head rules would have let in, how many of these be kept, by which rule.

    Without rules for whole traces all that is let in is kept.
    """

    traces: int
    let_in: int
    kept: int
    by_rule: dict[str, int]

    @property
    def share(self) -> float | None:
        """The share that would have been kept, None where there was no trace."""
        return self.kept / self.traces if self.traces else None


def preview(project_id: int, span: TimeRange, rules: Sequence[SamplingRule]) -> SamplingPreview:
    """Return what enabled rules would have kept of the newest PREVIEW_TRACES stored traces of a range.

    A head rule looks at each span's service; here the root's stands for all. Raises StoreError.
    """
    tail = tail_rules(rules)
    head = [
        HeadRule(rule.service, rule.environment, rule.rate) for rule in rules if rule.stage == SamplingRule.Stage.HEAD
    ]
    recent = trace_facts.recent_traces(project_id, span, PREVIEW_TRACES)
    known = trace_facts.facts(project_id, recent, {rule.score for rule in tail if rule.score})
    let_in = [
        facts_of(facts)
        for facts in known.values()
        if is_kept(
            facts.trace_id,
            next((rule.rate for rule in head if rule.fits(facts.service, facts.environment)), 1.0),
        )
    ]
    if not tail:
        return SamplingPreview(len(known), len(let_in), len(let_in), {})
    wanted = Counter(filter(None, (wanted_by(tail, trace) for trace in let_in)))
    return SamplingPreview(len(known), len(let_in), wanted.total(), dict(wanted))
