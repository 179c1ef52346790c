"""Who there is: users, organisations, projects, who belongs to which, and the API keys that programs use."""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Self

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.text import slugify

from heliograph.accounts.limits import IngestLimits
from heliograph.accounts.roles import USUAL_SCOPES, Scope
from heliograph.accounts.roles import Role as _Role


class User(AbstractUser):
    """A person, or a service account: somebody with roles who never signs in and acts by keys alone."""

    is_service_account = models.BooleanField(default=False)


class Organization(models.Model):
    """The tenant: people belong to it, projects belong to it."""

    name = models.CharField(max_length=200)
    requires_second_factor = models.BooleanField(
        default=False, help_text="Who belongs to it, or to a project of it, gets nowhere without one."
    )
    members = models.ManyToManyField(User, through="Membership", related_name="organizations")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """One person's place in one organisation."""

    Role = _Role

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    user = models.ForeignKey(User, on_delete=models.CASCADE)
    role = models.CharField(max_length=16, choices=_Role.choices, default=_Role.EDITOR)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "user"], name="one_membership_per_organization")]

    def __str__(self) -> str:
        return f"{self.user} in {self.organization} as {self.role}"


class ProjectQuerySet(models.QuerySet["Project"]):
    """Projects, narrowed to what somebody may see."""

    def visible_to(self, user: User) -> Self:
        """Return the projects of the user's organisations, and those that the user was let into one by one."""
        of_organization = models.Exists(
            Membership.objects.filter(organization=models.OuterRef("organization"), user=user)
        )
        of_project = models.Exists(ProjectMembership.objects.filter(project=models.OuterRef("pk"), user=user))
        return self.filter(of_organization | of_project)


class Project(IngestLimits):
    """The unit of isolation: every row in ClickHouse carries the id of exactly one project."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="projects")
    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=80, unique=True)
    retention_days = models.PositiveSmallIntegerField(default=0, help_text="0 takes HELIOGRAPH_RETENTION_DAYS.")
    keep_dead_letters = models.BooleanField(
        default=True, help_text="Keep a bounded sample of bodies that were refused, so that a person can look at them."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def effective_retention_days(self) -> int:
        """Days that this project's telemetry is kept."""
        return self.retention_days or settings.RETENTION_DAYS

    @classmethod
    def create(cls, organization: Organization, name: str) -> "Project":
        """Create a project whose slug is the name's, with a suffix where that slug is taken."""
        base = slugify(name)[:70] or "project"
        slug = base
        while cls.objects.filter(slug=slug).exists():
            slug = f"{base}-{secrets.token_hex(3)}"
        return cls.objects.create(organization=organization, name=name, slug=slug)


class ProjectMembership(models.Model):
    """One person's place in one project, beside what the organisation gives: the higher of both holds (ADR 0052)."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE)
    role = models.CharField(max_length=16, choices=_Role.choices, default=_Role.VIEWER)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "user"], name="one_membership_per_project")]

    def __str__(self) -> str:
        return f"{self.user} in {self.project} as {self.role}"


class Invitation(models.Model):
    """A place that waits for somebody: in a whole organisation, or in one of its projects."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="invitations")
    project = models.ForeignKey(Project, null=True, blank=True, on_delete=models.CASCADE, related_name="invitations")
    role = models.CharField(max_length=16, choices=_Role.choices)
    email = models.EmailField(blank=True, default="", help_text="Where the link was sent; empty: it was handed over.")
    invited_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    accepted_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.role} of {self.place}"

    @property
    def place(self) -> "Organization | Project":
        """What the invited person gets a place in."""
        return self.project or self.organization

    @property
    def is_open(self) -> bool:
        """Whether it can still be accepted."""
        return self.accepted_at is None and self.revoked_at is None and self.expires_at > timezone.now()


def usual_scopes() -> list[str]:
    """Return the scopes of a key that is made without a choice."""
    return [str(scope) for scope in USUAL_SCOPES]


