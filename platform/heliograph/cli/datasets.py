"""`heliograph datasets`."""

import click

from heliograph.cli.frame.api import Api
from heliograph.cli.frame.options import asks_server, limit_option
from heliograph.cli.frame.output import Output


@click.group()
def command() -> None:
    """Data sets: rows with inputs and expected answers, in versions."""


@command.command("list")
@limit_option()
@asks_server
def list_datasets(api: Api, output: Output, *, limit: int) -> None:
    """List data sets."""
    columns = {"id": "Id", "name": "Name", "stored_rows": "Rows", "updated_at": "Updated", "description": "Description"}
    output.rows(api.items("datasets", limit=limit), columns, empty="No data set yet: heliograph datasets create NAME")


@command.command("create")
@click.argument("name")
@click.option("--description", default="")
@asks_server
def create(api: Api, output: Output, *, name: str, description: str) -> None:
    """Create an empty data set."""
    output.fields(api.post("datasets", {"name": name, "description": description}), ("id", "name"))


@command.command("rows")
@click.argument("dataset")
@click.option("--version", type=int, default=None, help="The latest without it.")
@click.option("--split", default="")
@limit_option()
@asks_server
def rows(api: Api, output: Output, *, dataset: str, version: int | None, split: str, limit: int) -> None:
    """List the rows of a data set, by name or id."""
    found = api.items(f"datasets/{_id_of(api, dataset)}/rows", {"version": version, "split": split}, limit=limit)
    columns = {"id": "Row", "split": "Split", "input": "Input", "expected": "Expected"}
    output.rows(found, columns, empty="No row yet.")


@command.command("add-traces")
@click.argument("dataset")
@click.argument("trace_ids", nargs=-1, required=True)
@asks_server
def add_traces(api: Api, output: Output, *, dataset: str, trace_ids: tuple[str, ...]) -> None:
    """Add rows made of traces, or of spans as TRACE_ID:SPAN_ID."""
    output.fields(api.post(f"datasets/{_id_of(api, dataset)}/from-traces", {"items": list(trace_ids)}))


def _id_of(api: Api, dataset: str) -> int:
    if dataset.isdecimal():
        return int(dataset)
    found = [each["id"] for each in api.items("datasets", {"name": dataset}, limit=100) if each["name"] == dataset]
    if not found:
        raise click.UsageError(f"There is no data set {dataset!r}; heliograph datasets list shows them.")
    return int(found[0])
