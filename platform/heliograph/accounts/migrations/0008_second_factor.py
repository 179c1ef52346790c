"""Organisations may require a second factor; and the table of Django's cache, which counts tries for all web workers."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0007_invitations")]

    operations = [
        migrations.AddField(
            "organization",
            "requires_second_factor",
            models.BooleanField(
                default=False, help_text="Who belongs to it, or to a project of it, gets nowhere without one."
            ),
        ),
        # What `createcachetable` makes. Django has no model of it.
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.CreateModel(
                    name="CacheRow",
                    fields=[
                        ("cache_key", models.CharField(max_length=255, primary_key=True, serialize=False)),
                        ("value", models.TextField()),
                        ("expires", models.DateTimeField(db_index=True)),
                    ],
                    options={"db_table": "heliograph_cache"},
                )
            ]
        ),
    ]
