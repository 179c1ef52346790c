"""Numbers with units, for people.

- `read(text, kind)`, `write(value, kind)`: as a person types them, `2s`, `350ms`, `10k`, `$0.05`; exact both ways
- `three_figures(value)`, `scaled(value, steps)`: as a person reads them, `842 ms`, `12.3 k`
"""

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
# The units that a number is read in, as (size, unit), largest first; durations are in ns.
DURATIONS = ((3_600e9, "h"), (60e9, "min"), (1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1, "ns"))
COUNTS = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""))
WATTS = ((1e6, "MW"), (1e3, "kW"), (1, "W"))
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


def three_figures(value: float | Decimal) -> str:
    """Return a number with three significant figures and no exponent: 842, 1.24, 0.0042."""
    number = float(value)
    if number == 0:
        return "0"
    magnitude = abs(number)
    if magnitude >= 100:
        return f"{number:,.0f}"
    text = f"{number:.3g}"
    if "e" not in text:
        return text
    # Beyond twelve places nobody reads a number; that it is not nothing is said.
    return f"{float(text):.12f}".rstrip("0") if magnitude >= 1e-12 else "≈ 0"


def scaled(value: float | Decimal, steps: tuple[tuple[float, str], ...]) -> str:
    """Return the number in the largest unit that leaves at least 1: `steps` are (size, unit), largest first."""
    magnitude = abs(float(value))
    if magnitude == 0:
        return "0"
    for size, unit in steps:
        # 999.6 ms would be written "1,000 ms"; it belongs to the next unit.
        if magnitude >= size * 0.9995:
            return f"{three_figures(float(value) / size)} {unit}".rstrip()
    size, unit = steps[-1]
    return f"{three_figures(float(value) / size)} {unit}".rstrip()
