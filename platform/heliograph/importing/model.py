"""What a converter makes of a record."""

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

_HEX = re.compile(r"[0-9a-f]+")
_FRACTION = re.compile(r"\.(\d+)")


@dataclass(frozen=True, slots=True)
class Span:
    """A span as OTLP has it; ids in hexadecimal, times in ns since the epoch, `parent_id` '' for a root."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    events: list[tuple[str, int, dict[str, Any]]] = field(default_factory=list)
    # ok, error or unset
    status: str = "unset"
    message: str = ""
    service: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """A score as `POST /api/v1/scores` takes it."""

    body: dict[str, Any]


@dataclass
class Report:
    """What was taken, and what was not and why."""

    records: int = 0
    spans: int = 0
    scores: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)

    def leave_out(self, reason: str, count: int = 1) -> None:
        """Count a record, a span or a score that was not taken."""
        self.left_out[reason] += count

    def note(self, text: str) -> None:
        """Count something that was taken with a part missing."""
        self.notes[text] += 1


class UnusableError(ValueError):
    """A record that cannot be used; the text says why, without the record's own values."""


def trace_id_of(text: Any) -> str:
    """Return 32 hexadecimal digits: an id of OpenTelemetry or a UUID as it is, any other by its SHA-256.

    Raises UnusableError without one.
    """
    return _id(text, 32)


def span_id_of(text: Any) -> str:
    """Return 16 hexadecimal digits, as `trace_id_of`; a UUID is too long to be kept."""
    return _id(text, 16)


def _id(text: Any, digits: int) -> str:
    if not isinstance(text, str) or not text:
        raise UnusableError("no id")
    plain = text.lower().removeprefix("0x").replace("-", "")
    if len(plain) == digits and _HEX.fullmatch(plain) and plain.strip("0"):
        return plain
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def nanoseconds(value: Any) -> int:
    """Return a time in ns since the epoch: RFC 3339 (UTC without an offset), a datetime, or a number of ms or ns.

    Raises UnusableError for anything else.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        # Of our time, milliseconds are 13 digits and nanoseconds 19.
        return int(value) if value > 1e17 else int(value * 1_000_000)
    if isinstance(value, datetime):
        return _of(value)
    if isinstance(value, str):
        try:
            # Python 3.11 reads six digits of a fraction; nanoseconds have nine.
            fraction = _FRACTION.search(value)
            moment = datetime.fromisoformat(_FRACTION.sub("", value) if fraction else value)
        except ValueError:
            raise UnusableError("a time that cannot be read") from None
        return _of(moment) + (int(fraction[1][:9].ljust(9, "0")) if fraction else 0)
    raise UnusableError("no time")


def _of(moment: datetime) -> int:
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * 10**9 + moment.microsecond * 1_000 + int(getattr(moment, "nanosecond", 0))
