"""`heliograph migrate`: both databases."""

import click

from heliograph.cli.frame import management

_OURS = {"--dry-run", "--accept-rewrites"}


@click.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(*, arguments: tuple[str, ...]) -> None:
    """Bring both databases up to date; --dry-run prints what would run, --accept-rewrites lets a file rewrite data."""
    # With other arguments it is Django's command, for one of its databases; the store has `migrate_store`.
    if set(arguments) - _OURS:
        management.call("migrate", *arguments)
        return
    management.call("migrate", *(["--plan"] if "--dry-run" in arguments else []))
    management.call("migrate_store", *arguments)
