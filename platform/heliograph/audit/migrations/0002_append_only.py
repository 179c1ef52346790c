"""Triggers that refuse to change or remove an entry, on SQLite and on PostgreSQL."""

from django.db import migrations

SQLITE = [
    """CREATE TRIGGER audit_entry_is_not_changed BEFORE UPDATE ON audit_entry
       BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END""",
    """CREATE TRIGGER audit_entry_is_not_removed BEFORE DELETE ON audit_entry
       BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END""",
]
POSTGRESQL = [
    """CREATE FUNCTION audit_entry_stays() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$""",
    """CREATE TRIGGER audit_entry_stays BEFORE UPDATE OR DELETE ON audit_entry
       FOR EACH ROW EXECUTE FUNCTION audit_entry_stays()""",
    """CREATE TRIGGER audit_entry_is_not_emptied BEFORE TRUNCATE ON audit_entry
       FOR EACH STATEMENT EXECUTE FUNCTION audit_entry_stays()""",
]


def make_append_only(apps, schema_editor):
    """Make the triggers of this kind of database."""
    statements = {"sqlite": SQLITE, "postgresql": POSTGRESQL}.get(schema_editor.connection.vendor)
    if statements is None:
        raise NotImplementedError("the audit log needs SQLite or PostgreSQL")
    for statement in statements:
        schema_editor.execute(statement)


def remove(apps, schema_editor):
    """Take the triggers away, so that the table can go."""
    if schema_editor.connection.vendor == "sqlite":
        for name in ("audit_entry_is_not_changed", "audit_entry_is_not_removed"):
            schema_editor.execute(f"DROP TRIGGER {name}")
    else:
        schema_editor.execute("DROP FUNCTION audit_entry_stays() CASCADE")


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]

    operations = [
        migrations.RunPython(make_append_only, remove),
        migrations.AlterModelOptions("entry", {"managed": False, "ordering": ["-pk"]}),
    ]
