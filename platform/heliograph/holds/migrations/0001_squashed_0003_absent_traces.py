"""What 0001 to 0003 make, at once: for databases that have none of them (docs/adr/0080)."""

import django.db.models.deletion
from django.db import migrations, models

from heliograph.tables import CreateModels


class Migration(migrations.Migration):
    replaces = [("holds", "0001_initial"), ("holds", "0002_tries"), ("holds", "0003_absent_traces")]

    initial = True

    dependencies = [
        ("accounts", "0008_second_factor"),
    ]

    operations = [
        CreateModels(
            models=[
                migrations.CreateModel(
                    name="Hold",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        (
                            "kind",
                            models.CharField(
                                choices=[
                                    ("traces", "Traces by their ids"),
                                    ("session", "A session"),
                                    ("user", "A user"),
                                    ("filter", "A filter and a time range"),
                                ],
                                max_length=10,
                            ),
                        ),
                        ("subject", models.TextField(blank=True, default="", max_length=4000)),
                        ("start", models.DateTimeField(blank=True, help_text="Of a filter.", null=True)),
                        ("end", models.DateTimeField(blank=True, help_text="Of a filter.", null=True)),
                        ("reason", models.CharField(max_length=500)),
                        (
                            "state",
                            models.CharField(
                                choices=[
                                    ("placing", "being placed"),
                                    ("active", "in force"),
                                    ("lifting", "being lifted"),
                                    ("lifted", "lifted"),
                                ],
                                default="placing",
                                max_length=8,
                            ),
                        ),
                        ("placed_by", models.CharField(max_length=200)),
                        ("placed_at", models.DateTimeField(auto_now_add=True)),
                        ("lifted_by", models.CharField(blank=True, default="", max_length=200)),
                        ("lifted_at", models.DateTimeField(blank=True, null=True)),
                        ("lift_reason", models.CharField(blank=True, default="", max_length=500)),
                        ("traces", models.PositiveIntegerField(default=0)),
                        (
                            "is_cut",
                            models.BooleanField(default=False, help_text="More traces belong to it than it can hold."),
                        ),
                        ("is_found", models.BooleanField(default=False, editable=False)),
                        ("found_after", models.TextField(blank=True, default="", editable=False)),
                        ("swept_at", models.DateTimeField(blank=True, null=True)),
                        ("leased_until", models.DateTimeField(blank=True, null=True)),
                        ("claims", models.PositiveIntegerField(default=0, editable=False)),
                        (
                            "error",
                            models.TextField(
                                blank=True, default="", help_text="Why the last try did not come further."
                            ),
                        ),
                        (
                            "project",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT, related_name="holds", to="accounts.project"
                            ),
                        ),
                        ("not_before", models.DateTimeField(blank=True, editable=False, null=True)),
                        (
                            "tries",
                            models.PositiveIntegerField(
                                default=0, editable=False, help_text="Since a turn that went well."
                            ),
                        ),
                        (
                            "absent",
                            models.PositiveIntegerField(
                                default=0,
                                help_text="Those of them of which the store has nothing: not there, over, or their removal had begun before.",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["-pk"],
                        "indexes": [models.Index(fields=["project", "state"], name="holds_of_project")],
                    },
                ),
                migrations.CreateModel(
                    name="HeldTrace",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("trace_id", models.CharField(max_length=32)),
                        ("is_kept", models.BooleanField(default=False)),
                        (
                            "project",
                            models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="accounts.project"),
                        ),
                        (
                            "hold",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE, related_name="held", to="holds.hold"
                            ),
                        ),
                        ("is_absent", models.BooleanField(default=False)),
                    ],
                    options={
                        "indexes": [models.Index(fields=["project", "trace_id"], name="held_traces")],
                        "constraints": [
                            models.UniqueConstraint(fields=("hold", "trace_id"), name="one_trace_of_a_hold")
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="HeldBlob",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("name", models.CharField(max_length=80)),
                        (
                            "project",
                            models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="accounts.project"),
                        ),
                        (
                            "hold",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE, related_name="blobs", to="holds.hold"
                            ),
                        ),
                    ],
                    options={
                        "indexes": [models.Index(fields=["project", "name"], name="held_blobs")],
                        "constraints": [models.UniqueConstraint(fields=("hold", "name"), name="one_blob_of_a_hold")],
                    },
                ),
            ],
        ),
    ]
