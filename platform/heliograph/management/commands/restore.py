"""`heliograph restore`: make this installation what it was when a backup was made."""

import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from heliograph.backup.errors import BackupError
from heliograph.backup.put_back import put_back
from heliograph.clickhouse.errors import StoreError


class Command(BaseCommand):
    """Check a backup, put it back, check what came of it."""

    help = "Put a backup back into both databases and the folder of blobs, checked before and after."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take which, and whether what is there may go."""
        parser.add_argument("name", help="as `heliograph backup --list` shows it")
        parser.add_argument("--replace", action="store_true", help="also where something is stored now, which is lost")

    def handle(self, *, name: str, replace: bool, **_: Any) -> None:
        """Do it. Raises CommandError with what to do."""
        os.umask(0o077)
        try:
            manifest = put_back(name, lambda line: self.stdout.write(f"restore: {line}"), replace=replace)
        except (BackupError, StoreError, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"restore: everything is as it was at {manifest.made_at}. Start with: heliograph up")
