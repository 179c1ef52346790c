"""How much a browser may send as files: Django's own bound is for everything else."""

from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadhandler import FileUploadHandler

from heliograph.datasets.tables import MAX_UPLOAD_BYTES


class BoundedUpload(FileUploadHandler):
    """Refuses a request whose files together have more bytes than the largest that is taken; before it is all here."""

    def __init__(self, request: Any = None) -> None:
        super().__init__(request)
        self._seen = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        """Count, and hand on to the handlers that keep. Raises RequestDataTooBig."""
        self._seen += len(raw_data)
        if self._seen > MAX_UPLOAD_BYTES:
            raise RequestDataTooBig(f"The file has more than {MAX_UPLOAD_BYTES:,} bytes.")
        return raw_data

    def file_complete(self, file_size: int) -> None:
        """Leave the file to the handlers that keep."""
