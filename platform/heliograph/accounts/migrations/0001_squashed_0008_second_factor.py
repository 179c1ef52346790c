"""What 0001 to 0008 make, at once: for databases that have none of them (docs/adr/0080)."""

from decimal import Decimal

import django.contrib.auth.models
import django.contrib.auth.validators
import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import heliograph.accounts.models
from heliograph.tables import CreateModels


class Migration(migrations.Migration):
    replaces = [
        ("accounts", "0001_initial"),
        ("accounts", "0002_ingest_limits"),
        ("accounts", "0003_gpu_prices"),
        ("accounts", "0004_token_prices"),
        ("accounts", "0005_gpu_models"),
        ("accounts", "0006_people_and_scopes"),
        ("accounts", "0007_invitations"),
        ("accounts", "0008_second_factor"),
    ]

    initial = True

    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        CreateModels(
            models=[
                migrations.CreateModel(
                    name="User",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("password", models.CharField(max_length=128, verbose_name="password")),
                        ("last_login", models.DateTimeField(blank=True, null=True, verbose_name="last login")),
                        (
                            "is_superuser",
                            models.BooleanField(
                                default=False,
                                help_text="Designates that this user has all permissions without explicitly assigning them.",
                                verbose_name="superuser status",
                            ),
                        ),
                        (
                            "username",
                            models.CharField(
                                error_messages={"unique": "A user with that username already exists."},
                                help_text="Required. 150 characters or fewer. Letters, digits and @/./+/-/_ only.",
                                max_length=150,
                                unique=True,
                                validators=[django.contrib.auth.validators.UnicodeUsernameValidator()],
                                verbose_name="username",
                            ),
                        ),
                        ("first_name", models.CharField(blank=True, max_length=150, verbose_name="first name")),
                        ("last_name", models.CharField(blank=True, max_length=150, verbose_name="last name")),
                        ("email", models.EmailField(blank=True, max_length=254, verbose_name="email address")),
                        (
                            "is_staff",
                            models.BooleanField(
                                default=False,
                                help_text="Designates whether the user can log into this admin site.",
                                verbose_name="staff status",
                            ),
                        ),
                        (
                            "is_active",
                            models.BooleanField(
                                default=True,
                                help_text="Designates whether this user should be treated as active. Unselect this instead of deleting accounts.",
                                verbose_name="active",
                            ),
                        ),
                        (
                            "date_joined",
                            models.DateTimeField(default=django.utils.timezone.now, verbose_name="date joined"),
                        ),
                        (
                            "groups",
                            models.ManyToManyField(
                                blank=True,
                                help_text="The groups this user belongs to. A user will get all permissions granted to each of their groups.",
                                related_name="user_set",
                                related_query_name="user",
                                to="auth.group",
                                verbose_name="groups",
                            ),
                        ),
                        (
                            "user_permissions",
                            models.ManyToManyField(
                                blank=True,
                                help_text="Specific permissions for this user.",
                                related_name="user_set",
                                related_query_name="user",
                                to="auth.permission",
                                verbose_name="user permissions",
                            ),
                        ),
                        ("is_service_account", models.BooleanField(default=False)),
                    ],
                    options={
                        "verbose_name": "user",
                        "verbose_name_plural": "users",
                        "abstract": False,
                    },
                    managers=[
                        ("objects", django.contrib.auth.models.UserManager()),
                    ],
                ),
                migrations.CreateModel(
                    name="Membership",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        (
                            "role",
                            models.CharField(
                                choices=[
                                    ("viewer", "Viewer"),
                                    ("annotator", "Annotator"),
                                    ("editor", "Editor"),
                                    ("admin", "Admin"),
                                    ("owner", "Owner"),
                                ],
                                default="editor",
                                max_length=16,
                            ),
                        ),
                        (
                            "user",
                            models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL),
                        ),
                        (
                            "organization",
                            models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="accounts.organization"),
                        ),
                    ],
                    options={
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("organization", "user"), name="one_membership_per_organization"
                            )
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Organization",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("name", models.CharField(max_length=200)),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        (
                            "members",
                            models.ManyToManyField(
                                related_name="organizations", through="accounts.Membership", to=settings.AUTH_USER_MODEL
                            ),
                        ),
                        (
                            "requires_second_factor",
                            models.BooleanField(
                                default=False,
                                help_text="Who belongs to it, or to a project of it, gets nowhere without one.",
                            ),
                        ),
                    ],
                ),
                migrations.CreateModel(
                    name="Project",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("name", models.CharField(max_length=200)),
                        ("slug", models.SlugField(max_length=80, unique=True)),
                        (
                            "retention_days",
                            models.PositiveSmallIntegerField(default=0, help_text="0 takes HELIOGRAPH_RETENTION_DAYS."),
                        ),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        (
                            "organization",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="projects",
                                to="accounts.organization",
                            ),
                        ),
                        (
                            "keep_dead_letters",
                            models.BooleanField(
                                default=True,
                                help_text="Keep a bounded sample of bodies that were refused, so that a person can look at them.",
                            ),
                        ),
                        (
                            "max_bytes_per_day",
                            models.PositiveBigIntegerField(
                                blank=True,
                                help_text="Bytes of request bodies a day (UTC), as they are sent. Empty: no limit.",
                                null=True,
                                validators=[
                                    django.core.validators.MinValueValidator(1),
                                    django.core.validators.MaxValueValidator(1000000000000000),
                                ],
                            ),
                        ),
                        (
                            "max_spans_per_minute",
                            models.PositiveBigIntegerField(
                                blank=True,
                                help_text="Spans a minute: a burst of so many, refilled evenly. Empty: no limit.",
                                null=True,
                                validators=[
                                    django.core.validators.MinValueValidator(1),
                                    django.core.validators.MaxValueValidator(1000000000000000),
                                ],
                            ),
                        ),
                        (
                            "max_spans_per_month",
                            models.PositiveBigIntegerField(
                                blank=True,
                                help_text="Spans a calendar month (UTC). Empty: no limit.",
                                null=True,
                                validators=[
                                    django.core.validators.MinValueValidator(1),
                                    django.core.validators.MaxValueValidator(1000000000000000),
                                ],
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["name"],
                    },
                ),
                migrations.CreateModel(
                    name="ApiKey",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("name", models.CharField(max_length=200)),
                        (
                            "hint",
                            models.CharField(
                                help_text="The first characters, to tell keys apart in a list.", max_length=16
                            ),
                        ),
                        ("digest", models.CharField(max_length=64, unique=True)),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        ("revoked_at", models.DateTimeField(blank=True, null=True)),
                        (
                            "project",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="api_keys",
                                to="accounts.project",
                            ),
                        ),
                        (
                            "max_bytes_per_day",
                            models.PositiveBigIntegerField(
                                blank=True,
                                help_text="Bytes of request bodies a day (UTC), as they are sent. Empty: no limit.",
                                null=True,
                                validators=[
                                    django.core.validators.MinValueValidator(1),
                                    django.core.validators.MaxValueValidator(1000000000000000),
                                ],
                            ),
                        ),
                        (
                            "max_spans_per_minute",
                            models.PositiveBigIntegerField(
                                blank=True,
                                help_text="Spans a minute: a burst of so many, refilled evenly. Empty: no limit.",
                                null=True,
                                validators=[
                                    django.core.validators.MinValueValidator(1),
                                    django.core.validators.MaxValueValidator(1000000000000000),
                                ],
                            ),
                        ),
                        (
                            "max_spans_per_month",
                            models.PositiveBigIntegerField(
                                blank=True,
                                help_text="Spans a calendar month (UTC). Empty: no limit.",
                                null=True,
                                validators=[
                                    django.core.validators.MinValueValidator(1),
                                    django.core.validators.MaxValueValidator(1000000000000000),
                                ],
                            ),
                        ),
                        (
                            "expires_at",
                            models.DateTimeField(
                                blank=True, help_text="Empty: it holds until it is revoked.", null=True
                            ),
                        ),
                        ("last_used_at", models.DateTimeField(blank=True, help_text="To the minute.", null=True)),
                        ("scopes", models.JSONField(default=heliograph.accounts.models.usual_scopes)),
                        (
                            "service_account",
                            models.ForeignKey(
                                blank=True,
                                help_text="Whose key it is.",
                                null=True,
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="api_keys",
                                to=settings.AUTH_USER_MODEL,
                            ),
                        ),
                    ],
                ),
                migrations.CreateModel(
                    name="GpuPrice",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("valid_from", models.DateTimeField()),
                        ("usd_per_gpu_hour", models.DecimalField(decimal_places=6, max_digits=12)),
                        (
                            "usd_per_kwh",
                            models.DecimalField(
                                blank=True,
                                decimal_places=6,
                                help_text="Empty where the hour includes the power.",
                                max_digits=12,
                                null=True,
                            ),
                        ),
                        ("pue", models.DecimalField(decimal_places=3, default=Decimal("1"), max_digits=5)),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        (
                            "project",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="gpu_prices",
                                to="accounts.project",
                            ),
                        ),
                        (
                            "gpu_name",
                            models.CharField(
                                blank=True,
                                default="",
                                help_text="As the agent names it; empty for every other model.",
                                max_length=120,
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["-valid_from"],
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("project", "gpu_name", "valid_from"), name="one_gpu_price_at_a_time"
                            )
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="TokenPrice",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("model", models.CharField(help_text="As it answers, to the letter.", max_length=300)),
                        (
                            "input_per_million",
                            models.DecimalField(
                                decimal_places=9,
                                help_text="Input tokens.",
                                max_digits=18,
                                validators=[
                                    django.core.validators.MinValueValidator(Decimal("0")),
                                    django.core.validators.MaxValueValidator(Decimal("1000000")),
                                ],
                            ),
                        ),
                        (
                            "output_per_million",
                            models.DecimalField(
                                decimal_places=9,
                                help_text="Output tokens.",
                                max_digits=18,
                                validators=[
                                    django.core.validators.MinValueValidator(Decimal("0")),
                                    django.core.validators.MaxValueValidator(Decimal("1000000")),
                                ],
                            ),
                        ),
                        (
                            "cache_read_per_million",
                            models.DecimalField(
                                blank=True,
                                decimal_places=9,
                                help_text="Input read from a cache; empty: as input.",
                                max_digits=18,
                                null=True,
                                validators=[
                                    django.core.validators.MinValueValidator(Decimal("0")),
                                    django.core.validators.MaxValueValidator(Decimal("1000000")),
                                ],
                            ),
                        ),
                        (
                            "cache_write_per_million",
                            models.DecimalField(
                                blank=True,
                                decimal_places=9,
                                help_text="Input written to a cache; empty: as input.",
                                max_digits=18,
                                null=True,
                                validators=[
                                    django.core.validators.MinValueValidator(Decimal("0")),
                                    django.core.validators.MaxValueValidator(Decimal("1000000")),
                                ],
                            ),
                        ),
                        ("updated_at", models.DateTimeField(auto_now=True)),
                        (
                            "project",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="token_prices",
                                to="accounts.project",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["model"],
                        "constraints": [
                            models.UniqueConstraint(fields=("project", "model"), name="one_token_price_per_model")
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="AttributionPolicy",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("prefill", models.FloatField(help_text="Weight of the prompt.")),
                        ("decode", models.FloatField(help_text="Weight of the answer.")),
                        (
                            "per",
                            models.CharField(
                                choices=[("second", "second of it"), ("token", "token of it")], max_length=8
                            ),
                        ),
                        ("changed_at", models.DateTimeField(auto_now=True)),
                        (
                            "project",
                            models.OneToOneField(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="attribution_policy",
                                to="accounts.project",
                            ),
                        ),
                    ],
                ),
                migrations.CreateModel(
                    name="ProjectMembership",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        (
                            "role",
                            models.CharField(
                                choices=[
                                    ("viewer", "Viewer"),
                                    ("annotator", "Annotator"),
                                    ("editor", "Editor"),
                                    ("admin", "Admin"),
                                    ("owner", "Owner"),
                                ],
                                default="viewer",
                                max_length=16,
                            ),
                        ),
                        (
                            "project",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="memberships",
                                to="accounts.project",
                            ),
                        ),
                        (
                            "user",
                            models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL),
                        ),
                    ],
                    options={
                        "constraints": [
                            models.UniqueConstraint(fields=("project", "user"), name="one_membership_per_project")
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Invitation",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        (
                            "role",
                            models.CharField(
                                choices=[
                                    ("viewer", "Viewer"),
                                    ("annotator", "Annotator"),
                                    ("editor", "Editor"),
                                    ("admin", "Admin"),
                                    ("owner", "Owner"),
                                ],
                                max_length=16,
                            ),
                        ),
                        (
                            "email",
                            models.EmailField(
                                blank=True,
                                default="",
                                help_text="Where the link was sent; empty: it was handed over.",
                                max_length=254,
                            ),
                        ),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        ("expires_at", models.DateTimeField()),
                        ("accepted_at", models.DateTimeField(blank=True, null=True)),
                        ("revoked_at", models.DateTimeField(blank=True, null=True)),
                        (
                            "accepted_by",
                            models.ForeignKey(
                                blank=True,
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="+",
                                to=settings.AUTH_USER_MODEL,
                            ),
                        ),
                        (
                            "invited_by",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="+",
                                to=settings.AUTH_USER_MODEL,
                            ),
                        ),
                        (
                            "organization",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="invitations",
                                to="accounts.organization",
                            ),
                        ),
                        (
                            "project",
                            models.ForeignKey(
                                blank=True,
                                null=True,
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="invitations",
                                to="accounts.project",
                            ),
                        ),
                    ],
                ),
            ],
        ),
        # What `createcachetable` makes. Django has no model of it.
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.CreateModel(
                    name="CacheRow",
                    fields=[
                        ("cache_key", models.CharField(max_length=255, primary_key=True, serialize=False)),
                        ("value", models.TextField()),
                        ("expires", models.DateTimeField(db_index=True)),
                    ],
                    options={"db_table": "heliograph_cache"},
                )
            ]
        ),
    ]
