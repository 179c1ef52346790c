"""What a gate compares: the metrics by name, which direction is worse, and how much worse is still the same.

`errors` is the share of failed calls; `latency` and `ttft` compare geometric means, which a few very slow calls do not
carry, `latency_p95` and `ttft_p95` the 95th percentiles, which these make; `input_tokens`, `output_tokens` and `cost`
compare arithmetic means, which is what a bill adds up; `score.NAME` is the mean of a score. Margins are absolute for
shares and scores, and shares of the baseline for the others.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

# As `evaluators.regression.result` has it; this file is also the pages', which load no statistics.
Kind = Literal["binary", "continuous", "ratio", "mean_ratio"]
SCORE = "score."
P95 = "_p95"
# Holm's correction pays for each; a gate of more asks for everything and so for nothing.
MAX_METRICS = 20
MAX_NAME = 200


class InvalidMetricError(ValueError):
    """A metric that cannot be compared; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a gate."""

    name: str
    kind: Kind
    margin: float
    higher_is_better: bool

    @property
    def column(self) -> str:
        """The name of the value of which it is the mean or the quantile."""
        return self.name.removesuffix(P95) if self.quantile else self.name

    @property
    def quantile(self) -> float | None:
        """The quantile that is compared, None where a mean or a share is."""
        return 0.95 if self.name in _QUANTILES else None

    @property
    def score(self) -> str:
        """The name of the score that it is, '' for the others."""
        return self.name.removeprefix(SCORE) if self.name.startswith(SCORE) else ""


_KNOWN: Mapping[str, tuple[Kind, float]] = {
    "errors": ("binary", 0.01),
    "latency": ("ratio", 0.05),
    "ttft": ("ratio", 0.05),
    "input_tokens": ("mean_ratio", 0.05),
    "output_tokens": ("mean_ratio", 0.05),
    "cost": ("mean_ratio", 0.05),
    # A tail of a twentieth of the rows is known less well than a mean.
    "latency_p95": ("ratio", 0.1),
    "ttft_p95": ("ratio", 0.1),
}
_QUANTILES = frozenset({"latency_p95", "ttft_p95"})
NAMES = tuple(_KNOWN)
# Two points of a score from 0 to 1.
_SCORE: tuple[Kind, float] = ("continuous", 0.02)


def metric(given: Mapping[str, Any]) -> Metric:
    """Read one metric {"name", "margin"?, "higher_is_better"?}. Raises InvalidMetricError."""
    name = given.get("name")
    if not isinstance(name, str) or len(name) > MAX_NAME:
        raise InvalidMetricError(f"A metric needs a name of at most {MAX_NAME} characters: {', '.join(_choices())}.")
    is_score = name.startswith(SCORE) and name != SCORE
    if not is_score and name not in _KNOWN:
        raise InvalidMetricError(f"{name!r} is no metric. Choose from {', '.join(_choices())}.")
    kind, usual = _SCORE if is_score else _KNOWN[name]
    margin = given.get("margin")
    margin = usual if margin is None else margin
    if isinstance(margin, bool) or not isinstance(margin, int | float) or not 0 <= margin <= 1_000:
        raise InvalidMetricError(f"The margin of {name} must be a number from 0 to 1,000.")
    higher = given.get("higher_is_better")
    if higher is not None and not isinstance(higher, bool):
        raise InvalidMetricError(f"higher_is_better of {name} must be true or false.")
    if higher and not is_score:
        raise InvalidMetricError(f"Of {name}, less is better; higher_is_better is for scores.")
    return Metric(name, kind, float(margin), is_score if higher is None else higher)


def metrics(given: Iterable[Any]) -> list[Metric]:
    """Read the metrics of a gate. Raises InvalidMetricError also for none, too many and the same twice."""
    rows = list(given)
    if not 1 <= len(rows) <= MAX_METRICS:
        raise InvalidMetricError(f"A gate needs 1 to {MAX_METRICS} metrics.")
    if not all(isinstance(row, Mapping) for row in rows):
        raise InvalidMetricError('A metric is an object such as {"name": "latency", "margin": 0.05}.')
    found = [metric(row) for row in rows]
    if len({each.name for each in found}) < len(found):
        raise InvalidMetricError("A metric is named twice.")
    return found


def as_json(found: Iterable[Metric]) -> list[dict[str, Any]]:
    """Return the metrics as a gate stores them, with nothing left to defaults."""
    return [{"name": m.name, "margin": m.margin, "higher_is_better": m.higher_is_better} for m in found]


def _choices() -> list[str]:
    return [*NAMES, "score.NAME"]
