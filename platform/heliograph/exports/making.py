"""A turn of an export: some pages of the list as one compressed part among the blobs."""

import gzip
import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from heliograph.blobs import store
from heliograph.events.outbox import record
from heliograph.exports.models import KEPT, Export
from heliograph.exports.rows import SPAN_COLUMNS, TRACE_COLUMNS, text
from heliograph.query.spans import list_spans
from heliograph.query.traces import list_traces

# One worker also judges rules and answers: after so long, what waits has its turn.
TURN_SECONDS = 10.0
# A part is put together in memory; a row has some kilobytes at most.
ROWS_OF_A_PART = 20_000
# What a notebook reads in one piece, and 50 parts; more is read through the API, by time.
MAX_ROWS = 1_000_000
_PAGE = 500


def turn(export: Export) -> None:
    """Write the next part of an export that was claimed; the last one also tells that it is ready.

    Raises InvalidFilterError, StoreError, BlobsAwayError, LostLeaseError.
    """
    body, rows, cursor = _pages(export)
    until = export.until or (datetime.now(UTC) + KEPT + timedelta(days=2)).date().isoformat()
    # Compressed parts one after the other are one compressed file. A name of its own, so that removing this export
    # takes nothing away from another one of the same content.
    part, data = secrets.token_hex(32), gzip.compress(body, compresslevel=6, mtime=0)
    store.keep(export.project_id, until, {part: data})
    total = export.rows + rows
    is_done = not cursor or total >= MAX_ROWS
    state: dict[str, Any] = {
        "parts": [*export.parts, part],
        "cursor": cursor,
        "until": until,
        "rows": total,
        "bytes": export.bytes + len(data),
    }
    if is_done:
        state |= {"is_cut": bool(cursor), "expires_at": timezone.now() + KEPT}
    with transaction.atomic():
        export.put(is_done=is_done, **state)
        if is_done:
            record(export.project, "export.ready", _event(export))


def _pages(export: Export) -> tuple[bytes, int, str]:
    """Return the lines of the next pages, how many they are, and where the page behind them begins ('' at the end)."""
    spans, columns = export.spans(), TRACE_COLUMNS if export.what == Export.What.TRACES else SPAN_COLUMNS
    ask = list_traces if export.what == Export.What.TRACES else list_spans
    most = min(ROWS_OF_A_PART, MAX_ROWS - export.rows)
    deadline = time.monotonic() + TURN_SECONDS
    found, rows, cursor = bytearray(), 0, export.cursor
    while True:
        page: Any = ask(export.project_id, spans, cursor=cursor or None, limit=min(_PAGE, most - rows))
        found += text(columns, export.format, page.items, with_head=not (export.parts or found))
        rows, cursor = rows + len(page.items), page.next_cursor or ""
        if not cursor or rows >= most or time.monotonic() > deadline:
            return bytes(found), rows, cursor


def _event(export: Export) -> dict[str, Any]:
    """Name the file and where it is; who fetches it needs to sign in, or a key."""
    return {
        "export": export.pk,
        "what": export.what,
        "format": export.format,
        "filter": export.filter[:1_000],
        "rows": export.rows,
        "bytes": export.bytes,
        "is_cut": export.is_cut,
        "expires_at": export.expires_at,
        "url": settings.BASE_URL + reverse("traces-exports", args=[export.project.slug]),
        "file": settings.BASE_URL + reverse("api-export-file", args=[export.pk]),
    }
