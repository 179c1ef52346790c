"""One batch in the evaluator's hands: judged together, or each alone where one of them makes it fail."""

import faulthandler
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal

from django.conf import settings

from evaluators.memory import is_out_of_memory
from evaluators.score import Sample, Score, Scorer
from heliograph.evals.online.scorers import PROBE

logger = logging.getLogger(__name__)

# An exception may quote the whole answer; this much says what it was.
MAX_REASON_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Fault:
    """A sample on which the evaluator fails while it judges others."""

    reason: str

    def as_score(self) -> Score:
        """Return the verdict that is stored: none, and why."""
        return Score.unscored(f"set aside, the evaluator failed on this answer: {self.reason}")


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdicts on a batch, in its order, and what they took: wall seconds of the device, USD of an endpoint."""

    verdicts: list[Score | Fault]
    device_seconds: float
    usd: Decimal


def judge(scorer: Scorer, samples: Sequence[Sample]) -> Judged:
    """Judge a batch.

    Raises what the scorer raises where that is no sample's fault: memory is short, or it fails on anything.
    """
    started = time.monotonic()
    with ended_if_it_hangs():
        try:
            verdicts: list[Score | Fault] = [*scorer.score(samples)]
        except Exception as error:  # whatever a model's code raises on a text that nobody thought of
            if is_out_of_memory(error):
                raise
            logger.exception("a batch of %s answers could not be judged, each is tried alone", len(samples))
            scorer.score([PROBE])
            verdicts = [_alone(scorer, sample) for sample in samples]
    seconds = time.monotonic() - started
    usages = [verdict.details.get("usage", {}) for verdict in verdicts if isinstance(verdict, Score)]
    usd = sum((Decimal(str(usage["usd"])) for usage in usages if usage.get("usd")), Decimal(0))
    # A judge behind an endpoint occupies no device of ours.
    return Judged(verdicts, 0.0 if any(usage.get("is_remote") for usage in usages) else seconds, usd)


def _alone(scorer: Scorer, sample: Sample) -> Score | Fault:
    try:
        (verdict,) = scorer.score([sample])
    except Exception as error:  # see judge
        if is_out_of_memory(error):
            raise
        logger.warning("span %s is set aside: the evaluator fails on it", sample.id, exc_info=True)
        return Fault(f"{type(error).__name__}: {error}"[:MAX_REASON_CHARACTERS])
    return verdict


@contextmanager
def ended_if_it_hangs() -> Iterator[None]:
    """End this process where the block takes longer than EVALUATION_HANG_SECONDS; what it held is in the database.

    A thread of C sees to it, which needs no turn of the interpreter: an expression that never ends gives none. The
    supervisor starts the worker again, and the batch's spans are tried alone.
    """
    faulthandler.dump_traceback_later(settings.EVALUATION_HANG_SECONDS, exit=True, file=2)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
