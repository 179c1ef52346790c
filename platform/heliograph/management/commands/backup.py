"""`heliograph backup`: copy both databases and the blobs; while everything runs, or while nothing does."""

import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from heliograph.backup import make
from heliograph.backup.errors import BackupError
from heliograph.cli.frame.output import Output
from heliograph.clickhouse.errors import StoreError

_COLUMNS = {"name": "Backup", "made_at": "Made at", "heliograph": "Version", "spans": "Spans", "database": "Database"}


class Command(BaseCommand):
    """Make a backup, or list those that there are."""

    help = "Copy both databases and the blobs into a folder of HELIOGRAPH_BACKUP_DIR."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take a name or --list."""
        parser.add_argument("name", nargs="?", default="", help="the folder's name; the time in UTC without one")
        parser.add_argument("--list", action="store_true", dest="lists", help="list the backups of this machine")
        parser.add_argument("--json", action="store_true", dest="as_json", help="with --list: print JSON")

    def handle(self, *, name: str, lists: bool, as_json: bool, **_: Any) -> None:
        """Do it. Raises CommandError with what to do."""
        # A copy holds what the databases hold.
        os.umask(0o077)
        try:
            if lists:
                rows = [
                    {"spans": (each.rows or {}).get("spans"), "name": each.name, "made_at": each.made_at,
                     "heliograph": each.heliograph, "database": each.metadata_vendor}
                    for each in make.kept()
                ]  # fmt: skip
                Output(as_json).rows(rows, _COLUMNS)
                return
            make.make(name, lambda line: self.stdout.write(f"backup: {line}"))
        except (BackupError, StoreError, OSError) as error:
            raise CommandError(str(error)) from error
