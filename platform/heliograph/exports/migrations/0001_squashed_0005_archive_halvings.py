"""What 0001 to 0005 make, at once: for databases that have none of them (docs/adr/0080)."""

import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from heliograph.tables import CreateModels


class Migration(migrations.Migration):
    replaces = [
        ("exports", "0001_initial"),
        ("exports", "0002_archive"),
        ("exports", "0003_archive_asked_for_again"),
        ("exports", "0004_archive_may_lose"),
        ("exports", "0005_archive_halvings"),
    ]

    initial = True

    dependencies = [
        ("accounts", "0008_second_factor"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        CreateModels(
            models=[
                migrations.CreateModel(
                    name="Export",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        (
                            "status",
                            models.CharField(
                                choices=[
                                    ("queued", "Queued"),
                                    ("running", "Running"),
                                    ("done", "Done"),
                                    ("failed", "Failed"),
                                ],
                                default="queued",
                                max_length=10,
                            ),
                        ),
                        ("result", models.JSONField(default=dict)),
                        ("error", models.TextField(blank=True, default="")),
                        ("attempts", models.PositiveSmallIntegerField(default=0)),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        ("started_at", models.DateTimeField(blank=True, null=True)),
                        ("finished_at", models.DateTimeField(blank=True, null=True)),
                        ("leased_until", models.DateTimeField(blank=True, null=True)),
                        (
                            "what",
                            models.CharField(
                                choices=[("traces", "Traces"), ("spans", "Spans")], default="traces", max_length=10
                            ),
                        ),
                        (
                            "format",
                            models.CharField(
                                choices=[("jsonl", "JSON lines"), ("csv", "CSV")], default="jsonl", max_length=10
                            ),
                        ),
                        ("filter", models.TextField(blank=True, default="", max_length=4000)),
                        ("start", models.DateTimeField()),
                        ("end", models.DateTimeField()),
                        ("parts", models.JSONField(blank=True, default=list, editable=False)),
                        ("cursor", models.TextField(blank=True, default="", editable=False)),
                        ("turns", models.PositiveIntegerField(default=0, editable=False)),
                        ("rows", models.PositiveIntegerField(default=0, editable=False)),
                        ("bytes", models.PositiveBigIntegerField(default=0, editable=False)),
                        ("is_cut", models.BooleanField(default=False, editable=False)),
                        ("until", models.CharField(default="", editable=False, max_length=10)),
                        ("expires_at", models.DateTimeField(blank=True, editable=False, null=True)),
                        (
                            "project",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="exports",
                                to="accounts.project",
                            ),
                        ),
                        (
                            "requested_by",
                            models.ForeignKey(
                                blank=True,
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="+",
                                to=settings.AUTH_USER_MODEL,
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["-pk"],
                        "indexes": [models.Index(fields=["status", "leased_until"], name="exports_to_work_on")],
                    },
                ),
                migrations.CreateModel(
                    name="Archive",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("is_on", models.BooleanField(default=True)),
                        ("signals", models.JSONField(default=list)),
                        (
                            "hours",
                            models.PositiveSmallIntegerField(
                                default=6,
                                validators=[
                                    django.core.validators.MinValueValidator(1),
                                    django.core.validators.MaxValueValidator(168),
                                ],
                            ),
                        ),
                        ("next_day", models.DateField()),
                        (
                            "project",
                            models.OneToOneField(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="archive",
                                to="accounts.project",
                            ),
                        ),
                    ],
                ),
                migrations.CreateModel(
                    name="ArchivedDay",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        (
                            "status",
                            models.CharField(
                                choices=[
                                    ("queued", "Queued"),
                                    ("running", "Running"),
                                    ("done", "Done"),
                                    ("failed", "Failed"),
                                ],
                                default="queued",
                                max_length=10,
                            ),
                        ),
                        ("result", models.JSONField(default=dict)),
                        ("error", models.TextField(blank=True, default="")),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        ("started_at", models.DateTimeField(blank=True, null=True)),
                        ("finished_at", models.DateTimeField(blank=True, null=True)),
                        ("leased_until", models.DateTimeField(blank=True, null=True)),
                        ("day", models.DateField()),
                        ("signals", models.JSONField(default=list)),
                        ("cursor", models.JSONField(default=list, editable=False)),
                        ("files", models.JSONField(default=list, editable=False)),
                        ("attempts", models.PositiveIntegerField(default=0)),
                        ("turns", models.PositiveIntegerField(default=0, editable=False)),
                        ("rows", models.PositiveBigIntegerField(default=0, editable=False)),
                        (
                            "project",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="archived_days",
                                to="accounts.project",
                            ),
                        ),
                        (
                            "requested_by",
                            models.ForeignKey(
                                blank=True,
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="+",
                                to=settings.AUTH_USER_MODEL,
                            ),
                        ),
                        ("asked", models.PositiveIntegerField(default=1, editable=False)),
                        ("begun", models.PositiveIntegerField(default=0, editable=False)),
                        ("may_lose", models.BooleanField(default=False)),
                        ("halvings", models.PositiveSmallIntegerField(default=0, editable=False)),
                    ],
                    options={
                        "ordering": ["-day"],
                        "indexes": [models.Index(fields=["status", "leased_until"], name="archived_days_to_work_on")],
                        "constraints": [
                            models.UniqueConstraint(fields=("project", "day"), name="a_day_is_archived_once")
                        ],
                    },
                ),
            ],
        ),
    ]
