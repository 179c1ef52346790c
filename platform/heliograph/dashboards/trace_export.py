"""The list of traces as a file: the chosen ones, or all that match, as JSON lines or CSV."""

from collections.abc import AsyncIterator, Iterator, Sequence

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from heliograph.accounts.models import Project
from heliograph.dashboards.access import project_page
from heliograph.dashboards.failures import explained
from heliograph.dashboards.timerange import chosen_range
from heliograph.dashboards.trace_filter import text_of
from heliograph.exports.rows import TRACE_COLUMNS, text
from heliograph.query import language
from heliograph.query.filters import InvalidFilterError, SpanFilter
from heliograph.query.traces import TraceRow, list_traces, summaries

# What a spreadsheet opens, and 20 questions to the store; more is paged through the API.
MAX_TRACES = 10_000
# As many as a list shows after some pages, all ticked.
MAX_CHOSEN = 1_000
_PAGE = 500


@explained
@project_page
def download(request: HttpRequest, project: Project) -> HttpResponse:
    """Answer with a file, a page of the list at a time, so that neither side holds all of it."""
    kind = request.GET.get("format", "jsonl")
    if kind not in {"jsonl", "csv"}:
        raise InvalidFilterError("format", "is jsonl or csv")
    chosen = list(dict.fromkeys(request.GET.getlist("item")))
    if len(chosen) > MAX_CHOSEN:
        raise InvalidFilterError("item", f"may name at most {MAX_CHOSEN} traces; leave it out for all that match")
    spans = language.parse(text_of(request.GET), chosen_range(request).range)
    pages = _chosen(project.pk, chosen) if chosen else _matching(project.pk, spans)
    # The first page is asked for here, so that a failure is a page that explains it and no broken file.
    first = next(pages, ())
    answer = StreamingHttpResponse(
        _texts(kind, first, pages), content_type="text/csv" if kind == "csv" else "application/x-ndjson"
    )
    answer["Content-Disposition"] = f'attachment; filename="traces-{project.slug}.{kind}"'
    return answer  # type: ignore[return-value]  # it streams, and pages are typed as not streaming


def _matching(project_id: int, spans: SpanFilter) -> Iterator[Sequence[TraceRow]]:
    cursor, left = None, MAX_TRACES
    while left > 0:
        page = list_traces(project_id, spans, cursor=cursor, limit=min(_PAGE, left))
        yield page.items
        left -= len(page.items)
        cursor = page.next_cursor
        if cursor is None:
            return


def _chosen(project_id: int, trace_ids: Sequence[str]) -> Iterator[Sequence[TraceRow]]:
    found = summaries(project_id, trace_ids)
    yield [found[trace_id] for trace_id in trace_ids if trace_id in found]


def _next(pages: Iterator[Sequence[TraceRow]]) -> Sequence[TraceRow] | None:
    return next(pages, None)


async def _texts(kind: str, first: Sequence[TraceRow], pages: Iterator[Sequence[TraceRow]]) -> AsyncIterator[bytes]:
    yield text(TRACE_COLUMNS, kind, first, with_head=True)
    while (rows := await sync_to_async(_next)(pages)) is not None:
        yield text(TRACE_COLUMNS, kind, rows, with_head=False)
