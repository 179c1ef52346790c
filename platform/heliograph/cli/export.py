"""`heliograph export`: traces, spans or scores as files."""

import json
from pathlib import Path
from typing import Any

import click

from heliograph.cli.frame.api import Api
from heliograph.cli.frame.files import FORMATS, format_of, open_writer
from heliograph.cli.frame.filters import span_filters
from heliograph.cli.frame.options import asks_server, time_range
from heliograph.cli.frame.output import Output
from heliograph.cli.frame.progress import progress

_FILTERLESS = "scores"


@click.command()
@click.argument("what", type=click.Choice(["traces", "spans", "scores"]))
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--format", "form", type=click.Choice(FORMATS), help="Else by the file's name; .gz compresses.")
@click.option("--texts", is_flag=True, help="Of spans: with messages and attributes, a request each.")
@click.option("--max-rows", type=click.IntRange(1), default=10_000_000, show_default=True)
@span_filters
@time_range
@asks_server
def command(
    api: Api,
    output: Output,
    *,
    span: dict[str, str],
    filters: dict[str, Any],
    what: str,
    path: Path,
    form: str | None,
    texts: bool,
    max_rows: int,
) -> None:
    """Write what fits to PATH as JSONL, CSV or Parquet, newest first.

    Pages of 500 rows are read one by one, so memory does not grow. An interrupted export of JSONL or CSV goes on when
    the same command is given again (it keeps PATH.state beside the file until it is done).
    """
    if texts and what != "spans":
        raise click.UsageError("--texts is of spans.")
    if what == _FILTERLESS and any(filters.values()):
        raise click.UsageError("Scores are exported by time only; heliograph scores list has filters.")
    form = form or format_of(path)
    state = _State(path, {"what": what, "filters": filters, "texts": texts, "format": form, "url": api.profile.url})
    span, cursor, rows = state.resume(span)
    with open_writer(path, form, at=state.offset) as writer, progress(what) as advance:
        for found, cursor in api.pages(what, {**span, **filters}, cursor=cursor):  # noqa: B020  # the next page's
            page = found[: max_rows - rows]
            if texts:
                page = [api.get(f"traces/{each['trace_id']}/spans/{each['span_id']}") for each in page]
            offset = writer.write(page)
            rows += len(page)
            advance(len(page))
            if rows >= max_rows:
                break
            state.keep(span, cursor, rows, offset)
    state.done()
    if output.as_json:
        output.json({"rows": rows, "path": str(path), "format": form})
    output.say(f"{rows:,} {what} written to {path}.")


class _State:
    """How far an export came, beside its file: the cursor after the last page, and the file's length up to there."""

    def __init__(self, path: Path, question: dict[str, Any]) -> None:
        self._path, self._file = path.with_name(path.name + ".state"), path
        self._question = json.loads(json.dumps(question))
        self.offset: int | None = None

    def resume(self, span: dict[str, str]) -> tuple[dict[str, str], str, int]:
        """Return the range, the cursor and the rows to go on with; of an earlier run of the same question, else afresh.

        Raises UsageError where a file is in the way that is no part of one.
        """
        if not self._path.exists():
            if self._file.exists():
                raise click.UsageError(f"{self._file} exists; name another file, or remove it.")
            return span, "", 0
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            question, offset, rows = found["question"], int(found["offset"]), int(found["rows"])
            kept_span, cursor = dict(found["span"]), str(found["cursor"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise click.UsageError(f"{self._path} cannot be read ({error}); remove it and the file.") from error
        if question != self._question:
            raise click.UsageError(f"{self._path} is of another export; remove it and the file, or name another.")
        if not self._file.exists() or self._file.stat().st_size < offset:
            raise click.UsageError(f"{self._file} is shorter than {self._path} says; remove both.")
        click.echo(f"heliograph: going on after {rows:,} rows", err=True)
        self.offset = offset
        return kept_span, cursor, rows

    def keep(self, span: dict[str, str], cursor: str, rows: int, offset: int | None) -> None:
        """Note a page that is on disk; a format that cannot be gone on with has no offset."""
        if offset is None:
            return
        draft = self._path.with_name(self._path.name + ".new")
        note = {"question": self._question, "span": span, "cursor": cursor, "rows": rows, "offset": offset}
        draft.write_text(json.dumps(note), encoding="utf-8")
        draft.replace(self._path)

    def done(self) -> None:
        """All is written."""
        self._path.unlink(missing_ok=True)
