"""`heliograph sessions`."""

import click

from heliograph.cli.frame.api import Api
from heliograph.cli.frame.options import asks_server, limit_option, time_range
from heliograph.cli.frame.output import Output

_COLUMNS = {
    "last_seen_ns": "Last seen",
    "id": "Session",
    "others": "Users",
    "traces": "Traces",
    "failed": "Failed",
    "latency_p95_ns": "p95",
    "cost": "Cost",
    "input_preview": "Input",
}

# As the API bounds them: an exchange has its texts.
_MOST_EXCHANGES = 100


@click.group()
def command() -> None:
    """Sessions: conversations of several traces."""


@command.command("list")
@click.option("--contains", "text", default="", help="A part of the id.")
@limit_option()
@time_range
@asks_server
def list_sessions(api: Api, output: Output, *, span: dict[str, str], text: str, limit: int) -> None:
    """List the sessions that were seen in a range, latest first."""
    found = api.items("sessions", {**span, "q": text}, limit=limit)
    columns = {field: heading for field, heading in _COLUMNS.items() if not found or field in found[0]}
    output.rows(found, columns, empty="No session was seen. A longer range: --since 7d")


@command.command("get")
@click.argument("session_id")
@time_range
@limit_option(30)
@asks_server
def get_session(api: Api, output: Output, *, session_id: str, span: dict[str, str], limit: int) -> None:
    """Show a session as the conversation that it was."""
    answer = api.get("sessions/one", {**span, "id": session_id, "limit": min(limit, _MOST_EXCHANGES)})
    if output.as_json:
        output.json(answer)
        return
    for exchange in answer["items"]:
        output.say(f"{exchange['trace']['start_time'][:19]}  {exchange['trace']['trace_id']}")
        output.say(f"> {exchange['said']}\n{exchange['answered']}\n")
    if answer["next_cursor"]:
        output.say("… and more; --limit shows up to 100.")
