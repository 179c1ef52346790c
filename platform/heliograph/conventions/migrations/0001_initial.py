import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

from heliograph.tables import CreateModels


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0002_ingest_limits"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        CreateModels(
            models=[
                migrations.CreateModel(
                    name="Reapplication",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("revision", models.PositiveIntegerField()),
                        ("start", models.DateTimeField(help_text="A whole minute, included.")),
                        ("end", models.DateTimeField(help_text="A whole minute, excluded.")),
                        ("cursor", models.DateTimeField()),
                        (
                            "status",
                            models.CharField(
                                choices=[
                                    ("queued", "Queued"),
                                    ("running", "Running"),
                                    ("done", "Done"),
                                    ("failed", "Failed"),
                                    ("cancelled", "Cancelled"),
                                ],
                                default="queued",
                                max_length=10,
                            ),
                        ),
                        ("cancel_requested", models.BooleanField(default=False)),
                        (
                            "spans_total",
                            models.PositiveBigIntegerField(
                                default=0, help_text="Spans of older revisions when it was asked for."
                            ),
                        ),
                        ("spans_done", models.PositiveBigIntegerField(default=0)),
                        (
                            "spans_changed",
                            models.PositiveBigIntegerField(
                                default=0, help_text="Of those, spans in which a field changed."
                            ),
                        ),
                        ("note", models.TextField(blank=True, default="", help_text="Why it waits.")),
                        ("error", models.TextField(blank=True, default="")),
                        ("attempts", models.PositiveSmallIntegerField(default=0)),
                        ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                        ("started_at", models.DateTimeField(blank=True, null=True)),
                        ("finished_at", models.DateTimeField(blank=True, null=True)),
                        ("leased_until", models.DateTimeField(blank=True, null=True)),
                        (
                            "project",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="reapplications",
                                to="accounts.project",
                            ),
                        ),
                        (
                            "requested_by",
                            models.ForeignKey(
                                blank=True,
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                to=settings.AUTH_USER_MODEL,
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["-created_at", "-pk"],
                        "indexes": [models.Index(fields=["status", "leased_until"], name="reapplications_to_work_on")],
                        "constraints": [
                            models.UniqueConstraint(
                                condition=models.Q(("status__in", ["queued", "running"])),
                                fields=("project",),
                                name="one_open_reapplication_per_project",
                            )
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Ruleset",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("revision", models.PositiveIntegerField()),
                        ("rules", models.JSONField(default=list)),
                        (
                            "change",
                            models.CharField(help_text="What this revision changed, for people.", max_length=400),
                        ),
                        ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                        (
                            "created_by",
                            models.ForeignKey(
                                blank=True,
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                to=settings.AUTH_USER_MODEL,
                            ),
                        ),
                        (
                            "project",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="rulesets",
                                to="accounts.project",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["-revision"],
                        "constraints": [
                            models.UniqueConstraint(fields=("project", "revision"), name="one_ruleset_per_revision")
                        ],
                    },
                ),
            ],
        ),
    ]
