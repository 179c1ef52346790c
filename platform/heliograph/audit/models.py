"""Who did what. Rows are added and never changed: triggers of the database refuse it (migrations/0002)."""

from django.db import models


class Entry(models.Model):
    """One thing that somebody did. It names what it speaks of by number and name, so that it outlives all of it."""

    class Via(models.TextChoices):
        """By which way."""

        PAGE = "page"
        API = "api"
        COMMAND = "command"

    at = models.DateTimeField(auto_now_add=True)
    actor = models.CharField(max_length=200, help_text="The name at that time.")
    actor_id = models.BigIntegerField(null=True)
    key_id = models.BigIntegerField(null=True)
    via = models.CharField(max_length=8, choices=Via.choices)
    ip = models.CharField(max_length=45, blank=True, default="")
    action = models.CharField(max_length=100, help_text="The name of the address, or the command.")
    # Of the address: which object it was about.
    target = models.JSONField(default=dict)
    organization_id = models.BigIntegerField(null=True)
    project_id = models.BigIntegerField(null=True)
    status = models.PositiveSmallIntegerField(default=0, help_text="HTTP status; 0 of a command.")
    # [{"kind", "id", "name", "what": created|changed|removed, "fields"}]: names of fields, never values.
    changes = models.JSONField(default=list)
    # What a search looks in.
    words = models.TextField(blank=True, default="")

    class Meta:
        ordering = ["-pk"]
        # Neither `flush` nor anything else of Django's empties a table that it does not manage.
        managed = False
        db_table = "audit_entry"

    def __str__(self) -> str:
        return f"{self.actor}: {self.action}"
