"""Groundedness of new answers: read by watermark, judge in batches, store the verdicts, then move the watermark.

A crash between storing and moving judges a batch again; its verdicts have the same ids and replace themselves. An
answer that the scorer fails on is set aside, unscored with the reason, so that it does not hold up those behind it.
"""

import hashlib
import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from django.conf import settings

from evaluators.groundedness import groundedness
from evaluators.memory import OUT_OF_MEMORY
from evaluators.score import Sample, Score, Scorer
from heliograph.accounts.models import Project
from heliograph.evals.models import Run, Watermark
from heliograph.query import completeness, evaluation, scores
from heliograph.query.evaluation import EvaluationSpan
from heliograph.rules.models import TraceWaiting

logger = logging.getLogger(__name__)

NAME = "groundedness"
# A commit takes its time stamp before it is visible, and the retriever's span may come with the next export.
SETTLE = timedelta(seconds=10)
# One read from the store; the scorer cuts it into batches that fit the device.
BATCH = 64
# Where the waiting begins in a project that was never judged.
FIRST_WAIT = timedelta(hours=1)
# What one pass does before it lets other jobs have the worker.
MAX_SPANS_PER_PASS = 5_000
# Every scorer can judge this. One that cannot is at fault itself, and not the answers on which it failed.
_PROBE = Sample(
    id="probe",
    context="A refund takes five days.",
    question="How long does a refund take?",
    answer="A refund takes five days.",
)
# An exception may quote the whole answer; this much says what it was.
_MAX_REASON_CHARACTERS = 500


@cache
def scorer() -> Scorer:
    """Return the scorer that the settings name; the model stays loaded for the life of the worker."""
    device = None if settings.EVALUATOR_DEVICE == "auto" else settings.EVALUATOR_DEVICE
    return groundedness(model=settings.GROUNDEDNESS_MODEL or None, device=device)


@dataclass(slots=True)
class Tally:
    """What one pass did."""

    scored: int = 0
    unscored: int = 0


def score_new_spans(project: Project) -> Tally:
    """Judge what is new in a project; nothing where another worker is at it.

    Raises what the store raises, and what the scorer raises where it is not the answer's fault (it fails on any, or
    memory is short): the watermark then stays before the batch.
    """
    tally = Tally()
    place = Watermark.claim(project, NAME)
    if place is None:
        return tally
    started = datetime.now(UTC)
    try:
        if TraceWaiting.evaluators(project.pk):
            _score_settled(project, place, tally)
            return tally
        while tally.scored + tally.unscored < MAX_SPANS_PER_PASS:
            after = evaluation.Watermark(place.received_at_us, place.trace_id, place.span_id)
            spans = evaluation.spans_to_evaluate(project.pk, after, datetime.now(UTC) - SETTLE, limit=BATCH)
            if not spans:
                break
            _judge(project, spans, tally)
            last = spans[-1].watermark
            place.advance(last.received_us, last.trace_id, last.span_id)
    finally:
        place.release()
        _record(project, tally, started)
    return tally


def _score_settled(project: Project, place: Watermark, tally: Tally) -> None:
    """Judge the answers of traces that are complete, and of those that were given up; `place` is claimed.

    The place of the immediate way follows, so that switching back judges the last half hour again and not all.
    """
    start = place.received_at_us or int((datetime.now(UTC) - FIRST_WAIT).timestamp() * 1e6)
    for name, is_whole, until in (
        (f"{NAME} of complete traces", True, completeness.quiet_since()),
        (f"{NAME} of traces given up", False, completeness.given_up_since()),
    ):
        mark, _ = Watermark.objects.get_or_create(project=project, evaluator=name)
        # What was judged at once, while nothing waited, is not walked through again.
        at = max(completeness.Place(mark.received_at_us, mark.trace_id), completeness.Place(start))
        while tally.scored + tally.unscored < MAX_SPANS_PER_PASS:
            found = completeness.settled(project.pk, at, until, limit=BATCH)
            _judge_traces(project, [id_ for id_, one in found.traces.items() if one.is_whole == is_whole], tally)
            at = found.place
            Watermark.objects.filter(pk=mark.pk).update(received_at_us=at.received_us, trace_id=at.trace_id)
            place.advance(place.received_at_us, place.trace_id, place.span_id)
            if found.is_last:
                break
    place.advance(at.received_us, "", "")


