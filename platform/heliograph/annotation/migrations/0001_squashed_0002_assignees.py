"""What 0001 to 0002 make, at once: for databases that have none of them (docs/adr/0080)."""

import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from heliograph.tables import CreateModels


class Migration(migrations.Migration):
    replaces = [("annotation", "0001_initial"), ("annotation", "0002_assignees")]

    initial = True

    dependencies = [
        ("accounts", "0005_gpu_models"),
        ("datasets", "0002_calls"),
        ("evals", "0005_evaluationrule_curve"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        CreateModels(
            models=[
                migrations.CreateModel(
                    name="Queue",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("name", models.CharField(max_length=100)),
                        ("instructions", models.TextField(blank=True, default="", max_length=20000)),
                        ("rubric", models.JSONField(default=list)),
                        (
                            "annotators_per_item",
                            models.PositiveSmallIntegerField(
                                default=1,
                                validators=[
                                    django.core.validators.MinValueValidator(1),
                                    django.core.validators.MaxValueValidator(10),
                                ],
                            ),
                        ),
                        (
                            "lease_minutes",
                            models.PositiveSmallIntegerField(
                                default=15,
                                validators=[
                                    django.core.validators.MinValueValidator(1),
                                    django.core.validators.MaxValueValidator(240),
                                ],
                            ),
                        ),
                        ("is_open", models.BooleanField(default=True)),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        ("finished_at", models.DateTimeField(blank=True, null=True)),
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
                                blank=True,
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="+",
                                to="datasets.dataset",
                            ),
                        ),
                        (
                            "project",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="annotation_queues",
                                to="accounts.project",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["-pk"],
                        "constraints": [
                            models.UniqueConstraint(fields=("project", "name"), name="one_annotation_queue_of_a_name")
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Item",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("trace_id", models.CharField(max_length=32)),
                        ("span_id", models.CharField(max_length=16)),
                        ("start_ns", models.BigIntegerField()),
                        ("priority", models.FloatField(default=0.0)),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        (
                            "queue",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE, related_name="items", to="annotation.queue"
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["priority", "pk"],
                        "indexes": [models.Index(fields=["queue", "priority", "id"], name="items_in_order")],
                        "constraints": [
                            models.UniqueConstraint(fields=("queue", "trace_id", "span_id"), name="one_item_of_a_span")
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Calibration",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("dimension", models.CharField(max_length=100)),
                        ("positive", models.JSONField(default=list)),
                        ("score", models.CharField(max_length=100)),
                        ("higher_is_positive", models.BooleanField(default=True)),
                        ("criterion", models.CharField(default="balanced_accuracy", max_length=20)),
                        ("result", models.JSONField(default=dict)),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        ("applied", models.JSONField(blank=True, null=True)),
                        ("before", models.JSONField(blank=True, null=True)),
                        ("applied_at", models.DateTimeField(blank=True, null=True)),
                        ("reverted_at", models.DateTimeField(blank=True, null=True)),
                        (
                            "applied_by",
                            models.ForeignKey(
                                blank=True,
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="+",
                                to=settings.AUTH_USER_MODEL,
                            ),
                        ),
                        (
                            "created_by",
                            models.ForeignKey(
                                blank=True,
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="+",
                                to=settings.AUTH_USER_MODEL,
                            ),
                        ),
                        (
                            "project",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="calibrations",
                                to="accounts.project",
                            ),
                        ),
                        (
                            "rule",
                            models.ForeignKey(
                                blank=True,
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="+",
                                to="evals.evaluationrule",
                            ),
                        ),
                        (
                            "queue",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="calibrations",
                                to="annotation.queue",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["-pk"],
                    },
                ),
                migrations.CreateModel(
                    name="Skip",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("reason", models.CharField(max_length=500)),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        (
                            "annotator",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="+",
                                to=settings.AUTH_USER_MODEL,
                            ),
                        ),
                        (
                            "item",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE, related_name="skips", to="annotation.item"
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["-pk"],
                        "constraints": [
                            models.UniqueConstraint(fields=("item", "annotator"), name="skipped_once_each")
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Slot",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("number", models.PositiveSmallIntegerField()),
                        (
                            "status",
                            models.CharField(
                                choices=[("open", "Open"), ("leased", "Leased"), ("done", "Done")],
                                default="open",
                                max_length=10,
                            ),
                        ),
                        ("leased_until", models.DateTimeField(blank=True, null=True)),
                        ("done_at", models.DateTimeField(blank=True, null=True)),
                        ("version", models.PositiveIntegerField(default=0)),
                        ("written_version", models.PositiveIntegerField(default=0)),
                        (
                            "annotator",
                            models.ForeignKey(
                                blank=True,
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="+",
                                to=settings.AUTH_USER_MODEL,
                            ),
                        ),
                        (
                            "item",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE, related_name="slots", to="annotation.item"
                            ),
                        ),
                        (
                            "queue",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE, related_name="slots", to="annotation.queue"
                            ),
                        ),
                        (
                            "assignee",
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
                        "ordering": ["item", "number"],
                        "indexes": [
                            models.Index(fields=["queue", "status"], name="slots_to_give_out"),
                            models.Index(
                                condition=models.Q(("version__gt", models.F("written_version"))),
                                fields=["id"],
                                name="slots_to_write_scores_of",
                            ),
                        ],
                        "constraints": [
                            models.UniqueConstraint(fields=("item", "number"), name="one_slot_of_a_number"),
                            models.UniqueConstraint(
                                condition=models.Q(("annotator__isnull", False)),
                                fields=("item", "annotator"),
                                name="one_slot_of_an_item_each",
                            ),
                            models.UniqueConstraint(
                                condition=models.Q(("assignee__isnull", False)),
                                fields=("item", "assignee"),
                                name="one_slot_of_an_item_kept_for_each",
                            ),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Annotation",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("version", models.PositiveIntegerField()),
                        ("values", models.JSONField(default=dict)),
                        ("comment", models.TextField(blank=True, default="")),
                        ("seconds", models.FloatField(blank=True, null=True)),
                        ("created_at", models.DateTimeField()),
                        ("dataset_version", models.PositiveIntegerField(blank=True, null=True)),
                        (
                            "author",
                            models.ForeignKey(
                                blank=True,
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="+",
                                to=settings.AUTH_USER_MODEL,
                            ),
                        ),
                        (
                            "dataset",
                            models.ForeignKey(
                                blank=True,
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="+",
                                to="datasets.dataset",
                            ),
                        ),
                        (
                            "slot",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="annotations",
                                to="annotation.slot",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["slot", "version"],
                        "constraints": [
                            models.UniqueConstraint(fields=("slot", "version"), name="one_annotation_of_a_version")
                        ],
                    },
                ),
            ],
        ),
    ]
