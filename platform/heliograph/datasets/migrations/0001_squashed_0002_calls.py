"""What 0001 to 0002 make, at once: for databases that have none of them (docs/adr/0080)."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from heliograph.tables import CreateModels


class Migration(migrations.Migration):
    replaces = [("datasets", "0001_initial"), ("datasets", "0002_calls")]

    initial = True

    dependencies = [
        ("accounts", "0005_gpu_models"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        CreateModels(
            models=[
                migrations.CreateModel(
                    name="Dataset",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("name", models.CharField(max_length=200)),
                        ("description", models.CharField(blank=True, default="", max_length=2000)),
                        ("latest", models.PositiveIntegerField(default=0)),
                        ("next_position", models.PositiveBigIntegerField(default=1)),
                        ("stored_rows", models.PositiveBigIntegerField(default=0)),
                        ("stored_bytes", models.PositiveBigIntegerField(default=0)),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        ("updated_at", models.DateTimeField(auto_now=True)),
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
                                related_name="datasets",
                                to="accounts.project",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["-updated_at", "-pk"],
                        "constraints": [
                            models.UniqueConstraint(fields=("project", "name"), name="one_dataset_of_a_name")
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Content",
                    fields=[
                        ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                        ("input", models.JSONField()),
                        ("expected", models.JSONField(null=True)),
                        ("context", models.JSONField(null=True)),
                        ("metadata", models.JSONField(default=dict)),
                        ("size", models.PositiveIntegerField(help_text="Bytes as JSON.")),
                        (
                            "dataset",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE, related_name="+", to="datasets.dataset"
                            ),
                        ),
                    ],
                ),
                migrations.CreateModel(
                    name="DatasetVersion",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("number", models.PositiveIntegerField()),
                        (
                            "source",
                            models.CharField(
                                choices=[
                                    ("upload", "Upload"),
                                    ("traces", "Traces"),
                                    ("api", "Api"),
                                    ("person", "Person"),
                                    ("split", "Split"),
                                ],
                                max_length=10,
                            ),
                        ),
                        ("note", models.CharField(blank=True, default="", max_length=500)),
                        ("added", models.PositiveIntegerField(default=0)),
                        ("changed", models.PositiveIntegerField(default=0)),
                        ("removed", models.PositiveIntegerField(default=0)),
                        ("rows", models.PositiveIntegerField(default=0)),
                        ("splits", models.JSONField(default=dict)),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
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
                            "dataset",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="versions",
                                to="datasets.dataset",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["-number"],
                        "constraints": [
                            models.UniqueConstraint(fields=("dataset", "number"), name="one_version_of_a_number")
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Endpoint",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("name", models.CharField(max_length=100)),
                        (
                            "base_url",
                            models.CharField(
                                help_text="Ends before /chat/completions, such as https://host/v1.", max_length=500
                            ),
                        ),
                        (
                            "api_key",
                            models.TextField(
                                blank=True, default="", help_text="Encrypted; empty where the server needs none."
                            ),
                        ),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        (
                            "project",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="endpoints",
                                to="accounts.project",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["name"],
                        "constraints": [
                            models.UniqueConstraint(fields=("project", "name"), name="one_endpoint_of_a_name")
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Experiment",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("version", models.PositiveIntegerField()),
                        ("split", models.CharField(blank=True, default="", max_length=50)),
                        ("name", models.CharField(max_length=200)),
                        (
                            "kind",
                            models.CharField(
                                choices=[
                                    ("endpoint", "an endpoint, called by Heliograph"),
                                    ("function", "a function of the user's, which sends its results"),
                                ],
                                max_length=10,
                            ),
                        ),
                        (
                            "status",
                            models.CharField(
                                choices=[
                                    ("queued", "Queued"),
                                    ("running", "Running"),
                                    ("scoring", "Scoring"),
                                    ("done", "Done"),
                                    ("failed", "Failed"),
                                    ("canceled", "Canceled"),
                                ],
                                default="queued",
                                max_length=10,
                            ),
                        ),
                        ("target", models.JSONField(default=dict)),
                        ("evaluators", models.JSONField(default=list)),
                        ("metadata", models.JSONField(default=dict)),
                        ("rows", models.PositiveIntegerField(default=0)),
                        ("done", models.PositiveIntegerField(default=0)),
                        ("failed", models.PositiveIntegerField(default=0)),
                        ("scored", models.PositiveIntegerField(default=0)),
                        ("summary", models.JSONField(default=dict)),
                        ("error", models.TextField(blank=True, default="")),
                        ("cancel_requested", models.BooleanField(default=False)),
                        ("lost", models.PositiveSmallIntegerField(default=0)),
                        ("leased_until", models.DateTimeField(blank=True, null=True)),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        ("started_at", models.DateTimeField(blank=True, null=True)),
                        ("finished_at", models.DateTimeField(blank=True, null=True)),
                        (
                            "dataset",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="experiments",
                                to="datasets.dataset",
                            ),
                        ),
                        (
                            "project",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="experiments",
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
                        "indexes": [
                            models.Index(fields=["project", "-created_at"], name="experiments_of_a_project"),
                            models.Index(fields=["status", "leased_until"], name="experiments_to_work_on"),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Comparison",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("score", models.CharField(max_length=200)),
                        ("fingerprint", models.CharField(max_length=64)),
                        ("result", models.JSONField(default=dict)),
                        ("error", models.TextField(blank=True, default="")),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        ("computed_at", models.DateTimeField(blank=True, null=True)),
                        (
                            "project",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE, related_name="+", to="accounts.project"
                            ),
                        ),
                        (
                            "baseline",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE, related_name="+", to="datasets.experiment"
                            ),
                        ),
                        (
                            "candidate",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE, related_name="+", to="datasets.experiment"
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["-created_at"],
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("baseline", "candidate", "score"), name="one_comparison_of_two_runs"
                            )
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Row",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("key", models.CharField(max_length=200)),
                        ("position", models.PositiveBigIntegerField()),
                        ("split", models.CharField(blank=True, default="", max_length=50)),
                        ("trace_id", models.CharField(blank=True, default="", max_length=32)),
                        ("span_id", models.CharField(blank=True, default="", max_length=16)),
                        ("added_in", models.PositiveIntegerField()),
                        ("removed_in", models.PositiveIntegerField(blank=True, null=True)),
                        (
                            "content",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE, related_name="+", to="datasets.content"
                            ),
                        ),
                        (
                            "dataset",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE, related_name="rows", to="datasets.dataset"
                            ),
                        ),
                    ],
                    options={
                        "indexes": [
                            models.Index(fields=["dataset", "position"], name="rows_in_order"),
                            models.Index(fields=["dataset", "key"], name="rows_by_key"),
                            models.Index(fields=["dataset", "added_in"], name="rows_by_version"),
                            models.Index(fields=["dataset", "removed_in"], name="rows_by_removal"),
                        ],
                        "constraints": [
                            models.UniqueConstraint(
                                condition=models.Q(("removed_in", None)),
                                fields=("dataset", "key"),
                                name="one_row_of_a_key_at_a_time",
                            )
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Result",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("key", models.CharField(max_length=200)),
                        ("position", models.PositiveBigIntegerField()),
                        ("content_id", models.UUIDField()),
                        ("status", models.CharField(choices=[("ok", "Ok"), ("error", "Error")], max_length=5)),
                        ("output", models.JSONField(null=True)),
                        ("error", models.CharField(blank=True, default="", max_length=2000)),
                        ("trace_id", models.CharField(blank=True, default="", max_length=32)),
                        ("span_id", models.CharField(blank=True, default="", max_length=16)),
                        ("attempts", models.PositiveSmallIntegerField(default=1)),
                        ("duration_ms", models.FloatField(null=True)),
                        ("input_tokens", models.PositiveIntegerField(null=True)),
                        ("output_tokens", models.PositiveIntegerField(null=True)),
                        ("scores", models.JSONField(default=dict)),
                        ("is_scored", models.BooleanField(default=False)),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        (
                            "experiment",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="results",
                                to="datasets.experiment",
                            ),
                        ),
                        (
                            "row",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE, related_name="+", to="datasets.row"
                            ),
                        ),
                        ("call", models.JSONField(default=dict)),
                        ("is_recorded", models.BooleanField(default=True)),
                    ],
                    options={
                        "ordering": ["position"],
                        "indexes": [
                            models.Index(fields=["experiment", "position"], name="results_in_order"),
                            models.Index(fields=["experiment", "is_scored"], name="results_to_score"),
                            models.Index(fields=["trace_id"], name="results_by_trace"),
                            models.Index(
                                condition=models.Q(("is_recorded", False)),
                                fields=["experiment"],
                                name="results_to_record",
                            ),
                        ],
                        "constraints": [
                            models.UniqueConstraint(fields=("experiment", "row"), name="one_result_of_a_row")
                        ],
                    },
                ),
            ],
        ),
    ]