def _judge_traces(project: Project, trace_ids: list[str], tally: Tally) -> None:
    after = ("", "")
    while spans := evaluation.spans_of_traces(project.pk, trace_ids, NAME, scorer().revision, after, limit=BATCH):
        _judge(project, spans, tally)
        after = (spans[-1].trace_id, spans[-1].span_id)


def _judge(project: Project, spans: list[EvaluationSpan], tally: Tally) -> None:
    # A call without documents (an agent's step, a plain chat) has nothing to be grounded in and gets no verdict at all.
    judged = [span for span in spans if span.documents]
    if not judged:
        return
    judge = scorer()
    verdicts = _verdicts(judge, [_sample(span) for span in judged])
    rows = [_row(span, verdict, judge) for span, verdict in zip(judged, verdicts, strict=True)]
    scores.write_scores(project.pk, rows, project.effective_retention_days)
    scored = sum(verdict.is_scored for verdict in verdicts)
    tally.scored += scored
    tally.unscored += len(verdicts) - scored


def _verdicts(judge: Scorer, samples: list[Sample]) -> list[Score]:
    try:
        return judge.score(samples)
    except OUT_OF_MEMORY:
        raise
    except Exception:  # whatever a model's code raises on a text that nobody thought of
        logger.exception("a batch of %s answers could not be judged, each is tried alone", len(samples))
        judge.score([_PROBE])
        return [_verdict(judge, sample) for sample in samples]


def _verdict(judge: Scorer, sample: Sample) -> Score:
    try:
        (verdict,) = judge.score([sample])
    except OUT_OF_MEMORY:
        raise
    except Exception as error:  # see _verdicts
        logger.warning("span %s is set aside: the scorer fails on it", sample.id, exc_info=True)
        reason = f"{type(error).__name__}: {error}"[:_MAX_REASON_CHARACTERS]
        return Score.unscored(f"set aside, the scorer failed on this answer: {reason}")
    return verdict


def _sample(span: EvaluationSpan) -> Sample:
    context = "\n\n".join(document.content for document in span.documents)
    return Sample(id=span.span_id, context=context, question=span.question, answer=span.answer)


def _row(span: EvaluationSpan, verdict: Score, judge: Scorer) -> scores.Score:
    key = "\n".join((span.trace_id, span.span_id, NAME, judge.revision))
    return scores.Score(
        score_id=hashlib.sha256(key.encode()).hexdigest()[:32],
        trace_id=span.trace_id,
        span_id=span.span_id,
        session_id=span.session_id,
        time_ns=span.start_ns,
        name=NAME,
        value=verdict.value,
        label=verdict.label or "",
        explanation=verdict.explanation,
        details=json.dumps(dict(verdict.details), default=str),
        source="evaluator",
        evaluator=judge.name,
        evaluator_revision=judge.revision,
        evaluator_arguments=json.dumps(dict(judge.arguments), default=str),
        service=span.service,
        release=span.release,
        model=span.model,
    )


def _record(project: Project, tally: Tally, started: datetime) -> None:
    """Keep a line of history for a pass that judged something."""
    if tally.scored or tally.unscored:
        Run.objects.create(
            project=project,
            kind=Run.Kind.GROUNDEDNESS,
            status=Run.Status.DONE,
            scored=tally.scored,
            unscored=tally.unscored,
            started_at=started,
            finished_at=datetime.now(UTC),
        )
        logger.info("groundedness of %s: %s judged, %s unscored", project.slug, tally.scored, tally.unscored)
