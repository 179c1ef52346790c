"""Django's database into a file and back: SQLite by its online backup, PostgreSQL by pg_dump and pg_restore."""

import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from heliograph.backup.errors import BackupError

_FILES = {"sqlite": "metadata.sqlite3", "postgresql": "metadata.pgdump"}


def file_name() -> str:
    """Return the file of this database's kind. Raises BackupError for one that nobody here knows to copy."""
    try:
        return _FILES[connection.vendor]
    except KeyError as error:
        raise BackupError(f"A database of the kind {connection.vendor} cannot be copied; use its own tools.") from error


def dump(path: Path) -> None:
    """Write a consistent copy while others read and write. Raises BackupError."""
    if connection.vendor == "sqlite":
        name = settings.DATABASES["default"]["NAME"]
        with closing(sqlite3.connect(name)) as source, closing(sqlite3.connect(path)) as target:
            source.backup(target)
        return
    _postgresql("pg_dump", "--format=custom", "--no-owner", "--no-acl", f"--file={path}")


def size() -> int:
    """Return how many bytes the database has on the disk; a dump of PostgreSQL's is smaller."""
    if connection.vendor == "sqlite":
        return Path(settings.DATABASES["default"]["NAME"]).stat().st_size
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        return int(cursor.fetchone()[0])


def load(path: Path) -> None:
    """Replace the database by a copy. Raises BackupError."""
    connection.close()
    if connection.vendor == "sqlite":
        name = Path(settings.DATABASES["default"]["NAME"])
        name.touch(mode=0o600)
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(name)) as target:
            source.backup(target)
        return
    # What a newer version made and the copy does not have would stand in the way of its migrations.
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            if table in _ours():
                cursor.execute(f"DROP TABLE IF EXISTS {connection.ops.quote_name(table)} CASCADE")
    connection.close()
    _postgresql("pg_restore", "--single-transaction", "--exit-on-error", "--no-owner", "--no-acl", str(path))


def is_empty() -> bool:
    """Say whether nobody has ever used this database."""
    with connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor))
        user = apps.get_model(settings.AUTH_USER_MODEL)._meta.db_table
        if user not in tables:
            return True
        cursor.execute(f"SELECT 1 FROM {connection.ops.quote_name(user)} LIMIT 1")  # noqa: S608  # a model's own table
        return cursor.fetchone() is None


def migrations() -> list[str]:
    """Return what is applied, as app.name."""
    return sorted(".".join(key) for key in MigrationRecorder(connection).applied_migrations())


def _ours() -> set[str]:
    models = (model._meta.db_table for model in apps.get_models(include_auto_created=True))
    return {*models, MigrationRecorder.Migration._meta.db_table}


def _postgresql(program: str, *arguments: str) -> None:
    # Django knows how to say it to psql; the others take the same options. The name comes last.
    (_, *options, name), environment = connection.client.settings_to_cmd_args_env(connection.settings_dict, [])
    command = [program, *options, f"--dbname={name}", *arguments]
    try:
        subprocess.run(command, env={**os.environ, **(environment or {})}, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise BackupError(
            f"{program} is not installed. On Debian: apt-get install postgresql-client (no older than the server)."
        ) from error
    except subprocess.CalledProcessError as error:
        raise BackupError(f"{program} failed: {error.stderr.strip()[-2000:]}") from error
