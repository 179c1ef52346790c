"""`heliograph start_processes`: what supervisord runs once the store is starting."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any
from xmlrpc.client import Fault

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from heliograph import supervisor
from heliograph.accounts.bootstrap import FirstUser
from heliograph.clickhouse import client
from heliograph.management.commands.login_link import link_for
from heliograph.management.commands.setup import prepare

# A slow machine that starts everything at once needs most of it. Who waits in vain is told sooner: see _wait_for.
WEB_START_SECONDS = 240


class Command(BaseCommand):
    """Wait for the store, migrate it, start the other processes, greet."""

    help = "Started by `heliograph up`: migrates the store, starts the other processes and prints the address."

    def handle(self, **_: Any) -> None:
        """Do it, or stop everything with the reason: half a platform helps nobody."""
        try:
            self._start()
        except Exception as error:  # whatever it is, it belongs on the terminal before everything stops
            self.stderr.write(
                f"\nheliograph: could not start: {error}\nThe logs are in {settings.DATA_DIR / 'logs'}.\n"
            )
            supervisor.control().supervisor.shutdown()
            raise

    def _start(self) -> None:
        first = prepare()
        self._start_others()
        # Both, since the greeting invites to open one and to send to the other.
        for name, port in (("web", settings.PORT), ("collector", settings.OTLP_HTTP_PORT)):
            self._wait_for(name, port)
        self._greet(first)
        if os.environ.get("HELIOGRAPH_SEND_DEMO"):
            subprocess.run([sys.executable, "-m", "heliograph.cli", "demo"], check=True)

    def _start_others(self) -> None:
        control = supervisor.control()
        for program in supervisor.programs():
            if program.autostart:
                continue
            try:
                control.supervisor.startProcess(program.name, False)
            except Fault as error:
                raise CommandError(f"{program.name} does not start: {error.faultString}") from error

    def _wait_for(self, name: str, port: int) -> None:
        deadline = time.monotonic() + WEB_START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"{self._local_url(port)}/healthz", timeout=5):  # noqa: S310  # our own address
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
                state: Any = supervisor.control().supervisor.getProcessInfo(name)
                if state["statename"] == "FATAL":
                    raise CommandError(f"{name} ended each time that it was started") from error
                if time.monotonic() > deadline:
                    raise CommandError(f"{name} did not answer within {WEB_START_SECONDS} s: {error}") from error
                time.sleep(0.2)

    @staticmethod
    def _local_url(port: int) -> str:
        return f"http://{settings.LOCAL_HOST}:{port}"

    def _greet(self, first: FirstUser) -> None:
        password = first.password or "set earlier; this link lets you in, and Settings changes it"
        lines = [
            "",
            f"  Heliograph is up:      {settings.BASE_URL}",
            f"  One-time login link:   {link_for(first.user)}",
            f"  User:                  {first.user.username}",
            f"  Password:              {password}",
            f"  Send traces to:        http://{settings.LOCAL_HOST}:{settings.OTLP_HTTP_PORT}  (OTLP/HTTP)",
            f"                         {settings.LOCAL_HOST}:{settings.OTLP_GRPC_PORT}  (OTLP/gRPC)",
        ]
        if not client.execute_unscoped("SELECT 1 FROM spans LIMIT 1", tag="start.is_empty"):
            lines.append("  Nothing is stored yet. See it with data:   make demo   (in a second terminal)")
        lines += ["  Ctrl-C stops everything.", ""]
        self.stdout.write("\n".join(lines))
