"""What is scraped, and how it went last."""

from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from heliograph.accounts.models import Project
from heliograph.scrape.credentials import check_auth

# More than a large fleet's engines in one project; each is a task and, at most, a connection.
MAX_TARGETS = 500
# Below 5 s a page costs an engine more than it tells; nobody compares samples an hour apart.
MIN_INTERVAL_S, MAX_INTERVAL_S = 5, 3_600
MAX_TIMEOUT_S = 60
MAX_LABELS = 32


def check_url(url: str) -> None:
    """Raise ValidationError for an address that no page of metrics has. Where it may lead is checked at each fetch."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValidationError("This is no address.") from error
    if parts.scheme not in ("http", "https") or not host:
        raise ValidationError("An address begins with http:// or https:// and names a host.")
    if parts.username or parts.password:
        raise ValidationError("An address with a password in it would be shown to every reader of the project.")
    if port == 0 or parts.fragment:
        raise ValidationError("An address has a port above 0 and no fragment.")


def check_labels(labels: Any) -> None:
    """Raise ValidationError for anything but some texts by name."""
    if not isinstance(labels, dict) or len(labels) > MAX_LABELS:
        raise ValidationError(f"Labels are an object of at most {MAX_LABELS} texts.")
    for key, value in labels.items():
        if not isinstance(value, str) or not 0 < len(key) <= 100 or len(value) > 500:
            raise ValidationError("A label has a name of up to 100 and a text of up to 500 characters.")


class ScrapeTarget(models.Model):
    """One page of metrics of a project. `labels` become attributes of the resource of its points.

    `auth` says where its credentials are (`credentials`); only discovery sets it, and no page or answer has it.
    """

    class Source(models.TextChoices):
        """Who named it."""

        SETTINGS = "settings"
        FILE = "file"
        KUBERNETES = "kubernetes"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="scrape_targets")
    name = models.CharField(max_length=200, help_text="service.name of its points.")
    url = models.CharField(max_length=500, validators=[check_url])
    interval_s = models.PositiveIntegerField(
        default=15, validators=[MinValueValidator(MIN_INTERVAL_S), MaxValueValidator(MAX_INTERVAL_S)]
    )
    timeout_s = models.PositiveIntegerField(
        default=5, validators=[MinValueValidator(1), MaxValueValidator(MAX_TIMEOUT_S)]
    )
    labels = models.JSONField(default=dict, blank=True, validators=[check_labels])
    auth = models.JSONField(default=dict, db_default={}, blank=True, validators=[check_auth])
    source = models.CharField(max_length=16, choices=Source.choices, default=Source.SETTINGS)
    is_paused = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    last_scrape_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=500, blank=True)
    last_seconds = models.FloatField(null=True, blank=True)
    last_samples = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["name", "url"]
        constraints = [models.UniqueConstraint(fields=["project", "url"], name="one_scrape_target_per_url")]

    def __str__(self) -> str:
        return f"{self.name} at {self.url}"

    def clean(self) -> None:
        """Refuse a timeout that would let scrapes of one target overlap."""
        if self.timeout_s and self.interval_s and self.timeout_s > self.interval_s:
            raise ValidationError({"timeout_s": "The timeout may not be longer than the interval."})


class Discovery(models.Model):
    """How the last look for targets went, by its source."""

    source = models.CharField(max_length=16, choices=ScrapeTarget.Source.choices, unique=True)
    looked_at = models.DateTimeField()
    found = models.PositiveIntegerField(default=0)
    error = models.CharField(max_length=500, blank=True)

    def __str__(self) -> str:
        return f"{self.source}: {self.error or f'{self.found} found'}"
