"""Turns of all rules: each gets its share, and a rule that fails holds up no other."""

import logging
import time

from django.db.models import F
from django.utils import timezone

from heliograph.clickhouse.errors import StoreError
from heliograph.evals.models import EvaluationRule, LostClaimError
from heliograph.evals.online.passes import RulePass, Tally

logger = logging.getLogger(__name__)

# What a rule may do before it is another's turn, and what all of them may do before other evaluations have the worker:
# experiments, gates, looks for drift, and checks for which somebody waits. A turn begins with one question a rule, so
# that longer ones would save next to nothing.
TURN_SECONDS = 10.0
ALL_SECONDS = 20.0


def judge_new_spans() -> bool:
    """Give every rule that is on its turn, round and round; return whether one has more to do at once."""
    until = time.monotonic() + ALL_SECONDS
    # The one that waited longest goes first, so that none is passed over where time is short.
    rules = EvaluationRule.objects.filter(enabled=True).select_related("project", "state")
    waiting = list(rules.order_by(F("state__looked_at").asc(nulls_first=True), "pk"))
    while waiting and time.monotonic() < until:
        waiting = [rule for rule in waiting if time.monotonic() > until or _more(rule)]
    return bool(waiting)


def _more(rule: EvaluationRule) -> bool:
    try:
        return take_turn(rule)[1]
    except LostClaimError:
        logger.warning("the rule %s of %s was taken over by another worker", rule, rule.project, exc_info=True)
    except StoreError:
        logger.warning("the rule %s of %s waits for the store", rule, rule.project, exc_info=True)
    except Exception:  # a model that cannot be had, a lost device: kept for a person, and tried again
        logger.exception("the rule %s of %s failed", rule, rule.project)
    return False


def take_turn(rule: EvaluationRule, seconds: float = TURN_SECONDS) -> tuple[Tally, bool]:
    """Judge what is new for one rule; nothing where another worker is at it.

    Returns what was done, and whether there is more to do at once. Raises what the store raises, and what the evaluator
    raises where it is not a span's fault: what was not judged then stays in the gaps, and the rule says why.
    """
    state = rule.progress
    if not state.take():
        return Tally(), False
    error = ""
    try:
        turn = RulePass(rule, state, time.monotonic() + seconds)
        with state.kept():
            more = turn.run()
    except StoreError as failure:
        error = failure.user_text
        raise
    except Exception as failure:  # said to a person, and raised again
        error = f"{type(failure).__name__}: {failure}"[:2_000]
        raise
    finally:
        state.let_go(error=error, looked_at=timezone.now())
    return turn.tally, more
