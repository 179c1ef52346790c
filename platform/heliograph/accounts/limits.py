"""How much telemetry may come in: limits of a key, and of a project for each of its keys that has none of its own."""

from dataclasses import dataclass

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

# Far above any installation, far below what the store's counters hold.
MOST = 10**15


def _limit(help_text: str) -> "models.PositiveBigIntegerField[int | None, int | None]":
    return models.PositiveBigIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(MOST)], help_text=help_text
    )


class IngestLimits(models.Model):
    """Three limits; empty means none."""

    max_spans_per_minute = _limit("Spans a minute: a burst of so many, refilled evenly. Empty: no limit.")
    max_bytes_per_day = _limit("Bytes of request bodies a day (UTC), as they are sent. Empty: no limit.")
    max_spans_per_month = _limit("Spans a calendar month (UTC). Empty: no limit.")

    class Meta:
        abstract = True


LIMIT_FIELDS = ("max_spans_per_minute", "max_bytes_per_day", "max_spans_per_month")


@dataclass(frozen=True, slots=True)
class EffectiveLimits:
    """What holds for one key; None is no limit. `inherited` names the limits that are the project's default."""

    max_spans_per_minute: int | None = None
    max_bytes_per_day: int | None = None
    max_spans_per_month: int | None = None
    inherited: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is any limit."""
        return any(getattr(self, name) is not None for name in LIMIT_FIELDS)


def effective_limits(key: IngestLimits | None, project: IngestLimits) -> EffectiveLimits:
    """Return the key's own limits, and the project's where the key has none."""
    values: dict[str, int | None] = {}
    inherited = []
    for name in LIMIT_FIELDS:
        own = getattr(key, name) if key else None
        values[name] = own if own is not None else getattr(project, name)
        if own is None and values[name] is not None:
            inherited.append(name)
    return EffectiveLimits(**values, inherited=tuple(inherited))
