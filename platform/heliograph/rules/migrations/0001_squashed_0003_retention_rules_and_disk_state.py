"""What 0001 to 0003 make, at once: for databases that have none of them (docs/adr/0080)."""

import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from heliograph.tables import CreateModels


class Migration(migrations.Migration):
    replaces = [
        ("rules", "0001_initial"),
        ("rules", "0002_completeness_and_tail_sampling"),
        ("rules", "0003_retention_rules_and_disk_state"),
    ]

    initial = True

    dependencies = [
        ("accounts", "0005_gpu_models"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        CreateModels(
            models=[
                migrations.CreateModel(
                    name="RedactionRule",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("name", models.CharField(max_length=60)),
                        ("position", models.PositiveIntegerField(default=0)),
                        ("enabled", models.BooleanField(default=True)),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        (
                            "kind",
                            models.CharField(
                                choices=[
                                    ("built_in", "Built-in patterns"),
                                    ("regex", "Regular expression"),
                                    ("key", "Attribute by name"),
                                    ("presidio", "Presidio"),
                                ],
                                default="built_in",
                                max_length=16,
                            ),
                        ),
                        (
                            "kinds",
                            models.JSONField(blank=True, default=list, help_text="Of a built-in rule: what it finds."),
                        ),
                        (
                            "pattern",
                            models.CharField(
                                blank=True, default="", help_text="A regular expression or a key glob.", max_length=1000
                            ),
                        ),
                        (
                            "action",
                            models.CharField(
                                choices=[("mask", "Mask"), ("hash", "Hash"), ("drop", "Remove")],
                                default="mask",
                                max_length=8,
                            ),
                        ),
                        (
                            "project",
                            models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="accounts.project"),
                        ),
                    ],
                    options={
                        "ordering": ["position", "pk"],
                        "abstract": False,
                    },
                ),
                migrations.CreateModel(
                    name="SamplingRule",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("name", models.CharField(max_length=60)),
                        ("position", models.PositiveIntegerField(default=0)),
                        ("enabled", models.BooleanField(default=True)),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        (
                            "stage",
                            models.CharField(
                                choices=[("head", "When a span arrives"), ("tail", "When the trace is complete")],
                                default="head",
                                max_length=4,
                            ),
                        ),
                        (
                            "service",
                            models.CharField(
                                blank=True, default="", help_text="A glob; empty for every service.", max_length=200
                            ),
                        ),
                        (
                            "environment",
                            models.CharField(
                                blank=True, default="", help_text="A glob; empty for each.", max_length=200
                            ),
                        ),
                        (
                            "rate",
                            models.FloatField(
                                default=1.0,
                                validators=[
                                    django.core.validators.MinValueValidator(0.0),
                                    django.core.validators.MaxValueValidator(1.0),
                                ],
                            ),
                        ),
                        (
                            "condition",
                            models.CharField(
                                choices=[
                                    ("any", "any trace"),
                                    ("error", "a span failed"),
                                    ("duration", "took at least"),
                                    ("cost", "cost at least"),
                                    ("score_below", "a score is below"),
                                    ("score_above", "a score is above"),
                                ],
                                default="any",
                                max_length=16,
                            ),
                        ),
                        (
                            "threshold",
                            models.FloatField(
                                blank=True, help_text="Seconds, USD, or the value of a score.", null=True
                            ),
                        ),
                        (
                            "score",
                            models.CharField(blank=True, default="", help_text="The score's name.", max_length=200),
                        ),
                        (
                            "project",
                            models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="accounts.project"),
                        ),
                    ],
                    options={
                        "ordering": ["position", "pk"],
                        "abstract": False,
                    },
                ),
                migrations.CreateModel(
                    name="PinnedTrace",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("trace_id", models.CharField(max_length=32)),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        (
                            "pinned_by",
                            models.ForeignKey(
                                blank=True,
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                to=settings.AUTH_USER_MODEL,
                            ),
                        ),
                        (
                            "project",
                            models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="accounts.project"),
                        ),
                    ],
                    options={
                        "constraints": [
                            models.UniqueConstraint(fields=("project", "trace_id"), name="one_pin_per_trace")
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="TailSampler",
                    fields=[
                        (
                            "project",
                            models.OneToOneField(
                                on_delete=django.db.models.deletion.CASCADE,
                                primary_key=True,
                                serialize=False,
                                to="accounts.project",
                            ),
                        ),
                        (
                            "complete_us",
                            models.BigIntegerField(help_text="Of whole traces: microseconds of the last arrival."),
                        ),
                        ("complete_trace", models.CharField(blank=True, default="", max_length=32)),
                        ("given_up_us", models.BigIntegerField(help_text="Of traces that lack something.")),
                        ("given_up_trace", models.CharField(blank=True, default="", max_length=32)),
                        ("pending", models.JSONField(blank=True, null=True)),
                        ("leased_until", models.DateTimeField(blank=True, null=True)),
                        (
                            "error",
                            models.TextField(
                                blank=True, default="", help_text="Why nothing was decided at the last try."
                            ),
                        ),
                    ],
                ),
                migrations.CreateModel(
                    name="TraceWaiting",
                    fields=[
                        (
                            "project",
                            models.OneToOneField(
                                on_delete=django.db.models.deletion.CASCADE,
                                primary_key=True,
                                serialize=False,
                                to="accounts.project",
                            ),
                        ),
                        (
                            "evaluators_wait",
                            models.BooleanField(
                                default=False,
                                help_text="Judge answers only once their trace is complete, or was given up.",
                            ),
                        ),
                    ],
                ),
                migrations.CreateModel(
                    name="DiskState",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        (
                            "level",
                            models.CharField(
                                choices=[
                                    ("ok", "room enough"),
                                    ("warn", "filling"),
                                    ("sample", "new traces are sampled"),
                                    ("drop", "the oldest weeks are dropped"),
                                ],
                                default="ok",
                                max_length=8,
                            ),
                        ),
                        ("used_bytes", models.BigIntegerField(default=0, help_text="Of the store's tables.")),
                        (
                            "share",
                            models.FloatField(
                                default=0.0, help_text="The fuller of disk and budget, 0 to 1 and above."
                            ),
                        ),
                        ("checked_at", models.DateTimeField(blank=True, null=True)),
                        ("dropped_at", models.DateTimeField(blank=True, null=True)),
                        (
                            "dropped",
                            models.JSONField(
                                blank=True, default=list, help_text="Weeks that were dropped, latest first."
                            ),
                        ),
                    ],
                ),
                migrations.CreateModel(
                    name="RetentionRule",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        (
                            "signal",
                            models.CharField(
                                choices=[("traces", "Traces"), ("metrics", "Metrics"), ("logs", "Logs")], max_length=8
                            ),
                        ),
                        (
                            "environment",
                            models.CharField(
                                blank=True, default="", help_text="Empty for each environment.", max_length=200
                            ),
                        ),
                        (
                            "days",
                            models.PositiveSmallIntegerField(
                                validators=[
                                    django.core.validators.MinValueValidator(1),
                                    django.core.validators.MaxValueValidator(3650),
                                ]
                            ),
                        ),
                        (
                            "project",
                            models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="accounts.project"),
                        ),
                    ],
                    options={
                        "ordering": ["signal", "environment"],
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("project", "signal", "environment"),
                                name="one_retention_rule_each",
                                violation_error_message="There is a rule for this signal and environment; change that one.",
                            )
                        ],
                    },
                ),
            ],
        ),
    ]
