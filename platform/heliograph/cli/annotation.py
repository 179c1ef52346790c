"""`heliograph annotation`: queues in which people judge answers."""

from typing import Any

import click

from heliograph.cli.frame.api import Api
from heliograph.cli.frame.options import asks_server, limit_option, time_range
from heliograph.cli.frame.output import Output

_QUEUES = {"id": "Id", "name": "Name", "annotators_per_item": "Annotators of each", "finished_at": "Finished"}
_ASSIGNED = {"name": "Annotator", "count": "Assigned"}
_SAID = {"item": "Answer", "annotator": "By", "values": "Said", "comment": "Comment", "trace_id": "Trace"}
_AGREEMENT = {"name": "Score", "level": "Level", "alpha": "Alpha", "low": "From", "high": "To", "n": "Answers"}


@click.group()
def command() -> None:
    """Annotation: queues, what people said in them, and whether they agree. Judging is done in the browser."""


@command.command("list")
@asks_server
def list_queues(api: Api, output: Output) -> None:
    """List the project's queues."""
    output.rows(
        api.items("annotation/queues", limit=1_000), _QUEUES, empty="No queue yet; the page Annotation makes one."
    )


@command.command()
@click.argument("queue")
@click.argument("items", nargs=-1)
@click.option("--filter", "text", default=None, help="As on the traces page, instead of TRACE_ID[:SPAN_ID]...")
@click.option("--score", default="", help="Of the filter's answers, those with the lowest values of this score.")
@click.option("--highest", is_flag=True, help="Those with the highest values instead.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=100, show_default=True)
@time_range
@asks_server
def add(
    api: Api,
    output: Output,
    *,
    queue: str,
    items: tuple[str, ...],
    text: str | None,
    span: dict[str, str],
    highest: bool,
    **given: Any,
) -> None:
    """Put answers into a queue: ITEMS are TRACE_ID or TRACE_ID:SPAN_ID, or --filter finds them."""
    if bool(items) == (text is not None):
        raise click.UsageError("Name traces or spans, or give --filter.")
    chosen = {"items": items} if items else {"filter": text, "lowest": not highest, **span, **given}
    added = api.post(f"annotation/queues/{_id_of(api, queue)}/items", chosen)
    if output.as_json:
        output.json(added)
    missing = f" The project does not have {', '.join(added['missing'])}." if added["missing"] else ""
    output.say(f"{added['new']} added, {added['known']} were in it already.{missing}")


@command.command()
@click.argument("queue")
@click.option("--to", "people", multiple=True, required=True, help="A user name; repeat it to deal answers out evenly.")
@click.option("--share", type=click.IntRange(1, 100), default=100, show_default=True, help="Percent.")
@asks_server
def assign(api: Api, output: Output, *, queue: str, people: tuple[str, ...], share: int) -> None:
    """Keep a share of what is nobody's yet in a queue for people; it comes first where these annotate."""
    given = {"people": list(people), "share": share}
    got = api.post(f"annotation/queues/{_id_of(api, queue)}/assign", given)["assigned"]
    output.rows([{"name": name, "count": count} for name, count in got.items()], _ASSIGNED)


@command.command()
@click.argument("queue")
@click.option("--from", "people", multiple=True, required=True, help="A user name; may be repeated.")
@asks_server
def unassign(api: Api, output: Output, *, queue: str, people: tuple[str, ...]) -> None:
    """Let anybody have what is kept for people and not judged yet."""
    back = api.post(f"annotation/queues/{_id_of(api, queue)}/unassign", {"people": list(people)})
    if output.as_json:
        output.json(back)
    output.say(f"{back['unassigned']} may be judged by anybody again.")


@command.command()
@click.argument("queue")
@limit_option()
@asks_server
def annotations(api: Api, output: Output, *, queue: str, limit: int) -> None:
    """List what people said in a queue, the newest first."""
    found = api.items(f"annotation/queues/{_id_of(api, queue)}/annotations", limit=limit)
    output.rows(found, _SAID, empty="Nobody has judged an answer of this queue yet.")


@command.command()
@click.argument("queue")
@asks_server
def agreement(api: Api, output: Output, *, queue: str) -> None:
    """Show how far annotators agree: Krippendorff's alpha with its 95 % interval."""
    found = api.get(f"annotation/queues/{_id_of(api, queue)}/agreement")["items"]
    rows = [
        {
            "name": row["name"],
            "level": row["level"],
            **row["alpha"],
            "alpha": row["alpha"]["value"],
            "pairs": row["pairs"],
        }
        for row in found
    ]
    output.rows(rows, _AGREEMENT, empty="The queue asks for nothing that could be agreed upon.")


def _id_of(api: Api, queue: str) -> int:
    """Return the id of a queue by its name or id."""
    for row in api.items("annotation/queues", limit=1_000):
        if queue in (row["name"], str(row["id"])):
            return int(row["id"])
    raise click.UsageError(f"The project has no queue {queue!r}; `heliograph annotation list` names them.")
