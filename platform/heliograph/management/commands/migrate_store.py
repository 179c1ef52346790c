"""`python manage.py migrate_store`: bring the ClickHouse schema up to date."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from heliograph.clickhouse import client, migrate
from heliograph.clickhouse.errors import StoreError


class Command(BaseCommand):
    """Apply the numbered schema files that the store does not have yet."""

    help = "Apply the schema files that the ClickHouse store does not have yet."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="print the SQL that would run, and run nothing")
        parser.add_argument("--accept-rewrites", action="store_true", help="also run files that rewrite what is stored")

    def handle(self, *, dry_run: bool, accept_rewrites: bool = False, verbosity: int, **_: Any) -> None:
        """Do it. Raises CommandError with what to do when a file was changed or is dangerous."""
        try:
            if dry_run:
                new = migrate.pending(migrate.read_migrations())
                for refused in migrate.not_accepted(new):
                    self.stdout.write(f"-- needs --accept-rewrites: {refused}")
                for migration in new:
                    self.stdout.write(f"-- {migration.name}")
                    for statement in migrate.rendered(migration, client.topology()):
                        self.stdout.write(f"{statement};\n")
                return
            count = 0
            for migration in migrate.migrate(accept_rewrites=accept_rewrites):
                count += 1
                if verbosity > 0:
                    self.stdout.write(f"Applying {migration.name}")
        except (StoreError, ValueError) as error:
            raise CommandError(str(error)) from error
        if verbosity > 0:
            self.stdout.write(f"The store is up to date; {count} files applied.")
