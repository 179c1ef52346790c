"""`heliograph gate`: regression gates, for CI."""

import time
from typing import Any

import click

from heliograph.cli.frame.api import Api
from heliograph.cli.frame.options import asks_server
from heliograph.cli.frame.output import Output, plain

# The server's own is 2, which shells and click use for wrong arguments.
_EXITS = {"pass": 0, "fail": 1, "not_enough_data": 5}
_POLL_S = 2.0
_COLUMNS = {"name": "Metric", "verdict": "Verdict", "baseline": "Baseline", "candidate": "Candidate", "p_value": "p"}


@click.group()
def command() -> None:
    """Regression gates: whether a candidate is worse than its baseline.

    Exit codes of `run` and `verdict`: 0 pass, 1 fail, 5 not enough data to tell.
    """


@command.command("list")
@asks_server
def list_gates(api: Api, output: Output) -> None:
    """List the project's gates."""
    columns = {"id": "Id", "name": "Name", "source": "Of", "baseline": "Baseline", "candidate": "Candidate"}
    output.rows(api.items("gates", limit=1_000), columns, empty="No gate yet; the page Gates makes one.")


@command.command()
@click.argument("gate")
@click.option(
    "--timeout", "timeout_s", type=click.IntRange(1, 86_400), default=1_800, show_default=True, help="Seconds."
)
@click.option("--allow-not-enough-data", is_flag=True, help="Exit with 0 where there is too little to tell.")
@asks_server
def run(api: Api, output: Output, *, gate: str, timeout_s: int, allow_not_enough_data: bool) -> None:
    """Run a gate, by name or id, wait for its verdict, and fail with the reason where it fails."""
    gate_id = _id_of(api, gate)
    started = api.post(f"gates/{gate_id}/runs", {})
    deadline = time.monotonic() + timeout_s
    while started["status"] not in {"done", "failed"}:
        if time.monotonic() > deadline:
            raise click.ClickException(f"Run {started['id']} has not ended within {timeout_s} s; it goes on.")
        time.sleep(_POLL_S)
        started = api.get(f"gates/{gate_id}/runs/{started['id']}")
    if started["status"] == "failed":
        raise click.ClickException(f"The gate could not be run: {started['error']}")
    _conclude(output, started["result"], allow_not_enough_data=allow_not_enough_data)


@command.command()
@click.argument("gate")
@click.option("--allow-not-enough-data", is_flag=True, help="Exit with 0 where there is too little to tell.")
@asks_server
def verdict(api: Api, output: Output, *, gate: str, allow_not_enough_data: bool) -> None:
    """Show a gate's latest verdict, of its newest run or of its watch, and fail with the reason where it fails."""
    answer = api.get(f"gates/{_id_of(api, gate)}/verdict")
    _conclude(output, answer, allow_not_enough_data=allow_not_enough_data)


def _id_of(api: Api, gate: str) -> int:
    if gate.isdecimal():
        return int(gate)
    gates = api.items("gates", limit=1_000)
    found = [each["id"] for each in gates if each["name"] == gate]
    if len(found) != 1:
        known = ", ".join(each["name"] for each in gates[:20])
        raise click.UsageError(f"{len(found)} gates are called {gate!r}. There are: {known or 'none'}.")
    return int(found[0])


def _conclude(output: Output, result: dict[str, Any], *, allow_not_enough_data: bool) -> None:
    if output.as_json:
        output.json(result)
    else:
        rows = [{"name": name, **figures} for name, figures in result.get("metrics", {}).items()]
        given = {field: heading for field, heading in _COLUMNS.items() if any(field in row for row in rows)}
        if rows:
            output.rows(rows, given)
        output.say(_reason(result, rows))
    code = _EXITS.get(result["verdict"], 1)
    if code and not (allow_not_enough_data and result["verdict"] == "not_enough_data"):
        raise SystemExit(code)


def _reason(result: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """Return the verdict in a sentence: which metrics fail it, or what is missing."""
    said = str(result["verdict"]).replace("_", " ").upper()
    failed = [row["name"] for row in rows if row.get("verdict") == "fail"]
    because = [*([f"worse than the baseline: {', '.join(failed)}"] if failed else []), result.get("reason") or ""]
    missing = [f"{name}: {why}" for name, why in (result.get("missing") or {}).items()]
    return plain(f"{said}  " + "; ".join(part for part in (*because, *missing) if part))
