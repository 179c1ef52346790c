"""`heliograph agent`: the GPU agent."""

import sys

import click

from gpu_agent.__main__ import main


@click.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(*, arguments: tuple[str, ...]) -> None:
    """Read this host's GPUs and send their metrics (as heliograph-gpu-agent)."""
    sys.exit(main(arguments))
