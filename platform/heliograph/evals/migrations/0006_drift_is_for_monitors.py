"""Drift is what monitors look for: the schedules and runs of the check before them go."""

from typing import Any

from django.db import migrations


def forget(apps: Any, _: Any) -> None:
    schedules = apps.get_model("evals", "Schedule").objects.filter(kind="drift")
    beats = list(schedules.exclude(beat=None).values_list("beat", flat=True))
    schedules.delete()
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(pk__in=beats).delete()
    apps.get_model("evals", "Run").objects.filter(kind="drift").delete()


class Migration(migrations.Migration):
    dependencies = [("evals", "0005_evaluationrule_curve")]
    operations = [migrations.RunPython(forget, migrations.RunPython.noop)]
