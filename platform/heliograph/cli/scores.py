"""`heliograph scores`."""

import math
from typing import Any

import click

from heliograph.cli.frame.api import Api
from heliograph.cli.frame.options import asks_server, limit_option, time_range
from heliograph.cli.frame.output import Output

_COLUMNS = {
    "time": "Time",
    "name": "Name",
    "value": "Value",
    "label": "Label",
    "source": "Source",
    "trace_id": "Trace",
    "span_id": "Span",
    "explanation": "Explanation",
}


@click.group()
def command() -> None:
    """Scores: verdicts of evaluators, programs and people."""


@command.command("list")
@click.option("--name", default="")
@click.option("--trace", "trace_id", default="", help="Of one trace.")
@click.option("--service", multiple=True)
@click.option("--release", multiple=True)
@click.option("--model", multiple=True)
@click.option("--source", multiple=True, help="evaluator, human or api.")
@click.option("--label", multiple=True)
@click.option("--below", type=float)
@click.option("--above", type=float)
@limit_option()
@time_range
@asks_server
def list_scores(api: Api, output: Output, *, span: dict[str, str], limit: int, **filters: Any) -> None:
    """List scores, newest first, by the time of what they judge."""
    found = api.items("scores", {**span, **filters}, limit=limit)
    output.rows(found, _COLUMNS, empty="No score fits. A longer range: --since 7d")


@command.command("add")
@click.argument("name")
@click.argument("value", type=float)
@click.option("--trace", "trace_id", default="")
@click.option("--span", "span_id", default="", help="Together with --trace.")
@click.option("--session", "session_id", default="")
@click.option("--label", default="")
@click.option("--explanation", default="")
@click.option("--id", "score_id", default="", help="Yours; sent again with it, the score is replaced.")
@asks_server
def add(api: Api, output: Output, *, name: str, value: float, score_id: str, **target: str) -> None:
    """Store a score of a trace, a span or a session."""
    if not math.isfinite(value):
        raise click.UsageError("VALUE must be a finite number.")
    given = {field: text for field, text in {**target, "id": score_id}.items() if text}
    stored = api.post("scores", {"scores": [{"name": name, "value": value, **given}]})
    if output.as_json:
        output.json(stored)
    output.say(f"Stored as {stored['ids'][0]}.")
