"""`heliograph spans`."""

from typing import Any

import click

from heliograph.cli.frame.api import Api
from heliograph.cli.frame.filters import span_filters
from heliograph.cli.frame.options import asks_server, limit_option, time_range
from heliograph.cli.frame.output import Output

_COLUMNS = {
    "start_time": "Start",
    "trace_id": "Trace",
    "span_id": "Span",
    "name": "Name",
    "kind": "Kind",
    "model": "Model",
    "status": "Status",
    "duration_ns": "Duration",
    "ttft_ns": "First token",
    "input_tokens": "In",
    "output_tokens": "Out",
    "cost": "Cost",
}


@click.group()
def command() -> None:
    """Spans: single calls, of models, tools and functions."""


@command.command("list")
@limit_option()
@span_filters
@time_range
@asks_server
def list_spans(api: Api, output: Output, *, span: dict[str, str], filters: dict[str, Any], limit: int) -> None:
    """List spans that fit, newest first."""
    found = api.items("spans", {**span, **filters}, limit=limit)
    output.rows(found, _COLUMNS, empty="No span fits. A longer range: --since 7d")


@command.command("get")
@click.argument("trace_id")
@click.argument("span_id")
@asks_server
def get_span(api: Api, output: Output, *, trace_id: str, span_id: str) -> None:
    """Show one span with its messages and attributes."""
    output.fields(api.get(f"traces/{trace_id}/spans/{span_id}"))
