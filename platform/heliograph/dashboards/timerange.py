"""The one time range of the application, carried by the address: `?range=24h` or `?from=...&to=...`."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from django.http import HttpRequest, QueryDict

from heliograph.query.filters import InvalidFilterError, TimeRange

PRESETS = {
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
DEFAULT = "24h"


@dataclass(frozen=True, slots=True)
class Preset:
    """One choice of the range control."""

    label: str
    url: str
    current: bool


@dataclass(frozen=True, slots=True)
class ChosenRange:
    """The range of a request, and the control that shows it. `error` is said where the address held no usable one.

    `query` is the range as an address carries it, `kept` what else stands in the address.
    """

    range: TimeRange
    preset: str
    presets: tuple[Preset, ...]
    query: str
    kept: tuple[tuple[str, str], ...]
    error: str = ""


def chosen_range(request: HttpRequest, *, now: datetime | None = None) -> ChosenRange:
    """Read the range from the address; an unusable one falls back to the last 24 hours and says so."""
    now = now or datetime.now(UTC)
    preset = request.GET.get("range", "")
    error = ""
    span = TimeRange(now - PRESETS.get(preset, PRESETS[DEFAULT]), now + timedelta(seconds=1))
    if request.GET.get("from") or request.GET.get("to"):
        try:
            span = TimeRange(_instant(request.GET.get("from"), "from"), _instant(request.GET.get("to"), "to"))
            preset = "custom"
        except InvalidFilterError as invalid:
            error = f"The time range in the address cannot be used: {invalid}. Here are the last 24 hours."
    if preset not in PRESETS and preset != "custom":
        preset = DEFAULT
    presets = tuple(Preset(name, _with_range(request.GET, name), name == preset) for name in PRESETS)
    query = urlencode(
        {"from": request.GET["from"], "to": request.GET["to"]} if preset == "custom" else {"range": preset}
    )
    pairs = ((name, value) for name, values in request.GET.lists() for value in values)
    kept = tuple((name, value) for name, value in pairs if name not in {"range", "from", "to", "cursor"})
    return ChosenRange(span, preset, presets, query, kept, error)


def _instant(text: str | None, field: str) -> datetime:
    try:
        at = datetime.fromisoformat(text or "")
    except ValueError as error:
        raise InvalidFilterError(field, "is no ISO 8601 time, such as 2026-01-31T12:00:00Z") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _with_range(parameters: QueryDict, preset: str) -> str:
    changed = parameters.copy()
    for name in ("from", "to", "cursor"):
        changed.pop(name, None)
    changed["range"] = preset
    return "?" + changed.urlencode()
