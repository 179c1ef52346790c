"""`heliograph profile`: servers and keys by a name."""

from dataclasses import asdict

import click

from heliograph.cli.frame import profile
from heliograph.cli.frame.options import json_option
from heliograph.cli.frame.output import Output


@click.group()
def command() -> None:
    """Profiles: servers and their keys, kept readable by you only."""


@command.command("list")
@json_option
def list_profiles(*, as_json: bool) -> None:
    """List the profiles; of a key its first characters."""
    rows = [
        {"name": name, **asdict(each), "key": f"{each.key[:9]}…" if each.key else ""}
        for name, each in profile.read().items()
    ]
    columns = {"name": "Name", "url": "Address", "key": "Key", "otlp_url": "OTLP address"}
    Output(as_json).rows(rows, columns, empty="No profile yet: heliograph profile set default --url https://...")


@command.command("set")
@click.argument("name", default=profile.DEFAULT_PROFILE)
@click.option("--url", required=True, help="The server's address.")
@click.option("--otlp-url", default="", help="Where `heliograph import` sends spans; the server itself without it.")
@click.option(
    "--key", prompt="API key of the project", hide_input=True, help="Asked for without it, and then in no history."
)
def set_profile(*, name: str, url: str, otlp_url: str, key: str) -> None:
    """Create or replace a profile; `default` is used where none is named."""
    profile.write({**profile.read(), name: profile.Profile(url.rstrip("/"), key.strip(), otlp_url.rstrip("/"))})
    click.echo(f"Written to {profile.path()}.")


@command.command("remove")
@click.argument("name")
def remove(*, name: str) -> None:
    """Remove a profile."""
    known = profile.read()
    if name not in known:
        raise click.UsageError(f"There is no profile {name!r}.")
    del known[name]
    profile.write(known)
