"""What 0001 to 0002 make, at once: for databases that have none of them (docs/adr/0080)."""

import uuid

import django.db.models.deletion
from django.db import migrations, models

from heliograph.tables import CreateModels


class Migration(migrations.Migration):
    replaces = [("events", "0001_initial"), ("events", "0002_disk_filling")]

    initial = True

    dependencies = [
        ("accounts", "0005_gpu_models"),
    ]

    operations = [
        CreateModels(
            models=[
                migrations.CreateModel(
                    name="Event",
                    fields=[
                        ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                        (
                            "kind",
                            models.CharField(
                                choices=[
                                    ("score.below_bound", "A score came below its bound"),
                                    ("gate.failed", "A regression gate failed"),
                                    ("drift.found", "Drift was found"),
                                    ("annotation.done", "An annotation queue was finished"),
                                    ("export.ready", "An export is ready"),
                                    ("experiment.done", "An experiment ended"),
                                    ("schedule.failed", "A scheduled job failed"),
                                    ("disk.filling", "The store's disk is filling"),
                                ],
                                max_length=40,
                            ),
                        ),
                        ("body", models.JSONField()),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        ("taken_at", models.DateTimeField(blank=True, null=True)),
                        (
                            "project",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="events",
                                to="accounts.project",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["-created_at", "-pk"],
                        "indexes": [
                            models.Index(fields=["project", "-created_at"], name="events_of_a_project"),
                            models.Index(
                                condition=models.Q(("taken_at", None)), fields=["created_at"], name="events_to_take"
                            ),
                        ],
                    },
                ),
            ],
        ),
    ]
