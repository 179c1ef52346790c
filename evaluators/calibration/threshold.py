"""The threshold that separates best, how sure it is, and what it is worth on labels that it was not chosen on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluators.agreement.estimate import RESAMPLES, Statistic, estimate

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Criterion = Literal["balanced_accuracy", "f1"]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)
FOLDS = 10
# Every fold then holds out one label of each class, and every fit has nine.
MIN_LABELS = FOLDS
# Each draw chooses anew among all candidates, so fewer draws than for a plain statistic.
_THRESHOLD_RESAMPLES = 200


@dataclass(frozen=True, slots=True)
class Confusion:
    """Labels by what was said of them."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int


@dataclass(frozen=True, slots=True)
class Chosen:
    """A threshold for `score >= threshold` with its bootstrap interval, and the criterion out of fold."""

    threshold: Statistic
    out_of_fold: Statistic
    confusion: Confusion


def best_threshold(
    positive: ArrayLike,
    score: ArrayLike,
    criterion: Criterion = "balanced_accuracy",
    *,
    higher_is_positive: bool = True,
) -> float:
    """The threshold of the highest criterion, smoothed over its near equals: the median of all candidates within half
    a point of the best, since the single best one is mostly luck. `score >= threshold` says positive, or, where lower
    scores are, negative."""
    grid = _Grid.of(np.asarray(score, float), criterion, higher_is_positive)
    return grid.best(np.asarray(positive, bool), grid.place)


@dataclass(frozen=True, slots=True)
class _Grid:
    """The candidates, and of each score how many of them it reaches: so that drawing anew is counting."""

    candidates: Floats
    place: NDArray[np.intp]
    criterion: Criterion
    higher_is_positive: bool

    @classmethod
    def of(cls, values: Floats, criterion: Criterion, higher_is_positive: bool) -> _Grid:
        candidates = np.unique(np.quantile(values, np.linspace(0.02, 0.98, 193)))
        return cls(candidates, np.searchsorted(candidates, values, side="right"), criterion, higher_is_positive)

    def best(self, truth: Bools, place: NDArray[np.intp]) -> float:
        """The threshold of labels and the places of their scores."""
        # How many of each class lie at or above each candidate.
        high = [
            np.bincount(part, minlength=len(self.candidates) + 1)[::-1].cumsum()[::-1][1:].astype(np.float64)
            for part in (place[truth], place[~truth])
        ]
        positives, negatives = float(truth.sum()), float((~truth).sum())
        hit, wrong = high if self.higher_is_positive else (positives - high[0], negatives - high[1])
        reached = measure(np.stack([hit, wrong, positives - hit, negatives - wrong], axis=1), self.criterion)
        return float(np.median(self.candidates[reached >= np.nanmax(reached) - 0.005]))


def choose(
    positive: ArrayLike,
    score: ArrayLike,
    criterion: Criterion = "balanced_accuracy",
    *,
    higher_is_positive: bool = True,
    seed: int = 0,
) -> Chosen:
    """Choose a threshold from labels, and say what it is worth.

    The threshold's interval holds the middle 95 % of the thresholds that resampled labels choose. The criterion is
    measured on labels that had no part in the choice: stratified folds, each judged by the threshold of the others; its
    interval resamples those verdicts. Raises ValueError for fewer than MIN_LABELS labels of a class.
    """
    truth, values = np.asarray(positive, bool), np.asarray(score, float)
    fewest = int(min(truth.sum(), (~truth).sum()))
    if fewest < MIN_LABELS:
        raise ValueError(f"need {MIN_LABELS} labels of each class, got {fewest} of the rarer one")
    rng = np.random.default_rng(seed)
    grid = _Grid.of(values, criterion, higher_is_positive)
    said = np.zeros(len(truth), bool)
    folds = _folds(truth, rng)
    for fold in range(FOLDS):
        held = folds == fold
        said[held] = (values[held] >= grid.best(truth[~held], grid.place[~held])) == higher_is_positive
    classes = (np.flatnonzero(truth), np.flatnonzero(~truth))
    drawn = []
    for _ in range(_THRESHOLD_RESAMPLES):
        rows = np.concatenate([rng.choice(each, len(each)) for each in classes])
        drawn.append(grid.best(truth[rows], grid.place[rows]))
    whole = grid.best(truth, grid.place)
    confusion = confusion_of(truth, said)
    return Chosen(estimate(whole, np.array(drawn), len(truth)), agreement_of(confusion, criterion, seed), confusion)


def confusion_of(positive: ArrayLike, said: ArrayLike) -> Confusion:
    """Count labels by what was said of them."""
    truth, called = np.asarray(positive, bool), np.asarray(said, bool)
    cells = (truth & called, ~truth & called, truth & ~called, ~truth & ~called)
    return Confusion(*(int(cell.sum()) for cell in cells))


def agreement_of(confusion: Confusion, criterion: Criterion, seed: int = 0) -> Statistic:
    """Return a criterion with its 95 % bootstrap interval over labels."""
    cells = np.array(
        [confusion.true_positive, confusion.false_positive, confusion.false_negative, confusion.true_negative], float
    )
    n = int(cells.sum())
    if not n:
        return Statistic(None, None, None, 0)
    drawn = np.random.default_rng(seed).multinomial(n, cells / n, size=RESAMPLES).astype(np.float64)
    return estimate(float(measure(cells[None], criterion)[0]), measure(drawn, criterion), n)


def measure(cells: Floats, criterion: Criterion) -> Floats:
    """(n, 4) true and false positives, false and true negatives -> (n,) criterion, NaN where it is undefined."""
    hit, wrong, missed, left = cells.T
    with np.errstate(invalid="ignore", divide="ignore"):
        if criterion == "f1":
            return np.asarray(2 * hit / (2 * hit + wrong + missed))
        return np.asarray((hit / (hit + missed) + left / (left + wrong)) / 2)


def _folds(truth: Bools, rng: np.random.Generator) -> NDArray[np.intp]:
    folds = np.empty(len(truth), np.intp)
    for each in (np.flatnonzero(truth), np.flatnonzero(~truth)):
        folds[rng.permutation(each)] = np.arange(len(each)) % FOLDS
    return folds
