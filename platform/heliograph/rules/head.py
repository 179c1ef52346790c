"""Sampling when a span arrives, consistent with OpenTelemetry's probability sampling.

A trace has 56 random bits: `rv` of its trace state, else the last 7 bytes of its id. A rate is a threshold: the span is
kept where the random value is not below it. So every process and every service decides alike without speaking, and
what is kept at 10 % is kept at 20 % too. A sender that has sampled says so by `th`; the higher threshold holds.
https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import cache
from typing import Any

Columns = dict[str, list[Any]]

RANDOM_VALUES = 1 << 56
ADJUSTED_COUNT = "adjusted_count"
_RV = re.compile(r"(?:^|,)\s*ot=(?:[^,]*;)?rv:([0-9a-f]{14})(?:[;,]|$)")
_TH = re.compile(r"(?:^|,)\s*ot=(?:[^,]*;)?th:([0-9a-f]{1,14})(?:[;,]|$)")


@dataclass(frozen=True, slots=True)
class HeadRule:
    """Keep `rate` (0 to 1) of the traces' spans of some services and environments, which are globs; '' is each."""

    service: str
    environment: str
    rate: float

    def fits(self, service: str, environment: str) -> bool:
        """Return whether the rule speaks of such a span."""
        return fits(self.service, service) and fits(self.environment, environment)


@cache
def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern), re.IGNORECASE)


def fits(pattern: str, text: str) -> bool:
    """Return whether a glob fits a text; the empty glob fits every text."""
    return not pattern or _glob(pattern).match(text) is not None


def randomness(trace_id: str, trace_state: str = "") -> int:
    """Return the 56 random bits of a trace (32 hexadecimal digits)."""
    explicit = _RV.search(trace_state) if "rv:" in trace_state else None
    return int(explicit[1] if explicit else trace_id[18:], 16)


def threshold_of_sender(trace_state: str) -> int:
    """Return the threshold that the sender sampled by; 0 where it says nothing."""
    said = _TH.search(trace_state) if "th:" in trace_state else None
    return int(said[1].ljust(14, "0"), 16) if said else 0


def threshold_of(rate: float) -> int:
    """Return the threshold of a rate: 0 keeps all, 2**56 nothing."""
    return round((1.0 - rate) * RANDOM_VALUES)


def is_kept(trace_id: str, rate: float, trace_state: str = "") -> bool:
    """Return whether a trace is kept at a rate."""
    return rate >= 1.0 or randomness(trace_id, trace_state) >= threshold_of(rate)


def sample_spans(columns: Columns, rules: Sequence[HeadRule]) -> tuple[Columns, list[int]]:
    """Return the spans that the first fitting rule keeps, with the column `adjusted_count`, and which were left out.

    The adjusted count says for how many spans one stands: 1 / rate.
    """
    thresholds: dict[tuple[str, str], int] = {}
    kept: list[int] = []
    dropped: list[int] = []
    counts: list[float] = []
    rows = zip(columns["service"], columns["environment"], columns["trace_id"], columns["trace_state"], strict=True)
    for place, (service, environment, trace_id, trace_state) in enumerate(rows):
        threshold = thresholds.get((service, environment))
        if threshold is None:
            rate = next((rule.rate for rule in rules if rule.fits(service, environment)), 1.0)
            threshold = thresholds[service, environment] = threshold_of(rate)
        if threshold and randomness(trace_id, trace_state) < threshold:
            dropped.append(place)
            continue
        kept.append(place)
        counts.append(RANDOM_VALUES / (RANDOM_VALUES - max(threshold, threshold_of_sender(trace_state))))
    if dropped:
        columns = {name: [values[place] for place in kept] for name, values in columns.items()}
    return columns | {ADJUSTED_COUNT: counts}, dropped
