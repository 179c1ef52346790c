"""Jobs that are due again and again. The times stand here; celery-beat only says that it is time to look."""

import zoneinfo
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from celery.schedules import ParseException, crontab
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from heliograph.accounts.models import Project

PLAN = "heliograph.evals.tasks.plan_schedules"
# More are no longer read by anybody, and each costs a worker's time.
MAX_SCHEDULES = 100
# A job every minute is a rule.
SHORTEST = timedelta(minutes=1)


class Schedule(models.Model):
    """A job of a project that is done at set times."""

    class Missed(models.TextChoices):
        """What becomes of times at which nothing could run."""

        SKIP = "skip", "skip them"
        ONCE = "once", "run once for all of them"
        EACH = "each", "run once for each of them"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="schedules")
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=40)
    arguments = models.JSONField(default=dict, blank=True)
    every_seconds = models.PositiveIntegerField(null=True, blank=True, help_text="Or a cron expression.")
    cron = models.CharField(
        max_length=200, blank=True, default="", help_text="Minute, hour, day of month, month, day of week: 30 6 * * 1-5"
    )
    timezone = models.CharField(max_length=60, default="UTC", blank=True)
    enabled = models.BooleanField(default=True)
    missed = models.CharField(max_length=4, choices=Missed.choices, default=Missed.ONCE)
    retries = models.PositiveSmallIntegerField(default=0, validators=[MaxValueValidator(5), MinValueValidator(0)])
    next_at = models.DateTimeField(null=True, blank=True)
    # Without a name of its own the way back would take the place of the task's own `schedule`.
    beat = models.OneToOneField(PeriodicTask, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "pk"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="one_schedule_of_a_name")]
        indexes = [models.Index(fields=["enabled", "next_at"], name="schedules_that_are_due")]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse a schedule that says no time, or none that can be read."""
        others = type(self).objects.filter(project=self.project_id).exclude(pk=self.pk)
        if others.count() >= MAX_SCHEDULES:
            raise ValidationError(f"A project has at most {MAX_SCHEDULES} schedules.")
        if others.filter(name=self.name).exists():
            raise ValidationError({"name": "Another schedule has this name."})
        if not isinstance(self.arguments, Mapping):
            raise ValidationError({"arguments": "An object with a value for each argument."})
        if (self.every_seconds is None) == (not self.cron):
            raise ValidationError({"cron": "Give either an interval or a cron expression."})
        if self.every_seconds is not None and self.every_seconds < SHORTEST.total_seconds():
            raise ValidationError({"every_seconds": "At least 60 seconds; a rule judges what comes all the time."})
        if self.timezone not in zoneinfo.available_timezones():
            raise ValidationError({"timezone": "A name such as Europe/Berlin, or UTC."})
        if self.cron:
            try:
                self._crontab()
            except (ParseException, ValueError, TypeError) as error:
                raise ValidationError({"cron": f"Five fields, such as 30 6 * * 1-5: {error}"}) from error

    def store(self) -> None:
        """Save, begin counting from now where the times changed, and have beat look at these times."""
        was = type(self).objects.filter(pk=self.pk).values_list("every_seconds", "cron", "timezone", "enabled").first()
        with transaction.atomic():
            if was != (self.every_seconds, self.cron, self.timezone, self.enabled) or self.next_at is None:
                self.next_at = None
                self.next_at = self.after(timezone.now())
            self.save()
            self._tell_beat()

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Remove the schedule with its runs, and what beat knows of it."""
        beat = self.beat
        with transaction.atomic():
            gone = super().delete(*args, **kwargs)
            if beat is not None:
                beat.delete()
        return gone

    def after(self, moment: datetime) -> datetime:
        """Return the first time that is due after a moment."""
        if self.every_seconds is not None:
            every = timedelta(seconds=self.every_seconds)
            begun = self.next_at or moment
            return begun + ((moment - begun) // every + 1) * every
        zone = zoneinfo.ZoneInfo(self.timezone)
        last, delta, _ = self._crontab().remaining_delta(moment.astimezone(zone), tz=zone)
        found: datetime = last + delta
        return found.astimezone(zoneinfo.ZoneInfo("UTC"))

    def due(self, now: datetime) -> Iterator[datetime]:
        """Yield the times that are due up to now, the earliest first."""
        at = self.next_at
        while at is not None and at <= now:
            yield at
            at = self.after(at)

    def _crontab(self) -> crontab:
        minute, hour, day, month, weekday = self.cron.split()
        return crontab(minute=minute, hour=hour, day_of_month=day, month_of_year=month, day_of_week=weekday)

    def _tell_beat(self) -> None:
        given: dict[str, Any] = {"interval": None, "crontab": None}
        if self.every_seconds is not None:
            every, _ = IntervalSchedule.objects.get_or_create(every=self.every_seconds, period=IntervalSchedule.SECONDS)
            given["interval"] = every
        else:
            minute, hour, day, month, weekday = self.cron.split()
            given["crontab"], _ = CrontabSchedule.objects.get_or_create(
                minute=minute, hour=hour, day_of_month=day, month_of_year=month, day_of_week=weekday,
                timezone=self.timezone,
            )  # fmt: skip
        given |= {"name": f"heliograph schedule {self.pk}", "task": PLAN, "enabled": self.enabled, "expire_seconds": 60}
        if self.beat is None:
            self.beat = PeriodicTask.objects.create(**given)
            type(self).objects.filter(pk=self.pk).update(beat=self.beat)
            return
        for name, value in given.items():
            setattr(self.beat, name, value)
        self.beat.save()
