"""A rule's evaluator over a period that lies behind: a job, which goes on where a killed worker stopped."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from heliograph.evals.models import EvaluationRule, Run
from heliograph.evals.online.judging import Fault, judge
from heliograph.evals.online.marks import microseconds
from heliograph.evals.online.passes import put_aside
from heliograph.evals.online.scorers import lacks, row_of, sample_of, scorer_of
from heliograph.query import online, scores
from heliograph.query.evaluation import EvaluationSpan, Watermark
from heliograph.query.filters import TimeRange
from heliograph.query.language import parse

BATCH = 128


def evaluate(run: Run) -> dict[str, Any]:
    """Judge what fits a rule and started within `hours` before the run was due; see `jobs` for the arguments.

    Verdicts replace the rule's earlier ones (with `again`), or are added where there is none. The rule's sample rate
    holds; its daily budget does not. Raises EvaluationRule.DoesNotExist for a rule that is gone since.
    """
    rule = EvaluationRule.objects.select_related("project").get(project=run.project, name=run.arguments["rule"])
    end = (run.due_at or run.created_at or timezone.now()).astimezone(UTC)
    span = TimeRange(end - timedelta(hours=float(run.arguments.get("hours", 24))), end)
    chosen = parse(rule.filter, span)
    # Verdicts of this very run do not count as earlier ones, so with `again` the place alone says how far it came.
    name = "" if run.arguments.get("again") else rule.name
    at = run.place or {"us": microseconds(datetime.now(UTC)), "trace": "", "span": "", "judged": 0}
    if run.place:
        run.say(f"goes on behind {at['judged']} spans")
    while page := online.newest(
        rule.project_id, chosen, rule.rate, 0, Watermark(at["us"], at["trace"], at["span"]), name=name, limit=BATCH
    ):
        _judge(run, rule, page)
        last = page[-1].watermark
        at = {
            "us": last.received_us,
            "trace": last.trace_id,
            "span": last.span_id,
            "judged": at["judged"] + len(page),
        }
        run.change(place=at, scored=run.scored, unscored=run.unscored, device_seconds=run.device_seconds, usd=run.usd)
    run.say(f"{run.scored} scored, {run.unscored} unscored, {run.device_seconds:.1f} device seconds, {run.usd:f} USD")
    return {
        "rule": rule.name,
        "evaluator": rule.evaluator,
        "window": [span.start.isoformat(), span.end.isoformat()],
        "spans": at["judged"],
        "scored": run.scored,
        "unscored": run.unscored,
    }


def _judge(run: Run, rule: EvaluationRule, page: Sequence[EvaluationSpan]) -> None:
    found = [(span, sample_of(span)) for span in page]
    found = [(span, sample) for span, sample in found if not lacks(rule.evaluator, sample)]
    if not found:
        return
    scorer = scorer_of(rule)
    judged = judge(scorer, [sample for _, sample in found])
    rows = []
    for (span, _), verdict in zip(found, judged.verdicts, strict=True):
        if isinstance(verdict, Fault):
            put_aside(rule, (span.trace_id, span.span_id), verdict.reason)
        score = verdict.as_score() if isinstance(verdict, Fault) else verdict
        run.scored += score.is_scored
        run.unscored += not score.is_scored
        rows.append(row_of(rule, span, score, scorer))
    scores.write_scores(rule.project_id, rows, rule.project.effective_retention_days)
    run.device_seconds += judged.device_seconds
    run.usd = Decimal(run.usd) + judged.usd
