"""The table of the audit log. Django makes it here and does not manage it (see the model)."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Entry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(auto_now_add=True)),
                ("actor", models.CharField(help_text="The name at that time.", max_length=200)),
                ("actor_id", models.BigIntegerField(null=True)),
                ("key_id", models.BigIntegerField(null=True)),
                (
                    "via",
                    models.CharField(choices=[("page", "Page"), ("api", "Api"), ("command", "Command")], max_length=8),
                ),
                ("ip", models.CharField(blank=True, default="", max_length=45)),
                ("action", models.CharField(help_text="The name of the address, or the command.", max_length=100)),
                ("target", models.JSONField(default=dict)),
                ("organization_id", models.BigIntegerField(null=True)),
                ("project_id", models.BigIntegerField(null=True)),
                ("status", models.PositiveSmallIntegerField(default=0, help_text="HTTP status; 0 of a command.")),
                ("changes", models.JSONField(default=list)),
                ("words", models.TextField(blank=True, default="")),
            ],
            options={"db_table": "audit_entry", "ordering": ["-pk"]},
        ),
        migrations.AddIndex("Entry", models.Index(fields=["project_id", "-id"], name="audit_of_a_project")),
        migrations.AddIndex("Entry", models.Index(fields=["organization_id", "-id"], name="audit_of_an_organization")),
    ]
