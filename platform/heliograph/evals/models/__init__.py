"""What the evaluators do and have done: the database knows it, a lost message only costs a delay."""

from heliograph.evals.models.claims import LEASE, Claimed, LostClaimError
from heliograph.evals.models.judges import JudgeAnswer, JudgeEndpoint, JudgeTemplate
from heliograph.evals.models.online import EvaluationRule, Gap, RuleDay, RuleState, SetAside, first_rule
from heliograph.evals.models.runs import MAX_ATTEMPTS, Run, Watermark
from heliograph.evals.models.schedules import Schedule

__all__ = [
    "LEASE",
    "MAX_ATTEMPTS",
    "Claimed",
    "EvaluationRule",
    "Gap",
    "JudgeAnswer",
    "JudgeEndpoint",
    "JudgeTemplate",
    "LostClaimError",
    "RuleDay",
    "RuleState",
    "Run",
    "Schedule",
    "SetAside",
    "Watermark",
    "first_rule",
]