class ApiKey(IngestLimits):
    """A secret that a program sends. Only its SHA-256 is kept: 256 random bits need no slow hash."""

    PREFIX = "hg_"
    # When a key was last used is written no oftener.
    USE_NOTED_EVERY = timedelta(minutes=1)

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=200)
    hint = models.CharField(max_length=16, help_text="The first characters, to tell keys apart in a list.")
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    scopes = models.JSONField(default=usual_scopes)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: it holds until it is revoked.")
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="To the minute.")
    service_account = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.CASCADE, related_name="api_keys", help_text="Whose key it is."
    )

    def __str__(self) -> str:
        return f"{self.name} ({self.hint}…)"

    @staticmethod
    def digest_of(key: str) -> str:
        """Return what is stored of a key."""
        return hashlib.sha256(key.encode()).hexdigest()

    @classmethod
    def issue(
        cls,
        project: Project,
        name: str,
        *,
        scopes: Iterable[Scope] = USUAL_SCOPES,
        expires_at: datetime | None = None,
        service_account: User | None = None,
    ) -> tuple["ApiKey", str]:
        """Create a key; return the row and the key itself, which cannot be shown again."""
        key = cls.PREFIX + secrets.token_urlsafe(32)
        row = cls.objects.create(
            project=project,
            name=name,
            hint=key[:9],
            digest=cls.digest_of(key),
            scopes=sorted(Scope(scope).value for scope in scopes),
            expires_at=expires_at,
            service_account=service_account,
        )
        return row, key

    @classmethod
    def active(cls, key: str) -> "ApiKey | None":
        """Return the row of a key with its project, or None for an unknown, revoked or expired key; note its use."""
        row = (
            cls.objects.select_related("project", "service_account")
            .filter(digest=cls.digest_of(key), revoked_at=None)
            .first()
        )
        now = timezone.now()
        if row is None or (row.expires_at and row.expires_at <= now):
            return None
        if row.service_account and not row.service_account.is_active:
            return None
        row.note_use(now)
        return row

    def note_use(self, now: datetime) -> None:
        """Write down that the key was used, at most once a minute: the row is read with each use, not written."""
        if self.last_used_at is None or now - self.last_used_at >= self.USE_NOTED_EVERY:
            # By a condition: of many processes that notice the same minute, one writes.
            type(self).objects.filter(pk=self.pk, last_used_at=self.last_used_at).update(last_used_at=now)
            self.last_used_at = now

    @classmethod
    def project_of(cls, key: str) -> Project | None:
        """Return the project that a key opens, or None for an unknown, revoked or expired key."""
        row = cls.active(key)
        return row.project if row else None

    def revoke(self) -> None:
        """Close the key at once; ingest processes forget it within their cache time."""
        self.revoked_at = timezone.now()
        self.save(update_fields=["revoked_at"])


class GpuPrice(models.Model):
    """What a model of GPU costs a project from a moment on, until its next price; without one its cost is unknown."""

    # Prices change some times a year.
    MOST = 200

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="gpu_prices")
    gpu_name = models.CharField(
        max_length=120, blank=True, default="", help_text="As the agent names it; empty for every other model."
    )
    valid_from = models.DateTimeField()
    usd_per_gpu_hour = models.DecimalField(max_digits=12, decimal_places=6)
    usd_per_kwh = models.DecimalField(
        max_digits=12, decimal_places=6, null=True, blank=True, help_text="Empty where the hour includes the power."
    )
    pue = models.DecimalField(max_digits=5, decimal_places=3, default=Decimal(1))
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-valid_from"]
        constraints = [
            models.UniqueConstraint(fields=["project", "gpu_name", "valid_from"], name="one_gpu_price_at_a_time")
        ]

    def __str__(self) -> str:
        return f"{self.usd_per_gpu_hour} USD per GPU-hour from {self.valid_from:%Y-%m-%d %H:%M}"


# The dearest published price is some hundreds of USD; a thousand times that is a mistaken unit.
_PRICES = [MinValueValidator(Decimal(0)), MaxValueValidator(Decimal(1_000_000))]


def _per_million(help_text: str, *, optional: bool = False) -> "models.DecimalField[Decimal | None, Decimal | None]":
    return models.DecimalField(
        max_digits=18, decimal_places=9, null=optional, blank=optional, validators=_PRICES, help_text=help_text
    )


class TokenPrice(models.Model):
    """What a project pays for a model's tokens, in place of the price list; in USD per million tokens."""

    # Models in use are tens, adapters hundreds.
    MOST = 1_000

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="token_prices")
    model = models.CharField(max_length=300, help_text="As it answers, to the letter.")
    input_per_million = _per_million("Input tokens.")
    output_per_million = _per_million("Output tokens.")
    cache_read_per_million = _per_million("Input read from a cache; empty: as input.", optional=True)
    cache_write_per_million = _per_million("Input written to a cache; empty: as input.", optional=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["model"]
        constraints = [models.UniqueConstraint(fields=["project", "model"], name="one_token_price_per_model")]

    def __str__(self) -> str:
        return f"{self.model} in {self.project}"


class AttributionPolicy(models.Model):
    """By which weights a project's GPUs are shared out over its requests; a project without one has the default."""

    # A thousand to one is beyond any two phases of one engine, and sums stay exact.
    LEAST, MOST = 0.01, 1_000.0

    project = models.OneToOneField(Project, on_delete=models.CASCADE, related_name="attribution_policy")
    prefill = models.FloatField(help_text="Weight of the prompt.")
    decode = models.FloatField(help_text="Weight of the answer.")
    per = models.CharField(max_length=8, choices=[("second", "second of it"), ("token", "token of it")])
    changed_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"prefill {self.prefill:g} : decode {self.decode:g} per {self.per}"
