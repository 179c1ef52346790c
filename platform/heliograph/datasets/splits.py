"""Splits by ratio, the same for the same seed."""

import hashlib
from collections.abc import Mapping, Sequence
from itertools import accumulate

from heliograph.datasets.content import InvalidRowError, check_split

# Train, dev, test and some more.
MAX_SPLITS = 10


def parse_ratios(text: str) -> dict[str, float]:
    """Read `train=80, dev=10, test=10` into shares that sum to 1. Raises InvalidRowError."""
    ratios: dict[str, float] = {}
    for part in text.split(","):
        name, separator, amount = part.partition("=")
        try:
            share = float(amount)
        except ValueError:
            share = -1.0
        if not separator or not name.strip() or not 0 < share < 1e9:
            raise InvalidRowError("splits", "read such as train=80, dev=10, test=10, each above 0")
        check_split(name.strip())
        ratios[name.strip()] = ratios.get(name.strip(), 0.0) + share
    if len(ratios) > MAX_SPLITS:
        raise InvalidRowError("splits", f"may be at most {MAX_SPLITS}")
    total = sum(ratios.values())
    return {name: share / total for name, share in ratios.items()}


def assigned(keys: Sequence[str], ratios: Mapping[str, float], seed: int) -> dict[str, str]:
    """Return the split of each key: by the order of a hash of seed and key, cut where the shares say.

    The shares are exact to a row. The order of the keys and everything but the seed have no part in it.
    """
    ordered = sorted(keys, key=lambda key: hashlib.sha256(f"{seed}\n{key}".encode()).digest())
    ends = [round(len(ordered) * share) for share in accumulate(ratios.values())]
    # Shares are floats, and their sum may miss 1 by a hair.
    ends[-1] = len(ordered)
    found: dict[str, str] = {}
    start = 0
    for name, end in zip(ratios, ends, strict=True):
        found |= dict.fromkeys(ordered[start:end], name)
        start = end
    return found
