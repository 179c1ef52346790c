"""The file of an export as an HTTP answer, and what removes it."""

from collections.abc import AsyncIterator

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse

from heliograph.blobs import store
from heliograph.exports.models import Export


def answer(export: Export) -> StreamingHttpResponse:
    """Send the parts one after the other, one at a time in memory. Raises BlobsAwayError where the first is missing."""
    first = _part(export, export.parts[0])
    response = StreamingHttpResponse(_parts(export, first), content_type="application/gzip")
    response["Content-Disposition"] = f'attachment; filename="{export.file_name}"'
    response["Content-Length"] = str(export.bytes)
    response["Cache-Control"] = "private, no-store"
    return response


def remove(export: Export) -> None:
    """Remove an export with its file. Raises BlobsAwayError, with both left."""
    for part in export.parts:
        store.remove(export.project_id, export.until, part)
    export.delete()


async def _parts(export: Export, first: bytes) -> AsyncIterator[bytes]:
    yield first
    for part in export.parts[1:]:
        yield await sync_to_async(_part)(export, part)


def _part(export: Export, part: str) -> bytes:
    file = store.read(export.project_id, export.until, part)
    if file is None:
        raise store.BlobsAwayError(f"part {part[:8]} of {export} is gone from the blob store")
    with file:
        data: bytes = file.read()
    return data
