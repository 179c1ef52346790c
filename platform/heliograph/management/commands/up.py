"""`heliograph up`: bring up the whole platform on this machine."""

import os
import socket
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from heliograph import supervisor
from heliograph.accounts.bootstrap import local_key
from heliograph.backup.put_back import interrupted_mark


class Command(BaseCommand):
    """Migrate, collect the static files, then become supervisord."""

    help = "Start every process of Heliograph and stop them all on Ctrl-C."
    requires_system_checks = "__all__"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take `--demo`."""
        parser.add_argument("--demo", action="store_true", help="send demo traffic once everything is up")

    def handle(self, *, demo: bool, **_: Any) -> None:
        """Run until interrupted; this process becomes supervisord, so Ctrl-C reaches it directly."""
        self._refuse_half_a_restore()
        self._refuse_taken_ports()
        # For this process and all that it starts: spooled telemetry, sessions, logs and secrets are the owner's only.
        os.umask(0o077)
        (settings.DATA_DIR / "logs").mkdir(parents=True, exist_ok=True)
        self.stdout.write("heliograph: preparing the metadata database and the static files")
        call_command("migrate", interactive=False, verbosity=0)
        call_command("collectstatic", interactive=False, verbosity=0)
        # For the GPU agent of this machine; the other processes have no use for it.
        os.environ.setdefault("HELIOGRAPH_API_KEY", local_key())
        config = settings.DATA_DIR / "supervisord.conf"
        config.write_text(supervisor.render(), encoding="utf-8")
        config.chmod(0o600)
        if demo:
            os.environ["HELIOGRAPH_SEND_DEMO"] = "1"
        self.stdout.write(f"heliograph: starting; the processes log to {settings.DATA_DIR / 'logs'}", ending="\n")
        if (greeting := supervisor.greeting_file()) != "/dev/stdout":
            self.stdout.write(f"heliograph: how to sign in stands in {greeting}", ending="\n")
        self.stdout.flush()
        os.execv(  # noqa: S606  # becoming supervisord is the point
            sys.executable,
            [sys.executable, "-m", "supervisor.supervisord", "--nodaemon", "--configuration", str(config)],
        )

    def _refuse_half_a_restore(self) -> None:
        """Neither what was stored nor what was to be restored is whole then."""
        mark = interrupted_mark()
        if mark.exists():
            name = mark.read_text(encoding="utf-8")
            raise CommandError(f"A restore of {name!r} did not end. Run it again: heliograph restore {name}")

    def _refuse_taken_ports(self) -> None:
        """Say which port is taken before anything starts, instead of letting a process fail in a loop."""
        ports = {
            "HELIOGRAPH_PORT": settings.PORT,
            "HELIOGRAPH_OTLP_HTTP_PORT": settings.OTLP_HTTP_PORT,
            "HELIOGRAPH_OTLP_GRPC_PORT": settings.OTLP_GRPC_PORT,
        }
        if settings.EMBEDDED_STORE:
            ports["HELIOGRAPH_STORE_PORT"] = settings.STORE_PORT
        for name, port in ports.items():
            host = "127.0.0.1" if name == "HELIOGRAPH_STORE_PORT" else settings.HOST
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((host, port))
                except OSError as error:
                    running = Path(settings.DATA_DIR / "supervisord.pid").exists()
                    hint = " Is Heliograph running already?" if running else ""
                    raise CommandError(
                        f"Port {port} on {host} cannot be used ({error.strerror}).{hint} "
                        f"Stop what uses it, or choose another: {name}={port + 1000} make run"
                    ) from error
