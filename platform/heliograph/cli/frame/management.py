"""Django's management commands under their own names, with their own arguments."""

import importlib
import os

import click

# Known without importing Django; a test compares them with the commands' own.
TEXTS = {
    "backup": "Copy both databases and the blobs into a folder of HELIOGRAPH_BACKUP_DIR.",
    "demo": "Send realistic demo traffic over OTLP/HTTP, never into tables directly.",
    "holds": "List, place and lift legal holds of projects, in this installation's database.",
    "keys": "List, create and revoke API keys of projects, in this installation's database.",
    "login_link": "Print a one-time login link.",
    "restore": "Put a backup back into both databases and the folder of blobs, checked before and after.",
    "setup": "Bring both databases up to this version; make the first project and user where there are none.",
    "store": "Copy the store to a ClickHouse server.",
    "up": "Start every process of Heliograph and stop them all on Ctrl-C.",
    "users": "List, create and deactivate people, in this installation's database.",
}


def command(name: str) -> click.Command:
    """Return a command that leaves everything after its name to Django, `--help` included."""

    @click.command(
        name,
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    )
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def run(arguments: tuple[str, ...]) -> None:
        call(name, *arguments)

    return run


def call(name: str, *arguments: str) -> None:
    """Run a management command in this process. Raises ClickException where Django is not installed."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "heliograph.settings")
    try:
        management = importlib.import_module("django.core.management")
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"There is no command {name!r} without the server. Run: pip install 'heliograph[server,evaluators]'"
        ) from error
    management.execute_from_command_line(["heliograph", name, *arguments])
