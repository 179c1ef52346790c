"""What 0001 to 0007 make, at once: for databases that have none of them (docs/adr/0080)."""

from decimal import Decimal

import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from heliograph.tables import CreateModels


def give_projects_their_rule(apps, schema_editor):
    """Make a first rule for projects that are older than evaluations (0003)."""
    rules, states = apps.get_model("evals", "EvaluationRule"), apps.get_model("evals", "RuleState")
    for project in apps.get_model("accounts", "Project").objects.all():
        rule = rules.objects.create(project=project, name="groundedness", evaluator="groundedness", filter="kind:llm")
        states.objects.create(rule=rule, spans_us=0, complete_us=0, given_up_us=0, judged_before_us=1)


class Migration(migrations.Migration):
    replaces = [
        ("evals", "0001_initial"),
        ("evals", "0002_run_attempts"),
        ("evals", "0003_online_rules"),
        ("evals", "0004_schedules_and_judges"),
        ("evals", "0005_evaluationrule_curve"),
        ("evals", "0006_drift_is_for_monitors"),
        ("evals", "0007_rulestate_swept_us"),
    ]

    initial = True

    dependencies = [
        ("accounts", "0005_gpu_models"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        CreateModels(
            models=[
                migrations.CreateModel(
                    name="Run",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("kind", models.CharField(max_length=40)),
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
                        ("arguments", models.JSONField(default=dict)),
                        ("result", models.JSONField(default=dict)),
                        ("error", models.TextField(blank=True, default="")),
                        ("scored", models.PositiveIntegerField(default=0)),
                        ("unscored", models.PositiveIntegerField(default=0)),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        ("started_at", models.DateTimeField(blank=True, null=True)),
                        ("finished_at", models.DateTimeField(blank=True, null=True)),
                        ("leased_until", models.DateTimeField(blank=True, null=True)),
                        (
                            "project",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE, related_name="runs", to="accounts.project"
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
                        ("attempts", models.PositiveSmallIntegerField(default=0)),
                        ("claim", models.CharField(blank=True, default="", max_length=120)),
                        ("device_seconds", models.FloatField(default=0.0)),
                        ("due_at", models.DateTimeField(blank=True, null=True)),
                        ("log", models.TextField(blank=True, default="")),
                        ("not_before", models.DateTimeField(blank=True, null=True)),
                        ("place", models.JSONField(blank=True, default=dict)),
                        ("retry", models.PositiveSmallIntegerField(default=0, help_text="0: the first try.")),
                        ("usd", models.DecimalField(decimal_places=9, default=Decimal("0"), max_digits=18)),
                        (
                            "schedule",
                            models.ForeignKey(
                                blank=True,
                                null=True,
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="runs",
                                to="evals.schedule",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["-created_at", "-pk"],
                        "indexes": [
                            models.Index(fields=["project", "kind", "-created_at"], name="runs_of_a_project"),
                            models.Index(fields=["status", "leased_until"], name="runs_to_work_on"),
                        ],
                        "constraints": [
                            models.UniqueConstraint(fields=("schedule", "due_at"), name="one_run_a_schedule_and_time")
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Watermark",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("evaluator", models.CharField(max_length=100)),
                        (
                            "received_at_us",
                            models.BigIntegerField(default=0, help_text="Microseconds since the epoch."),
                        ),
                        ("trace_id", models.CharField(default="", max_length=32)),
                        ("span_id", models.CharField(default="", max_length=16)),
                        ("leased_until", models.DateTimeField(blank=True, null=True)),
                        (
                            "project",
                            models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="accounts.project"),
                        ),
                    ],
                    options={
                        "constraints": [
                            models.UniqueConstraint(fields=("project", "evaluator"), name="one_watermark_per_evaluator")
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="EvaluationRule",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        (
                            "name",
                            models.CharField(
                                max_length=100,
                                validators=[
                                    django.core.validators.RegexValidator(
                                        "^[A-Za-z0-9][A-Za-z0-9 _./-]*$",
                                        "Letters, digits, spaces and _ . / - only, a letter or a digit first.",
                                    )
                                ],
                            ),
                        ),
                        ("enabled", models.BooleanField(default=True)),
                        ("filter", models.CharField(blank=True, default="", max_length=4000)),
                        ("evaluator", models.CharField(max_length=60)),
                        ("arguments", models.JSONField(blank=True, default=dict)),
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
                            "device_seconds_a_day",
                            models.FloatField(
                                blank=True,
                                help_text="Empty: no bound.",
                                null=True,
                                validators=[django.core.validators.MinValueValidator(0.0)],
                            ),
                        ),
                        (
                            "usd_a_day",
                            models.DecimalField(
                                blank=True,
                                decimal_places=4,
                                help_text="Empty: no bound.",
                                max_digits=12,
                                null=True,
                                validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                            ),
                        ),
                        (
                            "wait",
                            models.CharField(
                                choices=[
                                    ("project", "as the project's sampling page says"),
                                    ("at_once", "as soon as it is stored"),
                                    ("complete", "when its trace is complete, or was given up"),
                                ],
                                default="project",
                                max_length=10,
                            ),
                        ),
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
                                related_name="evaluation_rules",
                                to="accounts.project",
                            ),
                        ),
                        (
                            "endpoint",
                            models.ForeignKey(
                                blank=True,
                                help_text="Of an LLM judge.",
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                to="evals.judgeendpoint",
                            ),
                        ),
                        (
                            "template",
                            models.ForeignKey(
                                blank=True,
                                help_text="Of an LLM judge; else a built-in one.",
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                to="evals.judgetemplate",
                            ),
                        ),
                        ("curve", models.JSONField(blank=True, default=None, null=True)),
                    ],
                    options={
                        "ordering": ["name", "pk"],
                        "constraints": [
                            models.UniqueConstraint(fields=("project", "name"), name="one_evaluation_rule_of_a_name")
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="RuleState",
                    fields=[
                        ("leased_until", models.DateTimeField(blank=True, null=True)),
                        ("claim", models.CharField(blank=True, default="", max_length=120)),
                        (
                            "rule",
                            models.OneToOneField(
                                on_delete=django.db.models.deletion.CASCADE,
                                primary_key=True,
                                related_name="state",
                                serialize=False,
                                to="evals.evaluationrule",
                            ),
                        ),
                        ("spans_us", models.BigIntegerField(default=0)),
                        ("complete_us", models.BigIntegerField(default=0)),
                        ("given_up_us", models.BigIntegerField(default=0)),
                        ("judged_before_us", models.BigIntegerField(default=0)),
                        ("in_flight", models.JSONField(blank=True, default=dict)),
                        ("batch", models.PositiveIntegerField(default=64)),
                        (
                            "error",
                            models.TextField(blank=True, default="", help_text="Why the last pass judged nothing."),
                        ),
                        ("looked_at", models.DateTimeField(blank=True, null=True)),
                        ("swept_us", models.BigIntegerField(default=0)),
                    ],
                    options={
                        "abstract": False,
                    },
                ),
                migrations.CreateModel(
                    name="Gap",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        (
                            "axis",
                            models.CharField(
                                choices=[("spans", "Spans"), ("complete", "Complete"), ("given_up", "Given Up")],
                                default="spans",
                                max_length=10,
                            ),
                        ),
                        ("start_us", models.BigIntegerField()),
                        ("place_us", models.BigIntegerField()),
                        ("place_trace", models.CharField(blank=True, default="", max_length=32)),
                        ("place_span", models.CharField(blank=True, default="", max_length=16)),
                        ("slice_us", models.BigIntegerField(blank=True, null=True)),
                        ("slice_trace", models.CharField(blank=True, default="", max_length=32)),
                        ("skip_judged", models.BooleanField(default=False)),
                        (
                            "rule",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="gaps",
                                to="evals.evaluationrule",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["-place_us", "-pk"],
                        "indexes": [models.Index(fields=["rule", "-place_us"], name="gaps_newest_first")],
                    },
                ),
                migrations.CreateModel(
                    name="RuleDay",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("day", models.DateField()),
                        ("scored", models.PositiveIntegerField(default=0)),
                        ("unscored", models.PositiveIntegerField(default=0)),
                        ("device_seconds", models.FloatField(default=0.0)),
                        ("usd", models.DecimalField(decimal_places=9, default=Decimal("0"), max_digits=18)),
                        (
                            "rule",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="days",
                                to="evals.evaluationrule",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["-day"],
                        "constraints": [models.UniqueConstraint(fields=("rule", "day"), name="one_row_a_rule_and_day")],
                    },
                ),
                migrations.CreateModel(
                    name="SetAside",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("trace_id", models.CharField(max_length=32)),
                        ("span_id", models.CharField(max_length=16)),
                        ("reason", models.TextField()),
                        ("tries", models.PositiveSmallIntegerField(default=1)),
                        ("retry_wanted", models.BooleanField(default=False)),
                        ("created_at", models.DateTimeField(auto_now=True)),
                        (
                            "rule",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="set_aside",
                                to="evals.evaluationrule",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["-created_at", "-pk"],
                        "constraints": [
                            models.UniqueConstraint(fields=("rule", "trace_id", "span_id"), name="set_aside_once")
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="JudgeAnswer",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("key", models.CharField(max_length=64)),
                        ("text", models.TextField()),
                        ("input_tokens", models.PositiveIntegerField(null=True)),
                        ("output_tokens", models.PositiveIntegerField(null=True)),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        (
                            "project",
                            models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="accounts.project"),
                        ),
                    ],
                    options={
                        "indexes": [models.Index(fields=["project", "created_at"], name="judge_answers_by_age")],
                        "constraints": [
                            models.UniqueConstraint(fields=("project", "key"), name="one_answer_to_a_question")
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="JudgeEndpoint",
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
                                blank=True,
                                default="",
                                help_text="Ends before /chat/completions. Empty: a local model.",
                                max_length=500,
                            ),
                        ),
                        ("model", models.CharField(max_length=300)),
                        ("api_key", models.TextField(blank=True, default="")),
                        (
                            "input_usd_per_million",
                            models.DecimalField(
                                blank=True,
                                decimal_places=6,
                                max_digits=12,
                                null=True,
                                validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                            ),
                        ),
                        (
                            "output_usd_per_million",
                            models.DecimalField(
                                blank=True,
                                decimal_places=6,
                                max_digits=12,
                                null=True,
                                validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                            ),
                        ),
                        (
                            "timeout_seconds",
                            models.FloatField(
                                default=60.0,
                                validators=[
                                    django.core.validators.MinValueValidator(1.0),
                                    django.core.validators.MaxValueValidator(300.0),
                                ],
                            ),
                        ),
                        (
                            "concurrency",
                            models.PositiveSmallIntegerField(
                                default=4,
                                validators=[
                                    django.core.validators.MinValueValidator(1),
                                    django.core.validators.MaxValueValidator(64),
                                ],
                            ),
                        ),
                        ("updated_at", models.DateTimeField(auto_now=True)),
                        (
                            "project",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="judge_endpoints",
                                to="accounts.project",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["name", "pk"],
                        "constraints": [
                            models.UniqueConstraint(fields=("project", "name"), name="one_judge_endpoint_of_a_name")
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="JudgeTemplate",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("name", models.CharField(max_length=100)),
                        ("version", models.PositiveIntegerField(default=1)),
                        (
                            "mode",
                            models.CharField(
                                choices=[("rubric", "rubric"), ("pairwise", "pairwise")],
                                default="rubric",
                                max_length=10,
                            ),
                        ),
                        ("instruction", models.TextField(max_length=8000)),
                        ("lowest", models.SmallIntegerField(default=1)),
                        ("highest", models.SmallIntegerField(default=5)),
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
                                related_name="judge_templates",
                                to="accounts.project",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["name", "-version"],
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("project", "name", "version"), name="one_judge_template_a_version"
                            )
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Schedule",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("name", models.CharField(max_length=100)),
                        ("kind", models.CharField(max_length=40)),
                        ("arguments", models.JSONField(blank=True, default=dict)),
                        (
                            "every_seconds",
                            models.PositiveIntegerField(blank=True, help_text="Or a cron expression.", null=True),
                        ),
                        (
                            "cron",
                            models.CharField(
                                blank=True,
                                default="",
                                help_text="Minute, hour, day of month, month, day of week: 30 6 * * 1-5",
                                max_length=200,
                            ),
                        ),
                        ("timezone", models.CharField(blank=True, default="UTC", max_length=60)),
                        ("enabled", models.BooleanField(default=True)),
                        (
                            "missed",
                            models.CharField(
                                choices=[
                                    ("skip", "skip them"),
                                    ("once", "run once for all of them"),
                                    ("each", "run once for each of them"),
                                ],
                                default="once",
                                max_length=4,
                            ),
                        ),
                        (
                            "retries",
                            models.PositiveSmallIntegerField(
                                default=0,
                                validators=[
                                    django.core.validators.MaxValueValidator(5),
                                    django.core.validators.MinValueValidator(0),
                                ],
                            ),
                        ),
                        ("next_at", models.DateTimeField(blank=True, null=True)),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        (
                            "beat",
                            models.OneToOneField(
                                blank=True,
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="+",
                                to="django_celery_beat.periodictask",
                            ),
                        ),
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
                                related_name="schedules",
                                to="accounts.project",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["name", "pk"],
                        "indexes": [models.Index(fields=["enabled", "next_at"], name="schedules_that_are_due")],
                        "constraints": [
                            models.UniqueConstraint(fields=("project", "name"), name="one_schedule_of_a_name")
                        ],
                    },
                ),
            ],
        ),
        migrations.RunPython(give_projects_their_rule, migrations.RunPython.noop),
    ]
