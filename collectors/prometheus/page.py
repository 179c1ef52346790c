"""The text of a `/metrics` page to families of samples.

The lines are read by Prometheus' own client library; what it refuses as a whole is read again line by line, so that
one bad line costs itself and is named, not the page.
https://prometheus.io/docs/instrumenting/exposition_formats/ and https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

OPENMETRICS = "application/openmetrics-text"
# What a page of either format may be, as a scraper asks for it.
ACCEPT = f"{OPENMETRICS};version=1.0.0,text/plain;version=0.0.4;q=0.5"

_COUNTER = re.compile(r"^#[ \t]+TYPE[ \t]+(\S+)[ \t]+counter[ \t]*$", re.MULTILINE)
_EXEMPLAR = re.compile(r"[ \t]+#[ \t]*\{.*$")
# What a hostile page can make the parsers raise; they promise nothing narrower.
_UNREADABLE = (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class PageLimits:
    """Each number with its reason."""

    # The largest page of an engine here is 0.4 MB; a kube-state-metrics of a large cluster is about this.
    max_bytes: int = 16 * 2**20
    # dcgm-exporter with 16 GPUs and all fields writes about 3,000; a vLLM with 8 engines about 6,000.
    max_samples: int = 50_000
    # The parser walks a line character by character, in parts more than once.
    max_line_chars: int = 8_192
    max_labels: int = 64
    # vLLM writes all adapters' names into one label.
    max_label_chars: int = 4_096
    # Of the errors this many are kept word by word; the rest is counted.
    max_errors: int = 20


@dataclass(frozen=True, slots=True)
class LineError:
    """What could not be read: the line, from 1; 0 stands for the page as a whole or a family of samples."""

    line: int
    reason: str


@dataclass(slots=True)
class Page:
    """Families in the page's order, and what was left out. `errors` is bounded, `error_count` is not."""

    families: list[Metric] = field(default_factory=list)
    samples: int = 0
    errors: list[LineError] = field(default_factory=list)
    error_count: int = 0
    # Counters whose names do not end in `_total` on the page; the library adds the ending.
    plain_counters: frozenset[str] = frozenset()

    def add_error(self, line: int, reason: str, limits: PageLimits) -> None:
        """Note an error."""
        self.error_count += 1
        if len(self.errors) < limits.max_errors:
            self.errors.append(LineError(line, reason[:300]))


def read_page(body: bytes, content_type: str = "", limits: PageLimits | None = None) -> Page:
    """Return what a page says. Never raises, whatever the bytes are: what cannot be read is in `errors`."""
    limits = limits or PageLimits()
    page = Page()
    if len(body) > limits.max_bytes:
        page.add_error(0, f"the page is larger than {limits.max_bytes} bytes", limits)
        return page
    text = body.decode("utf-8", "replace").replace("\r\n", "\n").replace("\x00", "\ufffd")
    lines = _bounded_lines(text, page, limits)
    if content_type.partition(";")[0].strip().lower() == OPENMETRICS:
        try:
            whole = "\n".join(lines).rstrip("\n") + "\n"
            _take(read_openmetrics(whole), page, limits)  # type: ignore[no-untyped-call]  # its parser is untyped
        except _UNREADABLE as error:
            page.families.clear()
            page.samples = 0
            page.add_error(0, f"it is no OpenMetrics, and is read as Prometheus text: {_why(error)}", limits)
            lines = [_EXEMPLAR.sub("", line) if not line.startswith("#") else line for line in lines]
        else:
            return page
    page.plain_counters = frozenset(name for name in _COUNTER.findall("\n".join(lines)) if not name.endswith("_total"))
    try:
        _take(read_text("\n".join(lines)), page, limits)
    except _UNREADABLE:
        page.families.clear()
        page.samples = 0
        try:
            _take(read_text("\n".join(_readable(lines, page, limits))), page, limits)
        except _UNREADABLE as error:
            page.add_error(
                0, f"lines that contradict each other; what comes after them is left out: {_why(error)}", limits
            )
    return page


def _bounded_lines(text: str, page: Page, limits: PageLimits) -> list[str]:
    """Return the lines, an empty one in the place of each that is too long, so that numbers stay."""
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        if len(line) > limits.max_line_chars:
            if not line.startswith("#"):
                page.add_error(number, f"longer than {limits.max_line_chars} characters: {line[:80]!r}", limits)
            lines[number - 1] = ""
    return lines


def _readable(lines: list[str], page: Page, limits: PageLimits) -> Iterator[str]:
    """Yield the lines that can be read on their own; the others are named."""
    for number, line in enumerate(lines, start=1):
        try:
            for _ in read_text(line):
                pass
        except _UNREADABLE as error:
            page.add_error(number, f"{_why(error)}: {line[:80]!r}", limits)
        else:
            yield line


def _take(families: Iterable[Metric], page: Page, limits: PageLimits) -> None:
    for family in families:
        kept = []
        offered = len(family.samples)
        for sample in family.samples:
            if page.samples >= limits.max_samples:
                page.add_error(0, f"more than {limits.max_samples} samples; the rest is left out", limits)
                break
            if len(sample.labels) > limits.max_labels:
                page.add_error(0, f"{sample.name[:80]}: more than {limits.max_labels} labels", limits)
                continue
            if any(len(value) > limits.max_label_chars for value in sample.labels.values()):
                page.add_error(0, f"{sample.name[:80]}: a label longer than {limits.max_label_chars}", limits)
                continue
            try:
                value = float(sample.value)
            except OverflowError:
                page.add_error(0, f"{sample.name[:80]}: a value that no number holds", limits)
                continue
            page.samples += 1
            kept.append(sample._replace(value=value))
        family.samples = kept
        if kept:
            page.families.append(family)
        if len(kept) < offered and page.samples >= limits.max_samples:
            return


def _why(error: Exception) -> str:
    return str(error)[:120] or type(error).__name__
