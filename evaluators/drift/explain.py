"""Which part of the data moved, by how much, with examples.

Clusters are found without looking at the labels, at three resolutions, so the count of reference and current rows in
each is a fair two-by-two table; Fisher's exact test on it and Benjamini-Hochberg over all clusters bound the share of
false findings at alpha. Within a flagged cluster the rows are ranked by the MMD witness function (Gretton et al. 2012,
section 2.3), the log ratio of the two windows' kernel densities at the row.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evaluators.drift.arrays import Windows, median_squared_distance, windows
from evaluators.drift.clusters import assign
from evaluators.drift.result import check_alpha

LEVELS = (6, 12, 24)
# A quarter of the median squared distance: the witness must resolve clusters, not the whole cloud.
WITNESS_BANDWIDTH = 0.25
# Densities are averages over this many rows of each window; their error is below 3 %.
ANCHORS = 2000
# Two clusters that share more than half of the smaller one tell the same story once.
MAX_OVERLAP = 0.5
WORD = re.compile(r"\w{3,}")
# Terms are counted on this many texts a side, so that a large window costs a bounded time.
MAX_TERM_TEXTS = 5000


@dataclass(frozen=True, slots=True)
class ClusterShift:
    """A cluster whose share of the data changed.

    `examples` are row numbers in the window where the cluster is larger (`current` when it grew), most shifted first;
    `counterparts` are rows of the same cluster in the other window, nearest in kind first, and may be none;
    `moved` are all its rows there whose density rose. `ratio_interval` is the 95 % interval of share_current /
    share_reference (Katz's log interval with half a row added to each count).
    """

    direction: Literal["grew", "shrank"]
    n_reference: int
    n_current: int
    share_reference: float
    share_current: float
    ratio_interval: tuple[float, float]
    p_value: float
    q_value: float
    moved: tuple[int, ...]
    examples: tuple[int, ...]
    counterparts: tuple[int, ...]
    terms: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The shift as JSON types, with the number of moved rows in place of the rows."""
        row = asdict(self)
        row["moved"] = len(self.moved)
        return row


def explain(
    reference: NDArray[Any],
    current: NDArray[Any],
    *,
    reference_texts: Sequence[str] | None = None,
    current_texts: Sequence[str] | None = None,
    alpha: float = 0.05,
    examples: int = 5,
    seed: int = 0,
    device: str | None = None,
) -> list[ClusterShift]:
    """Clusters whose share changed between two (n, d) windows, largest change in rows first; empty when none did.

    Texts, when given, must be one per row and add the words that mark the moved rows. Raises ValueError for windows
    that `detect` would refuse, or texts of another length.
    """
    check_alpha(alpha)
    sample = windows(reference, current, device)
    for name, texts, size in (("reference", reference_texts, sample.n), ("current", current_texts, sample.m)):
        if texts is not None and len(texts) != size:
            raise ValueError(f"{len(texts)} {name} texts for {size} rows")
    rng = np.random.default_rng(seed)
    members, tests = _clusters(sample, rng)
    q_values = stats.false_discovery_control(tests)
    witness: NDArray[np.float64] | None = None
    shifts: list[ClusterShift] = []
    taken: list[NDArray[np.bool_]] = []
    excess = np.array([abs(mask[sample.n :].mean() - mask[: sample.n].mean()) for mask in members])
    for i in np.argsort(-excess, kind="stable"):
        if q_values[i] > alpha or any(_overlap(members[i], other) > MAX_OVERLAP for other in taken):
            continue
        witness = _witness(sample, rng) if witness is None else witness
        taken.append(members[i])
        shift = _shift(sample, members[i], witness, float(tests[i]), float(q_values[i]), examples)
        shifts.append(_with_terms(shift, reference_texts, current_texts))
    return sorted(shifts, key=lambda s: -abs(s.share_current - s.share_reference))


def _clusters(sample: Windows, rng: np.random.Generator) -> tuple[list[NDArray[np.bool_]], NDArray[np.float64]]:
    """Row masks of every cluster of every level, and the two-sided exact p-value of each one's table."""
    members: list[NDArray[np.bool_]] = []
    for k in LEVELS:
        numbers = assign(sample, k, rng)
        members += [numbers == number for number in np.unique(numbers)]
    n, m = sample.n, sample.m
    in_reference = np.array([int(mask[:n].sum()) for mask in members])
    in_current = np.array([int(mask[n:].sum()) for mask in members])
    table = stats.hypergeom(n + m, in_reference + in_current, m)
    # Mid-p: the plain exact test is far below its level on the few rows of a small cluster.
    half = table.pmf(in_current) / 2
    one_sided = np.minimum(table.sf(in_current), table.cdf(in_current - 1)) + half
    return members, np.clip(2 * one_sided, 0.0, 1.0)


def _overlap(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / min(a.sum(), b.sum()))


def _witness(sample: Windows, rng: np.random.Generator) -> NDArray[np.float64]:
    """(n + m,) log of current over reference kernel density at every row, the row itself left out."""
    bandwidth = WITNESS_BANDWIDTH * median_squared_distance(sample, rng)
    density = []
    for first, size in ((0, sample.n), (sample.n, sample.m)):
        index = first + np.sort(rng.choice(size, min(size, ANCHORS), replace=False))
        anchors = sample.rows(index)
        own = np.zeros(sample.n + sample.m)
        own[index] = 1
        sums = np.empty(sample.n + sample.m)
        for start, block in sample.blocks():
            centre = anchors.mean(0)
            squared = (anchors - centre).square().sum(1) - 2 * (block - centre) @ (anchors - centre).T
            squared += (block - centre).square().sum(1, keepdim=True)
            kernel = squared.clamp_(min=0).div_(-bandwidth).exp_()
            sums[start : start + len(block)] = kernel.sum(1).cpu().numpy()
        # The floor keeps the ratio finite where a row is far from every anchor of a window.
        density.append(np.maximum(sums - own, 1e-9) / np.maximum(len(index) - own, 1))
    return np.log(density[1]) - np.log(density[0])


def _shift(
    sample: Windows, mask: NDArray[np.bool_], witness: NDArray[np.float64], p: float, q: float, examples: int
) -> ClusterShift:
    n, m = sample.n, sample.m
    a, b = int(mask[:n].sum()), int(mask[n:].sum())
    grew = b / m > a / n
    side = np.flatnonzero(mask[n:]) if grew else np.flatnonzero(mask[:n])
    other = np.flatnonzero(mask[:n]) if grew else np.flatnonzero(mask[n:])
    likeness = witness[:n][other] if grew else -witness[n:][other]
    change = witness[n:][side] if grew else -witness[:n][side]
    order = side[np.argsort(-change, kind="stable")]
    log_ratio = math.log((b + 0.5) / (m + 0.5)) - math.log((a + 0.5) / (n + 0.5))
    error = 1.96 * math.sqrt(1 / (a + 0.5) + 1 / (b + 0.5) - 1 / (n + 0.5) - 1 / (m + 0.5))
    return ClusterShift(
        direction="grew" if grew else "shrank",
        n_reference=a,
        n_current=b,
        share_reference=a / n,
        share_current=b / m,
        ratio_interval=(math.exp(log_ratio - error), math.exp(log_ratio + error)),
        p_value=p,
        q_value=q,
        moved=tuple(int(i) for i in order[: int((change > 0).sum())]),
        examples=tuple(int(i) for i in order[:examples]),
        counterparts=tuple(int(i) for i in other[np.argsort(-likeness, kind="stable")][:examples]),
        terms=(),
    )


def _with_terms(
    shift: ClusterShift, reference_texts: Sequence[str] | None, current_texts: Sequence[str] | None
) -> ClusterShift:
    if reference_texts is None or current_texts is None:
        return shift
    here, there = (current_texts, reference_texts) if shift.direction == "grew" else (reference_texts, current_texts)
    terms = marking_terms([here[i] for i in shift.moved], there)
    return ClusterShift(**{**{name: getattr(shift, name) for name in ClusterShift.__slots__}, "terms": terms})


def marking_terms(texts: Sequence[str], background: Sequence[str], most: int = 8) -> tuple[str, ...]:
    """Words in more of `texts` than of `background`, by the z-score of the difference of the two document shares."""
    counts = [
        Counter(word for text in side[:MAX_TERM_TEXTS] for word in set(WORD.findall(text.lower())))
        for side in (texts, background)
    ]
    sizes = [max(1, min(len(side), MAX_TERM_TEXTS)) for side in (texts, background)]
    found = []
    for word, count in counts[0].items():
        pooled = (count + counts[1][word]) / sum(sizes)
        error = math.sqrt(max(pooled * (1 - pooled), 1e-9) * (1 / sizes[0] + 1 / sizes[1]))
        z = (count / sizes[0] - counts[1][word] / sizes[1]) / error
        if z > Z_TERM and count > 1:
            found.append((-z, word))
    return tuple(word for _, word in sorted(found)[:most])


# Three standard errors: a handful of false words among the thousands that are looked at.
Z_TERM = 3.0
