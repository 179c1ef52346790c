import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from heliograph.tables import CreateModels


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0005_gpu_models"),
        ("datasets", "0002_calls"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        CreateModels(
            models=[
                migrations.CreateModel(
                    name="Gate",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("name", models.CharField(max_length=100)),
                        (
                            "source",
                            models.CharField(
                                choices=[("live", "live traffic"), ("dataset", "two runs over a data set")],
                                max_length=10,
                            ),
                        ),
                        ("scope", models.TextField(blank=True, default="")),
                        ("baseline", models.TextField(blank=True, default="")),
                        ("candidate", models.TextField(blank=True, default="")),
                        ("hours", models.FloatField(default=24)),
                        ("metrics", models.JSONField(default=list)),
                        ("alpha", models.FloatField(default=0.05)),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        (
                            "baseline_run",
                            models.ForeignKey(
                                blank=True,
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="+",
                                to="datasets.experiment",
                            ),
                        ),
                        (
                            "candidate_run",
                            models.ForeignKey(
                                blank=True,
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="+",
                                to="datasets.experiment",
                            ),
                        ),
                        (
                            "project",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE, related_name="gates", to="accounts.project"
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["name", "pk"],
                        "constraints": [models.UniqueConstraint(fields=("project", "name"), name="one_gate_of_a_name")],
                    },
                ),
                migrations.CreateModel(
                    name="GateRun",
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
                            "gate",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE, related_name="runs", to="gates.gate"
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
                        "ordering": ["-created_at", "-pk"],
                        "indexes": [
                            models.Index(fields=["gate", "-created_at"], name="runs_of_a_gate"),
                            models.Index(fields=["status", "leased_until"], name="gate_runs_to_work_on"),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Monitor",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("name", models.CharField(max_length=100)),
                        ("is_on", models.BooleanField(default=True)),
                        ("is_default", models.BooleanField(default=False)),
                        ("scope", models.TextField(blank=True, default="")),
                        ("signals", models.JSONField(default=list)),
                        ("segments", models.JSONField(default=list)),
                        (
                            "reference",
                            models.CharField(
                                choices=[("sliding", "the time before it"), ("pinned", "a time of your choice")],
                                default="sliding",
                                max_length=10,
                            ),
                        ),
                        ("reference_hours", models.FloatField(default=168)),
                        ("pinned_from", models.DateTimeField(blank=True, null=True)),
                        ("pinned_to", models.DateTimeField(blank=True, null=True)),
                        ("current_hours", models.FloatField(default=24)),
                        ("every_hours", models.FloatField(default=24)),
                        ("alpha", models.FloatField(default=0.05)),
                        ("min_effect", models.FloatField(default=0.1)),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        ("next_look_at", models.DateTimeField(blank=True, null=True)),
                        (
                            "project",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="drift_monitors",
                                to="accounts.project",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["name", "pk"],
                        "indexes": [models.Index(fields=["is_on", "next_look_at"], name="monitors_to_look")],
                        "constraints": [
                            models.UniqueConstraint(fields=("project", "name"), name="one_monitor_of_a_name")
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Look",
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
                        ("until", models.DateTimeField()),
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
                        (
                            "monitor",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE, related_name="looks", to="gates.monitor"
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["-created_at", "-pk"],
                        "indexes": [
                            models.Index(fields=["monitor", "-created_at"], name="looks_of_a_monitor"),
                            models.Index(fields=["status", "leased_until"], name="looks_to_work_on"),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Finding",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("signal", models.CharField(max_length=200)),
                        ("segment_field", models.CharField(blank=True, default="", max_length=200)),
                        ("segment_value", models.CharField(blank=True, default="", max_length=500)),
                        ("effect", models.FloatField()),
                        ("q_value", models.FloatField()),
                        ("details", models.JSONField(default=dict)),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        (
                            "project",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="drift_findings",
                                to="accounts.project",
                            ),
                        ),
                        (
                            "look",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE, related_name="findings", to="gates.look"
                            ),
                        ),
                        (
                            "monitor",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE, related_name="findings", to="gates.monitor"
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["-created_at", "-pk"],
                        "indexes": [
                            models.Index(fields=["project", "-created_at", "-id"], name="findings_of_a_project")
                        ],
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("look", "signal", "segment_field", "segment_value"),
                                name="one_finding_of_a_look",
                            )
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Watch",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("is_on", models.BooleanField(default=True)),
                        ("started_at_us", models.BigIntegerField()),
                        ("read_to_us", models.BigIntegerField()),
                        ("state", models.BinaryField(default=bytes)),
                        ("result", models.JSONField(default=dict)),
                        ("verdict", models.CharField(default="not_enough_data", max_length=20)),
                        ("decided_at", models.DateTimeField(blank=True, null=True)),
                        ("looked_at", models.DateTimeField(blank=True, null=True)),
                        ("error", models.TextField(blank=True, default="")),
                        (
                            "gate",
                            models.OneToOneField(
                                on_delete=django.db.models.deletion.CASCADE, related_name="watch", to="gates.gate"
                            ),
                        ),
                    ],
                ),
            ],
        ),
    ]
