"""One import, from files to a report."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from heliograph.importing.langfuse import Langfuse
from heliograph.importing.mlflow import Mlflow
from heliograph.importing.model import Report, Score, Span, UnusableError
from heliograph.importing.phoenix import Phoenix
from heliograph.importing.reading import records
from heliograph.importing.sending import Progress, Sender, numbered


class Converter(Protocol):
    """What each system's module has."""

    name: str

    def scan(self, record: dict[str, Any]) -> None:
        """See a record before any is converted."""

    def convert(self, record: dict[str, Any], report: Report) -> Iterator[Span | Score]:
        """Yield what a record becomes. Raises UnusableError."""


CONVERTERS: dict[str, Callable[[], Converter]] = {"langfuse": Langfuse, "mlflow": Mlflow, "phoenix": Phoenix}


def run(
    source: str,
    files: Sequence[Path],
    sender: Sender,
    progress: Progress | None,
    advance: Callable[[int], None] = lambda _: None,
) -> None:
    """Read the files twice, first to learn what belongs together, and send what they hold.

    A record that fails costs no other; `sender.report` says what was left out. Raises UnreadableError for a file that
    cannot be read, and what `post_spans` and `post_scores` raise; then a later run goes on with the batch that failed.
    """
    converter = CONVERTERS[source]()
    for record in chain.from_iterable(map(records, files)):
        converter.scan(record)
    report = sender.report
    done = progress.read() if progress else 0
    if done:
        report.note(f"{done:,} records were sent by an earlier run and skipped")
    for number, record in numbered(chain.from_iterable(map(records, files)), done):
        report.records += 1
        try:
            for made in converter.convert(record, report):
                sender.put(made)
        except UnusableError as error:
            report.leave_out(f"record: {error}")
        advance(1)
        if sender.is_full:
            sender.flush()
            if progress:
                progress.write(number)
    sender.flush()
    if progress:
        progress.forget()
