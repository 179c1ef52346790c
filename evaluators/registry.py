"""Every evaluator by name. A new one is a line here; nothing is imported before it is asked for."""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass
from typing import Any

from evaluators.score import Scorer


@dataclass(frozen=True, slots=True)
class Entry:
    """`factory` is `module:function`; the function takes settings and returns a scorer."""

    factory: str
    summary: str


class UnknownEvaluatorError(ValueError):
    """No evaluator has this name; the text lists those that exist."""


EVALUATORS: dict[str, Entry] = {
    "groundedness": Entry(
        "evaluators.groundedness:groundedness",
        "is the answer supported by its context: probability, and verdict and evidence for each sentence",
    ),
}


def names() -> list[str]:
    return sorted(EVALUATORS)


def create(name: str, **settings: Any) -> Scorer:
    """The scorer `name` with its settings.

    Raises UnknownEvaluatorError for a name that is not in the table, TypeError for a setting it does not take.
    """
    if name not in EVALUATORS:
        raise UnknownEvaluatorError(f"no evaluator is called {name!r}; there are {', '.join(names())}")
    scorer: Scorer = pkgutil.resolve_name(EVALUATORS[name].factory)(**settings)
    return scorer
