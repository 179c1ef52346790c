"""`heliograph traces`."""

from typing import Any

import click

from heliograph.cli.frame.api import Api
from heliograph.cli.frame.filters import span_filters
from heliograph.cli.frame.options import asks_server, limit_option, time_range
from heliograph.cli.frame.output import Output, cell, plain

_COLUMNS = {
    "start_time": "Start",
    "trace_id": "Trace",
    "name": "Name",
    "service": "Service",
    "status": "Status",
    "duration_ns": "Duration",
    "span_count": "Spans",
    "cost": "Cost",
    "input_preview": "Input",
}
_SCORES = {"name": "Score", "value": "Value", "label": "Label", "span_id": "Span", "explanation": "Explanation"}


@click.group()
def command() -> None:
    """Traces: requests with everything that happened in them."""


@command.command("list")
@limit_option()
@span_filters
@time_range
@asks_server
def list_traces(api: Api, output: Output, *, span: dict[str, str], filters: dict[str, Any], limit: int) -> None:
    """List traces that have a span which fits, newest first."""
    found = api.items("traces", {**span, **filters}, limit=limit)
    output.rows(found, _COLUMNS, empty="No trace fits. A longer range: --since 7d")


@command.command("get")
@click.argument("trace_id")
@asks_server
def get_trace(api: Api, output: Output, *, trace_id: str) -> None:
    """Show one trace: its spans as a tree, and its scores."""
    trace = api.get(f"traces/{trace_id}")
    if output.as_json:
        output.json(trace)
        return
    summary = trace["summary"]
    output.fields(summary, ("trace_id", "service", "release", "session_id", "user_id", "models", "tags", "status"))
    output.say("")
    for depth, span in _tree(trace["spans"]):
        error = f"  {span['status_message'] or span['error_type']}" if span["status"] == "error" else ""
        model = f"  {span['model']}" if span["model"] else ""
        line = f"{cell('duration_ns', span['duration_ns']):>10}  {'  ' * depth}{span['name']}  [{span['kind']}]{model}"
        output.say(plain(f"{line}{error}") + f"  {span['span_id']}")
    if trace["is_cut"]:
        output.say("… and more spans than are listed here.")
    if trace["scores"]:
        output.say("")
        output.rows(trace["scores"], _SCORES)


def _tree(spans: list[dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    """Return the spans depth first, each with its depth; children stand in the order of their start.

    A span whose parent is not here is a root; so is one of a ring of parents, which only a broken sender makes.
    """
    known = {span["span_id"] for span in spans}
    children: dict[str, list[dict[str, Any]]] = {}
    for span in spans:
        parent = span["parent_span_id"]
        children.setdefault(parent if parent in known else "", []).append(span)
    found: list[tuple[int, dict[str, Any]]] = []
    seen: set[str] = set()
    for root in [*children.get("", []), *spans]:
        waiting = [(0, root)]
        while waiting:
            depth, span = waiting.pop()
            if span["span_id"] in seen:
                continue
            seen.add(span["span_id"])
            found.append((depth, span))
            waiting += [(depth + 1, child) for child in reversed(children.get(span["span_id"], []))]
    return found
