import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from heliograph.tables import CreateModels


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0008_second_factor"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        CreateModels(
            models=[
                migrations.CreateModel(
                    name="Erasure",
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
                        ("subject", models.CharField(blank=True, default="", max_length=1000)),
                        ("digest", models.CharField(max_length=64)),
                        ("plan", models.JSONField(default=None, editable=False, null=True)),
                        ("counts", models.JSONField(default=dict, editable=False)),
                        ("turns", models.PositiveIntegerField(default=0, editable=False)),
                        ("not_before", models.DateTimeField(blank=True, null=True)),
                        ("note", models.CharField(blank=True, default="", max_length=500)),
                        (
                            "project",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="erasures",
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
                        "indexes": [models.Index(fields=["status", "leased_until"], name="erasures_to_work_on")],
                    },
                ),
                migrations.CreateModel(
                    name="Piece",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("kind", models.CharField(choices=[("text", "Text"), ("blob", "Blob")], max_length=4)),
                        ("name", models.CharField(max_length=80)),
                        (
                            "erasure",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE, related_name="pieces", to="erasure.erasure"
                            ),
                        ),
                    ],
                    options={
                        "constraints": [
                            models.UniqueConstraint(fields=("erasure", "kind", "name"), name="one_piece_of_a_name")
                        ],
                    },
                ),
            ],
        ),
    ]
