"""`heliograph import`: what a team has elsewhere."""

from pathlib import Path
from typing import Any

import click

from heliograph.cli.frame.api import Api
from heliograph.cli.frame.options import asks_server
from heliograph.cli.frame.output import Output
from heliograph.cli.frame.progress import progress
from heliograph.importing.model import Report
from heliograph.importing.reading import UnreadableError
from heliograph.importing.run import CONVERTERS, run
from heliograph.importing.sending import Progress, Sender, state_folder


@click.command()
@click.argument("source", type=click.Choice(sorted(CONVERTERS)))
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--service", default="", help="service.name where the export has none; else the source's name.")
@click.option(
    "--otlp-url",
    default="",
    help="Where OTLP/HTTP goes; else as the profile says, else to the server, which takes it too.",
)
@click.option("--dry-run", is_flag=True, help="Read and convert everything, send nothing.")
@click.option("--again", is_flag=True, help="Begin at the first record although an earlier run was interrupted.")
@click.option("--strict", is_flag=True, help="Exit with 1 where anything was left out.")
@asks_server
def command(
    api: Api,
    output: Output,
    *,
    source: str,
    files: tuple[Path, ...],
    service: str,
    otlp_url: str,
    dry_run: bool,
    again: bool,
    strict: bool,
) -> None:
    """Send the traces and scores of an export of Langfuse, MLflow or Phoenix.

    FILES are JSON, JSONL, CSV or Parquet, also gzipped; all files of an export belong in one run. Ids are kept, so a
    second run changes nothing, and an interrupted one goes on where it was.
    """
    report = Report()
    place = (otlp_url or api.profile.otlp_url or api.profile.url).rstrip("/")

    def post_spans(body: bytes) -> bytes:
        if dry_run:
            return b""
        return api.post_otlp(f"{place}/v1/traces", body)

    def post_scores(scores: list[dict[str, Any]]) -> None:
        if not dry_run:
            api.post("scores", {"scores": scores})

    sender = Sender(post_spans, post_scores, report, service, source)
    kept = None if dry_run else Progress(state_folder(), list(files), f"{place} {api.profile.key}")
    if kept and again:
        kept.forget()
    with progress(f"{source} records") as advance:
        try:
            run(source, files, sender, kept, advance)
        except UnreadableError as error:
            raise click.ClickException(str(error)) from error
    _show(output, report, dry_run=dry_run)
    if strict and report.left_out:
        raise SystemExit(1)


def _show(output: Output, report: Report, *, dry_run: bool) -> None:
    if output.as_json:
        output.json(
            {
                "records": report.records,
                "spans": report.spans,
                "scores": report.scores,
                "left_out": dict(report.left_out),
                "notes": dict(report.notes),
                "dry_run": dry_run,
            }
        )
        return
    verb = "would be taken" if dry_run else "taken"
    output.say(f"{report.records:,} records read: {report.spans:,} spans and {report.scores:,} scores {verb}.")
    for reason, count in report.left_out.most_common():
        output.say(f"  left out {count:,}: {reason}")
    for text, count in report.notes.most_common():
        output.say(f"  {text}" + (f" ({count:,} times)" if count > 1 else ""))
