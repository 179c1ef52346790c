"""`heliograph doctor`."""

import importlib
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from heliograph.cli.checkup import machine
from heliograph.cli.checkup.finding import Finding
from heliograph.cli.checkup.server import server
from heliograph.cli.frame.options import json_option
from heliograph.cli.frame.output import Output
from heliograph.cli.frame.profile import resolve

_SIGNS = {"ok": "✓", "warning": "!", "failure": "✗", "skipped": "–"}


@click.command()
@click.option("--url", default="", help="The server's address; else HELIOGRAPH_URL, a profile, localhost:8000.")
@click.option("--profile", default="")
@click.option("--only", type=click.Choice(["machine", "server", "platform"]), multiple=True)
@json_option
def command(*, url: str, profile: str, only: tuple[str, ...], as_json: bool) -> None:
    """Check this machine, the server and the platform, and say how to mend what is wrong; then exit with 1."""
    output = Output(as_json)
    found: list[Finding] = []
    for finding in _findings(url, profile, only or ("machine", "server", "platform")):
        found.append(finding)
        output.say(f"{_SIGNS[finding.state]} {finding.check}: {finding.said}")
        if finding.mend:
            output.say(f"    {finding.mend}")
    failures = sum(finding.state == "failure" for finding in found)
    if as_json:
        output.json([asdict(finding) for finding in found])
    output.say("Everything looks well." if not failures else f"{failures} to mend.")
    if failures:
        raise SystemExit(1)


def _findings(url: str, profile: str, parts: tuple[str, ...]) -> Iterator[Finding]:
    if "machine" in parts:
        yield from machine.python()
        yield from machine.packages()
        yield from machine.gpu()
        yield from machine.disk(Path(os.environ.get("HELIOGRAPH_DATA_DIR") or Path.cwd()))
    if "server" in parts:
        yield from server(resolve(url=url, name=profile))
    if "platform" in parts:
        yield from _platform()


def _platform() -> Iterator[Finding]:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "heliograph.settings")
    try:
        importlib.import_module("django").setup()
        checks = importlib.import_module("heliograph.cli.checkup.platform").CHECKS
    except ModuleNotFoundError as error:
        yield Finding("platform", "skipped", f"the platform is not installed here ({error.name} is missing)")
        return
    except Exception as error:  # noqa: BLE001  # a setting that is wrong raises as it likes, and is what a doctor is for
        yield Finding(
            "settings", "failure", f"{type(error).__name__}: {error}", "docs/settings.md lists every variable."
        )
        return
    for check in checks:
        yield from check()
