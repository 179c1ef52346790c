"""An evaluator's scores against labels of people: how they rank, where to cut, how honest they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluators.agreement.cohen import kappa
from evaluators.agreement.estimate import Statistic, estimate
from evaluators.calibration import platt
from evaluators.calibration.metrics import auroc
from evaluators.calibration.reliability import Reliability, reliability
from evaluators.calibration.threshold import Chosen, Confusion, Criterion, choose, confusion_of

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
# Ranks are taken anew for each draw.
_RANK_RESAMPLES = 200


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Yes or no of an evaluator against people's: Cohen's kappa and the four counts."""

    kappa: Statistic
    accuracy: float
    confusion: Confusion


@dataclass(frozen=True, slots=True)
class Report:
    """`n` labels, `positives` of them yes.

    `chosen.out_of_fold`, `chosen.confusion` and `calibrated` are of labels that had no part in the fit they are judged
    by. `now` is how the evaluator's own verdicts agree today, `stated` the diagram of its scores where they lie in
    [0, 1]; None where it gives no verdicts of two kinds, or no probabilities. `curve` is fitted on all labels.
    """

    n: int
    positives: int
    auroc: Statistic
    chosen: Chosen
    proposed: Verdicts
    now: Verdicts | None
    stated: Reliability | None
    calibrated: Reliability
    curve: platt.Curve


def judge_scores(
    positive: ArrayLike,
    score: ArrayLike,
    *,
    criterion: Criterion = "balanced_accuracy",
    higher_is_positive: bool = True,
    said: ArrayLike | None = None,
    seed: int = 0,
) -> Report:
    """Compare (n,) scores with (n,) labels; `said` are the evaluator's verdicts of today, where it has two kinds.

    Raises ValueError for fewer labels of a class than `threshold.MIN_LABELS`.
    """
    truth, values = np.asarray(positive, bool), np.asarray(score, float)
    sign = 1.0 if higher_is_positive else -1.0
    is_probability = bool(((values >= 0) & (values <= 1)).all())
    chosen = choose(truth, values, criterion, higher_is_positive=higher_is_positive, seed=seed)
    # A curve for half of the labels from the other half, and the other way round: none judges its own.
    calibrated = np.empty(len(truth))
    halves = _halves(truth, seed)
    for half in (False, True):
        curve = platt.fit(truth[halves != half], values[halves != half], on_log_odds=is_probability)
        calibrated[halves == half] = [curve.probability(value) for value in values[halves == half]]
    probabilities = values if higher_is_positive else 1 - values
    return Report(
        n=len(truth),
        positives=int(truth.sum()),
        auroc=_auroc(truth, sign * values, seed),
        chosen=chosen,
        proposed=_verdicts(chosen.confusion, seed),
        now=None if said is None else _verdicts(confusion_of(truth, said), seed),
        stated=reliability(truth, probabilities, seed=seed) if is_probability else None,
        calibrated=reliability(truth, calibrated, seed=seed),
        curve=platt.fit(truth, values, on_log_odds=is_probability),
    )


def _auroc(truth: Bools, values: Floats, seed: int) -> Statistic:
    rng = np.random.default_rng(seed)
    yes, no = values[truth], values[~truth]
    labels = np.concatenate([np.ones(len(yes), bool), np.zeros(len(no), bool)])
    drawn = [
        auroc(labels, np.concatenate([rng.choice(yes, len(yes)), rng.choice(no, len(no))]))
        for _ in range(_RANK_RESAMPLES)
    ]
    return estimate(auroc(truth, values), np.array(drawn), len(truth))


def _verdicts(confusion: Confusion, seed: int) -> Verdicts:
    cells = (
        (1, 1, confusion.true_positive),
        (0, 1, confusion.false_positive),
        (1, 0, confusion.false_negative),
        (0, 0, confusion.true_negative),
    )
    people = np.concatenate([np.full(count, person) for person, _, count in cells])
    machine = np.concatenate([np.full(count, verdict) for _, verdict, count in cells])
    right = confusion.true_positive + confusion.true_negative
    return Verdicts(kappa(people, machine, 2, seed=seed), right / len(people), confusion)


def _halves(truth: Bools, seed: int) -> Bools:
    rng = np.random.default_rng(seed)
    halves = np.empty(len(truth), bool)
    for each in (np.flatnonzero(truth), np.flatnonzero(~truth)):
        halves[rng.permutation(each)] = np.arange(len(each)) % 2 == 0
    return halves
