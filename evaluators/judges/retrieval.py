"""Did the retriever bring the right documents, and first?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from evaluators.judges.base import SampleScorer
from evaluators.score import Sample, Score

# A ranking longer than this is a dump of the index.
MAX_RANKED = 100_000


def retrieval(*, metric: Literal["ndcg", "recall", "precision", "mrr"] = "ndcg", k: int = 10) -> SampleScorer:
    """A ranking metric at cut-off k; `details` holds all four.

    `extra["retrieved"]` is the ranked list of document ids, `extra["relevant"]` the list of relevant ids or a mapping
    from id to gain (at least 0). nDCG uses the gain itself over log2(rank + 1) (Jarvelin and Kekalainen 2002, as in
    trec_eval); precision divides by k even where fewer were retrieved. A repeated id counts once, at its first rank.
    Raises ValueError for an unknown metric or k below 1.
    """
    if metric not in ("ndcg", "recall", "precision", "mrr") or k < 1:
        raise ValueError(f"need a metric of ndcg, recall, precision, mrr and k >= 1: {metric!r}, {k}")

    def judge(sample: Sample) -> Score:
        try:
            ranked, gains = _ranking(sample)
        except ValueError as error:
            return Score.unscored(str(error))
        values = ranking_metrics(ranked, gains, k)
        return Score(values[metric], None, f"{metric}@{k} = {values[metric]:.3f}", {**values, "k": k})

    return SampleScorer("retrieval", judge, "1", {"metric": metric, "k": k})


def ranking_metrics(ranked: list[str], gains: Mapping[str, float], k: int) -> dict[str, float]:
    """ndcg, recall, precision and mrr at k of a ranking without repetitions; at least one gain must be above 0."""
    relevant = {key for key, gain in gains.items() if gain > 0}
    hits = [i for i, key in enumerate(ranked[:k]) if key in relevant]
    gained = sum(gains[ranked[i]] / math.log2(i + 2) for i in hits)
    ideal = sum(gain / math.log2(i + 2) for i, gain in enumerate(sorted(gains.values(), reverse=True)[:k]))
    return {
        "ndcg": gained / ideal,
        "recall": len(hits) / len(relevant),
        "precision": len(hits) / k,
        "mrr": 1 / (hits[0] + 1) if hits else 0.0,
    }


def _ranking(sample: Sample) -> tuple[list[str], dict[str, float]]:
    ranked, relevant = sample.extra.get("retrieved"), sample.extra.get("relevant")
    if not isinstance(ranked, list) or len(ranked) > MAX_RANKED or not all(map(_is_id, ranked)):
        raise ValueError("retrieved is not a list of document ids")
    gains: dict[str, float] = {}
    if isinstance(relevant, Mapping):
        for key, gain in relevant.items():
            if isinstance(gain, bool) or not isinstance(gain, int | float) or not 0 <= gain < math.inf:
                raise ValueError(f"the gain of {key} is not a number of at least 0")
            gains[str(key)] = float(gain)
    elif isinstance(relevant, list) and all(map(_is_id, relevant)):
        gains = {str(key): 1.0 for key in relevant}
    if not any(gains.values()):
        raise ValueError("no document is marked as relevant")
    return list(dict.fromkeys(map(str, ranked))), gains


def _is_id(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)
