"""Who says when."""

from django.db import models


class BeatLease(models.Model):
    """The one row that beats compete for. It holds no time: each measures by its own clock since it last changed."""

    holder = models.CharField(max_length=32, blank=True, default="", help_text="Empty where nobody is elected.")
    renewals = models.PositiveBigIntegerField(default=0, help_text="Grows with every election and renewal.")

    def __str__(self) -> str:
        return f"beat {self.holder or 'nobody'}"
