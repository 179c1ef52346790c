"""Drift of what users ask and what models answer: the last day against the week before, on embeddings."""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast

from django.conf import settings

from evaluators.drift import detect
from evaluators.drift.explain import explain
from evaluators.embedding import embed
from heliograph.evals.models import Run
from heliograph.query import evaluation
from heliograph.query.evaluation import TextSample
from heliograph.query.filters import TimeRange

# Under this many texts a side the test has little power, and "no drift" would say more than is known.
MIN_TEXTS = 40
# Enough for a change of a tenth of the traffic, and embedded in seconds on a CPU.
MAX_TEXTS = 1_000
EXAMPLES = 3

Side = Literal["input", "output"]


def last_day() -> TimeRange:
    """Return the window that the daily check calls current."""
    end = datetime.now(UTC)
    return TimeRange(end - timedelta(hours=24), end)


def check(run: Run) -> dict[str, Any]:
    """Return the verdict of one drift check as JSON.

    Arguments of the run: `service`, `side` (input or output), `current_hours`, `reference_hours`, `end` (ISO 8601,
    else now). The reference ends where the current window begins.
    """
    given = run.arguments
    side = cast("Side", given.get("side", "input"))
    end = datetime.fromisoformat(given["end"]) if given.get("end") else datetime.now(UTC)
    middle = end - timedelta(hours=float(given.get("current_hours", 24)))
    start = middle - timedelta(hours=float(given.get("reference_hours", 24 * 7)))
    windows = {"reference": TimeRange(start, middle), "current": TimeRange(middle, end)}
    texts = {
        name: evaluation.texts(run.project_id, window, side, service=given.get("service", ""), limit=MAX_TEXTS)
        for name, window in windows.items()
    }
    counts = {name: len(samples) for name, samples in texts.items()}
    result: dict[str, Any] = {"side": side, "service": given.get("service", ""), "n": counts}
    result["windows"] = {name: [window.start.isoformat(), window.end.isoformat()] for name, window in windows.items()}
    if min(counts.values()) < MIN_TEXTS:
        reason = f"{counts['reference']} texts before and {counts['current']} now; {MIN_TEXTS} a side are needed."
        return result | {"verdict": "not_enough_data", "reason": reason}
    return result | _compare(texts["reference"], texts["current"])


def _compare(reference: list[TextSample], current: list[TextSample]) -> dict[str, Any]:
    device = None if settings.EVALUATOR_DEVICE == "auto" else settings.EVALUATOR_DEVICE
    model = settings.EMBEDDING_MODEL or None
    before = embed([sample.text for sample in reference], model=model, device=device)
    after = embed([sample.text for sample in current], model=model, device=device)
    outcome = detect(before, after, device=device)
    shifts = explain(
        before,
        after,
        reference_texts=[sample.text for sample in reference],
        current_texts=[sample.text for sample in current],
    )
    shown = []
    for shift in shifts:
        source = current if shift.direction == "grew" else reference
        examples = [_example(source[number]) for number in shift.examples[:EXAMPLES]]
        shown.append(shift.as_dict() | {"examples": examples})
    return outcome.as_dict() | {"clusters": shown}


def _example(sample: TextSample) -> dict[str, str]:
    return {"text": sample.text[:300], "trace_id": sample.trace_id, "span_id": sample.span_id}
