"""The outbox."""

import uuid

from django.db import models

from heliograph.accounts.models import Project
from heliograph.events.kinds import TITLES, Kind


class Event(models.Model):
    """One thing that happened. `taken_at` is set in the transaction that makes deliveries of it."""

    # Chosen here and not by the database, so that a reader of the webhook can tell a duplicate.
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="events")
    kind = models.CharField(max_length=40, choices=[(kind.value, TITLES[kind]) for kind in Kind])
    body = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)
    taken_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-pk"]
        indexes = [
            models.Index(fields=["project", "-created_at"], name="events_of_a_project"),
            models.Index(fields=["created_at"], condition=models.Q(taken_at=None), name="events_to_take"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} at {self.created_at:%Y-%m-%d %H:%M:%S}"
