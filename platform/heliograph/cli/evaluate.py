"""`heliograph evaluate`: a data set through a function, for CI."""

import importlib
import sys
from pathlib import Path
from typing import Any

import click

from heliograph.cli.frame.api import Api
from heliograph.cli.frame.options import asks_server
from heliograph.cli.frame.output import Output
from heliograph.sdk.client import ApiError
from heliograph.sdk.evaluation import ExperimentError, evaluate


class Bound(click.ParamType[tuple[str, float]]):
    """A score and the least mean that it must have."""

    name = "score=least"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        """Return both."""
        if isinstance(value, tuple):
            return value
        name, _, least = str(value).rpartition("=")
        try:
            return name, float(least)
        except ValueError:
            self.fail(f"{value!r} reads like exact_match=0.9", param, ctx)


@click.command()
@click.argument("dataset")
@click.argument("function")
@click.option("--evaluator", "evaluators", multiple=True, help="One of the server's, by name.")
@click.option("--min", "bounds", type=Bound(), multiple=True, help="Exit with 1 where the mean is less.")
@click.option("--max-failed", type=click.IntRange(0), default=0, show_default=True, help="Rows that may raise.")
@click.option("--name", default="", help="Of the experiment; a run of this name that did not end goes on.")
@click.option("--version", type=int, default=0)
@click.option("--split", default="")
@click.option("--concurrency", type=click.IntRange(1, 256), default=4, show_default=True)
@asks_server
def command(
    api: Api,
    output: Output,
    *,
    dataset: str,
    function: str,
    evaluators: tuple[str, ...],
    bounds: tuple[tuple[str, float], ...],
    max_failed: int,
    **options: Any,
) -> None:
    """Run DATASET through FUNCTION, named as package.module:function, and keep it as an experiment."""
    target = _load(function)
    try:
        found = evaluate(
            dataset,
            target,
            evaluators=evaluators,
            api_key=api.profile.key,
            web_address=api.profile.url,
            **options,
        )
    except (ApiError, ExperimentError) as error:
        raise click.ClickException(str(error)) from error
    faults = [f"{found.failed} rows failed"] if found.failed > max_failed else []
    for name, least in bounds:
        mean = found.scores.get(name)
        if mean is None or mean < least:
            faults.append(f"{name} is {'unknown' if mean is None else f'{mean:.4g}'}, less than {least:g}")
    if output.as_json:
        scores = dict(found.scores)
        output.json(
            {
                "id": found.id,
                "url": found.url,
                "rows": found.rows,
                "failed": found.failed,
                "scores": scores,
                "faults": faults,
            }
        )
    output.say(f"{found.rows} rows, {found.failed} failed  {found.url}")
    output.say("".join(f"  {name}: {'–' if mean is None else f'{mean:.4g}'}\n" for name, mean in found.scores.items()))
    if faults:
        output.say("FAIL  " + "; ".join(faults))
        raise SystemExit(1)


def _load(text: str) -> Any:
    """Import a function from the folder that the command is run in, or from what is installed."""
    module, _, name = text.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise click.UsageError(f"{text} cannot be imported ({error}); name it as package.module:function.") from error
    if not callable(found):
        raise click.UsageError(f"{text} is no function.")
    return found
