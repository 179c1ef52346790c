"""`heliograph mcp`: this project for an assistant."""

import click

from heliograph.cli.assistant.server import make
from heliograph.cli.frame.api import Api
from heliograph.cli.frame.options import asks_server
from heliograph.cli.frame.output import Output


@click.command()
@asks_server
def command(api: Api, output: Output) -> None:
    """Serve read access to the key's project over the Model Context Protocol, on standard input and output."""
    if not api.profile.key:
        raise click.UsageError("An assistant sees one project: name its key (HELIOGRAPH_API_KEY, or a profile).")
    make(api).run("stdio")
