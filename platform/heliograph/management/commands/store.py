"""`heliograph store copy`: everything that the store holds, into another ClickHouse."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from heliograph.backup import local_store
from heliograph.backup.errors import BackupError
from heliograph.cli.frame.output import Output
from heliograph.clickhouse.copying.errors import CopyError
from heliograph.clickhouse.copying.run import Copy
from heliograph.clickhouse.errors import StoreError
from heliograph.running import is_up

_COLUMNS = {
    "table": "Table",
    "partitions": "Partitions",
    "rows": "Rows",
    "checksum": "Checksum of both sides",
}


class Command(BaseCommand):
    """Move from one machine's store to a server."""

    help = "Copy the store to a ClickHouse server."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what to do and where to."""
        actions = parser.add_subparsers(dest="action", required=True)
        copy = actions.add_parser(
            "copy", help="copy every table to another ClickHouse; goes on where it was interrupted"
        )
        copy.add_argument(
            "target",
            help="address of an empty database, clickhouse://user:password@host:9000/database (clickhouses:// with "
            "TLS); - reads it from standard input, so that no list of processes shows the password",
        )
        copy.add_argument("--json", action="store_true", dest="as_json", help="print the report as JSON")

    def handle(self, *, target: str, as_json: bool, **_: Any) -> None:
        """Do it. Raises CommandError with what to do."""
        if is_up():
            raise CommandError("Heliograph runs, so that what arrives would be missing. Stop it first.")
        address = sys.stdin.readline().strip() if target == "-" else target
        if not address.startswith(("clickhouse://", "clickhouses://")):
            raise CommandError("The address must begin with clickhouse:// or clickhouses://.")
        try:
            with local_store.answering():
                report = Copy(settings.CLICKHOUSE_URL, address, lambda line: self.stderr.write(f"copy: {line}")).run()
        except (BackupError, CopyError, StoreError, ValueError) as error:
            raise CommandError(f"{error}\nNothing is lost: the same command goes on where this one ended.") from error
        Output(as_json).rows(
            [
                {"table": each.table, "partitions": each.partitions, "rows": each.rows, "checksum": str(each.checksum)}
                for each in report
            ],
            _COLUMNS,
        )
