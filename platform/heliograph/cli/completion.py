"""`heliograph completion`: what a shell needs to complete commands and options."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(*, shell: str) -> None:
    """Print the completion script of a shell.

    For bash: heliograph completion bash > ~/.local/share/bash-completion/completions/heliograph
    """
    kind = get_completion_class(shell)
    assert kind is not None  # click has these three
    found = click.get_current_context().find_root()
    click.echo(kind(found.command, {}, "heliograph", "_HELIOGRAPH_COMPLETE").source())
