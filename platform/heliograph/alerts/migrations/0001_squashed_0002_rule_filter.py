"""What 0001 to 0002 make, at once: for databases that have none of them (docs/adr/0080)."""

import uuid

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

from heliograph.tables import CreateModels


class Migration(migrations.Migration):
    replaces = [("alerts", "0001_initial"), ("alerts", "0002_rule_filter")]

    initial = True

    dependencies = [
        ("accounts", "0005_gpu_models"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        CreateModels(
            models=[
                migrations.CreateModel(
                    name="Channel",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("name", models.CharField(max_length=100)),
                        (
                            "kind",
                            models.CharField(
                                choices=[
                                    ("webhook", "Webhook"),
                                    ("slack", "Slack"),
                                    ("teams", "Microsoft Teams"),
                                    ("discord", "Discord"),
                                    ("pagerduty", "PagerDuty"),
                                    ("opsgenie", "Opsgenie"),
                                    ("email", "E-mail"),
                                ],
                                max_length=20,
                            ),
                        ),
                        ("settings", models.JSONField(default=dict)),
                        ("secret", models.TextField(blank=True, default="")),
                        ("events", models.JSONField(default=list)),
                        ("title_template", models.CharField(blank=True, default="", max_length=200)),
                        ("text_template", models.TextField(blank=True, default="", max_length=2000)),
                        ("is_paused", models.BooleanField(default=False)),
                        ("paused_because", models.CharField(blank=True, default="", max_length=300)),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        (
                            "project",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="alert_channels",
                                to="accounts.project",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["name"],
                        "constraints": [
                            models.UniqueConstraint(fields=("project", "name"), name="one_channel_of_a_name")
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Delivery",
                    fields=[
                        ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                        ("topic", models.CharField(blank=True, default="", max_length=80)),
                        ("payload", models.JSONField()),
                        (
                            "status",
                            models.CharField(
                                choices=[("waiting", "Waiting"), ("delivered", "Delivered"), ("dead", "Dead")],
                                default="waiting",
                                max_length=10,
                            ),
                        ),
                        ("attempts", models.PositiveSmallIntegerField(default=0)),
                        ("next_at", models.DateTimeField(default=django.utils.timezone.now)),
                        ("leased_until", models.DateTimeField(blank=True, null=True)),
                        ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                        ("finished_at", models.DateTimeField(blank=True, null=True)),
                        (
                            "channel",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="deliveries",
                                to="alerts.channel",
                            ),
                        ),
                        (
                            "project",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="deliveries",
                                to="accounts.project",
                            ),
                        ),
                        (
                            "rule",
                            models.ForeignKey(
                                blank=True,
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="deliveries",
                                to="alerts.rule",
                            ),
                        ),
                    ],
                    options={
                        "verbose_name_plural": "deliveries",
                        "ordering": ["-created_at", "-pk"],
                        "indexes": [
                            models.Index(fields=["status", "next_at"], name="deliveries_to_send"),
                            models.Index(fields=["project", "-created_at"], name="deliveries_of_a_project"),
                            models.Index(fields=["channel", "topic", "created_at"], name="deliveries_in_order"),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Attempt",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("at", models.DateTimeField(default=django.utils.timezone.now)),
                        ("seconds", models.FloatField(default=0.0)),
                        ("status", models.PositiveSmallIntegerField(blank=True, null=True)),
                        ("answer", models.TextField(blank=True, default="")),
                        ("error", models.CharField(blank=True, default="", max_length=500)),
                        (
                            "delivery",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE, related_name="tries", to="alerts.delivery"
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["at", "pk"],
                    },
                ),
                migrations.CreateModel(
                    name="Rule",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("name", models.CharField(max_length=200)),
                        ("description", models.TextField(blank=True, default="", max_length=2000)),
                        (
                            "severity",
                            models.CharField(
                                choices=[("critical", "Critical"), ("warning", "Warning"), ("info", "Info")],
                                default="warning",
                                max_length=10,
                            ),
                        ),
                        ("measure", models.CharField(max_length=40)),
                        ("score_name", models.CharField(blank=True, default="", max_length=200)),
                        ("score_bound", models.FloatField(blank=True, null=True)),
                        ("window", models.PositiveSmallIntegerField(default=5, help_text="Minutes.")),
                        (
                            "by",
                            models.JSONField(default=list, help_text="Dimensions: an alert for each of their values."),
                        ),
                        ("only", models.JSONField(default=dict, help_text="Values by dimension.")),
                        ("kind", models.CharField(max_length=20)),
                        ("condition", models.JSONField(default=dict)),
                        ("hold", models.PositiveSmallIntegerField(default=5, help_text="Minutes.")),
                        ("recover", models.PositiveSmallIntegerField(default=5, help_text="Minutes.")),
                        ("patience", models.PositiveSmallIntegerField(default=15, help_text="Minutes.")),
                        (
                            "no_data",
                            models.CharField(
                                choices=[("keep", "keep"), ("resolve", "resolve"), ("fire", "fire")],
                                default="keep",
                                max_length=10,
                            ),
                        ),
                        (
                            "notify",
                            models.CharField(
                                choices=[("together", "Together"), ("each", "Each")], default="together", max_length=10
                            ),
                        ),
                        ("repeat", models.PositiveIntegerField(default=240, help_text="Minutes; 0 tells once.")),
                        ("each_score", models.BooleanField(default=False)),
                        ("scores_until_us", models.BigIntegerField(default=0)),
                        ("is_paused", models.BooleanField(default=False)),
                        ("checked_until", models.PositiveIntegerField(default=0, help_text="Minutes since the epoch.")),
                        ("last_error", models.CharField(blank=True, default="", max_length=500)),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        ("updated_at", models.DateTimeField(auto_now=True)),
                        ("channels", models.ManyToManyField(blank=True, related_name="rules", to="alerts.channel")),
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
                                related_name="alert_rules",
                                to="accounts.project",
                            ),
                        ),
                        (
                            "filter",
                            models.CharField(
                                blank=True, default="", help_text="Text of the filter language.", max_length=1000
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["name", "pk"],
                        "constraints": [
                            models.UniqueConstraint(fields=("project", "name"), name="one_alert_rule_of_a_name")
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Alert",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("key", models.CharField(max_length=64)),
                        ("labels", models.JSONField(default=dict)),
                        (
                            "state",
                            models.CharField(
                                choices=[
                                    ("ok", "ok"),
                                    ("pending", "pending"),
                                    ("firing", "firing"),
                                    ("resolved", "resolved"),
                                    ("no_data", "no_data"),
                                ],
                                max_length=10,
                            ),
                        ),
                        (
                            "since",
                            models.PositiveIntegerField(help_text="Minutes since the epoch, as all that follow."),
                        ),
                        ("is_open", models.BooleanField(default=False)),
                        ("breach_since", models.PositiveIntegerField(blank=True, null=True)),
                        ("clear_since", models.PositiveIntegerField(blank=True, null=True)),
                        ("silent_since", models.PositiveIntegerField(blank=True, null=True)),
                        ("opened_at", models.DateTimeField(blank=True, null=True)),
                        ("value", models.FloatField(blank=True, null=True)),
                        ("against", models.FloatField(blank=True, null=True)),
                        ("reason", models.CharField(blank=True, default="", max_length=300)),
                        ("is_told", models.BooleanField(default=False)),
                        ("told_at", models.DateTimeField(blank=True, null=True)),
                        ("acknowledged_at", models.DateTimeField(blank=True, null=True)),
                        (
                            "acknowledged_by",
                            models.ForeignKey(
                                blank=True,
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                to=settings.AUTH_USER_MODEL,
                            ),
                        ),
                        (
                            "rule",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE, related_name="alerts", to="alerts.rule"
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["-since", "pk"],
                        "indexes": [models.Index(fields=["is_open", "is_told"], name="alerts_to_tell")],
                        "constraints": [models.UniqueConstraint(fields=("rule", "key"), name="one_alert_of_a_group")],
                    },
                ),
                migrations.CreateModel(
                    name="Silence",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        (
                            "labels",
                            models.JSONField(default=dict, help_text="Alerts that carry all of these; none: all."),
                        ),
                        ("comment", models.CharField(max_length=300)),
                        ("starts_at", models.DateTimeField()),
                        ("ends_at", models.DateTimeField()),
                        ("is_weekly", models.BooleanField(default=False)),
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
                            "project",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="silences",
                                to="accounts.project",
                            ),
                        ),
                        (
                            "rule",
                            models.ForeignKey(
                                blank=True,
                                null=True,
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="silences",
                                to="alerts.rule",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["-ends_at", "-pk"],
                    },
                ),
                migrations.CreateModel(
                    name="Transition",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("at", models.PositiveIntegerField(help_text="Minutes since the epoch.")),
                        ("state", models.CharField(max_length=10)),
                        ("value", models.FloatField(blank=True, null=True)),
                        ("reason", models.CharField(blank=True, default="", max_length=300)),
                        (
                            "alert",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="transitions",
                                to="alerts.alert",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["-at", "-pk"],
                    },
                ),
            ],
        ),
    ]
