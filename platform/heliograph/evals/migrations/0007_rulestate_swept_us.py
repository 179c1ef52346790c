from typing import Any

from django.db import migrations, models


def begin(apps: Any, _: Any) -> None:
    """Look once more at what comes from now on, and not at all that was ever judged."""
    apps.get_model("evals", "RuleState").objects.update(swept_us=models.F("spans_us"))


class Migration(migrations.Migration):
    dependencies = [("evals", "0006_drift_is_for_monitors")]
    operations = [
        migrations.AddField("rulestate", "swept_us", models.BigIntegerField(default=0)),
        migrations.RunPython(begin, migrations.RunPython.noop),
    ]
