"""Numbers with units as a person writes them: `2s`, `350ms`, `10k`, `$0.05`; exact both ways."""

import re
from decimal import Decimal

from heliograph.query.fields import Kind

NS_OF = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "min": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86_400 * 10**9,
}
_SCALES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_NUMBER = re.compile(r"(?P<dollar>\$?)(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d{1,3})?)(?P<unit>[a-zµ]*)", re.I)
# Beyond it neither nanoseconds nor counts are stored.
_MOST = 2**63


def read(text: str, kind: Kind) -> float:
    """Return a number in the unit of its kind: ns, USD or a count. Raises ValueError that says what it should be."""
    found = _NUMBER.fullmatch(text.strip())
    if not found:
        raise ValueError(_WANTED[kind])
    unit, factor = found["unit"].casefold(), 1
    if kind == "duration":
        if unit not in NS_OF or found["dollar"]:
            raise ValueError(_WANTED[kind])
        factor = NS_OF[unit]
    elif kind == "amount":
        if unit not in _SCALES or found["dollar"]:
            raise ValueError(_WANTED[kind])
        factor = _SCALES[unit]
    elif unit not in {"", "usd"}:
        raise ValueError(_WANTED[kind])
    value = float(Decimal(found["number"]) * factor)
    if not abs(value) < _MOST:
        raise ValueError("is beyond every number that is stored")
    return value


_WANTED: dict[Kind, str] = {
    "duration": "needs a number and a unit, such as 2s, 350ms or 1m",
    "amount": "needs a number, such as 500 or 8k",
    "money": "needs an amount in USD, such as 0.05",
}


def write(value: float, kind: Kind) -> str:
    """Return the shortest text that `read` gives back as the same number."""
    exact = Decimal(repr(value))
    if kind == "duration":
        unit = next((name for name in ("s", "ms", "us") if abs(value) >= NS_OF[name]), "ns")
        return plain(exact / NS_OF[unit]) + unit
    return ("$" if kind == "money" else "") + plain(exact)


def plain(value: Decimal) -> str:
    """Return a decimal without exponent and without zeros that say nothing."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
