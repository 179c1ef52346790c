"""`heliograph experiments`."""

import click

from heliograph.cli.frame.api import Api
from heliograph.cli.frame.options import asks_server, limit_option
from heliograph.cli.frame.output import Output

_COLUMNS = {"id": "Id", "name": "Name", "dataset": "Data set", "version": "Version", "status": "Status", "percent": "%"}


@click.group()
def command() -> None:
    """Experiments: a data set through a model, a prompt or a function."""


@command.command("list")
@limit_option()
@asks_server
def list_experiments(api: Api, output: Output, *, limit: int) -> None:
    """List experiments, newest first."""
    output.rows(api.items("experiments", limit=limit), _COLUMNS, empty="No experiment yet: heliograph evaluate --help")


@command.command("get")
@click.argument("experiment_id", type=int)
@asks_server
def get_experiment(api: Api, output: Output, *, experiment_id: int) -> None:
    """Show one experiment."""
    output.fields(api.get(f"experiments/{experiment_id}"))


@command.command("results")
@click.argument("experiment_id", type=int)
@limit_option()
@asks_server
def results(api: Api, output: Output, *, experiment_id: int, limit: int) -> None:
    """List an experiment's rows with their answers and scores."""
    columns = {
        "id": "Row",
        "status": "Status",
        "scores": "Scores",
        "trace_id": "Trace",
        "output": "Output",
        "error": "Error",
    }
    output.rows(api.items(f"experiments/{experiment_id}/results", limit=limit), columns)


@command.command("compare")
@click.argument("runs", type=int, nargs=-1, required=True)
@click.option("--score", default="")
@click.option("--limit", type=click.IntRange(1, 1_000), default=20, show_default=True)
@asks_server
def compare(api: Api, output: Output, *, runs: tuple[int, ...], score: str, limit: int) -> None:
    """Compare runs of one data set row by row, the largest change first; the first run is the baseline."""
    answer = api.get("experiments/compare", {"run": runs, "score": score, "limit": limit})
    if output.as_json:
        output.json(answer)
        return
    rows = [
        {"id": row["id"], "change": row["change"], "flip": row["is_flip"]}
        | {f"run {run}": value for run, value in zip(runs, row["values"], strict=False)}
        for row in answer["items"]
    ]
    output.say(f"{answer['score']}: {answer['total']} rows")
    output.rows(
        rows, {"id": "Row", **{f"run {run}": f"Run {run}" for run in runs}, "change": "Change", "flip": "Flips"}
    )
