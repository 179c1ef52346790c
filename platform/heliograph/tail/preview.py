"""What sampling rules would have kept of the traces that are stored, before they remove anything."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from heliograph.query import trace_facts
from heliograph.query.filters import TimeRange
from heliograph.query.trace_facts import Origin
from heliograph.rules.head import HeadRule, is_kept
from heliograph.rules.models import SamplingRule
from heliograph.rules.tail import wanted_by
from heliograph.tail.sampler import facts_of, tail_rules

# Enough for a share to within a percent or two; the store answers for so many in well under a second.
PREVIEW_TRACES = 2_000


@dataclass(frozen=True, slots=True)
class SamplingPreview:
    """Of the newest `traces`: how many the head rules would have let in, how many of these be kept, by which rule.

    A head rule looks at each span's own service and environment, so of a trace a part may be let in: it counts in
    `let_in`, and `let_in_spans` of all `spans` says how much that is (0 of 0 without head rules). Rules for whole
    traces are tried on the trace as it is stored. Without any all that is let in is kept.
    """

    traces: int
    let_in: int
    kept: int
    by_rule: dict[str, int]
    spans: int = 0
    let_in_spans: int = 0

    @property
    def share(self) -> float | None:
        """The share that would have been kept, None where there was no trace."""
        return self.kept / self.traces if self.traces else None


def preview(project_id: int, span: TimeRange, rules: Sequence[SamplingRule]) -> SamplingPreview:
    """Return what enabled rules would have kept of the newest PREVIEW_TRACES stored traces of a range.

    Raises StoreError.
    """
    tail = tail_rules(rules)
    head = [
        HeadRule(rule.service, rule.environment, rule.rate) for rule in rules if rule.stage == SamplingRule.Stage.HEAD
    ]
    recent = trace_facts.recent_traces(project_id, span, PREVIEW_TRACES)
    known = trace_facts.facts(project_id, recent, {rule.score for rule in tail if rule.score})
    origins = trace_facts.origins(project_id, known.values()) if head else []
    passed = [origin for origin in origins if _passes(head, origin)]
    passed_ids = {origin.trace_id for origin in passed}
    let_in = [facts_of(facts) for facts in known.values() if not head or facts.trace_id in passed_ids]
    wanted = Counter(filter(None, (wanted_by(tail, trace) for trace in let_in)))
    return SamplingPreview(
        traces=len(known),
        let_in=len(let_in),
        kept=wanted.total() if tail else len(let_in),
        by_rule=dict(wanted),
        spans=sum(origin.spans for origin in origins),
        let_in_spans=sum(origin.spans for origin in passed),
    )


def _passes(head: Sequence[HeadRule], origin: Origin) -> bool:
    rate = next((rule.rate for rule in head if rule.fits(origin.service, origin.environment)), 1.0)
    return is_kept(origin.trace_id, rate, origin.trace_state)
