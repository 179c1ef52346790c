"""The group of all commands, which imports only the one that runs."""

import importlib
import pkgutil
from collections.abc import Iterator

import click

import heliograph
from heliograph import cli
from heliograph.cli.frame import management

_SERVER = "heliograph[server,evaluators]"


class Commands(click.Group):
    """The files of `heliograph.cli`, then Django's commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names for `--help` and completion."""
        return sorted({*_names(), *management.TEXTS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; its file is imported now. A name that is no file's goes to Django."""
        files = _names()
        if cmd_name not in files:
            return management.command(cmd_name)
        try:
            module = importlib.import_module(f"{cli.__name__}.{files[cmd_name]}")
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] in {"heliograph", "gpu_agent"}:
                raise  # a fault of ours, which the traceback explains
            raise click.ClickException(
                f"{cmd_name} needs {error.name}, which is not installed. Run: pip install '{_SERVER}'"
            ) from error
        found: click.Command = module.command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Print the names, also of those that are not installed."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._lines(ctx, self.list_commands(ctx))))

    def _lines(self, ctx: click.Context, names: list[str]) -> Iterator[tuple[str, str]]:
        for name in names:
            if name in management.TEXTS:
                yield name, management.TEXTS[name]
                continue
            try:
                command = self.get_command(ctx, name)
            except click.ClickException as error:
                yield name, error.message
            else:
                assert command is not None  # its file exists
                yield name, command.get_short_help_str(limit=100)


def _names() -> dict[str, str]:
    """Return the commands of this folder and their files' names; `import_` is `import`."""
    files = (each.name for each in pkgutil.iter_modules(cli.__path__) if not each.ispkg)
    return {name.rstrip("_").replace("_", "-"): name for name in sorted(files) if not name.startswith("_")}


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(heliograph.__version__, prog_name="heliograph")
def root() -> None:
    """Heliograph's command line.

    Exit codes: 0 done; 1 what was asked does not hold (a gate failed, doctor found something) or a command of the
    platform failed; 2 wrong arguments; 3 the server refused; 4 the server could not be reached or failed; 5 a gate
    has not enough data to tell.
    """


def run() -> None:
    """Run the command of `sys.argv`."""
    root(prog_name="heliograph")
