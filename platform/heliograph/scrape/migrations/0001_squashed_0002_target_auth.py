"""What 0001 to 0002 make, at once: for databases that have none of them (docs/adr/0080)."""

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

import heliograph.scrape.credentials
import heliograph.scrape.models
from heliograph.tables import CreateModels


class Migration(migrations.Migration):
    replaces = [("scrape", "0001_initial"), ("scrape", "0002_target_auth")]

    initial = True

    dependencies = [
        ("accounts", "0004_token_prices"),
    ]

    operations = [
        CreateModels(
            models=[
                migrations.CreateModel(
                    name="Discovery",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        (
                            "source",
                            models.CharField(
                                choices=[("settings", "Settings"), ("file", "File"), ("kubernetes", "Kubernetes")],
                                max_length=16,
                                unique=True,
                            ),
                        ),
                        ("looked_at", models.DateTimeField()),
                        ("found", models.PositiveIntegerField(default=0)),
                        ("error", models.CharField(blank=True, max_length=500)),
                    ],
                ),
                migrations.CreateModel(
                    name="ScrapeTarget",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("name", models.CharField(help_text="service.name of its points.", max_length=200)),
                        ("url", models.CharField(max_length=500, validators=[heliograph.scrape.models.check_url])),
                        (
                            "interval_s",
                            models.PositiveIntegerField(
                                default=15,
                                validators=[
                                    django.core.validators.MinValueValidator(5),
                                    django.core.validators.MaxValueValidator(3600),
                                ],
                            ),
                        ),
                        (
                            "timeout_s",
                            models.PositiveIntegerField(
                                default=5,
                                validators=[
                                    django.core.validators.MinValueValidator(1),
                                    django.core.validators.MaxValueValidator(60),
                                ],
                            ),
                        ),
                        (
                            "labels",
                            models.JSONField(
                                blank=True, default=dict, validators=[heliograph.scrape.models.check_labels]
                            ),
                        ),
                        (
                            "source",
                            models.CharField(
                                choices=[("settings", "Settings"), ("file", "File"), ("kubernetes", "Kubernetes")],
                                default="settings",
                                max_length=16,
                            ),
                        ),
                        ("is_paused", models.BooleanField(default=False)),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        ("last_scrape_at", models.DateTimeField(blank=True, null=True)),
                        ("last_error", models.CharField(blank=True, max_length=500)),
                        ("last_seconds", models.FloatField(blank=True, null=True)),
                        ("last_samples", models.PositiveIntegerField(blank=True, null=True)),
                        (
                            "project",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="scrape_targets",
                                to="accounts.project",
                            ),
                        ),
                        (
                            "auth",
                            models.JSONField(
                                blank=True,
                                db_default={},
                                default=dict,
                                validators=[heliograph.scrape.credentials.check_auth],
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["name", "url"],
                        "constraints": [
                            models.UniqueConstraint(fields=("project", "url"), name="one_scrape_target_per_url")
                        ],
                    },
                ),
            ],
        ),
    ]
