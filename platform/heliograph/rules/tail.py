"""Sampling of whole traces, once they are complete: which rule wants one, from what is known of it as a whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from heliograph.rules.head import fits, is_kept


@dataclass(frozen=True, slots=True)
class TailRule:
    """Keep `rate` (0 to 1) of the traces of some services and environments, which are globs, that meet a condition.

    `threshold` is seconds, USD or a score's value; `score` names the score.
    """

    name: str
    service: str = ""
    environment: str = ""
    rate: float = 1.0
    condition: str = "any"
    threshold: float = 0.0
    score: str = ""

    def wants(self, trace: "TraceFacts") -> bool:
        """Return whether the rule wants a trace kept; of its rate, by the trace id as at the head."""
        return (
            fits(self.service, trace.service)
            and fits(self.environment, trace.environment)
            and self._is_met(trace)
            and is_kept(trace.trace_id, self.rate)
        )

    def _is_met(self, trace: "TraceFacts") -> bool:
        values = trace.scores.get(self.score, ())
        match self.condition:
            case "error":
                return trace.error_count > 0
            case "duration":
                return trace.duration_s >= self.threshold
            case "cost":
                return trace.cost >= self.threshold
            case "score_below":
                return any(value < self.threshold for value in values)
            case "score_above":
                return any(value > self.threshold for value in values)
            case _:
                return True


@dataclass(frozen=True, slots=True)
class TraceFacts:
    """What rules look at: the root's service and environment, and the whole trace's errors, seconds, USD and scores."""

    trace_id: str
    service: str
    environment: str
    error_count: int
    duration_s: float
    cost: float
    scores: Mapping[str, Sequence[float]] = field(default_factory=dict)


def wanted_by(rules: Sequence[TailRule], trace: TraceFacts) -> str:
    """Return the name of the first rule that wants a trace kept, '' where none does."""
    return next((rule.name for rule in rules if rule.wants(trace)), "")
